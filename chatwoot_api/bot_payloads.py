"""What Chatwoot says of itself, of agent bots, of a token's owner and an account."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime

from bridge_project.lib.redact import storable
from bridge_project.lib.types import JsonObject
from chatwoot_api.lenient import id_at, list_at, object_at, text_at

ADMINISTRATOR = "administrator"

Version = tuple[int, int, int]


@dataclass(frozen=True, kw_only=True)
class ServerFacts:
    """`GET /api`: the version ("" if it does not tell), and the clock of the server."""

    version: str = ""
    clock: datetime | None = None

    @property
    def number(self) -> Version | None:
        """Return the version as numbers, None if it cannot be read."""
        found = re.match(r"v?(\d+)\.(\d+)(?:\.(\d+))?", self.version)
        if found is None:
            return None
        return int(found[1]), int(found[2]), int(found[3] or 0)


@dataclass(frozen=True, kw_only=True)
class AgentBotRow:
    """An agent bot; token and secret are told to administrators only.

    A bot of the whole installation has neither address nor secret here. Chatwoot before
    4.13 has no secrets.
    """

    id: int
    name: str = ""
    outgoing_url: str = ""
    is_system: bool = False
    access_token: str = field(default="", repr=False)
    secret: str = field(default="", repr=False)


@dataclass(frozen=True, kw_only=True)
class Membership:
    """One account of a token's owner, and the owner's role there."""

    account_id: int
    name: str = ""
    role: str = ""

    @property
    def is_administrator(self) -> bool:
        return self.role == ADMINISTRATOR


@dataclass(frozen=True, kw_only=True)
class Profile:
    """`GET /api/v1/profile`: the human to whom a token belongs."""

    id: int
    name: str = ""
    accounts: tuple[Membership, ...] = ()

    def membership(self, account_id: int) -> Membership | None:
        """Return the owner's part in an account, None if there is none."""
        return next((m for m in self.accounts if m.account_id == account_id), None)


@dataclass(frozen=True, kw_only=True)
class AccountFacts:
    """`GET accounts/:id`; None where this version does not tell."""

    name: str = ""
    keeps_pending_on_bot_failure: bool | None = None


def read_agent_bot(data: JsonObject) -> AgentBotRow | None:
    """Read one of `GET agent_bots`; None without a number."""
    number = id_at(data, "id")
    if number is None:
        return None
    return AgentBotRow(
        id=number,
        name=storable(text_at(data, "name")).strip()[:255],
        outgoing_url=text_at(data, "outgoing_url").strip(),
        # Before there was `system_bot`, those of the installation had no account.
        is_system=data.get("system_bot") is True or data.get("account_id", 1) is None,
        access_token=text_at(data, "access_token"),
        secret=text_at(data, "secret"),
    )


def read_profile(data: JsonObject) -> Profile | None:
    """Read the owner of a token; None without a number."""
    number = id_at(data, "id")
    if number is None:
        return None
    rows = (row for row in list_at(data, "accounts") if isinstance(row, dict))
    return Profile(
        id=number,
        name=storable(text_at(data, "name")).strip()[:255],
        accounts=tuple(m for row in rows if (m := _membership(row)) is not None),
    )


def _membership(data: JsonObject) -> Membership | None:
    number = id_at(data, "id")
    if number is None:
        return None
    return Membership(
        account_id=number,
        name=storable(text_at(data, "name")).strip()[:100],
        role=text_at(data, "role"),
    )


def read_account(data: JsonObject) -> AccountFacts:
    """Read an account; its settings stand in an object of their own."""
    keeps = object_at(data, "settings").get("keep_pending_on_bot_failure")
    known = isinstance(data.get("settings"), dict)
    return AccountFacts(
        name=storable(text_at(data, "name")).strip()[:100],
        keeps_pending_on_bot_failure=keeps is True if known else None,
    )
