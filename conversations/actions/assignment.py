"""Give a conversation to a team or to an agent, or take it from them.

Chatwoot unassigns when it does not know the number it is given, so only numbers of the
mirrors are sent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

from bridge_project.lib.types import JsonObject, JsonValue
from chatwoot_api import names
from chatwoot_api.models import Agent, Team
from conversations.actions import mirrors
from conversations.actions.outcome import NotDone, Outcome, listed, not_set
from conversations.actions.retrying import repeating
from conversations.actions.state import State
from conversations.actions.target import Target
from conversations.actions.words import means_clear
from dify_api.arguments import as_text

Field = Literal["team", "assignee"]


@dataclass(frozen=True, kw_only=True)
class Assignment:
    """Who is to have the conversation; no number is nobody."""

    field: Field
    number: int | None
    name: str = ""


def plan_team(value: JsonValue, *, target: Target) -> Assignment | Outcome:
    """Return the team that is wanted."""
    return _plan(
        "team",
        value,
        target=target,
        find=lambda wanted: _team(wanted, target=target),
        known=lambda: Team.objects.filter(account=target.account).values_list(
            "name", flat=True
        ),
    )


def plan_agent(value: JsonValue, *, target: Target) -> Assignment | Outcome:
    """Return the agent that is wanted: by number, name, shown name or e-mail."""
    return _plan(
        "assignee",
        value,
        target=target,
        find=lambda wanted: _agent(wanted, target=target),
        known=lambda: map(str, Agent.objects.filter(account=target.account)),
    )


def _plan(
    field: Field,
    value: JsonValue,
    *,
    target: Target,
    find: Callable[[str], Assignment | None],
    known: Callable[[], Iterable[str]],
) -> Assignment | Outcome:
    wanted = as_text(value)
    if wanted is None:
        return not_set(field)
    if means_clear(wanted):
        return Assignment(field=field, number=None)
    try:
        found = mirrors.found(lambda: find(wanted), target=target)
    except names.Ambiguous as err:
        raise NotDone(
            f"“{wanted[:80]}” may mean any of {listed(err.names)}. Name one of them "
            "exactly, or send its number.",
            code="ambiguous_name",
            possible=err.names,
        ) from err
    if found is None:
        raise _unknown(field, wanted, possible=mirrors.spelled(known()))
    return found


def _unknown(field: Field, wanted: str, *, possible: list[str]) -> NotDone:
    kind = "team" if field == "team" else "agent"
    choice = f"Possible: {listed(possible)}." if possible else "Chatwoot has none."
    return NotDone(
        f"There is no {kind} “{wanted[:80]}”. {choice}",
        code=f"unknown_{kind}",
        possible=possible,
    )


def _team(wanted: str, *, target: Target) -> Assignment | None:
    row = names.pick(Team.objects.filter(account=target.account), wanted)
    if row is None:
        return None
    return Assignment(field="team", number=row.chatwoot_team_id, name=row.name)


def _agent(wanted: str, *, target: Target) -> Assignment | None:
    row = names.pick(Agent.objects.filter(account=target.account), wanted)
    if row is None:
        return None
    return Assignment(field="assignee", number=row.chatwoot_agent_id, name=str(row))


def carry_out(
    plan: Assignment, *, state: State, target: Target, team_changed: bool = False
) -> Outcome:
    """Assign in Chatwoot, unless it is so already.

    Of the assignee that is only known while the team stays: Chatwoot takes off who is
    not in a new team.
    """
    is_team = plan.field == "team"
    now = state.team_id if is_team else state.assignee_id
    is_same_kind = is_team or state.assignee_kind in ("", "user")
    unchanged = (
        state.is_fresh and now == plan.number and is_same_kind and not team_changed
    )
    if not unchanged:
        # A team may bring an agent along, or take one off.
        target.note_by_flow(assignee=True)
        repeating(lambda: _assign(plan, target=target), target=target)
    name = "team_id" if is_team else "assignee_id"
    extra: JsonObject = {name: plan.number}
    before = state.team_name if is_team else state.assignee_name
    return Outcome(
        field=plan.field,
        result="unchanged" if unchanged else "applied",
        before=before or None,
        after=plan.name or None,
        extra=extra,
    )


def _assign(plan: Assignment, *, target: Target) -> None:
    if plan.field == "team":
        target.client.assign_team(target.number, team_id=plan.number)
    else:
        target.client.assign_agent(target.number, agent_id=plan.number)
