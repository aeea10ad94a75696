"""Which addresses are the bridge's own, and which of them others can reach."""

from __future__ import annotations

import socket
from collections.abc import Iterable
from ipaddress import ip_address
from urllib.parse import urlsplit

from django.conf import settings
from django.urls import reverse

from chatwoot_api.bot_payloads import AgentBotRow
from chatwoot_api.models import ChatwootAccount


def own_address(account: ChatwootAccount, *, can_sign: bool = True) -> str:
    """Return where the account's agent bot is to post; with a token if it must be."""
    path = reverse("chatwoot-webhook-of-account", args=[account.key])
    address = f"{settings.PUBLIC_URL}{path}"
    if can_sign or not account.webhook_token:
        return address
    return f"{address}?token={account.webhook_token}"


def is_ours(url: str, *, account: ChatwootAccount | None) -> bool:
    """Tell whether the address is that of this bridge, and fit for the account.

    Without an account any account's address counts.
    """
    return _place(url) == _place(settings.PUBLIC_URL) and leads_here(
        url, account=account
    )


def leads_here(url: str, *, account: ChatwootAccount | None) -> bool:
    """Tell whether the path is one of ours, under whatever name of this server."""
    path = urlsplit(url).path.rstrip("/")
    shared = reverse("chatwoot-webhook")
    if path in (shared, reverse("chatwoot-webhook-short")):
        return True
    if account is None:
        return path.startswith(f"{shared}/")
    return path == reverse("chatwoot-webhook-of-account", args=[account.key])


def our_agent_bot(
    rows: Iterable[AgentBotRow], *, account: ChatwootAccount
) -> AgentBotRow | None:
    """Return the agent bot through which Chatwoot and the bridge talk.

    It is known by its token; one that was made anew, by its address.
    """
    candidates = [row for row in rows if not row.is_system]
    token = account.bot_token
    by_token = (row for row in candidates if token and row.access_token == token)
    by_address = (row for row in candidates if is_ours(row.outgoing_url, account=None))
    return next(by_token, None) or next(by_address, None)


def resolve(url: str) -> tuple[str, ...]:
    """Return the addresses behind a URL's name, () if nobody knows the name."""
    place = urlsplit(url)
    if not place.hostname:
        return ()
    try:
        found = socket.getaddrinfo(
            place.hostname, place.port or 443, type=socket.SOCK_STREAM
        )
    except (OSError, UnicodeError):
        return ()
    return tuple(dict.fromkeys(str(entry[4][0]) for entry in found))


def all_private(addresses: Iterable[str]) -> bool:
    """Tell whether none of the addresses is one of the public Internet."""
    return not any(ip_address(one.partition("%")[0]).is_global for one in addresses)


def _place(url: str) -> tuple[str, str, int | None]:
    parts = urlsplit(url)
    try:
        port = parts.port
    except ValueError:
        return parts.scheme, parts.netloc, None
    standard = {"http": 80, "https": 443}.get(parts.scheme)
    return parts.scheme, (parts.hostname or "").lower(), port or standard
