"""What agents and customers thought of an answer reaches Dify as feedback."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from bridge_project.lib.types import JsonObject
from conversations import feedback, processing
from conversations.models import (
    Bot,
    Conversation,
    OutgoingMessage,
    PipelineRun,
    Turn,
    UpstreamCall,
    WebhookEvent,
)
from conversations.tests.conftest import Platforms
from conversations.tests.factories import (
    DIFY,
    app_of,
    make_event,
    make_turn,
    message_payload,
)

pytestmark = pytest.mark.django_db

URL = f"{DIFY}/v1/messages/dify-message-1/feedbacks"
Tells = Callable[..., WebhookEvent]


def make_answer(
    conversation: Conversation,
    bot: Bot,
    *,
    number: int = 9002,
    dify_message_id: str = "dify-message-1",
    private: bool = False,
) -> PipelineRun:
    turn = make_turn(conversation, bot, status=Turn.Status.ANSWERED)
    OutgoingMessage.objects.create(
        turn=turn,
        part=OutgoingMessage.Part.ANSWER,
        content="It is covered.",
        private=private,
        posted_at=timezone.now(),
        chatwoot_message_id=number,
    )
    return PipelineRun.objects.create(
        turn=turn,
        dify_app=app_of(bot),
        status=PipelineRun.Status.SUCCEEDED,
        last_message_id=9001,
        dify_user="chatwoot-somebody",
        dify_message_id=dify_message_id,
    )


@pytest.fixture
def notes(bot: Bot, payload: Callable[[str], JsonObject]) -> Tells:
    """An agent's note is processed."""

    def tell(content: str, **changes: Any) -> WebhookEvent:
        sample = payload("message_created_private_note")
        event = message_payload(sample, content=content, **changes)
        row = make_event(bot.account, event)
        processing.process(row.pk, now=timezone.now())
        row.refresh_from_db()
        return row

    return tell


@pytest.fixture
def rates(bot: Bot, payload: Callable[[str], JsonObject]) -> Tells:
    """A customer fills in the survey."""

    def rate(rating: int, text: str | None = None) -> WebhookEvent:
        event = message_payload(payload("message_updated_csat_submitted"))
        values: JsonObject = {"rating": rating, "feedback_message": text}
        event["content_attributes"] = {
            "submitted_values": {"csat_survey_response": values}
        }
        row = make_event(bot.account, event)
        processing.process(row.pk, now=timezone.now())
        row.refresh_from_db()
        return row

    return rate


def sent(platforms: Platforms) -> list[JsonObject]:
    return [
        json.loads(call.request.body or "")
        for call in platforms.wire.calls
        if str(call.request.url) == URL
    ]


def dify_takes_it(platforms: Platforms) -> None:
    platforms.wire.post(URL, json={"result": "success"})


def outcome(event: WebhookEvent) -> tuple[str, str, str]:
    event.refresh_from_db()
    return event.status, event.action, event.error


@pytest.mark.parametrize(
    ("note", "body"),
    [
        ("/good", {"rating": "like", "user": "chatwoot-somebody"}),
        (
            "/bad wrong price",
            {
                "rating": "dislike",
                "content": "wrong price",
                "user": "chatwoot-somebody",
            },
        ),
    ],
)
def test_an_agents_note_is_feedback_on_the_last_answer(
    conversation: Conversation,
    bot: Bot,
    notes: Tells,
    platforms: Platforms,
    note: str,
    body: JsonObject,
) -> None:
    make_answer(conversation, bot, number=9001, dify_message_id="dify-message-0")
    run = make_answer(conversation, bot)
    make_answer(conversation, bot, number=9030, dify_message_id="dify-message-2")
    dify_takes_it(platforms)

    event = notes(note)

    assert (event.action, event.reason) == ("", "feedback")
    assert feedback.send(event.pk, now=timezone.now()) is True
    assert sent(platforms) == [body]
    assert outcome(event) == ("processed", "ignore", "")
    call = UpstreamCall.objects.get()
    assert (call.turn_id, call.run_id) == (run.turn_id, run.pk)
    assert (call.path, call.http_status) == (
        "/messages/dify-message-1/feedbacks",
        200,
    )
    # Once is enough.
    assert feedback.send(event.pk, now=timezone.now()) is False
    assert len(sent(platforms)) == 1


def test_a_note_that_replies_to_an_answer_is_about_that_one(
    conversation: Conversation, bot: Bot, notes: Tells, platforms: Platforms
) -> None:
    make_answer(conversation, bot)
    make_answer(conversation, bot, number=9010, dify_message_id="dify-message-2")
    dify_takes_it(platforms)

    event = notes("/good", content_attributes={"in_reply_to": 9002})

    assert feedback.send(event.pk, now=timezone.now()) is True


