"""Plays a plan in each app mode: the order of events is the recorded one."""

from __future__ import annotations

import json

from sandbox.dify.calls import FlowCall
from sandbox.dify.event_shapes import Node
from sandbox.dify.records import new_id
from sandbox.dify.runs import STOPPED_BY_OWNER, Play, Run, Stopped
from sandbox.dify.scripts import cut_up
from sandbox.dify.tool_files import PICTURE_URL
from sandbox.json_types import Json

FAILURE_TEXT = "[sandbox] Error: API request failed with status code 500: boom"
_TOOL = "get_order"


def play_for(mode: str) -> Play:
    if mode in ("advanced-chat", "workflow"):
        return play_flow
    if mode in ("agent-chat", "agent"):
        return play_agent
    return play_chat


# chat and completion: message* → [message_replace] → message_end


async def play_chat(run: Run) -> None:
    plan, shapes = run.plan, run.shapes
    text = shapes.file_message if plan.with_file else shapes.message
    try:
        if not await _begin(run):
            return
        if plan.with_file:
            await run.emit(shapes.message_file(file_id=new_id(), url=PICTURE_URL))
        if run.node_calls:
            await run.emit(text(""))  # the first event names the conversation
            await run.call_bridge(early=False)
        await _speak(run, text)
        if plan.replacement is None:
            await run.emit(text(""))  # the model's empty last chunk
    except Stopped:
        run.status = "stopped"
    await _end_message(run)


async def _begin(run: Run) -> bool:
    """The wait before the first event; False when the run fails right away."""
    await run.pause(run.plan.start_delay_s)
    error = run.plan.error
    if run.plan.fails:
        error = ("completion_request_error", 400, FAILURE_TEXT)
    if error is None:
        return True
    run.status, run.error, run.failure = "failed", error[2], error
    code, status, message = error
    await run.emit(run.shapes.error(code=code, status=status, message=message))
    return False


async def _speak(run: Run, shape: object) -> None:
    """Text deltas with the pauses, the cut and the hang that the plan wants."""
    assert callable(shape)
    plan = run.plan
    if run.replies:
        told = "\n\n".join(reply.line for reply in run.replies)
        plan.pieces[:0] = cut_up(f"{told}\n\n" if plan.pieces else told)
    await run.pause(plan.first_pause_s)
    for number, piece in enumerate(plan.pieces):
        if number == plan.hang_after:
            await run.hang()
        if number == plan.cut_after:
            await run.cut()
        run.answer += piece
        await run.emit(shape(piece))
        await run.pause(plan.piece_pause_s)
    if plan.replacement is not None:
        run.answer = plan.replacement
        if run.app.mode == "workflow":
            data = {"text": plan.replacement}
            await run.emit(run.shapes.flow("text_replace", data))
        else:
            await run.emit(run.shapes.message_replace(plan.replacement))


async def _end_message(run: Run) -> None:
    if run.status == "running":
        run.status = "succeeded"
    files: object = [] if run.is_flow else None
    if run.plan.with_file and run.is_flow:
        files = [_picture()]
    await run.emit(run.shapes.message_end(metadata=run.metadata(), files=files))


# agent-chat and agent: thoughts around the text; `agent` closes with a full copy


async def play_agent(run: Run) -> None:
    plan, shapes = run.plan, run.shapes
    first, second = _thought(position=1), _thought(position=2)
    try:
        await run.pause(plan.start_delay_s)
        if not plan.fails and plan.error is None:
            await run.emit(shapes.agent_thought(first))
        if not await _begin(run):
            return
        await run.call_bridge(early=False)
        if plan.pieces:
            await _use_tool(run, first)
        await run.emit(shapes.agent_thought(second))
        if plan.with_file:
            await run.emit(shapes.message_file(file_id=new_id(), url=PICTURE_URL))
        await _speak(run, shapes.agent_message)
        second["thought"] = "".join(plan.pieces)
        await run.emit(shapes.agent_thought(second))
        if run.app.mode == "agent":
            await run.emit(shapes.message(run.answer))
    except Stopped:
        run.status = "stopped"
    if run.message is not None:
        run.message.agent_thoughts = [first, second]
    await _end_message(run)


