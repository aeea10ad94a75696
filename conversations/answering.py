"""Ask the Dify app of a bot, and repair what can be repaired on the way."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import timedelta
from time import monotonic

from django.db import transaction
from django.utils import timezone

from bridge_project.lib.database import release_connection
from bridge_project.lib.errors import BridgeError, UpstreamError
from bridge_project.lib.redact import cut, mask_ours, mask_ours_within
from bridge_project.lib.types import JsonObject
from conversations import (
    context,
    form_rows,
    former_runs,
    incoming,
    live_context,
    memory,
    slots,
)
from conversations.call_log import CallRecorder
from conversations.leases import Watch
from conversations.models import (
    Bot,
    Conversation,
    DifyConversation,
    PipelineRun,
    Reason,
    Turn,
)
from conversations.outcomes import (
    LEASE_LOST,
    SHUTDOWN,
    Interrupted,
    LeaseLost,
    NoAnswer,
    NoPlace,
)
from dify_api import app_info
from dify_api.client import DifyClient
from dify_api.failures import (
    FILE_REFUSED,
    ConversationGone,
    DifyError,
    DifyRateLimited,
    DifyRejected,
    InvalidInputs,
    RunAborted,
    RunTooLong,
    SilentStream,
)
from dify_api.models import DifyApp
from dify_api.payloads import AppMode, DifyFile, DifyReply, StreamIds, StreamProgress
from dify_api.pick_up import pick_up
from dify_api.stream import OnProgress, ShouldStop

# How long after the last answer we take for granted that Dify still has the memory.
TRUST_MEMORY_FOR = timedelta(minutes=10)
# An agent that thinks more often is not told in full.
MAX_STEPS = 30
MAX_FILES = 50
_ID_FIELDS = [
    "dify_task_id",
    "dify_message_id",
    "dify_workflow_run_id",
    "dify_conversation_id",
]


@dataclass(frozen=True, kw_only=True)
class Apart:
    """Ask outside of the customer's Dify conversation, and go on with none.

    As a Dify user of its own, with further inputs where the app declares them.
    """

    user: str
    inputs: JsonObject


def answer_for(
    turn: Turn,
    *,
    question: str,
    bot: Bot,
    app: DifyApp,
    recorder: CallRecorder,
    watch: Watch,
    files: incoming.Files | None = None,
    flow_spoke: bool = False,
    apart: Apart | None = None,
) -> PipelineRun:
    """Return a run that answers the question.

    An earlier attempt's answer is taken if there is one, also when it is in Dify only,
    because the stream was cut off or the worker died. Raises UpstreamError; the failed
    run keeps the cause. Raises NoPlace while the app is busy, Interrupted when nobody
    wants the answer any more. A flow that has sent the customer a message of its own
    (`flow_spoke`) before it failed is not asked again: it would say it twice. Raises
    NoAnswer then.
    """
    ask = _Ask(
        turn,
        question=question,
        files=files,
        bot=bot,
        app=app,
        recorder=recorder,
        watch=watch,
        apart=apart,
    )
    former = former_runs.former_run(turn, question=question, app=app)
    if former is not None:
        if former.status == PipelineRun.Status.SUCCEEDED:
            return former
        picked_up = ask.pick_up(former)
        if picked_up is not None:
            return picked_up
    if flow_spoke:
        raise NoAnswer(
            Reason.DIFY_FAILED,
            error="The flow failed after it had sent the customer a message of its "
            f"own. It was not asked again, so as to not say that twice. {turn.error}",
        )
    return ask.start()


def go_on(
    turn: Turn,
    *,
    question: str,
    former: PipelineRun,
    bot: Bot,
    app: DifyApp,
    recorder: CallRecorder,
    watch: Watch,
    go_on: Callable[[StreamIds, str, OnProgress, ShouldStop], DifyReply],
) -> PipelineRun:
    """Return a run that is what another one, which waited, goes on with.

    `go_on` is called with what Dify calls that run, and its user. Raises as
    `answer_for` does.
    """
    ask = _Ask(
        turn,
        question=question,
        files=None,
        bot=bot,
        app=app,
        recorder=recorder,
        watch=watch,
    )
    return ask.go_on(former, reply=go_on)


class _Ask:
    """One try: the run's row, the Dify client and what both need to know."""

    def __init__(
        self,
        turn: Turn,
        *,
        question: str,
        files: incoming.Files | None,
        bot: Bot,
        app: DifyApp,
        recorder: CallRecorder,
        watch: Watch,
        apart: Apart | None = None,
    ) -> None:
        self._apart = apart
        self._turn = turn
        self._conversation: Conversation = turn.conversation
        self._bot = bot
        self._app = app
        self._recorder = recorder
        self._watch = watch
        self._files = files
        self._run = PipelineRun(
            turn=turn,
            dify_app=app,
            last_message_id=turn.last_message_id,
            query=question,
        )
        # What is sent; the row keeps it without the conversation's token.
        self._inputs: JsonObject = {}
        self._has_place = False
        self._memory: DifyConversation | None = None
        self._remembered = ""
        self._live: live_context.Live | None = None
        self._parameters_read_now = False

    @property
    def _client(self) -> DifyClient:
        """Made for each call, since reading the app may change its kind."""
        return DifyClient(self._app.connection(), call_log=self._recorder)

    def start(self) -> PipelineRun:
        """Ask, and leave the outcome in the run's row."""
        self._recorder.run = self._run
        try:
            if not app_info.is_fresh(self._app):
                self._read_parameters()
            if self._files and former_runs.was_silent_with_files(self._turn):
                self._go_on_without_files(SilentStream())
            self._shape_inputs()
            reply = self._ask_with_repairs()
        except Exception as err:
            self._end_badly(err)
            raise
        finally:
            self._recorder.run = None
        self._store_reply(reply)
        return self._run

    def go_on(
        self,
        former: PipelineRun,
        *,
        reply: Callable[[StreamIds, str, OnProgress, ShouldStop], DifyReply],
    ) -> PipelineRun:
        """Follow a run that waited; the new row is for what it says from here on."""
        run = self._run
        self._recorder.run = run
        self._take_ids(_ids_of(former))
        run.dify_user = former.dify_user
        try:
            self._take_place()
            told = reply(
                _ids_of(former),
                former.dify_user,
                self._keep_ids,
                self._watch.is_interrupted,
            )
        except Exception as err:
            self._end_badly(err)
            raise
        finally:
            self._recorder.run = None
        self._store_reply(told)
        return run

    def pick_up(self, former: PipelineRun) -> PipelineRun | None:
        """Return the answer that Dify has to a run that was cut off, None if none.

        The run's row goes on where it was left.
        """
        self._run, self._recorder.run = former, former
        fresh = PipelineRun(
            turn_id=former.turn_id,
            dify_app=self._app,
            last_message_id=former.last_message_id,
            query=former.query,
        )
        try:
            self._take_place()
            reply = self._look_up(former)
        except Exception as err:
            self._end_badly(err)
            raise
        finally:
            self._recorder.run = None
        if reply is None:
            former.status = PipelineRun.Status.FAILED
            former.save(update_fields=["status"])
            self._run, self._has_place = fresh, False
            return None
        self._note("The stream was cut off; the answer was picked up from Dify.")
        self._store_reply(reply)
        return former

    def _look_up(self, former: PipelineRun) -> DifyReply | None:
        began = (timezone.now() - former.started_at).total_seconds()
        return pick_up(
            self._client,
            _ids_of(former),
            user=former.dify_user,
            until=monotonic() + max(self._app.total_timeout_s - began, 1.0),
            should_stop=self._watch.is_interrupted,
        )

    def _take_place(self) -> None:
        """The row is there before Dify is called, so that a killed worker is seen."""
        self._watch.check()
        self._run.status = PipelineRun.Status.RUNNING
        if self._has_place:
            self._run.save()
            return
        slots.take(self._run, app=self._app, now=timezone.now())
        self._has_place = True
        self._recorder.asked_app_id = self._app.pk

    def _ask_with_repairs(self) -> DifyReply:
        try:
            return self._ask_and_go_on()
        except InvalidInputs:
            if self._parameters_read_now:
                raise
            # The app's form changed since we read it.
            self._note("The app refused its inputs; they were read anew.")
            self._read_parameters()
            self._shape_inputs()
            return self._ask_and_go_on()
        except DifyRejected as err:
            if err.code != FILE_REFUSED or not self._run.sent_files:
                raise
            self._go_on_without_files(err)
            return self._ask_and_go_on()

    def _ask_and_go_on(self) -> DifyReply:
        """Ask in the current Dify conversation, or anew if Dify no longer has it."""
        if self._apart is not None:
            return self._ask(user=self._apart.user)
        current = self._memory = memory.current(self._conversation, app=self._app)
        if current is None:
            return self._ask()
        if not self._may_have_vanished(current) or self._exists(current):
            try:
                return self._ask(
                    dify_conversation_id=current.dify_conversation_id,
                    user=current.dify_user,
                )
            except ConversationGone:
                pass
            except SilentStream:
                if self._exists(current):
                    raise
        memory.end(
            self._conversation, reason=DifyConversation.End.VANISHED, app=self._app
        )
        self._memory = None
        self._note(
            f"Dify no longer knew conversation {current.dify_conversation_id}; "
            "a new one was started."
        )
        return self._ask()

    def _may_have_vanished(self, current: DifyConversation) -> bool:
        """Tell whether to look before asking.

        Dify 1.13–1.15 answers a chatflow's unknown conversation with silence
        (recordings, point 3), and the customer would wait for our first time limit.
        """
        return (
            self._app.mode == AppMode.ADVANCED_CHAT
            and timezone.now() - current.last_used_at > TRUST_MEMORY_FOR
        )

    def _exists(self, current: DifyConversation) -> bool:
        return self._client.conversation_exists(
            current.dify_conversation_id, user=current.dify_user
        )

    def _ask(self, *, dify_conversation_id: str = "", user: str = "") -> DifyReply:
        run = self._run
        run.dify_user = user or self._bot.dify_user(self._conversation)
        run.dify_conversation_id = dify_conversation_id
        self._take_files_along()
        self._take_place()
        self._live = self._tell_changes(goes_on=bool(dify_conversation_id))
        return self._client.run(
            query=self._live.query,
            inputs=self._inputs,
            user=run.dify_user,
            conversation_id=dify_conversation_id,
            files=self._files.with_message() if self._files else (),
            trace_id=f"bridge-turn-{run.turn_id}-run-{run.pk}",
            on_progress=self._keep_ids,
            should_stop=self._watch.is_interrupted,
        )

    def _tell_changes(self, *, goes_on: bool) -> live_context.Live:
        """Tell Dify what its inputs do not; the row keeps the bare question."""
        talk = live_context.Talk(
            conversation=self._conversation,
            bot=self._bot,
            app=self._app,
            question=self._run.query,
            inputs=self._inputs,
            current=self._memory if goes_on else None,
        )
        live = live_context.prepare(talk, recorder=self._recorder)
        for note in live.notes:
            self._note(note)
        return live

    def _take_files_along(self) -> None:
        """Send the customer's files; those that are another user's are brought anew."""
        run, files = self._run, self._files
        if files is None:
            return
        files.make_ready(user=run.dify_user)
        if files.question() != run.query:
            # One could not be brought anew: the model is told so in its place.
            run.query = files.question()
            self._shape_inputs()
        self._inputs.update(files.inputs())
        run.inputs = mask_ours_within(self._inputs)
        run.sent_files = files.sent()

    def _go_on_without_files(self, err: UpstreamError) -> None:
        """Put the question with words in their place."""
        if self._files is None:
            return
        self._files.give_up("Dify refused it", cause=err.excerpt or str(err))
        self._run.query = self._files.question()
        self._run.sent_files = []
        self._note("Dify refused the files; it was asked without them.")
        self._shape_inputs()

    def _keep_ids(self, progress: StreamProgress) -> None:
        """Store what Dify calls the run at once: a dead worker cannot ask again."""
        if not progress.ids_changed:
            return
        self._take_ids(progress.ids)
        self._run.save(update_fields=_ID_FIELDS)
        self._remember()
        # The stream may last for minutes; the connection is for others meanwhile.
        release_connection()

    def _remember(self) -> None:
        """Go on in this Dify conversation next time; written once per run."""
        dify_conversation_id = self._run.dify_conversation_id
        known = self._memory
        if not dify_conversation_id or self._remembered == dify_conversation_id:
            return
        self._remembered = dify_conversation_id
        if self._apart is not None:
            memory.keep_apart(
                self._conversation,
                app=self._app,
                dify_conversation_id=dify_conversation_id,
                dify_user=self._run.dify_user,
            )
            return
        if known is not None and known.dify_conversation_id == dify_conversation_id:
            memory.touch(known)
            return
        memory.remember(
            self._conversation,
            app=self._app,
            dify_conversation_id=dify_conversation_id,
            dify_user=self._run.dify_user,
        )

    def _stop(self) -> None:
        """Nobody waits for this run any more; it need not cost more tokens."""
        if not self._run.dify_task_id:
            return
        with suppress(UpstreamError):
            self._client.stop(self._run.dify_task_id, user=self._run.dify_user)

    def _take_ids(self, ids: StreamIds) -> None:
        run = self._run
        run.dify_task_id = ids.task_id or run.dify_task_id
        run.dify_message_id = ids.message_id or run.dify_message_id
        run.dify_workflow_run_id = ids.workflow_run_id or run.dify_workflow_run_id
        run.dify_conversation_id = ids.conversation_id or run.dify_conversation_id

    def _read_parameters(self) -> None:
        """Read the app's form; an old one is better than none while Dify is busy."""
        try:
            app_info.refresh(self._app, call_log=self._recorder)
            self._parameters_read_now = True
        except UpstreamError:
            if self._app.parameters_read_at is None:
                raise

    def _shape_inputs(self) -> None:
        """Send the conversation's token, but do not keep it."""
        shaped = context.inputs_for(
            self._turn,
            bot=self._bot,
            app=self._app,
            question=self._run.query,
            given=self._given_inputs(),
        )
        self._inputs = shaped.inputs
        self._run.inputs = mask_ours_within(shaped.inputs)
        for note in shaped.notes:
            self._note(note)
        context.refuse_incomplete(shaped)

    def _given_inputs(self) -> JsonObject:
        files = self._files.inputs() if self._files else {}
        return {**files, **(self._apart.inputs if self._apart else {})}

    def _note(self, text: str) -> None:
        if text not in self._run.notes:
            self._run.notes.append(text)

    def _store_reply(self, reply: DifyReply) -> None:
        run = self._run
        self._take_ids(reply.ids)
        run.status = PipelineRun.Status.SUCCEEDED
        run.outcome = reply.outcome
        run.error_code = run.error = ""
        # The model knows the inputs, and may repeat them to the customer.
        run.answer = mask_ours(reply.answer)
        run.thinking = mask_ours(reply.thinking)
        run.files = [mask_ours_within(_told(file)) for file in reply.files[:MAX_FILES]]
        # What an agent thought and which tools it used; tools answer with anything.
        run.notes += [
            mask_ours_within(asdict(step)) for step in reply.steps[:MAX_STEPS]
        ]
        run.first_event_ms = reply.first_event_ms
        run.first_text_ms = reply.first_text_ms
        run.duration_ms = reply.duration_ms
        run.finished_at = timezone.now()
        if reply.usage is not None:
            run.total_tokens = max(0, reply.usage.total_tokens)
            run.total_price = reply.usage.total_price
            run.currency = reply.usage.currency
        if reply.paused:
            with transaction.atomic():
                run.save()
                form_rows.make(run, reply.pauses, bot=self._bot)
        else:
            run.save()
        self._remember()
        live_context.remember(self._live, conversation=self._conversation, run=run)
        apps = DifyApp.objects.filter(pk=self._app.pk)
        if self._app.health != DifyApp.Health.OK:
            apps.mark_ok()
        if self._app.lowered_limit is not None:
            apps.speed_up(timezone.now())

    def _end_badly(self, err: Exception) -> None:
        """Store why the run has no answer, and stop it in Dify if nobody waits."""
        if isinstance(err, NoPlace | Interrupted) and not self._has_place:
            return
        cause = self._watch.cause if isinstance(err, RunAborted) else ""
        if isinstance(err, Interrupted):
            cause = err.cause
        if isinstance(err, DifyError) and err.ids is not None:
            self._take_ids(err.ids)
        if cause == LEASE_LOST:
            raise LeaseLost from err
        if isinstance(err, RunTooLong) or (cause and cause != SHUTDOWN):
            self._stop()
        self._store_failure(err, cause=cause)
        if isinstance(err, RunAborted):
            raise Interrupted(cause or SHUTDOWN) from err

    def _store_failure(self, err: Exception, *, cause: str) -> None:
        run = self._run
        code = err.code if isinstance(err, BridgeError) else "internal_error"
        run.status = PipelineRun.Status.FAILED
        run.error_code, run.error = code, cut(mask_ours(str(err)))
        if cause:
            run.status = PipelineRun.Status.STOPPED
            run.error_code, run.error = cause, ""
        run.finished_at = timezone.now()
        run.save()
        apps = DifyApp.objects.filter(pk=self._app.pk)
        if isinstance(err, DifyRateLimited):
            apps.slow_down(timezone.now())
        if isinstance(err, BridgeError):
            apps.note(err)


def _ids_of(run: PipelineRun) -> StreamIds:
    return StreamIds(
        task_id=run.dify_task_id,
        conversation_id=run.dify_conversation_id,
        message_id=run.dify_message_id,
        workflow_run_id=run.dify_workflow_run_id,
    )


def _told(file: DifyFile) -> JsonObject:
    """Return how a run's row keeps a file of its answer."""
    return {
        "url": file.url,
        "kind": file.kind,
        "filename": file.filename,
        "mime_type": file.mime_type,
        "size": file.size,
    }
