"""Greetings: said once, before the answer, and not where a human is."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import requests
import responses
from django.utils import timezone

from bridge_project.lib.types import JsonObject, JsonValue
from chatwoot_api.models import ChatwootAccount
from chatwoot_api.payloads import parse_event
from chatwoot_api.webhooks import without_secrets
from conversations import greetings, opening_statement, pipeline, processing
from conversations.models import (
    Bot,
    Conversation,
    Greeting,
    OutgoingMessage,
    Turn,
    UpstreamCall,
    WebhookEvent,
)
from conversations.tests.conftest import Platforms, answer_events
from conversations.tests.factories import (
    CHATWOOT,
    DIFY,
    app_of,
    make_app,
    make_bot,
    make_event,
    message_payload,
)

pytestmark = pytest.mark.django_db

STATEMENT = "Hello {{contact_name}}{{ unknown }}! How can we help?"
HELLO = "Hello misty-harbor-412! How can we help?"
SOURCE_ID = "5f0c2c1e-8a34-4b0d-9f62-0c8a1e7d4b11"
CONTACT_URL = f"{CHATWOOT}/api/v1/accounts/2/contacts/640"
CONVERSATIONS_URL = f"{CHATWOOT}/api/v1/accounts/2/conversations"


def greeting_bot(**values: Any) -> Bot:
    app = make_app(
        parameters={
            "user_input_form": [],
            "opening_statement": STATEMENT,
            "suggested_questions": ["Where is my order?", ""],
        }
    )
    return make_bot(**{"dify_app": app, "greets": "conversation", **values})


@pytest.fixture
def created(payload: Callable[[str], JsonObject]) -> JsonObject:
    """An account webhook's news of a conversation that begins now."""
    body = payload("conversation_created")
    return {**body, "status": "pending", "created_at": now_s(), "messages": []}


@pytest.fixture
def incoming(payload: Callable[[str], JsonObject]) -> JsonObject:
    body = payload("message_created_incoming_text")
    return message_payload(body, conversation={"created_at": now_s()})


@pytest.fixture
def platforms(platforms: Platforms) -> Platforms:
    """Nothing was said yet; a greeting looks for that, too."""
    platforms.chatwoot_has_history()
    return platforms


def now_s() -> int:
    return int(timezone.now().timestamp())


def process(bot: Bot, body: JsonObject, **values: Any) -> Turn | None:
    event = make_event(bot.account, body, **values)
    return processing.process(event.pk, now=timezone.now())


def run(turn: Turn | None) -> tuple[str, str]:
    assert turn is not None
    pipeline.run(turn.pk)
    turn.refresh_from_db()
    return turn.status, turn.reason


def said(platforms: Platforms) -> list[Any]:
    return [body["content"] for body in platforms.posted]


def test_a_new_conversation_is_greeted(
    platforms: Platforms, created: JsonObject
) -> None:
    bot = greeting_bot()

    turn = process(bot, created)

    assert turn is not None
    assert (turn.kind, turn.last_message_id) == ("greeting", 0)
    assert run(turn) == ("answered", "greeting")
    message = OutgoingMessage.objects.get()
    assert platforms.posted == [
        {
            "content": HELLO,
            "message_type": "outgoing",
            "private": False,
            "content_attributes": {"bridge_message_id": str(message.mark)},
            "source_id": str(message.mark),
        }
    ]
    event = WebhookEvent.objects.get()
    assert (event.action, event.reason, event.turn) == ("answer", "greeting", turn)
    assert platforms.asked == []


def test_the_first_message_is_greeted_before_it_is_answered(
    platforms: Platforms, incoming: JsonObject
) -> None:
    bot = greeting_bot()
    platforms.dify_answers(*answer_events("It is covered."))

    greeting = process(bot, incoming)
    assert greeting is not None
    pipeline.run(greeting.pk)
    (answer,) = Turn.objects.exclude(pk=greeting.pk)

    assert run(answer) == ("answered", "answered")
    assert said(platforms) == [HELLO, "It is covered."]


def test_who_writes_more_after_the_greeting_gets_one_answer(
    platforms: Platforms, incoming: JsonObject
) -> None:
    bot = greeting_bot(debounce_s=5)
    greeting = process(bot, incoming)
    assert greeting is not None

    result = pipeline.run(greeting.pk)

    (answer,) = Turn.objects.exclude(pk=greeting.pk)
    assert result.next_turn_id == answer.pk
    assert 4 < result.delay_s <= 5


