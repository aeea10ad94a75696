"""Lists: paged by key, without a count; the last page costs what the first does."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from auditlog.models import LogEntry
from django.contrib import admin
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.options import ModelAdmin
from django.contrib.auth.models import Group, User
from django.contrib.messages import get_messages
from django.core.exceptions import ImproperlyConfigured
from django.db import connection, models
from django.test import Client, RequestFactory
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone
from django_celery_results.models import TaskResult

from bridge_project.lib import words
from bridge_project.lib.admin_base import BridgeAdmin, list_url
from bridge_project.lib.keyset import BadKey, KeysetChangeList, Order
from bridge_project.lib.types import JsonObject
from chatwoot_api.models import Inbox
from conversations.admin import paused
from conversations.decisions import is_paused, situation_of
from conversations.models import (
    Alert,
    AlertChannel,
    AuditEntry,
    Bot,
    Callback,
    Conversation,
    Draft,
    FlowForm,
    Job,
    OpenAIServer,
    OutgoingMessage,
    PipelineRun,
    Retention,
    Turn,
    UpstreamCall,
    WebhookEvent,
)
from conversations.tests.admin_rows import (
    make_mirrors,
    make_reports,
    make_turns_with_everything,
)
from conversations.tests.factories import (
    make_account,
    make_app,
    make_bot,
    make_conversation,
    make_turn,
)

pytestmark = pytest.mark.django_db

REGISTERED = sorted(admin.site._registry, key=lambda model: model._meta.label)
BIG = (
    WebhookEvent,
    Turn,
    Draft,
    FlowForm,
    PipelineRun,
    OutgoingMessage,
    UpstreamCall,
    Callback,
    Conversation,
    AuditEntry,
    LogEntry,
    TaskResult,
)


@pytest.fixture
def sample(payload: Callable[[str], JsonObject]) -> JsonObject:
    return payload("message_created_incoming_text_bot_owned")


def make_rows(sample: JsonObject, *, count: int) -> None:
    """Rows of each kind, with inboxes, bots, apps and accounts of their own."""
    for number in range(count):
        account = make_account(account_id=100 + number)
        bot = make_bot(account, dify_app=make_app())
        bot.inboxes.add(
            Inbox.objects.create(account=account, chatwoot_inbox_id=1, name="Website")
        )
        Retention.objects.create(account=account)
        OpenAIServer.objects.create(name=f"server-{number}", base_url="http://ai/v1")
        User.objects.create_user(f"user-{number}")
        Group.objects.create(name=f"group-{number}")
        LogEntry.objects.log_create(
            bot,
            force_log=True,
            action=LogEntry.Action.UPDATE,
            changes={"name": ["a", "b"]},
        )
        Job.objects.create(kind="delete_in_dify", actor="lena", account=account)
        channel = AlertChannel.objects.create(name=f"channel-{number}", kind="email")
        Alert.objects.create(
            channel=channel,
            cause="refused_key",
            facts={"kind": "dify", "name": "Support flow"},
        )
    make_turns_with_everything(bot, sample, count=count)
    make_reports(bot, count=count)
    make_mirrors(bot.account, count=count)


def sql_of(client: Client, url: str) -> tuple[list[str], int]:
    """Return the statements of a list's page, and how many rows it shows."""
    with CaptureQueriesContext(connection) as queries:
        response = client.get(url)
    assert response.status_code == 200
    rows = len(response.context["cl"].result_list)
    return [query["sql"] for query in queries], rows


