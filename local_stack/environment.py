"""The environment of every process that runs on this machine."""

from __future__ import annotations

import base64
import os
import secrets
from dataclasses import dataclass
from pathlib import Path

import environ

from local_stack.data_dir import HOST, PROJECT_ROOT, DataDir
from local_stack.errors import LocalStackError

# Public demo credentials, the same on every machine; see sandbox/.
SANDBOX_CHATWOOT = {
    "CHATWOOT_ACCOUNT_ID": "1",
    "CHATWOOT_API_KEY": "sandbox-bot-token",
    "CHATWOOT_ADMIN_API_KEY": "sandbox-admin-token",
    "CHATWOOT_WEBHOOK_SECRET": "sandbox-webhook-secret",
}
SANDBOX_DIFY = {"DIFY_API_KEY": "app-sandbox-chat"}


@dataclass(frozen=True)
class Addresses:
    """Where web and sandbox listen."""

    web_host: str
    web_port: int
    sandbox_port: int

    @property
    def web(self) -> str:
        """The bridge's address as this machine reaches it."""
        host = HOST if self.web_host == "0.0.0.0" else self.web_host
        return f"http://{host}:{self.web_port}"

    @property
    def sandbox(self) -> str:
        return f"http://{HOST}:{self.sandbox_port}"


def read_env_file(path: Path = PROJECT_ROOT / ".env") -> None:
    """Take the `.env` of the project into the environment, which wins over it."""
    if path.exists():
        environ.Env.read_env(path)


def addresses() -> Addresses:
    """WEB_BIND, WEB_PORT and SANDBOX_PORT. Raises `LocalStackError` on nonsense."""
    return Addresses(
        web_host=os.environ.get("WEB_BIND") or HOST,
        web_port=_port("WEB_PORT", default=8000),
        sandbox_port=_port("SANDBOX_PORT", default=8010),
    )


def needs_sandbox() -> bool:
    """Whether the sandbox plays Chatwoot, Dify or both."""
    return not (_given_chatwoot() and _given_dify())


def for_processes(
    folder: DataDir, *, urls: dict[str, str], places: Addresses
) -> dict[str, str]:
    """The whole environment of web, worker, beat, sandbox and `manage.py`.

    Keys that the environment does not give are made once and kept in the folder.
    """
    defaults = {
        "SECRET_KEY": folder.secret("SECRET_KEY", make=_secret_key),
        "FIELD_ENCRYPTION_KEYS": folder.secret(
            "FIELD_ENCRYPTION_KEYS", make=fernet_key
        ),
        "PUBLIC_URL": places.web,
        "STATIC_ROOT": str(folder.root / "static"),
    }
    chosen = {name: os.environ.get(name) or value for name, value in defaults.items()}
    result = {**os.environ, **urls, **chosen}
    result |= {
        "DJANGO_SETTINGS_MODULE": "bridge_project.settings",
        "LOCAL_DIR": str(folder.root),
        "PYTHONUNBUFFERED": "1",
        "WEB_BIND": places.web_host,
        "WEB_PORT": str(places.web_port),
        "SANDBOX_PORT": str(places.sandbox_port),
        "SANDBOX_BRIDGE_URL": places.web,
    }
    if not makes_first_bot():
        return result | {"SANDBOX_SEEDED_BOT": "false"}
    if not _given_chatwoot():
        result |= SANDBOX_CHATWOOT | {"CHATWOOT_API_URL": places.sandbox}
    if not _given_dify():
        result |= SANDBOX_DIFY | {"DIFY_API_URL": f"{places.sandbox}/v1"}
    return result


def makes_first_bot() -> bool:
    """Whether account, Dify app and bot are made at the start; else in the admin.

    Raises `LocalStackError` on nonsense.
    """
    text = os.environ.get("BOOTSTRAP") or "true"
    if text.lower() not in ("true", "false"):
        raise LocalStackError(
            f"BOOTSTRAP is {text!r}. Nothing was started. Give true or false, or leave "
            "it out for true."
        )
    return text.lower() == "true"


def _given_chatwoot() -> bool:
    names = ("CHATWOOT_API_URL", "CHATWOOT_BASE_URL")
    return any(os.environ.get(name) for name in names)


def _given_dify() -> bool:
    return bool(os.environ.get("DIFY_API_URL"))


def _port(name: str, *, default: int) -> int:
    text = os.environ.get(name) or str(default)
    if not text.isdecimal() or not 0 < int(text) < 65_536:
        raise LocalStackError(
            f"{name} is {text!r}, which is no port number. Nothing was started. "
            f"Give a number from 1 to 65535, or leave {name} out for {default}."
        )
    return int(text)


def _secret_key() -> str:
    return secrets.token_urlsafe(48)


def fernet_key() -> str:
    return base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()
