"""``python -m sandbox``: serves the sandbox until it is told to stop."""

from __future__ import annotations

import asyncio
import logging
import sys

import uvicorn

from sandbox.app import SandboxApp, create_app
from sandbox.settings import BadSetting, Settings, from_environment

logger = logging.getLogger("sandbox")

# Open streams get this long to notice that the process ends.
SHUTDOWN_S = 1


class _Server(uvicorn.Server):
    """Says one line when ready and lets no open stream delay the end."""

    def __init__(self, config: uvicorn.Config, *, sandbox: SandboxApp) -> None:
        super().__init__(config)
        self.sandbox = sandbox

    async def startup(self, sockets: list[object] | None = None) -> None:  # type: ignore[override]
        await super().startup(sockets)  # type: ignore[arg-type]
        if self.started:
            settings = self.sandbox.world.settings
            logger.info(
                "sandbox ready: %s (bridge %s, Dify %s)",
                settings.base_url(),
                settings.bridge_url,
                settings.dify_version,
            )

    async def shutdown(self, sockets: list[object] | None = None) -> None:  # type: ignore[override]
        await self.sandbox.world.end_streams()
        await super().shutdown(sockets)  # type: ignore[arg-type]


async def _serve(settings: Settings) -> bool:
    sandbox = create_app(settings)
    config = uvicorn.Config(
        sandbox,
        host=settings.host,
        port=settings.port,
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=SHUTDOWN_S,
    )
    server = _Server(config, sandbox=sandbox)
    await server.serve()
    return server.started


def main() -> int:
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    try:
        settings = from_environment()
    except BadSetting as err:
        logger.error("sandbox: %s", err)
        return 2
    try:
        return 0 if asyncio.run(_serve(settings)) else 1
    except KeyboardInterrupt:
        return 0


if __name__ == "__main__":
    sys.exit(main())
