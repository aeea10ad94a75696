"""Add, remove and replace labels; Chatwoot itself only replaces all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from bridge_project.lib.errors import UpstreamRejected
from bridge_project.lib.types import JsonObject, JsonValue
from chatwoot_api.models import Label
from chatwoot_api.names import fold
from conversations.actions import mirrors
from conversations.actions.outcome import NotDone, Outcome, listed, not_set
from conversations.actions.retrying import repeating
from conversations.actions.state import State
from conversations.actions.target import Target
from conversations.actions.words import means_clear
from conversations.models import UnknownNames
from dify_api.arguments import as_texts

FIELDS = ("labels_set", "labels_add", "labels_remove")
# Chatwoot's column.
MAX_LABEL_CHARS = 255
NEW_LABEL_COLOR = "#1F93FF"


@dataclass(kw_only=True)
class LabelPlan:
    """What is to become of a conversation's labels; all of it is one change."""

    # None: those that it has stay.
    replacement: list[str] | None = None
    added: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    # What is wanted and understood, by field.
    wanted: list[str] = field(default_factory=list)
    # By field, the names that are not taken.
    refused: dict[str, list[str]] = field(default_factory=dict)
    possible: list[str] = field(default_factory=list)

    def applied_to(self, labels: Iterable[str]) -> list[str]:
        """Return the labels afterwards; what is both removed and added is there."""
        labels = list(labels) if self.replacement is None else self.replacement
        gone = {fold(name) for name in self.removed}
        kept = [name for name in labels if fold(name) not in gone]
        return list(dict.fromkeys([*kept, *self.added]))


def plan(
    wanted: Mapping[str, JsonValue], *, target: Target, refuse: Callable[..., Outcome]
) -> tuple[LabelPlan, list[Outcome]]:
    """Understand the three fields; `refuse(err, field=…)` makes an Outcome of an error.

    Returns the plan and the outcomes of the fields of which nothing is left to do.
    """
    made, settled = LabelPlan(), []
    for name in FIELDS:
        if name not in wanted:
            continue
        try:
            outcome = _take(made, name, wanted[name], target=target)
        except Exception as err:
            outcome = refuse(err, field=name)
        if outcome is not None:
            settled.append(outcome)
    return made, settled


def _take(
    plan: LabelPlan, name: str, value: JsonValue, *, target: Target
) -> Outcome | None:
    given = as_texts(value)
    if given is None:
        return not_set(name)
    defined = _defined(target)
    if name == "labels_set" and means_clear(value) and not _spelled(given[0], defined):
        plan.replacement = []
        plan.wanted.append(name)
        return None
    if name == "labels_remove":
        plan.removed += [_spelled(label, defined) or label for label in given]
        plan.wanted.append(name)
        return None
    taken, refused = _named(given, defined=defined, target=target)
    if refused:
        plan.refused[name] = refused
        plan.possible = mirrors.spelled(_defined(target).values())
        if not taken:
            raise _unknown(refused, possible=plan.possible)
    if name == "labels_set":
        plan.replacement = taken
    else:
        plan.added += taken
    plan.wanted.append(name)
    return None


def _defined(target: Target) -> dict[str, str]:
    """Return the account's labels by their folded titles."""
    titles = Label.objects.filter(account=target.account).values_list(
        "title", flat=True
    )
    return {fold(title): title for title in titles}


def _spelled(name: str, defined: Mapping[str, str]) -> str | None:
    """Return a defined label's own spelling; titles have hyphens in place of spaces."""
    folded = fold(name)
    for spelling in (folded, folded.replace(" ", "-"), folded.replace(" ", "_")):
        if spelling in defined:
            return defined[spelling]
    return None


def _named(
    given: list[str], *, defined: dict[str, str], target: Target
) -> tuple[list[str], list[str]]:
    """Return the labels as they are written, and the names that are refused."""
    rule = target.bot.unknown_names if target.bot else UnknownNames.ACCEPT
    taken: list[str] = []
    refused: list[str] = []
    for name in given:
        spelled = _spelled(name, defined)
        if spelled is None and rule != UnknownNames.ACCEPT:
            spelled = _asked_for(name, target=target)
        if spelled is not None:
            taken.append(spelled)
        elif rule == UnknownNames.REFUSE or len(name) > MAX_LABEL_CHARS:
            refused.append(name)
        elif rule == UnknownNames.CREATE:
            taken.append(_created(name, target=target))
        else:
            taken.append(name)
    return taken, refused


def _asked_for(name: str, *, target: Target) -> str | None:
    return mirrors.found(lambda: _spelled(name, _defined(target)), target=target)


def _created(name: str, *, target: Target) -> str:
    """Define a label in Chatwoot, which takes no spaces and no capitals."""
    title = "-".join(fold(name).split())
    try:
        made = target.client.create_label(
            {"title": title, "color": NEW_LABEL_COLOR, "show_on_sidebar": True}
        )
    except UpstreamRejected:
        found = mirrors.made_meanwhile(
            lambda: _spelled(title, _defined(target)), target=target
        )
        if found is None:
            raise
        return found
    Label.objects.update_or_create(
        account=target.account,
        chatwoot_label_id=made.id,
        defaults={
            "title": made.title or title,
            "color": made.color,
            "show_on_sidebar": made.show_on_sidebar,
        },
    )
    return made.title or title


def _unknown(refused: list[str], *, possible: list[str]) -> NotDone:
    shown = ", ".join(f"“{name[:80]}”" for name in refused[:10])
    choice = f"Possible: {listed(possible)}." if possible else "Chatwoot has none."
    return NotDone(
        f"There is no label {shown}. {choice}", code="unknown_label", possible=possible
    )


def carry_out(plan: LabelPlan, *, state: State, target: Target) -> list[Outcome]:
    """Merge into the labels that are there now; the caller holds the lock."""
    before = _current(state, target=target)
    after = plan.applied_to(before)
    changed = set(after) != set(before)
    if changed:
        _note_pause(before, after, target=target)
        repeating(lambda: target.client.set_labels(target.number, after), target=target)
    shown: tuple[JsonValue, JsonValue] = [*before], [*after]
    return [
        _outcome(name, plan=plan, changed=changed, shown=shown) for name in plan.wanted
    ]


def _current(state: State, *, target: Target) -> list[str]:
    """Return the labels as they are; a bot may read them even where a team is set."""
    if state.is_fresh:
        return list(state.labels)
    return repeating(lambda: target.client.labels_of(target.number), target=target)


def _note_pause(before: list[str], after: list[str], *, target: Target) -> None:
    label = target.bot.pause_label if target.bot else ""
    if label and label in after and label not in before:
        target.note_by_flow(pause=True)


def _outcome(
    name: str,
    *,
    plan: LabelPlan,
    changed: bool,
    shown: tuple[JsonValue, JsonValue],
) -> Outcome:
    refused = plan.refused.get(name, [])
    extra: JsonObject = {}
    message = ""
    if refused:
        message = _unknown(refused, possible=plan.possible).message
        extra = {"refused": dict.fromkeys(refused, message)}
    return Outcome(
        field=name,
        result="applied" if changed else "unchanged",
        before=shown[0],
        after=shown[1],
        code="unknown_label" if refused else "",
        message=message,
        possible=tuple(plan.possible[:50]) if refused else (),
        extra=extra,
    )
