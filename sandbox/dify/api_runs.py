"""Service API: starting, reading and stopping generations."""

from __future__ import annotations

import asyncio

from starlette.responses import Response

from sandbox.dify import errors, human_input, scripts
from sandbox.dify.apps import AGENT_MODES
from sandbox.dify.file_rules import check_files, told
from sandbox.dify.flows import play_for
from sandbox.dify.inputs import checked_inputs
from sandbox.dify.records import DifyConversation
from sandbox.dify.requests import RunRequest, read_request
from sandbox.dify.runs import Play, Run
from sandbox.dify.scripts import Script
from sandbox.dify.server import Call, Router, user_of
from sandbox.dify.streams import (
    silent_stream,
    stream_again,
    stream_finished,
    stream_run,
)
from sandbox.json_types import Json

NAMING_DELAY_S = 1.0


def register(router: Router) -> None:
    router.add("POST", "/chat-messages", chat_messages)
    router.add("POST", "/completion-messages", completion_messages)
    router.add("POST", "/workflows/run", workflows_run)
    router.add("POST", "/chat-messages/{task_id}/stop", stop)
    router.add("POST", "/completion-messages/{task_id}/stop", stop)
    router.add("POST", "/workflows/tasks/{task_id}/stop", stop)
    router.add("GET", "/workflows/run/{run_id:uuid}", run_detail)
    router.add("GET", "/workflow/{run_id:uuid}/events", run_events)


async def chat_messages(call: Call) -> Response:
    call.need_chat_mode()
    return await _generate(call, model="ChatRequestPayload", needs_query=True)


async def completion_messages(call: Call) -> Response:
    if call.app.mode != "completion":
        raise errors.app_unavailable()
    return await _generate(call, model="CompletionRequestPayload", needs_query=False)


async def workflows_run(call: Call) -> Response:
    if call.app.mode != "workflow":
        raise errors.wrong_mode("not_workflow_app")
    return await _generate(call, model="WorkflowRunPayload", needs_query=False)


async def _generate(call: Call, *, model: str, needs_query: bool) -> Response:
    body = await call.json_body()
    asked = read_request(
        body, version=call.version, model=model, needs_query=needs_query
    )
    _check_mode(call, asked)
    _check_limit(call)
    if call.app.mode in ("workflow", "completion") and not asked.query:
        asked.query = str(asked.inputs.get("query") or "")
    script = scripts.parse(asked.query)
    refusal = _refusal(call, script=script, asked=asked)
    if refusal is not None:
        return refusal
    try:
        conversation, inputs = _prepare(call, asked=asked, needs_query=needs_query)
    except errors.DifyError as err:
        celery = call.version.runs_in_celery and call.app.mode in (
            "advanced-chat",
            "workflow",
        )
        if err.pre_run and celery and asked.streaming:
            return _silence(call, ping_first=True)
        raise
    run = _new_run(call, asked=asked, conversation=conversation, inputs=inputs)
    return await _answer(call, run=run, asked=asked, script=script)


def _check_mode(call: Call, asked: RunRequest) -> None:
    if not call.app.published:
        raise errors.invalid_param("Workflow not published")
    if asked.streaming:
        return
    if call.app.mode == "agent-chat":
        raise errors.invalid_param("Agent Chat App does not support blocking mode")
    if call.app.mode == "agent" and asked.mode_was_given:
        text = "Agent App only supports streaming response mode."
        raise errors.bad_request(text)
    asked.streaming = call.app.mode in AGENT_MODES


def _check_limit(call: Call) -> None:
    limit = call.app.max_active_requests
    if limit and call.server.runs.active_count(call.app) >= limit:
        raise errors.invalid_param(errors.BUSY_TEXT.format(limit=limit))


