"""Messages: post one as the bot, read the history as the administrator."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass

from bridge_project.lib.errors import MalformedPayload, OutcomeUnknown
from bridge_project.lib.http import Multipart
from bridge_project.lib.redact import mask_ours, mask_ours_within
from bridge_project.lib.types import JsonObject
from chatwoot_api.api import ChatwootApi
from chatwoot_api.payloads import MARK_KEY, Message, parse_message
from chatwoot_api.text import liquid_safe

# Elsewhere Chatwoot takes a message with a `source_id` for an echo of the channel and
# does not send it (app/services/base/send_on_channel_service.rb).
CHANNELS_THAT_KEEP_SOURCE_ID = frozenset({"Channel::WebWidget", "Channel::Api"})
# Creating a message runs Chatwoot's automation inside the request.
WRITE_TIMEOUT_S = (5.0, 20.0)
MAX_CONTENT_CHARS = 150_000
_MEDIA_TYPE = re.compile(r"[\w.+-]+/[\w.+-]+(; ?[\w-]+=[\w.-]+)*", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class Upload:
    """A file that goes with a message."""

    name: str
    content_type: str
    content: bytes

    def part(self) -> tuple[str, tuple[str, bytes, str]]:
        """Return the part of a multipart body.

        What is no media type is not passed on: it would stand in the part's head.
        """
        is_type = _MEDIA_TYPE.fullmatch(self.content_type)
        kind = self.content_type if is_type else "application/octet-stream"
        return "attachments[]", (mask_ours(self.name) or "file", self.content, kind)


class MessageCalls(ChatwootApi):
    """The calls about messages (reference/chatwoot.md section 5.3)."""

    def create_message(
        self,
        conversation_id: int,
        *,
        content: str,
        private: bool,
        mark: str,
        channel: str,
        content_type: str = "text",
        content_attributes: JsonObject | None = None,
        files: Sequence[Upload] = (),
    ) -> int:
        """Post a message as the bot and return its Chatwoot id.

        `mark` comes back in the webhook of the message and in the history. There is
        no idempotency key: a lost connection raises OutcomeUnknown. A note is posted
        with the administrator's token if the bot's is refused; a public message never
        is, since the customer would see a human's name. The bridge's own tokens are
        masked wherever a flow or a model has written one.
        """
        attributes = {
            name: mask_ours_within(value)
            for name, value in (content_attributes or {}).items()
        }
        body: JsonObject = {
            "content": fit_to_post(content),
            "message_type": "outgoing",
            "private": private,
            "content_attributes": {**attributes, MARK_KEY: mark},
        }
        if content_type != "text":
            body["content_type"] = content_type
        if private or channel in CHANNELS_THAT_KEEP_SOURCE_ID:
            body["source_id"] = mark
        path = f"{self._root}/conversations/{conversation_id}/messages"
        reply = self._ask(
            ("bot", "admin") if private else ("bot",),
            "POST",
            path,
            json=None if files else body,
            multipart=_multipart(body, files=files) if files else None,
            repeat_safe=False,
            timeout_s=WRITE_TIMEOUT_S,
        )
        if isinstance(reply, dict) and isinstance(reply.get("id"), int):
            return int(str(reply["id"]))
        raise OutcomeUnknown(
            "Chatwoot answered success, but named no message.",
            service=self.service,
            method="POST",
            path=path,
        )

    def list_messages(
        self,
        conversation_id: int,
        *,
        after: int | None = None,
        before: int | None = None,
    ) -> list[Message]:
        """Return the latest 20 messages, oldest first, with notes and activity.

        `after` a message id: up to 100; `before` one: 20; between two: up to 1000,
        and then `after` itself is among them. Needs the administrator's token.
        """
        path = f"{self._root}/conversations/{conversation_id}/messages"
        limits = {"after": after, "before": before}
        params = {name: value for name, value in limits.items() if value is not None}
        reply = self._ask(("admin",), "GET", path, params=params or None)
        if not isinstance(reply, dict):
            raise self._unexpected("GET", path)
        found = (readable(item) for item in self._objects(reply, path=path))
        return [message for message in found if message is not None]


def readable(data: JsonObject) -> Message | None:
    """Return a message, None for one of a kind that a newer Chatwoot brought."""
    try:
        return parse_message(data)
    except MalformedPayload:
        return None


def fit_to_post(content: str) -> str:
    """Return a text that Chatwoot posts as it is, cut to what it takes.

    It refuses longer messages altogether, and fills in Liquid (section 5.3). The
    bridge's own tokens are nobody's to read there.
    """
    content = liquid_safe(mask_ours(content))
    if len(content) <= MAX_CONTENT_CHARS:
        return content
    return content[: MAX_CONTENT_CHARS - 1] + "…"


def _multipart(body: JsonObject, *, files: Sequence[Upload]) -> Multipart:
    """Return a body with files: all values as text, and what is false left out."""
    fields = {
        name: json.dumps(value) if isinstance(value, dict | bool) else str(value)
        for name, value in body.items()
        if value is not False
    }
    return Multipart(fields=fields, files=[file.part() for file in files])
