"""Without any token of Chatwoot's, webhooks are taken and nothing is posted."""

from __future__ import annotations

import logging
from collections.abc import Callable

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from bridge_project.lib.types import JsonObject
from chatwoot_api.models import ChatwootAccount
from conversations import pipeline, processing
from conversations.models import Bot, Conversation, Turn, WebhookEvent
from conversations.tests.conftest import Platforms, answer_events
from conversations.tests.factories import make_account, make_bot, message_payload

pytestmark = pytest.mark.django_db


@pytest.fixture
def bot() -> Bot:
    return make_bot(make_account(bot_token="", admin_token="", webhook_token="token"))


@pytest.fixture
def deliver(
    bot: Bot, client: Client, payload: Callable[[str], JsonObject]
) -> Callable[[int], WebhookEvent]:
    """Post a customer's message to the drop-in address, and process it."""

    def post(number: int) -> WebhookEvent:
        body = message_payload(payload("message_created_incoming_text"), id=number)
        answer = client.post(
            "/chatwoot/webhook?token=token", body, content_type="application/json"
        )
        assert (answer.status_code, answer.json()["status"]) == (200, "accepted")
        event = WebhookEvent.objects.get(pk=answer.json()["event_id"])
        processing.process(event.pk, now=timezone.now())
        event.refresh_from_db()
        return event

    return post


def test_accepts_posts_nothing_and_says_so(
    deliver: Callable[[int], WebhookEvent], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, logger="conversations.processing"):
        event = deliver(9001)

    assert (event.status, event.action, event.reason) == (
        "processed",
        "ignore",
        "no_credentials",
    )
    assert not Turn.objects.exists()
    # Whoever looks sees that somebody waits.
    assert Conversation.objects.get().waiting_since is not None
    (line,) = caplog.messages
    assert line == (
        "Conversation #133: nothing is posted, since the Chatwoot account “Nordlicht "
        "Outdoor” has no token. Enter one at the account; it works for the next "
        "message."
    )


def test_a_bot_that_is_switched_off_cannot_hand_over_either(
    deliver: Callable[[int], WebhookEvent],
) -> None:
    Bot.objects.update(enabled=False)

    assert deliver(9001).reason == "no_credentials"


def test_a_token_works_for_the_next_message(
    bot: Bot, deliver: Callable[[int], WebhookEvent], platforms: Platforms
) -> None:
    deliver(9001)
    bot.account.bot_token = "the-bot-token"
    bot.account.save()
    platforms.dify_answers(*answer_events("Hello"))

    event = deliver(9002)

    assert (event.action, event.reason) == ("answer", "customer_message")
    pipeline.run(Turn.objects.get().pk)
    assert [post["content"] for post in platforms.posted] == ["Hello"]


@pytest.mark.parametrize(
    ("handover_reason", "status"), [("", "skipped"), ("dify_failed", "failed")]
)
def test_a_turn_whose_token_was_taken_away_ends(
    turn: Turn, handover_reason: str, status: str
) -> None:
    """Nothing is on the wire: neither Dify nor Chatwoot is asked."""
    ChatwootAccount.objects.update(bot_token="", admin_token="")
    Turn.objects.update(handover_reason=handover_reason)

    pipeline.run(turn.pk)

    turn.refresh_from_db()
    assert (turn.status, turn.reason) == (status, "no_credentials")


def test_the_accounts_page_says_it(bot: Bot, client: Client, admin_user: User) -> None:
    client.force_login(admin_user)
    page = f"/admin/chatwoot_api/chatwootaccount/{bot.account.pk}/change/"

    assert "This account has no token." in client.get(page).content.decode()

    bot.account.admin_token = "an-administrators"
    bot.account.save()
    assert "This account has no token." not in client.get(page).content.decode()
