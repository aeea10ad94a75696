"""A turn from its claim to its end, with both platforms on the wire."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import requests
from django.utils import timezone

from bridge_project.lib.types import JsonObject
from conversations import pipeline
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
from conversations.tests.conftest import Platforms, answer_events
from conversations.tests.factories import app_of, make_event, message_payload
from dify_api.models import DifyApp
from dify_api.tests.scripted import PING, Exchange, ScriptedServer, chunk
from dify_api.tests.scripted import answer as scripted_answer

pytestmark = pytest.mark.django_db

HELLO = "The seam is covered by the warranty."


def ended(turn: Turn) -> tuple[str, str]:
    turn.refresh_from_db()
    return turn.status, turn.reason


def run_until_done(turn: Turn, *, most: int = 12) -> tuple[str, str]:
    """Run as the worker does, without waiting for the pauses in between."""
    for _ in range(most):
        Turn.objects.filter(pk=turn.pk).update(next_attempt_at=timezone.now())
        long_ago = timezone.now() - timedelta(minutes=1)
        sent = OutgoingMessage.objects.filter(attempted_at__isnull=False)
        sent.update(attempted_at=long_ago)
        pipeline.run(turn.pk)
        turn.refresh_from_db()
        if turn.finished_at:
            break
    return ended(turn)


def test_posts_difys_answer(turn: Turn, platforms: Platforms) -> None:
    platforms.dify_answers(*answer_events(HELLO))

    pipeline.run(turn.pk)

    assert ended(turn) == ("answered", "answered")
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
    assert message.chatwoot_message_id == 9101
    assert message.posted_at is not None


def test_asks_dify_as_one_opaque_user(
    turn: Turn, bot: Bot, conversation: Conversation, platforms: Platforms
) -> None:
    platforms.dify_answers(*answer_events(HELLO))

    pipeline.run(turn.pk)

    assert platforms.asked == [
        {
            "query": "Hi, the tent I ordered arrived with a torn seam.",
            "inputs": {},
            "user": bot.dify_user(conversation),
            "response_mode": "streaming",
            "auto_generate_name": False,
        }
    ]
    assert "640" not in bot.dify_user(conversation)


def test_uses_each_token_where_it_works(turn: Turn, platforms: Platforms) -> None:
    platforms.dify_answers(*answer_events(HELLO))

    pipeline.run(turn.pk)

    used = [
        (
            call.request.method,
            str(call.request.url).rsplit("/", 1)[-1],
            call.request.headers.get("api-access-token")
            or call.request.headers.get("Authorization"),
        )
        for call in platforms.wire.calls
    ]
    assert used == [
        ("GET", "133", "the-admin-token"),
        ("POST", "toggle_typing_status", "the-bot-token"),
        ("POST", "chat-messages", "Bearer app-the-dify-key-000"),
        ("POST", "toggle_typing_status", "the-bot-token"),
        ("GET", "133", "the-admin-token"),
        ("POST", "messages", "the-bot-token"),
    ]


def test_keeps_what_was_said_and_what_it_cost(turn: Turn, platforms: Platforms) -> None:
    platforms.dify_answers(*answer_events(f"<think>hm</think>{HELLO}"))

    pipeline.run(turn.pk)

    run = PipelineRun.objects.get()
    assert (run.status, run.answer, run.thinking) == ("succeeded", HELLO, "hm")
    assert (run.total_tokens, str(run.total_price), run.currency) == (
        42,
        "0.0012000",
        "USD",
    )
    assert (run.dify_task_id, run.dify_message_id) == ("task-1", "dify-message-1")
    calls = UpstreamCall.objects.order_by("pk").values_list("service", "http_status")
    assert list(calls) == [
        ("chatwoot", 200),
        ("chatwoot", 200),
        ("dify", 200),
        ("chatwoot", 200),
        ("chatwoot", 200),
        ("chatwoot", 200),
    ]


def test_goes_on_in_the_same_dify_conversation(
    turn: Turn, conversation: Conversation, platforms: Platforms
) -> None:
    platforms.dify_answers(*answer_events(HELLO))
    pipeline.run(turn.pk)
    second = Turn.objects.create(
        conversation=conversation, bot=turn.bot, last_message_id=9005
    )
    WebhookEvent.objects.update(turn=second)

    pipeline.run(second.pk)

    assert [asked.get("conversation_id") for asked in platforms.asked] == [
        None,
        "dify-conversation-1",
    ]
    assert DifyConversation.objects.get().ended_at is None


def test_a_second_worker_finds_nothing_to_do(turn: Turn, platforms: Platforms) -> None:
    Turn.objects.claim(turn.pk, now=timezone.now())

    result = pipeline.run(turn.pk)

    assert result.summary == "not due, or already running"
    assert len(platforms.wire.calls) == 0


def test_takes_over_from_a_dead_worker(turn: Turn, platforms: Platforms) -> None:
    long_ago = timezone.now() - timedelta(minutes=5)
    Turn.objects.filter(pk=turn.pk).update(next_attempt_at=long_ago)
    Turn.objects.claim(turn.pk, now=long_ago)
    platforms.dify_answers(*answer_events(HELLO))

    pipeline.run(turn.pk)

    assert ended(turn) == ("answered", "answered")
    assert turn.attempts == 2


def test_stops_when_another_worker_took_the_turn(
    turn: Turn, platforms: Platforms
) -> None:
    def steal(request: Any) -> tuple[int, dict[str, str], str]:
        Turn.objects.filter(pk=turn.pk).update(lease="0" * 32)
        stream = "".join(f"data: {json.dumps(e)}\n\n" for e in answer_events(HELLO))
        return 200, {"Content-Type": "text/event-stream"}, stream

    platforms.wire.add_callback(
        "POST", "https://dify.test/v1/chat-messages", callback=steal
    )

    pipeline.run(turn.pk)

    assert platforms.posted == []
    assert ended(turn) == ("running", "")


# --- A human wins ------------------------------------------------------------------


@pytest.mark.parametrize("status", ["open", "resolved", "snoozed"])
def test_does_not_ask_when_the_status_changed(
    turn: Turn, platforms: Platforms, status: str
) -> None:
    platforms.chatwoot_shows(status=status)

    pipeline.run(turn.pk)

    assert ended(turn) == ("skipped", "status_not_allowed")
    assert platforms.calls("POST", "/chat-messages") == 0
    assert platforms.posted == []


def test_does_not_ask_when_a_human_has_answered(
    turn: Turn, conversation: Conversation, platforms: Platforms
) -> None:
    conversation.last_human_message_id = 9002
    conversation.save()

    pipeline.run(turn.pk)

    assert ended(turn) == ("skipped", "human_has_taken_over")
    assert platforms.calls("POST", "/chat-messages") == 0


def test_does_not_post_when_a_human_answered_meanwhile(
    turn: Turn, platforms: Platforms
) -> None:
    human: JsonObject = {
        "id": 9002,
        "message_type": 1,
        "content": "I am on it",
        "sender": {"id": 21, "type": "user"},
    }

    def answer(request: Any) -> tuple[int, dict[str, str], str]:
        platforms.chatwoot_shows(last=human)
        stream = "".join(f"data: {json.dumps(e)}\n\n" for e in answer_events(HELLO))
        return 200, {"Content-Type": "text/event-stream"}, stream

    platforms.wire.add_callback(
        "POST", "https://dify.test/v1/chat-messages", callback=answer
    )

    pipeline.run(turn.pk)

    assert ended(turn) == ("skipped", "human_has_taken_over")
    assert platforms.posted == []
    assert PipelineRun.objects.get().answer == HELLO


def test_ends_when_the_conversation_was_deleted(
    turn: Turn, platforms: Platforms
) -> None:
    platforms.chatwoot_answers_reads(
        status=404, json={"error": "Resource could not be found"}
    )

    pipeline.run(turn.pk)

    assert ended(turn) == ("skipped", "conversation_gone")


def test_believes_the_mirror_where_a_bot_may_not_read(
    turn: Turn, bot: Bot, platforms: Platforms
) -> None:
    # A bot's read answers 500 once the conversation has a team.
    bot.account.admin_token = ""
    bot.account.save()
    platforms.chatwoot_answers_reads(
        status=500, json={"status": 500, "error": "Internal Server Error"}
    )
    platforms.dify_answers(*answer_events(HELLO))

    pipeline.run(turn.pk)

    assert ended(turn) == ("answered", "answered")


# --- Trouble with Dify --------------------------------------------------------------


def dify_error(status: int, code: str, message: str) -> dict[str, Any]:
    return {
        "status": status,
        "json": {"code": code, "message": message, "status": status},
    }


BUSY = dify_error(
    400,
    "invalid_param",
    "Too many requests. Please try again later. The current "
    "maximum concurrent requests allowed for 1 is 1.",
)
GONE = dify_error(404, "not_found", "Conversation Not Exists. You have requested …")


def test_tries_again_when_dify_is_busy(turn: Turn, platforms: Platforms) -> None:
    platforms.dify_answers(**BUSY)
    platforms.dify_answers(*answer_events(HELLO))

    result = pipeline.run(turn.pk)

    assert ended(turn) == ("retrying", "")
    assert result.next_turn_id == turn.pk
    assert 1.6 <= result.delay_s <= 2.4
    assert run_until_done(turn) == ("answered", "answered")
    assert list(
        PipelineRun.objects.order_by("pk").values_list("status", "error_code")
    ) == [
        ("failed", "rate_limited"),
        ("succeeded", ""),
    ]


def test_hands_over_when_dify_never_comes_back(
    turn: Turn, platforms: Platforms
) -> None:
    platforms.dify_answers(status=502, body="<html>Bad Gateway</html>")

    assert run_until_done(turn) == ("handed_over", "dify_failed")

    assert platforms.calls("POST", "/chat-messages") == 6
    assert [(post["private"], post["content"]) for post in platforms.posted] == [
        (False, "Sorry, I cannot answer right now. A colleague will take over."),
        (True, platforms.posted[1]["content"]),
    ]
    note = str(platforms.posted[1]["content"])
    assert note.startswith("The bot could not answer: Dify could not answer.")
    assert "<html>" not in note
    toggled = [
        json.loads(call.request.body or "")
        for call in platforms.wire.calls
        if str(call.request.url).endswith("toggle_status")
    ]
    assert toggled == [{"status": "open"}]


def test_hands_over_at_once_when_the_key_is_refused(
    turn: Turn, platforms: Platforms
) -> None:
    platforms.dify_answers(**dify_error(401, "unauthorized", "Access token is invalid"))

    assert run_until_done(turn, most=2) == ("handed_over", "dify_failed")
    assert platforms.calls("POST", "/chat-messages") == 1


def test_says_nothing_to_the_customer_when_the_text_is_empty(
    turn: Turn, bot: Bot, platforms: Platforms
) -> None:
    Bot.objects.update(failure_public_text="", failure_private_text=" ")
    platforms.dify_answers(**dify_error(401, "unauthorized", "no"))

    assert run_until_done(turn, most=2) == ("handed_over", "dify_failed")
    assert platforms.posted == []


def test_starts_a_new_dify_conversation_when_the_old_one_vanished(
    turn: Turn, bot: Bot, conversation: Conversation, platforms: Platforms
) -> None:
    DifyConversation.objects.create(
        conversation=conversation,
        app=app_of(bot),
        dify_conversation_id="vanished",
        dify_user="the-user",
    )
    platforms.dify_answers(**GONE)
    platforms.dify_answers(*answer_events(HELLO))

    pipeline.run(turn.pk)

    assert ended(turn) == ("answered", "answered")
    assert [post["content"] for post in platforms.posted] == [HELLO]
    run = PipelineRun.objects.get()
    assert run.notes == [
        "Dify no longer knew conversation vanished; a new one was started."
    ]
    known = DifyConversation.objects.order_by("pk")
    assert [(row.dify_conversation_id, row.end_reason) for row in known] == [
        ("vanished", "vanished"),
        ("dify-conversation-1", ""),
    ]


def test_looks_before_it_asks_a_chatflow_after_a_while(
    turn: Turn, bot: Bot, conversation: Conversation, platforms: Platforms
) -> None:
    DifyApp.objects.update(mode="advanced-chat")
    DifyConversation.objects.create(
        conversation=conversation,
        app=app_of(bot),
        dify_conversation_id="vanished",
        dify_user="the-user",
        last_used_at=timezone.now() - timedelta(hours=1),
    )
    platforms.wire.get("https://dify.test/v1/messages", **GONE)
    platforms.dify_answers(*answer_events(HELLO))

    pipeline.run(turn.pk)

    assert ended(turn) == ("answered", "answered")
    assert [asked.get("conversation_id") for asked in platforms.asked] == [None]


def test_reads_the_form_again_when_dify_refuses_the_inputs(
    turn: Turn, bot: Bot, platforms: Platforms
) -> None:
    platforms.dify_answers(
        **dify_error(400, "invalid_param", "status is required in input form")
    )
    platforms.dify_answers(*answer_events(HELLO))
    platforms.wire.get(
        "https://dify.test/v1/info", json={"name": "Support", "mode": "chat"}
    )
    form = [{"text-input": {"variable": "status", "label": "s", "required": True}}]
    platforms.wire.get(
        "https://dify.test/v1/parameters", json={"user_input_form": form}
    )

    pipeline.run(turn.pk)

    assert ended(turn) == ("answered", "answered")
    assert [asked["inputs"] for asked in platforms.asked] == [{"status": "pending"}]


def test_hands_over_an_empty_answer(turn: Turn, platforms: Platforms) -> None:
    platforms.dify_answers(*answer_events(" \n"))

    assert run_until_done(turn, most=2) == ("handed_over", "empty_answer")


def test_leaves_a_conversation_alone_that_the_flow_handed_over(
    turn: Turn, platforms: Platforms
) -> None:
    def answer(request: Any) -> tuple[int, dict[str, str], str]:
        platforms.chatwoot_shows(status="open")
        stream = "".join(f"data: {json.dumps(e)}\n\n" for e in answer_events(""))
        return 200, {"Content-Type": "text/event-stream"}, stream

    platforms.wire.add_callback(
        "POST", "https://dify.test/v1/chat-messages", callback=answer
    )

    pipeline.run(turn.pk)

    assert ended(turn) == ("skipped", "status_not_allowed")
    assert platforms.posted == []


# --- Trouble with Chatwoot ------------------------------------------------------------


def test_does_not_ask_twice_when_only_the_post_failed(
    turn: Turn, platforms: Platforms
) -> None:
    platforms.dify_answers(*answer_events(HELLO))
    platforms.chatwoot_takes_messages(status=429, body="Retry later\n")
    platforms.chatwoot_has_history()
    pipeline.run(turn.pk)
    platforms.chatwoot_takes_messages()

    assert run_until_done(turn) == ("answered", "answered")
    assert len(platforms.asked) == 1
    assert [post["content"] for post in platforms.posted] == [HELLO]


def test_finds_an_answer_that_arrived_although_the_connection_broke(
    turn: Turn, platforms: Platforms
) -> None:
    platforms.dify_answers(*answer_events(HELLO))
    platforms.chatwoot_takes_messages(body=requests.ReadTimeout("read timed out"))

    pipeline.run(turn.pk)

    assert ended(turn) == ("unknown", "")
    mark = str(OutgoingMessage.objects.get().mark)
    platforms.chatwoot_has_history(
        {
            "id": 9101,
            "message_type": 1,
            "content_attributes": {"bridge_message_id": mark},
        }
    )
    assert run_until_done(turn, most=1) == ("answered", "answered")
    assert OutgoingMessage.objects.get().chatwoot_message_id == 9101
    assert platforms.calls("POST", "/messages") == 1


def test_finds_an_answer_in_its_own_webhook(
    turn: Turn,
    bot: Bot,
    platforms: Platforms,
    payload: Callable[[str], JsonObject],
) -> None:
    platforms.dify_answers(*answer_events(HELLO))
    platforms.chatwoot_takes_messages(body=requests.ReadTimeout("read timed out"))
    pipeline.run(turn.pk)
    mark = str(OutgoingMessage.objects.get().mark)
    echo = payload("message_created_outgoing_agent_bot")
    make_event(
        bot.account, message_payload(echo, id=9101, source_id=mark), status="processed"
    )

    assert run_until_done(turn, most=1) == ("answered", "answered")
    assert platforms.calls("GET", "/messages") == 0


def test_posts_again_only_what_surely_did_not_arrive(
    turn: Turn, platforms: Platforms
) -> None:
    platforms.dify_answers(*answer_events(HELLO))
    platforms.chatwoot_takes_messages(body=requests.ReadTimeout("read timed out"))
    pipeline.run(turn.pk)
    platforms.chatwoot_takes_messages()
    platforms.chatwoot_has_history({"id": 9050, "message_type": 1, "content": HELLO})

    assert run_until_done(turn, most=1) == ("answered", "answered")
    assert len(platforms.posted) == 1


def test_never_posts_again_on_a_guess(
    turn: Turn, bot: Bot, platforms: Platforms
) -> None:
    bot.account.admin_token = ""
    bot.account.save()
    platforms.dify_answers(*answer_events(HELLO))
    platforms.chatwoot_takes_messages(body=requests.ReadTimeout("read timed out"))
    pipeline.run(turn.pk)
    platforms.chatwoot_takes_messages()

    assert run_until_done(turn, most=3) == ("handed_over", "outcome_unknown")
    assert HELLO not in [post["content"] for post in platforms.posted]


def test_a_handover_survives_a_worker_that_dies_after_the_status(
    turn: Turn, platforms: Platforms
) -> None:
    Turn.objects.update(handover_reason="dify_failed")
    OutgoingMessage.objects.create(
        turn=turn,
        part="failure_note",
        content="…",
        private=True,
        posted_at=timezone.now(),
    )
    platforms.chatwoot_shows(status="open")

    pipeline.run(turn.pk)

    assert ended(turn) == ("handed_over", "dify_failed")
    assert platforms.posted == []


# --- Other forms ----------------------------------------------------------------------


def test_whispers_when_the_bot_answers_as_note(
    turn: Turn, platforms: Platforms
) -> None:
    Bot.objects.update(reply_as="private_note")
    platforms.dify_answers(*answer_events(HELLO))

    pipeline.run(turn.pk)

    assert [(post["private"], post["content"]) for post in platforms.posted] == [
        (True, HELLO)
    ]
    assert platforms.calls("POST", "/toggle_typing_status") == 0


def test_a_failing_copilot_leaves_customer_and_status_alone(
    turn: Turn, platforms: Platforms
) -> None:
    Bot.objects.update(reply_as="private_note")
    platforms.dify_answers(**dify_error(401, "unauthorized", "no"))

    assert run_until_done(turn, most=2) == ("handed_over", "dify_failed")
    assert [post["private"] for post in platforms.posted] == [True]
    assert platforms.calls("POST", "/toggle_status") == 0


def test_sends_no_source_id_where_it_would_keep_the_message_from_the_customer(
    turn: Turn, conversation: Conversation, platforms: Platforms
) -> None:
    conversation.channel = "Channel::Whatsapp"
    conversation.save()
    platforms.dify_answers(*answer_events(HELLO))

    pipeline.run(turn.pk)

    (post,) = platforms.posted
    assert "source_id" not in post
    assert post["content_attributes"] == {
        "bridge_message_id": str(OutgoingMessage.objects.get().mark)
    }


def test_braces_arrive_as_written(turn: Turn, platforms: Platforms) -> None:
    platforms.dify_answers(*answer_events("Hello {{ contact.name }}"))

    pipeline.run(turn.pk)

    assert platforms.posted[0]["content"] == 'Hello {{ "{" }}{ contact.name }}'


def test_a_broken_typing_sign_costs_no_answer(turn: Turn, platforms: Platforms) -> None:
    url = "https://chat.test/api/v1/accounts/2/conversations/133/toggle_typing_status"
    platforms.wire.remove("POST", url)
    platforms.wire.post(url, status=401, json={"error": "not authorized for bots"})
    platforms.dify_answers(*answer_events(HELLO))

    pipeline.run(turn.pk)

    assert ended(turn) == ("answered", "answered")


def test_messages_that_came_meanwhile_get_the_next_turn(
    turn: Turn,
    bot: Bot,
    conversation: Conversation,
    platforms: Platforms,
    payload: Callable[[str], JsonObject],
) -> None:
    make_event(
        bot.account,
        message_payload(payload("message_created_incoming_text"), id=9005),
        conversation=conversation,
        status="processed",
        action="answer",
    )
    platforms.dify_answers(*answer_events(HELLO))

    result = pipeline.run(turn.pk)

    following = Turn.objects.exclude(pk=turn.pk).get()
    assert result.next_turn_id == following.pk
    assert (following.status, following.last_message_id) == ("collecting", 9005)


def test_a_fault_of_ours_is_seen_and_retried(turn: Turn, platforms: Platforms) -> None:
    Bot.objects.update(inputs=["not", "a", "map"])
    assert turn.bot is not None

    result = pipeline.run(turn.pk)

    assert isinstance(result.fault, AttributeError)
    assert result.next_turn_id == turn.pk
    assert ended(turn) == ("retrying", "")
    assert PipelineRun.objects.get().error_code == "internal_error"


def test_a_stopped_run_has_no_answer(turn: Turn, platforms: Platforms) -> None:
    ids: JsonObject = {"task_id": "t", "conversation_id": "c", "message_id": "m"}
    stopped: JsonObject = {"id": "r", "status": "stopped", "outputs": {}, "error": None}
    platforms.dify_answers(
        {"event": "message", "answer": "Half an ans", **ids},
        {"event": "workflow_finished", "workflow_run_id": "r", "data": stopped, **ids},
    )
    DifyApp.objects.update(mode="advanced-chat")

    assert run_until_done(turn, most=2) == ("handed_over", "dify_stopped")
    assert "Half" not in str(platforms.posted)


def test_stops_a_run_that_takes_too_long(turn: Turn, platforms: Platforms) -> None:
    def script(exchange: Exchange) -> None:
        if exchange.request.path.endswith("/stop"):
            exchange.send(scripted_answer("200 OK", b'{"result": "success"}'))
            return
        first = f"data: {json.dumps(answer_events('Half an ans')[0])}\n\n"
        exchange.send_stream(first.encode())
        exchange.repeat(chunk(PING))

    server = ScriptedServer(script)
    platforms.wire.add_passthru(server.url)
    DifyApp.objects.update(base_url=server.url, total_timeout_s=1)

    assert run_until_done(turn, most=2) == ("handed_over", "dify_failed")
    server.close()

    run = PipelineRun.objects.get()
    assert (run.error_code, run.dify_task_id) == ("run_too_long", "task-1")
    stopped = [r for r in server.requests if r.path.endswith("/stop")]
    assert [(r.path, r.json) for r in stopped] == [
        ("/v1/chat-messages/task-1/stop", {"user": run.dify_user})
    ]


# --- Handing over, on the worst of days -----------------------------------------------


@pytest.fixture
def given_up(turn: Turn) -> Turn:
    """A turn that only owes the handover, after all its attempts to answer."""
    Turn.objects.update(handover_reason="dify_failed", error="Dify is away.")
    turn.refresh_from_db()
    return turn


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_a_handover_waits_for_a_chatwoot_that_is_away(
    given_up: Turn, platforms: Platforms, status: int
) -> None:
    platforms.chatwoot_has_history()
    platforms.chatwoot_takes_messages(status=status, body="<html>maintenance</html>")
    for _ in range(8):
        run_until_done(given_up, most=1)
        assert given_up.finished_at is None
    platforms.chatwoot_takes_messages()

    assert run_until_done(given_up) == ("handed_over", "dify_failed")
    assert [post["private"] for post in platforms.posted] == [False, True]
    assert platforms.calls("POST", "/toggle_status") == 1


def test_a_refused_line_does_not_keep_the_customer_from_the_humans(
    given_up: Turn, platforms: Platforms
) -> None:
    platforms.chatwoot_takes_messages(status=422, json={"error": "Content is odd"})

    assert run_until_done(given_up, most=1) == ("handed_over", "dify_failed")
    assert platforms.calls("POST", "/toggle_status") == 1


def test_too_many_messages_is_waited_for(given_up: Turn, platforms: Platforms) -> None:
    refusal = {"error": "Validation failed: Too many messages"}
    platforms.chatwoot_has_history()
    platforms.chatwoot_takes_messages(status=422, json=refusal)
    assert run_until_done(given_up, most=1) == ("retrying", "")
    platforms.chatwoot_takes_messages()

    assert run_until_done(given_up, most=1) == ("handed_over", "dify_failed")
    assert len(platforms.posted) == 2


def test_no_excuse_is_posted_below_an_answer_that_arrived(
    turn: Turn, platforms: Platforms
) -> None:
    platforms.dify_answers(*answer_events(HELLO))
    platforms.chatwoot_takes_messages(body=requests.ReadTimeout("read timed out"))
    history = "https://chat.test/api/v1/accounts/2/conversations/133/messages"
    platforms.wire.get(history, status=503)
    for _ in range(7):
        run_until_done(turn, most=1)
    assert turn.handover_reason == "chatwoot_failed"
    platforms.chatwoot_takes_messages()
    platforms.wire.remove("GET", history)
    mark = str(OutgoingMessage.objects.get().mark)
    platforms.chatwoot_has_history(
        {"id": 9101, "message_type": 1, "source_id": mark, "content": HELLO}
    )

    assert run_until_done(turn, most=1) == ("answered", "answered")
    assert platforms.posted == []


def test_a_message_may_still_arrive_for_half_a_minute(
    turn: Turn, platforms: Platforms
) -> None:
    platforms.dify_answers(*answer_events(HELLO))
    platforms.chatwoot_takes_messages(status=504, body="<html>")
    pipeline.run(turn.pk)
    platforms.chatwoot_takes_messages()
    platforms.chatwoot_has_history()
    Turn.objects.update(next_attempt_at=timezone.now())

    pipeline.run(turn.pk)

    assert ended(turn) == ("unknown", "")
    assert platforms.posted == []


@pytest.mark.parametrize(
    "bad_day",
    [
        {"status": 429, "body": "Retry later\n"},
        {"body": requests.ConnectTimeout("connect timed out")},
    ],
)
def test_what_was_surely_not_sent_is_sent_again_without_looking(
    turn: Turn, bot: Bot, platforms: Platforms, bad_day: dict[str, Any]
) -> None:
    bot.account.admin_token = ""
    bot.account.save()
    platforms.dify_answers(*answer_events(HELLO))
    platforms.chatwoot_takes_messages(**bad_day)
    pipeline.run(turn.pk)
    platforms.chatwoot_takes_messages()

    assert run_until_done(turn, most=1) == ("answered", "answered")
    assert [post["content"] for post in platforms.posted] == [HELLO]


def test_a_human_reply_below_a_note_is_found(turn: Turn, platforms: Platforms) -> None:
    platforms.chatwoot_shows(last={"id": 9003, "message_type": 1, "private": True})
    platforms.chatwoot_has_history(
        {"id": 9002, "message_type": 1, "sender": {"id": 21, "type": "user"}},
        {"id": 9003, "message_type": 1, "private": True, "sender": {"type": "user"}},
    )

    pipeline.run(turn.pk)

    assert ended(turn) == ("skipped", "human_has_taken_over")


def test_a_bot_that_was_switched_off_meanwhile_hands_over_quietly(
    turn: Turn, platforms: Platforms
) -> None:
    Bot.objects.update(enabled=False)

    assert run_until_done(turn, most=2) == ("handed_over", "bot_disabled")
    assert [post["private"] for post in platforms.posted] == [True]
    assert platforms.calls("POST", "/toggle_status") == 1


def test_an_error_with_a_nul_is_stored_all_the_same(
    turn: Turn, platforms: Platforms
) -> None:
    platforms.dify_answers(status=503, body=b"\x1f\x8b\x00\x00gar\x00bage")

    pipeline.run(turn.pk)

    assert ended(turn) == ("retrying", "")
    assert PipelineRun.objects.get().status == "failed"


def test_a_turn_that_kills_its_workers_goes_to_the_humans(
    turn: Turn, platforms: Platforms
) -> None:
    Turn.objects.update(attempts=pipeline.MAX_ATTEMPTS)

    assert run_until_done(turn, most=2) == ("handed_over", "internal_error")
    assert platforms.calls("POST", "/chat-messages") == 0


def test_posts_that_fail_for_good_do_not_keep_the_customer_from_the_humans(
    given_up: Turn, platforms: Platforms
) -> None:
    platforms.chatwoot_has_history()
    platforms.chatwoot_takes_messages(status=500, json={"error": "automation"})

    assert run_until_done(given_up, most=14) == ("handed_over", "dify_failed")
    assert platforms.calls("POST", "/toggle_status") == 1


def test_the_note_says_just_the_reason(turn: Turn, platforms: Platforms) -> None:
    Bot.objects.update(enabled=False)

    run_until_done(turn, most=2)

    assert [post["content"] for post in platforms.posted] == [
        "The bot could not answer: the bot is switched off"
    ]


def test_the_note_is_written_in_the_bots_language(
    turn: Turn, platforms: Platforms
) -> None:
    Bot.objects.update(enabled=False, language="ru")

    run_until_done(turn, most=2)

    assert [post["content"] for post in platforms.posted] == [
        "The bot could not answer: бот выключен"
    ]


def test_the_note_names_the_first_cause(turn: Turn, platforms: Platforms) -> None:
    platforms.dify_answers(**dify_error(401, "unauthorized", "no"))
    platforms.chatwoot_has_history()
    platforms.chatwoot_takes_messages(status=503, body="maintenance")
    run_until_done(turn, most=3)
    platforms.chatwoot_takes_messages()

    run_until_done(turn)

    note = str(platforms.posted[-1]["content"])
    assert "Dify does not accept the app's API key." in note
    assert "503" not in note


def test_a_copilot_that_was_switched_off_keeps_quiet(
    turn: Turn, platforms: Platforms
) -> None:
    Bot.objects.update(enabled=False, reply_as="private_note")

    assert run_until_done(turn, most=1) == ("skipped", "bot_disabled")
    assert platforms.posted == []


def test_a_message_that_came_too_late_is_handed_over_after_the_run(
    turn: Turn,
    bot: Bot,
    conversation: Conversation,
    platforms: Platforms,
    payload: Callable[[str], JsonObject],
) -> None:
    make_event(
        bot.account,
        message_payload(payload("message_created_incoming_text"), id=9005),
        conversation=conversation,
        status="processed",
        action="hand_over",
        reason="too_old",
    )
    platforms.dify_answers(*answer_events(HELLO))

    result = pipeline.run(turn.pk)

    assert result.next_turn_id is not None
    following = Turn.objects.get(pk=result.next_turn_id)
    assert following.handover_reason == "too_old"
