"""Makes an account's teams, labels and attributes what a file says; compares first."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from bridge_project.lib.errors import BridgeError, NotFound, UpstreamError
from bridge_project.lib.types import JsonObject, JsonValue
from chatwoot_api.client import ChatwootClient
from chatwoot_api.names import fold
from chatwoot_api.refusals import reason_given
from chatwoot_api.seed_files import Wanted, attribute_identity
from chatwoot_api.settings_payloads import MODELS

Verb = Literal["create", "update", "delete"]
DONE: dict[Verb, str] = {"create": "created", "update": "updated", "delete": "deleted"}


@dataclass(frozen=True, kw_only=True)
class Existing:
    """One thing as it is in Chatwoot."""

    number: int
    name: str
    identity: str
    fields: JsonObject


@dataclass(frozen=True, kw_only=True)
class Kind:
    """What is seeded: how Chatwoot lists it, and takes changes of it."""

    word: str
    words: str
    existing: Callable[[ChatwootClient], list[Existing]]
    create: Callable[[ChatwootClient, JsonObject], object]
    update: Callable[[ChatwootClient, int, JsonObject], object]
    delete: Callable[[ChatwootClient, int], object]


@dataclass(frozen=True, kw_only=True)
class Change:
    """One call that is to be made; `before` has the fields that it changes."""

    verb: Verb
    name: str
    number: int = 0
    fields: JsonObject
    before: JsonObject


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What has to be done; `left` are the names that only Chatwoot has, and keeps."""

    kind: Kind
    changes: tuple[Change, ...]
    unchanged: int
    left: tuple[str, ...]

    def count(self, verb: Verb) -> int:
        """Return how many changes of a kind there are."""
        return sum(change.verb == verb for change in self.changes)


@dataclass(frozen=True, kw_only=True)
class Applied:
    """What became of a change; `error` says why it failed."""

    change: Change
    error: str = ""


def compare(
    kind: Kind,
    wanted: Iterable[Wanted],
    *,
    existing: Iterable[Existing],
    prune: bool = False,
) -> Plan:
    """Return what is to be created, updated and, with `prune`, deleted."""
    rows = list(existing)
    changes: list[Change] = []
    named: set[int] = set()
    unchanged = 0
    for one in wanted:
        found = [row for row in rows if row.identity == one.identity]
        named.update(row.number for row in found)
        if not found:
            fields = {**one.defaults, **one.fields}
            changes.append(
                Change(verb="create", name=one.name, fields=fields, before={})
            )
            continue
        # Two names may fold to one; what is written just so is meant.
        written = one.name.casefold()
        row = next((x for x in found if x.name.casefold() == written), found[0])
        change = _update(one, row=row)
        unchanged += change is None
        changes.extend([] if change is None else [change])
    others = [row for row in rows if row.number not in named]
    if prune:
        changes += [
            Change(
                verb="delete", name=row.name, number=row.number, fields={}, before={}
            )
            for row in others
        ]
    left = () if prune else tuple(row.name for row in others)
    return Plan(kind=kind, changes=tuple(changes), unchanged=unchanged, left=left)


def plan(
    client: ChatwootClient, kind: Kind, wanted: Iterable[Wanted], *, prune: bool = False
) -> Plan:
    """Ask Chatwoot what there is, and compare. Raises BridgeError."""
    return compare(kind, wanted, existing=kind.existing(client), prune=prune)


def apply(plan: Plan, *, client: ChatwootClient) -> Iterator[Applied]:
    """Make the changes one by one; what fails does not keep back the others."""
    for change in plan.changes:
        try:
            _make(change, kind=plan.kind, client=client)
        except BridgeError as err:
            yield Applied(change=change, error=_sentence(err))
        else:
            yield Applied(change=change)


