"""The line by which agents see that a note was written by a bot, not by a colleague."""

from __future__ import annotations

from django.conf import settings
from django.utils import translation
from django.utils.translation import gettext

from conversations.models import Bot, ReplyAs, Turn

# Every such line begins with it, in whatever language it goes on.
SIGN = "🤖"


def suggests(bot: Bot, *, kind: str) -> bool:
    """Tell whether a note of such a turn is a suggestion of the copilot.

    What a bot writes that is set to private notes is its answer, as it always was.
    """
    if kind in (Turn.Kind.DRAFT, Turn.Kind.HELP):
        return True
    return bot.shadow or bot.reply_as == ReplyAs.BY_SUPPORT_MODE


def marked(text: str, *, bot: Bot, kind: str) -> str:
    """Return a note's text below the line that says whose it is."""
    with translation.override(bot.language or settings.LANGUAGE_CODE):
        line = (
            gettext("Answer by the bot – only agents see it")
            if kind == Turn.Kind.HELP
            else gettext("Draft by the bot – not sent to the customer")
        )
    return f"{SIGN} {line}\n\n{text}"


def unmarked(text: str) -> str:
    """Return the text without that line."""
    return text.partition("\n\n")[2] if text.startswith(SIGN) else text