def test_a_customers_rating_is_about_what_the_customer_saw(
    conversation: Conversation, bot: Bot, rates: Tells, platforms: Platforms
) -> None:
    make_answer(conversation, bot)
    make_answer(conversation, bot, number=9010, dify_message_id="draft", private=True)
    dify_takes_it(platforms)

    event = rates(5, "Fast help")

    assert feedback.send(event.pk, now=timezone.now()) is True
    assert sent(platforms) == [
        {
            "rating": "like",
            "content": "CSAT 5/5: Fast help",
            "user": "chatwoot-somebody",
        }
    ]


def test_a_survey_that_comes_twice_is_told_as_it_was_last(
    conversation: Conversation, bot: Bot, rates: Tells, platforms: Platforms
) -> None:
    make_answer(conversation, bot)
    dify_takes_it(platforms)
    first, second = rates(1), rates(1, "Slow")
    now = timezone.now()

    assert feedback.send(second.pk, now=now) is True
    assert feedback.send(first.pk, now=now) is False

    assert [body["content"] for body in sent(platforms)] == ["CSAT 1/5: Slow"]
    assert outcome(first) == ("processed", "ignore", feedback.REPLACED)


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (None, feedback.NO_ANSWER),
        ({"dify_message_id": ""}, feedback.NO_MESSAGE),
        ({"number": 9030}, feedback.NO_ANSWER),
    ],
)
def test_says_why_dify_cannot_be_told(
    conversation: Conversation,
    bot: Bot,
    notes: Tells,
    platforms: Platforms,
    answer: dict[str, Any] | None,
    error: str,
) -> None:
    if answer is not None:
        make_answer(conversation, bot, **answer)
    event = notes("/good")

    assert feedback.send(event.pk, now=timezone.now()) is False
    assert outcome(event) == ("processed", "ignore", error)
    assert len(platforms.wire.calls) == 0


def test_a_rating_in_the_middle_is_neither(
    conversation: Conversation, bot: Bot, rates: Tells, platforms: Platforms
) -> None:
    make_answer(conversation, bot)
    event = rates(3, "It was okay")

    assert feedback.send(event.pk, now=timezone.now()) is False
    assert outcome(event) == ("processed", "ignore", feedback.NEITHER)
    assert len(platforms.wire.calls) == 0


def test_dify_that_is_away_is_told_later_and_given_up_after_a_day(
    conversation: Conversation, bot: Bot, notes: Tells, platforms: Platforms
) -> None:
    make_answer(conversation, bot)
    platforms.wire.post(URL, status=503, json={"code": "x", "message": "away"})
    event = notes("/good")
    now = timezone.now()

    assert feedback.due(now) == []  # on its way through Redis
    assert feedback.due(now + timedelta(seconds=6)) == [event.pk]
    assert feedback.send(event.pk, now=now) is False
    status, action, error = outcome(event)
    assert (status, action, event.attempts) == ("processed", "", 1)
    assert error.startswith("Dify was not told yet; it is tried again.")
    assert feedback.due(now + timedelta(seconds=29)) == []
    assert feedback.due(now + timedelta(seconds=31)) == [event.pk]

    tomorrow = now + timedelta(hours=25)
    assert feedback.due(tomorrow) == [event.pk]
    assert feedback.send(event.pk, now=tomorrow) is False

    status, action, error = outcome(event)
    assert (status, action) == ("failed", "ignore")
    assert error
    assert feedback.due(tomorrow + timedelta(days=1)) == []


def test_a_message_that_dify_has_deleted_is_no_trouble(
    conversation: Conversation, bot: Bot, notes: Tells, platforms: Platforms
) -> None:
    make_answer(conversation, bot)
    gone = {"code": "not_found", "message": "Message Not Exists.", "status": 404}
    platforms.wire.post(URL, status=404, json=gone)
    event = notes("/good")

    assert feedback.send(event.pk, now=timezone.now()) is False
    assert outcome(event) == ("processed", "ignore", feedback.GONE)


def test_only_a_feedback_event_wakes_the_worker_for_it(
    conversation: Conversation, bot: Bot, payload: Callable[[str], JsonObject]
) -> None:
    sample = payload("message_created_private_note")
    woken: list[int] = []
    rows = [
        make_event(bot.account, message_payload(sample, content=content, id=number))
        for number, content in ((9021, "/good"), (9022, "Gold member"))
    ]

    for row in rows:
        processing.process(row.pk, now=timezone.now(), wake_feedback=woken.append)

    assert woken == [rows[0].pk]


def test_a_bot_that_sends_no_feedback_takes_notes_for_notes(
    conversation: Conversation, notes: Tells, rates: Tells
) -> None:
    Bot.objects.update(dify_feedback=False)

    assert notes("/good").reason == "private_note"
    assert rates(5).reason == "message_updated"
    assert feedback.due(timezone.now() + timedelta(minutes=1)) == []
