"""Forms that paused runs wait for: submit an answer, and follow the run from there on.

Reference: docs.dify.ai/en/api-reference/guides/human-input-flow, and reference/dify.md
sections 2 and 3. In the Service API since Dify 1.14.0.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import quote

import requests

from bridge_project.lib.errors import UpstreamError
from bridge_project.lib.http import CallLog
from bridge_project.lib.redact import mask
from bridge_project.lib.types import JsonObject, JsonValue
from dify_api.client import DifyClient
from dify_api.connection import DifyConnection
from dify_api.failures import (
    DifyError,
    DifyNotFound,
    DifyRejected,
    StreamCut,
)
from dify_api.payloads import AppMode, DifyReply, Outcome, StreamIds
from dify_api.pick_up import pick_up
from dify_api.stream import OnProgress, ShouldStop

_SUBMITTED = "human_input_form_submitted"
_PRECONDITION_FAILED = 412


class FormExpired(DifyRejected):
    """The form's time in Dify is over; its answer would be refused."""

    code = "form_expired"


class FormTaken(DifyRejected):
    """The form has an answer already: ours of before, or somebody's in Dify."""

    code = "form_taken"


class NoFormApi(DifyNotFound):
    """This Dify does not take answers to forms: it is older than 1.14, or forgot it."""

    code = "no_form_api"


class HumanInputClient(DifyClient):
    """Answers one form; whoever knows its token may, so it is masked in all records."""

    def __init__(
        self,
        connection: DifyConnection,
        *,
        form_token: str,
        call_log: CallLog | None = None,
    ) -> None:
        super().__init__(connection, call_log=call_log)
        self._form_token = form_token
        self._secrets = (*self._secrets, form_token, quote(form_token, safe=""))

    def submit(
        self, *, action: str, inputs: Mapping[str, JsonValue], user: str
    ) -> None:
        """POST /form/human_input/:form_token; the run goes on from there.

        Raises FormTaken, FormExpired or NoFormApi where that is what Dify means, and
        DifyRejected for an answer that does not fit; the form then stays open.
        """
        path = f"/form/human_input/{quote(self._form_token, safe='')}"
        body: JsonObject = {"inputs": dict(inputs), "action": action, "user": user}
        self._call("POST", path, json=body)

    def follow(
        self,
        ids: StreamIds,
        *,
        user: str,
        on_progress: OnProgress | None = None,
        should_stop: ShouldStop | None = None,
    ) -> DifyReply:
        """GET /workflow/:run_id/events: read the run that goes on to its next end.

        Raises what `run` raises. Events that were sent before we listened are lost, so
        a chatflow's text is compared with what Dify has stored.
        """
        path = f"/workflow/{quote(ids.workflow_run_id, safe='')}/events"
        reply = self._follow(
            "GET",
            path,
            params={"user": user},
            on_progress=on_progress,
            should_stop=should_stop,
        )
        return replace(reply, ids=_merged(reply.ids, ids))

    def whole(self, reply: DifyReply, *, user: str, said_before: str) -> DifyReply:
        """Return the reply with what the stream may have missed of its beginning.

        `said_before` is what the run had said when it paused: stored texts begin with
        it. What cannot be looked up is left as it came.
        """
        if reply.outcome is not Outcome.ANSWERED:
            return reply
        if self.connection.mode == AppMode.WORKFLOW:
            return reply
        try:
            stored = pick_up(self, reply.ids, user=user, until=None)
        except UpstreamError:
            return reply
        if stored is None or stored.outcome is not Outcome.ANSWERED:
            return reply
        rest = _without(said_before, stored.answer)
        came = _without(said_before, reply.answer)
        # Stored texts lack links to images, so a text that came whole is the better.
        is_more = len(rest) > len(came) and rest.endswith(came)
        return replace(reply, answer=rest if is_more else came)

    def error_for_response(
        self,
        method: str,
        path: str,
        response: requests.Response,
        *,
        repeat_safe: bool,
    ) -> UpstreamError:
        """Tell the ends of a form apart, and name it nowhere."""
        err = super().error_for_response(
            method, self._masked(path), response, repeat_safe=repeat_safe
        )
        is_submission = method == "POST" and "/form/" in path
        if not is_submission or not isinstance(err, DifyError):
            return err
        kind = _kind_of(response, err)
        if kind is None:
            return err
        return kind(
            service="dify",
            method=method,
            path=self._masked(path),
            status=response.status_code,
            excerpt=err.excerpt,
        )

    def error_for_exception(
        self,
        method: str,
        path: str,
        exc: requests.RequestException,
        *,
        repeat_safe: bool,
    ) -> UpstreamError:
        """Map a failure without an answer; it names the form nowhere."""
        return super().error_for_exception(
            method, self._masked(path), exc, repeat_safe=repeat_safe
        )

    def tell(self, method: str, path: str, **call: Any) -> None:
        """Tell the call log, without the token."""
        super().tell(method, self._masked(path), **call)

    def _masked(self, path: str) -> str:
        return mask(path, secrets=self._secrets)


def still_waits(reply: DifyReply, *, form_id: str) -> bool:
    """Tell whether the run says that it waits for the very form that was answered.

    Dify takes an answer first, and wakes the run a moment later.
    """
    return reply.paused and any(pause.form_id == form_id for pause in reply.pauses)


def not_yet(ids: StreamIds) -> StreamCut:
    """Return what to raise then: the next attempt finds the run awake."""
    err = StreamCut("Dify has the answer, but the run still waits.", service="dify")
    err.ids = ids
    return err


def _kind_of(response: requests.Response, err: DifyError) -> type[DifyError] | None:
    if response.status_code == _PRECONDITION_FAILED:
        # Read off the text: a form that is taken names the code or says so.
        is_taken = _SUBMITTED in response.text or "submitted" in response.text.lower()
        return FormTaken if is_taken else FormExpired
    if isinstance(err, DifyNotFound) and err.code in (
        DifyNotFound.code,
        "wrong_address",
    ):
        return NoFormApi
    return None


def _merged(new: StreamIds, old: StreamIds) -> StreamIds:
    return StreamIds(
        task_id=new.task_id or old.task_id,
        conversation_id=new.conversation_id or old.conversation_id,
        message_id=new.message_id or old.message_id,
        workflow_run_id=new.workflow_run_id or old.workflow_run_id,
    )


def _without(said_before: str, text: str) -> str:
    """Return a text without what had been said before the pause."""
    before = said_before.strip()
    if not before or not text.startswith(before):
        return text
    return text[len(before) :].lstrip()
