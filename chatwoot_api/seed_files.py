"""Reads files that say which teams, labels and attributes an account shall have.

YAML or JSON. Only what a file says of a thing is compared and changed; the rest stays
as it is in Chatwoot. A file may have one list, or several: `teams`, `labels` and
`attributes`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

import yaml

from bridge_project.lib.errors import BridgeError
from bridge_project.lib.types import JsonObject, JsonValue
from chatwoot_api.names import fold
from chatwoot_api.settings_payloads import DISPLAY_TYPES, MODELS

# What Chatwoot's own lists say besides: a file may have been made from them.
_CHATWOOTS_OWN = frozenset(
    {
        "id",
        "account_id",
        "created_at",
        "default_value",
        "is_member",
        "updated_at",
    }
)
# Aliases of YAML can make a small file endless.
_MAX_VALUES = 200_000
_WORDS_OF_MODELS = {name.removesuffix("_attribute"): name for name in MODELS[:2]}


class BadFile(BridgeError):
    """The file cannot be read, or does not say what is wanted."""

    code = "bad_file"


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """One thing as the file wants it, or the operator.

    `identity` finds it among what there is; `fields` are Chatwoot's, and to be so;
    `defaults` are said only when it is made.
    """

    name: str
    identity: str
    fields: JsonObject
    defaults: JsonObject = field(default_factory=dict)


# No field of Chatwoot's teams, but a list of its own there; here e-mail addresses.
MEMBERS = "members"


@dataclass(frozen=True, kw_only=True)
class Seed:
    """What a file says; `notes` are sentences about what was not understood."""

    wanted: tuple[Wanted, ...]
    notes: tuple[str, ...] = ()


# Chatwoot's field for a key of the file, and what reads its value.
Readers: TypeAlias = Mapping[str, tuple[str, Callable[[JsonValue], JsonValue]]]


def load(path: str) -> JsonValue:
    """Return what is in a file of JSON or YAML. Raises BadFile."""
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as err:
        raise BadFile(f"{path} cannot be read: {err}") from err
    return parse(text, name=path, is_json=path.endswith(".json"))


def parse(text: str, *, name: str, is_json: bool = False) -> JsonValue:
    """Return what a text of YAML says, or of JSON; `name` is for the error: BadFile."""
    try:
        if is_json:
            return _as_json(json.loads(text))
        return _as_json(yaml.safe_load(text))
    except (ValueError, yaml.YAMLError, RecursionError) as err:
        form = "JSON" if is_json else "YAML"
        raise BadFile(f"{name} is no {form}: {err}") from err


def read_teams(data: JsonValue) -> Seed:
    """Read a list of teams, or of their names."""
    readers: Readers = {
        "name": ("name", _text),
        "description": ("description", _text),
        "allow_auto_assign": ("allow_auto_assign", _truth),
        "members": (MEMBERS, _mails),
    }
    entries, notes = _entries(data, kind="team", name="name", readers=readers)
    wanted = [team(fields) for fields in entries]
    return Seed(wanted=_distinct(wanted, kind="team"), notes=notes)


def read_labels(data: JsonValue) -> Seed:
    """Read a list of labels, or of their titles."""
    readers: Readers = {
        "title": ("title", _title),
        "name": ("title", _title),
        "description": ("description", _text),
        "color": ("color", _text),
        "colour": ("color", _text),
        "show_on_sidebar": ("show_on_sidebar", _truth),
    }
    entries, notes = _entries(data, kind="label", name="title", readers=readers)
    wanted = [label(fields) for fields in entries]
    return Seed(wanted=_distinct(wanted, kind="label"), notes=notes)


def read_attributes(data: JsonValue, *, key: str = "region", name: str = "") -> Seed:
    """Read a list of attributes, or the values of the one list attribute `key`.

    A bare list of texts is the latter; `name` is then what agents see.
    """
    if is_bare_list(data):
        given: JsonObject = {"key": key, "values": data}
        data = [{**given, "name": name} if name else given]
    readers: dict[str, tuple[str, Callable[[JsonValue], JsonValue]]] = {
        "key": ("attribute_key", _text),
        "name": ("attribute_display_name", _text),
        "display_name": ("attribute_display_name", _text),
        "type": ("attribute_display_type", _display_type),
        "display_type": ("attribute_display_type", _display_type),
        "model": ("attribute_model", _model),
        "of": ("attribute_model", _model),
        "description": ("attribute_description", _text),
        "values": ("attribute_values", _texts),
        "regex_pattern": ("regex_pattern", _text),
        "regex_cue": ("regex_cue", _text),
    }
    readers |= {field: (field, read) for field, read in readers.values()}
    entries, notes = _entries(
        data, kind="attribute", name="attribute_key", readers=readers
    )
    wanted = [attribute(fields) for fields in entries]
    return Seed(wanted=_distinct(wanted, kind="attribute"), notes=notes)


def is_bare_list(data: JsonValue) -> bool:
    """Tell whether a file has nothing but the values of one list attribute."""
    return (
        isinstance(data, list)
        and bool(data)
        and all(isinstance(value, str | int | float) for value in data)
    )


def attribute_identity(*, model: str, key: str) -> str:
    """Return what tells attributes apart: a contact's may have the same key."""
    return f"{key} ({model.removesuffix('_attribute')})"


def team(fields: JsonObject) -> Wanted:
    """Return what Chatwoot's fields of a team, and `members`, want."""
    return _by_name(fields, field="name")


