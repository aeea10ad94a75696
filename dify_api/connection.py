"""How to reach and how long to wait for one Dify app; made by `DifyApp.connection`."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class DifyConnection:
    """Everything a `DifyClient` needs to know of an app.

    `base_url` may end with `/v1` or not. Limits count from the request on; the one for
    the idle time counts from the last byte.
    """

    base_url: str
    api_key: str = field(repr=False)
    mode: str = ""
    first_event_timeout_s: float = 60.0
    idle_timeout_s: float = 60.0
    total_timeout_s: float = 600.0
    answer_output: str = ""

    @property
    def api_url(self) -> str:
        """Return the address that all paths follow, ending with `/v1`."""
        return self.base_url.rstrip("/").removesuffix("/v1").rstrip("/") + "/v1"
