"""Human Input nodes, in the API since 1.14: pause, form, answer, resumption."""

from __future__ import annotations

from starlette.responses import Response

from sandbox import times
from sandbox.dify import errors, flows
from sandbox.dify.runs import HumanForm, Run, Stopped
from sandbox.dify.scripts import cut_up
from sandbox.dify.server import Call, Router, user_of
from sandbox.json_types import Json, JsonList

NODE_ID, TITLE = "human_input", "Approve refund"
SAID = "Somebody has to approve this first."


ACTIONS: JsonList = [
    {"id": "approve", "title": "Approve", "button_style": "primary"},
    {"id": "reject", "title": "Reject", "button_style": "default"},
]


def _content(form: HumanForm) -> str:
    lines = [f"{{{{#$output.{one['output_variable_name']}#}}}}" for one in form.rows]
    return "\n\n".join(["Refund 20 EUR for order 1042?", *lines])


def _required(form: HumanForm) -> Json:
    """``data`` of human_input_required, and an item of ``reasons``."""
    return {
        "form_id": form.id,
        "node_id": NODE_ID,
        "node_title": TITLE,
        "form_content": _content(form),
        "inputs": form.inputs,
        "actions": ACTIONS,
        "display_in_ui": True,
        "form_token": form.token,
        "resolved_default_values": {},
        "expiration_time": form.expires_at,
    }


def form_of(number: float | None) -> HumanForm:
    """``/form`` has buttons alone, ``/form 1`` a text field, ``/form 2`` a list too."""
    inputs: JsonList = []
    if number:
        note = {"type": "paragraph", "output_variable_name": "note", "default": None}
        inputs.append(note)
    if number and number >= 2:
        source = {"type": "constant", "selector": [], "value": ["low", "high"]}
        inputs.append(
            {
                "type": "select",
                "output_variable_name": "priority",
                "option_source": source,
            }
        )
    return HumanForm(inputs=inputs)


async def play(run: Run) -> None:
    """Say something, ask, and end the stream; the run stays where it is."""
    form = form_of(run.plan.form)
    try:
        if not await flows.start_flow(run):
            return
        run.plan.pieces = cut_up(SAID)
        await flows.speak(run)
    except Stopped as stop:
        await flows.stopped(run, reason=str(stop))
        return
    await run.emit(run.shapes.flow("human_input_required", _required(form)))
    run.status, run.form = "paused", form
    await run.emit(
        run.shapes.flow(
            "workflow_paused",
            {
                "workflow_run_id": run.ids.workflow_run_id,
                "paused_nodes": [NODE_ID],
                "outputs": {},
                "reasons": [{"TYPE": "human_input_required", **_required(form)}],
                "status": "paused",
                "created_at": run.ids.created_at,
                "elapsed_time": run.elapsed_s,
                "total_tokens": 0,
                "total_steps": 2,
            },
        )
    )


async def play_resumed(run: Run) -> None:
    """What follows the answer: the same run, with new text and one end."""
    form = run.form
    assert form is not None
    assert form.answer is not None
    data = {"node_id": NODE_ID, "node_title": TITLE, "action_id": form.answer["action"]}
    try:
        await run.emit(run.shapes.flow("human_input_form_filled", data))
        run.plan.pieces = cut_up(_told(form.answer))
        await flows.speak(run)
        await flows.succeed(run)
    except Stopped as stop:
        await flows.stopped(run, reason=str(stop))


def _told(answer: Json) -> str:
    inputs = answer["inputs"]
    given = inputs.items() if isinstance(inputs, dict) else ()
    lines = [f"The answer was “{answer['action']}”."]
    return "\n".join([*lines, *(f"{name}: {value}" for name, value in given)])


# The two endpoints.


def register(router: Router) -> None:
    router.add("GET", "/form/human_input/{token}", show)
    router.add("POST", "/form/human_input/{token}", submit)


async def show(call: Call) -> Response:
    form = _open_form(call)[1]
    return call.answer(
        {
            "form_content": _content(form),
            "inputs": form.inputs,
            "resolved_default_values": {},
            "user_actions": ACTIONS,
            "expiration_time": form.expires_at,
        }
    )


async def submit(call: Call) -> Response:
    """Take the answer once, and let the run go on."""
    body = await call.json_body()
    user_of(body)
    run, form = _open_form(call)
    action, inputs = body.get("action"), body.get("inputs")
    if action not in [row["id"] for row in ACTIONS if isinstance(row, dict)]:
        raise errors.invalid_param(f"Invalid action: {action}")
    given = inputs if isinstance(inputs, dict) else {}
    names = [str(row["output_variable_name"]) for row in form.rows]
    missing = [name for name in names if name not in given]
    if missing:
        text = f"Missing required inputs: {', '.join(missing)}"
        raise errors.invalid_param(text)
    form.answer = {"action": action, "inputs": given}
    call.server.runs.resume(run, play=play_resumed)
    return call.answer({})


def _open_form(call: Call) -> tuple[Run, HumanForm]:
    if not call.version.runs_in_celery:
        raise errors.not_found("Not Found")
    call.need_flow_mode()
    run = call.server.runs.waiting_for(call.path_text("token"), app=call.app)
    if run is None or run.form is None:
        raise errors.not_found("Form not found")
    if run.form.answer is not None:
        text = "This form has already been submitted"
        raise errors.DifyError(412, "human_input_form_submitted", text)
    if run.form.expires_at <= times.now():
        text = "This form has expired"
        raise errors.DifyError(412, "human_input_form_expired", text)
    return run, run.form