def label(fields: JsonObject) -> Wanted:
    """Return what Chatwoot's fields of a label want."""
    return _by_name(fields, field="title")


def _by_name(fields: JsonObject, *, field: str) -> Wanted:
    name = str(fields[field])
    return Wanted(name=name, identity=fold(name), fields=fields)


def attribute(fields: JsonObject) -> Wanted:
    """Say what follows from the rest: values make a list, and the default is text."""
    key = str(fields["attribute_key"])
    model = str(fields.get("attribute_model") or MODELS[0])
    if fields.get("attribute_values"):
        fields.setdefault("attribute_display_type", "list")
        if fields["attribute_display_type"] != "list":
            raise BadFile(f"The attribute “{key}” has values, but is no list.")
    defaults: JsonObject = {
        "attribute_display_name": key.replace("_", " ").capitalize(),
        "attribute_display_type": "text",
        "attribute_model": model,
    }
    identity = attribute_identity(model=model, key=key)
    return Wanted(name=identity, identity=identity, fields=fields, defaults=defaults)


def _entries(
    data: JsonValue, *, kind: str, name: str, readers: Readers
) -> tuple[list[JsonObject], tuple[str, ...]]:
    """Read a file's entries into Chatwoot's fields, of which `name` must be there.

    The second part are sentences about keys that we do not know.
    """
    entries = data.get(f"{kind}s") if isinstance(data, dict) else data
    if not isinstance(entries, list) or not entries:
        raise BadFile(f"The file has no list of {kind}s, or an empty one.")
    known: list[JsonObject] = []
    unknown: dict[str, None] = {}
    for number, entry in enumerate(entries, start=1):
        where = f"The {kind} {number} of the file"
        given = entry if isinstance(entry, dict) else {name: entry}
        fields: JsonObject = {}
        for key, value in given.items():
            if key in readers:
                field, read = readers[key]
                fields[field] = _read_one(read, value, where=f"{where}: “{key}”")
                if fields[field] is None:
                    del fields[field]
            elif key not in _CHATWOOTS_OWN:
                unknown[key] = None
        if not fields.get(name):
            raise BadFile(f"{where} has no {name.removeprefix('attribute_')}.")
        known.append(fields)
    if not unknown:
        return known, ()
    return known, (f"Not understood, and left out: {', '.join(unknown)}.",)


def _distinct(wanted: list[Wanted], *, kind: str) -> tuple[Wanted, ...]:
    seen: set[str] = set()
    for one in wanted:
        if one.identity in seen:
            raise BadFile(f"The file names the {kind} “{one.name}” twice.")
        seen.add(one.identity)
    return tuple(wanted)


def _read_one(
    read: Callable[[JsonValue], JsonValue], value: JsonValue, *, where: str
) -> JsonValue:
    try:
        return read(value)
    except ValueError as err:
        raise BadFile(f"{where} {err}") from err


def _text(value: JsonValue) -> str:
    if value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        msg = "must be a text. YAML takes words such as no and yes for true and false: "
        raise ValueError(msg + "put quotes around them.")
    return str(value).strip()


def _title(value: JsonValue) -> str:
    text = _text(value)
    if len(text.split()) > 1:
        msg = f"must have no spaces, as labels in Chatwoot: {'-'.join(text.split())}"
        raise ValueError(msg)
    return text


def _truth(value: JsonValue) -> bool:
    if not isinstance(value, bool):
        msg = "must be true or false."
        raise ValueError(msg)
    return value


def _texts(value: JsonValue) -> list[JsonValue]:
    if not isinstance(value, list):
        msg = "must be a list."
        raise ValueError(msg)
    return list(dict.fromkeys(_text(item) for item in value))


def _mails(value: JsonValue) -> list[JsonValue] | None:
    """Read e-mail addresses, once each; nothing said of members is nothing wanted."""
    if value is None:
        return None
    mails = [str(mail).casefold() for mail in _texts(value)]
    for mail in mails:
        if "@" not in mail:
            msg = f"must be e-mail addresses of agents; “{mail}” is none."
            raise ValueError(msg)
    return list(dict.fromkeys(mails))


def _display_type(value: JsonValue) -> str:
    return _choice(value, names=DISPLAY_TYPES, words={})


def _model(value: JsonValue) -> str:
    return _choice(value, names=MODELS[:2], words=_WORDS_OF_MODELS)


def _choice(
    value: JsonValue, *, names: tuple[str, ...], words: Mapping[str, str]
) -> str:
    """Return one of Chatwoot's names, also for its number or a word of ours."""
    if (
        isinstance(value, int)
        and not isinstance(value, bool)
        and value in range(len(names))
    ):
        return names[value]
    text = _text(value).casefold()
    text = words.get(text, text)
    if text not in names:
        msg = f"must be one of {', '.join(words or names)}."
        raise ValueError(msg)
    return text


def _as_json(value: object) -> JsonValue:
    """Return what JSON has, too: YAML knows dates, and keys that are no texts."""
    left = iter(range(_MAX_VALUES))

    def read(item: object) -> JsonValue:
        if next(left, None) is None:
            raise BadFile(f"The file has more than {_MAX_VALUES} values.")
        if isinstance(item, dict):
            return {str(key): read(part) for key, part in item.items()}
        if isinstance(item, list):
            return [read(part) for part in item]
        if item is None or isinstance(item, str | int | float | bool):
            return item
        return str(item)

    return read(value)
