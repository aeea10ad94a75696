"""What a flow or an operator may do to a conversation; knows nothing of HTTP in."""

from __future__ import annotations

from conversations.actions.changes import FIELDS, change
from conversations.actions.contacts import read_contact, update_contact
from conversations.actions.messages import find_sent, send_message
from conversations.actions.outcome import NotDone, Outcome
from conversations.actions.reading import read_conversation, read_messages
from conversations.actions.starting import start_conversation
from conversations.actions.target import Target
from conversations.actions.typing_sign import set_typing

__all__ = [
    "FIELDS",
    "NotDone",
    "Outcome",
    "Target",
    "change",
    "find_sent",
    "read_contact",
    "read_conversation",
    "read_messages",
    "send_message",
    "set_typing",
    "start_conversation",
    "update_contact",
]
