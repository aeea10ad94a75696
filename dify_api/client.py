"""The Dify Service API of one app: one method per call, every run by stream.

Reference: reference/dify.md, checked against recordings of 0.15.3, 1.12.1 and 1.14.2.
A lost POST is repeatable here: a second run costs tokens, but shows the customer
nothing twice, since only the bridge posts. So no call raises OutcomeUnknown; what is
known of a run that may go on in Dify stands in the `ids` of the exception.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from time import monotonic
from typing import Any, ClassVar, NoReturn
from urllib.parse import quote

import requests

from bridge_project.lib.errors import ConfigurationError, UpstreamError
from bridge_project.lib.http import (
    CONNECT_TIMEOUT_S,
    READ_TIMEOUT_S,
    CallLog,
    JsonApi,
    retry_after_s,
)
from bridge_project.lib.redact import mask
from bridge_project.lib.types import JsonObject, JsonValue
from dify_api import versions
from dify_api.connection import DifyConnection
from dify_api.failures import (
    ConversationGone,
    DifyNotFound,
    DifyRateLimited,
    failure_for_body,
)
from dify_api.payloads import (
    CHAT_MODES,
    AppInfo,
    AppMode,
    AppParameters,
    DifyReply,
    InputFile,
    StoredMessage,
    StoredRun,
    parse_info,
    parse_parameters,
)
from dify_api.reading import clean_text, malformed, texts
from dify_api.stored import parse_message, parse_run
from dify_api.stream import OnEvent, OnProgress, RunStream, ShouldStop

# A cut-off turn is among the newest of its conversation.
_MESSAGES_LIMIT = 20


class DifyClient(JsonApi):
    """Calls one Dify app with its key."""

    service: ClassVar[str] = "dify"

    def __init__(
        self,
        connection: DifyConnection,
        *,
        call_log: CallLog | None = None,
        read_timeout_s: float = READ_TIMEOUT_S,
    ) -> None:
        """`read_timeout_s`: how long a look-up may take; runs have their own limits."""
        super().__init__(
            base_url=connection.api_url,
            secrets=(connection.api_key,),
            call_log=call_log,
        )
        self.connection = connection
        # As the last answer said; "" where a proxy hides it.
        self.server_version = ""
        self._read_timeout_s = read_timeout_s

    # --- The app ------------------------------------------------------------------

    def info(self) -> AppInfo:
        """GET /info: name and mode (no mode before Dify 1.0)."""
        return parse_info(self._get("/info"))

    def parameters(self) -> AppParameters:
        """GET /parameters: declared inputs. Unpublished: DifyRejected."""
        return parse_parameters(self._get("/parameters"))

    # --- Running ------------------------------------------------------------------

    def run(
        self,
        *,
        query: str,
        inputs: Mapping[str, JsonValue],
        user: str,
        conversation_id: str = "",
        files: Sequence[InputFile] = (),
        trace_id: str = "",
        on_progress: OnProgress | None = None,
        on_event: OnEvent | None = None,
        should_stop: ShouldStop | None = None,
    ) -> DifyReply:
        """Run the app once and return its reply.

        Workflow and completion apps take the customer's text as one of their inputs.
        `on_progress` is called with the ids as soon as there are any, and every 10 s
        while bytes arrive; what it raises ends the stream and comes out here (the run
        goes on in Dify unless `stop` is called). `on_event` sees every event as it
        came, for whoever watches; what it raises does the same. `should_stop` is asked
        once a second from the answer's first byte on, also while nothing arrives; True
        ends the stream with RunAborted. Failures that Dify reports, and SilentStream,
        StreamCut, RunTooLong, RunAborted and DifyUnexpectedReply are DifyErrors with
        `ids`; no answer at all is UpstreamUnavailable.
        """
        mode = self._mode()
        path = _RUN_PATHS[mode]
        body = _run_body(
            mode,
            query=query,
            inputs=inputs,
            user=user,
            conversation_id=conversation_id,
            files=files,
        )
        return self._follow(
            "POST",
            path,
            body=body,
            headers={"X-Trace-Id": trace_id} if trace_id else {},
            on_progress=on_progress,
            on_event=on_event,
            should_stop=should_stop,
        )

    def stop(self, task_id: str, *, user: str) -> None:
        """POST …/:task_id/stop. Dify answers success whether it stopped or not."""
        path = _STOP_PATHS[self._mode()].format(task_id=quote(task_id, safe=""))
        self._call("POST", path, json={"user": user})

    def feedback(
        self, message_id: str, *, rating: str, content: str, user: str
    ) -> None:
        """POST /messages/:id/feedbacks: `like` or `dislike`, and why.

        One per message and user; a later one takes its place. DifyNotFound if the
        message is not that user's.
        """
        body: JsonObject = {"rating": rating, "user": user}
        if content:
            body["content"] = content
        path = f"/messages/{quote(message_id, safe='')}/feedbacks"
        self._call("POST", path, json=body)

    # --- What Dify has stored ---------------------------------------------------------

    def conversation_exists(self, conversation_id: str, *, user: str) -> bool:
        """Tell whether the conversation is there for this app and user."""
        try:
            self._messages(conversation_id, user=user, limit=1)
        except ConversationGone:
            return False
        return True

    def message(
        self, conversation_id: str, message_id: str, *, user: str
    ) -> StoredMessage | None:
        """Return a recent message as stored, None when it is not there."""
        try:
            body = self._messages(conversation_id, user=user, limit=_MESSAGES_LIMIT)
        except ConversationGone:
            return None
        return parse_message(body, message_id=message_id)

    def suggested_questions(self, message_id: str, *, user: str) -> list[str]:
        """GET /messages/:id/suggested: what a customer may ask next.

        Costs a call of the model. Off in the app: DifyRejected (400, on newer versions
        403).
        """
        path = f"/messages/{quote(message_id, safe='')}/suggested"
        body = self._get(path, params={"user": user})
        if not isinstance(body, dict):
            raise malformed("suggested questions are no object")
        return [clean_text(question) for question in texts(body.get("data"))]

    def workflow_run(self, run_id: str) -> StoredRun | None:
        """GET /workflows/run/:id (workflow and chatflow), None when unknown.

        0.15 answers for workflows only.
        """
        path = f"/workflows/run/{quote(run_id, safe='')}"
        try:
            response = self.send("GET", path, headers=self._headers(), repeat_safe=True)
        except DifyNotFound as err:
            if err.code == DifyNotFound.code:
                return None
            raise
        try:
            body = response.json()
        except ValueError as err:
            raise malformed("a run is not told as JSON") from err
        return parse_run(
            body,
            answer_output=self.connection.answer_output,
            is_workflow=self.connection.mode == AppMode.WORKFLOW,
            may_be_stuck=_forgets_runs(self.server_version),
        )

    def delete_conversation(self, conversation_id: str, *, user: str) -> bool:
        """Delete a conversation; False when it was gone already.

        1.12.1 answers 204 to any id, and deletes other users' conversations and other
        apps' too: pass no id that was not stored for this app. To be sure, ask
        `conversation_exists` afterwards.
        """
        path = f"/conversations/{quote(conversation_id, safe='')}"
        try:
            self._call("DELETE", path, json={"user": user})
        except ConversationGone:
            return False
        return True

    # --- Plumbing -----------------------------------------------------------------

    def send(self, method: str, path: str, **how: Any) -> requests.Response:
        """Send a request, and remember which Dify it is that answers."""
        response = super().send(method, path, **how)
        self.server_version = versions.told_by(response.headers)
        return response

    def is_chat_app(self, *, user: str) -> bool:
        """Find out whether the app takes chat messages, for Dify without `mode`."""
        try:
            self._call("GET", "/conversations", params={"user": user, "limit": 1})
        except UpstreamError as err:
            if err.code == "wrong_mode":
                return False
            raise
        return True

    def _follow(
        self,
        method: str,
        path: str,
        *,
        body: JsonObject | None = None,
        params: Mapping[str, str | int] | None = None,
        headers: Mapping[str, str] | None = None,
        on_progress: OnProgress | None,
        on_event: OnEvent | None = None,
        should_stop: ShouldStop | None,
    ) -> DifyReply:
        """Open an event stream and read it to its end; see `run`."""
        started = monotonic()
        identity = {"Accept-Encoding": "identity"}
        response = self.send(
            method,
            path,
            headers={**self._headers(), **identity, **(headers or {})},
            json=body,
            params=params,
            repeat_safe=True,
            timeout_s=(CONNECT_TIMEOUT_S, self.connection.first_event_timeout_s),
            stream=True,
        )
        stream = RunStream(
            response,
            connection=self.connection,
            started=started,
            on_progress=on_progress,
            on_event=on_event,
            should_stop=should_stop,
        )
        error_code = "aborted"
        try:
            _check_content_type(response)
            reply = stream.follow()
            error_code = ""
        except UpstreamError as err:
            err.method, err.path = method, path
            error_code = err.code
            raise
        finally:
            response.close()
            self.tell(
                method,
                path,
                started=started,
                sent=body,
                status=response.status_code,
                error_code=error_code,
                answer=stream.collector.text_so_far(),
            )
        return reply

    def error_for_response(
        self,
        method: str,
        path: str,
        response: requests.Response,
        *,
        repeat_safe: bool,
    ) -> UpstreamError:
        """Map an error answer by the table of `failures`."""
        if response.status_code < 400:
            return super().error_for_response(
                method, path, response, repeat_safe=repeat_safe
            )
        # Masked before it is cut: half a key would not be recognised.
        body = mask(response.text, secrets=self._secrets)
        failure = failure_for_body(
            status=response.status_code, body=body, method=method, path=path
        )
        if isinstance(failure, DifyRateLimited):
            failure.retry_after_s = retry_after_s(response)
        return failure

    def _messages(self, conversation_id: str, *, user: str, limit: int) -> JsonValue:
        return self._get(
            "/messages",
            params={"conversation_id": conversation_id, "user": user, "limit": limit},
        )

    def _get(
        self, path: str, *, params: Mapping[str, str | int] | None = None
    ) -> JsonValue:
        return self.request_json(
            "GET",
            path,
            headers=self._headers(),
            params=params,
            repeat_safe=True,
            timeout_s=(CONNECT_TIMEOUT_S, self._read_timeout_s),
        )

    def _call(
        self,
        method: str,
        path: str,
        *,
        json: JsonObject | None = None,
        params: Mapping[str, str | int] | None = None,
    ) -> None:
        """Make a call whose answer does not matter beyond its status."""
        self.send(
            method,
            path,
            headers=self._headers(),
            json=json,
            params=params,
            repeat_safe=True,
        )

    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.connection.api_key}"}

    def _mode(self) -> AppMode:
        try:
            return AppMode(self.connection.mode)
        except ValueError:
            _refuse_mode(self.connection.mode)


_RUN_PATHS: dict[AppMode, str] = {
    **dict.fromkeys(CHAT_MODES, "/chat-messages"),
    AppMode.WORKFLOW: "/workflows/run",
    AppMode.COMPLETION: "/completion-messages",
}
_STOP_PATHS: dict[AppMode, str] = {
    **dict.fromkeys(CHAT_MODES, "/chat-messages/{task_id}/stop"),
    AppMode.WORKFLOW: "/workflows/tasks/{task_id}/stop",
    AppMode.COMPLETION: "/completion-messages/{task_id}/stop",
}


def _run_body(
    mode: AppMode,
    *,
    query: str,
    inputs: Mapping[str, JsonValue],
    user: str,
    conversation_id: str,
    files: Sequence[InputFile],
) -> JsonObject:
    if not user:
        msg = "Dify needs a `user`; without one it mixes all customers up."
        raise ValueError(msg)
    body: JsonObject = {
        "inputs": dict(inputs),
        "user": user,
        "response_mode": "streaming",
    }
    if files:
        body["files"] = [file.to_json() for file in files]
    if mode in CHAT_MODES:
        if not query.strip():
            msg = "Dify refuses an empty query; send a placeholder for bare files."
            raise ValueError(msg)
        body["query"] = query
        # Costs an LLM call, and a second of waiting in 1.12.
        body["auto_generate_name"] = False
        if conversation_id:
            body["conversation_id"] = conversation_id
    elif mode is AppMode.COMPLETION and not inputs:
        # A prompt without variables; with them, `query` would repeat the text.
        body["query"] = query
    return body


def _check_content_type(response: requests.Response) -> None:
    """Refuse a login page or the like that was answered with 200."""
    kind = response.headers.get("Content-Type", "text/event-stream")
    if not kind.lower().startswith("text/event-stream"):
        raise malformed(f"with “{kind}” in place of an event stream")


def _forgets_runs(version: str) -> bool:
    """Tell whether runs of this Dify may say `running` once their client is gone.

    Since 1.13 they belong to a worker of their own (reference section 2). A proxy may
    hide the version; then the answer is taken for true.
    """
    return versions.is_older(version, (1, 13))


def _refuse_mode(mode: str) -> NoReturn:
    known = f"“{mode}”" if mode else "not known yet"
    msg = (
        f"The kind of the Dify app is {known}, so it cannot be run. Read the app's "
        "settings with the action “Read from Dify”, or choose the kind by hand."
    )
    raise ConfigurationError(msg)
