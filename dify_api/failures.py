"""What Dify's failures mean: our exceptions, and one closed table that picks them.

A row matches by HTTP status, `code` and the beginning of the message, never by a whole
message: since 1.8.0 flask-restx appends hints to it (reference/dify.md section 6).
The same table serves HTTP answers, `error` events and the `error` of a failed
`workflow_finished`, which come with the same codes. Unknown cases stay failures: 5xx
may be repeated, anything else may not.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from json import loads
from typing import TYPE_CHECKING

from bridge_project.lib.errors import (
    NotFound,
    Unauthorized,
    UnexpectedReply,
    UpstreamError,
    UpstreamRateLimited,
    UpstreamRejected,
    UpstreamUnavailable,
)
from bridge_project.lib.redact import mask

if TYPE_CHECKING:
    from dify_api.payloads import StreamIds

# Codes of ours for what comes without one: a failed `workflow_finished`, and a body
# that is not Dify's JSON but some proxy's or Flask's page.
WORKFLOW_FAILED = "workflow_failed"
NOT_JSON = "not_json"
FILE_REFUSED = "file_refused"
# Dify 1.14 reports a stop as a failure with this error, older versions as `stopped`
# (recordings lifecycle/03).
_STOP_ERRORS = ("Aborted: User requested stop", "Stopped by user")


class DifyError(UpstreamError):
    """A call to Dify failed."""

    # What the run is called in Dify, as far as it was known; None before any event.
    ids: StreamIds | None = None


class DifyUnavailable(DifyError, UpstreamUnavailable):
    """Dify could not be reached or failed for a moment."""


class DifyRateLimited(DifyError, UpstreamRateLimited):
    """Dify asks us to slow down."""


class DifyRejected(DifyError, UpstreamRejected):
    """Dify refused the request, or the run failed; repeating it would fail again."""


class DifyUnauthorized(DifyError, Unauthorized):
    """Dify does not accept the app's API key."""


class DifyNotFound(DifyError, NotFound):
    """Dify does not know the object."""


class DifyUnexpectedReply(DifyError, UnexpectedReply):
    """Dify answered success, but not in the agreed shape."""


class ConversationGone(DifyNotFound):
    """Dify does not know the conversation (any more): forget its id, start anew."""

    code = "conversation_gone"


class InvalidInputs(DifyRejected):
    """The inputs do not fit the app: read /parameters again and try once more."""

    code = "invalid_inputs"


class SilentStream(DifyUnavailable):
    """Dify accepted the run, but no event came: check that the conversation exists.

    Dify 1.13 to about 1.15 answers a bad conversation or a missing input of a chatflow
    so (recordings conversations/02, 24, 29 and inputs/19 of 1.14.2).
    """

    code = "silent_stream"


class StreamCut(DifyUnavailable):
    """The stream broke off; the run may go on in Dify: look it up before repeating."""

    code = "stream_cut"


class RunTooLong(DifyError):
    """The run took longer than the app's total limit; it should be stopped."""

    code = "run_too_long"


class RunAborted(DifyError):
    """The bridge itself gave the run up while Dify was at work; it may go on there."""

    code = "run_aborted"


@dataclass(frozen=True, slots=True)
class Failure:
    """A row of the table; an empty condition matches everything."""

    kind: type[DifyError]
    statuses: tuple[int, ...] = ()
    code: str = ""  # Dify's
    message: str = ""  # a regular expression for the beginning of Dify's message
    our_code: str = ""  # for filters and alerts; "" keeps that of the class
    advice: str = ""  # for operators; "" keeps the docstring of the class

    def matches(self, *, status: int, code: str, message: str) -> bool:
        """Tell whether the row speaks of this failure."""
        return (
            (not self.statuses or status in self.statuses)
            and (not self.code or self.code == code)
            and (not self.message or re.match(self.message, message, re.I) is not None)
        )


_PUBLISH = (
    "The Dify app is not available: it was never published, or its configuration is "
    "broken. Open it in Dify and publish it."
)
_WRONG_MODE = (
    "The app is of another kind than the bridge thinks. Read the app's settings again "
    "with the action “Read from Dify”."
)
_FILE = "Dify refused a file that was sent along; see the excerpt for the reason."
_NODE = "A node of the Dify flow failed; see the excerpt, and the run in Dify."
_QUOTA = "The quota of the Dify plan is used up. Upgrade it, or wait for its renewal."
_PROXY_LOGIN = (
    "Something in front of Dify, such as a proxy with a login, refused the request; "
    "the app's key was not looked at. Let the bridge pass there, or set an address "
    "that leads to Dify itself."
)
_APP_REFUSED = (
    "Dify refuses all calls with the app's key: the app was deleted, its API is "
    "switched off, or its workspace is archived. See the excerpt, and the app in Dify."
)
_FIELD = r"(\(type '[^']*'\) )?\S+ "

