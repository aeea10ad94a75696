"""Change several things of a conversation at once, each for itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from time import monotonic
from typing import TypeVar

from django.utils import timezone

from bridge_project.lib.errors import BridgeError
from bridge_project.lib.types import JsonValue
from conversations.actions import (
    assignment,
    attributes,
    labels,
    messages,
    priority,
    status,
)
from conversations.actions import state as states
from conversations.actions.assignment import Assignment
from conversations.actions.attributes import AttributePlan, Model
from conversations.actions.failures import outcome_of
from conversations.actions.labels import LabelPlan
from conversations.actions.lock import Busy, alone
from conversations.actions.outcome import Outcome, not_set
from conversations.actions.state import State
from conversations.actions.status import StatusPlan
from conversations.actions.target import Target
from dify_api.arguments import is_not_set

# In the order in which they are done: the status comes last, since the bot may not
# speak, and humans come, once it is open.
FIELDS = (
    "contact_attributes",
    "contact_attributes_remove",
    "custom_attributes",
    "custom_attributes_remove",
    "labels_set",
    "labels_add",
    "labels_remove",
    "priority",
    "team",
    "assignee",
    "note",
    "status",
)

# Meanwhile a human may have set another status; the other fields took that long.
OLD_AFTER_S = 2.0

T = TypeVar("T")


@dataclass(kw_only=True)
class _Plans:
    """What is left to do once everything is understood."""

    attributes: dict[Model, list[AttributePlan]] = field(
        default_factory=lambda: {Model.CONTACT: [], Model.CONVERSATION: []}
    )
    labels: LabelPlan = field(default_factory=LabelPlan)
    priority: str | None = None
    team: Assignment | None = None
    assignee: Assignment | None = None
    note: JsonValue = None
    status: StatusPlan | None = None

    @property
    def merges(self) -> bool:
        """Tell whether somebody else's change could get lost."""
        return bool(self.merging())

    def merging(self) -> list[str]:
        """Return the fields that Chatwoot only replaces as a whole."""
        plans = self.attributes[Model.CONVERSATION]
        return [*(plan.field for plan in plans), *self.labels.wanted]

    def left(self) -> list[str]:
        """Return the fields that are still to be done, in their order."""
        plans = [*self.attributes[Model.CONTACT], *self.attributes[Model.CONVERSATION]]
        names = {plan.field for plan in plans} | set(self.labels.wanted)
        single = {
            "priority": self.priority,
            "team": self.team,
            "assignee": self.assignee,
            "note": self.note,
            "status": self.status,
        }
        names |= {name for name, plan in single.items() if plan is not None}
        return [name for name in FIELDS if name in names]


