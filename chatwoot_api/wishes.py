"""What teams, labels and attributes shall be: kept here, compared with the mirrors."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass

from django.db import models, transaction
from django.utils.translation import gettext_lazy as _

from bridge_project.lib.types import JsonObject, JsonValue
from chatwoot_api import seed_files, seeding, team_members
from chatwoot_api.client import ChatwootClient
from chatwoot_api.models import (
    Agent,
    AttributeDefinition,
    ChatwootAccount,
    Label,
    Team,
    Wish,
)
from chatwoot_api.seed_files import MEMBERS, Wanted
from chatwoot_api.seeding import Existing, Pair
from chatwoot_api.settings_payloads import DISPLAY_TYPES

# Chatwoot's fields of a kind and `members`, made into what is wanted.
WANTED: Mapping[str, Callable[[JsonObject], Wanted]] = {
    Wish.Kind.TEAM: seed_files.team,
    Wish.Kind.LABEL: seed_files.label,
    Wish.Kind.ATTRIBUTE: seed_files.attribute,
}


class State(models.TextChoices):
    """How what is wanted and what there is stand to each other."""

    IN_SYNC = "in_sync", _("in sync")
    DIFFERS = "differs", _("differs")
    MISSING_THERE = "missing_there", _("missing there")
    UNKNOWN_HERE = "unknown_here", _("unknown here")


@dataclass(frozen=True, kw_only=True)
class Difference:
    """A field that Chatwoot has otherwise."""

    field: str
    there: JsonValue
    wanted: JsonValue


@dataclass(frozen=True, kw_only=True)
class Row:
    """One team, label or attribute, as it is there and as it is wanted."""

    kind: str
    name: str
    identity: str
    state: State
    wish: Wish | None
    there: Existing | None
    differences: tuple[Difference, ...] = ()
    # Wanted members that are no agents of the account.
    strangers: tuple[str, ...] = ()


def wanted_of(wish: Wish) -> Wanted:
    """Return the wish as a file would say it."""
    fields = dict(wish.fields)
    if wish.members is not None:
        fields[MEMBERS] = list(wish.members)
    return WANTED[wish.kind](fields)


def compare(account: ChatwootAccount, kind: str) -> list[Row]:
    """Put what is wanted beside the mirror, by name; asks nobody.

    The mirror is as old as `account.mirrored_at`.
    """
    wishes = {
        wish.identity: wish
        for wish in Wish.objects.filter(account=account, kind=kind).order_by("name")
    }
    mails = _mails(account) if kind == Wish.Kind.TEAM else frozenset()
    found = seeding.pairs(
        map(wanted_of, wishes.values()), existing=mirrored(account, kind)
    )
    rows = []
    for pair in found:
        if pair.wanted is not None:
            wish = wishes[pair.wanted.identity]
            rows.append(_row(wish, pair.wanted, there=pair.there, mails=mails))
        elif pair.there is not None:
            rows.append(_unknown(kind, pair.there))
    return sorted(rows, key=lambda row: row.name.casefold())


def plan(
    client: ChatwootClient, account: ChatwootAccount, kind: str, *, prune: bool = False
) -> seeding.Plan:
    """Compare what is wanted with Chatwoot itself. Raises BridgeError."""
    wishes = Wish.objects.filter(account=account, kind=kind).order_by("name")
    return seeding.plan(
        client, seeding.KINDS[kind], map(wanted_of, wishes), prune=prune
    )


def mirrored(account: ChatwootAccount, kind: str) -> list[Existing]:
    """Return what the mirror says there is, with members as far as they were read."""
    if kind == Wish.Kind.TEAM:
        return _mirrored_teams(account)
    if kind == Wish.Kind.LABEL:
        labels = Label.objects.filter(account=account).order_by("pk")
        return [
            seeding.existing_label(row, number=row.chatwoot_label_id) for row in labels
        ]
    definitions = AttributeDefinition.objects.filter(account=account).order_by("pk")
    found = (
        seeding.existing_attribute(row, number=row.chatwoot_definition_id)
        for row in definitions
    )
    return [row for row in found if row is not None]


def want(
    account: ChatwootAccount, kind: str, wanted: Wanted, *, by: str, keep: bool = False
) -> Wish:
    """Store what is wanted; with `keep`, what it does not say stays as it was."""
    fields = dict(wanted.fields)
    members = fields.pop(MEMBERS, None)
    with transaction.atomic():
        rows = Wish.objects.select_for_update().filter(account=account, kind=kind)
        former = rows.filter(identity=wanted.identity).first()
        if keep and former is not None:
            fields = {**former.fields, **fields}
            members = former.members if members is None else members
        wish, _made = Wish.objects.update_or_create(
            account=account,
            kind=kind,
            identity=wanted.identity,
            defaults={
                "name": wanted.name,
                "fields": fields,
                "members": members,
                "changed_by": by[:150],
            },
        )
    return wish


def adopt(
    account: ChatwootAccount,
    kind: str,
    *,
    by: str,
    identities: Collection[str] | None = None,
) -> int:
    """Want what Chatwoot has, for these; without a choice, for all that is unknown.

    What was wanted otherwise is overwritten. Returns how many there were.
    """
    count = 0
    for row in compare(account, kind):
        chosen = (
            row.state == State.UNKNOWN_HERE
            if identities is None
            else row.identity in identities
        )
        if chosen and row.there is not None:
            want(account, kind, WANTED[kind](_fields(kind, row.there)), by=by)
            count += 1
    return count


def _fields(kind: str, there: Existing) -> JsonObject:
    """Return what Chatwoot has, as the fields of something wanted."""
    if kind == Wish.Kind.TEAM:
        return {"name": there.name, **there.fields}
    if kind == Wish.Kind.LABEL:
        return {"title": there.name, **there.fields}
    key, _space, model = there.identity.rpartition(" ")
    fields = dict(there.fields)
    # A newer Chatwoot may have types that no file can name; only lists have values.
    if fields["attribute_display_type"] not in DISPLAY_TYPES:
        del fields["attribute_display_type"]
    if fields.get("attribute_display_type") != "list":
        del fields["attribute_values"]
    return {
        "attribute_key": key,
        "attribute_model": f"{model.strip('()')}_attribute",
        **fields,
    }


def _unknown(kind: str, there: Existing) -> Row:
    return Row(
        kind=kind,
        name=there.name,
        identity=there.identity,
        state=State.UNKNOWN_HERE,
        wish=None,
        there=there,
    )


def _row(
    wish: Wish, one: Wanted, *, there: Existing | None, mails: frozenset[str]
) -> Row:
    strangers = team_members.unknown(one, mails=mails)
    known = team_members.without(one, mails=strangers) if strangers else one
    change = seeding.change_of(Pair(wanted=known, there=there))
    if there is None:
        state = State.MISSING_THERE
    else:
        state = State.IN_SYNC if change is None else State.DIFFERS
    differences = (
        _differences(change) if there is not None and change is not None else ()
    )
    return Row(
        kind=wish.kind,
        name=one.name,
        identity=one.identity,
        state=state,
        wish=wish,
        there=there,
        differences=differences,
        strangers=tuple(strangers),
    )


def _differences(change: seeding.Change) -> tuple[Difference, ...]:
    return tuple(
        Difference(field=name, there=change.before[name], wanted=value)
        for name, value in change.fields.items()
    )


def _mirrored_teams(account: ChatwootAccount) -> list[Existing]:
    agents = {row.chatwoot_agent_id: row for row in _agents(account)}
    found = []
    for row in Team.objects.filter(account=account).order_by("pk"):
        there = seeding.existing_team(row, number=row.chatwoot_team_id)
        inside = row.member_ids
        # Somebody who came after the agents were read has no address yet.
        if inside is not None and set(inside) <= agents.keys():
            there.fields[MEMBERS] = team_members.mails_of(
                agents[number] for number in inside
            )
        found.append(there)
    return found


def _mails(account: ChatwootAccount) -> frozenset[str]:
    return frozenset(map(team_members.mail_of, _agents(account)))


def _agents(account: ChatwootAccount) -> Iterable[Agent]:
    return Agent.objects.filter(account=account)
