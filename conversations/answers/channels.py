"""What each channel shows of a message, and how long one may be.

Since 4.9 Chatwoot turns Markdown into each channel's own marks
(app/services/messages/markdown_renderer_service.rb): into HTML for the website chat and
e-mail, into the marks of WhatsApp and Telegram. There it loses tables and images. What
it makes for Messenger, Instagram, Line and SMS keeps stars that are not shown as bold,
or drops the text of a link; plain text of our own reads better. An API channel gets it
as it is: what its client shows is its own affair, and most show Markdown.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum

# Chatwoot takes 150,000 characters; braces grow when they are made safe from Liquid.
_CHATWOOT_MAX = 140_000


class Shows(Enum):
    """How an answer is written for a channel."""

    MARKDOWN = "markdown"
    # Chatwoot converts it, but for tables and images.
    SIMPLE_MARKDOWN = "simple_markdown"
    PLAIN = "plain"


def characters(text: str) -> int:
    """Count as most services do."""
    return len(text)


def utf16_units(text: str) -> int:
    """Count as Telegram, WhatsApp and phones do: an emoji is two."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def utf8_bytes(text: str) -> int:
    """Count as Instagram does: a Cyrillic letter is two."""
    return len(text.encode("utf-8", "surrogatepass"))


@dataclass(frozen=True, kw_only=True)
class Channel:
    """How a message is written for a channel."""

    shows: Shows = Shows.MARKDOWN
    max_size: int = _CHATWOOT_MAX
    size_of: Callable[[str], int] = characters
    # Chatwoot sends only the first file of a message there.
    one_file_each: bool = False
    # An e-mail in six parts would be odd.
    may_split: bool = True


_NOTE = Channel(may_split=False)
_OTHER = Channel()
_CHANNELS: Mapping[str, Channel] = {
    "Channel::Email": Channel(may_split=False),
    "Channel::Telegram": Channel(
        shows=Shows.SIMPLE_MARKDOWN, max_size=4096, size_of=utf16_units
    ),
    "Channel::Whatsapp": Channel(
        shows=Shows.SIMPLE_MARKDOWN,
        max_size=4096,
        size_of=utf16_units,
        one_file_each=True,
    ),
    "Channel::FacebookPage": Channel(
        shows=Shows.PLAIN, max_size=2000, size_of=utf16_units
    ),
    "Channel::Instagram": Channel(shows=Shows.PLAIN, max_size=1000, size_of=utf8_bytes),
    "Channel::Tiktok": Channel(shows=Shows.PLAIN, max_size=1000, size_of=utf8_bytes),
    "Channel::Line": Channel(shows=Shows.PLAIN, max_size=5000, size_of=utf16_units),
    "Channel::Sms": Channel(shows=Shows.PLAIN, max_size=1600, size_of=utf16_units),
    "Channel::TwilioSms": Channel(
        shows=Shows.PLAIN, max_size=1600, size_of=utf16_units
    ),
    "Channel::TwitterProfile": Channel(
        shows=Shows.PLAIN, max_size=10_000, size_of=utf16_units
    ),
}


def channel_of(name: str, *, private: bool) -> Channel:
    """Return how to write for a channel; notes are shown by Chatwoot itself."""
    return _NOTE if private else _CHANNELS.get(name, _OTHER)
