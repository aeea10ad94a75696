"""Add, remove and replace labels; Chatwoot itself only replaces all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from bridge_project.lib.errors import UpstreamRejected
from bridge_project.lib.redact import mask_ours
from bridge_project.lib.types import JsonValue
from chatwoot_api.models import Label
from chatwoot_api.names import fold
from conversations.actions import mirrors
from conversations.actions.failures import explained
from conversations.actions.limits import MAX_LABELS, check_count, check_size
from conversations.actions.noting import Marks, noted
from conversations.actions.outcome import (
    NotDone,
    Outcome,
    in_part,
    listed,
    not_set,
    together,
)
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
    # By field, why the other names are not taken.
    refused: dict[str, dict[str, NotDone]] = field(default_factory=dict)

    def applied_to(self, labels: Iterable[str]) -> list[str]:
        """Return the labels afterwards; what is both removed and added is there.

        A label that is there already stays as it is spelled there.
        """
        now = list(labels)
        there = {_slug(name): name for name in now}
        known = now
        if self.replacement is not None:
            known = [_there(name, there) or name for name in self.replacement]
        gone = {_there(name, there) or name for name in self.removed}
        after = [name for name in known if name not in gone]
        for name in self.added:
            spelled = _there(name, there) or name
            if _slug(spelled) not in {_slug(one) for one in after}:
                after.append(spelled)
        return list(dict.fromkeys(after))


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
    check_size(value, name=name)
    given = as_texts(value)
    if given is None:
        return not_set(name)
    check_count(given, most=MAX_LABELS, name=name)
    given = [mask_ours(label) for label in given]
    defined = _defined(target)
    if name == "labels_set" and means_clear(value) and not _spelled(given[0], defined):
        plan.replacement = []
        plan.wanted.append(name)
        return None
    if name == "labels_remove":
        plan.removed += given
        plan.wanted.append(name)
        return None
    taken, refused = _named(given, defined=defined, target=target)
    if refused and not taken:
        raise together(refused)
    plan.refused[name] = refused
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


def _slug(name: str) -> str:
    """Return a name as a title is written; one with spaces is no other label."""
    return "-".join(fold(name).split())


def _there(name: str, there: Mapping[str, str]) -> str | None:
    """Return a conversation's own spelling of a label, None if it has not got it."""
    slug = _slug(name)
    return there.get(slug) or there.get(fold(name).replace(" ", "_"))


def _named(
    given: list[str], *, defined: dict[str, str], target: Target
) -> tuple[list[str], dict[str, NotDone]]:
    """Return the labels as they are written, and why the others are refused."""
    taken: list[str] = []
    refused: dict[str, NotDone] = {}
    for name in given:
        try:
            taken.append(_spelled(name, defined) or _new(name, target=target))
        except NotDone as err:
            refused[name] = err
    return taken, refused


def _new(name: str, *, target: Target) -> str:
    """Do what the bot's setting says about a label that is not known."""
    rule = target.bot.unknown_names if target.bot else UnknownNames.ACCEPT
    if rule != UnknownNames.ACCEPT:
        spelled = _asked_for(name, target=target)
        if spelled is not None:
            return spelled
    if rule == UnknownNames.REFUSE:
        raise _unknown(name, target=target)
    if len(name) > MAX_LABEL_CHARS:
        raise NotDone(
            f"The label “{name[:40]}…” has {len(name)} characters; Chatwoot takes "
            f"{MAX_LABEL_CHARS}. Shorten it.",
            code="bad_value",
        )
    return _created(name, target=target) if rule == UnknownNames.CREATE else name


def _asked_for(name: str, *, target: Target) -> str | None:
    return mirrors.found(lambda: _spelled(name, _defined(target)), target=target)


def _created(name: str, *, target: Target) -> str:
    """Define a label in Chatwoot, which takes no spaces and no capitals."""
    title = _slug(name)
    try:
        made = target.client.create_label(
            {"title": title, "color": NEW_LABEL_COLOR, "show_on_sidebar": True}
        )
    except UpstreamRejected as err:
        found = mirrors.made_meanwhile(
            lambda: _spelled(title, _defined(target)), target=target
        )
        if found is None:
            why = explained(err, target=target)
            raise NotDone(
                f"The label “{name[:80]}” could not be defined. {why.message}",
                code=why.code,
                result=why.result,
            ) from err
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


def _unknown(name: str, *, target: Target) -> NotDone:
    possible = mirrors.spelled(_defined(target).values())
    choice = f"Possible: {listed(possible)}." if possible else "Chatwoot has none."
    return NotDone(
        f"There is no label “{name[:80]}”. {choice}",
        code="unknown_label",
        possible=possible,
    )


def carry_out(plan: LabelPlan, *, state: State, target: Target) -> list[Outcome]:
    """Merge into the labels that are there now; the caller holds the lock."""
    before = _current(state, target=target)
    after = plan.applied_to(before)
    changed = set(after) != set(before)
    if changed:
        written = noted(
            lambda: target.client.set_labels(target.number, after),
            target=target,
            marks=_marks(before, after, target=target),
        )
        # What Chatwoot says, which may spell a name as another conversation has it.
        changed, after = set(written) != set(before), written
    shown: tuple[JsonValue, JsonValue] = [*before], [*after]
    return [
        _outcome(name, plan=plan, changed=changed, shown=shown) for name in plan.wanted
    ]


def _current(state: State, *, target: Target) -> list[str]:
    """Return the labels as they are; a bot may read them even where a team is set."""
    if state.is_fresh:
        return list(state.labels)
    return repeating(lambda: target.client.labels_of(target.number), target=target)


def _marks(before: list[str], after: list[str], *, target: Target) -> Marks:
    label = target.bot.pause_label if target.bot else ""
    is_new = bool(label) and label in after and label not in before
    return {"pause": True} if is_new else {}


def _outcome(
    name: str,
    *,
    plan: LabelPlan,
    changed: bool,
    shown: tuple[JsonValue, JsonValue],
) -> Outcome:
    outcome = Outcome(
        field=name,
        result="applied" if changed else "unchanged",
        before=shown[0],
        after=shown[1],
    )
    return in_part(outcome, plan.refused.get(name, {}))
