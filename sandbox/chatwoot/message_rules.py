"""What Chatwoot refuses when a message is created: lengths, items, file types."""

from __future__ import annotations

from sandbox import times
from sandbox.chatwoot.errors import refused
from sandbox.chatwoot.records import Conversation
from sandbox.json_types import Json

CONTENT_LIMIT = 150_000
CONTENT_TYPES = (
    "text",
    "input_text",
    "input_textarea",
    "input_email",
    "input_select",
    "cards",
    "form",
    "article",
    "incoming_email",
    "input_csat",
    "integrations",
    "sticker",
    "voice_call",
)
MAX_ATTACHMENTS = 15
MAX_FILE_BYTES = 40 * 1024 * 1024

_ITEM_KEYS = {
    "input_select": {"title", "value"},
    "cards": {"title", "description", "media_url", "actions"},
    "form": {
        "type",
        "placeholder",
        "label",
        "name",
        "options",
        "default",
        "required",
        "pattern",
        "title",
        "pattern_error",
    },
    "article": {"title", "description", "link"},
}
_ACTION_KEYS = {"text", "type", "payload", "uri"}
_FILE_TYPES = frozenset(
    {
        "text/csv",
        "text/plain",
        "text/rtf",
        "application/rtf",
        "text/xml",
        "application/xml",
        "application/json",
        "application/pdf",
        "application/zip",
        "application/x-7z-compressed",
        "application/vnd.rar",
        "application/x-rar-compressed",
        "application/x-tar",
        "application/msword",
        "application/vnd.ms-excel",
        "application/vnd.ms-powerpoint",
        "application/vnd.oasis.opendocument.text",
        "application/vnd.openxmlformats-officedocument.presentationml.presentation",
        "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
        "application/x-pkcs12",
    }
)


def check_content(content: str | None) -> None:
    if content is not None and len(content) > CONTENT_LIMIT:
        raise refused(
            "Validation failed: Content is too long "
            f"(maximum is {CONTENT_LIMIT} characters)"
        )


def check_rate(conversation: Conversation, *, limit: int) -> None:
    """At most ``limit`` messages a minute, all senders together."""
    since = times.now() - 60
    rows = conversation.messages  # in the order of time
    if limit <= len(rows) and (limit <= 0 or rows[-limit].created_at >= since):
        raise refused("Validation failed: Too many messages")


def check_items(content_type: str, attributes: Json) -> None:
    """The items of rich messages (content_attribute_validator.rb)."""
    if content_type not in CONTENT_TYPES:
        raise refused(f"'{content_type}' is not a valid content_type")
    if content_type not in _ITEM_KEYS:
        return
    items = attributes.get("items")
    if not isinstance(items, list) or not items:
        raise refused(
            "Validation failed: Content attributes At least one item is required."
        )
    if not all(isinstance(item, dict) for item in items):
        raise refused("Validation failed: Content attributes Items should be a hash.")
    _check_keys(items, allowed=_ITEM_KEYS[content_type])
    if content_type == "cards":
        _check_actions(items)


def _check_actions(items: list[Json]) -> None:
    if not all(item.get("actions") for item in items):
        raise refused(
            "Validation failed: Content attributes contains items missing actions"
        )
    for item in items:
        _check_keys(item["actions"], allowed=_ACTION_KEYS)


def _check_keys(rows: list[Json], *, allowed: set[str]) -> None:
    invalid = sorted({key for row in rows for key in row} - allowed)
    if invalid:
        raise refused(
            "Validation failed: Content attributes contains invalid keys for items : "
            f"{invalid}"
        )


def check_file(*, content_type: str, size: int, channel: str) -> None:
    """Size and type matter in web widget inboxes only."""
    if channel != "Channel::WebWidget":
        return
    if size > MAX_FILE_BYTES:
        raise refused("Validation failed: Attachments file size is too big")
    media = content_type.startswith(("image/", "video/", "audio/"))
    if not media and content_type not in _FILE_TYPES:
        raise refused("Validation failed: Attachments file type not supported")


def file_type(content_type: str) -> str:
    kind = content_type.partition("/")[0]
    return kind if kind in ("image", "audio", "video") else "file"
