"""Chatwoot's application API, one method per endpoint that the bridge uses.

Which token may call what: reference/chatwoot.md section 5.1. A bot cannot read
messages, and until Chatwoot's pull request 15612 its reads answer 500 once the
conversation has a team; an administrator's token has neither limit.

A token that Chatwoot refused is not used again: each call takes the next of the tokens
that may make it, and what only the refused one may do fails without being sent.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from django.utils import timezone
from requests import Response

from bridge_project.lib.errors import (
    BridgeError,
    ConfigurationError,
    MalformedPayload,
    NotFound,
    OutcomeUnknown,
    UnexpectedReply,
    UpstreamError,
    UpstreamRateLimited,
    UpstreamRejected,
)
from bridge_project.lib.http import (
    CONNECT_TIMEOUT_S,
    READ_TIMEOUT_S,
    CallLog,
    JsonApi,
)
from bridge_project.lib.types import JsonObject, JsonValue
from chatwoot_api.models import ChatwootAccount, Health
from chatwoot_api.payloads import (
    MARK_KEY,
    Conversation,
    Message,
    parse_conversation,
    parse_message,
)
from chatwoot_api.refusals import (
    OWNERS,
    NotPermitted,
    TokenName,
    TokenRefused,
    kind_of_refusal,
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
CHECK_TIMEOUT_S = (3.0, 8.0)
_MISSING: Mapping[TokenName, str] = {
    "bot": (
        "The Chatwoot account has no bot token, so the bridge cannot post. Enter the "
        "agent bot's access token."
    ),
    "admin": (
        "Reading messages needs an administrator's token; a bot may not. Enter one at "
        "the Chatwoot account."
    ),
}


class ChatwootClient(JsonApi):
    """The calls of one account."""

    service = "chatwoot"

    def __init__(
        self,
        account: ChatwootAccount,
        *,
        call_log: CallLog | None = None,
        on_refused: Callable[[TokenRefused], object] | None = None,
    ) -> None:
        """`on_refused` is told at once, and once for each token that gets refused.

        Also when the call succeeds with the other token, so that no refusal is missed.
        """
        super().__init__(
            base_url=account.server_url(),
            secrets=(account.bot_token, account.admin_token),
            call_log=call_log,
        )
        self._tokens: dict[TokenName, str] = {
            "bot": account.bot_token,
            "admin": account.admin_token,
        }
        self._refused_at = _known_refusals(account)
        self._on_refused = on_refused
        self._root = f"/api/v1/accounts/{account.account_id}"

    @property
    def can_read_messages(self) -> bool:
        """Tell whether there is a token that may list messages."""
        return bool(self._tokens["admin"]) and "admin" not in self._refused_at

    @property
    def can_speak(self) -> bool:
        """Tell whether the bot's token is not refused: customers hear only the bot."""
        return "bot" not in self._refused_at

    @property
    def can_act(self) -> bool:
        """Tell whether there is a token left that was not refused, or none at all."""
        known = [token for token, value in self._tokens.items() if value]
        return not known or any(token not in self._refused_at for token in known)

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
        no idempotency key: a lost connection raises OutcomeUnknown. A note is posted
        with the administrator's token if the bot's is refused; a public message never
        is, since the customer would see a human's name.
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
        reply = self._ask(
            ("bot", "admin") if private else ("bot",),
            "POST",
            path,
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
        path = f"{self._root}/conversations/{conversation_id}/messages"
        params = None if after is None else {"after": after}
        reply = self._ask(("admin",), "GET", path, params=params)
        payload = reply.get("payload") if isinstance(reply, dict) else None
        if not isinstance(payload, list):
            raise self._unexpected("GET", path)
        found = (_readable(item) for item in payload if isinstance(item, dict))
        return [message for message in found if message is not None]

    def show_conversation(
        self, conversation_id: int
    ) -> tuple[Conversation, Message | None]:
        """Return a conversation as it is now, and its last message of any kind.

        The administrator's token is preferred, since a bot's fails once a team is set;
        before 4.14.2 a bot may not read at all (NotOpenToBots).
        """
        path = f"{self._root}/conversations/{conversation_id}"
        reply = self._ask(("admin", "bot"), "GET", path)
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

        With the bot's token: pending → open is then counted as a handoff. With the
        administrator's if that is refused: no customer must wait because of it.
        """
        path = f"{self._root}/conversations/{conversation_id}/toggle_status"
        self._ask(("bot", "admin"), "POST", path, json={"status": status})

    def show_typing(self, conversation_id: int, *, on: bool) -> None:
        """Show or hide the typing sign; Chatwoot never hides it by itself (4.11.2+).

        A failure is only logged: the sign is worth nobody's answer.
        """
        try:
            self._ask(
                ("bot",),
                "POST",
                f"{self._root}/conversations/{conversation_id}/toggle_typing_status",
                json={"typing_status": "on" if on else "off", "is_private": False},
                timeout_s=TYPING_TIMEOUT_S,
            )
        except BridgeError as err:
            logger.info("The typing sign could not be set: %s", err)

    def error_for_response(
        self, method: str, path: str, response: Response, *, repeat_safe: bool
    ) -> UpstreamError:
        """Tell refusals of a token apart, and a limit from a refusal.

        Chatwoot says 422 for its limit of 200 messages a minute (section 5.3).
        """
        if response.status_code in (401, 403):
            kind = kind_of_refusal(response)
            return self._error(kind, method, path, response=response)
        if response.status_code == 422 and "Too many messages" in response.text:
            return self._error(UpstreamRateLimited, method, path, response=response)
        return super().error_for_response(
            method, path, response, repeat_safe=repeat_safe
        )

    def _ask(
        self,
        tokens: tuple[TokenName, ...],
        method: str,
        path: str,
        *,
        json: JsonObject | None = None,
        params: Mapping[str, str | int] | None = None,
        repeat_safe: bool = True,
        timeout_s: tuple[float, float] = (CONNECT_TIMEOUT_S, READ_TIMEOUT_S),
    ) -> JsonValue:
        """Send a request with the first of the tokens that Chatwoot lets do it.

        A refused request has had no effect, so even a post may follow it. If all are
        refused, the refusal of the first one that is set is raised.
        """
        refusals: list[UpstreamRejected] = []
        for token in tokens:
            if not self._tokens[token]:
                continue
            if token in self._refused_at:
                refusals.append(self._known_refusal(token, method, path))
                continue
            try:
                return self.request_json(
                    method,
                    path,
                    headers=self._headers(self._tokens[token]),
                    json=json,
                    params=params,
                    repeat_safe=repeat_safe,
                    timeout_s=timeout_s,
                )
            except TokenRefused as err:
                self._remember(err.of(token))
                refusals.append(err)
            except NotPermitted as err:
                refusals.append(err)
        if refusals:
            raise refusals[0]
        raise ConfigurationError(_MISSING[tokens[0]])

    def _remember(self, err: TokenRefused) -> None:
        """Leave the token alone from now on, and tell who stores it."""
        self._refused_at[err.token] = timezone.now()
        logger.warning("%s", err)
        if self._on_refused is not None:
            self._on_refused(err)

    def _known_refusal(self, token: TokenName, method: str, path: str) -> TokenRefused:
        """Return the error of a call that is not made."""
        at = self._refused_at[token]
        when = f" at {at.astimezone(UTC):%Y-%m-%d %H:%M} UTC" if at else ""
        err = self._error(TokenRefused, method, path).of(token)
        err.message = (
            f"The {OWNERS[token]}'s token was refused{when}; the bridge does not try "
            "it again until a check succeeds."
        )
        return err

    def check_token(self, token: TokenName) -> None:
        """Return if Chatwoot accepts the token, also one that it refused before.

        Raises TokenRefused if it does not, and another UpstreamError if that cannot be
        said. Asks for conversation 0, which no account has (numbers begin with 1): an
        accepted token is answered 404, and before 4.14.2 a bot's 401 "not authorized
        for bots". Other endpoints would not tell whether the token may enter this very
        account: Chatwoot first looks for the token, then whether bots may call the
        endpoint, then at the account, then for the record.
        """
        if not self._tokens[token]:
            raise ConfigurationError(_MISSING[token])
        try:
            self.request_json(
                "GET",
                f"{self._root}/conversations/0",
                headers=self._headers(self._tokens[token]),
                repeat_safe=True,
                timeout_s=CHECK_TIMEOUT_S,
            )
        except TokenRefused as err:
            raise err.of(token) from None
        except NotPermitted:
            return
        except NotFound as err:
            # Another 404 is not Chatwoot's, and tells nothing of the token.
            if "could not be found" not in err.excerpt:
                raise

    def inbox_ids(self) -> set[int]:
        """Return the numbers of the account's inboxes; needs the administrator's token.

        Reference: GET /api/v1/accounts/:id/inboxes (reference/chatwoot.md section 5.6).
        """
        path = f"{self._root}/inboxes"
        reply = self._ask(("admin",), "GET", path)
        payload = reply.get("payload") if isinstance(reply, dict) else None
        if not isinstance(payload, list):
            raise self._unexpected("GET", path)
        ids = (item.get("id") for item in payload if isinstance(item, dict))
        return {number for number in ids if isinstance(number, int)}

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


def _known_refusals(account: ChatwootAccount) -> dict[TokenName, datetime | None]:
    """Return when each token that is known to be refused was refused."""
    known: dict[TokenName, datetime | None] = {}
    if account.health == Health.REFUSED:
        known["bot"] = account.last_error_at
    if account.admin_token_refused_at is not None:
        known["admin"] = account.admin_token_refused_at
    return known


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
