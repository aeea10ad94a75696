"""What Dify is told of changes: each turn's inputs, variables, old servers."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
import responses
from django.utils import timezone
from responses import matchers

from bridge_project.lib.types import JsonObject
from conversations import pipeline
from conversations.live_context import filled
from conversations.models import (
    Bot,
    Conversation,
    DifyConversation,
    OutgoingMessage,
    PipelineRun,
    Turn,
    UpstreamCall,
    WebhookEvent,
)
from conversations.tests.conftest import CHAT_URL, Platforms, answer_events
from conversations.tests.factories import (
    DIFY,
    app_of,
    make_event,
    make_memory,
    make_turn,
    message_payload,
)
from conversations.tests.test_pipeline import run_until_done
from dify_api.models import DifyApp

pytestmark = pytest.mark.django_db

ASKED = "Hi, the tent I ordered arrived with a torn seam."
HELLO = "The seam is covered by the warranty."
VARIABLES = f"{DIFY}/v1/conversations/dify-conversation-1/variables"
FORM: JsonObject = {
    "user_input_form": [
        {"text-input": {"variable": "labels", "required": False}},
        {"text-input": {"variable": "priority", "required": False}},
        {"paragraph": {"variable": "asked", "required": False}},
        {"text-input": {"variable": "token", "required": False, "max_length": 256}},
    ]
}
MAPPED = {
    "labels": "conversation.labels",
    "priority": "conversation.priority",
    "asked": "message.text",
    "token": "bridge.conversation_token",
}


def set_up(bot: Bot, *, app: dict[str, Any], **settings: Any) -> None:
    DifyApp.objects.filter(pk=app_of(bot).pk).update(**app)
    Bot.objects.filter(pk=bot.pk).update(**settings)


def next_turn(turn: Turn, **mirror: Any) -> Turn:
    """The customer says the same once more; Chatwoot has changed meanwhile."""
    conversation = turn.conversation
    Conversation.objects.filter(pk=conversation.pk).update(**mirror)
    following = make_turn(conversation, turn.bot)  # type: ignore[arg-type]
    WebhookEvent.objects.update(turn=following)
    return following


def last_run() -> PipelineRun:
    return PipelineRun.objects.latest("pk")


def asked(platforms: Platforms) -> list[object]:
    return [body["query"] for body in platforms.asked]


# --- Before 1.0 -----------------------------------------------------------------------


@pytest.fixture
def old(bot: Bot, platforms: Platforms) -> Platforms:
    app = {"server_version": "0.15.3", "parameters": FORM}
    set_up(bot, app=app, inputs=MAPPED)
    platforms.dify_answers(*answer_events(HELLO))
    return platforms


def test_old_servers_are_told_what_has_changed_in_front_of_the_question(
    turn: Turn, old: Platforms
) -> None:
    pipeline.run(turn.pk)
    second = next_turn(turn, labels=["vip"], priority="high\n")
    pipeline.run(second.pk)
    third = next_turn(turn, labels=["vip", "return"], priority="")
    pipeline.run(third.pk)
    pipeline.run(next_turn(turn).pk)

    assert asked(old) == [
        ASKED,
        f"[labels: vip]\n[priority: high]\n\n{ASKED}",
        f"[labels: vip, return]\n[priority: ]\n\n{ASKED}",
        ASKED,
    ]
    run = PipelineRun.objects.get(turn=third)
    assert run.query == ASKED
    assert run.notes == [
        "Dify 0.15.3 keeps the inputs of the first message. Told in front of the "
        "question:\n[labels: vip, return]\n[priority: ]"
    ]


def test_what_was_told_is_kept_without_its_values(turn: Turn, old: Platforms) -> None:
    Conversation.objects.update(labels=["very-private"])

    pipeline.run(turn.pk)

    told = DifyConversation.objects.get().told_inputs
    assert list(told["inputs"]) == ["labels"]
    assert "very-private" not in json.dumps(told)
    assert asked(old) == [ASKED]


def test_each_bot_has_its_own_template(turn: Turn, bot: Bot, old: Platforms) -> None:
    set_up(bot, app={}, context_template="{name} is now “{value}”.")
    pipeline.run(turn.pk)

    pipeline.run(next_turn(turn, labels=["vip"]).pk)

    assert asked(old)[1] == f"labels is now “vip”.\n\n{ASKED}"


def test_without_a_template_only_the_run_says_what_dify_does_not_know(
    turn: Turn, bot: Bot, old: Platforms
) -> None:
    set_up(bot, app={}, context_template=" ")
    pipeline.run(turn.pk)

    pipeline.run(next_turn(turn, labels=["vip"]).pk)

    assert asked(old) == [ASKED, ASKED]
    assert last_run().notes == [
        "Dify 0.15.3 keeps the inputs of the first message. Changed since, and not "
        "told, because the bot's template for changed values is empty: labels."
    ]


@pytest.mark.parametrize("version", ["1.0.0", "1.14.2", ""])
def test_newer_servers_get_all_inputs_with_each_message(
    turn: Turn, bot: Bot, old: Platforms, version: str
) -> None:
    set_up(bot, app={"server_version": version})
    pipeline.run(turn.pk)

    pipeline.run(next_turn(turn, labels=["vip"]).pk)

    assert asked(old) == [ASKED, ASKED]
    sent = old.asked[1]["inputs"]
    assert isinstance(sent, dict)
    assert sent["labels"] == "vip"
    assert sent["asked"] == ASKED
    assert DifyConversation.objects.get().told_inputs == {}


def test_a_memory_of_which_nobody_noted_what_it_was_told_goes_by_its_first_run(
    turn: Turn, old: Platforms
) -> None:
    pipeline.run(turn.pk)
    DifyConversation.objects.update(told_inputs={})

    pipeline.run(next_turn(turn, labels=["vip"]).pk)

    assert asked(old)[1] == f"[labels: vip]\n\n{ASKED}"


def test_what_a_failed_run_was_told_is_told_again(turn: Turn, old: Platforms) -> None:
    pipeline.run(turn.pk)
    second = next_turn(turn, labels=["vip"])
    old.wire.remove(responses.POST, CHAT_URL)
    old.dify_answers(json={"code": "internal_server_error"}, status=500)
    pipeline.run(second.pk)
    old.wire.remove(responses.POST, CHAT_URL)
    old.dify_answers(*answer_events(HELLO))
    Turn.objects.filter(pk=second.pk).update(next_attempt_at=second.created_at)

    pipeline.run(second.pk)

    assert asked(old)[-1] == f"[labels: vip]\n\n{ASKED}"
    assert set(PipelineRun.objects.values_list("query", flat=True)) == {ASKED}


def test_an_answer_is_not_asked_for_again_over_what_was_put_in_front(
    turn: Turn, old: Platforms
) -> None:
    pipeline.run(turn.pk)
    second = next_turn(turn, labels=["vip"])
    old.chatwoot_takes_messages(status=429, json={})
    pipeline.run(second.pk)
    Conversation.objects.update(labels=["vip", "return"])
    old.chatwoot_takes_messages()
    old.chatwoot_has_history()

    assert run_until_done(second) == ("answered", "answered")
    assert len(old.asked) == 2


def test_a_value_is_one_line_and_no_template() -> None:
    assert filled("{name}={value}!", name="a", value="x\n{name}") == "a=x {name}!"
    assert filled("{name}={value}", name="a", value={"b": [1]}) == 'a={"b": [1]}'
    assert filled("{value}{other}", name="a", value=None) == "{other}"


# --- From 1.8 on ----------------------------------------------------------------------


def row(number: int, name: str, kind: str, value: str) -> JsonObject:
    return {"id": f"var-{number}", "name": name, "value_type": kind, "value": value}


ROWS = [
    row(1, "tags", "array[string]", "[]"),
    row(2, "tier", "string", ""),
    row(3, "vip", "boolean", "False"),
    row(4, "orders", "number", "3"),
]


@pytest.fixture
def flow(turn: Turn, bot: Bot, platforms: Platforms) -> Platforms:
    """A chatflow that has spoken with the customer before, with variables."""
    set_up(
        bot,
        app={"mode": "advanced-chat", "server_version": "1.14.2"},
        conversation_variables={
            "tags": "conversation.labels",
            "tier": "contact.custom_attributes.tier",
            "vip": "contact.custom_attributes.vip",
            "orders": "contact.custom_attributes.orders",
        },
    )
    Conversation.objects.update(
        labels=["vip", "return"],
        contact_custom_attributes={"tier": "gold", "vip": True, "orders": 3},
    )
    make_memory(
        turn.conversation, app_of(bot), dify_conversation_id="dify-conversation-1"
    )
    user = {"user": "chatwoot-somebody", "limit": 100}
    platforms.wire.get(
        VARIABLES,
        json={"limit": 100, "has_more": False, "data": ROWS},
        match=[matchers.query_param_matcher(user)],
    )
    for number in range(1, 5):
        platforms.wire.put(f"{VARIABLES}/var-{number}", json=ROWS[number - 1])
    platforms.dify_answers(*answer_events(HELLO))
    return platforms


def put(platforms: Platforms) -> dict[str, object]:
    """What was set, by the variable."""
    return {
        str(call.request.url).rsplit("/", 1)[-1]: json.loads(call.request.body or "")
        for call in platforms.wire.calls
        if call.request.method == "PUT"
    }


def order(platforms: Platforms) -> list[str]:
    """Which calls Dify got, in their order."""
    return [
        f"{call.request.method} {str(call.request.url).partition('?')[0]}"
        for call in platforms.wire.calls
        if str(call.request.url).startswith(DIFY)
    ]


def test_variables_that_differ_are_set_before_the_run(
    turn: Turn, flow: Platforms
) -> None:
    pipeline.run(turn.pk)

    user = "chatwoot-somebody"
    assert put(flow) == {
        "var-1": {"value": ["vip", "return"], "user": user},
        "var-2": {"value": "gold", "user": user},
        "var-3": {"value": True, "user": user},
    }
    assert order(flow) == [
        f"GET {VARIABLES}",
        f"PUT {VARIABLES}/var-1",
        f"PUT {VARIABLES}/var-2",
        f"PUT {VARIABLES}/var-3",
        f"POST {CHAT_URL}",
    ]
    assert last_run().notes == []
    assert asked(flow) == [ASKED]
    kept = UpstreamCall.objects.filter(service="dify").values_list("method", flat=True)
    assert sorted(kept) == ["GET", "POST", "PUT", "PUT", "PUT"]


def test_what_dify_knows_already_costs_no_call(turn: Turn, flow: Platforms) -> None:
    pipeline.run(turn.pk)
    flow.wire.calls.reset()

    pipeline.run(next_turn(turn).pk)

    assert order(flow) == [f"POST {CHAT_URL}"]


def test_only_what_has_changed_is_set_and_what_is_gone_is_emptied(
    turn: Turn, flow: Platforms
) -> None:
    pipeline.run(turn.pk)
    flow.wire.calls.reset()

    pipeline.run(next_turn(turn, labels=[], contact_custom_attributes={"vip": True}).pk)

    # The list says [] of the tags, so they need not be set; a number has no empty one.
    assert put(flow) == {}
    assert last_run().notes == [
        "Conversation variable not set: orders; its value does not fit the type number."
    ]
    flow.wire.calls.reset()
    pipeline.run(
        next_turn(turn, contact_custom_attributes={"vip": True, "tier": "tin"}).pk
    )
    assert list(put(flow).values()) == [{"value": "tin", "user": "chatwoot-somebody"}]


def test_a_conversation_begins_with_the_flows_own_values(
    turn: Turn, flow: Platforms
) -> None:
    DifyConversation.objects.all().delete()

    pipeline.run(turn.pk)

    assert order(flow) == [f"POST {CHAT_URL}"]
    assert DifyConversation.objects.get().told_inputs == {}


def test_a_refused_variable_is_noted_and_the_run_goes_on(
    turn: Turn, flow: Platforms
) -> None:
    mismatch = "Type mismatch: variable 'tier' expects string, but got array type"
    flow.wire.replace(
        responses.PUT,
        f"{VARIABLES}/var-2",
        json={"code": "bad_request", "message": mismatch, "status": 400},
        status=400,
    )
    Bot.objects.update(
        conversation_variables={"tier": "contact.custom_attributes.tier", "no": "x.y"}
    )

    pipeline.run(turn.pk)

    turn.refresh_from_db()
    assert turn.status == "answered"
    (note,) = last_run().notes
    assert note.startswith("Conversation variable not set: tier; ")
    assert mismatch in note
    # Not told yet: the next run tries again.
    assert DifyConversation.objects.get().told_inputs == {"variables": {}}


def test_a_variable_that_the_flow_lacks_is_noted(turn: Turn, flow: Platforms) -> None:
    Bot.objects.update(conversation_variables={"shoe": "conversation.status"})

    pipeline.run(turn.pk)

    assert last_run().notes == [
        "Conversation variable not set: shoe; the app has no such variable."
    ]


@pytest.mark.parametrize(
    ("status", "body"), [(404, "<html>Not Found</html>"), (500, "{}")]
)
def test_a_server_without_variables_costs_nobody_the_answer(
    turn: Turn, flow: Platforms, status: int, body: str
) -> None:
    flow.wire.remove(responses.GET, VARIABLES)
    flow.wire.get(VARIABLES, body=body, status=status)

    pipeline.run(turn.pk)

    turn.refresh_from_db()
    assert turn.status == "answered"
    (note,) = last_run().notes
    assert note.startswith("Conversation variable not set: ")


def test_a_conversation_that_dify_forgot_is_begun_anew_at_once(
    turn: Turn, flow: Platforms
) -> None:
    flow.wire.remove(responses.GET, VARIABLES)
    gone = {"code": "not_found", "message": "Conversation Not Exists.", "status": 404}
    flow.wire.get(VARIABLES, json=gone, status=404)

    pipeline.run(turn.pk)

    assert [body.get("conversation_id") for body in flow.asked] == [None]
    ended = DifyConversation.objects.exclude(ended_at=None).get()
    assert ended.end_reason == "vanished"


@pytest.mark.parametrize("version", ["0.15.3", "1.7.2"])
def test_older_servers_are_not_tried(
    turn: Turn, bot: Bot, flow: Platforms, version: str
) -> None:
    set_up(bot, app={"server_version": version})

    pipeline.run(turn.pk)

    assert order(flow) == [f"POST {CHAT_URL}"]
    assert last_run().notes == [
        "The bot's conversation variables were not set: they need Dify 1.8, and this "
        f"is {version}."
    ]


def test_a_chatbot_has_no_variables(turn: Turn, bot: Bot, flow: Platforms) -> None:
    set_up(bot, app={"mode": "chat"})

    pipeline.run(turn.pk)

    assert order(flow) == [f"POST {CHAT_URL}"]
    assert last_run().notes == []


# --- Inputs, and what a message replies to --------------------------------------------


def test_each_turn_carries_all_that_the_app_requires(
    turn: Turn, bot: Bot, platforms: Platforms
) -> None:
    form = {"user_input_form": [{"select": {"variable": "plan", "required": True}}]}
    form["user_input_form"][0]["select"]["options"] = ["gold"]
    set_up(bot, app={"parameters": form}, inputs={"plan": "conversation.priority"})
    Conversation.objects.update(priority="gold")
    platforms.dify_answers(*answer_events(HELLO))
    pipeline.run(turn.pk)

    second = next_turn(turn, priority="")
    pipeline.run(second.pk)

    assert [body["inputs"] for body in platforms.asked] == [{"plan": "gold"}]
    second.refresh_from_db()
    assert second.handover_reason == "configuration"
    assert "“plan”" in second.error


@pytest.fixture
def reply(
    turn: Turn, bot: Bot, payload: Callable[[str], JsonObject]
) -> Callable[..., WebhookEvent]:
    """Make the customer's message a reply, to one that is stored."""

    def make(text: str, **earlier: Any) -> WebhookEvent:
        event = WebhookEvent.objects.get()
        event.payload["content_attributes"] = {"in_reply_to": 8001}
        event.save()
        sample = message_payload(
            payload("message_created_outgoing_user"), id=8001, content=text, **earlier
        )
        return make_event(bot.account, sample, status="processed")

    return make