def _thought(*, position: int) -> Json:
    return {
        "id": new_id(),
        "position": position,
        "thought": "",
        "observation": "",
        "tool": "",
        "tool_labels": {},
        "tool_input": "",
        "message_files": [],
    }


async def _use_tool(run: Run, thought: Json) -> None:
    """Said before the call, called, observed: three steps of one thought."""
    said = "Let me look. "
    run.answer += said
    await run.emit(run.shapes.agent_message(said))
    thought |= {
        "thought": said,
        "tool": _TOOL,
        "tool_labels": {_TOOL: {"en_US": _TOOL, "zh_Hans": _TOOL}},
        "tool_input": json.dumps({_TOOL: {"order": "1042"}}),
    }
    await run.emit(run.shapes.agent_thought(dict(thought)))
    thought["observation"] = json.dumps({_TOOL: json.dumps({"ok": True, "id": "1042"})})
    await run.emit(run.shapes.agent_thought(dict(thought)))


# advanced-chat and workflow: start → http-request* → llm → answer or end


async def play_flow(run: Run) -> None:
    plan, shapes = run.plan, run.shapes
    nodes = _nodes(run)
    try:
        if not await start_flow(run, nodes[0]):
            return
        for node, call in zip(nodes[1:], run.node_calls, strict=False):
            await _http_node(run, node, call=call)
        await run.emit(shapes.node_started(nodes[-2]))
        if plan.fails:
            await _fail_node(run, nodes[-2])
            return
        await speak(run)
        await _finish_nodes(run, nodes)
        await succeed(run)
    except Stopped as stop:
        await stopped(run, reason=str(stop))


async def start_flow(run: Run, node: Node | None = None) -> bool:
    """The wait, and the first node; False when the run fails before its graph."""
    await run.pause(run.plan.start_delay_s)
    if run.plan.error is not None:
        await _pre_graph_error(run)
        return False
    await run.emit(run.shapes.workflow_started(inputs=_system_inputs(run)))
    await run.pause(0)
    await _start_node(run, node or _nodes(run)[0])
    return True


async def speak(run: Run) -> None:
    await _speak(run, _delta(run))


async def succeed(run: Run) -> None:
    run.status = "succeeded"
    run.outputs = _outputs(run)
    await _end_flow(run)


def _delta(run: Run) -> object:
    if run.app.mode == "workflow":
        return run.shapes.text_chunk
    return lambda text: run.shapes.message(text, selector=["llm", "text"])


def _outputs(run: Run) -> Json:
    if run.app.mode == "workflow":
        return {"text": run.answer}
    return (
        {"answer": run.answer}
        if run.version.is_old
        else {"answer": run.answer, "files": []}
    )


def _nodes(run: Run) -> list[Node]:
    last = ("answer", "answer", "Answer")
    if run.app.mode == "workflow":
        last = ("end", "end", "End")
    calls = [
        (f"http_{number}", "http-request", f"HTTP Request {number}")
        for number in range(1, len(run.node_calls) + 1)
    ]
    kinds = [("start", "start", "Start"), *calls, ("llm", "llm", "LLM"), last]
    before = [None, *(name for name, _, _ in kinds)]
    return [
        Node(
            id=new_id(),
            node_id=name,
            kind=kind,
            title=title,
            index=number,
            predecessor=before[number - 1],
        )
        for number, (name, kind, title) in enumerate(kinds, start=1)
    ]


def _system_inputs(run: Run) -> Json:
    """``sys.*`` as each version echoes it; 1.x leaves the conversation id out."""
    system: Json = {
        "sys.files": [],
        "sys.user_id": run.user,
        "sys.app_id": run.app.id,
        "sys.workflow_id": run.app.workflow_id,
        "sys.workflow_run_id": run.ids.workflow_run_id,
    }
    if run.conversation is not None:
        count = len(run.conversation.messages)
        system["sys.query"] = run.query
        system["sys.dialogue_count"] = count - 1 if run.version.is_old else count
        if run.version.is_old:
            system["sys.conversation_id"] = run.conversation.id
    return {**run.inputs, **system}


async def _start_node(run: Run, node: Node) -> None:
    await run.emit(run.shapes.node_started(node))
    seen = run.inputs if run.version.runs_in_celery else _system_inputs(run)
    await run.emit(
        run.shapes.node_finished(node, inputs=seen, outputs=seen, elapsed_s=0.0002)
    )


