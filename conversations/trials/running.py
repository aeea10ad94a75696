"""Run one question of the playground: ask Dify, and store what comes as it comes."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime, timedelta
from time import monotonic
from typing import Any
from uuid import UUID, uuid4

from django.utils import timezone

from bridge_project.lib.database import release_connection
from bridge_project.lib.errors import BridgeError, UpstreamError
from bridge_project.lib.redact import cut, mask_ours, mask_ours_within
from bridge_project.lib.types import JsonObject
from conversations import context, deletion, slots
from conversations.former_runs import WORKER_LOST
from conversations.models import Conversation, DifyConversation, Trial
from conversations.trials import subject
from conversations.trials.talks import is_first, memory_of
from dify_api import app_info
from dify_api.client import DifyClient
from dify_api.collector import StreamCollector
from dify_api.event_log import EventLog
from dify_api.failures import (
    DifyError,
    DifyRateLimited,
    InvalidInputs,
    RunAborted,
    RunTooLong,
)
from dify_api.models import DifyApp
from dify_api.payloads import DifyReply, Outcome, StreamIds, StreamProgress
from dify_api.thinking import split_thinking

# How often what came is shown to whoever watches.
STORE_EVERY_S = 0.5
# A worker that lets this pass is dead; it renews every second once Dify answers.
LEASE = timedelta(seconds=30)
# Customers' runs come first; who tries a bot is told so after a while.
WAITS_FOR_A_PLACE = timedelta(minutes=2)
MAX_STEPS = 50
NO_PLACE = "no_place"
STOPPED_IN_DIFY = "stopped_in_dify"
PAUSED = "paused"


class Lost(BridgeError):
    """The trial was stopped, or is another worker's."""

    code = "lease_lost"


class Forgotten(BridgeError):
    """The conversation whose values were to be sent is no longer stored here."""

    code = "conversation_forgotten"


def run(trial_id: int) -> str:
    """Run a trial that waits; only one worker does. What came of it is in its row.

    A worker that died leaves a failed trial: somebody sits there and can ask again,
    and a second run would cost tokens that nobody asked for.
    """
    now = timezone.now()
    if _close_abandoned(trial_id, now=now):
        return "given up: its worker died"
    rows = Trial.objects.filter(pk=trial_id, status=Trial.Status.WAITING)
    trial = rows.select_related("bot__account", "bot__dify_app").first()
    if trial is None:
        return "not waiting, or already running"
    app = trial.bot.dify_app
    if app is None:
        return _fail(trial, code="configuration", error="The bot has no Dify app.")
    if _is_full(app, now=now):
        if now - trial.created_at < WAITS_FOR_A_PLACE:
            return "waits for a place"
        return _fail(trial, code=NO_PLACE, error="")
    lease = uuid4()
    patience = timedelta(seconds=app.first_event_timeout_s) + LEASE
    if not rows.update(
        status=Trial.Status.RUNNING, lease=lease, lease_expires_at=now + patience
    ):
        return "already running"
    return _Run(trial, app=app, lease=lease).go()


def _close_abandoned(trial_id: int, *, now: datetime) -> bool:
    rows = Trial.objects.filter(
        pk=trial_id, status=Trial.Status.RUNNING, lease_expires_at__lt=now
    )
    trial = rows.first()
    return trial is not None and bool(
        rows.update(
            status=Trial.Status.FAILED,
            inputs={**trial.inputs, "error_code": WORKER_LOST},
            finished_at=now,
            lease=None,
            lease_expires_at=None,
        )
    )


def _is_full(app: DifyApp, *, now: datetime) -> bool:
    """Tell whether customers and other trials have taken the app's places.

    Customers' runs do not count trials, so none of them waits for one.
    """
    trials = Trial.objects.filter(
        bot__dify_app=app, status=Trial.Status.RUNNING, lease_expires_at__gt=now
    )
    return slots.is_full(app, now=now, besides_turns=trials.count())


def _fail(trial: Trial, *, code: str, error: str) -> str:
    Trial.objects.filter(pk=trial.pk, status=Trial.Status.WAITING).update(
        status=Trial.Status.FAILED,
        inputs={**trial.inputs, "error_code": code},
        error=error,
        finished_at=timezone.now(),
    )
    return f"failed: {code}"


