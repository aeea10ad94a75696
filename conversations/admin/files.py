"""What became of a customer's files, in words for the pages of turns."""

from __future__ import annotations

from dataclasses import dataclass

from django.utils.translation import gettext

from bridge_project.lib.types import JsonValue
from chatwoot_api.payloads import Attachment
from conversations.incoming.choosing import FILE_TYPES, name_of
from conversations.incoming.fates import Fate, fate_of, key_of
from conversations.incoming.hearing import BY_CHATWOOT, BY_DIFY
from conversations.models import Turn


@dataclass(frozen=True)
class FileView:
    """A file of a customer's message, and what the bridge did with it."""

    title: str
    file_type: str
    content_type: str
    what: str = ""
    text: str = ""
    cause: str = ""


def file_view(attachment: Attachment, *, turn: Turn | None) -> FileView:
    """Return the file as a page shows it; without a turn nothing is known of it."""
    is_file = attachment.file_type in FILE_TYPES
    title = attachment.title or (name_of(attachment) if is_file else "")
    stored: JsonValue = turn.files.get(key_of(attachment)) if turn else None
    fate = fate_of(stored)
    return FileView(
        title=title,
        file_type=attachment.file_type,
        content_type=attachment.content_type,
        what=_what(fate) if stored else "",
        text=fate.text,
        cause=fate.cause,
    )


def _what(fate: Fate) -> str:
    if fate.text:
        return _heard(fate)
    if fate.is_sent and fate.variable:
        return gettext("Given to Dify in the input “%(name)s”, as %(kind)s.") % {
            "name": fate.variable,
            "kind": fate.kind,
        }
    if fate.is_sent:
        return gettext("Given to Dify with the question, as %(kind)s.") % {
            "kind": fate.kind
        }
    return gettext("Not given to Dify, only mentioned: %(problem)s.") % {
        "problem": fate.problem
    }


def _heard(fate: Fate) -> str:
    if fate.heard_by == BY_CHATWOOT:
        return gettext("Turned into text by Chatwoot:")
    if fate.heard_by == BY_DIFY:
        return gettext("Turned into text by Dify:")
    return gettext("Turned into text by %(server)s:") % {"server": fate.heard_by}
