"""Tokens and keys that are refused: nobody hammers, no customer waits unseen."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from chatwoot_api.models import ChatwootAccount
from conversations import pipeline
from conversations.models import Bot, PipelineRun, Turn
from conversations.tests.conftest import Platforms, answer_events
from conversations.tests.factories import app_of
from conversations.tests.test_pipeline import ended, run_until_done
from dify_api.models import DifyApp

pytestmark = pytest.mark.django_db

HELLO = "The seam is covered by the warranty."
BOT, ADMIN = "the-bot-token", "the-admin-token"


def test_a_refused_administrators_token_costs_no_answer(
    turn: Turn, bot: Bot, platforms: Platforms
) -> None:
    platforms.chatwoot_refuses(ADMIN)
    platforms.dify_answers(*answer_events(HELLO))

    pipeline.run(turn.pk)

    assert ended(turn) == ("answered", "answered")
    bot.account.refresh_from_db()
    assert bot.account.admin_token_refused_at is not None
    assert bot.account.health != "refused"
    # The second fresh check does not try it again.
    assert platforms.used(ADMIN) == 1


def test_a_refused_bots_token_leaves_the_customer_to_the_humans(
    turn: Turn, bot: Bot, platforms: Platforms
) -> None:
    platforms.dify_answers(*answer_events(HELLO))
    platforms.chatwoot_has_history()
    platforms.chatwoot_refuses(BOT)

    assert run_until_done(turn, most=2) == ("handed_over", "chatwoot_failed")

    bot.account.refresh_from_db()
    assert bot.account.health == "refused"
    # A line by the administrator would show the customer a human's name.
    assert [post["private"] for post in platforms.posted] == [True]
    assert platforms.calls("POST", "/toggle_status") == 1


def test_while_the_bots_token_is_refused_dify_is_not_asked(
    turn: Turn, platforms: Platforms
) -> None:
    ChatwootAccount.objects.update(health="refused")

    assert run_until_done(turn, most=2) == ("handed_over", "chatwoot_failed")
    assert platforms.used(BOT) == 0
    assert platforms.calls("POST", "/chat-messages") == 0


def test_waits_for_a_token_while_all_are_refused(
    turn: Turn, bot: Bot, platforms: Platforms
) -> None:
    platforms.chatwoot_refuses(BOT)
    platforms.chatwoot_refuses(ADMIN)
    platforms.dify_answers(*answer_events(HELLO))
    pipeline.run(turn.pk)
    asked = len(platforms.wire.calls)

    for _ in range(3):
        run_until_done(turn, most=1)

    assert ended(turn)[0] == "retrying"
    assert len(platforms.wire.calls) == asked
    assert turn.next_attempt_at - timezone.now() > timedelta(minutes=1)


def test_goes_on_with_a_new_token(turn: Turn, platforms: Platforms) -> None:
    now = timezone.now()
    ChatwootAccount.objects.update(health="refused", admin_token_refused_at=now)
    platforms.dify_answers(*answer_events(HELLO))
    run_until_done(turn, most=1)
    ChatwootAccount.objects.update(health="unknown", admin_token_refused_at=None)

    assert run_until_done(turn, most=1) == ("answered", "answered")


def test_gives_up_visibly_after_a_day(turn: Turn, platforms: Platforms) -> None:
    now = timezone.now()
    ChatwootAccount.objects.update(health="refused", admin_token_refused_at=now)
    Turn.objects.update(created_at=now - timedelta(hours=25))

    assert run_until_done(turn, most=1) == ("failed", "chatwoot_failed")


def test_a_refused_key_is_tried_once_and_then_left_alone(
    turn: Turn, bot: Bot, platforms: Platforms
) -> None:
    refusal = {"code": "unauthorized", "message": "Access token is invalid"}
    platforms.dify_answers(status=401, json=refusal)
    assert run_until_done(turn, most=2) == ("handed_over", "dify_failed")
    assert DifyApp.objects.get().health == "refused"
    again = Turn.objects.create(
        conversation=turn.conversation, bot=bot, last_message_id=9001
    )

    assert run_until_done(again, most=2) == ("handed_over", "dify_failed")
    assert "Enter a new key" in str(platforms.posted[-1]["content"])
    assert platforms.calls("POST", "/chat-messages") == 1


def test_an_overloaded_dify_gets_fewer_runs_at_once(
    turn: Turn, bot: Bot, platforms: Platforms
) -> None:
    busy = {"code": "invalid_param", "message": "Too many requests. Please try again"}
    platforms.dify_answers(status=400, json=busy)

    pipeline.run(turn.pk)

    app = app_of(bot)
    app.refresh_from_db()
    assert app.lowered_limit == 4


def test_a_turn_without_a_place_waits_and_asks_nobody(
    turn: Turn, bot: Bot, platforms: Platforms
) -> None:
    app = app_of(bot)
    DifyApp.objects.update(max_concurrent_runs=1)
    bot.refresh_from_db()
    other = Turn.objects.create(
        conversation=type(turn.conversation).objects.create(
            account=bot.account, chatwoot_conversation_id=134
        ),
        bot=bot,
        last_message_id=1,
        status="running",
        lease_expires_at=timezone.now() + timedelta(seconds=20),
    )
    PipelineRun.objects.create(turn=other, dify_app=app, last_message_id=1)

    result = pipeline.run(turn.pk)

    turn.refresh_from_db()
    assert (turn.status, turn.attempts, turn.queued_for) == ("collecting", 0, app)
    assert result.delay_s > 20
    assert len(platforms.wire.calls) == 0
