"""Makes an account's teams, labels and attributes what a file says; compares first."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from bridge_project.lib.errors import BridgeError, NotFound, UpstreamError
from bridge_project.lib.types import JsonObject, JsonValue
from chatwoot_api import team_members
from chatwoot_api.client import ChatwootClient
from chatwoot_api.models import AttributeDefinition, Label, Team
from chatwoot_api.names import fold
from chatwoot_api.refusals import reason_given
from chatwoot_api.seed_files import MEMBERS, Wanted, attribute_identity
from chatwoot_api.settings_payloads import MODELS, DefinitionRow, LabelRow, TeamRow

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
    # What a name is found by.
    identity: Callable[[str], str]
    existing: Callable[[ChatwootClient], list[Existing]]
    create: Callable[[ChatwootClient, JsonObject], object]
    update: Callable[[ChatwootClient, int, JsonObject], object]
    delete: Callable[[ChatwootClient, int], object]


@dataclass(frozen=True, kw_only=True)
class Change:
    """What is to be made so; `before` has the fields that change, or are deleted."""

    verb: Verb
    name: str
    number: int = 0
    fields: JsonObject
    before: JsonObject


@dataclass(frozen=True, kw_only=True)
class Pair:
    """What is wanted beside what there is; one of both may be missing."""

    wanted: Wanted | None
    there: Existing | None


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What has to be done; `left` are the names that only Chatwoot has, and keeps.

    `notes` are sentences about what is wanted, but cannot be done.
    """

    kind: Kind
    changes: tuple[Change, ...]
    unchanged: int
    left: tuple[str, ...]
    notes: tuple[str, ...] = ()

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
    changes: list[Change] = []
    left: list[str] = []
    unchanged = 0
    for pair in pairs(wanted, existing=existing):
        if pair.wanted is None and not prune:
            left.append(pair.there.name if pair.there else "")
            continue
        change = change_of(pair)
        unchanged += change is None
        changes.extend([] if change is None else [change])
    return Plan(
        kind=kind, changes=tuple(changes), unchanged=unchanged, left=tuple(left)
    )


def pairs(wanted: Iterable[Wanted], *, existing: Iterable[Existing]) -> list[Pair]:
    """Put side by side what belongs together; what only Chatwoot has comes last."""
    found: dict[str, list[Existing]] = {}
    for row in existing:
        found.setdefault(row.identity, []).append(row)
    both: list[Pair] = []
    for one in wanted:
        rows = found.pop(one.identity, [])
        # Two names may fold to one; what is written just so is meant.
        written = one.name.casefold()
        exact = (row for row in rows if row.name.casefold() == written)
        both.append(
            Pair(wanted=one, there=next(exact, rows[0]) if rows else None),
        )
    others = (row for rows in found.values() for row in rows)
    return both + [Pair(wanted=None, there=row) for row in others]


def change_of(pair: Pair) -> Change | None:
    """Return what makes Chatwoot have what is wanted; None if it has.

    What nobody wants is deleted: leave such pairs out to keep it.
    """
    one, row = pair.wanted, pair.there
    if one is not None and row is not None:
        return _update(one, row=row)
    if one is not None:
        fields = {**one.defaults, **one.fields}
        return Change(verb="create", name=one.name, fields=fields, before={})
    if row is not None:
        return Change(
            verb="delete",
            name=row.name,
            number=row.number,
            fields={},
            before=dict(row.fields),
        )
    return None


def plan(
    client: ChatwootClient, kind: Kind, wanted: Iterable[Wanted], *, prune: bool = False
) -> Plan:
    """Ask Chatwoot what there is, and compare. Raises BridgeError."""
    ones = list(wanted)
    rows = kind.existing(client)
    notes: list[str] = []
    with_members = {one.identity for one in ones if MEMBERS in one.fields}
    if with_members:
        agents = client.agents()
        ones, notes = team_members.only_known(ones, agents=agents)
        rows = [
            read_members(client, row) if row.identity in with_members else row
            for row in rows
        ]
    found = compare(kind, ones, existing=rows, prune=prune)
    return replace(found, notes=tuple(notes))


def read_members(client: ChatwootClient, row: Existing) -> Existing:
    """Return a team along with who is in it."""
    mails = team_members.mails_of(client.team_members(row.number))
    return replace(row, fields={**row.fields, MEMBERS: mails})


def apply(plan: Plan, *, client: ChatwootClient) -> Iterator[Applied]:
    """Make the changes one by one; what fails does not keep back the others."""
    for change in plan.changes:
        try:
            make(change, kind=plan.kind, client=client)
        except BridgeError as err:
            yield Applied(change=change, error=sentence(err))
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
    yield from plan.notes
    if plan.left:
        names = ", ".join(f"“{name}”" for name in plan.left)
        yield f"Not in the file, and left as they are: {names}."


