"""Give a conversation to a team or to an agent, or take it from them.

Chatwoot unassigns when it does not know the number it is given, so only numbers of the
mirrors are sent, and what it answers is looked at: the mirrors may be an hour old.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

from django.utils import timezone

from bridge_project.lib.errors import BridgeError
from bridge_project.lib.types import JsonObject, JsonValue
from chatwoot_api import names, sync
from chatwoot_api.models import Agent, Team
from conversations.actions import mirrors
from conversations.actions.noting import Marks, noted
from conversations.actions.outcome import NotDone, Outcome, listed, not_set
from conversations.actions.retrying import repeating
from conversations.actions.state import State
from conversations.actions.target import Target
from conversations.actions.words import means_clear
from dify_api.arguments import as_text

logger = logging.getLogger(__name__)

Field = Literal["team", "assignee"]
# What is noted in place of an agent's number; Chatwoot counts from 1.
NOBODY = 0


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
        # A team may bring an agent along, or take one off: that may be anybody.
        marks: Marks = {"assignee": True if is_team else plan.number or NOBODY}
        given = noted(lambda: _assign(plan, target=target), target=target, marks=marks)
        if plan.number is not None and given != plan.number:
            target.withdraw_by_flow(**marks)
            raise _taken_off(plan, state=state, target=target)
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


def _assign(plan: Assignment, *, target: Target) -> int | None:
    if plan.field == "team":
        return target.client.assign_team(target.number, team_id=plan.number)
    return target.client.assign_agent(target.number, agent_id=plan.number)


def _taken_off(plan: Assignment, *, state: State, target: Target) -> NotDone:
    """Put back what Chatwoot took off for a number that it no longer has.

    The mirrors are read anew, so that the name is not sent a second time.
    """
    is_team = plan.field == "team"
    kind = "team" if is_team else "agent"
    had = state.team_id if is_team else state.assignee_id
    was = (state.team_name if is_team else state.assignee_name) or f"#{had}"
    if had is None or had == plan.number:
        outcome = f"The conversation has no {kind} now."
    elif _is_put_back(plan.field, state=state, target=target):
        outcome = f"The conversation stays with {was}."
    else:
        outcome = f"The conversation lost {was} and could not be given back to them."
    try:
        sync.pull(target.account, now=timezone.now())
    except BridgeError as err:
        logger.warning("Chatwoot's lists could not be read anew: %s", err)
    possible = mirrors.spelled(_known(plan, target=target))
    choice = f" Possible: {listed(possible)}." if possible else ""
    return NotDone(
        f"Chatwoot no longer has the {kind} “{plan.name}” (#{plan.number}). "
        f"{outcome}{choice}",
        code=f"unknown_{kind}",
        possible=possible,
    )


def _known(plan: Assignment, *, target: Target) -> list[str]:
    """Return who else there is; the mirrors may still have the one that is not."""
    if plan.field == "team":
        teams = Team.objects.filter(account=target.account)
        return [row.name for row in teams if row.chatwoot_team_id != plan.number]
    agents = Agent.objects.filter(account=target.account)
    return [str(row) for row in agents if row.chatwoot_agent_id != plan.number]


def _is_put_back(field: Field, *, state: State, target: Target) -> bool:
    """Give the conversation back to who had it; tells whether that worked."""
    try:
        if field == "team":
            team_id = state.team_id
            given = repeating(
                lambda: target.client.assign_team(target.number, team_id=team_id),
                target=target,
            )
            if given == team_id and state.is_fresh:
                # A team takes off who is not in it, and may bring somebody along.
                _put_assignee_back(state, target=target)
            return given == team_id
        return _put_assignee_back(state, target=target)
    except BridgeError as err:
        logger.warning("%s of #%s is lost: %s", field, target.number, err)
        return False


def _put_assignee_back(state: State, *, target: Target) -> bool:
    if state.assignee_kind not in ("", "user", "agent_bot"):
        return False  # no call of Chatwoot's assigns another kind
    given = repeating(
        lambda: target.client.assign_agent(
            target.number,
            agent_id=state.assignee_id,
            is_bot=state.assignee_kind == "agent_bot",
        ),
        target=target,
    )
    return given == state.assignee_id