async def _http_node(run: Run, node: Node, *, call: FlowCall) -> None:
    """A node that never fails: what the bridge answered is told to the customer."""
    await run.emit(run.shapes.node_started(node))
    started_s = run.elapsed_s
    reply = await run.send(call)
    outputs: Json = {
        "status_code": reply.status,
        "body": reply.body,
        "headers": {},
        "files": [],
    }
    await run.emit(
        run.shapes.node_finished(
            node,
            inputs=None if run.version.is_old else {},
            outputs=outputs,
            elapsed_s=round(run.elapsed_s - started_s, 6),
            process={"request": reply.request},
        )
    )


async def _finish_nodes(run: Run, nodes: list[Node]) -> None:
    old, shapes = run.version.is_old, run.shapes
    prompt, completion = run.tokens()
    execution = {"total_tokens": prompt + completion, "currency": "USD"}
    text = {"text": "".join(run.plan.pieces), "finish_reason": "stop"}
    await run.emit(
        shapes.node_finished(
            nodes[-2],
            inputs=None if old else {},
            outputs=text,
            elapsed_s=run.elapsed_s,
            execution=execution,
        )
    )
    await run.emit(shapes.node_started(nodes[-1]))
    await run.emit(
        shapes.node_finished(
            nodes[-1],
            inputs=None if old else {},
            outputs=_outputs(run),
            elapsed_s=0.0002,
        )
    )


async def _end_flow(run: Run) -> None:
    """1.14 ends with workflow_finished; before, message_end came last."""
    finished = _finished(run, steps=3 + len(run.node_calls))
    if run.app.mode == "workflow":
        await run.emit(finished)
    elif run.version.runs_in_celery:
        await _end_message(run)
        await run.emit(finished)
    else:
        await run.emit(finished)
        await _end_message(run)


def _finished(run: Run, *, steps: int) -> Json:
    prompt, completion = run.tokens()
    failed = run.status != "succeeded"
    outputs = run.outputs
    if failed and outputs is None and not run.version.is_old:
        outputs = {}
    finished = run.shapes.workflow_finished(
        status=run.status,
        outputs=outputs,
        error=run.error,
        usage=(run.elapsed_s, 0 if failed else prompt + completion, steps),
        created_by=run.created_by(),
    )
    data = finished["data"]
    # A chatflow tells them at its message's end.
    if run.plan.with_file and run.app.mode == "workflow" and isinstance(data, dict):
        data["files"] = [_picture()]
    return finished


def _picture() -> Json:
    return {"id": new_id(), "type": "image", "url": PICTURE_URL}


async def _fail_node(run: Run, node: Node) -> None:
    old = run.version.is_old
    run.status, run.error = "failed", FAILURE_TEXT
    run.failure = ("invalid_param", 400, f"Run failed: {FAILURE_TEXT}")
    await run.emit(
        run.shapes.node_finished(
            node,
            inputs=None if old else {},
            outputs=None if old else {},
            elapsed_s=run.elapsed_s,
            error=FAILURE_TEXT,
        )
    )
    await _end_failed(run)


async def _end_failed(run: Run) -> None:
    """Before 1.13 a chatflow's failure is told twice: also as an error event."""
    await run.emit(_finished(run, steps=2))
    if run.app.mode == "advanced-chat" and not run.version.runs_in_celery:
        message = f"Run failed: {run.error}"
        await run.emit(
            run.shapes.error(code="invalid_param", status=400, message=message)
        )


async def _pre_graph_error(run: Run) -> None:
    """A failure before the graph: an error event, after which 1.14 stays open."""
    assert run.plan.error is not None
    code, status, message = run.plan.error
    run.status, run.error, run.failure = "failed", message, run.plan.error
    run.stays_open = run.version.runs_in_celery
    await run.emit(run.shapes.error(code=code, status=status, message=message))


async def stopped(run: Run, *, reason: str) -> None:
    run.error = reason
    if reason != STOPPED_BY_OWNER:
        run.status = "failed"
        await _end_failed(run)
        return
    run.status = "stopped"
    await run.emit(_finished(run, steps=2))
    if run.app.mode == "advanced-chat" and not run.version.runs_in_celery:
        await _end_message(run)
