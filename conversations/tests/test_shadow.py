"""A trial run: whatever happens, customers and conversations are left alone."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from bridge_project.lib.types import JsonObject
from conversations import idle, pipeline, processing
from conversations.models import Bot, Conversation, Draft, ReplyAs, Turn
from conversations.tests import flows
from conversations.tests.conftest import Platforms, answer_events
from conversations.tests.factories import make_event, make_turn, message_payload
from conversations.tests.flows import Flow
from conversations.tests.test_pipeline import ended, run_until_done

pytestmark = pytest.mark.django_db

MARK = "🤖 Draft by the bot – not sent to the customer\n\n"
HELLO = "The seam is covered by the warranty."
LEFT_ALONE = "Draft only: nothing was changed, since the agents decide here."


@pytest.fixture
def bot(bot: Bot) -> Bot:
    Bot.objects.update(shadow=True, language="en")
    bot.refresh_from_db()
    return bot


def writes(platforms: Platforms) -> list[tuple[str, str]]:
    """What was asked of Chatwoot that changes or says something."""
    return [
        (str(call.request.method), str(call.request.url).rsplit("/", 1)[-1])
        for call in platforms.wire.calls
        if call.request.method != "GET" and "/api/v1/" in str(call.request.url)
    ]


def test_a_pending_conversation_gets_a_note_and_is_opened(
    turn: Turn, platforms: Platforms
) -> None:
    platforms.dify_answers(*answer_events(HELLO))

    pipeline.run(turn.pk)

    assert ended(turn) == ("answered", "suggested")
    [note] = platforms.posted
    assert (note["content"], note["private"]) == (f"{MARK}{HELLO}", True)
    assert writes(platforms) == [("POST", "messages"), ("POST", "toggle_status")]
    draft = Draft.objects.get()
    assert (draft.text, draft.conversation_id) == (HELLO, turn.conversation_id)


def test_an_open_conversation_with_an_assignee_gets_a_note(
    bot: Bot,
    conversation: Conversation,
    payload: Callable[[str], JsonObject],
    platforms: Platforms,
) -> None:
    Bot.objects.update(yields_to_assignee=True)
    sample = payload("message_created_incoming_while_open_with_human")
    row = make_event(bot.account, message_payload(sample))
    turn = processing.process(row.pk, now=timezone.now())
    assert turn is not None
    assert turn.kind == Turn.Kind.ANSWER
    last: JsonObject = {"id": turn.last_message_id, "message_type": 0}
    platforms.chatwoot_shows(status="open", last=last)
    platforms.dify_answers(*answer_events(HELLO))

    pipeline.run(turn.pk)

    assert ended(turn) == ("answered", "suggested")
    assert writes(platforms) == [("POST", "messages")]


def test_a_failure_opens_the_conversation_without_a_word_to_the_customer(
    turn: Turn, platforms: Platforms
) -> None:
    platforms.dify_answers(
        status=400, json={"code": "app_unavailable", "message": "App unavailable"}
    )

    assert run_until_done(turn) == ("handed_over", "dify_failed")

    assert [note["private"] for note in platforms.posted] == [True]
    assert writes(platforms) == [("POST", "messages"), ("POST", "toggle_status")]
    assert Draft.objects.count() == 0


@pytest.fixture(params=["shadow", "draft", "help", "human chosen"])
def flow(
    request: pytest.FixtureRequest,
    bot: Bot,
    conversation: Conversation,
    platforms: Platforms,
) -> Flow:
    """A flow that runs where the bot only suggests."""
    if request.param != "shadow":
        Bot.objects.update(shadow=False)
    if request.param == "human chosen":
        Bot.objects.update(reply_as=ReplyAs.BY_SUPPORT_MODE)
    made = flows.make_running_turn(conversation, bot)
    if request.param in ("draft", "help"):
        Turn.objects.filter(pk=made.pk).update(kind=request.param)
    return flows.with_bot_token(bot)


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "toggle-status/133", {"status": "resolved"}),
        ("POST", "toggle-priority/133", {"priority": "urgent"}),
        ("POST", "assign-team/133", {"team": "sales"}),
        ("POST", "update-labels/133", {"labels": ["vip"]}),
        ("POST", "update-custom-attributes/133", {"custom_attributes": {"a": "b"}}),
        ("PATCH", "conversations/133", {"status": "resolved", "labels_add": "vip"}),
        ("POST", "conversations/133/typing", {"typing": True}),
    ],
)
def test_what_a_flow_wants_changed_is_left_alone(
    flow: Flow, platforms: Platforms, method: str, path: str, body: JsonObject
) -> None:
    flow.call(method, path, body)

    assert (flow.status, flow.answer["status"]) == (200, "success")
    assert flow.answer["skipped"] is True
    assert flow.answer["message"] == LEFT_ALONE
    assert flow.answer.get("team") is None
    assert writes(platforms) == []
    assert Turn.objects.get().by_flow == {}


def test_what_a_flow_says_to_the_customer_becomes_a_marked_note(
    flow: Flow, platforms: Platforms
) -> None:
    flow.post(
        "send-chatwoot-message?conversation_id=133",
        {"message": HELLO, "even_if_open": True},
    )

    assert flow.answer["status"] == "success"
    [note] = platforms.posted
    assert note["private"] is True
    assert str(note["content"]).startswith("🤖 ")
    assert str(note["content"]).endswith(HELLO)
    assert Turn.objects.get().by_flow == {}


def test_a_note_of_a_flow_is_written_and_the_rest_left_alone(
    flow: Flow, platforms: Platforms
) -> None:
    flow.patch("conversations/133", {"status": "open", "note": "Wants a refund."})

    assert flow.answer["status"] == "success"
    assert LEFT_ALONE in flow.answer["message"]
    assert [note["content"] for note in platforms.posted] == ["Wants a refund."]
    assert writes(platforms) == [("POST", "messages")]


def test_a_flow_starts_no_conversation_on_a_trial_run(
    bot: Bot, conversation: Conversation, platforms: Platforms
) -> None:
    flow = flows.with_bot_token(bot)

    flow.post("conversations", {"contact_id": 640, "message": "Hi"})

    assert (flow.answer["status"], flow.answer["message"]) == ("success", LEFT_ALONE)
    assert len(platforms.wire.calls) == 0


def test_the_flow_of_a_customers_turn_may_still_do_all(
    bot: Bot, conversation: Conversation, platforms: Platforms
) -> None:
    Bot.objects.update(shadow=False)
    flows.make_running_turn(conversation, bot)

    flow = flows.with_bot_token(bot)
    flow.post("toggle-status/133", {"status": "resolved"})

    assert writes(platforms) == [("POST", "toggle_status")]


def test_a_late_call_of_a_draft_changes_nothing_either(
    bot: Bot, conversation: Conversation, platforms: Platforms
) -> None:
    Bot.objects.update(shadow=False)
    over = make_turn(conversation, bot, kind="draft", status="answered")
    flow = flows.with_turn_token(over, bot=bot)

    flow.post("toggle-status/current", {"status": "resolved"})

    assert flow.answer["message"] == LEFT_ALONE
    assert writes(platforms) == []


def test_idle_conversations_stay_as_they_are(
    bot: Bot, conversation: Conversation, platforms: Platforms
) -> None:
    Bot.objects.update(idle_hours=1)
    Conversation.objects.update(
        last_customer_message_at=timezone.now() - timedelta(hours=3)
    )

    counts = idle.end_idle(now=timezone.now())

    assert counts == {"ended": 0, "left": 0, "failed": 0}
    assert len(platforms.wire.calls) == 0


def test_a_word_that_begins_anew_is_for_the_humans(
    bot: Bot,
    conversation: Conversation,
    platforms: Platforms,
    payload: Callable[[str], JsonObject],
) -> None:
    sample: Any = payload("message_created_incoming_text")
    event = message_payload(
        sample, id=9990, content="/reset", conversation={"status": "pending"}
    )
    row = make_event(bot.account, event)
    made = processing.process(row.pk, now=timezone.now())

    assert made is not None
    pipeline.run(made.pk)

    assert ended(made) == ("handed_over", "reset")
    assert writes(platforms) == [("POST", "toggle_status")]
    conversation.refresh_from_db()
    assert conversation.waiting_since is not None
