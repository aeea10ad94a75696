"""What an agent's private note asks of the bot: help, or feedback on an answer. Pure.

Also the customer's rating after the conversation, which is feedback just the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from chatwoot_api.lenient import id_at, object_at, text_at
from chatwoot_api.payloads import MARK_KEY, Message
from conversations.models import Bot

GOOD, BAD = "/good", "/bad"
# A survey's rating goes from 1 to 5; what lies between says neither.
LIKED_FROM, DISLIKED_UP_TO = 4, 2


class Rating(StrEnum):
    """What Dify takes as a rating; it has no word for “so-so”."""

    LIKE = "like"
    DISLIKE = "dislike"


@dataclass(frozen=True, kw_only=True)
class Feedback:
    """Somebody's opinion of an answer. `rating` is None where it is neither."""

    rating: Rating | None
    text: str = ""
    by_customer: bool = False
    # The message that an agent's note replies to.
    about_message_id: int | None = None


def asked(message: Message, *, bot: Bot) -> str | None:
    """Return what an agent's note wants of the bot, None if it is no such note.

    "" where nothing stands behind the command.
    """
    if not _is_by_agent(message):
        return None
    return _behind(bot.command_word, message.text)


def is_command(text: str, *, bot: Bot) -> bool:
    """Tell whether a note was written to the bot, and is nobody else's to read."""
    words = (bot.command_word, GOOD, BAD)
    return any(_behind(word, text) is not None for word in words)


def feedback_in(message: Message, *, is_new: bool, bot: Bot) -> Feedback | None:
    """Return the feedback in a message, None if there is none.

    An agent's counts when the note is new, a survey's when it changes: the customer
    fills it in. It may come twice, with the rating and with the text.
    """
    if not bot.dify_feedback:
        return None
    if is_new:
        return _of_agent(message) if _is_by_agent(message) else None
    return _of_survey(message)


def _is_by_agent(message: Message) -> bool:
    """With a person's token in place of a bot's, our own notes are a person's, too."""
    return (
        message.private
        and message.message_type == "outgoing"
        and message.sender.kind == "user"
        and MARK_KEY not in message.content_attributes
        and not message.is_from_automation
    )


def _behind(word: str, text: str) -> str | None:
    """Return what follows the word at the beginning of a text, None if it is not there.

    Case does not matter; “/aid” is another word.
    """
    word, text = word.strip(), text.strip()
    if not word or text[: len(word)].casefold() != word.casefold():
        return None
    rest = text[len(word) :]
    return rest.strip() if not rest or rest[0].isspace() else None


def _of_agent(message: Message) -> Feedback | None:
    about = id_at(message.content_attributes, "in_reply_to")
    for word, rating in ((GOOD, Rating.LIKE), (BAD, Rating.DISLIKE)):
        text = _behind(word, message.text)
        if text is not None:
            return Feedback(rating=rating, text=text, about_message_id=about)
    return None


def _of_survey(message: Message) -> Feedback | None:
    if message.content_type != "input_csat":
        return None
    values = object_at(message.content_attributes, "submitted_values")
    answer = object_at(values, "csat_survey_response")
    stars = id_at(answer, "rating")
    if stars is None:
        return None
    rating = None
    if stars >= LIKED_FROM:
        rating = Rating.LIKE
    elif stars <= DISLIKED_UP_TO:
        rating = Rating.DISLIKE
    words = text_at(answer, "feedback_message").strip()
    said = f"CSAT {stars}/5"
    return Feedback(
        rating=rating, text=f"{said}: {words}" if words else said, by_customer=True
    )
