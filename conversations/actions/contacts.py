"""The conversation's contact: what is known of them, and changing it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace

from django.core.exceptions import ValidationError
from django.core.validators import validate_email

from bridge_project.lib.errors import NotFound
from bridge_project.lib.redact import mask_ours
from bridge_project.lib.types import JsonObject, JsonValue
from chatwoot_api.payloads import Contact
from conversations.actions import attributes
from conversations.actions import state as states
from conversations.actions.attributes import AttributePlan, Model
from conversations.actions.failures import explained, outcome_of
from conversations.actions.outcome import (
    NotDone,
    Outcome,
    in_part,
    not_set,
    together,
)
from conversations.actions.retrying import repeating
from conversations.actions.state import values_at
from conversations.actions.target import Target
from dify_api.arguments import as_text

FIELD = "contact"
_REMOVED = "custom_attributes_remove"
MAX_CHARS = 255
SHOWN = ("id", "name", "email", "phone_number", "identifier", "custom_attributes")
_E164 = re.compile(r"\+[1-9]\d{1,14}", re.ASCII)
_PUNCTUATION = re.compile(r"[\s().\u2010-\u2015-]")


def read_contact(target: Target) -> JsonObject:
    """Return the conversation's contact as Chatwoot knows them now.

    Raises NotDone. Without an administrator's token it is what the conversation itself
    tells of them.
    """
    try:
        return shown(_contact(target))
    except Exception as err:
        raise explained(err, target=target) from err


def update_contact(target: Target, wanted: Mapping[str, JsonValue]) -> Outcome:
    """Change name, email, phone_number, identifier, and merge custom_attributes.

    `custom_attributes_remove` names attributes to remove. What is not set stays.
    """
    try:
        return _updated(target, wanted)
    except Exception as err:
        return outcome_of(err, field=FIELD, target=target)


def _updated(target: Target, wanted: Mapping[str, JsonValue]) -> Outcome:
    refused: dict[str, NotDone] = {}
    fields: JsonObject = {}
    for name, check in _FIELDS.items():
        try:
            text = as_text(wanted.get(name))
            if text is not None:
                fields[name] = check(text)
        except Exception as err:
            refused[name] = _about(name, explained(err, target=target))
    plans = _plans(wanted, refused=refused, target=target)
    if not fields and not plans:
        if refused:
            raise together(refused)
        return not_set(FIELD)
    before = _contact(target)
    after = _written(before, fields=fields, plans=plans, refused=refused, target=target)
    return _outcome(before, after, fields=fields, plans=plans, refused=refused)


def _about(name: str, err: NotDone) -> NotDone:
    """Return a refusal whose sentence says which field it is about."""
    return NotDone(
        f"{name}: {err.message}",
        code=err.code,
        possible=err.possible,
        result=err.result,
    )


def _plans(
    wanted: Mapping[str, JsonValue], *, refused: dict[str, NotDone], target: Target
) -> list[AttributePlan]:
    """Understand the attributes; what is wrong with them goes into `refused`."""
    readers: dict[str, Callable[[JsonValue], AttributePlan | Outcome]] = {
        "custom_attributes": lambda value: attributes.plan_values(
            value, model=Model.CONTACT, target=target
        ),
        _REMOVED: lambda value: attributes.plan_removal(
            value, model=Model.CONTACT, target=target
        ),
    }
    plans = []
    for name, read in readers.items():
        try:
            plan = read(wanted.get(name))
        except Exception as err:
            refused |= _each(name, explained(err, target=target))
            continue
        if isinstance(plan, AttributePlan):
            plans.append(plan)
            refused |= plan.refused
    return plans


def _each(name: str, err: NotDone) -> dict[str, NotDone]:
    """Return a refusal of attributes by their keys, where it tells them."""
    if not err.refused:
        return {name: _about(name, err)}
    return {
        key: NotDone(text, code=err.code, possible=err.possible, result=err.result)
        for key, text in err.refused.items()
    }


def _contact(target: Target) -> Contact:
    """Return the contact, by the administrator's token if there is one."""
    known = states.read(target).contact
    if known is None:
        raise _nobody()
    if not target.client.can_read_messages:
        return known
    try:
        return repeating(lambda: target.client.show_contact(known.id), target=target)
    except NotFound as err:
        raise _nobody() from err


