"""Words that begin anew: what is forgotten, and what is said."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from bridge_project.lib.types import JsonObject
from conversations import pipeline, processing
from conversations.models import (
    Bot,
    Conversation,
    DifyConversation,
    OutgoingMessage,
    PipelineRun,
    Turn,
    WebhookEvent,
)
from conversations.tests.conftest import Platforms, answer_events
from conversations.tests.factories import (
    app_of,
    make_conversation,
    make_event,
    make_memory,
    message_payload,
)

pytestmark = pytest.mark.django_db

ANEW = "Let us start over. How can I help?"


@pytest.fixture
def says(bot: Bot, payload: Callable[[str], JsonObject]) -> Callable[..., WebhookEvent]:
    def say(content: str, *, message_id: int) -> WebhookEvent:
        body = message_payload(
            payload("message_created_incoming_text"), id=message_id, content=content
        )
        event = make_event(bot.account, body)
        processing.process(event.pk, now=timezone.now())
        event.refresh_from_db()
        return event

    return say


@pytest.fixture
def memory(bot: Bot) -> DifyConversation:
    conversation = make_conversation(bot)
    return make_memory(conversation, app_of(bot), dify_conversation_id="before")


def run(turn: Turn | None) -> tuple[str, str]:
    assert turn is not None
    Turn.objects.filter(pk=turn.pk).update(next_attempt_at=timezone.now())
    pipeline.run(turn.pk)
    turn.refresh_from_db()
    return turn.status, turn.reason


def contents(platforms: Platforms) -> list[Any]:
    return [body["content"] for body in platforms.posted]


def asked(platforms: Platforms) -> list[tuple[Any, Any]]:
    return [(body["query"], body.get("conversation_id")) for body in platforms.asked]


def test_the_bot_forgets_and_says_so(
    platforms: Platforms, says: Callable[..., WebhookEvent], memory: DifyConversation
) -> None:
    event = says("Start over!", message_id=9005)
    assert (event.action, event.reason) == ("answer", "reset")

    assert run(event.turn) == ("answered", "answered")
    assert contents(platforms) == [ANEW]
    assert OutgoingMessage.objects.get().part == "answer"
    assert platforms.asked == []
    memory.refresh_from_db()
    assert memory.end_reason == "reset"
    assert memory.ended_at is not None
    assert Conversation.objects.get().waiting_since is None


def test_without_a_text_it_only_forgets(
    platforms: Platforms,
    says: Callable[..., WebhookEvent],
    memory: DifyConversation,
    bot: Bot,
) -> None:
    Bot.objects.update(reset_text=" ")

    assert run(says("/reset", message_id=9005).turn) == ("skipped", "reset")
    assert platforms.posted == []
    memory.refresh_from_db()
    assert memory.end_reason == "reset"
    assert Conversation.objects.get().waiting_since is None


def test_only_what_follows_the_word_is_asked_and_afresh(
    platforms: Platforms, says: Callable[..., WebhookEvent], memory: DifyConversation
) -> None:
    first = says("Where is it?", message_id=9005)
    says("/reset", message_id=9006)
    says("Do you sell tents?", message_id=9007)
    platforms.dify_answers(*answer_events("We do."))

    assert run(first.turn) == ("answered", "answered")
    assert asked(platforms) == [("Do you sell tents?", None)]
    assert contents(platforms) == ["We do."]
    current = DifyConversation.objects.get(ended_at=None)
    assert current.dify_conversation_id == "dify-conversation-1"
    # The word, and what was said before it, are not answered once more.
    assert Turn.objects.count() == 1


def test_the_newest_word_decides(
    platforms: Platforms, says: Callable[..., WebhookEvent], memory: DifyConversation
) -> None:
    first = says("/reset", message_id=9005)
    says("Do you sell tents?", message_id=9006)
    says("/reset", message_id=9007)

    assert run(first.turn) == ("answered", "answered")
    assert contents(platforms) == [ANEW]
    assert platforms.asked == []


def test_what_the_retry_has_begun_since_goes_on(
    platforms: Platforms, says: Callable[..., WebhookEvent], memory: DifyConversation
) -> None:
    turn = says("/reset", message_id=9005).turn
    says("Do you sell tents?", message_id=9006)
    platforms.dify_answers(*answer_events("We do."))
    platforms.chatwoot_takes_messages(status=429)
    assert run(turn)[0] == "retrying"
    platforms.chatwoot_takes_messages()
    platforms.chatwoot_has_history()

    assert run(turn) == ("answered", "answered")
    assert PipelineRun.objects.count() == 1
    current = DifyConversation.objects.get(ended_at=None)
    assert current.dify_conversation_id == "dify-conversation-1"


def test_the_word_wins_over_what_a_run_remembers_meanwhile(
    platforms: Platforms, says: Callable[..., WebhookEvent], bot: Bot
) -> None:
    first = says("Where is it?", message_id=9005)
    platforms.dify_answers(
        *answer_events("On its way."), meanwhile=lambda: says("/reset", message_id=9006)
    )

    assert run(first.turn) == ("answered", "answered")
    assert DifyConversation.objects.filter(ended_at=None).count() == 1
    turn = Turn.objects.get(last_message_id=9006)
    assert run(turn) == ("answered", "answered")
    assert contents(platforms) == ["On its way.", ANEW]
    assert DifyConversation.objects.get().end_reason == "reset"


def test_a_run_that_begins_anew_for_the_word_forgets_too(
    platforms: Platforms, says: Callable[..., WebhookEvent], bot: Bot
) -> None:
    Bot.objects.update(on_new_message="restart")
    first = says("Where is it?", message_id=9005)
    platforms.dify_answers(
        *answer_events("On its way."), meanwhile=lambda: says("/reset", message_id=9006)
    )
    platforms.wire.post(
        "https://dify.test/v1/chat-messages/task-1/stop", json={"result": "success"}
    )

    run(first.turn)
    assert run(first.turn) == ("answered", "answered")

    assert contents(platforms) == [ANEW]
    assert not DifyConversation.objects.filter(ended_at=None).exists()


def test_no_ceiling_and_no_busy_app_keep_anybody_from_beginning_anew(
    platforms: Platforms, says: Callable[..., WebhookEvent], bot: Bot
) -> None:
    app = app_of(bot)
    app.max_concurrent_runs = 1
    app.save()
    other = make_conversation(bot, chatwoot_conversation_id=134)
    busy = Turn.objects.create(conversation=other, bot=bot, last_message_id=1)
    Turn.objects.claim(busy.pk, now=timezone.now())
    PipelineRun.objects.create(
        turn=busy, dify_app=app, last_message_id=1, total_tokens=100
    )
    Bot.objects.update(max_tokens_per_day=1)
    PipelineRun.objects.create(
        turn=busy, last_message_id=1, total_tokens=100, finished_at=timezone.now()
    )

    assert run(says("/reset", message_id=9005).turn) == ("answered", "answered")


def test_agents_need_not_be_told(
    platforms: Platforms, says: Callable[..., WebhookEvent], bot: Bot
) -> None:
    Bot.objects.update(reply_as="private_note")

    assert run(says("/reset", message_id=9005).turn) == ("skipped", "reset")
    assert platforms.posted == []


def test_the_word_that_came_after_a_lost_answer_is_said_once(
    platforms: Platforms, says: Callable[..., WebhookEvent], memory: DifyConversation
) -> None:
    turn = says("Where is it?", message_id=9005).turn
    platforms.dify_answers(*answer_events("On its way."))
    platforms.chatwoot_takes_messages(status=429)
    assert run(turn)[0] == "retrying"
    says("/reset", message_id=9006)
    platforms.chatwoot_takes_messages()
    platforms.chatwoot_has_history()

    assert run(turn) == ("answered", "answered")

    assert contents(platforms) == [ANEW]
    assert Turn.objects.count() == 1


def test_a_bot_that_was_there_before_knows_no_such_words(bot: Bot) -> None:
    """It has no text to answer them with: the customer would hear nothing."""
    names = [field.column for field in Bot._meta.fields if field.column != "id"]
    names = [name for name in names if name not in ("reset_words", "reset_text")]
    columns = ", ".join(f'"{name}"' for name in names)
    values = columns.replace('"name"', "'Of before'").replace(
        '"public_id"', "gen_random_uuid()"
    )
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO conversations_bot ({columns}) "
            f"SELECT {values} FROM conversations_bot"
        )

    old = Bot.objects.exclude(pk=bot.pk).get()

    assert (old.reset_words, old.reset_text) == ("", "")