# Sources: "§" is reference/dify.md, "rec" a recording under reference/dify_recorded.
FAILURES: tuple[Failure, ...] = (
    # §2: the concurrency limit of an app; rec lifecycle/09, 10: a 400, in all versions.
    # Only as `invalid_param`: a node's error may begin so too, and is not repeated.
    Failure(DifyRateLimited, code="invalid_param", message=r"Too many requests\b"),
    # §6: the plan's quota of Dify Cloud comes as 429; waiting seconds does not help.
    Failure(
        DifyRejected, code="rate_limit_error", our_code="dify_quota", advice=_QUOTA
    ),
    # §2: documented form; also Cloudflare's own page "error code: 1015" [I#19355].
    Failure(DifyRateLimited, statuses=(429,)),
    # rec conversations/*: deleted, other user, other app, unknown; §4 and §9.1. Not
    # "Conversation Variable Not Exists."
    Failure(ConversationGone, message=r"Conversation (Not Exists|not found|does not)"),
    # rec conversations/05 of 1.x and of 0.15: an id that is no UUID.
    Failure(ConversationGone, message=r"\d+ validation error[^\n]*\nconversation_id\n"),
    Failure(ConversationGone, message=r"\S* is not a valid uuid"),
    # §6: declared, raised by nothing in 1.14.1.
    Failure(ConversationGone, code="conversation_completed"),
    # rec inputs/03-19, workflow/03: the form's checks, also in a failed workflow (§2).
    Failure(InvalidInputs, message=_FIELD + r"is required in input form"),
    Failure(InvalidInputs, message=_FIELD + r"in input form must be\b"),
    Failure(InvalidInputs, message=r"Invalid input type for \["),
    # §6: keys and quotas of the model's provider; an operator must act in Dify.
    Failure(
        DifyRejected,
        code="provider_not_initialize",
        our_code="model_credentials",
        advice="Dify has no valid credentials for the model. Set them in Dify under "
        "Settings, Model Provider.",
    ),
    Failure(
        DifyRejected,
        code="provider_quota_exceeded",
        our_code="model_quota",
        advice="The quota of the model's provider is used up. Raise it, or set another "
        "model in the Dify app.",
    ),
    Failure(
        DifyRejected,
        code="model_currently_not_support",
        our_code="model_not_allowed",
        advice="The Dify plan does not allow the app's model. Set another model.",
    ),
    # §6: the provider's timeouts, 429 and 5xx; rec llm/10-13. Worth another try.
    Failure(
        DifyUnavailable,
        code="completion_request_error",
        our_code="model_call_failed",
        advice="The model that the Dify app uses failed for a moment.",
    ),
    # rec lifecycle/13, 14; errors/14; §6 for New Agent.
    Failure(
        DifyRejected,
        code="app_unavailable",
        our_code="app_unavailable",
        advice=_PUBLISH,
    ),
    Failure(
        DifyRejected,
        message=r"Workflow not published",
        our_code="app_unavailable",
        advice=_PUBLISH,
    ),
    Failure(
        DifyRejected,
        code="agent_not_published",
        our_code="app_unavailable",
        advice=_PUBLISH,
    ),
    # rec errors/12, 13; §1; llm/05: we always stream, so the mode must be wrong.
    Failure(
        DifyRejected, code="not_chat_app", our_code="wrong_mode", advice=_WRONG_MODE
    ),
    Failure(
        DifyRejected, code="not_workflow_app", our_code="wrong_mode", advice=_WRONG_MODE
    ),
    Failure(
        DifyRejected,
        code="not_completion_app",
        our_code="wrong_mode",
        advice=_WRONG_MODE,
    ),
    Failure(
        DifyRejected,
        message=r"Agent (Chat )?App (does not support|only supports) ",
        our_code="wrong_mode",
        advice=_WRONG_MODE,
    ),
    # rec files/12-21; §5.
    Failure(
        DifyRejected,
        message=r"Invalid upload file|File validation failed|Number of .*files exceeds"
        r"|Detected file type does not match",
        our_code=FILE_REFUSED,
        advice=_FILE,
    ),
    # rec files/06; nginx answers so as well, with HTML.
    Failure(
        DifyRejected,
        statuses=(413,),
        our_code="too_large",
        advice="The request is larger than Dify, or a proxy in front of it, accepts.",
    ),
    # rec node_errors/04, 05 of 1.14: before any node has run. 1.12 says it as a failed
    # node, see below.
    Failure(
        DifyUnavailable,
        code="invalid_param",
        message=r"Failed to request plugin daemon",
        our_code="plugin_daemon",
        advice="Dify's plugin daemon, through which it calls models, does not answer. "
        "Is its container running?",
    ),
    # rec node_errors/*, callback/04, 15, llm/14: a node failed. The nodes before it
    # have had their effects, so the run is not repeated.
    Failure(
        DifyRejected,
        message=r"Run failed: ",
        our_code="run_failed",
        advice=_NODE,
    ),
    Failure(
        DifyRejected,
        code=WORKFLOW_FAILED,
        our_code="run_failed",
        advice=_NODE,
    ),
    # A refused key stops all runs of the app, so the status alone is not enough: only
    # Dify's own words count. rec errors/01-03, lifecycle/17: key unknown.
    Failure(DifyUnauthorized, statuses=(401,), code="unauthorized"),
    Failure(DifyRejected, statuses=(401,), our_code="proxy_login", advice=_PROXY_LOGIN),
    # rec lifecycle/11, 12, 16; §1: app deleted, its API off, workspace archived. Other
    # things are `forbidden` too, for example single files.
    Failure(
        DifyUnauthorized,
        statuses=(403,),
        code="forbidden",
        message=r"(The (app|workspace)|Tenant)\b",
        advice=_APP_REFUSED,
    ),
    # §1: the newest admission path gives 403 codes of its own.
    *(
        Failure(DifyUnauthorized, statuses=(403,), code=code, advice=_APP_REFUSED)
        for code in (
            "app_not_found",
            "app_abnormal_status",
            "app_api_disabled",
            "workspace_not_found",
            "workspace_archived",
        )
    ),
    # A firewall dislikes this one request; the key may be all right.
    Failure(
        DifyRejected,
        statuses=(403,),
        code=NOT_JSON,
        our_code="firewall",
        advice="A firewall or proxy in front of Dify refused the request; see the "
        "excerpt.",
    ),
    # rec errors/15: Flask's HTML page.
    Failure(
        DifyNotFound,
        statuses=(404,),
        code=NOT_JSON,
        our_code="wrong_address",
        advice="There is no Dify API at this address. It usually ends with /v1, for "
        "example https://api.dify.ai/v1.",
    ),
    Failure(DifyNotFound, statuses=(404,)),
)