def lines(plan: Plan) -> Iterator[str]:
    """Say line by line how the account differs from the file."""
    marks: dict[Verb, str] = {"create": "+", "update": "~", "delete": "-"}
    for change in plan.changes:
        yield f"{marks[change.verb]} {plan.kind.word} “{change.name}”"
        for name, value in change.fields.items():
            if change.verb == "create":
                yield f"    {name}: {_shown(value)}"
            else:
                yield f"    {name}: {_difference(change.before[name], value)}"
    if plan.left:
        names = ", ".join(f"“{name}”" for name in plan.left)
        yield f"Not in the file, and left as they are: {names}."


def _update(one: Wanted, *, row: Existing) -> Change | None:
    """Compare what the file says; names are the identity, and Chatwoot folds them."""
    fields = {
        name: value
        for name, value in one.fields.items()
        if name in row.fields and not _is_same(row.fields[name], value, field=name)
    }
    if not fields:
        return None
    before = {name: row.fields[name] for name in fields}
    return Change(
        verb="update", name=row.name, number=row.number, fields=fields, before=before
    )


def _is_same(there: JsonValue, wanted: JsonValue, *, field: str) -> bool:
    if field == "color":
        return str(there).casefold() == str(wanted).casefold()
    return there == wanted


def _make(change: Change, *, kind: Kind, client: ChatwootClient) -> None:
    match change.verb:
        case "create":
            kind.create(client, change.fields)
        case "update":
            kind.update(client, change.number, change.fields)
        case "delete":
            try:
                kind.delete(client, change.number)
            except NotFound:
                return  # somebody else deleted it


def _sentence(err: BridgeError) -> str:
    reason = reason_given(err) if isinstance(err, UpstreamError) else ""
    return f"Chatwoot says: {reason}. [{err}]" if reason else str(err)


def _shown(value: JsonValue) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(str(item) for item in value) or "nothing"
    return f"“{value}”"


def _difference(before: JsonValue, after: JsonValue) -> str:
    if not isinstance(before, list) or not isinstance(after, list):
        return f"{_shown(before)} → {_shown(after)}"
    gone = [f"- {item}" for item in before if item not in after]
    new = [f"+ {item}" for item in after if item not in before]
    return ", ".join(new + gone) or "in another order"


def _teams(client: ChatwootClient) -> list[Existing]:
    return [
        Existing(
            number=row.id,
            name=row.name,
            identity=fold(row.name),
            fields={
                "description": row.description,
                "allow_auto_assign": row.allow_auto_assign,
            },
        )
        for row in client.teams()
    ]


def _labels(client: ChatwootClient) -> list[Existing]:
    return [
        Existing(
            number=row.id,
            name=row.title,
            identity=fold(row.title),
            fields={
                "description": row.description,
                "color": row.color,
                "show_on_sidebar": row.show_on_sidebar,
            },
        )
        for row in client.account_labels()
    ]


def _attributes(client: ChatwootClient) -> list[Existing]:
    """Leave out what belongs to companies, or to what a newer Chatwoot brought."""
    return [
        Existing(
            number=row.id,
            name=attribute_identity(model=row.model, key=row.key),
            identity=attribute_identity(model=row.model, key=row.key),
            fields={
                "attribute_display_name": row.display_name,
                "attribute_display_type": row.display_type,
                "attribute_description": row.description,
                "attribute_values": list(row.values),
                "regex_pattern": row.regex_pattern,
                "regex_cue": row.regex_cue,
            },
        )
        for row in client.attribute_definitions()
        if row.model in MODELS[:2]
    ]


TEAMS = Kind(
    word="team",
    words="teams",
    existing=_teams,
    create=ChatwootClient.create_team,
    update=ChatwootClient.update_team,
    delete=ChatwootClient.delete_team,
)
LABELS = Kind(
    word="label",
    words="labels",
    existing=_labels,
    create=ChatwootClient.create_label,
    update=ChatwootClient.update_label,
    delete=ChatwootClient.delete_label,
)
ATTRIBUTES = Kind(
    word="attribute",
    words="attributes",
    existing=_attributes,
    create=ChatwootClient.create_definition,
    update=ChatwootClient.update_definition,
    delete=ChatwootClient.delete_definition,
)