@pytest.mark.parametrize("first", ["created", "incoming"])
def test_both_kinds_of_news_greet_once(
    platforms: Platforms, created: JsonObject, incoming: JsonObject, first: str
) -> None:
    bot = greeting_bot()
    bodies = [created, incoming] if first == "created" else [incoming, created]

    turns = [process(bot, body) for body in bodies]

    assert turns[0] is not None
    assert turns[0].kind == "greeting"
    assert run(turns[0]) == ("answered", "greeting")
    assert Turn.objects.filter(kind="greeting").count() == 1
    assert Greeting.objects.count() == 1
    # The message waited for the greeting, and is next.
    (answer,) = Turn.objects.filter(kind="answer")
    assert answer.last_message_id == 9001


def test_the_next_conversation_s_turn_is_not_greeted_again(
    platforms: Platforms, created: JsonObject, incoming: JsonObject
) -> None:
    bot = greeting_bot()
    run(process(bot, created))

    turn = process(bot, incoming)

    assert turn is not None
    assert turn.kind == "answer"
    assert process(bot, created) is None


def test_a_worker_that_dies_before_the_post_leaves_it_to_the_next(
    platforms: Platforms, created: JsonObject
) -> None:
    turn = process(greeting_bot(), created)
    assert turn is not None
    # Claimed, and then nothing more was heard of the worker.
    assert Turn.objects.claim(turn.pk, now=timezone.now())
    Turn.objects.update(lease_expires_at=timezone.now() - timedelta(seconds=1))

    assert run(turn) == ("answered", "greeting")
    assert said(platforms) == [HELLO]


def test_a_greeting_whose_post_is_unknown_is_looked_up(
    platforms: Platforms, created: JsonObject
) -> None:
    turn = process(greeting_bot(), created)
    platforms.chatwoot_takes_messages(body=requests.ReadTimeout())
    assert run(turn) == ("unknown", "")
    message = OutgoingMessage.objects.get()
    platforms.chatwoot_has_history(
        {"id": 9101, "message_type": 1, "source_id": str(message.mark)}
    )
    Turn.objects.update(next_attempt_at=timezone.now())

    assert run(turn) == ("answered", "greeting")
    assert platforms.calls("POST", "/messages") == 1


@pytest.mark.parametrize(
    ("bot_values", "conversation"),
    [
        ({"greets": "never"}, {}),
        ({"greets": "widget"}, {}),
        ({"enabled": False}, {}),
        ({"shadow": True}, {}),
        ({"reply_as": "private_note"}, {}),
        ({"reply_as": "by_support_mode"}, {}),
        ({"test_only": True}, {}),
        ({"speak_in_statuses": []}, {}),
        ({}, {"status": "open"}),
        ({}, {"labels": ["bot-paused"]}),
        ({}, {"created_at": 1}),
    ],
)
def test_nobody_is_greeted_where_the_bot_would_not_answer(
    created: JsonObject, bot_values: dict[str, Any], conversation: JsonObject
) -> None:
    assert process(greeting_bot(**bot_values), {**created, **conversation}) is None
    assert Greeting.objects.count() == 0


def test_who_chose_the_bot_is_greeted(
    platforms: Platforms, created: JsonObject
) -> None:
    bot = greeting_bot(reply_as="by_support_mode")
    attributes: JsonObject = {"support_mode": "AI агент"}

    turn = process(bot, {**created, "custom_attributes": attributes})

    assert turn is not None
    assert turn.kind == "greeting"


def test_a_blocked_contact_is_not_greeted(created: JsonObject) -> None:
    meta = created["meta"]
    assert isinstance(meta, dict)
    assert isinstance(meta["sender"], dict)
    meta["sender"]["blocked"] = True

    assert process(greeting_bot(), created) is None


@pytest.mark.parametrize(
    ("shown", "reason"),
    [
        ({"status": "open"}, "status_not_allowed"),
        (
            {"last": {"id": 9100, "message_type": 1, "sender": {"type": "user"}}},
            "human_has_taken_over",
        ),
        # A campaign or a flow has begun the conversation.
        (
            {"last": {"id": 9100, "message_type": 1, "sender": {"type": "agent_bot"}}},
            "own_message",
        ),
    ],
)
def test_it_is_not_said_when_somebody_was_quicker(
    platforms: Platforms, created: JsonObject, shown: dict[str, Any], reason: str
) -> None:
    turn = process(greeting_bot(), created)
    platforms.chatwoot_shows(**shown)

    assert run(turn) == ("skipped", reason)
    assert platforms.posted == []


def test_an_old_greeting_is_let_go(platforms: Platforms, created: JsonObject) -> None:
    turn = process(greeting_bot(), created)
    Turn.objects.update(created_at=timezone.now() - timedelta(minutes=6))

    assert run(turn) == ("skipped", "too_old")


def test_an_app_without_a_statement_says_nothing(
    platforms: Platforms, created: JsonObject
) -> None:
    bot = greeting_bot(dify_app=make_app())
    turn = process(bot, created)

    assert run(turn) == ("skipped", "nothing_to_say")


