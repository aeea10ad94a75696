"""Merge custom attributes into a conversation or its contact.

Chatwoot replaces a conversation's attributes as a whole and merges a contact's.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from bridge_project.lib.errors import ConfigurationError, UpstreamRejected
from bridge_project.lib.types import JsonObject, JsonValue
from chatwoot_api.models import AttributeDefinition
from chatwoot_api.names import fold
from conversations.actions import mirrors
from conversations.actions.attribute_values import fitting
from conversations.actions.failures import explained
from conversations.actions.outcome import NotDone, Outcome, listed, not_set
from conversations.actions.retrying import repeating
from conversations.actions.state import State, values_at
from conversations.actions.target import Target
from conversations.models import UnknownNames
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
    wanted = as_object(value)
    if wanted is None:
        return not_set(SET[model])
    return planned(SET[model], wanted, model=model, target=target)


def planned(
    name: str, wanted: JsonObject, *, model: Model, target: Target
) -> AttributePlan:
    """Check each attribute against its definition."""
    plan = AttributePlan(field=name)
    known = _definitions(model, target=target)
    for key, value in wanted.items():
        try:
            definition = _matching(key, known)
            if definition is None:
                definition = _asked_for(key, model=model, target=target)
            if definition is None:
                definition = _unknown_one(key, value, model=model, target=target)
            spelled = definition.key if definition else key
            plan.values[spelled] = fitting(definition, value)
        except NotDone as err:
            plan.refused[key] = err
    if not plan.values:
        raise _none_taken(plan.refused)
    return plan


def plan_removal(
    value: JsonValue, *, model: Model, target: Target
) -> AttributePlan | Outcome:
    """Understand a list of attributes that are to be removed."""
    names = as_texts(value)
    if names is None:
        return not_set(REMOVE[model])
    known = _definitions(model, target=target)
    keys = [_matching(name, known) for name in names]
    removed = [key.key if key else name for key, name in zip(keys, names, strict=True)]
    return AttributePlan(field=REMOVE[model], removed=removed)


def _none_taken(refused: Mapping[str, NotDone]) -> NotDone:
    """Return one refusal for all; what is possible is that of a single one."""
    errors = list(refused.values())
    message = " ".join(dict.fromkeys(err.message for err in errors))
    possible = errors[0].possible if len(errors) == 1 else ()
    return NotDone(message, code=errors[0].code, possible=possible)


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
            f"An attribute's key has between 1 and {_KEY_MAX_CHARS} characters.",
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
            raise explained(err, target=target) from err
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
    if state.source == "nowhere":
        raise NotDone(
            "The conversation cannot be read, so its other attributes would be lost. "
            "An operator has to enter an administrator's token at the Chatwoot "
            "account.",
            code="no_admin_token",
            result="failed",
        )
    before = state.custom_attributes
    after = dict(before)
    for plan in plans:
        after |= plan.values
        for key in plan.removed:
            after.pop(key, None)
    if after != before:
        _note_pause(before, after, target=target)
        repeating(
            lambda: target.client.set_custom_attributes(target.number, after),
            target=target,
        )
    extra: JsonObject = {} if state.is_fresh else {"based_on": "mirror"}
    return [_outcome(plan, before=before, after=after, extra=extra) for plan in plans]


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
    after = before | values
    gone = [key for key in removed if key in after or not state.is_fresh]
    after = {key: value for key, value in after.items() if key not in gone}
    new = {key: value for key, value in values.items() if key not in gone}
    if not state.is_fresh or before | new != before:
        fields: JsonObject = {"custom_attributes": new}
        if new:
            repeating(
                lambda: target.client.update_contact(contact_id, fields),
                target=target,
            )
    if gone:
        repeating(
            lambda: target.client.remove_contact_attributes(contact_id, gone),
            target=target,
        )
    return [_outcome(plan, before=before, after=after, extra={}) for plan in plans]


def _note_pause(before: JsonObject, after: JsonObject, *, target: Target) -> None:
    key = target.bot.pause_attribute if target.bot else ""
    if key and after.get(key) != before.get(key):
        target.note_by_flow(pause=True)


def _outcome(
    plan: AttributePlan, *, before: JsonObject, after: JsonObject, extra: JsonObject
) -> Outcome:
    """Show what this field changed, not all other attributes."""
    keys = [*plan.values, *plan.removed]
    was, is_now = values_at(before, keys), values_at(after, keys)
    refused = dict(plan.refused)
    first = next(iter(refused.values()), None)
    if first is not None:
        messages: JsonObject = {key: err.message for key, err in refused.items()}
        extra = {**extra, "refused": messages}
    return Outcome(
        field=plan.field,
        result="unchanged" if was == is_now else "applied",
        before=was,
        after=is_now,
        code=first.code if first else "",
        message=_none_taken(refused).message if first else "",
        possible=first.possible if first and len(refused) == 1 else (),
        extra=extra,
    )
