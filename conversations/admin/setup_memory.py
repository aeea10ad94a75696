"""What the set-up page remembers between its steps: in the session, encrypted."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest

from bridge_project.lib.encryption import decrypt, encrypt
from chatwoot_api.models import ChatwootAccount
from conversations.setup import known_account
from conversations.setup.finding import transient

_KEY = "bridge_setup"


@dataclass
class Memory:
    """Addresses, tokens and what was found with them."""

    chatwoot_url: str = ""
    admin_token: str = field(default="", repr=False)
    dify_url: str = ""
    dify_key: str = field(default="", repr=False)
    app_name: str = ""
    app_mode: str = ""
    profile_name: str = ""
    # Number and name of each account that may be chosen.
    accounts: list[tuple[int, str]] = field(default_factory=list)
    account_id: int | None = None

    @property
    def is_complete(self) -> bool:
        """Tell whether both platforms were found, and an account was chosen."""
        return bool(self.app_name and self.accounts and self.account_id is not None)

    @property
    def account_name(self) -> str:
        return dict(self.accounts).get(self.account_id or 0, "")

    def account(self) -> ChatwootAccount:
        """Return an account to ask with: ours with the token entered now, or a new."""
        known = known_account(self.chatwoot_url, account_id=self.account_id)
        asked = transient(
            self.chatwoot_url, token=self.admin_token, account_id=self.account_id or 0
        )
        if known is not None:
            asked.bot_token, asked.key = known.bot_token, known.key
        return asked


def recall(request: HttpRequest) -> Memory:
    """Return what was remembered, nothing if it cannot be read any more."""
    stored = request.session.get(_KEY)
    if not isinstance(stored, str):
        return Memory()
    try:
        values: dict[str, Any] = json.loads(decrypt(stored))
    except (ImproperlyConfigured, ValueError):
        return Memory()
    values["accounts"] = [(int(pk), str(name)) for pk, name in values["accounts"]]
    return Memory(**values)


def remember(request: HttpRequest, memory: Memory) -> None:
    """Keep it until the bot is there, or the login ends."""
    request.session[_KEY] = encrypt(json.dumps(asdict(memory)))


def forget(request: HttpRequest) -> None:
    """The bot is there: its tokens are stored where they belong."""
    request.session.pop(_KEY, None)
