"""Merge custom attributes into a conversation or its contact.

Chatwoot replaces a conversation's attributes as a whole and merges a contact's.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from bridge_project.lib.errors import (
    BridgeError,
    ConfigurationError,
    UpstreamRejected,
)
from bridge_project.lib.redact import mask_ours, mask_ours_within
from bridge_project.lib.types import JsonObject, JsonValue
from chatwoot_api.models import AttributeDefinition
from chatwoot_api.names import fold
from conversations.actions import mirrors
from conversations.actions.attribute_values import fitting
from conversations.actions.failures import explained
from conversations.actions.limits import MAX_ATTRIBUTES, check_count, check_size
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
from conversations.actions.state import State, values_at
from conversations.actions.target import Target
from conversations.decisions import is_paused, situation_of
from conversations.models import Conversation, UnknownNames
from dify_api.arguments import as_object, as_texts

Model = AttributeDefinition.Model
SET = {
    Model.CONTACT: "contact_attributes",
    Model.CONVERSATION: "custom_attributes",
}
REMOVE = {model: f"{name}_remove" for model, name in SET.items()}
_KEY_MAX_CHARS = 255
_NUMBER = AttributeDefinition.DisplayType.NUMBER
_CHECKBOX = AttributeDefinition.DisplayType.CHECKBOX
_TEXT = AttributeDefinition.DisplayType.TEXT
_LIST = AttributeDefinition.DisplayType.LIST


@dataclass(kw_only=True)
class AttributePlan:
    """Which attributes get which values, and which are removed."""

    field: str
    values: JsonObject = dataclasses.field(default_factory=dict)
    removed: list[str] = dataclasses.field(default_factory=list)
    # Why the others are not taken, by the key that was sent.
    refused: dict[str, NotDone] = dataclasses.field(default_factory=dict)


def plan_values(
    value: JsonValue, *, model: Model, target: Target
) -> AttributePlan | Outcome:
    """Understand an object of attributes; raises NotDone if none of them is taken."""
    check_size(value, name=SET[model])
    wanted = as_object(value)
    if wanted is None:
        return not_set(SET[model])
    check_count(wanted, most=MAX_ATTRIBUTES, name=SET[model])
    return planned(SET[model], wanted, model=model, target=target)


def planned(
    name: str, wanted: JsonObject, *, model: Model, target: Target
) -> AttributePlan:
    """Check each attribute against its definition."""
    plan = AttributePlan(field=name)
    known = _definitions(model, target=target)
    for raw_key, raw_value in wanted.items():
        key, value = mask_ours(raw_key), mask_ours_within(raw_value)
        try:
            definition = _matching(key, known)
            if definition is None:
                definition = _asked_for(key, model=model, target=target)
            if definition is None:
                definition = _unknown_one(key, value, model=model, target=target)
            spelled = definition.key if definition else key
            plan.values[spelled] = _fitted(spelled, value, definition, target=target)
        except NotDone as err:
            plan.refused[key] = err
    if not plan.values:
        raise together(plan.refused)
    return plan


def _fitted(
    key: str,
    value: JsonValue,
    definition: AttributeDefinition | None,
    *,
    target: Target,
) -> JsonValue:
    """Return a value as it is to be written; a list may have got it just now."""
    try:
        return fitting(definition, value, key=key)
    except NotDone as err:
        if definition is None or definition.display_type != _LIST:
            raise
        row, refusal = definition, err

    def look() -> tuple[JsonValue] | None:
        rows = AttributeDefinition.objects.filter(
            account=target.account, model=row.model, key=row.key
        )
        try:
            return (fitting(rows.first() or row, value, key=key),)
        except NotDone:
            return None

    try:
        found = mirrors.found(look, target=target)
    except BridgeError:
        found = None
    if found is None:
        raise refusal
    return found[0]


def plan_removal(
    value: JsonValue, *, model: Model, target: Target
) -> AttributePlan | Outcome:
    """Understand a list of attributes that are to be removed."""
    check_size(value, name=REMOVE[model])
    names = as_texts(value)
    if names is None:
        return not_set(REMOVE[model])
    check_count(names, most=MAX_ATTRIBUTES, name=REMOVE[model])
    names = [mask_ours(name) for name in names]
    known = _definitions(model, target=target)
    keys = [_matching(name, known) for name in names]
    removed = [key.key if key else name for key, name in zip(keys, names, strict=True)]
    return AttributePlan(field=REMOVE[model], removed=removed)


def _definitions(model: Model, *, target: Target) -> list[AttributeDefinition]:
    rows = AttributeDefinition.objects.filter(account=target.account, model=model)
    return list(rows.order_by("pk"))


def _asked_for(key: str, *, model: Model, target: Target) -> AttributeDefinition | None:
    """Return what defines a key that was not known until now.

    Chatwoot is asked only where it makes a difference.
    """
    rule = target.bot.unknown_names if target.bot else UnknownNames.ACCEPT
    if rule == UnknownNames.ACCEPT and target.account.mirrored_at is not None:
        return None
    try:
        return mirrors.found(
            lambda: _matching(key, _definitions(model, target=target)), target=target
        )
    except ConfigurationError:
        # Without an administrator's token nothing is known of definitions, ever.
        if rule == UnknownNames.ACCEPT:
            return None
        raise


def _matching(
    key: str, definitions: Iterable[AttributeDefinition]
) -> AttributeDefinition | None:
    """Return the definition of a key, by its own spelling first."""
    rows = list(definitions)
    for row in rows:
        if row.key == key:
            return row
    loose = _loose(key)
    for row in rows:
        if loose in (_loose(row.key), _loose(row.display_name)):
            return row
    return None


def _loose(name: str) -> str:
    return fold(name.replace("_", " ").replace("-", " "))


def _unknown_one(
    key: str, value: JsonValue, *, model: Model, target: Target
) -> AttributeDefinition | None:
    """Do what the bot's setting says about a key without a definition."""
    rule = target.bot.unknown_names if target.bot else UnknownNames.ACCEPT
    if not key or len(key) > _KEY_MAX_CHARS:
        raise NotDone(
            f"“{key[:80]}” cannot be an attribute: its key has between 1 and "
            f"{_KEY_MAX_CHARS} characters.",
            code="bad_value",
        )
    if rule == UnknownNames.CREATE:
        return _defined(key, value, model=model, target=target)
    if rule == UnknownNames.REFUSE:
        possible = mirrors.spelled(
            row.key for row in _definitions(model, target=target)
        )
        choice = f"Possible: {listed(possible)}." if possible else "There is none."
        raise NotDone(
            f"There is no attribute “{key[:80]}”. {choice}",
            code="unknown_attribute",
            possible=possible,
        )
    return None


