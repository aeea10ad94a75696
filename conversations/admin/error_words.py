"""Error codes of runs and calls in words; codes that need none stay as they are."""

from __future__ import annotations

from collections.abc import Mapping

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from conversations.former_runs import WORKER_LOST
from conversations.models import PipelineRun, Reason
from conversations.outcomes import NEW_MESSAGE, SHUTDOWN
from dify_api.failures import RunAborted

# A call whose stream the bridge closed by itself.
ABORTED = frozenset({"aborted", RunAborted.code})

ERRORS: Mapping[str, str | Promise] = {
    "aborted": _("stopped by the bridge"),
    RunAborted.code: _("stopped by the bridge"),
    WORKER_LOST: _("the worker died during the run"),
    "unauthorized": _("key or token refused"),
    "not_permitted": _("the token may not do that"),
    "unavailable": _("not reachable, or overloaded"),
    "rate_limited": _("too many requests"),
    "rejected": _("request refused"),
    "not_found": _("not found"),
    "unexpected_reply": _("answer not understood"),
    "outcome_unknown": _("it is not known whether it arrived"),
    "configuration": _("settings incomplete"),
    "internal_error": _("the bridge itself failed"),
    "conversation_gone": _("Dify no longer knows the conversation"),
    "invalid_inputs": _("the app refused its inputs"),
    "silent_stream": _("Dify said nothing for too long"),
    "stream_cut": _("the connection broke"),
    "run_too_long": _("the run took too long"),
    "run_failed": _("the run failed in Dify"),
    "dify_quota": _("Dify's quota is used up"),
    "model_quota": _("the model's quota is used up"),
    "model_credentials": _("the model's credentials are missing"),
    "model_not_allowed": _("the model may not be used"),
    "model_call_failed": _("the model could not be called"),
    "app_unavailable": _("the app is not published"),
    "wrong_mode": _("the app is of another kind"),
    "proxy_login": _("a proxy asks for a login"),
    "wrong_address": _("wrong address"),
    "firewall": _("blocked by a firewall"),
}
# Why the bridge gave a run up.
STOPS: Mapping[str, str | Promise] = {
    **dict(Reason.choices),
    NEW_MESSAGE: _("the customer wrote again"),
    SHUTDOWN: _("the worker was stopped; another one went on"),
}


def error_words(code: str) -> str:
    """Return an error code as a person says it."""
    return str(ERRORS.get(code, code))


def run_error_words(run: PipelineRun) -> str:
    """Return why the run failed or was stopped; "" if it did neither."""
    if run.status == PipelineRun.Status.STOPPED:
        return str(STOPS.get(run.error_code, run.error_code))
    return error_words(run.error_code)
