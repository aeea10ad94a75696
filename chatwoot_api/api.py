"""How Chatwoot's application API is asked: tokens, time limits, errors.

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

from bridge_project.lib.encryption import readable
from bridge_project.lib.errors import (
    ConfigurationError,
    NotFound,
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
    Multipart,
)
from bridge_project.lib.types import JsonObject, JsonValue
from chatwoot_api.models import ChatwootAccount, Health
from chatwoot_api.refusals import (
    OWNERS,
    NotPermitted,
    TokenName,
    TokenRefused,
    kind_of_refusal,
)

logger = logging.getLogger(__name__)

# Of calls that somebody waits for: a flow, or a person at the admin.
SHORT_TIMEOUT_S = (3.0, 8.0)
_MISSING: Mapping[TokenName, str] = {
    "bot": (
        "The Chatwoot account has no bot token, so the bridge cannot post. Enter the "
        "agent bot's access token."
    ),
    "admin": (
        "This needs an administrator's token; a bot may not do it. Enter one at the "
        "Chatwoot account."
    ),
}


class ChatwootApi(JsonApi):
    """One account's tokens, and how a request is sent with the right one."""

    service = "chatwoot"

    def __init__(
        self,
        account: ChatwootAccount,
        *,
        call_log: CallLog | None = None,
        on_refused: Callable[[TokenRefused], object] | None = None,
        timeout_s: tuple[float, float] = (CONNECT_TIMEOUT_S, READ_TIMEOUT_S),
    ) -> None:
        """`on_refused` is told at once, and once for each token that gets refused.

        Also when the call succeeds with the other token, so that no refusal is missed.
        `timeout_s` (to connect, to read) is that of calls which have none of their own.
        """
        self._tokens: dict[TokenName, str] = {
            "bot": readable(account.bot_token),
            "admin": readable(account.admin_token),
        }
        super().__init__(
            base_url=account.server_url(),
            secrets=tuple(self._tokens.values()),
            call_log=call_log,
        )
        self._refused_at = _known_refusals(account)
        self._on_refused = on_refused
        self._timeout_s = timeout_s
        self._root = f"/api/v1/accounts/{account.account_id}"

    @property
    def has_token(self) -> bool:
        """Tell whether there is any token, refused or not."""
        return any(self._tokens.values())

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
        multipart: Multipart | None = None,
        params: Mapping[str, str | int] | None = None,
        repeat_safe: bool = True,
        timeout_s: tuple[float, float] | None = None,
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
                    multipart=multipart,
                    params=params,
                    repeat_safe=repeat_safe,
                    timeout_s=timeout_s or self._timeout_s,
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
                timeout_s=SHORT_TIMEOUT_S,
            )
        except TokenRefused as err:
            raise err.of(token) from None
        except NotPermitted:
            return
        except NotFound as err:
            # Another 404 is not Chatwoot's, and tells nothing of the token.
            if "could not be found" not in err.excerpt:
                raise

    def _headers(self, token: str) -> dict[str, str]:
        # With a hyphen: nginx drops header names with underscores, Rails reads both.
        return {"api-access-token": token, "Accept": "application/json"}

    def _objects(self, reply: JsonValue, *, path: str) -> list[JsonObject]:
        """Return the objects of a list, bare or as `payload` of an answer to a GET."""
        rows = reply.get("payload") if isinstance(reply, dict) else reply
        if not isinstance(rows, list):
            raise self._unexpected("GET", path)
        return [row for row in rows if isinstance(row, dict)]

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
