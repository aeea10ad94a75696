"""Chatwoot's application API, one method per endpoint that the bridge uses.

Which token may call what: reference/chatwoot.md section 5.1. A bot cannot read
messages, and until Chatwoot's pull request 15612 its reads answer 500 once the
conversation has a team; an administrator's token has neither limit.
"""

from __future__ import annotations

import logging

from requests import Response

from bridge_project.lib.errors import (
    BridgeError,
    ConfigurationError,
    MalformedPayload,
    OutcomeUnknown,
    Unauthorized,
    UnexpectedReply,
    UpstreamError,
    UpstreamRateLimited,
)
from bridge_project.lib.http import CallLog, JsonApi
from bridge_project.lib.types import JsonObject
from chatwoot_api.models import ChatwootAccount
from chatwoot_api.payloads import (
    MARK_KEY,
    Conversation,
    Message,
    parse_conversation,
    parse_message,
)
from chatwoot_api.text import liquid_safe

logger = logging.getLogger(__name__)

# Elsewhere Chatwoot takes a message with a `source_id` for an echo of the channel and
# does not send it (app/services/base/send_on_channel_service.rb).
CHANNELS_THAT_KEEP_SOURCE_ID = frozenset({"Channel::WebWidget", "Channel::Api"})
# Creating a message runs Chatwoot's automation inside the request.
WRITE_TIMEOUT_S = (5.0, 20.0)
MAX_CONTENT_CHARS = 150_000
TYPING_TIMEOUT_S = (2.0, 3.0)


class ChatwootClient(JsonApi):
    """The calls of one account."""

    service = "chatwoot"

    def __init__(
        self, account: ChatwootAccount, *, call_log: CallLog | None = None
    ) -> None:
        super().__init__(
            base_url=account.server_url(),
            secrets=(account.bot_token, account.admin_token),
            call_log=call_log,
        )
        self._bot_token = account.bot_token
        self._admin_token = account.admin_token
        self._root = f"/api/v1/accounts/{account.account_id}"

    @property
    def can_read_messages(self) -> bool:
        """Tell whether there is a token that may list messages."""
        return bool(self._admin_token)

    def create_message(
        self,
        conversation_id: int,
        *,
        content: str,
        private: bool,
        mark: str,
        channel: str,
    ) -> int:
        """Post a message as the bot and return its Chatwoot id.

        `mark` comes back in the webhook of the message and in the history. There is
        no idempotency key: a lost connection raises OutcomeUnknown.
        """
        body: JsonObject = {
            "content": _within_limit(liquid_safe(content)),
            "message_type": "outgoing",
            "private": private,
            "content_attributes": {MARK_KEY: mark},
        }
        if private or channel in CHANNELS_THAT_KEEP_SOURCE_ID:
            body["source_id"] = mark
        path = f"{self._root}/conversations/{conversation_id}/messages"
        reply = self.request_json(
            "POST",
            path,
            headers=self._as_bot(),
            json=body,
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
        self, conversation_id: int, *, after: int | None = None
    ) -> list[Message]:
        """Return the latest 20 messages, or up to 100 after a message id.

        Oldest first, with notes and activity. Needs the administrator's token.
        """
        if not self._admin_token:
            raise ConfigurationError(
                "Reading messages needs an administrator's token; a bot may not. "
                "Enter one at the Chatwoot account."
            )
        path = f"{self._root}/conversations/{conversation_id}/messages"
        reply = self.request_json(
            "GET",
            path,
            headers=self._as_admin(),
            params=None if after is None else {"after": after},
            repeat_safe=True,
        )
        payload = reply.get("payload") if isinstance(reply, dict) else None
        if not isinstance(payload, list):
            raise self._unexpected("GET", path)
        found = (_readable(item) for item in payload if isinstance(item, dict))
        return [message for message in found if message is not None]

    def show_conversation(
        self, conversation_id: int
    ) -> tuple[Conversation, Message | None]:
        """Return a conversation as it is now, and its last message of any kind.

        The administrator's token is preferred, since a bot's fails once a team is set.
        """
        path = f"{self._root}/conversations/{conversation_id}"
        headers = self._as_admin() if self._admin_token else self._as_bot()
        reply = self.request_json("GET", path, headers=headers, repeat_safe=True)
        if not isinstance(reply, dict):
            raise self._unexpected("GET", path)
        last = reply.get("last_non_activity_message")
        try:
            message = _readable(last) if isinstance(last, dict) else None
            return parse_conversation(reply), message
        except MalformedPayload as err:
            raise self._unexpected("GET", path) from err

    def toggle_status(self, conversation_id: int, *, status: str) -> None:
        """Set open, resolved, pending or snoozed.

        With the bot's token: pending → open is then counted as a handoff.
        """
        path = f"{self._root}/conversations/{conversation_id}/toggle_status"
        body: JsonObject = {"status": status}
        try:
            self.request_json(
                "POST", path, headers=self._as_bot(), json=body, repeat_safe=True
            )
        except (Unauthorized, ConfigurationError):
            # A customer must not wait because a bot's token was revoked.
            if not self._admin_token:
                raise
            self.request_json(
                "POST", path, headers=self._as_admin(), json=body, repeat_safe=True
            )

    def show_typing(self, conversation_id: int, *, on: bool) -> None:
        """Show or hide the typing sign; Chatwoot never hides it by itself (4.11.2+).

        A failure is only logged: the sign is worth nobody's answer.
        """
        try:
            self.request_json(
                "POST",
                f"{self._root}/conversations/{conversation_id}/toggle_typing_status",
                headers=self._as_bot(),
                json={"typing_status": "on" if on else "off", "is_private": False},
                repeat_safe=True,
                timeout_s=TYPING_TIMEOUT_S,
            )
        except BridgeError as err:
            logger.info("The typing sign could not be set: %s", err)

    def error_for_response(
        self, method: str, path: str, response: Response, *, repeat_safe: bool
    ) -> UpstreamError:
        """Chatwoot says 422 for its limit of 200 messages a minute (section 5.3)."""
        if response.status_code == 422 and "Too many messages" in response.text:
            return self._error(UpstreamRateLimited, method, path, response=response)
        return super().error_for_response(
            method, path, response, repeat_safe=repeat_safe
        )

    def _as_bot(self) -> dict[str, str]:
        if not self._bot_token:
            raise ConfigurationError(
                "The Chatwoot account has no bot token, so the bridge cannot post. "
                "Enter the agent bot's access token."
            )
        return self._headers(self._bot_token)

    def _as_admin(self) -> dict[str, str]:
        return self._headers(self._admin_token)

    def _headers(self, token: str) -> dict[str, str]:
        # With a hyphen: nginx drops header names with underscores, Rails reads both.
        return {"api-access-token": token, "Accept": "application/json"}

    def _unexpected(self, method: str, path: str) -> UnexpectedReply:
        return UnexpectedReply(
            "Chatwoot answered success, but not in the shape of its API. Is the "
            "address that of Chatwoot itself?",
            service=self.service,
            method=method,
            path=path,
        )


def _readable(data: JsonObject) -> Message | None:
    """Return a message, None for one of a kind that a newer Chatwoot brought."""
    try:
        return parse_message(data)
    except MalformedPayload:
        return None


def _within_limit(content: str) -> str:
    """Chatwoot refuses longer messages altogether (section 5.3)."""
    if len(content) <= MAX_CONTENT_CHARS:
        return content
    return content[: MAX_CONTENT_CHARS - 1] + "…"
