"""What the customer chose before the chat: the bot, or a human. Pure."""

from __future__ import annotations

from enum import StrEnum

from bridge_project.lib.types import JsonObject, JsonValue
from conversations.models import Bot


class Choice(StrEnum):
    """Whom the customer wants to talk to."""

    BOT = "bot"
    HUMAN = "human"
    # Nothing was chosen, or nothing that the bot's lists know.
    UNKNOWN = "unknown"


def chosen(bot: Bot, *sources: JsonObject) -> Choice:
    """Return the choice that the first of the `sources` with the attribute names.

    The order is the caller's: conversation before contact, custom before additional
    attributes. Whatever is not known counts as a human's, but that is the caller's to
    say.
    """
    value = _first(bot.support_mode_attribute, sources)
    word = _folded(value)
    if word in _words(bot.support_mode_bot_values):
        return Choice.BOT
    if word in _words(bot.support_mode_human_values):
        return Choice.HUMAN
    return Choice.UNKNOWN


def is_set(bot: Bot, *sources: JsonObject) -> bool:
    """Tell whether the attribute is there at all; a form's may come a little later."""
    return bool(_folded(_first(bot.support_mode_attribute, sources)))


def _first(name: str, sources: tuple[JsonObject, ...]) -> JsonValue:
    for source in sources:
        value = source.get(name)
        if _folded(value):
            return value
    return None


def _words(lines: str) -> set[str]:
    return {word for line in lines.splitlines() if (word := _folded(line))}


def _folded(value: JsonValue) -> str:
    """Return a value as it is compared: case and spaces do not matter."""
    return " ".join(value.casefold().split()) if isinstance(value, str) else ""