class _Change:
    """One call of `change`."""

    def __init__(self, target: Target, wanted: Mapping[str, JsonValue]) -> None:
        self.target = target
        self.wanted = wanted
        self.plans = _Plans()
        self.outcomes: dict[str, Outcome] = {}

    def settle(self, outcomes: Iterable[Outcome]) -> None:
        for outcome in outcomes:
            self.outcomes[outcome.field] = outcome

    def refuse(self, err: Exception, *, field: str) -> Outcome:
        return outcome_of(err, field=field, target=self.target)

    # --- Understanding, before anything is changed ---------------------------------

    def understand(self) -> None:
        """Read all arguments; what is not set or wrong is settled here."""
        plans, target = self.plans, self.target
        for model in attributes.SET:
            self._understand_attributes(model)
        plans.labels, settled = labels.plan(
            self.wanted, target=target, refuse=self.refuse
        )
        self.settle(settled)
        plans.priority = self._planned("priority", priority.plan)
        plans.team = self._planned(
            "team", lambda value: assignment.plan_team(value, target=target)
        )
        plans.assignee = self._planned(
            "assignee", lambda value: assignment.plan_agent(value, target=target)
        )
        if "note" in self.wanted:
            if is_not_set(self.wanted["note"]):
                self.settle([not_set("note")])
            else:
                plans.note = self.wanted["note"]
        self._understand_status()

    def _understand_attributes(self, model: Model) -> None:
        target = self.target
        made = (
            self._planned(
                attributes.SET[model],
                lambda value: attributes.plan_values(value, model=model, target=target),
            ),
            self._planned(
                attributes.REMOVE[model],
                lambda value: attributes.plan_removal(
                    value, model=model, target=target
                ),
            ),
        )
        self.plans.attributes[model] += [plan for plan in made if plan is not None]

    def _planned(self, name: str, plan: Callable[[JsonValue], T | Outcome]) -> T | None:
        if name not in self.wanted:
            return None
        try:
            made = plan(self.wanted[name])
        except Exception as err:
            made = self.refuse(err, field=name)
        if isinstance(made, Outcome):
            self.outcomes[name] = made
            return None
        return made

    def _understand_status(self) -> None:
        try:
            made = status.plan(self.wanted, now=timezone.now())
        except Exception as err:
            made = self.refuse(err, field=status.FIELD)
        if isinstance(made, Outcome):
            self.settle([made])
        else:
            self.plans.status = made

    # --- Doing it -------------------------------------------------------------------

    def do(self) -> None:
        """Carry out what was understood, field by field."""
        try:
            state = self._read_and_merge()
        except Exception as err:
            # It could not be begun at all: the conversation is gone or not readable.
            self._settle_left(err, names=self.plans.left())
            return
        self._set(state)

    def _read_and_merge(self) -> State:
        """Read the conversation once, and merge while nobody else does."""
        if self.plans.merges:
            try:
                with alone(self.target) as target:
                    state = states.read(target)
                    self._merge_at_contact(state, target=target)
                    self._merge_here(state, target=target)
                    return state
            except Busy as err:
                # The rest needs no lock; above all the handover must not wait.
                self._settle_left(err, names=self.plans.merging())
        state = states.read(self.target)
        self._merge_at_contact(state, target=self.target)
        return state

    def _settle_left(self, err: Exception, *, names: Iterable[str]) -> None:
        left = [name for name in names if name not in self.outcomes]
        self.settle(self.refuse(err, field=name) for name in left)

    def _merge_at_contact(self, state: State, *, target: Target) -> None:
        plans = self.plans.attributes[Model.CONTACT]
        if plans:
            self._done(
                [plan.field for plan in plans],
                lambda: attributes.carry_out_at_contact(
                    plans, state=state, target=target
                ),
            )

    def _merge_here(self, state: State, *, target: Target) -> None:
        plans, wanted = self.plans.attributes[Model.CONVERSATION], self.plans.labels
        if plans:
            self._done(
                [plan.field for plan in plans],
                lambda: attributes.carry_out_here(plans, state=state, target=target),
            )
        if wanted.wanted:
            self._done(
                wanted.wanted,
                lambda: labels.carry_out(wanted, state=state, target=target),
            )

    def _set(self, state: State) -> None:
        plans, target = self.plans, self.target
        if (wanted := plans.priority) is not None:
            self._one(
                "priority",
                lambda: priority.carry_out(wanted, state=state, target=target),
            )
        if (team := plans.team) is not None:
            self._one(
                "team", lambda: assignment.carry_out(team, state=state, target=target)
            )
        if (agent := plans.assignee) is not None:
            team_outcome = self.outcomes.get("team")
            changed = team_outcome is not None and team_outcome.result in (
                "applied",
                "failed",
            )
            self._one(
                "assignee",
                lambda: assignment.carry_out(
                    agent, state=state, target=target, team_changed=changed
                ),
            )
        if plans.note is not None:
            self._one("note", lambda: messages.write_note(plans.note, target=target))
        if (to_be := plans.status) is not None:
            latest = self._latest(state)
            self._one(
                "status", lambda: status.carry_out(to_be, state=latest, target=target)
            )

    def _latest(self, state: State) -> State:
        """Return the state, read again if what was done since took its time."""
        if monotonic() - state.read_at <= OLD_AFTER_S:
            return state
        try:
            return states.read(self.target)
        except BridgeError:
            # Not to be relied on any more; setting the status shows what is wrong.
            return replace(state, source="mirror") if state.is_fresh else state

    def _one(self, name: str, act: Callable[[], Outcome]) -> None:
        self._done([name], lambda: [act()])

    def _done(self, names: list[str], act: Callable[[], list[Outcome]]) -> None:
        try:
            self.settle(act())
        except Exception as err:
            self.settle(self.refuse(err, field=name) for name in names)


def change(target: Target, wanted: Mapping[str, JsonValue]) -> list[Outcome]:
    """Do what is wanted of a conversation; one outcome for each field that was named.

    `wanted` holds the arguments as the flow sent them, by the names of FIELDS, and
    `snoozed_until`; other names are ignored. A field that is refused stops no other.
    Raises nothing that a caller has to know: failures of Chatwoot are outcomes, too.
    """
    changing = _Change(target, wanted)
    changing.understand()
    if changing.plans.left():
        changing.do()
    return [changing.outcomes[name] for name in FIELDS if name in changing.outcomes]
