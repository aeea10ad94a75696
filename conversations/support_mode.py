"""What the customer chose before the chat: the bot, or a human. Pure."""

from __future__ import annotations

import re
import unicodedata
from enum import StrEnum

from bridge_project.lib.types import JsonObject, JsonValue
from conversations.models import Bot


class Choice(StrEnum):
    """Whom the customer wants to talk to."""

    BOT = "bot"
    HUMAN = "human"
    # Nothing was chosen, or nothing that the bot's lists know.
    UNKNOWN = "unknown"


# Keys of attributes have neither commas nor spaces.
_BETWEEN_NAMES = re.compile(r"[,;\s]+")


def chosen(bot: Bot, *sources: JsonObject) -> Choice:
    """Return the choice that the first of the `sources` with the attribute names.

    The order is the caller's: conversation before contact, custom before additional
    attributes. Whatever is not known counts as a human's, but that is the caller's to
    say.
    """
    word = _first(bot.support_mode_attribute, sources)
    if word in _words(bot.support_mode_bot_values):
        return Choice.BOT
    if word in _words(bot.support_mode_human_values):
        return Choice.HUMAN
    return Choice.UNKNOWN


def is_set(bot: Bot, *sources: JsonObject) -> bool:
    """Tell whether the attribute is there at all; a form's may come a little later."""
    return bool(_first(bot.support_mode_attribute, sources))


def _first(names: str, sources: tuple[JsonObject, ...]) -> str:
    """Return the first value, folded; "" if it is nowhere.

    Several names may be given: forms that were made at different times, or elsewhere.
    """
    wanted = [name for name in _BETWEEN_NAMES.split(names) if name]
    for source in sources:
        for name in wanted:
            if word := _folded(source.get(name)):
                return word
    return ""


def _words(lines: str) -> set[str]:
    return {word for line in lines.splitlines() if (word := _folded(line))}


def _folded(value: JsonValue) -> str:
    """Return a value as it is compared; "" for what is no choice at all.

    Case and spaces do not matter, nor how “ё” is typed. A checkbox is “true” or
    “false”, a number its digits; of a list the first entry counts.
    """
    if isinstance(value, list):
        return next((word for item in value if (word := _folded(item))), "")
    if isinstance(value, bool | int | float):
        value = str(value)
    if not isinstance(value, str):
        return ""
    text = unicodedata.normalize("NFKC", value).casefold().replace("ё", "е")
    # Neither visible: spaces of any kind, and marks such as zero-width ones.
    return "".join(
        char
        for char in text
        if not char.isspace() and unicodedata.category(char) != "Cf"
    )