def _defined(
    key: str, value: JsonValue, *, model: Model, target: Target
) -> AttributeDefinition:
    """Define the attribute in Chatwoot, with a type that fits its first value."""
    kind = _TEXT
    if isinstance(value, bool):
        kind = _CHECKBOX
    elif isinstance(value, int | float):
        kind = _NUMBER
    try:
        made = target.client.create_definition(
            {
                "attribute_display_name": key,
                "attribute_key": key,
                "attribute_display_type": str(kind),
                "attribute_model": str(model),
                "attribute_description": "",
            }
        )
    except UpstreamRejected as err:
        found = mirrors.made_meanwhile(
            lambda: _matching(key, _definitions(model, target=target)), target=target
        )
        if found is None:
            why = explained(err, target=target)
            raise NotDone(
                f"The attribute “{key[:80]}” could not be defined. {why.message}",
                code=why.code,
                result=why.result,
            ) from err
        return found
    row, _is_new = AttributeDefinition.objects.update_or_create(
        account=target.account,
        chatwoot_definition_id=made.id,
        defaults={
            "key": made.key,
            "display_name": made.display_name,
            "model": str(model),
            "display_type": made.display_type or str(kind),
        },
    )
    return row


def carry_out_here(
    plans: list[AttributePlan], *, state: State, target: Target
) -> list[Outcome]:
    """Merge into the conversation's attributes; the caller holds the lock."""
    before = state.custom_attributes if state.is_fresh else _mirrored(target)
    after = dict(before)
    for plan in plans:
        after |= plan.values
        for key in plan.removed:
            after.pop(key, None)
    if after != before:
        written = noted(
            lambda: target.client.set_custom_attributes(target.number, after),
            target=target,
            marks=_marks(before, after, target=target),
        )
        if not state.is_fresh:
            _remember(written, target=target)
    extra: JsonObject = {} if state.is_fresh else {"based_on": "mirror"}
    return [_outcome(plan, before=before, after=after, extra=extra) for plan in plans]


