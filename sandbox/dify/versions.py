"""How the three Dify versions differ on the wire (measured, see the recordings)."""

from __future__ import annotations

import json
from dataclasses import dataclass

from sandbox.json_types import Json


@dataclass(frozen=True)
class Version:
    """One row of differences. ``release`` goes into X-Version and error texts."""

    name: str
    release: str
    pydantic: str
    is_old: bool  # 0.15: frozen inputs, no mode in /info, spaced ASCII JSON
    runs_in_celery: bool  # 1.14: ping first, silence instead of pre-run errors
    delete_status: int
    delete_checks_owner: bool
    httpx: str  # of the HTTP Request node

    def event_json(self, event: Json) -> str:
        if self.is_old:
            return json.dumps(event)
        return json.dumps(event, ensure_ascii=False, separators=(",", ":"))

    def node_json(self, body: object) -> str:
        """The body of an HTTP Request node, written anew by its httpx."""
        if self.httpx.startswith("0.27"):
            return json.dumps(body)
        return json.dumps(body, ensure_ascii=False, separators=(",", ":"))

    @property
    def headers(self) -> dict[str, str]:
        headers = {
            "Access-Control-Allow-Origin": "*",
            "X-Version": self.release,
            "X-Env": "PRODUCTION",
        }
        if not self.is_old:
            headers["Access-Control-Expose-Headers"] = "X-Env, X-Trace-Id, X-Version"
        return headers


VERSIONS = {
    "0.15": Version(
        name="0.15",
        release="0.15.3",
        pydantic="",
        is_old=True,
        runs_in_celery=False,
        delete_status=200,
        delete_checks_owner=True,
        httpx="0.27.2",
    ),
    "1.12": Version(
        name="1.12",
        release="1.12.1",
        pydantic="2.11",
        is_old=False,
        runs_in_celery=False,
        delete_status=204,
        delete_checks_owner=False,
        httpx="0.27.2",
    ),
    "1.14": Version(
        name="1.14",
        release="1.14.2",
        pydantic="2.12",
        is_old=False,
        runs_in_celery=True,
        delete_status=204,
        delete_checks_owner=True,
        httpx="0.28.1",
    ),
}
