"""Turns the events of one run into one reply. Pure: no network, no clock, no database.

Follows reference/dify.md section 2, "order and when to stop". It goes by the events
that come rather than by the app's mode (Dify 0.15 does not tell the mode), except that
in mode `agent` a `message` is a full closing copy.

    chat, completion   message* → message_end
    chatflow           … → workflow_finished → message_end   (0.15, 1.12)
                       … → message_end → workflow_finished   (1.14)
    chatflow, canned   message → message_end, and nothing more
    chatflow, failed   workflow_finished(failed) [→ error before 1.13]
    workflow           … → workflow_finished
    any                error; workflow_paused
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from decimal import Decimal
from json import loads

from bridge_project.lib.redact import cut
from bridge_project.lib.types import JsonObject, JsonValue
from dify_api.failures import (
    DifyError,
    failure_for,
    is_stop,
    workflow_failure,
)
from dify_api.outputs import select_answer
from dify_api.payloads import (
    AgentStep,
    AppMode,
    DifyFile,
    DifyReply,
    Outcome,
    PauseReason,
    StreamIds,
    Usage,
    parse_file,
    parse_pause,
    parse_usage,
)
from dify_api.reading import (
    as_object,
    clean_text,
    integer,
    malformed,
    nested,
    objects,
    price,
    required_text,
    scrub,
    text,
)
from dify_api.room import MAX_KEPT_CHARS, Room
from dify_api.thinking import split_thinking

MAX_ID_CHARS = 64  # they are UUIDs
_ID_NAMES = ("task_id", "conversation_id", "message_id", "workflow_run_id")
# Large (whole prompts, whole HTTP bodies) and of no use outside of workflows, where
# only they tell the price. Dify writes `event` first; if that ever changed, they would
# merely be parsed. Measured: about a third less CPU for a stream with node outputs of
# 200 kB, no difference to speak of for small ones.
_SKIPPED = tuple(
    f'{{"event":{space}"{name}'.encode()
    for name in ("node_", "iteration_", "loop_", "agent_log", "tts_")
    for space in ("", " ")
)
# They sum up the nodes inside of them.
_CONTAINER_NODES = frozenset({"iteration", "loop"})


class StreamCollector:
    """Collects one run; feed it events until `is_finished`, then ask for `result()`."""

    def __init__(
        self,
        *,
        mode: str,
        answer_output: str = "",
        max_kept_chars: int = MAX_KEPT_CHARS,
    ) -> None:
        self.ids = StreamIds()
        self.has_begun = False  # an event came; pings are none
        self.is_finished = False
        # The text is complete; only details (usage, status) may still come.
        self.has_ended = False
        # A chatflow of 0.15 or 1.12 has succeeded; moderation may still replace the
        # text, so `message_end` should be waited for.
        self.awaits_message_end = False
        self.has_text = False
        self._mode = mode
        self._answer_output = answer_output
        self._missing_ids: tuple[str, ...] = _ID_NAMES
        self._is_flow = False  # a workflow runs behind this stream
        self._finished_by = ""
        self._outcome = Outcome.ANSWERED
        self._partial = False
        self._failure: DifyError | None = None
        self._room = Room(max_kept_chars)
        self._parts: list[str] = []  # answer of chats
        self._chunks: list[str] = []  # text_chunk of workflows
        self._reasoning: list[str] = []
        self._outputs: JsonObject = {}
        self._usage: Usage | None = None
        self._node_price = Decimal(0)
        self._currency = ""
        self._files: dict[str, DifyFile] = {}
        self._steps: dict[str, AgentStep] = {}
        self._pauses: dict[str, PauseReason] = {}

    def feed_data(self, data: bytes) -> None:
        """Take the data of one SSE event. Raises DifyUnexpectedReply."""
        if (
            not self._missing_ids
            and self._mode != AppMode.WORKFLOW
            and data.startswith(_SKIPPED)
        ):
            return
        try:
            event = loads(data)
        except (ValueError, RecursionError) as err:
            raise malformed("an event of the stream is not JSON") from err
        self.feed(as_object(event, name="event"))

    def feed(self, event: JsonObject) -> None:
        """Take one event; unknown ones are ignored. Raises DifyUnexpectedReply."""
        if self.is_finished:
            return
        name = text(event, "event")
        if name in ("", "ping"):
            return
        self.has_begun = True
        self._save_ids(event)
        handle = _HANDLERS.get(name)
        if handle is not None:
            handle(self, event)

    def text_so_far(self) -> str:
        """Return the text that was collected until now, as it came."""
        return "".join(self._parts or self._chunks)

    def result(self) -> DifyReply:
        """Return the reply, or raise the failure that Dify reported.

        Raises DifyUnexpectedReply when a workflow's answer cannot be told.
        """
        if self._failure is not None:
            raise self._failure
        answer, thinking = split_thinking(self._answer())
        reasoning = clean_text("".join(self._reasoning)).strip()
        return DifyReply(
            answer=answer,
            thinking="\n".join(filter(None, (reasoning, thinking))),
            outcome=self._outcome,
            finished_by=self._finished_by,
            partial=self._partial,
            ids=self.ids,
            usage=self._priced_usage(),
            outputs=as_object(scrub(self._outputs), name="outputs"),
            files=tuple(self._files.values()),
            steps=tuple(self._steps.values()),
            pauses=tuple(self._pauses.values()),
        )

    # --- Ids and endings ------------------------------------------------------------

    def _save_ids(self, event: JsonObject) -> None:
        found = {
            name: value[:MAX_ID_CHARS]
            for name in self._missing_ids
            if (value := text(event, name))
        }
        if found:
            self.ids = replace(self.ids, **found)
            self._missing_ids = tuple(n for n in self._missing_ids if n not in found)
            self._is_flow = self._is_flow or bool(self.ids.workflow_run_id)

    def _finish(self, by: str) -> None:
        self._finished_by = by
        self.has_ended = self.is_finished = True

    def _fail(self, failure: DifyError, *, by: str) -> None:
        failure.ids = self.ids
        failure.status = None  # the HTTP answer was a success
        self._failure = failure
        self._finish(by)

    def _on_error(self, event: JsonObject) -> None:
        status = integer(event, "status") or 500
        self._fail(
            failure_for(
                # The key was accepted when the stream began: a refusal in it is that
                # of a model or a tool, not of the app's key.
                status=400 if status in (401, 403) else status,
                code=text(event, "code"),
                message=text(event, "message"),
            ),
            by="error",
        )

    def _on_message_end(self, event: JsonObject) -> None:
        metadata = nested(event, "metadata")
        self._usage = parse_usage(nested(metadata, "usage"))
        self._take_end_files(event.get("files"))
        self._finished_by = "message_end"
        self.has_ended = True
        # Else a chatflow of 1.14: success already, its `workflow_finished` follows.
        if self.awaits_message_end or not self._is_flow:
            self._finish("message_end")

    def _on_workflow_finished(self, event: JsonObject) -> None:
        data = as_object(event.get("data"), name="data")
        status = required_text(data, "status")
        self._outputs = self._outputs or nested(data, "outputs")
        self._note_run_tokens(data)
        if status == "partial-succeeded":
            self._partial = True
        elif status != "succeeded" and not self.has_ended:
            self._end_badly(status, error=text(data, "error"))
            return
        for item in objects(data.get("files")):
            self._add_file(item)
        if self.has_ended or self._mode == AppMode.WORKFLOW or not self._is_chat():
            self._finish("workflow_finished")
        else:
            self._finished_by = "workflow_finished"
            self.awaits_message_end = True

    def _end_badly(self, status: str, *, error: str) -> None:
        if is_stop(status, error=error):
            self._outcome = Outcome.STOPPED
            self._finish("workflow_finished")
        elif status == "paused":
            self._outcome = Outcome.PAUSED
            self._finish("workflow_finished")
        elif status == "failed":
            # An `error` that may follow says the same once more.
            self._fail(workflow_failure(error), by="workflow_finished")
        else:
            raise malformed(f"the workflow ended with the unknown status “{status}”")

    def _on_workflow_paused(self, event: JsonObject) -> None:
        data = nested(event, "data")
        for reason in objects(data.get("reasons")):
            if text(reason, "form_id"):  # other reasons are no form
                pause = parse_pause(reason)
                self._pauses.setdefault(pause.form_id, pause)
        self._outcome = Outcome.PAUSED
        self._finish("workflow_paused")

    def _on_human_input_required(self, event: JsonObject) -> None:
        pause = parse_pause(nested(event, "data"))
        self._room.take(pause.form_id, pause.content, pause.node_title)
        for field in pause.fields:
            self._room.take(field.name, field.label, field.default, *field.options)
        self._pauses[pause.form_id] = pause

    def _is_chat(self) -> bool:
        return bool(self.ids.message_id or self.ids.conversation_id)

    # --- Text -------------------------------------------------------------------------

    def _on_message(self, event: JsonObject) -> None:
        answer = required_text(event, "answer")
        self._room.take(answer)
        if self._mode == AppMode.AGENT and answer:
            self._parts = [answer]
        else:
            self._parts.append(answer)
        self.has_text = self.has_text or bool(answer)

    def _on_agent_message(self, event: JsonObject) -> None:
        answer = required_text(event, "answer")
        self._room.take(answer)
        self._parts.append(answer)
        self.has_text = self.has_text or bool(answer)

    def _on_message_replace(self, event: JsonObject) -> None:
        self._parts = [required_text(event, "answer")]
        self.has_text = True

    def _on_message_file(self, event: JsonObject) -> None:
        """Take a file, or text in its disguise.

        Once a chat reply has a file, its text deltas come as `message_file` too.
        """
        if isinstance(event.get("answer"), str):
            self._on_agent_message(event)
        elif text(event, "belongs_to") != "user":
            self._add_file(event)

    def _on_text_chunk(self, event: JsonObject) -> None:
        chunk = required_text(nested(event, "data"), "text")
        self._room.take(chunk)
        self._chunks.append(chunk)
        self.has_text = self.has_text or bool(chunk)

    def _on_text_replace(self, event: JsonObject) -> None:
        self._chunks = [required_text(nested(event, "data"), "text")]

    def _answer(self) -> str:
        if self._is_chat() or self._mode == AppMode.COMPLETION or self._parts:
            return "".join(self._parts)
        if self._outcome is not Outcome.ANSWERED:
            return "".join(self._chunks)
        return select_answer(
            self._outputs,
            wanted=self._answer_output,
            streamed="".join(self._chunks),
        )

    # --- What else there is ----------------------------------------------------------

    def _on_workflow_started(self, event: JsonObject) -> None:
        self._is_flow = True

    def _on_agent_thought(self, event: JsonObject) -> None:
        """Keep the newest copy of a thought; it fills up over several events."""
        step = AgentStep(
            position=integer(event, "position"),
            thought=cut(text(event, "thought")),
            tool=cut(text(event, "tool")),
            tool_input=cut(text(event, "tool_input")),
            observation=cut(text(event, "observation")),
        )
        step_id = text(event, "id")
        self._room.take(
            step_id, step.thought, step.tool, step.tool_input, step.observation
        )
        self._steps[step_id] = step

    def _on_reasoning_chunk(self, event: JsonObject) -> None:
        # As it came: a character may be split over two pieces.
        piece = nested(event, "data").get("reasoning")
        if isinstance(piece, str):
            self._room.take(piece)
            self._reasoning.append(piece)

    def _on_node_finished(self, event: JsonObject) -> None:
        """Add up prices: a workflow tells them nowhere else."""
        data = nested(event, "data")
        if text(data, "node_type") in _CONTAINER_NODES:
            return
        metadata = nested(data, "execution_metadata")
        self._node_price += price(metadata, "total_price")
        self._currency = self._currency or text(metadata, "currency")[:8]

    def _note_run_tokens(self, data: Mapping[str, JsonValue]) -> None:
        if self._usage is None and "total_tokens" in data:
            self._usage = Usage(total_tokens=integer(data, "total_tokens"))

    def _priced_usage(self) -> Usage | None:
        if self._usage is None or not self._node_price or self._usage.total_price:
            return self._usage
        return replace(
            self._usage, total_price=self._node_price, currency=self._currency
        )

    def _take_end_files(self, files: JsonValue) -> None:
        """Take the files of `message_end`.

        Those of a chat contain the customer's own uploads without saying so; there only
        what a `message_file` announced is a file of the reply.
        """
        for item in objects(files):
            file = parse_file(item)
            if file is not None and (self._is_flow or file.id in self._files):
                self._files[file.id] = file

    def _add_file(self, source: JsonObject) -> None:
        file = parse_file(source)
        if file is not None:
            self._room.take(file.id, file.url, file.filename)
            self._files.setdefault(file.id, file)


_HANDLERS: dict[str, Callable[[StreamCollector, JsonObject], None]] = {
    "message": StreamCollector._on_message,
    "agent_message": StreamCollector._on_agent_message,
    "message_file": StreamCollector._on_message_file,
    "message_replace": StreamCollector._on_message_replace,
    "message_end": StreamCollector._on_message_end,
    "agent_thought": StreamCollector._on_agent_thought,
    "reasoning_chunk": StreamCollector._on_reasoning_chunk,
    "text_chunk": StreamCollector._on_text_chunk,
    "text_replace": StreamCollector._on_text_replace,
    "node_finished": StreamCollector._on_node_finished,
    "workflow_started": StreamCollector._on_workflow_started,
    "workflow_finished": StreamCollector._on_workflow_finished,
    "workflow_paused": StreamCollector._on_workflow_paused,
    "human_input_required": StreamCollector._on_human_input_required,
    "error": StreamCollector._on_error,
}