def _refusal(call: Call, *, script: Script, asked: RunRequest) -> Response | None:
    """Commands that are answered without any run."""
    if script.name == "http":
        status = int(script.number or 502)
        if (error := errors.by_status(status)) is not None:
            raise error
        return errors.proxy_page(status)
    if script.name == "quota":
        raise errors.DifyError(400, "provider_quota_exceeded", errors.QUOTA_TEXT)
    if script.name == "busy":
        key = (asked.user, asked.query)
        counts = call.server.store.busy_counts
        counts[key] = counts.get(key, 0) + 1
        if script.number is None or counts[key] <= script.number:
            raise errors.invalid_param(errors.BUSY_TEXT.format(limit=1))
        del counts[key]
    if script.name == "silent":
        return _silence(call, ping_first=False)
    return None


def _silence(call: Call, *, ping_first: bool) -> Response:
    return silent_stream(
        version=call.version,
        ping_first=ping_first,
        settings=call.server.settings,
        closing=call.server.closing,
    )


def _prepare(
    call: Call, *, asked: RunRequest, needs_query: bool
) -> tuple[DifyConversation | None, Json]:
    """The conversation and the inputs of this turn, or a pre-run DifyError."""
    store, app = call.server.store, call.app
    if needs_query and not asked.query:
        raise errors.invalid_param("query is required", pre_run=True)
    conversation = None
    if asked.conversation_id:
        conversation = store.find_conversation(
            asked.conversation_id, app=app, user=asked.user
        )
        if conversation is None:
            raise errors.no_conversation(pre_run=True)
    check_files(asked, store=store, app=app, version=call.version)
    if conversation is not None and call.version.is_old:
        # Up to 0.15 the first turn's inputs are frozen into the conversation.
        return conversation, conversation.inputs
    inputs = checked_inputs(app.fields(), asked.inputs)
    if conversation is None and app.mode not in ("workflow", "completion"):
        conversation = store.new_conversation(
            app=app, user=asked.user, inputs=inputs, query=asked.query
        )
        conversation.variables = {v["name"]: v["value"] for v in app.variables}
        asked.is_first_turn = True
    return conversation, inputs


def _new_run(
    call: Call,
    *,
    asked: RunRequest,
    conversation: DifyConversation | None,
    inputs: Json,
) -> Run:
    echo = scripts.greeting(
        query=asked.query,
        inputs=inputs,
        app_name=call.app.name,
        version=call.version.release,
        files=told(asked, store=call.server.store, app=call.app),
    )
    plan = scripts.plan(
        asked.query,
        echo=echo,
        delta_interval_s=call.server.settings.delta_interval_s,
    )
    if asked.is_first_turn and asked.auto_generate_name and call.version.name == "1.12":
        plan.start_delay_s += NAMING_DELAY_S  # 1.12 waits for the title
    return Run(
        app=call.app,
        version=call.version,
        store=call.server.store,
        user=asked.user,
        query=asked.query,
        inputs=inputs,
        plan=plan,
        conversation=conversation,
        caller=call.server.caller,
    )


async def _answer(
    call: Call, *, run: Run, asked: RunRequest, script: Script
) -> Response:
    server = call.server

    async def play(current: Run) -> None:
        await current.call_bridge(early=True)
        await _play_of(current)(current)
        _remember(current, script=script)

    server.runs.start(run, play=play)
    if asked.streaming:
        return stream_run(
            run,
            runs=server.runs,
            settings=server.settings,
            request=call.request,
            closing=server.closing,
        )
    async with run.news:
        await run.news.wait_for(lambda: run.done)
    return _blocking(call, run=run)


def _play_of(run: Run) -> Play:
    waits = run.plan.form is not None and run.is_flow and run.version.runs_in_celery
    return human_input.play if waits else play_for(run.app.mode)


def _remember(run: Run, *, script: Script) -> None:
    """What the flow leaves behind: its variables, or nothing after /forget."""
    conversation = run.conversation
    if conversation is None:
        return
    if conversation.variables:
        turns = conversation.variables.get("turns")
        conversation.variables["last_query"] = run.query
        conversation.variables["turns"] = (turns if isinstance(turns, int) else 0) + 1
    if script.name == "forget":
        run.store.conversations.pop(conversation.id, None)