def test_chatwoot_s_refusal_ends_it_quietly(
    platforms: Platforms, created: JsonObject
) -> None:
    turn = process(greeting_bot(), created)
    platforms.chatwoot_takes_messages(status=422, json={"error": "no"})

    run(turn)
    Turn.objects.update(next_attempt_at=timezone.now())
    assert run(turn)[0] == "skipped"
    assert platforms.calls("POST", "/toggle_status") == 0


def test_the_opening_s_questions_are_offered(
    platforms: Platforms, created: JsonObject
) -> None:
    run(process(greeting_bot(suggested_questions=True), created))

    (posted,) = platforms.posted
    assert posted["content_type"] == "input_select"
    attributes = posted["content_attributes"]
    assert isinstance(attributes, dict)
    question = "Where is my order?"
    assert attributes["items"] == [{"title": question, "value": question}]


def test_while_dify_is_away_its_last_statement_has_to_do(
    platforms: Platforms, created: JsonObject
) -> None:
    bot = greeting_bot()
    long_ago = timezone.now() - timedelta(days=1)
    app = app_of(bot)
    app.parameters_read_at = long_ago
    app.save()
    platforms.wire.get(f"{DIFY}/v1/info", status=503)
    turn = process(bot, created)

    assert run(turn) == ("answered", "greeting")
    assert said(platforms) == [HELLO]


def test_placeholders() -> None:
    values: JsonObject = {"name": "Anna", "number": 7, "no": None, "more": {"a": 1}}

    text = "{{name}}, {{ number }}{{no}}{{more}}{{else}} {name} {{two words}}"
    assert opening_statement.filled(text, values) == "Anna, 7 {name} {{two words}}"


# --- The widget -------------------------------------------------------------------


@pytest.fixture
def opened(payload: Callable[[str], JsonObject]) -> JsonObject:
    return without_secrets(payload("webwidget_triggered"))


@pytest.fixture
def widget_bot() -> Bot:
    return greeting_bot(greets="widget")


def contact_in(*inboxes: int) -> JsonObject:
    """The contact as Chatwoot shows it to an administrator."""
    rows: list[JsonValue] = [
        {"source_id": SOURCE_ID, "inbox": {"id": number}} for number in inboxes
    ]
    return {"id": 640, "contact_inboxes": rows}


def starts(wire: responses.RequestsMock, **answer: Any) -> None:
    body = {
        "id": 133,
        "inbox_id": 11,
        "status": "pending",
        "meta": {
            "sender": {"id": 640, "name": "misty-harbor-412"},
            "channel": "Channel::WebWidget",
        },
    }
    wire.upsert(responses.GET, CONTACT_URL, json={"payload": contact_in(11)})
    wire.post(CONVERSATIONS_URL, **(answer or {"json": body}))


def open_widget(bot: Bot, body: JsonObject) -> Turn | None:
    values = {"chatwoot_conversation_id": None}
    return process(bot, body, **values)


def test_the_visitor_gets_a_conversation_that_begins_with_the_greeting(
    platforms: Platforms, opened: JsonObject, widget_bot: Bot
) -> None:
    starts(platforms.wire)

    turn = open_widget(widget_bot, opened)

    read, call = platforms.wire.calls
    assert read.request.headers["api-access-token"] == "the-admin-token"
    assert call.request.headers["api-access-token"] == "the-bot-token"
    assert json.loads(call.request.body or "") == {
        "inbox_id": 11,
        "contact_id": 640,
        "source_id": SOURCE_ID,
        "status": "pending",
    }
    assert run(turn) == ("answered", "greeting")
    assert said(platforms) == [HELLO]
    greeting = Greeting.objects.get()
    assert greeting.contact_inbox_id == 702
    assert greeting.conversation == Conversation.objects.get()
    event = WebhookEvent.objects.get()
    assert (event.action, event.reason, event.turn) == ("answer", "greeting", turn)
    calls = UpstreamCall.objects.filter(turn=turn, method="POST")
    assert "/api/v1/accounts/2/conversations" in calls.values_list("path", flat=True)
    # It opens the visitor's conversations.
    kept = [*UpstreamCall.objects.values(), *WebhookEvent.objects.values()]
    assert SOURCE_ID not in str(kept)


def test_the_widget_greets_a_visitor_once(
    platforms: Platforms, opened: JsonObject, widget_bot: Bot
) -> None:
    starts(platforms.wire)
    run(open_widget(widget_bot, opened))

    assert open_widget(widget_bot, opened) is None
    Greeting.objects.update(created_at=timezone.now() - timedelta(hours=1))
    assert open_widget(widget_bot, opened) is None
    assert platforms.calls("POST", "/conversations") == 1


