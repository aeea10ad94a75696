"""What an answer to a form says: a click, a filled-in form, a text or a note. Pure.

People write "2", "Reject", "reject" or "Reject: it is too much"; a form with fields is
answered with a line for each, or, where there is but one, with its text alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from bridge_project.lib.types import JsonObject
from chatwoot_api import submitted
from chatwoot_api.payloads import Message
from conversations.models import FlowForm

# The field of Chatwoot's form that stands for the choice; Dify's names have no dots.
CHOICE_FIELD = "bridge.choice"
# What agents may call it in a line, besides the field's own name.
_CHOICE_NAMES = frozenset({"choice", "your choice", "action", "выбор", "ваш выбор"})
_NUMBERED = re.compile(r"(\d{1,3})\s*[.):]?\s*(.*)", re.S)
_BREAKS = re.compile(r"[\s:,.;!–—-]")


@dataclass(frozen=True)
class Answer:
    """The chosen action, and a value for each field of the form."""

    action: str
    title: str
    inputs: dict[str, str] = field(default_factory=dict)

    def to_json(self, *, event_id: int) -> JsonObject:
        """Return what is stored of it."""
        return {
            "action": self.action,
            "title": self.title,
            "inputs": {**self.inputs},
            "event": event_id,
        }


def of_submission(form: FlowForm, message: Message) -> Answer | None:
    """Read a click on a choice, or a filled-in form of Chatwoot's."""
    clicked = submitted.choice_of(message)
    if clicked:
        action = _action(form, clicked)
        return None if action is None else _answer(form, action, {})
    values = submitted.values_of(message)
    if not values:
        return None
    action = _action(form, values.pop(CHOICE_FIELD, "")) or _only_action(form)
    return None if action is None else _answer(form, action, values)


def of_text(form: FlowForm, text: str) -> Answer | None:
    """Read what somebody wrote, None if it is no answer to the form."""
    text = text.strip()
    if not text:
        return None
    action, rest = _leading_action(form, text)
    if not form.fields:
        # "2 weeks ago I wrote" and "Reject nothing!" choose nothing.
        return _answer(form, action, {}) if action and not rest else None
    if action is None and (one := _only_action(form)) is not None:
        action = one
    values, chosen, left = _lines(form, rest)
    action = action or chosen
    if action is None:
        return None
    name = _text_field(form)
    if left and name and name not in values:
        values[name] = left
    if not values and left:
        return None
    if not values and _only_action(form) is not None and not rest:
        return None
    return _answer(form, action, values)


def of_note(form: FlowForm, text: str) -> Answer | None:
    """Read an agent's private note, which begins with "/" and the choice."""
    text = text.strip()
    if not text.startswith("/"):
        return None
    action, rest = _leading_action(form, text[1:].lstrip())
    if action is None:
        return None
    values, _chosen, left = _lines(form, rest)
    name = _text_field(form)
    if left and name and name not in values:
        values[name] = left
    return _answer(form, action, values)


def actions_of(form: FlowForm) -> list[tuple[str, str]]:
    """Return the choices: what Dify calls each, and its title."""
    return [(str(row["id"]), str(row["title"])) for row in form.actions]


def label_of(row: JsonObject) -> str:
    """Return how a field is called; Dify knows only the variable's name."""
    words = str(row.get("label") or row["name"]).replace("_", " ").strip()
    return words[:1].upper() + words[1:]


def options_of(row: JsonObject) -> list[str]:
    """Return what may be chosen in a field, [] if it is free."""
    options = row.get("options")
    return [str(one) for one in options] if isinstance(options, list) else []


def _answer(form: FlowForm, action: tuple[str, str], values: dict[str, str]) -> Answer:
    """Give each field a value: Dify refuses a form that lacks one."""
    inputs = {}
    for row in form.fields:
        given = values.get(str(row["name"]), str(row.get("default") or ""))
        inputs[str(row["name"])] = _option(row, given)
    return Answer(action[0], action[1], inputs)


def _option(row: JsonObject, given: str) -> str:
    """Return the option that is meant; numbers count from 1."""
    options = options_of(row)
    if given.isdigit() and 0 < int(given) <= len(options) and given not in options:
        return options[int(given) - 1]
    same = (one for one in options if one.casefold() == given.casefold())
    return next(same, given)


