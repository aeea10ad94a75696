"""The index page: what needs a person, and the numbers of a day, week or month."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta

import pytest
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone
from pytest_django import Settings

from conversations import heartbeats
from conversations.admin import alarms as alarms_module
from conversations.admin.alarms import MANY, Alarm
from conversations.admin.home_numbers import CountRow
from conversations.models import (
    AuditEntry,
    DifyConversation,
    Heartbeat,
    Seen,
    Turn,
    WebhookEvent,
)
from conversations.tests.factories import (
    app_of,
    make_account,
    make_app,
    make_bot,
    make_callback,
    make_conversation,
    make_event,
    make_memory,
    make_turn,
)
from dify_api.models import DifyApp

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _all_processes_live(db: None) -> None:
    now = timezone.now()
    heartbeats.note_worker("here:1", started_at=now, now=now, details={})
    heartbeats.note_beat(now=now, by="here:1")


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


def test_numbers_are_counted_by_reason(admin_client: Client) -> None:
    bot = make_bot()
    conversation = make_conversation(bot)
    now = timezone.now()
    done = {"status": "answered", "reason": "answered", "finished_at": now}
    failed = {"status": "handed_over", "reason": "dify_failed", "finished_at": now}
    make_turn(conversation, bot, **done)
    make_turn(conversation, bot, **done)
    make_turn(conversation, bot, **{**done, "finished_at": now - timedelta(days=2)})
    make_turn(conversation, bot, **failed)
    processed = {"status": "processed", "action": "ignore"}
    for reason in ("typing", "paused", "paused"):
        make_event(bot.account, {"event": "x"}, **processed, reason=reason)

    context = admin_client.get(reverse("admin:index")).context

    tiles = {tile.name: tile.value for tile in context["tiles"]}
    assert (tiles["Answered"], tiles["Left alone"], tiles["Handed over"]) == (
        "2",
        "2",
        "1",
    )
    assert _counts(context["skipped_rows"]) == [
        ("the bot is paused in this conversation", 2)
    ]
    assert _counts(context["handed_over_rows"]) == [("Dify could not answer", 1)]
    assert _counts(context["other_rows"]) == [("somebody is typing", 1)]


def test_each_number_leads_to_its_rows(admin_client: Client) -> None:
    bot = make_bot()
    failed = {"status": "failed", "reason": "chatwoot_failed"}
    make_turn(make_conversation(bot), bot, finished_at=timezone.now(), **failed)

    context = admin_client.get(reverse("admin:index")).context

    [row] = context["failed_rows"]
    assert admin_client.get(row.url).context["cl"].result_count == 1


@pytest.mark.parametrize(("period", "points"), [("24h", 24), ("7d", 7), ("30d", 30)])
def test_the_period_is_chosen_by_a_link(
    admin_client: Client, period: str, points: int
) -> None:
    bot = make_bot()
    done = {"status": "answered", "reason": "answered"}
    make_turn(make_conversation(bot), bot, finished_at=timezone.now(), **done)

    response = admin_client.get(reverse("admin:index"), {"period": period})

    for chart in response.context["charts"]:
        assert len(chart.rows) == points
        assert len(json.loads(chart.data)["labels"]) == points
        assert json.loads(chart.options)["animation"] is False
    assert f'<a href="?period={period}" aria-current="true">' in response.text


def test_an_empty_bridge_says_what_to_do_first(admin_client: Client) -> None:
    page = admin_client.get(reverse("admin:index")).text

    assert f'href="{reverse("bridge:setup")}"' in page
    assert "Nothing has happened yet." in page


def test_customers_who_wait_are_shown_longest_first(admin_client: Client) -> None:
    bot = make_bot()
    now = timezone.now()
    for number, minutes in ((7, 5), (8, 50), (9, 0)):
        make_conversation(
            bot,
            chatwoot_conversation_id=number,
            waiting_since=now - timedelta(minutes=minutes),
        )

    response = admin_client.get(reverse("admin:index"))

    assert [one.age for one in response.context["waiting"]] == [
        "50\xa0minutes",
        "5\xa0minutes",
    ]
    assert response.context["waiting_count"] == "2"
    assert "/app/accounts/2/conversations/8" in response.text
    assert "misty-harbor-412" in response.text


def test_without_workers_or_beat_there_are_alarms(admin_client: Client) -> None:
    Heartbeat.objects.filter(kind="beat").delete()
    [beat] = alarms(admin_client)
    Heartbeat.objects.all().delete()
    [worker] = alarms(admin_client)

    assert beat.text.startswith("Beat is not running:")
    assert worker.text.startswith("No worker is running:")


def test_redis_that_is_away_is_an_alarm_and_breaks_nothing(
    admin_client: Client, settings: Settings
) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:8179/0"

    [alarm] = alarms(admin_client)

    assert alarm.text.startswith("Redis does not answer.")


def test_a_check_that_breaks_hides_no_other(
    admin_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_app(health="refused", name="Returns")

    def broken(_now: object) -> Iterator[Alarm]:
        raise ValueError
        yield

    checks = (broken, *alarms_module.CHECKS)
    monkeypatch.setattr(alarms_module, "CHECKS", checks)

    found = alarms(admin_client)

    assert [alarm.text.split(" (")[0] for alarm in found] == [
        "One of the checks of this page failed, so trouble may be hidden",
        "Dify app “Returns”: Dify refuses the key. Its customers go to the humans.",
    ]


def test_secrets_that_cannot_be_read_do_not_break_the_page(
    admin_client: Client, settings: Settings
) -> None:
    bot = make_bot()
    make_account(health="refused", account_id=4, name="Lab")
    make_conversation(bot, waiting_since=timezone.now() - timedelta(hours=1))
    settings.FIELD_ENCRYPTION_KEYS = ["tHd9kQ1cZ2s0m5m8mYqv3p2x4b7n9r1t5w8z0a3d6g4="]

    response = admin_client.get(reverse("admin:index"))

    assert [alarm.text for alarm in response.context["alarms"]] == [
        "Chatwoot account “Lab”: Chatwoot refuses the bot token. Its customers go to "
        "the humans."
    ]
    assert len(response.context["waiting"]) == 1


def test_deletions_that_dify_has_not_proven_are_an_alarm(admin_client: Client) -> None:
    bot = make_bot()
    conversation = make_conversation(bot)
    now = timezone.now()

    def wanted(*, hours_ago: int, attempts: int) -> DifyConversation:
        return make_memory(
            conversation,
            app_of(bot),
            ended_at=now,
            delete_wanted_at=now - timedelta(hours=hours_ago),
            delete_attempts=attempts,
            next_delete_at=now,
        )

    wanted(hours_ago=1, attempts=2)
    wanted(hours_ago=1, attempts=3)
    wanted(hours_ago=25, attempts=0)

    [alarm] = alarms(admin_client)

    assert alarm.text == (
        "2 conversations should be deleted in Dify and still are there."
    )


def test_refused_callbacks_can_be_marked_as_seen(admin_client: Client) -> None:
    bot = make_bot()
    refused = {"status": "error", "code": "unknown_team"}
    make_callback(bot, **refused)
    page = admin_client.get(reverse("admin:index"))
    make_callback(bot, **refused)

    response = admin_client.post(
        reverse("bridge:seen"),
        {"warning": "refused_callbacks", "shown_at": page.context["now"]},
    )

    assert response.status_code == 302
    [alarm] = alarms(admin_client)
    assert alarm.text.startswith("1 callback of a Dify flow was refused")
    entry = AuditEntry.objects.get()
    assert (entry.verb, entry.actor, entry.details) == (
        "marked_seen",
        "admin",
        {"warning": "refused_callbacks"},
    )


def test_failed_turns_can_be_marked_as_seen(admin_client: Client) -> None:
    bot = make_bot()
    conversation = make_conversation(bot)
    failed = {"status": "failed", "reason": "chatwoot_failed"}
    make_turn(conversation, bot, finished_at=timezone.now(), **failed)
    [alarm] = alarms(admin_client)
    now = timezone.now().isoformat()
    admin_client.post(
        reverse("bridge:seen"), {"warning": alarm.warning, "shown_at": now}
    )

    assert alarms(admin_client) == []


@pytest.mark.parametrize(
    "data",
    [
        {"warning": "made_up", "shown_at": "2026-01-01T00:00:00Z"},
        {"warning": "refused_callbacks", "shown_at": ""},
        {"warning": "refused_callbacks", "shown_at": "2026-01-01T00:00:00"},
        {"warning": "refused_callbacks", "shown_at": "2026-99-01T00:00:00Z"},
    ],
)
def test_only_what_is_known_is_marked_as_seen(
    admin_client: Client, data: dict[str, str]
) -> None:
    assert admin_client.post(reverse("bridge:seen"), data).status_code == 400
    assert not Seen.objects.exists()


def test_nothing_of_the_future_is_marked_as_seen(admin_client: Client) -> None:
    admin_client.post(
        reverse("bridge:seen"),
        {"warning": "failed_turns", "shown_at": "2999-01-01T00:00:00Z"},
    )

    assert Seen.objects.get().seen_at <= timezone.now()


def test_who_may_not_act_marks_nothing_as_seen(client: Client) -> None:
    user = User.objects.create_user("auditor", is_staff=True)
    user.user_permissions.add(Permission.objects.get(codename="view_turn"))
    client.force_login(user)
    make_callback(make_bot(), status="error", code="unknown_team")

    page = client.get(reverse("admin:index"))
    data = {"warning": "refused_callbacks", "shown_at": page.context["now"]}

    assert len(page.context["alarms"]) == 1
    assert "Mark as seen" not in page.text
    assert client.post(reverse("bridge:seen"), data).status_code == 403
    assert client.get(reverse("bridge:seen")).status_code == 405
    assert not Seen.objects.exists()


def test_who_may_not_see_conversations_sees_no_customer(client: Client) -> None:
    user = User.objects.create_user("auditor", is_staff=True)
    user.user_permissions.add(Permission.objects.get(codename="view_turn"))
    client.force_login(user)
    waiting_since = timezone.now() - timedelta(hours=1)
    make_conversation(make_bot(), waiting_since=waiting_since)

    page = client.get(reverse("admin:index"))

    assert page.context["waiting"] == []
    assert "misty-harbor-412" not in page.text


def _counts(rows: list[CountRow]) -> list[tuple[str, int]]:
    return [(row.reason, row.count) for row in rows]


def test_the_index_costs_the_same_with_many_rows(admin_client: Client) -> None:
    url = reverse("admin:index")
    bot = make_bot()
    admin_client.get(url)
    costs = []
    for _round in range(2):
        for number in range(10):
            make_event(bot.account, {"event": "x"}, status=WebhookEvent.Status.FAILED)
            make_conversation(
                bot,
                chatwoot_conversation_id=100 * _round + number,
                waiting_since=timezone.now() - timedelta(hours=1),
            )
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