def _mirrored(target: Target) -> JsonObject:
    """Return the mirror's attributes as they are now, not as the request found them.

    Whoever held the lock before has left there what it wrote.
    """
    row = _row(target)
    if row is None:
        raise NotDone(
            "The conversation cannot be read, so its other attributes would be lost. "
            "An operator has to enter an administrator's token at the Chatwoot "
            "account.",
            code="no_admin_token",
            result="failed",
        )
    values: JsonObject = row.custom_attributes
    return values


def _row(target: Target) -> Conversation | None:
    if target.conversation is None:
        return None
    return Conversation.objects.filter(pk=target.conversation.pk).first()


def _remember(written: JsonObject, *, target: Target) -> None:
    """Keep what Chatwoot answered, for who merges next; the caller holds the lock.

    The one exception to the rule that webhooks alone write the mirror: where the
    conversation cannot be read, the next merge is based on the mirror, and would undo
    this one if it comes before the webhook. Only attributes are touched, and of these
    only the pause starts anything: by its webhook the bot learns that it may speak
    again, which it sees by comparing it with the mirror. So a pause that was taken
    away stays there until then.
    """
    row = _row(target)
    if row is None:
        return
    key = target.bot.pause_attribute if target.bot else ""
    was = situation_of(row)
    will_be = dataclasses.replace(was, custom_attributes=written)
    kept: JsonObject = {}
    if target.bot and key in row.custom_attributes:
        ends = is_paused(was, bot=target.bot) and not is_paused(will_be, bot=target.bot)
        kept = {key: row.custom_attributes[key]} if ends else {}
    Conversation.objects.filter(pk=row.pk).update(custom_attributes=written | kept)


def carry_out_at_contact(
    plans: list[AttributePlan], *, state: State, target: Target
) -> list[Outcome]:
    """Merge into the contact's attributes; Chatwoot itself merges there."""
    if state.contact is None:
        raise NotDone(
            "It is not known who the conversation's contact is.",
            code="contact_not_found",
        )
    contact_id, before = state.contact.id, state.contact.custom_attributes
    values: JsonObject = {}
    removed: list[str] = []
    for plan in plans:
        values |= plan.values
        removed += plan.removed
    gone = [key for key in removed if key in before | values or not state.is_fresh]
    new = {key: value for key, value in values.items() if key not in gone}
    after, failed = before, dict[str, NotDone]()

    def done(name: str, act: Callable[[], object], then: JsonObject) -> None:
        # Two calls: if the second fails, the first one has been done all the same.
        nonlocal after
        try:
            repeating(act, target=target)
        except Exception as err:
            failed[name] = explained(err, target=target)
        else:
            after = then

    if new and (not state.is_fresh or before | new != before):
        fields: JsonObject = {"custom_attributes": new}
        done(
            SET[Model.CONTACT],
            lambda: target.client.update_contact(contact_id, fields),
            before | new,
        )
    if gone:
        done(
            REMOVE[Model.CONTACT],
            lambda: target.client.remove_contact_attributes(contact_id, gone),
            {key: value for key, value in after.items() if key not in gone},
        )
    return [
        failed[plan.field].outcome(plan.field)
        if plan.field in failed
        else _outcome(plan, before=before, after=after, extra={})
        for plan in plans
    ]


def _marks(before: JsonObject, after: JsonObject, *, target: Target) -> Marks:
    key = target.bot.pause_attribute if target.bot else ""
    return {"pause": True} if key and after.get(key) != before.get(key) else {}


def _outcome(
    plan: AttributePlan, *, before: JsonObject, after: JsonObject, extra: JsonObject
) -> Outcome:
    """Show what this field changed, not all other attributes."""
    keys = [*plan.values, *plan.removed]
    was, is_now = values_at(before, keys), values_at(after, keys)
    outcome = Outcome(
        field=plan.field,
        result="unchanged" if was == is_now else "applied",
        before=was,
        after=is_now,
        extra=extra,
    )
    return in_part(outcome, plan.refused)