def _blocking(call: Call, *, run: Run) -> Response:
    if run.app.mode == "workflow":
        return call.answer(_workflow_result(run))
    if run.failure is not None:
        code, status, message = run.failure
        raise errors.DifyError(status, code, message)
    body: Json = {
        "event": "message",
        "task_id": run.ids.task_id,
        "id": run.ids.message_id,
        "message_id": run.ids.message_id,
        "conversation_id": run.ids.conversation_id,
        "mode": run.app.mode,
        "answer": run.answer,
        "metadata": run.metadata(),
        "created_at": run.ids.created_at,
    }
    if run.app.mode == "completion":
        del body["conversation_id"]
    return call.answer(body)


def _workflow_result(run: Run) -> Json:
    """The row is summed up when the run ends; until then its numbers are 0."""
    has_ended = not run.looks_running
    prompt, completion = run.tokens() if has_ended else (0, 0)
    data = {
        "id": run.ids.workflow_run_id,
        "workflow_id": run.app.workflow_id,
        "status": run.status if has_ended else "running",
        "outputs": (run.outputs or {}) if has_ended else {},
        "error": run.error,
        "elapsed_time": run.elapsed_s if has_ended else 0.0,
        "total_tokens": prompt + completion,
        "total_steps": 3 + len(run.node_calls) if has_ended else 0,
        "created_at": run.ids.created_at,
        "finished_at": int(run.finished_at or 0) if has_ended else 0,
    }
    return {
        "task_id": run.ids.task_id,
        "workflow_run_id": run.ids.workflow_run_id,
        "data": data,
    }


async def stop(call: Call) -> Response:
    """Always success. 1.x stops a run for anybody, 0.15 for its owner only."""
    user = user_of(await call.json_body())
    run = call.server.runs.by_task_id.get(call.path_text("task_id"))
    if run is not None:
        is_owner = run.user == user and run.app.id == call.app.id
        if is_owner or (run.is_flow and not call.version.is_old):
            run.stop(is_owner=is_owner)
            await asyncio.sleep(0)
    return call.answer({"result": "success"})


async def run_detail(call: Call) -> Response:
    call.need_flow_mode()
    run = call.server.runs.find_by_run_id(call.path_text("run_id"), app=call.app)
    if run is None:
        raise errors.not_found("Workflow run not found.")
    data = _workflow_result(run)["data"]
    old = call.version.is_old
    dump = call.version.event_json
    return call.answer(
        {
            "id": data["id"],
            "workflow_id": data["workflow_id"],
            "status": data["status"],
            "inputs": dump(run.inputs),
            "outputs": dump(data["outputs"]) if old else data["outputs"],
            "error": data["error"],
            "total_steps": data["total_steps"],
            "total_tokens": data["total_tokens"],
            "created_at": data["created_at"],
            "finished_at": data["finished_at"] or None,
            "elapsed_time": data["elapsed_time"],
        }
    )


async def run_events(call: Call) -> Response:
    """Re-attach (since 1.14.0): the rest of the stream, or its last event."""
    if not call.version.runs_in_celery:
        return errors.html_not_found()
    call.need_flow_mode()
    run = call.server.runs.find_by_run_id(call.path_text("run_id"), app=call.app)
    if run is None or run.user != call.query_user:
        raise errors.not_found("Workflow run not found.")
    if not run.done:
        run.cut_at = None
        return stream_again(
            run,
            settings=call.server.settings,
            request=call.request,
            closing=call.server.closing,
        )
    ends = ("workflow_finished", "workflow_paused")
    last = next(e for e in reversed(run.events) if e["event"] in ends)
    return stream_finished(last, version=call.version)