def failure_for(
    *,
    status: int,
    code: str,
    message: str,
    excerpt: str | None = None,
    method: str = "",
    path: str = "",
) -> DifyError:
    """Return the exception for a failure that Dify reports.

    `status` is that of the HTTP answer, or the one an `error` event names (the HTTP
    status of a stream is 200). `excerpt` takes the place of the message for operators.
    """
    for row in FAILURES:
        if row.matches(status=status, code=code, message=message):
            break
    else:
        row = Failure(DifyUnavailable if status >= 500 else DifyRejected)
    return row.kind(
        row.advice,
        service="dify",
        method=method,
        path=path,
        status=status,
        excerpt=mask(f"{code}: {message}" if excerpt is None else excerpt),
        code=row.our_code,
    )


def workflow_failure(error: str) -> DifyError:
    """Return the exception for a workflow that ended as `failed` with this error."""
    failure = failure_for(
        status=400, code=WORKFLOW_FAILED, message=error, excerpt=error
    )
    failure.status = None  # the HTTP answer was a success
    return failure


def is_stop(status: str, *, error: str) -> bool:
    """Tell whether a workflow ended because somebody stopped it."""
    return status == "stopped" or error.startswith(_STOP_ERRORS)


def failure_for_body(*, status: int, body: str, method: str, path: str) -> DifyError:
    """Return the exception for an HTTP error answer, be it Dify's JSON or any page."""
    code, message = NOT_JSON, ""
    try:
        decoded = loads(body)
    except (ValueError, RecursionError):
        decoded = None
    if isinstance(decoded, dict) and isinstance(decoded.get("code"), str):
        code = decoded["code"]
        message = str(decoded.get("message") or "")
    return failure_for(
        status=status,
        code=code,
        message=message,
        excerpt=body,
        method=method,
        path=path,
    )
