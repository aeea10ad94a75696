"""What the pages tell of a callback: who called, what was asked, what became of it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from bridge_project.lib.admin_base import admin_url, badge
from bridge_project.lib.types import JsonObject, JsonValue
from conversations.admin.base import callback_badge
from conversations.admin.callback_changes import (
    Change,
    arguments,
    changes,
    readable,
)
from conversations.admin.callback_words import ENDINGS, OPERATIONS, operation_words
from conversations.models import Bot, Callback
from conversations.tests.admin_rows import make_turns_with_everything
from conversations.tests.factories import make_bot, make_callback, make_conversation

LIST = "admin:conversations_callback_changelist"
STARTED: dict[str, JsonValue] = {
    "operation": "start_conversation",
    "before": {"message": None},
    "after": {"message": "Hello"},
    "answer": {"status": "success", "conversation_id": 88, "contact_id": 5},
}
CUT_OFF: dict[str, JsonValue] = {
    "status": "error",
    "code": "outcome_unknown",
    "before": {},
    "after": {},
    "message": "",
    "answer": {},
    "http_status": None,
    "calls": [],
    "duration_ms": None,
}


def test_every_ending_is_explained() -> None:
    assert set(ENDINGS) == set(Callback.Status)


def test_every_operation_of_the_api_has_words(client: Client) -> None:
    paths = client.get("/api/v1/openapi.json").json()["paths"].values()

    names = {one["operationId"] for path in paths for one in path.values()}

    assert set(OPERATIONS) == names


def test_arguments_keep_the_names_of_the_flow() -> None:
    callback = Callback(
        arguments={"team": "x", "custom_attributes": {"region": "north"}, "items": {}}
    )

    assert arguments(callback) == [
        ("team", "x"),
        ("custom_attributes · region", "north"),
        ("items", "–"),
    ]


def test_an_operation_without_words_keeps_its_name() -> None:
    assert operation_words("assign_team") == "assign a team"
    assert operation_words("juggle") == "juggle"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        ("", "–"),
        ([], "–"),
        ({}, "–"),
        (True, "yes"),
        (False, "no"),
        (0, "0"),
        (1.5, "1.5"),
        ("urgent", "urgent"),
        (["a", "b", None], "a, b, –"),
        ([{"title": "Да"}], '[\n  {\n    "title": "Да"\n  }\n]'),
        ({"a": 1}, '{\n  "a": 1\n}'),
    ],
)
def test_values_read_well(value: JsonValue, text: str) -> None:
    assert readable(value) == text


def test_attributes_are_told_one_by_one() -> None:
    callback = Callback(
        before={
            "status": "pending",
            "custom_attributes": {"region": "north", "vip": 1},
        },
        after={
            "status": "pending",
            "custom_attributes": {"region": "south", "vip": 1, "tier": "gold"},
            "colour": None,
        },
    )

    assert changes(callback) == [
        Change("status", "pending", "pending"),
        Change("attributes · region", "north", "south"),
        Change("attributes · vip", "1", "1"),
        Change("attributes · tier", "–", "gold"),
        Change("colour", "–", "–"),
    ]
    assert [change.is_change for change in changes(callback)] == [
        False,
        True,
        False,
        True,
        False,
    ]


def test_the_first_attribute_is_one_line() -> None:
    callback = Callback(
        before={"custom_attributes": {}}, after={"custom_attributes": {"vip": True}}
    )

    assert changes(callback) == [Change("attributes · vip", "–", "yes")]


@pytest.mark.django_db
def test_the_page_tells_the_story(
    admin_client: Client, payload: Callable[[str], JsonObject]
) -> None:
    sample = payload("message_created_incoming_text_bot_owned")
    (turn,) = make_turns_with_everything(make_bot(), sample, count=1)
    callback = Callback.objects.get()

    response = admin_client.get(admin_url(callback))

    text = response.content.decode()
    run = turn.runs.get()
    for part in (
        "A flow of the bot “Nordbot” called with the bot&#x27;s token.",
        "It was done.",
        "assign a team",
        "<code>assign_team</code>",
        "<code>team</code>",
        "billing",
        "Sales",
        "<strong>Billing</strong>",
        "The team is Billing now.",
        "POST /api/v1/accounts/2/conversations/133/assignments",
        "84 ms",
        "120 ms",
        "https://chat.test/app/accounts/2/conversations/501",
        admin_url(turn),
        admin_url(run),
        admin_url(turn.conversation),
    ):
        assert part in text, part


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("caller", "words"),
    [
        ("bot_token", "A flow of the bot “Nordbot” called with the bot's token."),
        ("conversation_token", "the conversation token of its run"),
        ("nobody", "nobody was asked for a token (CALLBACK_AUTH=none)"),
    ],
)
def test_the_page_says_who_called(
    admin_client: Client, *, caller: str, words: str
) -> None:
    callback = make_callback(make_bot(), caller=caller)

    sentences = admin_client.get(admin_url(callback)).context["sentences"]

    assert words in sentences[0]


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("once_key", "words"),
    [
        (None, None),
        ("key:abc", "It carried an Idempotency-Key"),
        ("same:abc", "The same request of the same run within a minute"),
    ],
)
def test_the_page_says_what_a_repeat_gets(
    admin_client: Client, *, once_key: str | None, words: str | None
) -> None:
    callback = make_callback(make_bot(), once_key=once_key)

    sentences = admin_client.get(admin_url(callback)).context["sentences"]

    assert len(sentences) == (2 if words is None else 3)
    assert words is None or sentences[2].startswith(words)


@pytest.mark.django_db
def test_a_refusal_shows_code_and_possible_names(admin_client: Client) -> None:
    callback = make_callback(
        make_bot(),
        status="error",
        code="unknown_team",
        message="There is no team “biling”.",
        answer={"status": "error", "possible": ["Billing", "Sales"]},
        before={},
        after={},
        calls=[
            {"method": "GET", "path": "/teams", "status": None, "error": "unavailable"}
        ],
    )

    response = admin_client.get(admin_url(callback))

    text = response.content.decode()
    assert "<code>unknown_team</code>" in text
    assert "There is no team “biling”." in text
    assert "<dd>Billing, Sales</dd>" in text
    (call,) = response.context["calls"]
    assert call["state"] == badge("no answer", tone="bad")
    assert call["error"] == "not reachable, or overloaded"


@pytest.mark.django_db
def test_what_became_of_each_field_is_told(admin_client: Client) -> None:
    fields = {
        "status": {"result": "applied", "before": "pending", "after": "open"},
        "team": {"result": "refused", "message": "There is no team “x”."},
    }
    callback = make_callback(
        make_bot(), status="partial", answer={"status": "partial", "fields": fields}
    )

    view = admin_client.get(admin_url(callback)).context["view"]

    assert sorted(view.fields) == [
        ("status", badge("done", tone="good"), ""),
        ("team", badge("refused", tone="bad"), "There is no team “x”."),
    ]


@pytest.mark.django_db
def test_texts_of_flows_are_no_html(admin_client: Client) -> None:
    bad = "<script>alert(1)</script>"
    callback = make_callback(
        make_bot(),
        arguments={bad: bad},
        before={bad: bad},
        after={bad: {bad: [bad]}},
        message=bad,
        answer={"message": bad, "possible": [bad], "fields": {bad: {"message": bad}}},
        code="x",
        operation=bad[:64],
        calls=[{"method": bad, "path": bad, "error": bad}],
    )

    pages = [admin_client.get(url) for url in (admin_url(callback), reverse(LIST))]

    assert [page.status_code for page in pages] == [200, 200]
    assert not [page for page in pages if bad in page.content.decode()]


@pytest.mark.django_db
def test_the_page_opens_without_anything_that_hangs_on_it(admin_client: Client) -> None:
    callback = make_callback(
        make_bot(),
        status="running",
        arguments={},
        before={},
        after={},
        message="",
        answer={},
        http_status=None,
        calls=[],
        duration_ms=None,
    )

    Bot.objects.all().delete()

    text = admin_client.get(admin_url(callback)).content.decode()

    # It is being served still, or was cut off.
    assert "No calls were noted." in text
    assert "It is not known." in text
    assert "It passed no arguments." in text
    assert "A flow of the bot “(deleted)” called" in text


@pytest.mark.django_db
def test_the_page_of_the_turn_shows_its_callbacks_between_runs_and_posts(
    admin_client: Client, payload: Callable[[str], JsonObject]
) -> None:
    sample = payload("message_created_incoming_text_bot_owned")
    (turn,) = make_turns_with_everything(make_bot(), sample, count=1)
    callback = Callback.objects.get()

    text = admin_client.get(admin_url(turn)).content.decode()

    places = [
        text.index(f'id="{name}-title"') for name in ("runs", "callbacks", "posts")
    ]
    assert places == sorted(places)
    assert admin_url(callback) in text[places[1] : places[2]]
    assert "The team is Billing now." in text[places[1] : places[2]]


@pytest.mark.django_db
def test_a_list_of_long_answers_is_read_without_them(admin_client: Client) -> None:
    make_callback(
        make_bot(), answer={"messages": ["x"], "result": "applied"}, code="unknown_team"
    )

    response = admin_client.get(reverse(LIST))

    (row,) = response.context["cl"].result_list
    assert {"answer", "calls"} <= row.get_deferred_fields()
    assert row.answer_in_short == {
        "result": "applied",
        "fields": None,
        "conversation_id": None,
    }


@pytest.mark.django_db
def test_a_list_of_many_kinds_costs_the_same_as_of_one(admin_client: Client) -> None:
    bot = make_bot()
    make_callback(bot, conversation=make_conversation(bot))
    costs = []
    for more in ({}, {"operation": "", "answer": {}}, STARTED, CUT_OFF):
        make_callback(bot, **more)
        admin_client.get(reverse(LIST))
        with CaptureQueriesContext(connection) as queries:
            admin_client.get(reverse(LIST))
        costs.append(len(queries))

    assert costs == costs[:1] * 4


@pytest.mark.django_db
def test_what_a_flow_started_is_linked_and_found(admin_client: Client) -> None:
    bot = make_bot()
    callback = make_callback(bot, **STARTED)
    url = bot.account.conversation_url(88)

    found = admin_client.get(f"{reverse(LIST)}?q=88")
    page = admin_client.get(admin_url(callback))

    assert found.context["cl"].result_count == 1
    text = found.content.decode()
    assert f'href="{url}"' in text
    assert "#88" in text
    assert "started #88; “Hello”" in text
    assert page.context["conversation_link"] == "#88"
    assert f'href="{url}"' in page.context["chatwoot_link"]

    # Chatwoot has told of it since.
    conversation = make_conversation(bot, chatwoot_conversation_id=88)
    page = admin_client.get(admin_url(callback))
    assert admin_url(conversation) in page.context["conversation_link"]
    assert f'href="{url}"' in page.context["chatwoot_link"]


@pytest.mark.django_db
def test_a_number_that_chatwoot_does_not_know_is_no_link(admin_client: Client) -> None:
    bot = make_bot()
    callback = make_callback(
        bot,
        status="error",
        code="conversation_not_found",
        answer={"status": "error", "conversation_id": 99},
    )

    text = admin_client.get(f"{reverse(LIST)}?q=99").content.decode()
    page = admin_client.get(admin_url(callback))

    assert "#99" in text
    assert bot.account.conversation_url(99) not in text
    assert page.context["conversation_link"] == "#99"
    assert page.context["chatwoot_link"] == "–"


@pytest.mark.django_db
def test_the_page_says_that_it_was_so_already(admin_client: Client) -> None:
    callback = make_callback(
        make_bot(),
        operation="set_status",
        before={"status": "open"},
        after={"status": "open"},
        answer={"status": "success", "result": "unchanged"},
    )

    page = admin_client.get(admin_url(callback))

    assert "It was so already; nothing was changed." in page.context["sentences"]
    assert "It was done." not in page.context["sentences"]
    assert "open (unchanged)" in page.content.decode()


@pytest.mark.django_db
def test_what_was_refused_before_it_began_is_shown(admin_client: Client) -> None:
    callback = make_callback(
        make_bot(),
        operation="",
        arguments={},
        before={},
        after={},
        status="error",
        code="malformed",
        message="The body is no JSON.",
        answer={},
        http_status=400,
        calls=[],
        duration_ms=0,
    )

    listed = admin_client.get(reverse(LIST)).content.decode()
    page = admin_client.get(admin_url(callback))

    assert "The body is no JSON." in listed
    assert f'href="{admin_url(callback)}' in listed
    text = page.content.decode()
    assert page.context["view"].what == "–"
    assert page.context["sentences"][1].startswith(
        "It was refused before anything began"
    )
    assert "Its arguments were not kept." in text
    assert "It passed no arguments." not in text
    assert "<code></code>" not in text
    assert "<dd>400</dd>" in text


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"code": "outcome_unknown"}, "The process was stopped while it served"),
        ({"code": "internal_error"}, "A fault of the bridge itself ended it"),
        # Chatwoot gave no answer; the flow was told so.
        ({"code": "outcome_unknown", "http_status": 200}, "It was not done."),
    ],
)
def test_the_page_says_what_broke_a_request_off(
    admin_client: Client, *, more: dict[str, JsonValue], words: str
) -> None:
    told = {"answer": {"status": "error"}} if "http_status" in more else {}
    callback = make_callback(make_bot(), **{**CUT_OFF, **told, **more})

    sentences = admin_client.get(admin_url(callback)).context["sentences"]

    assert sentences[1].startswith(words)


@pytest.mark.django_db
def test_a_refusal_without_calls_says_so(admin_client: Client) -> None:
    told: JsonObject = {"status": "error", "code": "bad_value"}
    callback = make_callback(
        make_bot(), status="error", code="bad_value", after={}, before={}, answer=told
    )
    Callback.objects.update(calls=[])

    text = admin_client.get(admin_url(callback)).content.decode()

    assert "Chatwoot was not called." in text
    assert "Nothing." in text


def test_what_was_cut_off_is_no_refusal() -> None:
    assert callback_badge(Callback(**CUT_OFF)) == badge("cut off", tone="warn")
    told = Callback(**{**CUT_OFF, "http_status": 200})
    assert callback_badge(told) == badge("refused", tone="bad")


@pytest.mark.django_db
def test_the_page_of_the_conversation_tells_of_its_callbacks(
    admin_client: Client,
) -> None:
    bot = make_bot()
    conversation = make_conversation(bot)
    rows = [make_callback(bot, conversation=conversation) for _number in range(2)]
    elsewhere = make_callback(bot)

    page = admin_client.get(admin_url(conversation))

    text = page.content.decode()
    assert [admin_url(row) in text for row in rows] == [True, True]
    assert admin_url(elsewhere) not in text
    assert "team Sales → Billing" in text
    assert page.context["all_callbacks"] in text


@pytest.mark.django_db
def test_search_and_filters_find(admin_client: Client) -> None:
    bot = make_bot()
    other = make_bot(bot.account, name="Other")
    conversation = make_conversation(bot)
    day = timezone.now() - timedelta(days=2)
    make_callback(bot, conversation=conversation, status="error", code="unknown_team")
    make_callback(bot, operation="set_status", created_at=day)
    make_callback(other, status="error", code="human_in_charge")

    found = {
        query: admin_client.get(f"{reverse(LIST)}?{query}").context["cl"].result_count
        for query in (
            "q=133",
            "q=UNKNOWN_TEAM",
            "q=team",
            "status__exact=error",
            "look=refused",
            "operation=set_status",
            f"bot__id__exact={other.pk}",
            f"account__id__exact={bot.account_id}",
            f"created_at__gte={(day + timedelta(days=1)):%Y-%m-%dT%H:%M:%SZ}",
        )
    }

    assert list(found.values()) == [1, 1, 0, 2, 1, 1, 1, 3, 2]
