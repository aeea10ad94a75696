"""Asks Chatwoot whether it accepts an account's tokens, and stores what it says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from bridge_project.lib.errors import BridgeError
from chatwoot_api.client import ChatwootClient
from chatwoot_api.models import ChatwootAccount, Health
from chatwoot_api.refusals import TokenName, TokenRefused

ProbeState = Literal["ok", "refused", "unknown"]


@dataclass(frozen=True, kw_only=True)
class ProbeResult:
    """What is known of the tokens now; unknown: not asked, not set, or no answer.

    `errors` says why a token that was asked about is not "ok".
    """

    bot: ProbeState = "unknown"
    admin: ProbeState = "unknown"
    errors: Mapping[TokenName, BridgeError] = field(default_factory=dict)
    asked: tuple[TokenName, ...] = ()

    def states(self) -> dict[TokenName, ProbeState]:
        """Return what is known of each token that was asked about."""
        known: dict[TokenName, ProbeState] = {"bot": self.bot, "admin": self.admin}
        return {token: known[token] for token in self.asked}


def probe(account: ChatwootAccount, *, only_refused: bool = True) -> ProbeResult:
    """Try each refused token, or each token, with one request; stores nothing."""
    client = ChatwootClient(account)
    states: dict[TokenName, ProbeState] = {"bot": "unknown", "admin": "unknown"}
    errors: dict[TokenName, BridgeError] = {}
    asked = _tokens_to_try(account, only_refused=only_refused)
    for token in asked:
        try:
            client.check_token(token)
            states[token] = "ok"
        except TokenRefused as err:
            states[token], errors[token] = "refused", err
        except BridgeError as err:
            errors[token] = err
    return ProbeResult(
        bot=states["bot"], admin=states["admin"], errors=errors, asked=asked
    )


def store(account: ChatwootAccount, result: ProbeResult) -> None:
    """Write what a probe found; a token that stays refused keeps its "since"."""
    row = ChatwootAccount.objects.filter(pk=account.pk)
    if result.bot == "ok":
        row.mark_ok()
    if result.admin == "ok":
        row.mark_admin_ok()
    for token, err in result.errors.items():
        is_news = token == "admin" or account.health != Health.REFUSED
        if isinstance(err, TokenRefused) and is_news:
            row.note_refusal(err)


def _tokens_to_try(
    account: ChatwootAccount, *, only_refused: bool
) -> tuple[TokenName, ...]:
    tokens: list[TokenName] = []
    if account.bot_token and (not only_refused or account.health == Health.REFUSED):
        tokens.append("bot")
    if account.admin_token and (
        not only_refused or account.admin_token_refused_at is not None
    ):
        tokens.append("admin")
    return tuple(tokens)