def test_what_a_message_replies_to_stands_in_front_of_it(
    turn: Turn, platforms: Platforms, reply: Callable[..., WebhookEvent]
) -> None:
    reply("Which tent\nis it? " + "x" * 400)
    platforms.dify_answers(*answer_events(HELLO))

    pipeline.run(turn.pk)

    shown = ("Which tent is it? " + "x" * 400)[:300]
    assert asked(platforms) == [f"> {shown}…\n{ASKED}"]


@pytest.mark.parametrize(
    "earlier",
    [{"private": True}, {"content_attributes": {"deleted": True}}],
)
def test_notes_and_deleted_messages_are_not_quoted(
    turn: Turn,
    platforms: Platforms,
    reply: Callable[..., WebhookEvent],
    earlier: dict[str, Any],
) -> None:
    reply("Which tent is it?", **earlier)
    platforms.dify_answers(*answer_events(HELLO))

    pipeline.run(turn.pk)

    assert asked(platforms) == [ASKED]


def test_an_answer_is_kept_when_what_it_quotes_was_erased_meanwhile(
    turn: Turn, platforms: Platforms, reply: Callable[..., WebhookEvent]
) -> None:
    quoted = reply("Which tent is it?")
    platforms.dify_answers(*answer_events(HELLO))
    platforms.chatwoot_takes_messages(status=429, json={})
    pipeline.run(turn.pk)
    WebhookEvent.objects.filter(pk=quoted.pk).update(payload={})
    platforms.chatwoot_takes_messages()
    platforms.chatwoot_has_history()

    assert run_until_done(turn) == ("answered", "answered")
    assert asked(platforms) == [f"> Which tent is it?\n{ASKED}"]


@pytest.mark.parametrize(
    ("said", "asked_as"),
    [
        ("2", "> No (It is not damaged)\n2"),
        ("(1)", "> Yes\n(1)"),
        ("7", "7"),
        ("2 tents", "2 tents"),
    ],
)
def test_a_number_stands_behind_the_choice_that_it_names(
    turn: Turn, platforms: Platforms, said: str, asked_as: str
) -> None:
    """Where a channel shows no buttons, the bot's choices were a numbered list."""
    former = Turn.objects.create(
        conversation=turn.conversation,
        bot=turn.bot,
        status="answered",
        last_message_id=1,
    )
    items = [
        {"title": "Yes", "value": "Yes"},
        {"title": "No", "value": "It is not damaged"},
    ]
    OutgoingMessage.objects.create(
        turn=former,
        part=OutgoingMessage.Part.ANSWER,
        content="Is it damaged?",
        rich={"content_type": "input_select", "items": items},
        posted_at=timezone.now(),
    )
    event = WebhookEvent.objects.get()
    event.payload["content"] = said
    event.save()
    platforms.dify_answers(*answer_events(HELLO))

    pipeline.run(turn.pk)

    assert asked(platforms) == [asked_as]
