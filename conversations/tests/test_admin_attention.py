"""The index page: what needs a person, and what happened in the last 24 hours."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone
from pytest_django import Settings

from conversations.admin.attention import MANY, Alarm, CountRow
from conversations.models import Turn, WebhookEvent
from conversations.tests.factories import (
    make_account,
    make_app,
    make_bot,
    make_callback,
    make_conversation,
    make_event,
    make_turn,
)
from dify_api.models import DifyApp

pytestmark = pytest.mark.django_db


def alarms(client: Client) -> list[Alarm]:
    found: list[Alarm] = client.get(reverse("admin:index")).context["alarms"]
    return found


def test_an_empty_bridge_tells_the_first_steps(admin_client: Client) -> None:
    context = admin_client.get(reverse("admin:index")).context

    assert [text for text, _url in context["steps"]] == [
        "Add your Chatwoot account.",
        "Add the Dify app that answers.",
        "Make a bot that joins the two.",
    ]
    assert context["alarms"] == []


def test_a_healthy_bridge_has_no_alarms(admin_client: Client) -> None:
    bot = make_bot()
    make_turn(make_conversation(bot), bot)
    make_event(bot.account, {"event": "message_created"})

    context = admin_client.get(reverse("admin:index")).context

    assert context["alarms"] == []
    assert context["steps"] == []


def test_the_all_clear_does_not_speak_for_what_was_handed_over(
    admin_client: Client,
) -> None:
    bot = make_bot()
    make_turn(make_conversation(bot, status="open"), bot, status="handed_over")

    page = admin_client.get(reverse("admin:index")).content.decode()

    assert "Nothing in the bridge needs repair." in page
    assert "no customer waits" not in page


def test_failed_turns_and_events_are_alarms(admin_client: Client) -> None:
    bot = make_bot()
    make_turn(make_conversation(bot), bot, status=Turn.Status.FAILED)
    make_event(bot.account, {"event": "x"}, status=WebhookEvent.Status.FAILED)

    found = alarms(admin_client)

    assert [alarm.text for alarm in found] == [
        "1 customer got neither an answer nor a human.",
        "1 event could not be processed.",
    ]
    for alarm in found:
        assert admin_client.get(alarm.url).context["cl"].result_count == 1


def test_what_lies_about_is_an_alarm(admin_client: Client) -> None:
    bot = make_bot()
    long_ago = timezone.now() - timedelta(minutes=5)
    make_turn(make_conversation(bot), bot, next_attempt_at=long_ago)
    make_event(bot.account, {"event": "x"}, received_at=long_ago)

    found = alarms(admin_client)

    assert [alarm.text.split(".")[0] for alarm in found] == [
        "1 event has been waiting for more than two minutes",
        "1 customer is waiting for an overdue answer",
    ]
    for alarm in found:
        assert admin_client.get(alarm.url).context["cl"].result_count == 1


def test_refused_keys_and_open_doors_are_alarms(admin_client: Client) -> None:
    make_app(name="Returns", health=DifyApp.Health.REFUSED)
    make_app(name="Orders", health=DifyApp.Health.FAILING)
    make_account(name="Lab", allow_unsigned=True, health="refused")
    make_account(name="Shop", health="refused", admin_token="", account_id=3)

    assert [alarm.text for alarm in alarms(admin_client)] == [
        "Dify app “Orders”: fails.",
        "Dify app “Returns”: Dify refuses the key. Its customers go to the humans.",
        "Chatwoot account “Lab”: Chatwoot refuses the bot token. Its customers go to "
        "the humans.",
        "Chatwoot account “Shop”: Chatwoot refuses the bot token, and without an "
        "administrator token that works nobody is handed over. Look after the pending "
        "conversations in Chatwoot yourself.",
        "Chatwoot account “Lab” accepts webhooks from anybody. Enter the webhook "
        "secret and switch that off.",
    ]


def test_callbacks_without_tokens_are_an_alarm(
    admin_client: Client, settings: Settings
) -> None:
    settings.CALLBACK_AUTH = "none"

    (alarm,) = alarms(admin_client)

    assert alarm.text.startswith(
        "Whoever reaches the bridge can read and change every conversation: "
        "CALLBACK_AUTH is “none”."
    )
    assert alarm.url == reverse("admin:conversations_bot_changelist")


def test_refused_callbacks_of_the_last_day_are_one_alarm(admin_client: Client) -> None:
    bot = make_bot()
    yesterday = timezone.now() - timedelta(hours=25)
    refused = {"status": "error", "code": "unknown_team"}
    make_callback(bot, **refused)
    make_callback(bot, **refused)
    make_callback(bot, **refused, created_at=yesterday)
    make_callback(bot, status="error", code="human_in_charge")
    make_callback(bot)

    (alarm,) = alarms(admin_client)

    assert alarm.text == (
        "2 callbacks of Dify flows were refused in the last 24 hours. The flows' "
        "authors should look."
    )
    assert admin_client.get(alarm.url).context["cl"].result_count == 2


def test_counting_stops_at_many(admin_client: Client) -> None:
    account = make_account()
    for _number in range(MANY + 1):
        make_event(account, {"event": "x"}, status=WebhookEvent.Status.FAILED)

    (alarm,) = alarms(admin_client)

    assert alarm.text == "100+ events could not be processed."


def test_the_last_day_is_counted_by_reason(admin_client: Client) -> None:
    bot = make_bot()
    conversation = make_conversation(bot)
    yesterday = timezone.now() - timedelta(hours=25)
    done = {"status": "answered", "reason": "answered"}
    make_turn(conversation, bot, **done)
    make_turn(conversation, bot, **done)
    make_turn(conversation, bot, **done, created_at=yesterday)
    processed = {"status": "processed", "action": "ignore"}
    make_event(bot.account, {"event": "x"}, **processed, reason="typing")
    make_event(
        bot.account, {"event": "x"}, **processed, reason="typing", received_at=yesterday
    )

    context = admin_client.get(reverse("admin:index")).context

    assert _counts(context["turn_counts"]) == [("answered", 2)]
    assert _counts(context["event_counts"]) == [("somebody is typing", 1)]


def _counts(rows: list[CountRow]) -> list[tuple[str, int]]:
    return [(row.reason, row.count) for row in rows]


def test_the_index_costs_the_same_with_many_rows(admin_client: Client) -> None:
    url = reverse("admin:index")
    bot = make_bot()
    admin_client.get(url)
    costs = []
    for _round in range(2):
        for _number in range(10):
            make_event(bot.account, {"event": "x"}, status=WebhookEvent.Status.FAILED)
        with CaptureQueriesContext(connection) as queries:
            admin_client.get(url)
        costs.append(len(queries))

    assert costs[0] == costs[1]


def test_who_may_not_see_turns_sees_no_numbers(client: Client) -> None:
    make_account(allow_unsigned=True)
    client.force_login(User.objects.create_user("guest", is_staff=True))

    response = client.get(reverse("admin:index"))

    assert response.status_code == 200
    assert "alarms" not in response.context
