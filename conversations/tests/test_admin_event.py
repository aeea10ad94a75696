"""The list of events, what would happen now, and the buttons that make it happen."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import Permission, User
from django.contrib.messages import get_messages
from django.db import connection
from django.test import Client, RequestFactory
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from bridge_project.lib import words
from bridge_project.lib.admin_base import admin_url
from bridge_project.lib.types import JsonObject
from chatwoot_api.models import ChatwootAccount
from conversations import jobs
from conversations.models import (
    Action,
    Bot,
    Conversation,
    Job,
    JobItem,
    Turn,
    WebhookEvent,
)
from conversations.tests.conftest import Queue
from conversations.tests.factories import (
    make_account,
    make_bot,
    make_conversation,
    make_event,
    message_payload,
)

pytestmark = pytest.mark.django_db

LIST = "admin:conversations_webhookevent_changelist"
FORESEE = "admin:conversations_webhookevent_foresee"
Said = Callable[..., WebhookEvent]


@pytest.fixture
def said(
    bot: Bot, conversation: Conversation, payload: Callable[[str], JsonObject]
) -> Said:
    """A customer's message that was ignored; every field may be overridden."""
    sample = payload("message_created_incoming_text")

    def say(number: int = 9001, text: str = "Where is it?", **fields: Any) -> Any:
        values = {
            "conversation": conversation,
            "status": "processed",
            "action": "ignore",
            "reason": "status_not_allowed",
            **fields,
        }
        account: ChatwootAccount = values.pop("account", bot.account)
        body = message_payload(sample, id=number, content=text)
        return make_event(account, body, **values)

    return say


def listed(client: Client, **query: str) -> list[int]:
    """The events on the list's first page."""
    response = client.get(reverse(LIST), query)
    assert response.status_code == 200
    return [row.pk for row in response.context["cl"].result_list]


def a_user(client: Client, *codenames: str) -> None:
    user = User.objects.create(username="olga", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
    client.force_login(user)


def told(response: Any) -> list[str]:
    return [str(message) for message in get_messages(response.wsgi_request)]


# --- Looking for events ------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("torn seam", True),
        ("SEAM", True),
        ("sea", True),  # the beginning of a word
        ("eam", False),
        ("seam zipper", False),
        ("größe", True),
        ("'; DROP TABLE", False),
        ("!!! & | : *", False),
        ("\\", False),
        ('"4711"', True),
        ("4711", False),  # a conversation's or message's number
        ("9001", True),
        ("#133", True),
        ("999999999999999999999", False),
    ],
)
def test_search_finds_words_beginnings_and_numbers(
    admin_client: Client, said: Said, text: str, found: bool
) -> None:
    event = said(text="Order 4711: the tent has a torn seam, Größe 42.")
    said(9002, "Something else", conversation=None, chatwoot_conversation_id=7)

    assert listed(admin_client, q=text) == ([event.pk] if found else [])


def test_search_finds_a_delivery(admin_client: Client, said: Said) -> None:
    event = said(delivery_key="9f1c2d3e-0000-4000-8000-1234567890ab")
    said(9002)

    assert listed(admin_client, q="9f1c2d3e-0000-4000-8000-1234567890ab") == [event.pk]


def test_words_are_looked_up_in_the_index(admin_client: Client, said: Said) -> None:
    event = said(text="a torn seam")
    WebhookEvent.objects.bulk_create(
        WebhookEvent(
            account=event.account,
            delivery_key=f"d-{number}",
            name="message_created",
            chatwoot_conversation_id=1,
            chatwoot_message_id=100_000 + number,
            payload={"content": f"word{number} of many"},
            received_at=event.received_at,
            status=WebhookEvent.Status.PROCESSED,
        )
        for number in range(3000)
    )
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE conversations_webhookevent")
    with CaptureQueriesContext(connection) as queries:
        assert listed(admin_client, q="seam") == [event.pk]
    (search,) = (q["sql"] for q in queries if "to_tsquery" in q["sql"])
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN {search}")
        plan = "\n".join(line for (line,) in cursor.fetchall())

    assert "webhookevent_words" in plan


