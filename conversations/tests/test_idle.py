"""Idle pending conversations are ended once, and only if Chatwoot agrees."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from conversations import idle
from conversations.models import AuditEntry, Bot, Conversation, WebhookEvent
from conversations.tests.conftest import CONVERSATION_URL, Platforms
from conversations.tests.factories import (
    make_bot,
    make_conversation,
    make_event,
    make_turn,
)

pytestmark = pytest.mark.django_db


@pytest.fixture
def now() -> datetime:
    return timezone.now()


@pytest.fixture
def bot() -> Bot:
    return make_bot(idle_hours=24)


@pytest.fixture
def conversation(bot: Bot, now: datetime) -> Conversation:
    return make_conversation(bot, last_customer_message_at=now - timedelta(hours=25))


def chatwoot_shows_silence(
    platforms: Platforms, now: datetime, *, hours: float = 25, status: str = "pending"
) -> None:
    at = (now - timedelta(hours=hours)).timestamp()
    last = {"id": 9001, "message_type": 0, "created_at": int(at)}
    platforms.chatwoot_shows(status=status, last=last)  # type: ignore[arg-type]


def toggled(platforms: Platforms) -> list[str]:
    return [
        json.loads(call.request.body or "{}")["status"]
        for call in platforms.wire.calls
        if str(call.request.url).endswith("/toggle_status")
    ]


@pytest.mark.parametrize(
    ("action", "status"), [("open", "open"), ("resolve", "resolved")]
)
def test_ends_what_is_idle_as_the_bot_says(
    platforms: Platforms,
    bot: Bot,
    conversation: Conversation,
    now: datetime,
    action: str,
    status: str,
) -> None:
    Bot.objects.update(idle_action=action)
    chatwoot_shows_silence(platforms, now)

    assert idle.end_idle(now=now) == {"ended": 1, "left": 0, "failed": 0}

    assert toggled(platforms) == [status]
    entry = AuditEntry.objects.get()
    assert (entry.verb, entry.actor) == ("ended_idle", "system")
    assert entry.conversation == conversation
    assert entry.details == {"bot": bot.pk, "status": status, "idle_hours": 24}


@pytest.mark.parametrize(
    "fields",
    [
        {"status": "open"},
        {"status": "resolved"},
        {"paused": True},
        {"last_customer_message_at": None},
        {"last_customer_message_at": timedelta(hours=23)},
        {"last_bot_message_at": timedelta(hours=1)},
        {"last_human_message_at": timedelta(hours=1)},
    ],
)
def test_does_not_even_ask_about_others(
    platforms: Platforms,
    conversation: Conversation,
    now: datetime,
    fields: dict[str, Any],
) -> None:
    values = {
        name: now - value if isinstance(value, timedelta) else value
        for name, value in fields.items()
    }
    Conversation.objects.update(**values)

    assert idle.end_idle(now=now) == {"ended": 0, "left": 0, "failed": 0}
    assert len(platforms.wire.calls) == 0


@pytest.mark.parametrize("fields", [{"idle_hours": 0}, {"enabled": False}])
def test_bots_that_do_not_want_it_end_nothing(
    platforms: Platforms,
    conversation: Conversation,
    now: datetime,
    fields: dict[str, Any],
) -> None:
    Bot.objects.update(**fields)

    assert idle.end_idle(now=now) == {"ended": 0, "left": 0, "failed": 0}
    assert len(platforms.wire.calls) == 0


def test_the_inboxs_own_bot_decides(
    platforms: Platforms, bot: Bot, conversation: Conversation, now: datetime
) -> None:
    patient = make_bot(bot.account, dify_app=bot.dify_app)
    assert conversation.inbox is not None
    patient.inboxes.add(conversation.inbox)

    assert idle.end_idle(now=now) == {"ended": 0, "left": 0, "failed": 0}


def test_what_is_still_owed_is_not_idle(
    platforms: Platforms, bot: Bot, conversation: Conversation, now: datetime
) -> None:
    nothing = {"ended": 0, "left": 0, "failed": 0}
    payload = {"event": "message_created", "conversation": {"id": 133}, "id": 9002}
    turn = make_turn(conversation, bot, status="retrying")
    assert idle.end_idle(now=now) == nothing
    turn.delete()

    waiting = make_event(
        bot.account,
        payload,  # type: ignore[arg-type]
        conversation=conversation,
        status="processed",
        action="answer",
    )
    assert idle.end_idle(now=now) == nothing
    waiting.delete()

    make_event(bot.account, payload)  # type: ignore[arg-type]
    assert idle.end_idle(now=now) == nothing
    WebhookEvent.objects.all().delete()

    chatwoot_shows_silence(platforms, now)
    assert idle.end_idle(now=now)["ended"] == 1


@pytest.mark.parametrize(
    "shown", [{"hours": 2}, {"status": "open"}, {"status": "resolved"}]
)
def test_chatwoot_has_the_last_word(
    platforms: Platforms,
    conversation: Conversation,
    now: datetime,
    shown: dict[str, Any],
) -> None:
    chatwoot_shows_silence(platforms, now, **shown)

    assert idle.end_idle(now=now) == {"ended": 0, "left": 1, "failed": 0}
    assert toggled(platforms) == []
    assert not AuditEntry.objects.exists()


def test_a_webhook_that_comes_meanwhile_is_heard(
    platforms: Platforms, bot: Bot, conversation: Conversation, now: datetime
) -> None:
    def meanwhile(_request: object) -> tuple[int, dict[str, str], str]:
        Conversation.objects.update(last_customer_message_at=now)
        body = {"id": 133, "status": "pending", "meta": {}}
        return 200, {}, json.dumps(body)

    platforms.wire.remove("GET", CONVERSATION_URL)
    platforms.wire.add_callback("GET", CONVERSATION_URL, callback=meanwhile)

    assert idle.end_idle(now=now) == {"ended": 0, "left": 1, "failed": 0}
    assert toggled(platforms) == []


def test_ends_it_only_once(
    platforms: Platforms, conversation: Conversation, now: datetime
) -> None:
    chatwoot_shows_silence(platforms, now)

    counts = [idle.end_idle(now=now)["ended"] for _ in range(2)]

    assert counts == [1, 0]
    assert toggled(platforms) == ["open"]


def test_a_failure_is_tried_again_an_hour_later(
    platforms: Platforms, conversation: Conversation, now: datetime
) -> None:
    platforms.chatwoot_answers_reads(status=503)
    failed = {"ended": 0, "left": 0, "failed": 1}
    assert idle.end_idle(now=now) == failed
    assert idle.end_idle(now=now + timedelta(minutes=59))["failed"] == 0
    chatwoot_shows_silence(platforms, now)

    assert idle.end_idle(now=now + timedelta(minutes=61))["ended"] == 1


def test_an_outage_is_not_asked_about_again_and_again(
    platforms: Platforms, bot: Bot, conversation: Conversation, now: datetime
) -> None:
    make_conversation(
        bot,
        chatwoot_conversation_id=134,
        last_customer_message_at=now - timedelta(hours=24.5),
    )
    platforms.chatwoot_answers_reads(status=503)

    assert idle.end_idle(now=now) == {"ended": 0, "left": 0, "failed": 1}
    assert len(platforms.wire.calls) == 1