def _update(one: Wanted, *, row: Existing) -> Change | None:
    """Compare what the file says; names are the identity, and Chatwoot folds them."""
    fields = {
        name: value
        for name, value in one.fields.items()
        if name in row.fields and not is_same(row.fields[name], value, field=name)
    }
    if not fields:
        return None
    before = {name: row.fields[name] for name in fields}
    return Change(
        verb="update", name=row.name, number=row.number, fields=fields, before=before
    )


def is_same(there: JsonValue, wanted: JsonValue, *, field: str) -> bool:
    """Tell whether two values of a field mean the same to Chatwoot."""
    if field == "color":
        return str(there).casefold() == str(wanted).casefold()
    if field == MEMBERS and isinstance(there, list) and isinstance(wanted, list):
        return set(map(str, there)) == set(map(str, wanted))
    return there == wanted


def make(change: Change, *, kind: Kind, client: ChatwootClient) -> None:
    """Have Chatwoot make one change. Raises BridgeError."""
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


def sentence(err: BridgeError) -> str:
    """Say why a change failed, first in Chatwoot's own words."""
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


def existing_team(row: TeamRow | Team, *, number: int) -> Existing:
    """Return a team as Chatwoot or its mirror has it."""
    return Existing(
        number=number,
        name=row.name,
        identity=fold(row.name),
        fields={
            "description": row.description,
            "allow_auto_assign": row.allow_auto_assign,
        },
    )


def existing_label(row: LabelRow | Label, *, number: int) -> Existing:
    """Return a label as Chatwoot or its mirror has it."""
    return Existing(
        number=number,
        name=row.title,
        identity=fold(row.title),
        fields={
            "description": row.description,
            "color": row.color,
            "show_on_sidebar": row.show_on_sidebar,
        },
    )


def existing_attribute(
    row: DefinitionRow | AttributeDefinition, *, number: int
) -> Existing | None:
    """Return an attribute as Chatwoot or its mirror has it.

    None for what belongs to companies, or to what a newer Chatwoot brought.
    """
    if row.model not in MODELS[:2]:
        return None
    identity = attribute_identity(model=row.model, key=row.key)
    return Existing(
        number=number,
        name=identity,
        identity=identity,
        fields={
            "attribute_display_name": row.display_name,
            "attribute_display_type": row.display_type,
            "attribute_description": row.description,
            "attribute_values": list(row.values),
            "regex_pattern": row.regex_pattern,
            "regex_cue": row.regex_cue,
        },
    )


def _teams(client: ChatwootClient) -> list[Existing]:
    return [existing_team(row, number=row.id) for row in client.teams()]


def _labels(client: ChatwootClient) -> list[Existing]:
    return [existing_label(row, number=row.id) for row in client.account_labels()]


def _attributes(client: ChatwootClient) -> list[Existing]:
    rows = client.attribute_definitions()
    found = (existing_attribute(row, number=row.id) for row in rows)
    return [row for row in found if row is not None]


def _create_team(client: ChatwootClient, fields: JsonObject) -> object:
    own, mails = _without_members(fields)
    made = client.create_team(own)
    if mails:
        try:
            team_members.write(client, made.id, mails=mails)
        except BridgeError as err:
            raise BridgeError(
                "The team was made, but its members could not be set; compare again "
                f"to set them. {sentence(err)}"
            ) from err
    return made


def _update_team(client: ChatwootClient, number: int, fields: JsonObject) -> object:
    own, mails = _without_members(fields)
    made = client.update_team(number, own) if own else None
    if mails is not None:
        team_members.write(client, number, mails=mails)
    return made


def _without_members(fields: JsonObject) -> tuple[JsonObject, list[str] | None]:
    """Part Chatwoot's fields of a team from its members; None: leave them alone."""
    own = {name: value for name, value in fields.items() if name != MEMBERS}
    mails = fields.get(MEMBERS)
    return own, [str(mail) for mail in mails] if isinstance(mails, list) else None


TEAMS = Kind(
    word="team",
    words="teams",
    identity=fold,
    existing=_teams,
    create=_create_team,
    update=_update_team,
    delete=ChatwootClient.delete_team,
)
LABELS = Kind(
    word="label",
    words="labels",
    identity=fold,
    existing=_labels,
    create=ChatwootClient.create_label,
    update=ChatwootClient.update_label,
    delete=ChatwootClient.delete_label,
)
ATTRIBUTES = Kind(
    word="attribute",
    words="attributes",
    identity=str,
    existing=_attributes,
    create=ChatwootClient.create_definition,
    update=ChatwootClient.update_definition,
    delete=ChatwootClient.delete_definition,
)
# By the word of the kind, which is also `Wish.kind`.
KINDS: Mapping[str, Kind] = {kind.word: kind for kind in (TEAMS, LABELS, ATTRIBUTES)}