@pytest.mark.parametrize("model", REGISTERED, ids=lambda model: model._meta.label)
def test_every_list_costs_the_same_with_one_row_and_with_many_and_counts_nothing(
    admin_client: Client,
    model: type[models.Model],
    sample: JsonObject,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    url = list_url(model)
    make_rows(sample, count=6)
    admin_client.get(url)
    with monkeypatch.context() as patch:
        patch.setattr(admin.site._registry[model], "list_per_page", 1)
        few, one = sql_of(admin_client, url)

    many, all_ = sql_of(admin_client, url)

    assert one == 1
    assert all_ >= 6
    assert len(many) == len(few), "\n".join(many)
    assert [sql for sql in many if re.search(r"SELECT COUNT\(\*\)", sql)] == []


def test_every_list_of_ours_is_paged_by_key() -> None:
    request = RequestFactory().get("/")
    for model, model_admin in admin.site._registry.items():
        assert isinstance(model_admin, BridgeAdmin), model
        assert model_admin.get_changelist(request) is KeysetChangeList
        assert isinstance(model_admin, ModelAdmin)
        assert model_admin.list_max_show_all == 0


@pytest.fixture
def five(monkeypatch: pytest.MonkeyPatch) -> list[Inbox]:
    """Five inboxes of one name, two on a page."""
    monkeypatch.setattr(admin.site._registry[Inbox], "list_per_page", 2)
    account = make_account()
    return [
        Inbox.objects.create(account=account, chatwoot_inbox_id=number, name="Shop")
        for number in range(5)
    ]


def pages(client: Client, url: str, *, link: str) -> Iterator[Any]:
    """Follow a link from page to page."""
    while url:
        page = client.get(url).context["cl"]
        yield page
        address = getattr(page.paginator, link)
        url = f"{url.partition('?')[0]}{address}" if address else ""


def test_every_row_is_on_one_page_on_the_way_down_and_up(
    admin_client: Client, five: list[Inbox]
) -> None:
    url = list_url(Inbox)

    down = [list(cl.result_list) for cl in pages(admin_client, url, link="older_url")]
    last = list(pages(admin_client, url, link="older_url"))[-1]
    up_url = f"{url}{last.paginator.newer_url}"
    up = [list(cl.result_list) for cl in pages(admin_client, up_url, link="newer_url")]

    assert [len(page) for page in down] == [2, 2, 1]
    assert sum(down, []) == five
    assert up == [five[2:4], five[:2]]


def test_coming_back_to_the_top_shows_a_whole_page(
    admin_client: Client, five: list[Inbox]
) -> None:
    second = Order(Inbox, ("account__name", "name", "pk")).key_of(five[1])

    response = admin_client.get(list_url(Inbox), {"before": second})

    page = response.context["cl"]
    assert list(get_messages(response.wsgi_request)) == []
    assert list(page.result_list) == five[:2]
    assert not page.paginator.newer_url


def test_rows_that_arrive_meanwhile_move_no_row_to_another_page(
    admin_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admin.site._registry[Turn], "list_per_page", 2)
    bot = make_bot()
    conversations = [
        make_conversation(bot, chatwoot_conversation_id=number) for number in range(6)
    ]
    turns = [make_turn(conversation, bot) for conversation in conversations[:5]]
    url = list_url(Turn)
    older = admin_client.get(url).context["cl"].paginator.older_url
    make_turn(conversations[5], bot)

    page = admin_client.get(f"{url}{older}").context["cl"]

    assert list(page.result_list) == [turns[2], turns[1]]
    # A list by number has plain addresses.
    assert parse_qs(urlsplit(older).query) == {"after": [str(turns[3].pk)]}


def test_pages_keep_search_and_filters(
    admin_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admin.site._registry[Conversation], "list_per_page", 2)
    bot = make_bot()
    for number in range(8):
        make_conversation(
            bot,
            chatwoot_conversation_id=number,
            contact_name="Anna" if number % 2 else "Bert",
            status="open" if number != 7 else "resolved",
        )
    url = f"{list_url(Conversation)}?q=anna&status__exact=open"

    found = list(pages(admin_client, url, link="older_url"))

    numbers = [
        [row.chatwoot_conversation_id for row in page.result_list] for page in found
    ]
    assert numbers == [[5, 3], [1]]
    # A filter begins at the first page again.
    text = admin_client.get(
        f"{list_url(Conversation)}{found[0].paginator.older_url}"
    ).content.decode()
    assert "status__exact=pending" in text
    assert not re.search(r"after=[^\"]*status__exact=pending", text)


@pytest.mark.parametrize("name", ["after", "before"])
@pytest.mark.parametrize(
    "key",
    [
        "",
        "x",
        "W10",
        "WyJhIl0",
        "é",
        "\0",
        "9" * 5000,
        "WzEsMiwzLDRd",
        "WyIxIixbXSwzXQ",
        "W251bGwsbnVsbCxudWxsXQ",
    ],
)
def test_a_bad_key_shows_the_first_page_and_says_so(
    admin_client: Client, five: list[Inbox], name: str, key: str
) -> None:
    response = admin_client.get(list_url(Inbox), {name: key})

    assert response.status_code == 200
    assert list(response.context["cl"].result_list) == five[:2]
    (message,) = get_messages(response.wsgi_request)
    assert "names no place in this list" in str(message)


@pytest.mark.parametrize("key", ["x", "1.5", "inf", "-", "9" * 400])
def test_a_list_by_number_survives_any_key(admin_client: Client, key: str) -> None:
    make_turn(make_conversation(bot := make_bot()), bot)

    response = admin_client.get(list_url(Turn), {"after": key})

    assert response.status_code == 200


def test_old_addresses_with_page_numbers_and_orders_still_open(
    admin_client: Client, five: list[Inbox]
) -> None:
    response = admin_client.get(f"{list_url(Inbox)}?p=3&o=-2.1&all=")

    assert list(response.context["cl"].result_list) == five[:2]


def test_names_the_pages_for_those_who_do_not_see_them(
    admin_client: Client, five: list[Inbox]
) -> None:
    first = admin_client.get(list_url(Inbox))
    older = first.context["cl"].paginator.older_url
    second = admin_client.get(f"{list_url(Inbox)}{older}").content.decode()

    assert '<nav aria-label="Pages of the list"' in first.content.decode()
    assert re.search(r'rel="next" href="\?after=[^"]+">\s*Next', first.content.decode())
    assert re.search(r'rel="prev".*Previous', second)
    assert "First page" in second
    assert "2 rows on this page" in second


def test_a_list_that_fits_on_a_page_has_no_pages(admin_client: Client) -> None:
    make_turn(make_conversation(bot := make_bot()), bot)

    text = admin_client.get(list_url(Turn)).content.decode()

    assert "Pages of the list" not in text
    assert "1 row\n" in text


def test_acts_on_ticked_rows_of_a_later_page_and_never_on_the_whole_list(
    admin_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admin.site._registry[Conversation], "list_per_page", 2)
    bot = make_bot()
    rows = [
        make_conversation(bot, chatwoot_conversation_id=number) for number in range(5)
    ]
    url = list_url(Conversation)
    older = admin_client.get(url).context["cl"].paginator.older_url
    ticked = rows[1]

    response = admin_client.post(
        f"{url}{older}",
        {"action": "pause_bot", "select_across": "1", ACTION_CHECKBOX_NAME: ticked.pk},
    )

    assert response.status_code == 302
    assert list(Conversation.objects.filter(paused=True)) == [ticked]
    text = admin_client.get(url).content.decode()
    assert "Select all 5" not in text
    assert "Click here to select the objects across all pages" not in text


# The keys themselves.


def test_keys_order_rows_of_one_moment_and_those_without_one() -> None:
    bot = make_bot()
    moments = [None, 3, 1, 3, None, 2]
    noon = timezone.now()
    for number, minute in enumerate(moments):
        make_conversation(
            bot,
            chatwoot_conversation_id=number,
            waiting_since=None if minute is None else noon + timedelta(minutes=minute),
        )
    for ordering in (
        ("waiting_since", "pk"),
        ("-waiting_since", "-pk"),
        ("-waiting_since", "pk"),
    ):
        order = Order(Conversation, ordering)
        rows = list(Conversation.objects.order_by(*ordering))
        for place, row in enumerate(rows):
            values = order.read(order.key_of(row))
            after = Conversation.objects.filter(order.beyond(values, backwards=False))
            before = Conversation.objects.filter(order.beyond(values, backwards=True))
            assert list(after.order_by(*ordering)) == rows[place + 1 :]
            assert list(before.order_by(*ordering)) == rows[:place]


def test_keys_keep_microseconds() -> None:
    row = make_conversation(make_bot())
    order = Order(Conversation, ("-updated_at", "-pk"))

    assert order.read(order.key_of(row)) == [row.updated_at, row.pk]


def test_a_list_that_cannot_be_paged_by_key_is_refused() -> None:
    for ordering in (("account", "pk"), (models.F("pk").desc(),)):
        with pytest.raises(ImproperlyConfigured):
            Order(Inbox, ordering)


def test_a_naive_time_is_no_key() -> None:
    order = Order(Conversation, ("-updated_at",))

    with pytest.raises(BadKey):
        order.read("2026-11-22T12:00:00")


# Big tables are read by an index.


@pytest.mark.parametrize("model", BIG, ids=lambda model: model._meta.label)
@pytest.mark.parametrize("is_first", [True, False], ids=["first", "deep"])
def test_pages_of_big_tables_are_read_by_an_index(
    admin_client: Client,
    sample: JsonObject,
    model: type[models.Model],
    is_first: bool,
) -> None:
    make_rows(sample, count=2)
    url = list_url(model)
    request = RequestFactory().get(url)
    request.user = User.objects.get(username="admin")
    model_admin = admin.site._registry[model]
    changelist = model_admin.get_changelist_instance(request)
    queryset = changelist.queryset
    order = Order(model, queryset.query.order_by)
    if not is_first:
        row = model._default_manager.order_by(*queryset.query.order_by).first()
        assert row is not None
        values = order.read(order.key_of(row))
        queryset = queryset.filter(order.beyond(values, backwards=False))

    plan = explained(queryset[:51])

    table = model._meta.db_table
    assert f"Seq Scan on {table}" not in plan, plan
    assert not re.search(r"^\s*->  Sort|^Sort|Limit\s.*\n\s*->  Sort", plan), plan


def explained(queryset: models.QuerySet[Any]) -> str:
    """Return the plan for a table that is too long to be read as a whole."""
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        cursor.execute("SET LOCAL enable_sort = off")
        cursor.execute("SET LOCAL enable_bitmapscan = off")
    return str(queryset.explain())


# Conversations.


def found_by(client: Client, **query: str) -> list[int]:
    response = client.get(list_url(Conversation), query)
    assert response.status_code == 200
    rows = response.context["cl"].result_list
    return sorted(row.chatwoot_conversation_id for row in rows)


@pytest.mark.parametrize(
    ("search", "found"),
    [
        ("12", [12]),
        ("#12", [12]),
        ("640", [13]),
        ("anna", [12, 13]),
        ("ANN", [12, 13]),
        ("nna", []),
        ("anna berg", [12]),
        ("berg an", [12]),
        ("o'neil", [14]),
        ("neil", [14]),
        ("mail@anna.test", [15]),
        ("misty-har", [16]),
        ("harbor", [16]),
        ("' | ! & \\", []),
        (":*", []),
        ("9" * 30, []),
    ],
)
def test_conversations_are_found_by_number_name_and_contact(
    admin_client: Client, search: str, found: list[int]
) -> None:
    bot = make_bot()
    for number, name, contact in (
        (12, "Anna Berg", 1),
        (13, "Annabel Stein", 640),
        (14, "Shaun O'Neil", 2),
        (15, "mail@anna.test", 3),
        (16, "misty-harbor-412", None),
    ):
        make_conversation(
            bot,
            chatwoot_conversation_id=number,
            contact_name=name,
            chatwoot_contact_id=contact,
        )

    assert found_by(admin_client, q=search) == found


@pytest.mark.parametrize(
    ("search", "indexes"),
    [
        ("anna", {"conversation_name_words"}),
        (
            "133",
            {"conversation_name_words", "conversation_number", "conversation_contact"},
        ),
    ],
)
def test_conversations_are_searched_by_indexes(search: str, indexes: set[str]) -> None:
    account = make_account()
    Conversation.objects.bulk_create(
        Conversation(
            account=account,
            chatwoot_conversation_id=number,
            chatwoot_contact_id=number,
            contact_name=f"name{number} of{number % 50}",
        )
        for number in range(3000)
    )
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE conversations_conversation")
    model_admin = admin.site._registry[Conversation]

    with CaptureQueriesContext(connection) as queries:
        rows, _ = model_admin.get_search_results(
            RequestFactory().get("/"),
            Conversation.objects.order_by("-updated_at", "-pk"),
            search,
        )

    (sql,) = (q["sql"] for q in queries if "to_tsquery" in q["sql"])
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN {sql}")
        plan = "\n".join(line for (line,) in cursor.fetchall())
    assert set(re.findall(r"on (conversation_\w+)", plan)) == indexes
    assert not rows.filter(contact_name="name0 of0").exists()


@pytest.mark.parametrize("newest", [1, 100], ids=["window", "all"])
def test_a_name_of_many_shows_who_was_seen_last_and_says_so(
    admin_client: Client, monkeypatch: pytest.MonkeyPatch, newest: int
) -> None:
    monkeypatch.setattr(words, "MOST", 2)
    monkeypatch.setattr(words, "NEWEST", newest)
    bot = make_bot()
    for number in (1, 2, 3):
        make_conversation(
            bot, chatwoot_conversation_id=number, contact_name=f"Anna {number}"
        )
    Conversation.objects.filter(chatwoot_conversation_id=1).update(
        updated_at=timezone.now()
    )

    assert found_by(admin_client, q="anna") == [1, 3]
    response = admin_client.get(list_url(Conversation), {"q": "anna"})
    assert "newest 2 of them" in response.content.decode()
    assert found_by(admin_client, q="anna 2") == [2]


def test_those_who_wait_are_shown_longest_first(admin_client: Client) -> None:
    bot, now = make_bot(), timezone.now()
    for number, minutes in ((1, 5), (2, None), (3, 90)):
        make_conversation(
            bot,
            chatwoot_conversation_id=number,
            waiting_since=None if minutes is None else now - timedelta(minutes=minutes),
        )

    response = admin_client.get(list_url(Conversation), {"waiting": "yes"})

    rows = response.context["cl"].result_list
    assert [row.chatwoot_conversation_id for row in rows] == [3, 1]
    assert "1\xa0hour, 30\xa0minutes" in response.content.decode()


ATTRIBUTES: tuple[object, ...] = (
    True,
    False,
    None,
    0,
    1,
    "",
    " No ",
    "yes",
    "null",
    "off",
    "until Monday",
    [],
    {},
    ["x"],
)


def test_the_filter_finds_those_that_are_paused_in_any_way(
    admin_client: Client,
) -> None:
    account = make_account()
    bot = make_bot(account, pause_label="silent", pause_attribute="bot_off")
    make_conversation(bot, chatwoot_conversation_id=1, paused=True)
    make_conversation(bot, chatwoot_conversation_id=2, labels=["vip", "silent"])
    make_conversation(bot, chatwoot_conversation_id=3, labels=["bot-paused"])
    for number, value in enumerate(ATTRIBUTES, start=10):
        make_conversation(
            bot,
            chatwoot_conversation_id=number,
            custom_attributes={"bot_off": value, "bot_paused": True},
        )

    expected = [
        row.chatwoot_conversation_id
        for row in Conversation.objects.order_by("chatwoot_conversation_id")
        if is_paused(situation_of(row), bot=bot)
    ]

    assert found_by(admin_client, silent="yes") == expected
    assert len(expected) == 2 + 5
    assert found_by(admin_client, silent="here") == [1]


def test_the_filter_by_bot_goes_by_the_inboxes(admin_client: Client) -> None:
    account = make_account()
    everywhere, shop = make_bot(account), make_bot(account, name="Shop bot")
    one = make_conversation(everywhere, chatwoot_conversation_id=1)
    inbox = Inbox.objects.create(account=account, chatwoot_inbox_id=2, name="Shop")
    shop.inboxes.add(inbox)
    make_conversation(shop, chatwoot_conversation_id=2, inbox=inbox)

    assert one.inbox is not None
    assert found_by(admin_client, bot=str(everywhere.pk)) == [1]
    assert found_by(admin_client, bot=str(shop.pk)) == [2]
    assert found_by(admin_client, bot="x") == []
    assert found_by(admin_client, inbox__id__exact=str(inbox.pk)) == [2]


def test_chooses_the_bots_of_many_inboxes_as_of_one() -> None:
    for enabled in (True, False):
        account = make_account(account_id=3 + enabled)
        inboxes = [
            Inbox.objects.create(account=account, chatwoot_inbox_id=number, name="")
            for number in range(3)
        ]
        for name, on, where in (
            ("all, off", False, []),
            ("all, older", enabled, []),
            ("all", True, []),
            ("first, off", False, [0]),
            ("second", enabled, [1, 2]),
            ("second, younger", True, [1]),
        ):
            bot = make_bot(account, name=name, enabled=on)
            bot.inboxes.set([inboxes[number] for number in where])

    chosen = paused.bots_of(Inbox.objects.all())

    assert len(chosen) == 6
    for inbox in Inbox.objects.all():
        assert chosen[inbox.pk] == Bot.objects.for_inbox(inbox)


def test_the_list_of_turns_adds_up_tokens_and_cost(
    admin_client: Client, sample: JsonObject
) -> None:
    (turn,) = make_turns_with_everything(make_bot(), sample, count=1)
    run = turn.runs.get()
    run.pk = None
    run.save()

    text = admin_client.get(reverse("admin:conversations_turn_changelist"))

    assert "1,624" in text.content.decode()
    assert "0.002408 USD" in text.content.decode()
