"""Writes the configuration into a file without secrets."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from decimal import Decimal
from urllib.parse import urlsplit, urlunsplit

from django.db.models import Model, Q

from bridge_project.lib.errors import ConfigurationError
from bridge_project.lib.types import JsonObject, JsonValue
from chatwoot_api.models import ChatwootAccount, Wish
from conversations.configuration import document
from conversations.configuration.values import NAMED, plain_number
from conversations.models import AlertChannel, Bot, OpenAIServer, Retention
from dify_api.models import DifyApp

Sections = dict[str, list[JsonObject]]


def export(*, account: ChatwootAccount | None = None) -> str:
    """Return the file's text: everything, or what one account needs.

    Alert channels belong to the bridge, so they are left out for one account. Raises
    ConfigurationError where two things have one name: the file could not tell them
    apart.
    """
    sections = snapshot(account=account)
    for section, entries in sections.items():
        names = Counter(
            tuple(str(entry[name]) for name in document.NAMED_BY[section])
            for entry in entries
        )
        twins = [" · ".join(name) for name, count in names.items() if count > 1]
        if twins:
            raise ConfigurationError(
                f"In “{section}” more than one is called “{twins[0]}”. Rename them, so "
                "that the file can tell them apart."
            )
    return document.write(sections)


def snapshot(*, account: ChatwootAccount | None = None) -> Sections:
    """Return each section's entries as they are now, in the order of their names."""
    bots = Bot.objects.select_related("account", *NAMED).prefetch_related("inboxes")
    accounts = ChatwootAccount.objects.all()
    retention = Retention.objects.select_related("account")
    wishes = Wish.objects.select_related("account")
    apps = DifyApp.objects.all()
    servers = OpenAIServer.objects.all()
    channels = AlertChannel.objects.all()
    if account is not None:
        bots = bots.filter(account=account)
        accounts = accounts.filter(pk=account.pk)
        retention = retention.filter(account=account)
        wishes = wishes.filter(account=account)
        own, for_notes = Q(bots__account=account), Q(command_bots__account=account)
        apps = apps.filter(own | for_notes).distinct()
        listens = Q(transcribing_bots__account=account)
        servers = servers.filter(own | listens).distinct()
        channels = channels.none()
    return {
        "accounts": _entries("accounts", accounts.order_by("key")),
        "retention": _entries("retention", retention.order_by("account__key")),
        "dify_apps": _entries("dify_apps", apps.order_by("name", "pk")),
        "openai_servers": _entries("openai_servers", servers.order_by("name")),
        "bots": _entries("bots", bots.order_by("account__key", "name", "pk")),
        "wishes": _entries(
            "wishes", wishes.order_by("account__key", "kind", "identity")
        ),
        "alert_channels": _entries("alert_channels", channels.order_by("name", "pk")),
    }


def entry_of(section: str, row: Model) -> JsonObject:
    """Return one row as it stands in the file."""
    return {name: _value(row, name) for name in document.SECTIONS[section]}


def _entries(section: str, rows: Iterable[Model]) -> list[JsonObject]:
    return [entry_of(section, row) for row in rows]


def _value(row: Model, name: str) -> JsonValue:
    if name == "inboxes" and isinstance(row, Bot):
        return _inboxes(row)
    value = getattr(row, name)
    if isinstance(value, ChatwootAccount):
        return value.key
    if isinstance(value, DifyApp | OpenAIServer):
        return value.name
    if isinstance(value, Decimal):
        return plain_number(value)
    if name.endswith("url"):
        return without_secrets(value)
    if isinstance(value, dict):
        # PostgreSQL keeps no order of its own.
        return {key: value[key] for key in sorted(value)}
    found: JsonValue = value
    return found


def _inboxes(bot: Bot) -> list[JsonValue]:
    inboxes = sorted(bot.inboxes.all(), key=lambda inbox: inbox.chatwoot_inbox_id)
    return [{"id": inbox.chatwoot_inbox_id, "name": inbox.name} for inbox in inboxes]


def without_secrets(url: str) -> str:
    """Return an address without user, password, query and fragment."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, host, parts.path, "", ""))
