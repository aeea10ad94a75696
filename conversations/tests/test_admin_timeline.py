"""The page of a conversation: its whole story, a page at a time."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from bridge_project.lib.admin_base import admin_url
from bridge_project.lib.types import JsonObject
from conversations import audit, pipeline, retention
from conversations.admin import timeline
from conversations.models import (
    Action,
    AuditEntry,
    Bot,
    Conversation,
    Erasure,
    OutgoingMessage,
    PipelineRun,
    Reason,
    Retention,
    Turn,
    UpstreamCall,
    WebhookEvent,
)
from conversations.tests.conftest import Platforms, answer_events
from conversations.tests.factories import (
    app_of,
    make_bot,
    make_callback,
    make_conversation,
    make_event,
    make_memory,
    make_turn,
    message_payload,
)
from dify_api.models import DifyApp

pytestmark = pytest.mark.django_db

START = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


def at(second: int) -> datetime:
    return START + timedelta(seconds=second)


@pytest.fixture
def incoming(payload: Callable[[str], JsonObject]) -> JsonObject:
    return payload("message_created_incoming_text")


def hear(
    conversation: Conversation, sample: JsonObject, *, second: int, **values: Any
) -> WebhookEvent:
    """A processed event of the conversation."""
    return make_event(
        conversation.account,
        sample,
        **{
            "conversation": conversation,
            "received_at": at(second),
            "status": WebhookEvent.Status.PROCESSED,
            "action": Action.IGNORE,
            "reason": Reason.CONVERSATION_EVENT,
            **values,
        },
    )


def make_story(
    bot: Bot, payload: Callable[[str], JsonObject]
) -> tuple[Conversation, Turn]:
    """One of each thing that can happen, twenty seconds in all."""
    conversation = make_conversation(bot)
    turn = make_turn(
        conversation,
        bot,
        status=Turn.Status.ANSWERED,
        reason=Reason.ANSWERED,
        created_at=at(0),
        finished_at=at(9),
    )
    hear(
        conversation,
        message_payload(
            payload("message_created_incoming_text"), content="Where is my tent?"
        ),
        second=0,
        action=Action.ANSWER,
        reason=Reason.CUSTOMER_MESSAGE,
        turn=turn,
    )
    run = make_run(turn, second=1)
    UpstreamCall.objects.create(
        turn=turn,
        run=run,
        service="dify",
        method="POST",
        path="/v1/chat-messages",
        http_status=503,
        error_code="unavailable",
        duration_ms=40,
        created_at=at(2),
    )
    make_callback(bot, conversation=conversation, turn=turn, created_at=at(3))
    OutgoingMessage.objects.create(
        turn=turn,
        part=OutgoingMessage.Part.ANSWER,
        content="It left the warehouse <today>.",
        chatwoot_message_id=9002,
        created_at=at(8),
        attempted_at=at(8),
        posted_at=at(8),
    )
    echo = payload("message_created_outgoing_agent_bot")
    hear(
        conversation,
        message_payload(echo, id=9002, content="It left the warehouse <today>."),
        second=9,
        reason=Reason.OWN_MESSAGE,
    )
    reply = payload("message_created_outgoing_user")
    hear(
        conversation,
        message_payload(reply, id=9003, content="Anna here."),
        second=12,
        reason=Reason.HUMAN_REPLY,
    )
    audit.record(AuditEntry.Verb.PAUSED, actor="lena", conversation=conversation)
    AuditEntry.objects.update(created_at=at(14))
    Erasure.objects.create(
        account=bot.account,
        chatwoot_contact_id=640,
        requested_by="erik",
        created_at=at(16),
    )
    return conversation, turn


def make_run(turn: Turn, *, second: int, **values: Any) -> PipelineRun:
    return PipelineRun.objects.create(
        **{
            "turn": turn,
            "dify_app": app_of(turn.bot) if turn.bot else None,
            "status": PipelineRun.Status.SUCCEEDED,
            "last_message_id": 9001,
            "query": "Where is my tent?",
            "answer": "It left the warehouse <today>.",
            "notes": [
                "The app refused its inputs; they were read anew.",
                {
                    "position": 1,
                    "thought": "I should look it up.",
                    "tool": "find_order",
                    "tool_input": '{"number": 77}',
                    "observation": "shipped",
                },
                {"position": 2, "thought": "It left the warehouse", "tool": ""},
            ],
            "thinking": "The customer is worried.",
            "total_tokens": 812,
            "total_price": Decimal("0.0012040"),
            "currency": "USD",
            "duration_ms": 4210,
            "started_at": at(second),
            "finished_at": at(second + 4),
            **values,
        }
    )


def test_tells_each_thing_once_in_the_order_of_time(
    payload: Callable[[str], JsonObject],
) -> None:
    conversation, _turn = make_story(make_bot(), payload)

    page = timeline.page_of(conversation)

    assert [(entry.kind, entry.at) for entry in page.entries] == [
        ("said", at(0)),
        ("run", at(1)),
        ("call", at(2)),
        ("callback", at(3)),
        ("post", at(8)),
        ("turn", at(9)),
        ("said", at(12)),
        ("audit", at(14)),
        ("erasure", at(16)),
    ]
    assert (page.earlier, page.is_newest) == ("", True)


def test_the_page_says_all_of_it(
    admin_client: Client, payload: Callable[[str], JsonObject]
) -> None:
    bot = make_bot()
    DifyApp.objects.update(console_url="https://cloud.dify.test/app/abc-1/overview")
    conversation, _turn = make_story(bot, payload)
    Conversation.objects.update(waiting_since=timezone.now() - timedelta(hours=3))
    make_memory(conversation, app_of(bot))

    text = admin_client.get(admin_url(conversation)).content.decode()

    for part in (
        "Where is my tent?",
        "a customer&#x27;s message",
        "It left the warehouse &lt;today&gt;.",
        ">posted</span>",
        "Anna here.",
        "human reply",
        "I should look it up.",
        "find_order",
        "shipped",
        "The customer is worried.",
        "The app refused its inputs; they were read anew.",
        "812 tokens",
        "0.001204 USD",
        "not reachable, or overloaded",
        "Sales",
        "Billing",
        "<strong>lena</strong> paused the bot",
        "erik had the contact erased",
        "https://cloud.dify.test/app/abc-1/logs",
        "https://chat.test/app/accounts/2/conversations/133",
        "waits for an answer: 3\xa0hours",
        'href="#newest"',
    ):
        assert part in text, part
    # The echo of the answer is folded into the answer.
    assert text.count("It left the warehouse &lt;today&gt;.") == 2
    # The agent's last thought is the answer.
    assert "It left the warehouse</div>" not in text


def test_news_between_two_things_are_one_line(
    admin_client: Client, incoming: JsonObject, payload: Callable[[str], JsonObject]
) -> None:
    conversation = make_conversation(make_bot())
    status = payload("conversation_status_changed_open")
    for second in (1, 2, 3):
        hear(conversation, status, second=second)
    hear(conversation, message_payload(incoming), second=4, action=Action.ANSWER)
    hear(conversation, status, second=5)

    first, said, last = timeline.page_of(conversation).entries
    text = admin_client.get(admin_url(conversation)).content.decode()

    assert (first.kind, len(first.more)) == ("news", 2)
    assert (said.kind, last.kind, last.more) == ("said", "news", [])
    assert "the status changed and 2 more events" in text
    assert "the status changed: " in text


def test_the_echo_of_our_own_note_is_folded_into_it(
    payload: Callable[[str], JsonObject],
) -> None:
    bot = make_bot()
    conversation = make_conversation(bot)
    turn = make_turn(conversation, bot, status=Turn.Status.HANDED_OVER)
    note = payload("message_created_private_note")
    OutgoingMessage.objects.create(
        turn=turn,
        part=OutgoingMessage.Part.FAILURE_NOTE,
        content="The bot could not answer.",
        private=True,
        chatwoot_message_id=9007,
        posted_at=at(2),
    )
    hear(
        conversation,
        message_payload(note, id=9007, content="The bot could not answer."),
        second=3,
        reason=Reason.PRIVATE_NOTE,
    )
    hear(
        conversation,
        message_payload(note, id=9008, content="A colleague's own."),
        second=4,
        reason=Reason.PRIVATE_NOTE,
    )

    entries = timeline.page_of(conversation).entries

    assert [entry.kind for entry in entries].count("said") == 1


def test_a_second_delivery_is_no_second_message(incoming: JsonObject) -> None:
    conversation = make_conversation(make_bot())
    hear(conversation, message_payload(incoming), second=1, action=Action.ANSWER)
    hear(
        conversation,
        message_payload(incoming),
        second=2,
        reason=Reason.DUPLICATE_MESSAGE,
    )

    kinds = [entry.kind for entry in timeline.page_of(conversation).entries]

    assert kinds == ["said", "news"]


def test_attachments_and_a_silent_bot_are_told(
    admin_client: Client, payload: Callable[[str], JsonObject]
) -> None:
    conversation = make_conversation(make_bot())
    sample = message_payload(payload("message_created_incoming_text"), content="")
    sample["attachments"] = [
        {"id": 1, "file_type": "image", "data_url": "https://chat.test/a/torn.png"}
    ]
    hear(conversation, sample, second=1, reason=Reason.STATUS_NOT_ALLOWED)

    text = admin_client.get(admin_url(conversation)).content.decode()

    assert "attach_file" in text
    assert "Set the conversation to “pending” in Chatwoot" in text


def test_what_the_retention_has_emptied_is_told_without_its_text(
    admin_client: Client, incoming: JsonObject
) -> None:
    conversation = make_conversation(make_bot())
    hear(conversation, message_payload(incoming), second=1)
    WebhookEvent.objects.update(payload={})

    response = admin_client.get(admin_url(conversation))

    assert response.status_code == 200
    (entry,) = response.context["page"].entries
    assert entry.kind == "news"


def test_goes_back_a_page_at_a_time_without_gap_or_double(
    admin_client: Client, incoming: JsonObject, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timeline, "PAGE", 4)
    bot = make_bot()
    conversation = make_conversation(bot)
    # Three of one moment, in two tables, lie on the border of two pages.
    for number, second in enumerate([0, 1, 2, 2, 2, 3, 4]):
        hear(
            conversation,
            message_payload(incoming, id=100 + number),
            second=second,
            chatwoot_message_id=100 + number,
        )
    for second in (2, 2, 5):
        make_callback(bot, conversation=conversation, created_at=at(second))

    seen: list[tuple[int, int]] = []
    before, pages = "", 0
    while True:
        page = timeline.page_of(conversation, before=before)
        seen = [(entry.rank, entry.pk) for entry in page.entries] + seen
        before, pages = page.earlier, pages + 1
        if not before:
            break

    events = WebhookEvent.objects.order_by("pk").values_list("pk", flat=True)
    assert pages == 3
    assert len(seen) == len(set(seen)) == 10
    assert [pk for rank, pk in seen if rank == 0] == list(events)
    older = admin_client.get(
        admin_url(conversation),
        {"before": timeline.page_of(conversation).earlier},
    )
    assert "Back to the newest" in older.content.decode()


@pytest.mark.parametrize(
    "key",
    [
        "x",
        "2026-11-22~1~2",
        "2026-11-22T12:00:00~0~1",
        "2026-11-22T12:00:00+00:00~0~" + "9" * 30,
        "2026-11-22T12:00:00+00:00~0~-1",
        "~~",
        "\0",
    ],
)
def test_a_bad_key_shows_the_newest_part(
    admin_client: Client, incoming: JsonObject, key: str
) -> None:
    conversation = make_conversation(make_bot())
    hear(conversation, message_payload(incoming), second=1)

    response = admin_client.get(admin_url(conversation), {"before": key})

    assert response.status_code == 200
    assert len(response.context["page"].entries) == 1
    assert "names no place in this story" in response.content.decode()


def test_costs_the_same_for_thousands_of_entries(
    admin_client: Client, payload: Callable[[str], JsonObject]
) -> None:
    bot = make_bot()
    conversation, turn = make_story(bot, payload)
    url = admin_url(conversation)
    admin_client.get(url)
    with CaptureQueriesContext(connection) as few:
        admin_client.get(url)
    event = WebhookEvent.objects.filter(reason=Reason.HUMAN_REPLY).get()
    WebhookEvent.objects.bulk_create(copies_of(event, 300))
    make_memory(conversation, app_of(bot))
    for second in range(20, 40):
        make_run(turn, second=second)
        make_callback(bot, conversation=conversation, turn=turn, created_at=at(second))
        audit.record(AuditEntry.Verb.RESUMED, actor="lena", conversation=conversation)

    with CaptureQueriesContext(connection) as many:
        response = admin_client.get(url)

    assert len(many) == len(few)
    assert len(response.context["page"].entries) == timeline.PAGE


def copies_of(event: WebhookEvent, count: int) -> list[WebhookEvent]:
    fields = {
        field.attname: getattr(event, field.attname)
        for field in WebhookEvent._meta.concrete_fields
        if field.attname not in ("id", "delivery_key")
    }
    return [
        WebhookEvent(**{**fields, "delivery_key": f"copy-{number}"})
        for number in range(count)
    ]


def test_adds_up_what_a_conversation_cost(
    admin_client: Client, payload: Callable[[str], JsonObject]
) -> None:
    conversation, turn = make_story(make_bot(), payload)
    make_run(turn, second=2, total_tokens=1000, total_price=Decimal("0.5"))
    make_run(turn, second=3, total_price=Decimal("2"), currency="EUR")

    page = admin_client.get(admin_url(conversation)).context

    assert page["tokens"] == "2,624"
    assert sorted(page["cost"].split(" + ")) == ["0.501204 USD", "2 EUR"]


def test_what_an_agent_thought_and_used_is_kept_and_told(
    turn: Turn, platforms: Platforms, admin_client: Client
) -> None:
    thought: JsonObject = {
        "event": "agent_thought",
        "id": "step-1",
        "position": 1,
        "thought": "I should look it up.",
        "tool": "find_order",
        "tool_input": '{"number": 77}',
        "observation": "shipped",
    }
    said, ended = answer_events("It left the warehouse.")
    # The copies of a thought fill up.
    unfinished: JsonObject = {**thought, "observation": ""}
    platforms.dify_answers(unfinished, thought, said, ended)

    pipeline.run(turn.pk)

    run = PipelineRun.objects.get()
    assert run.notes == [
        {
            "position": 1,
            "thought": "I should look it up.",
            "tool": "find_order",
            "tool_input": '{"number": 77}',
            "observation": "shipped",
        }
    ]
    text = admin_client.get(admin_url(run)).content.decode()
    for part in ("Thoughts and tools", "I should look it up.", "find_order", "shipped"):
        assert part in text


def test_the_retention_of_texts_takes_thoughts_and_tools_along(
    bot: Bot, payload: Callable[[str], JsonObject]
) -> None:
    make_story(bot, payload)
    WebhookEvent.objects.all().delete()
    Retention.objects.create(account=bot.account, text_days=30)

    retention.prune(START + timedelta(days=40))

    run = PipelineRun.objects.get()
    assert (run.answer, run.thinking, run.notes) == ("", "", [])
    assert run.total_tokens == 812
