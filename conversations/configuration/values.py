"""Values of the file: made fit for a field of a model, and shown to people."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal

from django.core.exceptions import ValidationError
from django.db.models import (
    CharField,
    DecimalField,
    Field,
    JSONField,
    Model,
    TextField,
)
from django.utils.text import capfirst
from django.utils.translation import gettext

from bridge_project.lib.types import JsonObject, JsonValue
from conversations import contact_rules
from conversations.configuration.document import BadConfiguration, Item
from conversations.context import is_source
from conversations.models import OpenAIServer
from dify_api.models import DifyApp

NOTHING = "–"
# What a bot refers to by its name.
NAMED: Mapping[str, type[DifyApp | OpenAIServer]] = {
    "dify_app": DifyApp,
    "command_app": DifyApp,
    "openai_server": OpenAIServer,
    "transcriber": OpenAIServer,
}


@dataclass(frozen=True, kw_only=True)
class FieldDiff:
    """One field of one thing, before and after."""

    name: str
    label: str
    before: str
    after: str
    # False: an address that is left as it is, because nobody asked for it.
    applied: bool = True


def clean(row: Model, *, name: str, item: Item) -> JsonValue:
    """Return the file's value as the field of the model takes it.

    Raises BadConfiguration with line and field.
    """
    value = item.values[name]
    field = row._meta.get_field(name)
    if isinstance(field, DecimalField) and isinstance(value, float):
        # With the digits that stand in the file.
        value = str(value)
    try:
        if not isinstance(field, Field):
            raise ValidationError(gettext("is no field of its own."))
        if isinstance(field, CharField | TextField):
            _want_text(value)
        if isinstance(field, JSONField):
            _JSON_CHECKS[name](value)
            return value
        read = field.clean(value, row)
        if name in _TEXT_CHECKS:
            _TEXT_CHECKS[name](read)
        cleaned: JsonValue = plain_number(read) if isinstance(read, Decimal) else read
    except ValidationError as err:
        raise BadConfiguration(
            f"Line {item.line}: “{name}” of “{item.label}”: {' '.join(err.messages)}"
        ) from err
    return cleaned


def plain_number(value: Decimal) -> str:
    """Return a number as the file has it, which knows none of this kind."""
    return f"{value.normalize():f}"


def shown(value: JsonValue, *, beside: JsonValue = None) -> str:
    """Return a value as a line, or lines; of a map only what differs from `beside`."""
    if value is None or value == "" or value == [] or value == {}:
        return NOTHING
    if isinstance(value, bool):
        return gettext("yes") if value else gettext("no")
    if isinstance(value, dict):
        other = beside if isinstance(beside, dict) else {}
        rest = {key: value[key] for key in value if other.get(key) != value[key]}
        return "\n".join(f"{key}: {_plain(rest[key])}" for key in sorted(rest))
    if isinstance(value, list):
        return ", ".join(_inbox_or_plain(item) for item in value)
    return _plain(value)


def _inbox_or_plain(value: JsonValue) -> str:
    if isinstance(value, dict) and "id" in value:
        return f"{value.get('name') or ''} (#{value['id']})".strip()
    return _plain(value)


def _plain(value: JsonValue) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _want_text(value: JsonValue) -> None:
    if not isinstance(value, str):
        raise ValidationError(
            gettext(
                "must be a text. YAML takes words such as no and yes for true and "
                "false: put quotation marks around them."
            )
        )


def _want_inputs(value: JsonValue) -> None:
    if not isinstance(value, dict):
        raise ValidationError(gettext("must map names of inputs to sources."))
    for name, source in value.items():
        if not isinstance(source, str) or not is_source(source):
            raise ValidationError(
                gettext("“%(source)s”, the source of “%(name)s”, does not exist.")
                % {"source": source, "name": name}
            )


def _want_rules(value: str) -> None:
    problems = contact_rules.problems(value)
    if problems:
        raise ValidationError(problems)


def _want_object(value: JsonValue) -> None:
    if not isinstance(value, dict):
        raise ValidationError(gettext("must be a mapping."))


def _want_members(value: JsonValue) -> None:
    is_list = isinstance(value, list) and all(isinstance(item, str) for item in value)
    if value is not None and not is_list:
        raise ValidationError(gettext("must be a list of e-mail addresses."))


_JSON_CHECKS: dict[str, Callable[[JsonValue], None]] = {
    "inputs": _want_inputs,
    "conversation_variables": _want_inputs,
    "fields": _want_object,
    "members": _want_members,
}

_TEXT_CHECKS: dict[str, Callable[[str], None]] = {
    "allow_rules": _want_rules,
    "ignore_rules": _want_rules,
    "test_rules": _want_rules,
}


def label_of(model: type[Model], name: str) -> str:
    """Return a field's name for people."""
    return str(capfirst(getattr(model._meta.get_field(name), "verbose_name", name)))


def changed_fields(
    model: type[Model], *, before: JsonObject, after: JsonObject, left: frozenset[str]
) -> list[FieldDiff]:
    """Return what differs; fields of `left` stay as they are."""
    return [
        FieldDiff(
            name=name,
            label=label_of(model, name),
            before=shown(before.get(name), beside=value),
            after=shown(value, beside=before.get(name)),
            applied=name not in left,
        )
        for name, value in after.items()
        if before.get(name) != value
    ]
