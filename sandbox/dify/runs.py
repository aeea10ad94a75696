"""One generation: what happens in it, who listens, how it is stopped and stored."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from sandbox import times
from sandbox.dify.apps import FLOW_MODES, DifyApp
from sandbox.dify.calls import BridgeCaller, FlowCall, Reply
from sandbox.dify.event_shapes import EventShapes, RunIds, usage_metadata
from sandbox.dify.records import (
    DifyConversation,
    DifyMessage,
    DifyStore,
    new_id,
)
from sandbox.dify.scripts import Plan
from sandbox.dify.versions import Version
from sandbox.json_types import Json, JsonList

logger = logging.getLogger(__name__)

KEPT_RUNS = 4000
FORM_TIME_S = 36 * 3600
STOPPED_BY_OWNER = "Stopped by user."
STOPPED_BY_OTHER = "Aborted: User requested stop"


@dataclass
class HumanForm:
    """A form that a run waits for; the token is all that is needed to answer it."""

    inputs: JsonList
    token: str = field(default_factory=lambda: f"hit_{secrets.token_urlsafe(9)}")
    id: str = field(default_factory=new_id)
    expires_at: int = field(default_factory=lambda: int(times.now()) + FORM_TIME_S)
    answer: Json | None = None

    @property
    def rows(self) -> list[Json]:
        return [row for row in self.inputs if isinstance(row, dict)]


class Stopped(Exception):
    """The run was told to stop; the text is the reason Dify stores."""


class ConnectionCut(Exception):
    """The stream must break off here without an end."""


class Run:
    """A run produces events into a list; any number of readers may follow it."""

    def __init__(
        self,
        *,
        app: DifyApp,
        version: Version,
        store: DifyStore,
        user: str,
        query: str,
        inputs: Json,
        plan: Plan,
        conversation: DifyConversation | None,
        caller: BridgeCaller,
    ) -> None:
        self.app = app
        self.version = version
        self.store = store
        self.user = user
        self.query = query
        self.inputs = inputs
        self.plan = plan
        self.conversation = conversation
        self.caller = caller
        self.ids = RunIds(
            task_id=new_id(),
            message_id=new_id(),
            conversation_id=conversation.id if conversation else "",
            workflow_run_id=new_id(),
            created_at=int(times.now()),
        )
        self.shapes = EventShapes(app=app, version=version, ids=self.ids)
        self.started_at = times.now()
        self.finished_at: float | None = None
        self.events: list[Json] = []
        self.answer = ""
        self.outputs: Json | None = None
        self.status = "running"
        self.error: str | None = None
        self.failure: tuple[str, int, str] | None = None
        self.cut_at: int | None = None
        self.stays_open = False
        self.client_left = False
        self.message: DifyMessage | None = None
        self.replies: list[Reply] = []
        # What a paused run waits for, and from which event on it went on.
        self.form: HumanForm | None = None
        self.resumed_at = 0
        self.stop_requested = asyncio.Event()
        self.stop_reason = STOPPED_BY_OWNER
        self.news = asyncio.Condition()
        self.done = False

    # For the flows.

    async def emit(self, event: Json) -> None:
        self.events.append(event)
        async with self.news:
            self.news.notify_all()

    async def pause(self, seconds: float) -> None:
        """Wait, but no longer than until somebody stops the run."""
        try:
            await asyncio.wait_for(self.stop_requested.wait(), timeout=seconds)
        except TimeoutError:
            return
        raise Stopped(self.stop_reason)

    async def hang(self) -> None:
        """Never go on; only a stop ends it."""
        await self.stop_requested.wait()
        raise Stopped(self.stop_reason)

    async def cut(self) -> None:
        """Break the connections of all readers after the events so far."""
        self.cut_at = len(self.events)
        async with self.news:
            self.news.notify_all()

    # What its HTTP Request nodes do.

    @property
    def node_calls(self) -> list[FlowCall]:
        return [call for call in self.plan.calls if not call.early]

    async def call_bridge(self, *, early: bool) -> None:
        """One call after the other, each with what is known by then."""
        for call in self.plan.calls:
            if call.early == early:
                await self.send(call)

    async def send(self, call: FlowCall) -> Reply:
        system = {
            "user_id": self.user,
            "query": self.query,
            "app_id": self.app.id,
            "workflow_run_id": self.ids.workflow_run_id,
        }
        if self.conversation is not None:
            system["conversation_id"] = self.conversation.id
        variables: Json = {f"sys.{name}": value for name, value in system.items()}
        variables |= {f"start.{name}": value for name, value in self.inputs.items()}
        reply = await self.caller.send(call, variables=variables, version=self.version)
        self.replies.append(reply)
        return reply

    @property
    def elapsed_s(self) -> float:
        return round((self.finished_at or times.now()) - self.started_at, 6)

    @property
    def looks_running(self) -> bool:
        """What is stored: 0.15 never notes the end of a run that nobody followed."""
        return not self.done or (self.client_left and self.version.is_old)

    @property
    def is_flow(self) -> bool:
        return self.app.mode in FLOW_MODES

    def tokens(self) -> tuple[int, int]:
        prompt = 40 + len(self.query) // 4
        completion = max(len(self.answer) // 4, 1)
        if self.plan.total_tokens is not None:
            completion = max(self.plan.total_tokens - prompt, 1)
        return prompt, completion

    def metadata(self) -> Json:
        prompt, completion = self.tokens()
        return usage_metadata(
            version=self.version,
            prompt_tokens=prompt,
            completion_tokens=completion,
            elapsed_s=self.elapsed_s,
        )

    def created_by(self) -> Json:
        end_user = self.store.end_user_id(app=self.app, user=self.user)
        return {"id": end_user, "user": self.user}

    # For the API.

    def open_message(self) -> None:
        """The row exists from the start on, with an empty answer."""
        if self.conversation is None:
            return
        self.message = DifyMessage(
            id=self.ids.message_id,
            conversation_id=self.conversation.id,
            query=self.query,
            inputs=self.inputs,
            created_at=self.ids.created_at,
        )
        self.conversation.messages.append(self.message)
        self.conversation.updated_at = self.ids.created_at

    def store_answer(self) -> None:
        """Before 1.14 a client that left leaves an empty answer, status normal."""
        if self.message is None:
            return
        if self.client_left and not (self.version.runs_in_celery and self.is_flow):
            return
        self.message.answer = self.answer
        if self.status == "failed":
            self.message.status, self.message.error = "error", self.error

    async def finish(self) -> None:
        self.finished_at = times.now()
        self.done = True
        async with self.news:
            self.news.notify_all()

    def stop(self, *, is_owner: bool) -> None:
        self.stop_reason = STOPPED_BY_OWNER if is_owner else STOPPED_BY_OTHER
        self.stop_requested.set()


Play = Callable[[Run], Awaitable[None]]


class Runs:
    """All runs of the sandbox, by task id; each is an asyncio task."""

    def __init__(self, store: DifyStore) -> None:
        self.store = store
        self.by_task_id: dict[str, Run] = {}
        self._by_run_id: dict[str, Run] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def active_count(self, app: DifyApp) -> int:
        rows = [self.by_task_id.get(task_id) for task_id in self._tasks]
        return sum(1 for r in rows if r and r.app.id == app.id and not r.done)

    def find_by_run_id(self, run_id: str, *, app: DifyApp) -> Run | None:
        run = self._by_run_id.get(run_id)
        found = run is not None and run.is_flow and run.app.id == app.id
        return run if found else None

    def by_id(self, some_id: str) -> Run | None:
        """By task id or by workflow run id."""
        return self.by_task_id.get(some_id) or self._by_run_id.get(some_id)

    def waiting_for(self, token: str, *, app: DifyApp) -> Run | None:
        """The run whose form has this token, answered or not."""
        rows = (run for run in self.by_task_id.values() if run.form is not None)
        found = (run for run in rows if run.form and run.form.token == token)
        return next((run for run in found if run.app.id == app.id), None)

    def resume(self, run: Run, *, play: Play) -> None:
        """Go on with a paused run; its events are appended."""
        run.done, run.status, run.resumed_at = False, "running", len(run.events)
        self._run(run, play=play)

    def start(self, run: Run, *, play: Play) -> None:
        self._forget_old()
        self.by_task_id[run.ids.task_id] = run
        self._by_run_id[run.ids.workflow_run_id] = run
        run.open_message()
        self._run(run, play=play)

    def _run(self, run: Run, *, play: Play) -> None:
        task = asyncio.get_running_loop().create_task(self._engine(run, play=play))
        self._tasks[run.ids.task_id] = task
        task.add_done_callback(lambda _: self._tasks.pop(run.ids.task_id, None))

    def _forget_old(self) -> None:
        """A long load test must not fill the memory with finished runs."""
        if len(self.by_task_id) < KEPT_RUNS:
            return
        for task_id, run in list(self.by_task_id.items())[: KEPT_RUNS // 2]:
            if run.done:
                del self.by_task_id[task_id]
                del self._by_run_id[run.ids.workflow_run_id]

    async def _engine(self, run: Run, *, play: Play) -> None:
        try:
            await play(run)
        except asyncio.CancelledError:
            run.status = "stopped"
        except Exception as err:
            logger.exception("the sandbox's own run failed")
            run.status, run.error = "failed", str(err)
        finally:
            run.store_answer()
            await run.finish()

    def client_left(self, run: Run) -> None:
        """Workflow-backed runs carry on; the others end with their connection."""
        run.client_left = True
        if not run.is_flow:
            self.cancel(run)

    def cancel(self, run: Run) -> None:
        task = self._tasks.get(run.ids.task_id)
        if task is not None:
            task.cancel()

    async def close(self) -> None:
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self.by_task_id.clear()
        self._by_run_id.clear()
