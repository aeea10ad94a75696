"""An attachment as a line of text, for those who cannot see it. Pure.

Which fields a kind of attachment has: reference/chatwoot.md section 2.1.
"""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import unquote, urlsplit

from bridge_project.lib.types import JsonObject
from chatwoot_api.lenient import text_at
from chatwoot_api.payloads import Attachment

MAX_CHARS = 1000
# What the customer did, and with what.
_SENT = {
    "image": "sent an image",
    "audio": "sent an audio message",
    "video": "sent a video",
    "location": "sent a location",
    "contact": "sent a contact card",
    "fallback": "shared a link",
    "share": "shared a post",
    "ig_reel": "shared a reel",
    "ig_post": "shared a post",
    "ig_story": "shared a story",
    "story_mention": "mentioned us in a story",
    "embed": "shared an embedded page",
}
# Channels spell the parts of a name in their own ways.
_NAMES = (("name",), ("formatted_name",))
_PARTS = (("first_name", "last_name"), ("firstName", "lastName"))


def line_of(attachment: Attachment) -> str:
    """Return `[The customer sent an image: seam.jpg]`."""
    what = _SENT.get(attachment.file_type, "sent a file")
    tell = _TELLERS.get(attachment.file_type, _file_name)
    told = " ".join(tell(attachment).split())[:MAX_CHARS]
    return f"[The customer {what}: {told}]" if told else f"[The customer {what}]"


def _file_name(attachment: Attachment) -> str:
    if attachment.title:
        return attachment.title
    try:
        path = urlsplit(attachment.data_url).path
    except ValueError:
        return ""  # no address; the webhook said so all the same
    return unquote(path.rsplit("/", 1)[-1])


def _link(attachment: Attachment) -> str:
    return _joined(attachment.title, attachment.data_url)


def _place(attachment: Attachment) -> str:
    point = ""
    if attachment.latitude is not None and attachment.longitude is not None:
        point = f"{attachment.latitude:.6g},{attachment.longitude:.6g}"
    # Chatwoot's default for a place that nobody gave coordinates.
    known = "" if point == "0,0" else point
    return _joined(attachment.title, known, attachment.data_url)


def _person(attachment: Attachment) -> str:
    """Return name and number: the number is the title, whatever the channel."""
    return _joined(_name(attachment.meta), attachment.title)


def _name(meta: JsonObject) -> str:
    for keys in (*_NAMES, *_PARTS):
        name = " ".join(part for key in keys if (part := text_at(meta, key).strip()))
        if name:
            return name
    return ""


def _joined(*parts: str) -> str:
    return ", ".join(part.strip() for part in parts if part.strip())


_TELLERS: dict[str, Callable[[Attachment], str]] = {
    "location": _place,
    "contact": _person,
    **dict.fromkeys(
        ("fallback", "share", "ig_reel", "ig_post", "ig_story", "embed"), _link
    ),
    "story_mention": _link,
}