def _action(form: FlowForm, said: str) -> tuple[str, str] | None:
    """Return the action that is called so: by its name, its title or its number."""
    word = said.strip().casefold()
    actions = actions_of(form)
    for action in actions:
        if word and word in (action[0].casefold(), action[1].casefold()):
            return action
    if word.isdigit() and 0 < int(word) <= len(actions):
        return actions[int(word) - 1]
    return None


def _only_action(form: FlowForm) -> tuple[str, str] | None:
    actions = actions_of(form)
    return actions[0] if len(actions) == 1 else None


def _leading_action(form: FlowForm, text: str) -> tuple[tuple[str, str] | None, str]:
    """Return the action that a text begins with, and what follows it.

    The longest name wins: “Approve partly” is not “Approve”.
    """
    whole = _action(form, text.strip(" .!)"))
    if whole is not None:
        return whole, ""
    named = _leading_name(form, text)
    if named is not None:
        return named[1], text[len(named[0]) :].lstrip(" :,.;!–—-\n\r\t")
    numbered = _NUMBERED.match(text)
    if numbered and (not numbered[2] or text[len(numbered[1])] in " .):\n"):
        action_ = _action(form, numbered[1])
        rest = numbered[2].strip()
        if action_ is not None and not _names_another(form, rest, action=action_):
            return action_, _without_title(rest, action_)
    return None, text


def contradicts(form: FlowForm, text: str) -> bool:
    """Tell whether a note says a choice's number with the title of another."""
    text = text.strip().removeprefix("/").lstrip()
    numbered = _NUMBERED.match(text)
    action = _action(form, numbered[1]) if numbered else None
    if numbered is None or action is None:
        return False
    return _names_another(form, numbered[2].strip(), action=action)


def _names_another(form: FlowForm, text: str, *, action: tuple[str, str]) -> bool:
    """Tell whether "1 Reject" names another action than the one with that number."""
    if _named(form, text.partition("\n")[0])[0]:
        return False
    name, _action_ = _leading_name(form, text) or ("", action)
    return bool(name) and name.casefold() not in {word.casefold() for word in action}


def _leading_name(form: FlowForm, text: str) -> tuple[str, tuple[str, str]] | None:
    """Return the longest name of an action that a text begins with, and the action."""
    names = [(name, action) for action in actions_of(form) for name in action if name]
    for name, action in sorted(names, key=lambda pair: -len(pair[0])):
        rest = text[len(name) :]
        is_whole = not rest or _BREAKS.match(rest)
        if text[: len(name)].casefold() == name.casefold() and is_whole:
            return name, action
    return None


def _without_title(text: str, action: tuple[str, str]) -> str:
    """Return what follows "1 Approve", as the list of choices has it."""
    title, rest = action[1], text[len(action[1]) :]
    if text[: len(title)].casefold() != title.casefold():
        return text
    return rest.lstrip(" :,.;!–—-\n\r\t") if not rest or _BREAKS.match(rest) else text


def _lines(
    form: FlowForm, text: str
) -> tuple[dict[str, str], tuple[str, str] | None, str]:
    """Return the fields' values, the action if a line names it, and what is left.

    A value may go on over the lines that name no field.
    """
    values: dict[str, str] = {}
    chosen: tuple[str, str] | None = None
    left: list[str] = []
    current = ""
    for line in text.splitlines():
        name, value = _named(form, line)
        if name == CHOICE_FIELD:
            chosen, current = _action(form, value), ""
        elif name:
            values[name], current = value, name
        elif current:
            values[current] = f"{values[current]}\n{line}".strip()
        else:
            left.append(line)
    return values, chosen, "\n".join(left).strip()


def _named(form: FlowForm, line: str) -> tuple[str, str]:
    """Return which field a line "Name: value" is for, "" if for none."""
    said, colon, value = line.partition(":")
    word = said.strip(" *-/").casefold()
    if not colon or not word:
        return "", ""
    for name, names in _names(form):
        if word in names:
            return name, value.strip()
    return (CHOICE_FIELD, value.strip()) if word in _CHOICE_NAMES else ("", "")


def _names(form: FlowForm) -> Iterator[tuple[str, set[str]]]:
    for row in form.fields:
        name = str(row["name"])
        words = {name, name.replace("_", " "), label_of(row)}
        yield name, {word.casefold() for word in words}


def _text_field(form: FlowForm) -> str:
    """Return the only field that takes any text, "" if none or several do."""
    free = [str(row["name"]) for row in form.fields if not options_of(row)]
    return free[0] if len(free) == 1 else ""