class _Run:
    """One claimed trial: its row, the app, and what has come by now."""

    def __init__(self, trial: Trial, *, app: DifyApp, lease: UUID) -> None:
        self._trial, self._app, self._lease = trial, app, lease
        self._about: JsonObject = {**trial.inputs, "notes": []}
        self._inputs: JsonObject = {}
        self._memory: DifyConversation | None = None
        self._events = EventLog()
        self._partial = ""
        self._ids = StreamIds()
        self._began = self._stored_at = monotonic()
        self._first_text_ms: int | None = None
        self._read_now = False

    @property
    def _client(self) -> DifyClient:
        """Made for each call, since reading the app may change its kind."""
        return DifyClient(self._app.connection())

    def go(self) -> str:
        """Ask, and store the outcome; returns it in a word. A fault of ours raises."""
        try:
            self._prepare()
            reply = self._ask_with_repairs()
        except (Lost, RunAborted) as err:
            self._take_ids(err)
            self._stop_in_dify()
            return "stopped"
        except Exception as err:
            self._end_badly(err)
            if not isinstance(err, BridgeError):
                raise
            return f"failed: {err.code}"
        self._end_well(reply)
        return "answered"

    # --- Asking ---------------------------------------------------------------------

    def _prepare(self) -> None:
        """Read the app's form, at least for the first question: it is being tried."""
        if not app_info.is_fresh(self._app) or is_first(self._trial):
            self._read_parameters()
        self._shape_inputs()
        self._memory = memory_of(self._trial, app_id=self._app.pk)

    def _read_parameters(self) -> None:
        try:
            app_info.refresh(self._app)
            self._read_now = True
        except UpstreamError:
            if self._app.parameters_read_at is None:
                raise

    def _shape_inputs(self) -> None:
        shaped = subject.fitted(
            subject.subject_of(
                self._trial.bot,
                conversation=self._conversation(),
                invents=bool(self._trial.inputs.get("invents", True)),
            ),
            bot=self._trial.bot,
            app=self._app,
            question=self._trial.question,
            given=self._trial.inputs.get("given", {}),
        )
        self._inputs = shaped.inputs
        self._about["sent"] = mask_ours_within(shaped.inputs)
        for note in shaped.notes:
            self._note(note)
        self._keep(inputs=self._about)
        context.refuse_incomplete(shaped)

    def _conversation(self) -> Conversation | None:
        """Return the conversation that lends its values. Raises Forgotten."""
        pk = self._trial.inputs.get("conversation_id")
        if pk is None:
            return None
        rows = Conversation.objects.select_related("account", "inbox")
        found = rows.filter(pk=pk).first()
        if found is None:
            raise Forgotten
        return found

    def _ask_with_repairs(self) -> DifyReply:
        try:
            return self._ask_and_go_on()
        except InvalidInputs:
            if self._read_now:
                raise
            self._note("The app refused its inputs; they were read anew.")
            self._read_parameters()
            self._shape_inputs()
            return self._ask_and_go_on()

    def _ask_and_go_on(self) -> DifyReply:
        """Ask in the talk's Dify conversation, or anew if Dify no longer has it.

        Looked up first: a chatflow answers an unknown conversation with silence
        (recordings, point 3), and somebody sits and waits.
        """
        known = self._memory
        if known is None:
            return self._ask("")
        if self._client.conversation_exists(
            known.dify_conversation_id, user=known.dify_user
        ):
            return self._ask(known.dify_conversation_id)
        DifyConversation.objects.filter(pk=known.pk, ended_at=None).update(
            ended_at=timezone.now(), end_reason=DifyConversation.End.VANISHED
        )
        self._memory = None
        self._note("Dify no longer knew the talk; a new one was started.")
        return self._ask("")

    def _ask(self, dify_conversation_id: str) -> DifyReply:
        patience = timedelta(seconds=self._app.first_event_timeout_s) + LEASE
        self._keep(lease_expires_at=timezone.now() + patience)
        self._began = monotonic()
        return self._client.run(
            query=self._trial.question,
            inputs=self._inputs,
            user=self._trial.dify_user,
            conversation_id=dify_conversation_id,
            trace_id=f"bridge-trial-{self._trial.pk}",
            on_progress=self._keep_ids,
            on_event=self._see,
            should_stop=self._is_lost,
        )

    # --- While it runs ----------------------------------------------------------------

    def _see(self, data: bytes, at_ms: int, collector: StreamCollector) -> None:
        """Take an event, and show what came by now twice a second."""
        self._events.add(data, at_ms=at_ms)
        if self._first_text_ms is None and collector.has_text:
            self._first_text_ms = at_ms
        if monotonic() - self._stored_at < STORE_EVERY_S:
            return
        self._stored_at = monotonic()
        self._partial = collector.text_so_far()
        self._keep(**self._seen())

    def _seen(self) -> dict[str, Any]:
        answer, thinking = split_thinking(self._partial)
        return {
            "events": mask_ours_within(list(self._events.rows)),
            "answer": mask_ours(answer),
            "thinking": mask_ours(thinking),
            "first_text_ms": self._first_text_ms,
        }

    def _is_lost(self) -> bool:
        """Renew the lease; True once the trial is no longer ours to run."""
        try:
            self._keep(lease_expires_at=timezone.now() + LEASE)
        except Lost:
            return True
        return False

    def _keep(self, **values: Any) -> None:
        """Write into the row while it is ours. Raises Lost."""
        mine = Trial.objects.filter(
            pk=self._trial.pk, lease=self._lease, status=Trial.Status.RUNNING
        )
        kept = mine.update(**values)
        # The stream may last for minutes; the connection is for others meanwhile.
        release_connection()
        if not kept:
            raise Lost

    def _keep_ids(self, progress: StreamProgress) -> None:
        """Remember the Dify conversation at once: only what is known is deleted."""
        self._ids = progress.ids
        dify_conversation_id = progress.ids.conversation_id
        if not progress.ids_changed or not dify_conversation_id:
            return
        known = self._memory
        if known is None or known.dify_conversation_id != dify_conversation_id:
            known = self._memory = DifyConversation.objects.create(
                conversation=None,
                app=self._app,
                dify_conversation_id=dify_conversation_id,
                dify_user=self._trial.dify_user,
            )
            try:
                self._keep(dify_conversation=known)
            except Lost:
                # Stopped before Dify told its number: nobody could go on in it.
                deletion.want(known, reason=DifyConversation.End.BY_OPERATOR)
                raise
            return
        rows = DifyConversation.objects.filter(pk=known.pk)
        rows.update(last_used_at=timezone.now())
        self._keep(dify_conversation=known)

    def _take_ids(self, err: BridgeError) -> None:
        if isinstance(err, DifyError) and err.ids is not None:
            self._ids = err.ids

    def _stop_in_dify(self) -> None:
        """Nobody waits for this run any more; it need not cost more tokens."""
        if not self._ids.task_id:
            return
        with suppress(UpstreamError):
            self._client.stop(self._ids.task_id, user=self._trial.dify_user)

    # --- The end ----------------------------------------------------------------------

    def _note(self, text: str) -> None:
        notes = self._about["notes"]
        if isinstance(notes, list) and text not in notes:
            notes.append(text)

    def _end_well(self, reply: DifyReply) -> None:
        if self._events.left_out:
            self._note(f"{self._events.left_out} further events are not kept.")
        self._about["steps"] = [
            {
                "tool": step.tool,
                "thought": step.thought,
                "input": step.tool_input,
                "result": step.observation,
            }
            for step in reply.steps[:MAX_STEPS]
        ]
        if reply.outcome is Outcome.STOPPED:
            self._about["error_code"] = STOPPED_IN_DIFY
        elif reply.outcome is Outcome.PAUSED:
            self._about["error_code"] = PAUSED
        usage = reply.usage
        self._finish(
            Trial.Status.ANSWERED if reply.is_answer else Trial.Status.STOPPED,
            answer=mask_ours(reply.answer),
            thinking=mask_ours(reply.thinking),
            first_text_ms=reply.first_text_ms,
            duration_ms=reply.duration_ms,
            total_tokens=max(0, usage.total_tokens) if usage else None,
            total_price=usage.total_price if usage else None,
            currency=usage.currency if usage else "",
        )
        if self._app.health != DifyApp.Health.OK:
            DifyApp.objects.filter(pk=self._app.pk).mark_ok()

    def _end_badly(self, err: Exception) -> None:
        """Store why there is no answer; what came of it stays readable."""
        if isinstance(err, BridgeError):
            self._take_ids(err)
        self._about["error_code"] = (
            err.code if isinstance(err, BridgeError) else "internal_error"
        )
        seen = self._seen()
        seen.pop("events")
        self._finish(
            Trial.Status.FAILED,
            **seen,
            error=cut(mask_ours(str(err))) if isinstance(err, BridgeError) else "",
            duration_ms=round((monotonic() - self._began) * 1000),
        )
        if isinstance(err, RunTooLong):
            self._stop_in_dify()
        apps = DifyApp.objects.filter(pk=self._app.pk)
        if isinstance(err, DifyRateLimited):
            apps.slow_down(timezone.now())
        if isinstance(err, BridgeError):
            apps.note(err)

    def _finish(self, status: Trial.Status, **values: Any) -> None:
        """Close the row; one that somebody stopped meanwhile stays as it is."""
        with suppress(Lost):
            self._keep(
                status=status,
                inputs=mask_ours_within(self._about),
                events=mask_ours_within(list(self._events.rows)),
                finished_at=timezone.now(),
                lease=None,
                lease_expires_at=None,
                **values,
            )