def _nobody() -> NotDone:
    return NotDone(
        "Chatwoot has no contact for this conversation: it was deleted.",
        code="contact_not_found",
    )


def _written(
    before: Contact,
    *,
    fields: JsonObject,
    plans: list[AttributePlan],
    refused: dict[str, NotDone],
    target: Target,
) -> Contact:
    """Change the contact and return what they are now.

    Removing attributes is a second call. If that one fails the change has been made all
    the same: then `refused` tells it of the removal alone.
    """
    values: JsonObject = {}
    removed: list[str] = []
    for plan in plans:
        values |= plan.values
        removed += plan.removed
    has_now = before.custom_attributes
    changed = {k: v for k, v in fields.items() if getattr(before, k) != v}
    if has_now | values != has_now:
        changed["custom_attributes"] = values
    after = before
    if changed:
        after = repeating(
            lambda: target.client.update_contact(before.id, changed), target=target
        )
    gone = [key for key in removed if key in after.custom_attributes]
    if not gone:
        return after
    try:
        repeating(
            lambda: target.client.remove_contact_attributes(before.id, gone),
            target=target,
        )
    except Exception as err:
        failure = explained(err, target=target)
        if not changed:
            raise failure from err
        refused[_REMOVED] = _about(_REMOVED, failure)
        return after
    left = {k: v for k, v in after.custom_attributes.items() if k not in gone}
    return replace(after, custom_attributes=left)


def _outcome(
    before: Contact,
    after: Contact,
    *,
    fields: JsonObject,
    plans: list[AttributePlan],
    refused: Mapping[str, NotDone],
) -> Outcome:
    keys = [key for plan in plans for key in [*plan.values, *plan.removed]]
    was, is_now = _part(before, fields, keys), _part(after, fields, keys)
    outcome = Outcome(
        field=FIELD,
        result="unchanged" if was == is_now else "applied",
        before=was,
        after=is_now,
        extra={"contact_id": after.id},
    )
    return in_part(outcome, refused)


def _part(contact: Contact, fields: JsonObject, keys: list[str]) -> JsonObject:
    """Return what was to be changed, not all that is known of somebody."""
    found: JsonObject = {name: getattr(contact, name) for name in fields}
    if keys:
        found["custom_attributes"] = values_at(contact.custom_attributes, keys)
    return found


def shown(contact: Contact) -> JsonObject:
    """Return what a flow gets of a contact."""
    return values_at(asdict(contact), SHOWN)


def identifier(text: str) -> str:
    """Return a name or an identifier, or raise NotDone."""
    text = mask_ours(text)
    if len(text) > MAX_CHARS:
        raise NotDone(
            f"“{text[:40]}…” has more than {MAX_CHARS} characters.", code="bad_value"
        )
    return text


def email(text: str) -> str:
    """Return an e-mail address, or raise NotDone."""
    text = mask_ours(text)
    try:
        validate_email(text)
    except ValidationError as err:
        raise NotDone(f"“{text[:80]}” is no e-mail address.", code="bad_value") from err
    return identifier(text)


def phone(text: str) -> str:
    """Return a phone number as Chatwoot takes it: + and digits; or raise NotDone."""
    digits = _PUNCTUATION.sub("", text)
    if digits.startswith("00"):
        digits = f"+{digits[2:]}"
    if not _E164.fullmatch(digits):
        raise NotDone(
            f"“{text[:80]}” is no phone number with a country code, such as "
            "+4930123456.",
            code="bad_value",
        )
    return digits


_FIELDS: Mapping[str, Callable[[str], str]] = {
    "name": identifier,
    "email": email,
    "phone_number": phone,
    "identifier": identifier,
}
