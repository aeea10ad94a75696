"""The file that a configuration travels in: YAML, without secrets, read with care."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import isfinite
from typing import Any

import yaml
from yaml.constructor import SafeConstructor

from bridge_project.lib.errors import BridgeError
from bridge_project.lib.types import JsonObject, JsonValue

VERSION = 1
MAX_BYTES = 1024 * 1024
MAX_DEPTH = 20
HEAD = (
    "# Configuration of the Chatwoot–Dify bridge, without secrets: tokens and keys\n"
    "# are entered by hand where the file is imported.\n"
)
# The parser written in C, where there is one.
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

# The fields of each section in the order of the file; the first ones name the thing.
# The addresses of alert channels are left out: they often open what they lead to.
SECTIONS: Mapping[str, tuple[str, ...]] = {
    "accounts": ("key", "name", "base_url", "account_id", "allow_unsigned"),
    "retention": ("account", "payload_days", "text_days", "history_days"),
    "dify_apps": (
        "name",
        "base_url",
        "console_url",
        "mode",
        "answer_output",
        "query_input",
        "first_event_timeout_s",
        "idle_timeout_s",
        "total_timeout_s",
        "max_concurrent_runs",
    ),
    "openai_servers": (
        "name",
        "base_url",
        "chat_model",
        "system_prompt",
        "transcription_model",
        "history_messages",
        "timeout_s",
    ),
    "bots": (
        "account",
        "name",
        "enabled",
        "inboxes",
        "provider",
        "dify_app",
        "openai_server",
        "reply_as",
        "speak_in_statuses",
        "debounce_s",
        "on_new_message",
        "yields_to_assignee",
        "pause_attribute",
        "pause_label",
        "inputs",
        "new_dify_conversation_after_resolve",
        "max_message_age_s",
        "max_turn_minutes",
        "idle_hours",
        "idle_action",
        "dify_delete_policy",
        "dify_delete_after_days",
        "unknown_names",
        "strict_statuses",
        "failure_public_text",
        "failure_private_text",
        "language",
        "support_mode_attribute",
        "support_mode_bot_values",
        "support_mode_human_values",
        "draft_notes",
        "shadow",
        "command_word",
        "command_app",
        "dify_feedback",
        "transcriber",
        "transcript_notes",
        "split_answers",
        "suggested_questions",
        "forms_go_to",
        "form_minutes",
        "form_reminder_minutes",
        "greets",
        "outside_hours",
        "outside_hours_text",
        "reset_words",
        "reset_text",
        "conversation_variables",
        "context_template",
        "max_answers_per_hour",
        "max_tokens_per_day",
        "max_cost_per_day",
        "ceiling_text",
        "allow_rules",
        "ignore_rules",
        "test_only",
        "test_rules",
    ),
    "wishes": ("account", "kind", "identity", "name", "fields", "members"),
    "alert_channels": (
        "name",
        "enabled",
        "kind",
        "email",
        "causes",
        "language",
        "failing_percent",
        "waiting_minutes",
        "deletion_hours",
    ),
}
# By which fields a thing of the file is found here.
NAMED_BY: Mapping[str, tuple[str, ...]] = {
    "accounts": ("key",),
    "retention": ("account",),
    "dify_apps": ("name",),
    "openai_servers": ("name",),
    "bots": ("account", "name"),
    "wishes": ("account", "kind", "identity"),
    "alert_channels": ("name",),
}
# What differs between staging and production, and where secrets are sent to.
ADDRESSES: Mapping[str, frozenset[str]] = {
    "accounts": frozenset({"base_url", "account_id"}),
    "dify_apps": frozenset({"base_url", "console_url"}),
    "openai_servers": frozenset({"base_url"}),
}


class BadConfiguration(BridgeError):
    """The file is no configuration that this bridge can read; nothing was changed."""

    code = "bad_configuration"


@dataclass(frozen=True, kw_only=True)
class Item:
    """One thing of the file, and the line where it stands."""

    section: str
    values: JsonObject
    line: int

    @property
    def identity(self) -> tuple[str, ...]:
        """Return what finds it here."""
        return tuple(str(self.values[name]) for name in NAMED_BY[self.section])

    @property
    def label(self) -> str:
        """Return its name for people."""
        return " · ".join(self.identity)


@dataclass(frozen=True, kw_only=True)
class Document:
    """What a file says, section by section."""

    items: tuple[Item, ...] = field(default_factory=tuple)

    def of(self, section: str) -> list[Item]:
        """Return the things of one section."""
        return [item for item in self.items if item.section == section]


def write(sections: Mapping[str, list[JsonObject]]) -> str:
    """Return the file's text; the same configuration always gives the same text."""
    data: dict[str, object] = {"version": VERSION}
    for name, fields in SECTIONS.items():
        data[name] = [
            {key: values[key] for key in fields if key in values}
            for values in sections.get(name, [])
        ]
    body = yaml.safe_dump(data, allow_unicode=True, sort_keys=False, width=100)
    return HEAD + body


