"""What can be set: by the environment at start, on the page or by tests later."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from sandbox.json_types import Json

DIFY_VERSIONS = ("0.15", "1.12", "1.14")
_TRUE = ("1", "true", "yes", "on")
_BOUNDS: dict[str, tuple[float, float]] = {
    "webhook_copies": (1, 20),
    "webhook_shuffle_s": (0, 600),
}


class BadSetting(ValueError):
    """A setting that does not exist or a value that does not fit it."""


@dataclass
class Settings:
    """One row per switch. Defaults are what real servers do by default."""

    host: str = "127.0.0.1"
    port: int = 8010
    public_url: str = ""
    bridge_url: str = "http://127.0.0.1:8000"
    bridge_webhook_path: str = "/api/v1/chatwoot-webhook"

    # Chatwoot
    chatwoot_version: str = "4.15.1"
    # Whether the account begins with the bridge's bot, linked to its inboxes. Without
    # it there is something to set up.
    seeded_bot: bool = True
    # Real servers never give a number twice, and a bridge remembers them. So a process
    # counts on from the clock; tests count from 1.
    lasting_numbers: bool = False
    sign_webhooks: bool = True
    webhook_timeout_s: float = 5.0
    webhook_retry_wait_s: float = 3.0
    keep_pending_on_bot_failure: bool = False
    bot_team_bug: bool = True
    greeting_enabled: bool = False
    greeting_message: str = "Welcome to Sandbox Store! How can we help?"
    email_collect_enabled: bool = False
    messages_per_minute: int = 200
    # Trouble on order: repeated and reordered deliveries, revoked tokens.
    webhook_copies: int = 1
    webhook_shuffle_s: float = 0.0
    bot_token_refused: bool = False
    admin_token_refused: bool = False

    # Dify
    dify_version: str = "1.14"
    ping_interval_s: float = 10.0
    delta_interval_s: float = 0.03
    silence_limit_s: float = 300.0
    close_delay_s: float = 1.0

    def base_url(self) -> str:
        """Where a browser or the bridge reaches this sandbox."""
        return self.public_url or f"http://{self.host}:{self.port}"

    def webhook_url(self) -> str:
        """Where the sandbox's agent bot sends its events."""
        return f"{self.bridge_url.rstrip('/')}{self.bridge_webhook_path}"

    def as_json(self) -> Json:
        return asdict(self)

    def update(self, changes: Json) -> None:
        """Apply ``changes`` or raise BadSetting and apply none of them."""
        kinds = {field.name: type(getattr(self, field.name)) for field in fields(self)}
        checked: Json = {}
        for name, value in changes.items():
            if name not in kinds:
                raise BadSetting(f"There is no setting {name!r}.")
            checked[name] = _fit(name=name, value=value, kind=kinds[name])
            _check_bounds(name, checked[name])
        for name, value in checked.items():
            setattr(self, name, value)


def _fit(*, name: str, value: object, kind: type) -> object:
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if type(value) is not kind:
        raise BadSetting(f"{name} must be of type {kind.__name__}.")
    if name == "dify_version" and value not in DIFY_VERSIONS:
        raise BadSetting(f"dify_version must be one of {', '.join(DIFY_VERSIONS)}.")
    return value


def _check_bounds(name: str, value: Any) -> None:
    low, high = _BOUNDS.get(name, (value, value))
    if not low <= value <= high:
        raise BadSetting(f"{name} must be between {low:g} and {high:g}.")


def from_environment(env: Mapping[str, str] | None = None) -> Settings:
    """Settings of a fresh process; raises BadSetting when a value is unusable."""
    given = os.environ if env is None else env
    settings = Settings(lasting_numbers=True)
    if "SANDBOX_HOST" in given:
        settings.host = given["SANDBOX_HOST"]
    if "SANDBOX_PORT" in given:
        settings.port = _port(given["SANDBOX_PORT"])
    if "SANDBOX_BRIDGE_URL" in given:
        settings.bridge_url = given["SANDBOX_BRIDGE_URL"]
    if "SANDBOX_SEEDED_BOT" in given:
        settings.seeded_bot = given["SANDBOX_SEEDED_BOT"].lower() in _TRUE
    if "SANDBOX_DIFY_VERSION" in given:
        settings.update({"dify_version": given["SANDBOX_DIFY_VERSION"]})
    return settings


def _port(text: str) -> int:
    if not text.isdigit() or not 0 < int(text) < 65536:
        raise BadSetting(f"SANDBOX_PORT must be a port number, not {text!r}.")
    return int(text)
