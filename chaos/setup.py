"""The environment of the stack that is broken: the played Dify app is a chatflow."""

from __future__ import annotations

from chaos.stack import free_port
from chaos.world import APP_MODE


def environment() -> dict[str, str]:
    """Return what is added to the environment of `make run`.

    A chatflow is what a run is picked up from after it was cut off; the default of
    `make run` is the simpler chatbot.
    """
    sandbox_port = free_port()
    return {
        "SANDBOX_PORT": str(sandbox_port),
        "DIFY_API_URL": f"http://127.0.0.1:{sandbox_port}/v1",
        "DIFY_API_KEY": f"app-sandbox-{APP_MODE}",
        "WEB_PORT": str(free_port()),
    }
