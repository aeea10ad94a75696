"""Finds the inboxes that a file names; each Chatwoot has other numbers for them."""

from __future__ import annotations

from django.utils.translation import gettext

from bridge_project.lib.types import JsonValue
from chatwoot_api.models import ChatwootAccount, Inbox
from conversations.configuration.document import BadConfiguration, Item

MAX_NUMBER = 2**63 - 1


def wanted(
    item: Item, *, account: ChatwootAccount
) -> tuple[list[JsonValue], list[str]]:
    """Return a bot's inboxes as this bridge knows them, and sentences about them.

    Makes those that nobody knows yet: a bot that names no inbox takes all of them, so
    none is left out. Raises BadConfiguration.
    """
    given = item.values["inboxes"]
    if not isinstance(given, list):
        raise _wrong(item)
    notes: list[str] = []
    names: dict[int, str] = {}
    for entry in given:
        number, name = _read(entry, item=item)
        inbox = _find(account, number=number, name=name, notes=notes)
        names[inbox.chatwoot_inbox_id] = inbox.name
    return [{"id": key, "name": names[key]} for key in sorted(names)], notes


def rows(account: ChatwootAccount, entries: JsonValue) -> list[Inbox]:
    """Return the rows of what `wanted` returned."""
    listed = entries if isinstance(entries, list) else []
    numbers = [int(str(entry["id"])) for entry in listed if isinstance(entry, dict)]
    return list(account.inboxes.filter(chatwoot_inbox_id__in=numbers))


def _read(entry: JsonValue, *, item: Item) -> tuple[int, str]:
    number = entry.get("id") if isinstance(entry, dict) else None
    name = entry.get("name", "") if isinstance(entry, dict) else None
    if isinstance(number, bool) or not isinstance(number, int):
        raise _wrong(item)
    if not 0 < number <= MAX_NUMBER or not isinstance(name, str) or len(name) > 255:
        raise _wrong(item)
    return number, name


def _find(
    account: ChatwootAccount, *, number: int, name: str, notes: list[str]
) -> Inbox:
    """Find an inbox by number and name, else by name, else by number; or make it."""
    known = list(account.inboxes.order_by("chatwoot_inbox_id"))
    same = [inbox for inbox in known if inbox.chatwoot_inbox_id == number]
    if same and (same[0].name == name or not name):
        return same[0]
    namesakes = [inbox for inbox in known if name and inbox.name == name]
    if len(namesakes) == 1:
        text = gettext("The inbox “%(name)s” has the number %(other)d here.")
        notes.append(text % {"name": name, "other": namesakes[0].chatwoot_inbox_id})
        return namesakes[0]
    if same:
        text = gettext(
            "The inbox %(number)d is called “%(other)s” here, “%(name)s” in the file. "
            "Make sure that it is the right one."
        )
        notes.append(text % {"number": number, "name": name, "other": same[0].name})
        return same[0]
    text = gettext(
        "The inbox “%(name)s” with the number %(number)d is not known here yet. If it "
        "has another number in this Chatwoot, choose it on the bot's page."
    )
    notes.append(text % {"number": number, "name": name})
    return Inbox.objects.create(account=account, chatwoot_inbox_id=number, name=name)


def _wrong(item: Item) -> BadConfiguration:
    return BadConfiguration(
        f"Line {item.line}: “inboxes” of “{item.label}” must be a list of inboxes, "
        "each with its id, a number, and its name."
    )