@pytest.mark.parametrize("newest", [2, 4, 100])
def test_of_a_frequent_word_the_newest_are_listed_and_it_says_so(
    admin_client: Client, said: Said, monkeypatch: pytest.MonkeyPatch, newest: int
) -> None:
    monkeypatch.setattr(words, "MOST", 3)
    monkeypatch.setattr(words, "NEWEST", newest)
    at = datetime(2026, 3, 5, tzinfo=timezone.get_default_timezone())
    old = said(1, "a torn seam", received_at=at)
    new = [said(number, "a torn seam").pk for number in (2, 3, 4)]
    said(5, "Something else")

    assert listed(admin_client, q="seam") == new[::-1]
    response = admin_client.get(reverse(LIST), {"q": "seam"})
    assert "Only the newest 3 of them are listed" in "".join(told(response))
    day = {"received_from": "2026-03-05", "received_to": "2026-03-05"}
    assert listed(admin_client, q="seam", **day) == [old.pk]
    assert told(admin_client.get(reverse(LIST), {"q": "seam", **day})) == []
    assert listed(admin_client, q="seam", after=str(new[1])) == [new[0]]


def test_what_is_old_and_rare_is_found_behind_the_newest(
    admin_client: Client, said: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(words, "NEWEST", 2)
    old = said(1, "a torn seam")
    for number in (2, 3, 4):
        said(number, "Something else")

    assert listed(admin_client, q="seam") == [old.pk]
    assert told(admin_client.get(reverse(LIST), {"q": "seam"})) == []


def test_events_of_chosen_days_go_by_time(admin_client: Client, said: Said) -> None:
    at = datetime(2026, 3, 5, 12, tzinfo=timezone.get_default_timezone())
    later = said(1, received_at=at + timedelta(minutes=1))
    earlier = said(2, received_at=at)

    assert listed(admin_client) == [earlier.pk, later.pk]
    assert listed(admin_client, received_from="2026-03-05") == [later.pk, earlier.pk]


@pytest.mark.parametrize(
    ("query", "index"),
    [
        ({"action__exact": "hand_over"}, "webhookevent_handed_over"),
        ({"kind": "widget"}, "webhookevent_unusual"),
        ({"kind": "contact"}, "webhookevent_unusual"),
        ({"kind": "typing"}, "webhookevent_unusual"),
        ({"kind": "other"}, "webhookevent_unusual"),
        ({"status__exact": "failed"}, "webhookevent_failed"),
        ({"received_to": "2026-03-05"}, "webhookevent_time"),
    ],
)
def test_rare_events_are_listed_by_an_index(
    admin_client: Client, said: Said, query: dict[str, str], index: str
) -> None:
    account = said().account
    WebhookEvent.objects.bulk_create(
        WebhookEvent(
            account=account,
            delivery_key=f"delivery {number}",
            name="conversation_updated",
            payload={},
            received_at=timezone.now(),
            status="processed",
            action="ignore",
        )
        for number in range(2000)
    )
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE conversations_webhookevent")
    request = RequestFactory().get(reverse(LIST), query)
    request.user = User.objects.get(username="admin")
    model_admin = admin.site._registry[WebhookEvent]
    rows = model_admin.get_changelist_instance(request).queryset

    assert f"using {index} on" in rows[:51].explain()


def test_filters_by_day_bot_state_and_reason(
    admin_client: Client, said: Said, bot: Bot
) -> None:
    day = datetime(2026, 3, 5, tzinfo=timezone.get_default_timezone())
    early = said(1, received_at=day - timedelta(seconds=1))
    first = said(2, received_at=day, reason="paused")
    last = said(3, received_at=day + timedelta(days=1, seconds=-1))
    said(4, received_at=day + timedelta(days=1))

    within = {"received_from": "2026-03-05", "received_to": "2026-03-05"}
    assert listed(admin_client, **within) == [last.pk, first.pk]
    assert listed(admin_client, received_to="2026-03-04") == [early.pk]
    assert listed(admin_client, **within, reason__exact="paused") == [first.pk]
    assert listed(admin_client, **within, bot=str(bot.pk)) == [last.pk, first.pk]
    other = make_bot(make_account(account_id=3))
    assert listed(admin_client, bot=str(other.pk)) == []
    for nonsense in ("yesterday", "0001-01-01", "9999-12-31", ""):
        assert len(listed(admin_client, received_from=nonsense)) in (0, 4)


def test_the_day_filter_keeps_the_others(admin_client: Client, said: Said) -> None:
    said()
    query = {"reason__exact": "paused", "received_from": "2026-03-05"}

    text = admin_client.get(reverse(LIST), query).content.decode()

    assert '<input type="hidden" name="reason__exact" value="paused">' in text
    assert 'name="received_from" value="2026-03-05"' in text


# --- One event ---------------------------------------------------------------------


def test_the_page_reads_the_payload_for_people(
    admin_client: Client, bot: Bot, payload: Callable[[str], JsonObject]
) -> None:
    sample = payload("message_created_incoming_text")
    event = make_event(bot.account, sample, status="processed", action="ignore")

    text = admin_client.get(admin_url(event)).content.decode()

    assert "The conversation, as this event told it" in text
    assert "(customer #" in text
    # The raw JSON is folded.
    assert text.index("<details") < text.index("&quot;event&quot;")


def test_the_page_says_what_would_happen_and_does_it(
    admin_client: Client, said: Said, queue: Queue
) -> None:
    event = said()
    url = reverse("admin:conversations_webhookevent_replay", args=[event.pk])
    text = admin_client.get(admin_url(event)).content.decode()
    assert "The bot would answer." in text
    assert url in text

    response = admin_client.post(url)

    turn = Turn.objects.get()
    assert response["Location"] == admin_url(turn)
    assert told(response) == [f"The message is answered in turn {turn.pk}."]
    assert queue.tasks() == [("run_turn", [turn.pk])]
    page = admin_client.get(admin_url(turn)).content.decode()
    assert "admin asked for it." in page


def test_what_needs_force_is_not_done_without(
    admin_client: Client, said: Said, queue: Queue
) -> None:
    Conversation.objects.update(last_human_message_id=9010)
    event = said()
    url = reverse("admin:conversations_webhookevent_replay", args=[event.pk])
    assert 'name="force"' in admin_client.get(admin_url(event)).content.decode()

    refused = admin_client.post(url)
    assert refused["Location"] == admin_url(event)
    assert told(refused)[-1].startswith("A human has answered the customer since.")
    assert Turn.objects.count() == 0

    admin_client.post(url, {"force": "yes"})
    assert Turn.objects.get().despite_message_id == 9010
    assert len(queue.tasks()) == 1


def test_the_former_turn_points_to_the_later_one(
    admin_client: Client, turn: Turn
) -> None:
    Turn.objects.filter(pk=turn.pk).update(
        status="handed_over", reason="dify_failed", finished_at=timezone.now()
    )
    event = turn.events.get()
    admin_client.post(
        reverse("admin:conversations_webhookevent_replay", args=[event.pk])
    )
    later = Turn.objects.latest("pk")

    text = admin_client.get(admin_url(turn)).content.decode()

    assert "Its messages were answered once more in" in text
    assert admin_url(later) in text
    assert admin_url(turn) in admin_client.get(admin_url(later)).content.decode()


def test_another_bot_is_asked_on_the_page(
    admin_client: Client, said: Said, bot: Bot
) -> None:
    other = make_bot(bot.account, name="Nightbot", enabled=False)
    event = said()

    text = admin_client.get(admin_url(event), {"bot": other.pk}).content.decode()

    assert "if “Nightbot” answered this inbox" in text
    assert "The bot is switched off. Switch it on first." in text
    assert (
        reverse("admin:conversations_webhookevent_replay", args=[event.pk]) not in text
    )
    assert Turn.objects.count() == 0


def test_a_bot_is_asked_about_the_newest_messages(
    admin_client: Client, said: Said, bot: Bot
) -> None:
    said(9001, "The older one")
    said(9002, "The newer one")
    said(9003, "Not for this one", account=make_account(account_id=3))
    Conversation.objects.update(status="resolved")

    page = admin_client.get(reverse(FORESEE), {"bot": bot.pk})

    text = page.content.decode()
    assert text.index("The newer one") < text.index("The older one")
    assert "Not for this one" not in text
    assert text.count("The conversation is “resolved”") == 2
    one = admin_client.get(reverse(FORESEE), {"bot": f"{bot.pk}", "event": "9001"})
    assert "The newer one" not in one.content.decode()
    none = admin_client.get(reverse(FORESEE), {"bot": f"{bot.pk}", "event": "x"})
    assert "There is no such message." in none.content.decode()
    assert admin_client.get(reverse(FORESEE)).status_code == 200


# --- Many events ---------------------------------------------------------------------


def press(client: Client, *events: WebhookEvent, **more: str) -> Any:
    data = {
        "action": "replay_events",
        "_selected_action": [str(event.pk) for event in events],
        **more,
    }
    return client.post(reverse(LIST), data)


def test_a_dry_run_comes_first_and_does_nothing(
    admin_client: Client, said: Said, queue: Queue
) -> None:
    Conversation.objects.update(last_human_message_id=9002)
    old, new = said(9001), said(9003)

    text = press(admin_client, old, new).content.decode()

    assert "1 event would do something." in text
    assert "1 more only if you say so below." in text
    assert "A human has answered the customer since." in text
    assert text.count('name="_selected_action"') == 2
    assert Turn.objects.count() == 0
    assert Job.objects.count() == 0
    assert queue.tasks() == []


def test_a_dry_run_of_nothing_has_no_button(admin_client: Client, said: Said) -> None:
    Conversation.objects.update(status="open")

    text = press(admin_client, said()).content.decode()

    assert "use “Answer again” on the conversation&#x27;s page" in text
    assert 'name="confirmed"' not in text


@pytest.mark.parametrize("force", [False, True])
def test_confirmed_it_is_a_job_with_a_report(
    admin_client: Client, said: Said, force: bool
) -> None:
    Conversation.objects.update(last_human_message_id=9002)
    events = [said(9001), said(9003)]
    more = {"force": "yes"} if force else {}

    response = press(admin_client, *events, confirmed="yes", **more)

    job = Job.objects.get()
    assert response["Location"] == admin_url(job)
    assert (job.kind, job.actor, job.total) == ("replay", "admin", 1)
    jobs.work(job.pk)
    item = JobItem.objects.get()
    assert item.status == "done"
    turn = Turn.objects.get()
    assert turn.events.count() == (2 if force else 1)
    assert turn.despite_message_id == (9002 if force else 0)


def test_a_dry_run_costs_the_same_for_each_event(
    admin_client: Client, said: Said, bot: Bot
) -> None:
    events = [said(number) for number in range(9001, 9009)]
    press(admin_client, events[0])
    costs = []
    for count in (1, 4, 7):
        with CaptureQueriesContext(connection) as queries:
            press(admin_client, *events[:count])
        costs.append(len(queries))

    # A few for each event, and none that grows with the others.
    assert costs[2] - costs[1] == costs[1] - costs[0]


# --- Who may -------------------------------------------------------------------------


def test_an_auditor_sees_what_would_happen_and_may_not_do_it(
    client: Client, said: Said, bot: Bot
) -> None:
    event = said()
    a_user(client, "view_webhookevent", "view_turn", "view_conversation", "view_bot")
    url = reverse("admin:conversations_webhookevent_replay", args=[event.pk])

    text = client.get(admin_url(event)).content.decode()
    assert "The bot would answer." in text
    assert url not in text
    assert client.get(reverse(FORESEE), {"bot": bot.pk}).status_code == 200
    assert client.post(url).status_code == 403
    press(client, event, confirmed="yes")
    assert Job.objects.count() == 0
    assert Turn.objects.count() == 0


def test_an_operator_may_replay(client: Client, said: Said) -> None:
    event = said()
    a_user(client, "view_webhookevent", "change_webhookevent")

    client.post(reverse("admin:conversations_webhookevent_replay", args=[event.pk]))

    assert Turn.objects.get().asked_by == "olga"


def test_who_may_not_look_sees_nothing(client: Client, said: Said) -> None:
    said()
    a_user(client, "view_conversation")

    assert client.get(reverse(FORESEE)).status_code == 403


def test_a_replay_is_no_get(admin_client: Client, said: Said) -> None:
    url = reverse("admin:conversations_webhookevent_replay", args=[said().pk])

    assert admin_client.get(url).status_code == 405
    assert admin_client.post(url.replace("/replay", "9/replay")).status_code == 404


def test_the_list_opens_without_a_conversation(
    admin_client: Client, said: Said, bot: Bot
) -> None:
    make_conversation(bot, chatwoot_conversation_id=9)
    event = said(conversation=None, action=Action.IGNORE)

    assert listed(admin_client) == [event.pk]
