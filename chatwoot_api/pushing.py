"""Makes one confirmed change in Chatwoot, if what it changes is still as it was."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum, auto

from django.utils.translation import gettext

from bridge_project.lib.errors import BridgeError
from bridge_project.lib.types import JsonObject
from chatwoot_api import seeding
from chatwoot_api.client import ChatwootClient
from chatwoot_api.seed_files import MEMBERS
from chatwoot_api.seeding import Change, Existing, Kind


class Result(StrEnum):
    """What became of a change."""

    DONE = auto()
    LEFT_OUT = auto()
    FAILED = auto()


@dataclass(frozen=True, kw_only=True)
class Pushed:
    """What became of a change, with a sentence."""

    result: Result
    text: str


def to_json(change: Change) -> JsonObject:
    """Return the change as JSON, to be made later by another process."""
    return asdict(change)


def from_json(data: JsonObject) -> Change:
    """Return the change that `to_json` was given."""
    return Change(**data)  # type: ignore[arg-type] # our own JSON


def push(change: Change, *, kind: Kind, client: ChatwootClient) -> Pushed:
    """Look, make the change, look again. Harmless to repeat.

    Chatwoot knows no condition, so somebody may still come in between: the moment
    between looking and changing is as short as it can be.
    """
    try:
        there = _find(change, kind=kind, client=client)
        reason = _why_not(change, there=there)
        if reason:
            return Pushed(result=Result.LEFT_OUT, text=reason)
        seeding.make(change, kind=kind, client=client)
        there = _find(change, kind=kind, client=client)
    except BridgeError as err:
        return Pushed(result=Result.FAILED, text=seeding.sentence(err))
    if not _is_made(change, there=there):
        return Pushed(result=Result.FAILED, text=_not_made(change, there=there))
    return Pushed(result=Result.DONE, text=_done(change))


def _find(change: Change, *, kind: Kind, client: ChatwootClient) -> Existing | None:
    """Return what the change is about as it is in Chatwoot now."""
    rows = kind.existing(client)
    if change.verb == "create":
        identity = kind.identity(change.name)
        found = next((row for row in rows if row.identity == identity), None)
    else:
        found = next((row for row in rows if row.number == change.number), None)
    asked = {*change.fields, *change.before}
    if found is not None and MEMBERS in asked:
        found = seeding.read_members(client, found)
    return found


def _why_not(change: Change, *, there: Existing | None) -> str:
    """Say why the change is left out, "" if it is to be made."""
    if change.verb == "delete" and there is None:
        return gettext("It is no longer in Chatwoot: nothing to delete.")
    if change.verb != "delete" and _is_made(change, there=there):
        return gettext("Chatwoot already has it so: nothing to do.")
    if change.verb == "create":
        if there is None:
            return ""
        return gettext(
            "Somebody has made it in Chatwoot meanwhile, but otherwise. Compare again."
        )
    if there is None:
        return gettext("It is no longer in Chatwoot. Compare again.")
    if there.name != change.name or not _has(change.before, there=there):
        return gettext("Somebody has changed it in Chatwoot meanwhile. Compare again.")
    return ""


def _is_made(change: Change, *, there: Existing | None) -> bool:
    if change.verb == "delete":
        return there is None
    return there is not None and _has(change.fields, there=there)


def _has(fields: JsonObject, *, there: Existing) -> bool:
    """Tell whether these values are there; names and keys are how it was found."""
    return all(
        seeding.is_same(there.fields[name], value, field=name)
        for name, value in fields.items()
        if name in there.fields
    )


def _done(change: Change) -> str:
    match change.verb:
        case "create":
            return gettext("Made in Chatwoot, and read back.")
        case "update":
            return gettext("Changed in Chatwoot, and read back.")
        case "delete":
            return gettext("Deleted in Chatwoot, and looked for: it is gone.")


def _not_made(change: Change, *, there: Existing | None) -> str:
    if there is None or change.verb == "delete":
        return gettext(
            "Chatwoot said that it did this, but does not show it so. Look at it in "
            "Chatwoot, and compare again."
        )
    fields = [
        name
        for name, value in change.fields.items()
        if name in there.fields
        and not seeding.is_same(there.fields[name], value, field=name)
    ]
    text = gettext(
        "Chatwoot took the change, but shows something else afterwards in: %(fields)s. "
        "It may not allow that value. Look at it in Chatwoot, and compare again."
    )
    return text % {"fields": ", ".join(fields)}
