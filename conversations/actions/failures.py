"""Failures of calls to Chatwoot as sentences for flows, without any secret."""

from __future__ import annotations

from http import HTTPStatus

from bridge_project.lib.errors import (
    BridgeError,
    ConfigurationError,
    NotFound,
    OutcomeUnknown,
    UpstreamError,
    UpstreamRateLimited,
    UpstreamRejected,
)
from bridge_project.lib.redact import cut, mask
from bridge_project.lib.types import JsonValue
from chatwoot_api.refusals import (
    OWNERS,
    Blocked,
    NotOpenToBots,
    TokenRefused,
    reason_given,
)
from conversations.actions.outcome import NotDone, Outcome
from conversations.actions.target import Target
from dify_api.arguments import Misread

MAX_WORDS_CHARS = 300


def outcome_of(
    err: Exception, *, field: str, target: Target, before: JsonValue = None
) -> Outcome:
    """Return what a failure means for a field; one that is unknown is raised again."""
    return explained(err, target=target).outcome(field, before=before)


def explained(err: Exception, *, target: Target) -> NotDone:
    """Return a failure as a sentence with one of the API's codes."""
    if isinstance(err, NotDone):
        return err
    if isinstance(err, Misread):
        return NotDone(err.message, code="misread")
    if isinstance(err, ConfigurationError):
        is_admins = not target.account.admin_token
        code = "no_admin_token" if is_admins else "token_refused"
        return NotDone(err.message, code=code, result="failed")
    if isinstance(err, UpstreamRejected):
        return _rejected(err, target=target)
    if isinstance(err, UpstreamError):
        return _failed(err)
    if isinstance(err, BridgeError):
        return NotDone(err.message, code="chatwoot_unavailable", result="failed")
    raise err


def _rejected(err: UpstreamRejected, *, target: Target) -> NotDone:
    if isinstance(err, NotFound):
        return gone(target.number)
    if isinstance(err, TokenRefused):
        return NotDone(
            f"Chatwoot does not accept the {OWNERS[err.token]}'s token, so nothing "
            "was done. An operator has to enter a valid one at the Chatwoot account.",
            code="token_refused",
            result="failed",
        )
    if isinstance(err, NotOpenToBots) and not target.account.admin_token:
        return NotDone(
            "This version of Chatwoot does not let a bot do this. An operator has to "
            "enter an administrator's token at the Chatwoot account.",
            code="no_admin_token",
            result="failed",
        )
    if isinstance(err, Blocked):
        return NotDone(
            "Something in front of Chatwoot refused the request: a proxy or a login "
            "page. An operator has to look at the Chatwoot account's address.",
            code="refused_by_chatwoot",
        )
    words = cut(mask(reason_given(err)), max_chars=MAX_WORDS_CHARS)
    # A file's type or size (reference/chatwoot.md section 5.3): another one may do.
    is_file = err.status == HTTPStatus.UNPROCESSABLE_ENTITY and "Attachments" in words
    return NotDone(
        f"Chatwoot refused it: {words}" if words else "Chatwoot refused it.",
        code="bad_value" if is_file else "refused_by_chatwoot",
    )


def _failed(err: UpstreamError) -> NotDone:
    if isinstance(err, OutcomeUnknown):
        return NotDone(
            "The connection to Chatwoot was lost: it may or may not have been done. "
            "Look before you try again.",
            code="outcome_unknown",
            result="failed",
        )
    if isinstance(err, UpstreamRateLimited):
        return NotDone(
            "Chatwoot asks to slow down; nothing was done. Try again in a minute.",
            code="rate_limited",
            result="failed",
        )
    return NotDone(
        "Chatwoot cannot be reached or failed; nothing was done as far as it is "
        "known. Try again in a moment.",
        code="chatwoot_unavailable",
        result="failed",
    )


def gone(number: int) -> NotDone:
    """Return that Chatwoot has no such conversation."""
    return NotDone(
        f"Chatwoot has no conversation {number}: it was deleted, or the number is "
        "wrong.",
        code="conversation_not_found",
    )
