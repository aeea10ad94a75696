"""Whether a customer's message is nothing but a word that makes the bot begin anew."""

from __future__ import annotations

from chatwoot_api.payloads import Message
from conversations.models import Bot

# What people put at the end of a word, and what it does not change.
_ENDS = " .,!?…;:。！？"
MAX_CHARS = 200


def asks_for_it(message: Message, *, bot: Bot) -> bool:
    """Tell whether the whole message is one of the bot's words. Pure.

    Case, ё for е, spaces and punctuation at the end do not matter.
    """
    if not bot.reset_words.strip() or message.attachments:
        return False
    # Longer than any word with what may follow it; HTML is unwrapped for nothing else.
    if len(message.content) > MAX_CHARS:
        return False
    said = _folded(message.text)
    return bool(said) and any(
        said == _folded(word) for word in bot.reset_words.splitlines()
    )


def _folded(text: str) -> str:
    """Fold what does not matter; a word of nothing but signs is left as it is."""
    folded = " ".join(text.casefold().replace("ё", "е").split())
    return folded.rstrip(_ENDS) or folded
