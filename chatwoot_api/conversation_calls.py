"""Conversations: look at one, start one, and change what agents may change.

Writes go with the bot's token, and with the administrator's where this version of
Chatwoot does not let bots do them, or the bot's token is refused.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from http import HTTPStatus

from bridge_project.lib.errors import (
    BridgeError,
    MalformedPayload,
    OutcomeUnknown,
    UpstreamUnavailable,
)
from bridge_project.lib.types import JsonObject, JsonValue
from chatwoot_api.api import SHORT_TIMEOUT_S
from chatwoot_api.lenient import id_at, list_at, object_at
from chatwoot_api.message_calls import (
    WRITE_TIMEOUT_S,
    MessageCalls,
    fit_to_post,
    readable,
)
from chatwoot_api.payloads import Conversation, Message, parse_conversation

logger = logging.getLogger(__name__)

TYPING_TIMEOUT_S = (2.0, 3.0)


class ConversationCalls(MessageCalls):
    """The calls about one conversation (reference/chatwoot.md section 5.4)."""

    def show_conversation(
        self, conversation_id: int
    ) -> tuple[Conversation, Message | None]:
        """Return a conversation as it is now, and its last message of any kind.

        The administrator's token is preferred, since a bot's fails once a team is set;
        before 4.14.2 a bot may not read at all (NotOpenToBots).
        """
        path = self._one(conversation_id)
        reply = self._ask(("admin", "bot"), "GET", path)
        if not isinstance(reply, dict):
            raise self._unexpected("GET", path)
        last = reply.get("last_non_activity_message")
        try:
            message = readable(last) if isinstance(last, dict) else None
            return parse_conversation(reply), message
        except MalformedPayload as err:
            raise self._unexpected("GET", path) from err

    def create_conversation(
        self,
        *,
        inbox_id: int,
        contact_id: int,
        status: str = "",
        custom_attributes: JsonObject | None = None,
        message: JsonObject | None = None,
    ) -> int:
        """Start a conversation and return its number.

        Its first `message` has the fields of create_message's body; the customer sees
        who wrote it, so only the bot's token may. A team has to be set afterwards: a
        bot's answer would be 500. The same happens in an inbox that keeps to one
        conversation per contact, so what came of a 500 is unknown.
        """
        body: JsonObject = {"inbox_id": inbox_id, "contact_id": contact_id}
        if status:
            body["status"] = status
        if custom_attributes:
            body["custom_attributes"] = custom_attributes
        if message is not None:
            content = message.get("content")
            text = fit_to_post(content) if isinstance(content, str) else content
            body["message"] = {**message, "content": text}
        number = id_at(self._created(body), "id")
        if number is None:
            raise self._open_outcome(f"{self._root}/conversations", status=None)
        return number

    def begin_conversation(
        self, *, inbox_id: int, contact_id: int, source_id: str, status: str
    ) -> Conversation:
        """Start an empty conversation with a visitor and return it.

        `source_id` is the visitor's in the inbox; Chatwoot would make another one, and
        the visitor's own browser would not see the conversation. In an inbox of a bot
        it is pending whatever `status` says.
        """
        body: JsonObject = {
            "inbox_id": inbox_id,
            "contact_id": contact_id,
            "source_id": source_id,
            "status": status,
        }
        try:
            return parse_conversation(self._created(body))
        except MalformedPayload as err:
            path = f"{self._root}/conversations"
            raise self._open_outcome(path, status=None) from err

    def _created(self, body: JsonObject) -> JsonObject:
        """Start a conversation and return what Chatwoot says of it."""
        path = f"{self._root}/conversations"
        try:
            reply = self._ask(
                ("bot",) if "message" in body else ("bot", "admin"),
                "POST",
                path,
                json=body,
                repeat_safe=False,
                timeout_s=WRITE_TIMEOUT_S,
            )
        except UpstreamUnavailable as err:
            if err.status != HTTPStatus.INTERNAL_SERVER_ERROR:
                raise
            raise self._open_outcome(path, status=err.status) from err
        return reply if isinstance(reply, dict) else {}

    def toggle_status(
        self, conversation_id: int, *, status: str, snoozed_until: int | None = None
    ) -> None:
        """Set open, resolved, pending or snoozed (until Unix seconds, or a reply).

        With the bot's token: pending → open is then counted as a handoff. With the
        administrator's if that is refused: no customer must wait because of it.
        """
        body: JsonObject = {"status": status}
        if snoozed_until is not None:
            body["snoozed_until"] = snoozed_until
        path = f"{self._one(conversation_id)}/toggle_status"
        self._ask(("bot", "admin"), "POST", path, json=body)

    def toggle_priority(self, conversation_id: int, *, priority: str) -> None:
        """Set low, medium, high or urgent; "" clears. Chatwoot 3.6.0+ for bots."""
        self._write(conversation_id, "toggle_priority", {"priority": priority or None})

    def assign_team(self, conversation_id: int, *, team_id: int | None) -> int | None:
        """Assign a team, or none; returns the team that it has now.

        A team that Chatwoot does not know counts as none: then None is returned, and
        the conversation has lost its team. Chatwoot takes an assignee off who is not
        in the team, and may assign an online member.
        """
        return self._assigned(conversation_id, {"team_id": team_id or 0})

    def assign_agent(
        self, conversation_id: int, *, agent_id: int | None, is_bot: bool = False
    ) -> int | None:
        """Assign an agent, or none; returns who has it now.

        One that Chatwoot does not know counts as none, as with teams. `is_bot` says
        that the number is an agent bot's (4.8.0+).
        """
        body: JsonObject = {"assignee_id": agent_id or 0}
        if is_bot:
            body["assignee_type"] = "AgentBot"
        return self._assigned(conversation_id, body)

    def _assigned(self, conversation_id: int, body: JsonObject) -> int | None:
        reply = self._write(conversation_id, "assignments", body)
        return id_at(reply, "id") if isinstance(reply, dict) else None

    def set_typing(
        self, conversation_id: int, *, on: bool, private: bool = False
    ) -> None:
        """Show or hide the typing sign; Chatwoot never hides it by itself (4.11.2+).

        Customers see whose it is, so to them only the bot types.
        """
        self._ask(
            ("bot", "admin") if private else ("bot",),
            "POST",
            f"{self._one(conversation_id)}/toggle_typing_status",
            json={"typing_status": "on" if on else "off", "is_private": private},
            timeout_s=TYPING_TIMEOUT_S,
        )

    def show_typing(self, conversation_id: int, *, on: bool) -> None:
        """Show or hide the typing sign to the customer, if that works.

        A failure is only logged: the sign is worth nobody's answer.
        """
        try:
            self.set_typing(conversation_id, on=on)
        except BridgeError as err:
            logger.info("The typing sign could not be set: %s", err)

    def labels_of(self, conversation_id: int) -> list[str]:
        """Return a conversation's labels."""
        path = f"{self._one(conversation_id)}/labels"
        reply = self._ask(("admin", "bot"), "GET", path, timeout_s=SHORT_TIMEOUT_S)
        return self._labels("GET", path, reply)

    def set_labels(self, conversation_id: int, labels: Sequence[str]) -> list[str]:
        """Replace a conversation's labels and return them; Chatwoot adds none up.

        For bots since 4.14.2. Unknown names are taken, without a label of the account.
        """
        reply = self._write(conversation_id, "labels", {"labels": list(labels)})
        path = f"{self._one(conversation_id)}/labels"
        return self._labels("POST", path, reply)

    def set_custom_attributes(
        self, conversation_id: int, attributes: JsonObject
    ) -> JsonObject:
        """Replace a conversation's custom attributes, all of them, and return them.

        For bots since 4.2.0. Not checked against the definitions.
        """
        body: JsonObject = {"custom_attributes": attributes}
        reply = self._write(conversation_id, "custom_attributes", body)
        if not isinstance(reply, dict):
            path = f"{self._one(conversation_id)}/custom_attributes"
            raise self._unexpected("POST", path)
        return object_at(reply, "custom_attributes")

    def _one(self, conversation_id: int) -> str:
        return f"{self._root}/conversations/{conversation_id}"

    def _write(
        self, conversation_id: int, endpoint: str, body: JsonObject
    ) -> JsonValue:
        return self._ask(
            ("bot", "admin"),
            "POST",
            f"{self._one(conversation_id)}/{endpoint}",
            json=body,
            timeout_s=SHORT_TIMEOUT_S,
        )

    def _labels(self, method: str, path: str, reply: JsonValue) -> list[str]:
        if not isinstance(reply, dict) or not isinstance(reply.get("payload"), list):
            raise self._unexpected(method, path)
        return [name for name in list_at(reply, "payload") if isinstance(name, str)]

    def _open_outcome(self, path: str, *, status: int | None) -> OutcomeUnknown:
        return OutcomeUnknown(
            "Chatwoot did not say which conversation it started, or whether it did.",
            service=self.service,
            method="POST",
            path=path,
            status=status,
        )
