"""Tells what a pre-chat form or the widget leaves in the chat from questions. Pure.

Chatwoot 4 keeps a form's e-mail address at the contact, and a visitor's answer to
“Get notified by email” as `message_updated` (reference/chatwoot.md sections 2.2 and 6).
Visitors type it into the chat all the same, and other widgets and older versions send
what the form says as the customer's message.
"""

from __future__ import annotations

import re

from chatwoot_api.payloads import Message

# Boxes of the widget: whatever such a message says was put into a form.
_FORM_TYPES = frozenset({"input_email", "input_csat"})
# What the widget says beside its box, in some languages of Chatwoot's. Its own messages
# are known by their type; these are for widgets that repeat them as the customer's.
_ASKS_FOR_EMAIL = (
    "Give the team a way to reach you.",
    "Get notified by email",
    "Оставьте ваш email для связи",
    "Получать уведомления по email",
    "Geben Sie dem Team einen Weg, Sie zu erreichen.",
    "Lassen Sie sich per E-Mail benachrichtigen",
    "Dale al equipo una forma de llegar a ti.",
    "Recibir notificaciones por correo electrónico",
)
# Bounded parts: a text of any length is looked at in linear time.
_ADDRESS = r"[^\s@<>()\[\],;:\"]{1,64}@[^\s@<>()\[\],;:\"]{1,200}\.[^\W\d_]{2,24}"
_EMAIL = re.compile(
    # As HTML becomes Markdown: `<a@b.test>`, or a link whose text is the address.
    rf"(?:<(?:mailto:)?{_ADDRESS}>|\[{_ADDRESS}\]\(mailto:[^\s()]{{1,300}}\)|"
    rf"(?:e-?mail\s?:\s?|mailto:)?{_ADDRESS}[.,;]?)",
    re.I,
)


def _folded(line: str) -> str:
    return " ".join(line.casefold().split()).rstrip(".!:")


_TEXTS = frozenset(_folded(text) for text in _ASKS_FOR_EMAIL)
# A form's data is short; anything longer was written by somebody.
_MAX_CHARS = 1000


def is_form_data(message: Message) -> bool:
    """Tell whether a message has nothing but what a form or the widget put into it.

    A lone e-mail address may be an answer, too: see `has_email`.
    """
    if message.attachments:
        return False
    if message.content_type in _FORM_TYPES:
        return True
    lines = _lines(message)
    return bool(lines) and all(_is_email(x) or _folded(x) in _TEXTS for x in lines)


def has_email(message: Message) -> bool:
    """Tell whether an address stands there: what a bot or a human may have asked for.

    Not in a box of the widget; that one asked for it by itself.
    """
    if message.content_type in _FORM_TYPES:
        return False
    return any(_is_email(line) for line in _lines(message))


def asks_for_email(message: Message) -> bool:
    """Tell whether this is the widget's own request for an address."""
    if message.message_type != "template":
        return False
    return message.content_type == "input_email" or any(
        _folded(line) in _TEXTS for line in _lines(message)
    )


def _lines(message: Message) -> list[str]:
    if len(message.content) > _MAX_CHARS:
        return []
    return [line for x in message.text.splitlines() if (line := x.strip())]


def _is_email(line: str) -> bool:
    return _EMAIL.fullmatch(line) is not None
