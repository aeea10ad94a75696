"""How a form is asked for: the question to the customer, the note to the agents. Pure.

`form_content` is Markdown with a placeholder where a field stands; the fields are
named below it instead. Texts are in the bot's language.
"""

from __future__ import annotations

import re

from django.conf import settings
from django.utils import translation
from django.utils.translation import gettext

from bridge_project.lib.types import JsonObject, JsonValue
from conversations.flow_forms.reading import (
    CHOICE_FIELD,
    actions_of,
    label_of,
    options_of,
)
from conversations.models import Bot, FlowForm
from conversations.rich import Rich

_PLACEHOLDER = re.compile(r"\{\{#\$output\.[^{}#]*#\}\}")
_BLANK_LINES = re.compile(r"\n\s*\n\s*\n+")


def question(form: FlowForm, *, bot: Bot, shows_items: bool) -> tuple[str, Rich | None]:
    """Return what the customer is asked, with buttons or a form where they show."""
    with translation.override(bot.language or settings.LANGUAGE_CODE):
        content = content_of(form)
        if not shows_items:
            return _in_words(form, content), None
        if not form.fields:
            return content or gettext("Please choose:"), _buttons(form)
        return content or gettext("Please fill in:"), _form(form)


def hint(form: FlowForm, *, bot: Bot, shows_items: bool) -> tuple[str, Rich | None]:
    """Return the question once more, after an answer that was none."""
    content, rich = question(form, bot=bot, shows_items=shows_items)
    with translation.override(bot.language or settings.LANGUAGE_CODE):
        sorry = gettext("Sorry, I need an answer to this before I can go on.")
    return f"{sorry}\n\n{content}", rich


def reminder(form: FlowForm, *, bot: Bot) -> str:
    """Return the line that reminds of the form, for whoever was asked."""
    with translation.override(bot.language or settings.LANGUAGE_CODE):
        if form.goes_to == "agent":
            line = gettext("The bot still waits for an answer to its form:")
            return f"{line}\n\n{_note_body(form)}"
        line = gettext("I still need your answer to this:")
        return f"{line}\n\n{_in_words(form, content_of(form))}"


def note(form: FlowForm, *, bot: Bot) -> str:
    """Return the note that asks an agent, with what to write."""
    with translation.override(bot.language or settings.LANGUAGE_CODE):
        line = gettext("The bot's flow waits for an answer by an agent.")
        return f"{line}\n\n{_note_body(form)}"


def content_of(form: FlowForm) -> str:
    """Return the form's text without its placeholders."""
    text = _PLACEHOLDER.sub("", form.content)
    return _BLANK_LINES.sub("\n\n", text).strip()


def _buttons(form: FlowForm) -> Rich:
    return Rich(
        content_type="input_select",
        items=tuple({"title": title, "value": key} for key, title in actions_of(form)),
    )


def _form(form: FlowForm) -> Rich:
    """The choice is a field of its own, unless there is only one: then the button."""
    items = [_item(row) for row in form.fields]
    actions = actions_of(form)
    if len(actions) > 1:
        options: list[JsonValue] = [
            {"label": title, "value": key} for key, title in actions
        ]
        items.append(
            {
                "name": CHOICE_FIELD,
                "label": gettext("Your choice"),
                "type": "select",
                "options": options,
                "required": True,
            }
        )
    label = actions[0][1] if len(actions) == 1 else gettext("Send")
    return Rich(content_type="form", items=tuple(items), button_label=label)


def _item(row: JsonObject) -> JsonObject:
    item: JsonObject = {"name": str(row["name"]), "label": label_of(row)}
    options = options_of(row)
    if options:
        listed: list[JsonValue] = [{"label": one, "value": one} for one in options]
        return {**item, "type": "select", "options": listed, "required": True}
    item["type"] = "text_area" if row.get("type") == "paragraph" else "text"
    if row.get("default"):
        item["default"] = str(row["default"])
    # Chatwoot's widget sends a form only once every field of it is filled in.
    return {**item, "required": True}


def _in_words(form: FlowForm, content: str) -> str:
    """Return the question as text alone, with how to answer it."""
    actions = actions_of(form)
    if not form.fields:
        lines = [f"{number}. {title}" for number, (_, title) in enumerate(actions, 1)]
        asks = gettext("Please answer with the number.")
        return _joined(content, "\n".join(lines), asks)
    if len(form.fields) == 1 and len(actions) == 1:
        return _joined(content, _field_words(form.fields[0]))
    lines = [f"{_field_words(row)}:" for row in form.fields]
    if len(actions) > 1:
        titles = " / ".join(title for _, title in actions)
        lines.append(f"{gettext('Your choice')} ({titles}):")
    asks = gettext("Please answer with a line for each:")
    return _joined(content, asks, "\n".join(lines))


def _note_body(form: FlowForm) -> str:
    """Return the form's text, what to write, and which lines may follow."""
    choices = [
        f"/{number} {title}" for number, (_, title) in enumerate(actions_of(form), 1)
    ]
    asks = gettext("Answer with a private note that begins with one of these:")
    parts = [f"**{form.title}**" if form.title else "", content_of(form), asks]
    parts.append("\n".join(f"- `{choice}`" for choice in choices))
    if form.fields:
        parts.append(gettext("Below it, a line for each field:"))
        parts.append("\n".join(f"- {_field_words(row)}: …" for row in form.fields))
    return _joined(*parts)


def _field_words(row: JsonObject) -> str:
    options = options_of(row)
    label = label_of(row)
    return f"{label} ({', '.join(options)})" if options else label


def _joined(*parts: str) -> str:
    return "\n\n".join(part for part in parts if part)