def test_an_empty_conversation_is_greeted_in(
    platforms: Platforms, payload: Callable[[str], JsonObject], widget_bot: Bot
) -> None:
    body = without_secrets(payload("webwidget_triggered_existing_conversation"))
    assert open_widget(widget_bot, body) is None
    assert Greeting.objects.count() == 0
    current = body["current_conversation"]
    assert isinstance(current, dict)

    turn = open_widget(
        widget_bot, {**body, "current_conversation": {**current, "messages": []}}
    )

    assert run(turn) == ("answered", "greeting")
    assert platforms.calls("POST", "/conversations") == 0
    assert said(platforms) == [HELLO]


def test_a_start_of_unknown_outcome_is_not_repeated(
    platforms: Platforms, opened: JsonObject, widget_bot: Bot
) -> None:
    starts(platforms.wire, body=requests.ReadTimeout())
    assert open_widget(widget_bot, opened) is None
    assert open_widget(widget_bot, opened) is None
    assert platforms.calls("POST", "/conversations") == 1
    event = WebhookEvent.objects.earliest("pk")
    assert (event.action, event.reason) == ("ignore", "widget_opened")
    assert event.error

    # Chatwoot says with the next opening that the visitor still has none.
    Greeting.objects.update(created_at=timezone.now() - timedelta(minutes=2))
    platforms.wire.remove(responses.POST, CONVERSATIONS_URL)
    starts(platforms.wire)
    assert run(open_widget(widget_bot, opened)) == ("answered", "greeting")


@pytest.mark.parametrize("inboxes", [(), (12,), (11, 11)])
def test_a_visitor_who_may_be_somebody_else_is_not_greeted(
    wire: responses.RequestsMock,
    opened: JsonObject,
    widget_bot: Bot,
    inboxes: tuple[int, ...],
) -> None:
    wire.get(CONTACT_URL, json={"payload": contact_in(*inboxes)})

    assert open_widget(widget_bot, opened) is None
    event = WebhookEvent.objects.get()
    assert event.reason == "widget_opened"
    assert event.error.startswith("The visitor is known by none or several numbers")


def test_without_an_administrator_s_token_the_event_says_why(
    wire: responses.RequestsMock, opened: JsonObject, widget_bot: Bot
) -> None:
    ChatwootAccount.objects.update(admin_token="")

    assert open_widget(widget_bot, opened) is None
    assert len(wire.calls) == 0
    assert "administrator" in WebhookEvent.objects.get().error


def test_a_start_that_was_refused_may_be_tried_again(
    platforms: Platforms, opened: JsonObject, widget_bot: Bot
) -> None:
    starts(platforms.wire, status=422, json={"error": "no"})

    assert open_widget(widget_bot, opened) is None
    assert Greeting.objects.count() == 0


def test_who_wrote_first_is_answered_not_greeted(
    platforms: Platforms, opened: JsonObject, incoming: JsonObject, widget_bot: Bot
) -> None:
    def write(_request: object) -> tuple[int, dict[str, str], str]:
        process(widget_bot, incoming)
        return 200, {}, json.dumps({"id": 133, "inbox_id": 11, "status": "pending"})

    platforms.wire.get(CONTACT_URL, json={"payload": contact_in(11)})
    platforms.wire.add_callback(responses.POST, CONVERSATIONS_URL, callback=write)

    assert open_widget(widget_bot, opened) is None
    assert Turn.objects.get().kind == "answer"


@pytest.mark.parametrize(
    "values",
    [
        {"greets": "conversation"},
        {"enabled": False},
        {"shadow": True},
        {"reply_as": "by_support_mode"},
        {"ignore_rules": "contact:640"},
        {"dify_app": None},
    ],
)
def test_the_widget_stays_empty_where_the_bot_would_not_answer(
    wire: responses.RequestsMock, opened: JsonObject, values: dict[str, Any]
) -> None:
    bot = greeting_bot(**{"greets": "widget", **values})

    assert open_widget(bot, opened) is None
    assert len(wire.calls) == 0
    assert WebhookEvent.objects.get().reason == "widget_opened"


def test_without_a_statement_no_conversation_is_started(
    wire: responses.RequestsMock, opened: JsonObject
) -> None:
    bot = greeting_bot(greets="widget", dify_app=make_app())

    assert open_widget(bot, opened) is None
    assert len(wire.calls) == 0
    assert Greeting.objects.count() == 0


def test_no_bot_that_greets_costs_one_question(
    opened: JsonObject, django_assert_num_queries: Any
) -> None:
    bot = make_bot()
    event = make_event(bot.account, opened, chatwoot_conversation_id=None)
    with django_assert_num_queries(1):
        assert not greetings.take_opening(
            event, parse_event(opened), now=timezone.now()
        )