def read(text: str) -> Document:
    """Return what the text says. Raises BadConfiguration with the line."""
    if len(text.encode(errors="replace")) > MAX_BYTES:
        raise BadConfiguration("The file is larger than 1 MB.")
    root = _root(text)
    pairs = _pairs(root, where="The file")
    version = pairs.pop("version", None)
    if version is None:
        raise BadConfiguration(
            "The file has no “version”: it is no configuration of this bridge."
        )
    if _value(version) != VERSION:
        raise BadConfiguration(
            f"Line {_line(version)}: the file has the version {_value(version)!r}; "
            f"this bridge reads version {VERSION}. Export it with one like this."
        )
    items: list[Item] = []
    for name, node in pairs.items():
        if name not in SECTIONS:
            raise BadConfiguration(
                f"Line {_line(node)}: there is no section “{name}”; there are "
                f"{', '.join(SECTIONS)}."
            )
        items += _items(name, node)
    _refuse_twins(items)
    return Document(items=tuple(items))


def _root(text: str) -> yaml.Node:
    try:
        # An alias may stand for a million lines; brackets in brackets take ages.
        depth = 0
        for event in yaml.parse(text, Loader=_LOADER):
            depth += isinstance(event, yaml.CollectionStartEvent)
            depth -= isinstance(event, yaml.CollectionEndEvent)
            if depth > MAX_DEPTH:
                raise BadConfiguration(
                    f"Line {_line(event)}: this is nested too deeply."
                )
            if isinstance(event, yaml.AliasEvent):
                raise BadConfiguration(
                    f"Line {_line(event)}: aliases (*) are not taken. Write the value "
                    "out."
                )
        root = yaml.compose(text, Loader=_LOADER)
    except yaml.YAMLError as err:
        mark = getattr(err, "problem_mark", None)
        where = f"Line {mark.line + 1}: t" if mark else "T"
        problem = getattr(err, "problem", None) or "it cannot be read"
        raise BadConfiguration(f"{where}his is no YAML: {problem}.") from err
    if root is None:
        raise BadConfiguration("The file is empty.")
    return root


def _items(section: str, node: yaml.Node) -> list[Item]:
    if isinstance(node, yaml.ScalarNode) and _value(node) is None:
        return []
    if not isinstance(node, yaml.SequenceNode):
        raise BadConfiguration(f"Line {_line(node)}: “{section}” must be a list.")
    return [_item(section, entry) for entry in node.value]


def _item(section: str, node: yaml.Node) -> Item:
    pairs = _pairs(node, where=f"An entry of “{section}”")
    known = SECTIONS[section]
    for name, value in pairs.items():
        if name not in known:
            raise BadConfiguration(
                f"Line {_line(value)}: “{section}” have no field “{name}”; there are "
                f"{', '.join(known)}."
            )
    values: JsonObject = {name: _value(value) for name, value in pairs.items()}
    for name in NAMED_BY[section]:
        if not isinstance(values.get(name), str) or not str(values[name]).strip():
            raise BadConfiguration(
                f"Line {_line(node)}: an entry of “{section}” needs a text as “{name}”."
            )
    return Item(section=section, values=values, line=_line(node))


def _pairs(node: yaml.Node, *, where: str) -> dict[str, yaml.Node]:
    """Return the values of a mapping by their names, each once."""
    if not isinstance(node, yaml.MappingNode):
        raise BadConfiguration(f"Line {_line(node)}: {where} must be a mapping.")
    found: dict[str, yaml.Node] = {}
    for key, value in node.value:
        name = str(key.value) if isinstance(key, yaml.ScalarNode) else ""
        if not name or name in found:
            what = f"“{name}” stands there twice" if name else "this is no name"
            raise BadConfiguration(f"Line {_line(key)}: {what}.")
        found[name] = value
    return found


def _value(node: yaml.Node) -> JsonValue:
    """Return plain JSON of a node; what JSON does not have is refused."""
    if isinstance(node, yaml.SequenceNode):
        return [_value(item) for item in node.value]
    if isinstance(node, yaml.MappingNode):
        return {key: _value(item) for key, item in _pairs(node, where="This").items()}
    # Without the reader and scanner of a loader, which would be made for each scalar.
    constructor: Any = SafeConstructor()
    try:
        value = constructor.construct_object(node)
    except (yaml.YAMLError, ValueError) as err:
        raise BadConfiguration(
            f"Line {_line(node)}: “{node.value}” cannot be read: {err}"
        ) from err
    is_plain = value is None or isinstance(value, str | bool | int | float)
    if is_plain and _is_storable(value):
        plain: JsonValue = value
        return plain
    raise BadConfiguration(
        f"Line {_line(node)}: {str(node.value)[:80]!r} is neither a plain text, a "
        "number, nor true or false. Put quotation marks around what shall be a text."
    )


def _line(node: yaml.Node | yaml.Event) -> int:
    return int(node.start_mark.line) + 1 if node.start_mark else 1


def _is_storable(value: JsonValue) -> bool:
    """Tell whether PostgreSQL takes it: no zero, half character or infinity."""
    if isinstance(value, float):
        return isfinite(value)
    text = value if isinstance(value, str) else ""
    if "\x00" in text:
        return False
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _refuse_twins(items: list[Item]) -> None:
    seen: dict[tuple[str, tuple[str, ...]], int] = {}
    for item in items:
        mark = (item.section, item.identity)
        if mark in seen:
            raise BadConfiguration(
                f"Line {item.line}: “{item.label}” stands in “{item.section}” twice, "
                f"the first time in line {seen[mark]}."
            )
        seen[mark] = item.line
