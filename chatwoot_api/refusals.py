"""How Chatwoot says no to a token: unknown, not allowed this, or never reached it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Literal, Self

from requests import Response

from bridge_project.lib.errors import Unauthorized, UpstreamError, UpstreamRejected
from bridge_project.lib.types import JsonObject

TokenName = Literal["bot", "admin"]
OWNERS: Mapping[TokenName, str] = {"bot": "bot", "admin": "administrator"}

# Chatwoot's own words (reference/chatwoot.md section 5.7), which it does not translate:
# app/controllers/concerns/access_token_auth_helper.rb, request_exception_handler.rb.
_NOT_FOR_BOTS = "not authorized for bots"
_NOT_THIS_ACTION = "not authorized to do this action"
# A 401 about the body, not about the token: a member that the account does not have
# (section 5.6, team_members_controller.rb).
_UNKNOWN_MEMBER = "Invalid User IDs"


class TokenRefused(Unauthorized):
    """Chatwoot does not accept the token.

    It is unknown there, or its owner may not enter the account. `token` says which;
    without a `status` it repeats an earlier refusal, and Chatwoot was not asked.
    """

    token: TokenName = "bot"

    def of(self, token: TokenName) -> Self:
        """Say whose token it is."""
        self.token = token
        self.message = f"Chatwoot does not accept the {OWNERS[token]}'s token."
        return self


class NotPermitted(UpstreamRejected):
    """Chatwoot knows the token, but its owner may not do this.

    For example an agent's token in place of an administrator's, in an inbox that is
    not the agent's, or a token that may only read.
    """

    code = "not_permitted"


class NotOpenToBots(NotPermitted):
    """This version of Chatwoot does not let bots do this."""

    code = "not_open_to_bots"


class Blocked(UpstreamRejected):
    """Something in front of Chatwoot refused the request: a proxy, a login page."""

    code = "blocked"


def kind_of_refusal(response: Response) -> type[UpstreamRejected]:
    """Tell what a 401 or 403 means.

    A refused token is not used again until a check succeeds, so only Chatwoot's own
    401 counts as one: it answers JSON with `error`, devise with `errors`, and says 403
    only to what a known token may not do.
    """
    body = _json_object(response)
    if not body.keys() & {"error", "errors"}:
        return Blocked
    text = str(body.get("error", ""))
    if _UNKNOWN_MEMBER in text:
        return UpstreamRejected
    if _NOT_FOR_BOTS in text:
        return NotOpenToBots
    if response.status_code == 403 or _NOT_THIS_ACTION in text:
        return NotPermitted
    return TokenRefused


def reason_given(err: UpstreamError) -> str:
    """Return what Chatwoot itself said against a request, "" if nothing readable.

    Validations answer `message`, messages and filters `error` (section 5.7).
    """
    try:
        body = json.loads(err.excerpt)
    except ValueError:
        return ""
    if not isinstance(body, dict):
        return ""
    texts = (body.get("message"), body.get("error"))
    return next((text for text in texts if isinstance(text, str) and text), "")


def _json_object(response: Response) -> JsonObject:
    try:
        body = response.json()
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}
