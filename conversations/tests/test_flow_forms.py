"""A paused flow's form: asked, answered once, resumed; reminded of, and ended."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from html import unescape
from typing import Any

import pytest
import responses
from django.test import Client
from django.utils import timezone

from bridge_project.lib.admin_base import admin_url, list_url
from bridge_project.lib.types import JsonObject
from chatwoot_api.payloads import MARK_KEY
from conversations import flow_forms, pipeline, processing
from conversations.flow_forms import reading
from conversations.models import (
    Bot,
    Conversation,
    FlowForm,
    OutgoingMessage,
    PipelineRun,
    Retention,
    Turn,
    UpstreamCall,
    WebhookEvent,
)
from conversations.removal import remove_turns
from conversations.retention import prune
from conversations.tests.conftest import Platforms
from conversations.tests.factories import DIFY, app_of, make_event, message_payload
from dify_api.tests import recorded

pytestmark = pytest.mark.django_db

TOKEN = "hit_3kQ9ZpW7"
RUN = "5d7f9b1d-3e5a-4c7e-8f90-1a2b3c4d5e66"
SUBMIT = f"{DIFY}/v1/form/human_input/{TOKEN}"
EVENTS = f"{DIFY}/v1/workflow/{RUN}/events"
SAID = "A colleague has to approve this first."
APPROVE: JsonObject = {"id": "approve", "title": "Approve", "button_style": "primary"}
REJECT: JsonObject = {"id": "reject", "title": "Reject", "button_style": "default"}
NOTE: JsonObject = {"type": "paragraph", "output_variable_name": "note"}

Payloads = Callable[[str], JsonObject]


class Flow:
    """The paused flow on the wire, and what it says once it goes on."""

    def __init__(self, bot: Bot, platforms: Platforms) -> None:
        self.bot, self.platforms, self.wire = bot, platforms, platforms.wire
        self.submitted: list[JsonObject] = []

    def pauses(self, **changes: Any) -> None:
        """Answer the next question with the recorded pause."""
        events = []
        for line in recorded.stream("composed/chatflow_paused").decode().splitlines():
            if not line.startswith("data: "):
                continue
            event = json.loads(line.removeprefix("data: "))
            if event["event"] == "human_input_required":
                event["data"] |= {"inputs": [], "expiration_time": 0, **changes}
            events.append(event)
        self.platforms.dify_answers(*events)

    def takes_answers(self, status: int = 200, code: str = "") -> None:
        def take(request: Any) -> tuple[int, dict[str, str], str]:
            self.submitted.append(json.loads(request.body))
            return status, {}, json.dumps({"code": code} if code else {})

        self.wire.add_callback(responses.POST, SUBMIT, callback=take)

    def goes_on(self, text: str = "The refund is on its way.", **rest: Any) -> None:
        ids = {
            "task_id": "task-2",
            "workflow_run_id": RUN,
            "conversation_id": "a9e8d7c6-b5a4-4392-8170-6f5e4d3c2b33",
            "message_id": "1f2e3d4c-5b6a-4798-8a9b-acbdcedfe044",
        }
        done: JsonObject = {"status": "succeeded", "outputs": {"answer": text}}
        events: list[JsonObject] = [
            {"event": "human_input_form_filled", "data": {}},
            {"event": "message", "answer": text},
            {"event": "message_end", "metadata": {}},
            {"event": "workflow_finished", "data": done},
        ]
        body = "".join(f"data: {json.dumps({**ids, **one})}\n\n" for one in events)
        answer = rest or {"body": body, "content_type": "text/event-stream"}
        self.wire.get(EVENTS, **answer)
        self.wire.get(f"{DIFY}/v1/workflows/run/{RUN}", status=404, json={})


@pytest.fixture
def bot(bot: Bot) -> Bot:
    app = app_of(bot)
    app.mode = "advanced-chat"
    app.save()
    bot.forms_go_to = "customer"
    bot.save()
    return bot


@pytest.fixture
def flow(bot: Bot, platforms: Platforms) -> Flow:
    return Flow(bot, platforms)


def ran(turn: Turn | None) -> tuple[str, str]:
    assert turn is not None
    Turn.objects.filter(pk=turn.pk).update(next_attempt_at=timezone.now())
    pipeline.run(turn.pk)
    turn.refresh_from_db()
    return turn.status, turn.reason


def asked(turn: Turn, flow: Flow, **changes: Any) -> FlowForm:
    flow.pauses(**changes)
    ran(turn)
    return FlowForm.objects.get(status="waiting")


def took(bot: Bot, body: JsonObject) -> WebhookEvent:
    event = make_event(bot.account, body)
    processing.process(event.pk, now=timezone.now())
    event.refresh_from_db()
    return event


@pytest.fixture
def click(payload: Payloads) -> Callable[..., JsonObject]:
    """The click on the newest form that was posted."""

    def clicked(value: str, **values: Any) -> JsonObject:
        post = OutgoingMessage.objects.filter(part="form").latest("pk")
        body = payload("message_updated_input_select_submitted")
        attributes: JsonObject = {
            **post.rich,
            MARK_KEY: str(post.mark),
            "submitted_values": [{"title": value.title(), "value": value}],
        }
        if values:
            attributes["submitted_values"] = [
                {"name": name, "value": given} for name, given in values.items()
            ]
            body["content_type"] = "form"
        nested = body["conversation"]
        assert isinstance(nested, dict)
        now = datetime.now(UTC).isoformat()
        newest: JsonObject = {"id": post.chatwoot_message_id, "updated_at": now}
        return {
            **body,
            "id": post.chatwoot_message_id,
            "content_attributes": attributes,
            "conversation": {**nested, "messages": [newest]},
        }

    return clicked


@pytest.fixture
def typed(payload: Payloads) -> Callable[..., JsonObject]:
    def written(text: str, **overrides: Any) -> JsonObject:
        sample = payload("message_created_incoming_text")
        values = {"id": 9200, "content": text, **overrides}
        return message_payload(sample, **values)

    return written


@pytest.fixture
def note(payload: Payloads) -> Callable[..., JsonObject]:
    def written(text: str) -> JsonObject:
        sample = payload("message_created_private_note")
        state = {"id": 133, "status": "open"}
        return message_payload(sample, id=9300, content=text, conversation=state)

    return written


# --- The customer is asked ----------------------------------------------------------


def test_asks_the_customer_with_buttons(turn: Turn, flow: Flow) -> None:
    flow.pauses()

    assert ran(turn) == ("answered", "asked_for_form")

    said, question = flow.platforms.posted
    assert said["content"] == SAID
    assert question["content"] == "Refund 20 EUR to Ana?"
    assert question["content_type"] == "input_select"
    attributes = question["content_attributes"]
    assert isinstance(attributes, dict)
    assert attributes["items"] == [
        {"title": "Approve", "value": "approve"},
        {"title": "Reject", "value": "reject"},
    ]
    form = FlowForm.objects.get()
    assert (form.status, form.title) == ("waiting", "Approve refund")
    assert form.chatwoot_message_id == 9102
    assert form.run == PipelineRun.objects.get()
    assert form.expires_at - form.created_at == timedelta(minutes=30)
    turn.conversation.refresh_from_db()
    assert turn.conversation.waiting_since is None


def test_the_click_resumes_the_run(
    turn: Turn, bot: Bot, flow: Flow, click: Callable[..., JsonObject]
) -> None:
    asked(turn, flow)
    event = took(bot, click("approve"))
    assert (event.action, event.reason) == ("answer", "form_answered")
    flow.takes_answers()
    flow.goes_on()

    second = Turn.objects.latest("pk")
    assert ran(second) == ("answered", "answered")

    run = PipelineRun.objects.latest("pk")
    assert flow.submitted == [
        {"inputs": {}, "action": "approve", "user": run.dify_user}
    ]
    assert (run.turn, run.answer) == (second, "The refund is on its way.")
    assert run.dify_workflow_run_id == RUN
    assert flow.platforms.posted[-1]["content"] == "The refund is on its way."
    assert len(flow.platforms.asked) == 1
    form = FlowForm.objects.get()
    assert (form.status, form.answered_by) == ("answered", "customer")
    assert form.answer["action"] == "approve"
    assert not UpstreamCall.objects.filter(path__contains=TOKEN).exists()


def test_two_clicks_make_one_run(
    turn: Turn, bot: Bot, flow: Flow, click: Callable[..., JsonObject]
) -> None:
    asked(turn, flow)

    took(bot, click("approve"))
    second = took(bot, click("reject"))

    assert second.reason == "duplicate_message"
    assert Turn.objects.count() == 2
    assert FlowForm.objects.get().answer["action"] == "approve"


def test_a_click_after_a_typed_answer_is_none(
    turn: Turn,
    bot: Bot,
    flow: Flow,
    click: Callable[..., JsonObject],
    typed: Callable[..., JsonObject],
) -> None:
    asked(turn, flow)

    assert took(bot, typed("Reject")).reason == "form_answered"
    assert took(bot, click("approve")).reason == "duplicate_message"
    assert FlowForm.objects.get().answer["action"] == "reject"


def test_an_answer_whose_outcome_is_unknown_is_repeated(
    turn: Turn, bot: Bot, flow: Flow, click: Callable[..., JsonObject]
) -> None:
    asked(turn, flow)
    took(bot, click("approve"))
    second = Turn.objects.latest("pk")
    flow.takes_answers()
    flow.wire.get(EVENTS, status=502, body="bad gateway")
    assert ran(second)[0] == "retrying"
    flow.wire.remove(responses.POST, SUBMIT)
    flow.wire.remove(responses.GET, EVENTS)
    flow.takes_answers(412, "human_input_form_submitted")
    flow.goes_on()

    assert ran(second) == ("answered", "answered")

    assert flow.platforms.posted[-1]["content"] == "The refund is on its way."


def test_an_answer_that_comes_too_late_for_dify_is_handed_over(
    turn: Turn, bot: Bot, flow: Flow, click: Callable[..., JsonObject]
) -> None:
    asked(turn, flow)
    took(bot, click("approve"))
    flow.takes_answers(412, "human_input_form_expired")
    second = Turn.objects.latest("pk")

    ran(second)
    assert ran(second) == ("handed_over", "form_unanswered")


def test_the_next_form_is_asked_for(
    turn: Turn, bot: Bot, flow: Flow, click: Callable[..., JsonObject]
) -> None:
    asked(turn, flow)
    took(bot, click("approve"))
    flow.takes_answers()
    again = recorded.stream("composed/chatflow_paused").decode()
    again = again.replace("f0f0f0f0-1111", "f1f1f1f1-1111").replace(TOKEN, "hit_2")
    flow.wire.get(EVENTS, body=again, content_type="text/event-stream")

    assert ran(Turn.objects.latest("pk")) == ("answered", "asked_for_form")

    assert list(FlowForm.objects.order_by("pk").values_list("status", flat=True)) == [
        "answered",
        "waiting",
    ]
    assert FlowForm.objects.latest("pk").form_token == "hit_2"


def test_a_form_with_fields_is_a_form_in_the_widget(
    turn: Turn, bot: Bot, flow: Flow, click: Callable[..., JsonObject]
) -> None:
    asked(turn, flow, inputs=[NOTE], form_content="Why?\n\n{{#$output.note#}}")

    question = flow.platforms.posted[-1]
    assert (question["content"], question["content_type"]) == ("Why?", "form")
    attributes = question["content_attributes"]
    assert isinstance(attributes, dict)
    assert attributes["items"] == [
        {"name": "note", "label": "Note", "type": "text_area", "required": True},
        {
            "name": "bridge.choice",
            "label": "Your choice",
            "type": "select",
            "required": True,
            "options": [
                {"label": "Approve", "value": "approve"},
                {"label": "Reject", "value": "reject"},
            ],
        },
    ]
    filled = {"note": "too much", "bridge.choice": "reject"}
    assert took(bot, click("", **filled)).reason == "form_answered"
    assert FlowForm.objects.get().answer["inputs"] == {"note": "too much"}
    assert FlowForm.objects.get().answer["action"] == "reject"


def test_elsewhere_the_choices_are_numbered(
    turn: Turn,
    bot: Bot,
    flow: Flow,
    typed: Callable[..., JsonObject],
) -> None:
    Conversation.objects.update(channel="Channel::Whatsapp")
    turn.refresh_from_db()

    asked(turn, flow)

    question = flow.platforms.posted[-1]
    assert question["content"] == (
        "Refund 20 EUR to Ana?\n\n1. Approve\n2. Reject\n\n"
        "Please answer with the number."
    )
    assert "content_type" not in question or question["content_type"] == "text"
    state = {"channel": "Channel::Whatsapp"}
    assert took(bot, typed("2", conversation=state)).reason == "form_answered"
    assert FlowForm.objects.get().answer["action"] == "reject"


def test_what_is_no_answer_is_asked_again_once_and_then_handed_over(
    turn: Turn, bot: Bot, flow: Flow, typed: Callable[..., JsonObject]
) -> None:
    asked(turn, flow)
    event = took(bot, typed("Where is my parcel?"))
    assert (event.action, event.reason) == ("answer", "form_answered")
    assert ran(Turn.objects.latest("pk")) == ("answered", "asked_for_form")
    assert str(flow.platforms.posted[-1]["content"]).startswith(
        "Sorry, I need an answer to this before I can go on.\n\nRefund 20 EUR"
    )
    assert len(flow.platforms.asked) == 1

    event = took(bot, typed("Hello??", id=9400))

    assert (event.action, event.reason) == ("hand_over", "dify_paused")
    assert FlowForm.objects.get().status == "withdrawn"


def test_an_answer_right_after_an_unclear_one_resumes_the_run_once(
    turn: Turn, bot: Bot, flow: Flow, typed: Callable[..., JsonObject]
) -> None:
    asked(turn, flow)
    unclear = took(bot, typed("Hm?")).turn
    assert took(bot, typed("Approve", id=9400)).reason == "form_answered"
    flow.takes_answers()
    flow.goes_on()

    assert ran(unclear) == ("skipped", "form_answered")
    assert ran(Turn.objects.latest("pk")) == ("answered", "answered")

    assert len(flow.submitted) == 1
    said = [body["content"] for body in flow.platforms.posted]
    assert said == [SAID, "Refund 20 EUR to Ana?", "The refund is on its way."]
    assert not Turn.objects.unfinished().exists()


def test_an_answer_to_the_hint_counts(
    turn: Turn,
    bot: Bot,
    flow: Flow,
    typed: Callable[..., JsonObject],
    click: Callable[..., JsonObject],
) -> None:
    asked(turn, flow)
    took(bot, typed("Hm?"))
    ran(Turn.objects.latest("pk"))

    assert took(bot, click("approve")).reason == "form_answered"


def test_messages_do_not_join_the_answer_to_a_form(
    turn: Turn,
    bot: Bot,
    flow: Flow,
    click: Callable[..., JsonObject],
    typed: Callable[..., JsonObject],
) -> None:
    asked(turn, flow)
    took(bot, click("approve"))

    event = took(bot, typed("And another question"))

    assert (event.action, event.reason) == ("answer", "customer_message")
    assert event.turn is None
    flow.takes_answers()
    flow.goes_on()
    second = Turn.objects.latest("pk")
    ran(second)
    assert Turn.objects.latest("pk").events.get() == event


# --- Humans -------------------------------------------------------------------------


def test_a_human_reply_withdraws_the_customers_form(
    turn: Turn, bot: Bot, flow: Flow, payload: Payloads
) -> None:
    asked(turn, flow)
    reply = message_payload(payload("message_created_outgoing_user"), id=9150)

    took(bot, reply)

    form = FlowForm.objects.get()
    assert (form.status, form.form_token) == ("withdrawn", "")


def test_a_resolved_conversation_withdraws_it(
    turn: Turn, bot: Bot, flow: Flow, payload: Payloads
) -> None:
    asked(turn, flow)
    resolved = payload("conversation_status_changed_resolved")

    took(bot, {**resolved, "id": 133, "updated_at": timezone.now().timestamp()})

    assert FlowForm.objects.get().status == "withdrawn"


def test_without_a_token_it_is_handed_over_as_before(turn: Turn, flow: Flow) -> None:
    events = recorded.stream("composed/chatflow_paused").decode()
    body = events.replace(f'"{TOKEN}"', "null")
    flow.wire.post(
        f"{DIFY}/v1/chat-messages", body=body, content_type="text/event-stream"
    )

    ran(turn)

    assert ran(turn) == ("handed_over", "dify_paused")
    assert not FlowForm.objects.exists()


@pytest.mark.parametrize(
    "changes",
    [
        {"inputs": [{"type": "file", "output_variable_name": "photo"}]},
        {"display_in_ui": False},
        {"actions": []},
    ],
)
def test_what_nobody_here_can_fill_in_is_handed_over(
    changes: JsonObject, turn: Turn, flow: Flow
) -> None:
    flow.pauses(**changes)

    ran(turn)

    assert ran(turn) == ("handed_over", "dify_paused")


def test_a_bot_that_only_writes_notes_asks_nobody(
    turn: Turn, bot: Bot, flow: Flow
) -> None:
    Bot.objects.update(reply_as="private_note")

    flow.pauses()
    ran(turn)

    assert ran(turn) == ("handed_over", "dify_paused")
    assert FlowForm.objects.get().status == "withdrawn"


# --- An agent is asked --------------------------------------------------------------


@pytest.fixture
def for_agents(bot: Bot) -> None:
    Bot.objects.update(forms_go_to="agent")


@pytest.mark.usefixtures("for_agents")
def test_asks_the_agents_by_a_note(turn: Turn, flow: Flow) -> None:
    flow.pauses(inputs=[NOTE])

    assert ran(turn) == ("handed_over", "asked_for_form")

    said, question = flow.platforms.posted
    assert (said["content"], said["private"]) == (SAID, False)
    assert question["private"] is True
    assert question["content"] == (
        "The bot's flow waits for an answer by an agent.\n\n**Approve refund**\n\n"
        "Refund 20 EUR to Ana?\n\n"
        "Answer with a private note that begins with one of these:\n\n"
        "- `/1 Approve`\n- `/2 Reject`\n\n"
        "Below it, a line for each field:\n\n- Note: …"
    )
    assert flow.platforms.calls("POST", "/toggle_status") == 1


@pytest.mark.usefixtures("for_agents")
@pytest.mark.parametrize(
    ("text", "action", "inputs"),
    [
        ("/1 Approve\nnote: fine", "approve", {"note": "fine"}),
        ("/reject: too much", "reject", {"note": "too much"}),
        ("/2", "reject", {"note": ""}),
    ],
)
def test_an_agents_note_resumes_the_run_in_the_open_conversation(
    text: str,
    action: str,
    inputs: JsonObject,
    turn: Turn,
    bot: Bot,
    flow: Flow,
    note: Callable[..., JsonObject],
) -> None:
    asked(turn, flow, inputs=[NOTE])
    flow.platforms.chatwoot_shows(status="open")
    flow.takes_answers()
    flow.goes_on()

    event = took(bot, note(text))

    assert (event.action, event.reason) == ("answer", "form_answered")
    assert ran(Turn.objects.latest("pk")) == ("answered", "answered")
    assert [(body["action"], body["inputs"]) for body in flow.submitted] == [
        (action, inputs)
    ]
    answer = flow.platforms.posted[-1]
    assert (answer["content"], answer["private"]) == (
        "The refund is on its way.",
        False,
    )
    assert FlowForm.objects.get().answered_by != "customer"


@pytest.mark.usefixtures("for_agents")
def test_where_a_human_has_replied_meanwhile_the_answer_is_a_note(
    turn: Turn,
    bot: Bot,
    flow: Flow,
    note: Callable[..., JsonObject],
    payload: Payloads,
) -> None:
    asked(turn, flow)
    state = {"id": 133, "status": "open"}
    sample = payload("message_created_outgoing_user")
    took(bot, message_payload(sample, id=9250, conversation=state))
    assert FlowForm.objects.get().status == "waiting"
    flow.platforms.chatwoot_shows(status="open")
    flow.takes_answers()
    flow.goes_on()

    took(bot, note("/approve"))

    assert ran(Turn.objects.latest("pk")) == ("answered", "suggested")
    assert flow.platforms.posted[-1]["private"] is True


@pytest.mark.usefixtures("for_agents")
@pytest.mark.parametrize("text", ["Approve", "/ai what now?", "I approve of this"])
def test_other_notes_answer_nothing(
    text: str, turn: Turn, bot: Bot, flow: Flow, note: Callable[..., JsonObject]
) -> None:
    asked(turn, flow)

    assert took(bot, note(text)).reason != "form_answered"
    assert FlowForm.objects.get().status == "waiting"


@pytest.mark.usefixtures("for_agents")
def test_a_number_with_the_title_of_another_choice_is_asked_about_once(
    turn: Turn, bot: Bot, flow: Flow, note: Callable[..., JsonObject]
) -> None:
    asked(turn, flow, inputs=[NOTE])
    flow.platforms.chatwoot_shows(status="open")
    before = len(flow.platforms.posted)

    took(bot, note("/1 Reject: too much"))
    assert ran(Turn.objects.latest("pk")) == ("handed_over", "asked_for_form")

    [hint] = flow.platforms.posted[before:]
    assert hint["private"] is True
    assert "- `/1 Approve`\n- `/2 Reject`" in str(hint["content"])
    assert FlowForm.objects.get().status == "waiting"
    again = note("/1 Reject: too much")
    assert took(bot, {**again, "id": 9301}).reason != "form_answered"
    assert FlowForm.objects.get().status == "waiting"
    assert flow.submitted == []


def test_a_typed_number_with_another_title_is_no_answer() -> None:
    form = FlowForm(
        actions=[
            {"id": "approve", "title": "Approve"},
            {"id": "part", "title": "Approve partly"},
        ],
        fields=[{"name": "reason"}],
    )

    assert reading.of_text(form, "1 Approve partly: ten") is None
    partly = reading.of_text(form, "2 Approve partly: ten")
    assert partly is not None
    assert (partly.action, partly.inputs) == ("part", {"reason": "ten"})
    whole = reading.of_note(form, "/1 Approve: all")
    assert whole is not None
    assert (whole.action, whole.inputs) == ("approve", {"reason": "all"})


# --- Time ---------------------------------------------------------------------------


def test_reminds_once(turn: Turn, bot: Bot, flow: Flow) -> None:
    form = asked(turn, flow)
    now = timezone.now() + timedelta(minutes=11)
    assert flow_forms.due(timezone.now()) == []
    assert flow_forms.due(now) == [form.pk]

    flow_forms.attend(form.pk, now=now)
    flow_forms.attend(form.pk, now=now)

    assert flow_forms.due(now) == []
    assert [body["content"] for body in flow.platforms.posted[2:]] == [
        "I still need your answer to this:\n\nRefund 20 EUR to Ana?\n\n1. Approve\n"
        "2. Reject\n\nPlease answer with the number."
    ]


def test_does_not_remind_where_a_human_has_the_conversation(
    turn: Turn, bot: Bot, flow: Flow
) -> None:
    form = asked(turn, flow)
    flow.platforms.chatwoot_shows(status="open")

    flow_forms.attend(form.pk, now=timezone.now() + timedelta(minutes=11))

    assert len(flow.platforms.posted) == 2


@pytest.mark.parametrize("changes", [{"shadow": True}, {"reply_as": "by_support_mode"}])
def test_reminds_nobody_whom_the_bot_may_not_speak_to_any_more(
    turn: Turn, bot: Bot, flow: Flow, changes: dict[str, Any]
) -> None:
    form = asked(turn, flow)
    Bot.objects.update(**changes)

    flow_forms.attend(form.pk, now=timezone.now() + timedelta(minutes=11))

    assert len(flow.platforms.posted) == 2


def test_hands_over_when_its_time_is_over(turn: Turn, bot: Bot, flow: Flow) -> None:
    form = asked(turn, flow)
    task = "2c4e6a80-1b3d-4f57-9a7c-8e0d2f4b6155"
    flow.wire.post(f"{DIFY}/v1/chat-messages/{task}/stop", json={"result": "success"})

    late = flow_forms.attend(form.pk, now=timezone.now() + timedelta(minutes=31))

    assert late is not None
    form.refresh_from_db()
    assert form.status == "expired"
    assert ran(late) == ("handed_over", "form_unanswered")
    assert flow.platforms.calls("POST", "/stop") == 1
    line, told = flow.platforms.posted[2:]
    assert (line["private"], told["private"]) == (False, True)
    assert "Approve refund" in str(told["content"])
    assert flow.platforms.calls("POST", "/toggle_status") == 1


@pytest.mark.usefixtures("for_agents")
def test_agents_who_did_not_answer_are_told(turn: Turn, bot: Bot, flow: Flow) -> None:
    form = asked(turn, flow)
    flow.platforms.chatwoot_shows(status="open")
    task = "2c4e6a80-1b3d-4f57-9a7c-8e0d2f4b6155"
    flow.wire.post(f"{DIFY}/v1/chat-messages/{task}/stop", json={"result": "success"})

    late = flow_forms.attend(form.pk, now=timezone.now() + timedelta(minutes=31))

    assert ran(late) == ("handed_over", "form_unanswered")
    assert flow.platforms.calls("POST", "/toggle_status") == 1


def test_difys_own_limit_counts_if_it_is_earlier(turn: Turn, flow: Flow) -> None:
    soon = int((timezone.now() + timedelta(minutes=5)).timestamp())

    form = asked(turn, flow, expiration_time=soon)

    assert int(form.expires_at.timestamp()) == soon
    assert form.remind_at is None


def test_a_form_that_was_never_asked_ends_quietly(
    turn: Turn, bot: Bot, flow: Flow
) -> None:
    form = asked(turn, flow)
    OutgoingMessage.objects.filter(part="form").delete()
    FlowForm.objects.update(chatwoot_message_id=None)

    later = timezone.now() + timedelta(minutes=31)
    assert flow_forms.attend(form.pk, now=later) is None

    form.refresh_from_db()
    assert form.status == "withdrawn"


def test_a_worker_that_died_before_the_question_asks_it_now(
    turn: Turn, bot: Bot, flow: Flow
) -> None:
    """The text before the pause is posted already; it is not taken for the answer."""
    asked(turn, flow)
    OutgoingMessage.objects.filter(part="form").delete()
    FlowForm.objects.update(chatwoot_message_id=None)
    Turn.objects.update(status="retrying", finished_at=None, reason="", attempts=1)

    assert ran(turn) == ("answered", "asked_for_form")

    assert [body["content"] for body in flow.platforms.posted] == [
        SAID,
        "Refund 20 EUR to Ana?",
        "Refund 20 EUR to Ana?",
    ]
    assert len(flow.platforms.asked) == 1


# --- What is kept, and shown --------------------------------------------------------


def test_its_texts_are_forgotten_with_the_turns(
    turn: Turn, bot: Bot, flow: Flow, click: Callable[..., JsonObject]
) -> None:
    asked(turn, flow, inputs=[NOTE])
    Retention.objects.create(account=bot.account, text_days=5)
    long_ago = timezone.now() - timedelta(days=6)
    Turn.objects.update(created_at=long_ago)

    prune(timezone.now())
    form = FlowForm.objects.get()
    assert form.content == "Refund 20 EUR to Ana?"

    took(bot, click("", **{"note": "secret", "bridge.choice": "approve"}))
    Turn.objects.update(
        created_at=long_ago, status="answered", finished_at=timezone.now()
    )
    prune(timezone.now())

    form.refresh_from_db()
    assert (form.content, form.fields, form.answer) == ("", [], {})
    assert (form.form_token, form.title) == ("", "Approve refund")


def test_forms_are_removed_with_their_turns(
    turn: Turn, bot: Bot, flow: Flow, click: Callable[..., JsonObject]
) -> None:
    asked(turn, flow)
    took(bot, click("approve"))
    second = Turn.objects.latest("pk")

    removed = remove_turns([turn.pk])

    assert removed["flow_forms"] == 1
    second.refresh_from_db()
    assert second.flow_form is None


@pytest.mark.parametrize("status", FlowForm.Status.values)
def test_its_pages_open_in_each_status(
    turn: Turn, flow: Flow, admin_client: Client, status: str
) -> None:
    form = asked(turn, flow)
    FlowForm.objects.update(status=status)

    rows = (form, turn, turn.conversation)
    for url in (list_url(FlowForm), *(admin_url(row) for row in rows)):
        assert admin_client.get(url).status_code == 200


def test_its_pages_tell_it_in_words_but_not_its_token(
    turn: Turn,
    bot: Bot,
    flow: Flow,
    click: Callable[..., JsonObject],
    admin_client: Client,
) -> None:
    form = asked(turn, flow)
    took(bot, click("approve"))
    told = "The customer answered the flow’s form “Approve refund”.".replace("’", "'")

    for row in (form, turn, turn.conversation):
        page = admin_client.get(admin_url(row)).content.decode()
        assert TOKEN not in page
        if row is not form:
            assert told in unescape(page)
    page = admin_client.get(list_url(FlowForm)).content.decode()
    assert "Approve refund" in page
    assert TOKEN not in page
