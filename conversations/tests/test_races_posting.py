"""A message that comes while an answer is on its way: none is lost, none doubled."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
from django.utils import timezone

from bridge_project.lib.types import JsonObject
from conversations import pipeline, processing, tasks
from conversations.aftermath import Result
from conversations.models import (
    Bot,
    OutgoingMessage,
    PipelineRun,
    Turn,
    WebhookEvent,
)
from conversations.tests.conftest import CONVERSATION_URL, Platforms, answer_events
from conversations.tests.factories import make_event, message_payload
from conversations.tests.test_pipeline import HELLO, ended, run_until_done

pytestmark = pytest.mark.django_db

Says = Callable[[int], WebhookEvent]
Reply = tuple[int, dict[str, str], str]


@pytest.fixture
def says(bot: Bot, payload: Callable[[str], JsonObject]) -> Says:
    """Let the customer say something, and decide about it at once."""

    def say(number: int) -> WebhookEvent:
        sample = payload("message_created_incoming_text")
        content = f"message {number}"
        event = make_event(
            bot.account, message_payload(sample, id=number, content=content)
        )
        processing.process(event.pk, now=timezone.now())
        event.refresh_from_db()
        return event

    return say


@pytest.fixture
def restarts(bot: Bot) -> Bot:
    """A bot that begins anew with each message that comes during a run."""
    Bot.objects.update(on_new_message="restart")
    return bot


def run_now(turn: Turn) -> Result:
    """Run the next attempt without the pause before it."""
    Turn.objects.filter(pk=turn.pk).update(next_attempt_at=timezone.now())
    return pipeline.run(turn.pk)


def loses_the_answer_on_its_way(turn: Turn, platforms: Platforms) -> JsonObject:
    """Post into a connection that breaks; return what Chatwoot stored all the same."""
    platforms.dify_answers(*answer_events(HELLO))
    platforms.chatwoot_takes_messages(body=requests.ConnectionError("reset"))
    run_now(turn)
    assert ended(turn) == ("unknown", "")
    platforms.chatwoot_takes_messages()
    return stored_answer()


def stored_answer() -> JsonObject:
    mark = str(OutgoingMessage.objects.get().mark)
    return {"id": 9003, "content": HELLO, "message_type": 1, "source_id": mark}


def chatwoot_holds(
    platforms: Platforms,
    *messages: JsonObject,
    meanwhile: Callable[[], object] | None = None,
) -> None:
    """Answer GET messages like Chatwoot: with those after the one that is named."""

    def history(request: Any) -> Reply:
        if meanwhile is not None:
            meanwhile()
        after = int(parse_qs(urlsplit(request.url).query)["after"][0])
        newer = [one for one in messages if int(str(one["id"])) > after]
        return 200, {}, json.dumps({"payload": newer})

    url = f"{CONVERSATION_URL}/messages"
    platforms.wire.remove("GET", url)
    platforms.wire.add_callback("GET", url, callback=history)


# --- Joining too late gives a turn of its own -----------------------------------------


def test_a_message_gets_its_own_answer_when_it_comes_during_a_look_up(
    turn: Turn, restarts: Bot, platforms: Platforms, says: Says
) -> None:
    stored = loses_the_answer_on_its_way(turn, platforms)
    chatwoot_holds(platforms, stored, meanwhile=lambda: says(9005))

    result = run_now(turn)

    assert ended(turn) == ("answered", "answered")
    following = Turn.objects.exclude(pk=turn.pk).get()
    assert result.next_turn_id == following.pk
    platforms.chatwoot_shows(last={"id": 9005, "message_type": 0})
    platforms.dify_answers(*answer_events("second", message_id="dify-message-2"))
    assert run_until_done(following, most=1) == ("answered", "answered")
    assert platforms.asked[-1]["query"] == "message 9005"
    assert [post["content"] for post in platforms.posted] == ["second"]


def test_a_message_gets_its_own_turn_when_it_comes_during_the_fresh_check(
    turn: Turn, restarts: Bot, platforms: Platforms, says: Says
) -> None:
    """The human has answered the first message, but not the second."""
    shown = {
        "id": 133,
        "status": "pending",
        "last_non_activity_message": {
            "id": 9003,
            "message_type": 1,
            "content": "I am human",
            "sender": {"id": 1, "type": "user"},
            "sender_type": "User",
        },
    }

    def show(_request: object) -> Reply:
        says(9006)
        return 200, {}, json.dumps(shown)

    platforms.wire.remove("GET", CONVERSATION_URL)
    platforms.wire.add_callback("GET", CONVERSATION_URL, callback=show)

    result = pipeline.run(turn.pk)

    assert ended(turn) == ("skipped", "human_has_taken_over")
    following = Turn.objects.exclude(pk=turn.pk).get()
    assert result.next_turn_id == following.pk
    assert (following.status, following.last_message_id) == ("collecting", 9006)
    event = WebhookEvent.objects.get(chatwoot_message_id=9006)
    assert event.turn == following


# --- No answer is posted twice --------------------------------------------------------


def test_an_answer_is_not_posted_twice_when_a_message_comes_after_a_lost_connection(
    turn: Turn, restarts: Bot, platforms: Platforms, says: Says
) -> None:
    stored = loses_the_answer_on_its_way(turn, platforms)
    # Chatwoot is still at work on the answer while the customer goes on.
    chatwoot_holds(platforms, meanwhile=lambda: says(9005))
    run_now(turn)
    assert ended(turn) == ("unknown", "")
    chatwoot_holds(platforms, stored)
    platforms.chatwoot_shows(last={"id": 9005, "message_type": 0})

    assert run_until_done(turn, most=1) == ("answered", "answered")

    assert platforms.posted == []
    following = Turn.objects.exclude(pk=turn.pk).get()
    assert (following.status, following.last_message_id) == ("collecting", 9005)


def test_an_answer_is_not_posted_twice_when_a_message_joins_what_was_refused_as_busy(
    turn: Turn, platforms: Platforms, says: Says
) -> None:
    """A proxy may say 429 although Chatwoot has stored the answer."""
    platforms.dify_answers(*answer_events(HELLO))
    platforms.dify_answers(*answer_events("second", message_id="dify-message-2"))
    platforms.chatwoot_takes_messages(status=429, json={})
    run_now(turn)
    assert ended(turn) == ("retrying", "")
    assert says(9005).turn == turn
    stored = stored_answer()
    chatwoot_holds(platforms, stored)
    platforms.chatwoot_takes_messages()
    platforms.chatwoot_shows(last={"id": 9005, "message_type": 0})

    run_until_done(turn, most=1)

    assert stored["source_id"] not in [post["source_id"] for post in platforms.posted]
    message = OutgoingMessage.objects.get(mark=str(stored["source_id"]))
    assert message.chatwoot_message_id == 9003


# --- What an answer is about ----------------------------------------------------------


def test_dify_is_asked_again_when_an_older_message_joins_what_was_answered(
    turn: Turn, platforms: Platforms, says: Says
) -> None:
    platforms.dify_answers(*answer_events(HELLO))
    platforms.dify_answers(*answer_events("both", message_id="dify-message-2"))
    platforms.chatwoot_takes_messages(status=429, json={})
    run_now(turn)
    assert says(8999).turn == turn
    platforms.chatwoot_takes_messages()
    platforms.chatwoot_has_history()

    assert run_until_done(turn, most=1) == ("answered", "answered")

    assert [str(asked["query"]).split("\n\n") for asked in platforms.asked] == [
        ["Hi, the tent I ordered arrived with a torn seam."],
        ["message 8999", "Hi, the tent I ordered arrived with a torn seam."],
    ]
    assert [post["content"] for post in platforms.posted] == ["both"]
    assert PipelineRun.objects.count() == 2


def test_the_last_message_stays_the_newest_when_an_older_one_joins_after_it(
    turn: Turn, restarts: Bot, platforms: Platforms, says: Says
) -> None:
    """The older one waits, since the bot was set to restart only after it came."""

    def meanwhile() -> None:
        Bot.objects.update(on_new_message="queue")
        assert says(9003).turn is None
        Bot.objects.update(on_new_message="restart")
        assert says(9005).turn == turn

    platforms.dify_answers(*answer_events(HELLO), meanwhile=meanwhile)
    platforms.dify_answers(*answer_events("to all", message_id="dify-message-2"))

    run_now(turn)

    turn.refresh_from_db()
    assert (turn.status, turn.last_message_id) == ("collecting", 9005)
    assert turn.events.count() == 3
    platforms.chatwoot_shows(last={"id": 9005, "message_type": 0})
    assert run_until_done(turn, most=1) == ("answered", "answered")
    assert [post["content"] for post in platforms.posted] == ["to all"]


# --- The typing sign ------------------------------------------------------------------


def typing_signs(platforms: Platforms) -> list[str]:
    return [
        json.loads(call.request.body or "{}")["typing_status"]
        for call in platforms.wire.calls
        if str(call.request.url).endswith("/toggle_typing_status")
    ]


def test_typing_is_hidden_when_the_only_message_is_deleted_while_the_bot_waits(
    bot: Bot, platforms: Platforms, payload: Callable[[str], JsonObject]
) -> None:
    Bot.objects.update(debounce_s=20)
    sample = message_payload(payload("message_created_incoming_text"), id=9010)
    tasks.process_event(make_event(bot.account, sample).pk)
    deleted = message_payload(payload("message_updated_deleted"), id=9010)
    deleted["conversation"] = sample["conversation"]

    tasks.process_event(make_event(bot.account, deleted).pk)

    assert ended(Turn.objects.get()) == ("skipped", "message_deleted")
    assert typing_signs(platforms) == ["on", "off"]


def test_no_typing_is_shown_when_a_message_joins_a_turn_that_will_be_tried_again(
    turn: Turn,
    bot: Bot,
    platforms: Platforms,
    payload: Callable[[str], JsonObject],
) -> None:
    now = timezone.now()
    Turn.objects.update(
        status="retrying",
        attempts=3,
        started_at=now,
        next_attempt_at=now + timedelta(seconds=30),
    )
    sample = message_payload(payload("message_created_incoming_text"), id=9010)
    event = make_event(bot.account, sample)

    tasks.process_event(event.pk)

    event.refresh_from_db()
    assert event.turn == turn
    assert typing_signs(platforms) == []
