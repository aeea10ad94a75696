"""A bot's callback tokens: made, shown once, listed by their beginnings, ended."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.contrib.sessions.models import Session
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone
from pytest_django import Settings

from access.roles import ADMINISTRATOR, AUDITOR, OPERATOR
from bridge_project.lib.admin_base import admin_url
from conversations import callback_tokens
from conversations.models import AuditEntry, Bot, CallbackToken
from conversations.tests.factories import make_bot

pytestmark = pytest.mark.django_db

WHOLE = re.compile(r"bridge-bot-[A-Za-z0-9_-]{43}")


def make_url(bot: Bot) -> str:
    return reverse("admin:conversations_bot_make_token", args=[bot.pk])


def end_url(token: CallbackToken) -> str:
    return reverse("admin:conversations_bot_end_token", args=[token.bot_id, token.pk])


def new_token(bot: Bot, *, by: str = "anna") -> CallbackToken:
    text = callback_tokens.make(bot, by=by)
    return CallbackToken.objects.select_related("bot").get(prefix=text[:16])


def as_member_of(role: str) -> Client:
    user = User.objects.create(username=role.lower(), is_staff=True)
    user.groups.add(Group.objects.get(name=role))
    client = Client()
    client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    return client


def test_nothing_is_made_before_the_page_was_shown(admin_client: Client) -> None:
    bot = make_bot()

    asked = admin_client.get(make_url(bot))
    unconfirmed = admin_client.post(make_url(bot))

    for answer in (asked, unconfirmed):
        text = answer.content.decode()
        assert "read and change every conversation of this bot's inboxes" in text
        assert not WHOLE.search(text)
    assert not CallbackToken.objects.exists()


def test_a_token_is_shown_in_the_one_answer_that_made_it(admin_client: Client) -> None:
    bot = make_bot()

    answer = admin_client.post(make_url(bot), {"confirmed": "yes"})

    assert answer.status_code == 200
    text = answer.content.decode()
    (token,) = WHOLE.findall(text)
    found = callback_tokens.find(token, now=timezone.now())
    assert found is not None
    assert (found.bot, found.created_by) == (bot, "admin")
    assert "Copy it now: it is not shown again." in text
    assert "Authorization: Bearer {{#env.bridge_token#}}" in text
    assert "no-store" in answer.headers["Cache-Control"]


def test_a_token_stays_nowhere(admin_client: Client) -> None:
    bot = make_bot()
    text = admin_client.post(make_url(bot), {"confirmed": "yes"}).content.decode()
    (token,) = WHOLE.findall(text)
    secret = token[16:]

    pages = [
        admin_client.get(url)
        for url in (
            admin_url(bot),
            make_url(bot),
            reverse("admin:conversations_auditentry_changelist"),
            reverse("admin:conversations_bot_history", args=[bot.pk]),
            reverse("admin:index"),
        )
    ]

    assert [page.status_code for page in pages] == [200] * 5
    assert not [page for page in pages if secret in page.content.decode()]
    assert secret not in str(admin_client.cookies)
    sessions = [row.get_decoded() for row in Session.objects.all()]
    assert sessions != []
    assert secret not in str(sessions)
    assert secret not in str(list(AuditEntry.objects.values()))


def test_the_page_of_the_bot_lists_its_tokens(admin_client: Client) -> None:
    bot, now = make_bot(), timezone.now()
    fresh, leaving, gone = (new_token(bot) for _number in range(3))
    callback_tokens.end(leaving, now=now, after_s=3600, by="boris")
    callback_tokens.end(gone, now=now, by="boris")
    foreign = new_token(make_bot(bot.account))

    text = admin_client.get(admin_url(bot)).content.decode()

    for token in (fresh, leaving, gone):
        assert f"{token.prefix}…" in text
    assert foreign.prefix not in text
    assert text.count("until it is ended") == 1
    assert text.count(">ended</span>") == 1
    assert make_url(bot) in text
    buttons = [end_url(token) in text for token in (fresh, leaving, gone)]
    assert buttons == [True, True, False]


def test_the_page_says_where_there_are_no_tokens_yet(admin_client: Client) -> None:
    new = admin_client.get(reverse("admin:conversations_bot_add")).content.decode()
    saved = admin_client.get(admin_url(make_bot())).content.decode()

    assert "Save the bot first; then its page makes tokens." in new
    assert "None yet. Without one, flows need the input conversation_token." in saved


@pytest.mark.parametrize(("auth", "warned"), [("token", False), ("none", True)])
def test_the_page_warns_while_nobody_is_asked(
    admin_client: Client, settings: Settings, *, auth: str, warned: bool
) -> None:
    settings.CALLBACK_AUTH = auth

    text = admin_client.get(admin_url(make_bot())).content.decode()

    assert ("Nobody is asked for a token at present" in text) is warned


def test_the_page_costs_the_same_with_many_tokens(admin_client: Client) -> None:
    bot = make_bot()
    costs = []
    for _round in range(3):
        new_token(bot)
        new_token(bot)
        with CaptureQueriesContext(connection) as queries:
            admin_client.get(admin_url(bot))
        costs.append(len(queries))

    assert costs[1] == costs[2]


@pytest.mark.parametrize(
    ("when", "hours", "words"),
    [
        ("now", 0, "opens nothing any more."),
        ("in_24_hours", 24, "works for another 24 hours."),
    ],
)
def test_a_token_is_ended_now_or_tomorrow(
    admin_client: Client, *, when: str, hours: int, words: str
) -> None:
    token = new_token(make_bot())
    before = timezone.now()

    answer = admin_client.post(end_url(token), {"when": when}, follow=True)

    assert answer.redirect_chain == [(admin_url(token.bot), 302)]
    assert f"The token {token.prefix}… {words}" in answer.content.decode()
    token.refresh_from_db()
    assert token.expires_at is not None
    end = before + timedelta(hours=hours)
    assert end <= token.expires_at <= timezone.now() + timedelta(hours=hours)


def test_a_token_that_ends_sooner_is_not_prolonged(admin_client: Client) -> None:
    token = new_token(make_bot())
    now = timezone.now()
    callback_tokens.end(token, now=now, after_s=60, by="anna")

    answer = admin_client.post(end_url(token), {"when": "in_24_hours"}, follow=True)

    assert "ends no later anyway." in answer.content.decode()
    token.refresh_from_db()
    assert token.expires_at == now + timedelta(seconds=60)


@pytest.mark.parametrize("form", [None, {}, {"when": "never"}])
def test_no_token_ends_without_a_choice(
    admin_client: Client, form: dict[str, str] | None
) -> None:
    token = new_token(make_bot())

    ask: Any = admin_client.get if form is None else admin_client.post
    answer = ask(end_url(token), form)

    text = answer.content.decode()
    assert 'value="now"' in text
    assert 'value="in_24_hours"' in text
    token.refresh_from_db()
    assert token.expires_at is None


def test_a_token_is_only_ended_at_its_own_bot(admin_client: Client) -> None:
    token = new_token(make_bot())
    other = make_bot(token.bot.account)
    url = reverse("admin:conversations_bot_end_token", args=[other.pk, token.pk])

    assert admin_client.post(url, {"when": "now"}).status_code == 404
    missing = reverse("admin:conversations_bot_make_token", args=[10**9])
    assert admin_client.post(missing, {"confirmed": "yes"}).status_code == 404
    token.refresh_from_db()
    assert token.expires_at is None


@pytest.mark.parametrize("role", [OPERATOR, AUDITOR])
def test_who_may_only_look_sees_how_tokens_begin_and_no_more(role: str) -> None:
    token = new_token(make_bot())
    client = as_member_of(role)

    text = client.get(admin_url(token.bot)).content.decode()
    codes = [
        ask(url, form).status_code
        for ask, url, form in (
            (client.get, make_url(token.bot), None),
            (client.post, make_url(token.bot), {"confirmed": "yes"}),
            (client.get, end_url(token), None),
            (client.post, end_url(token), {"when": "now"}),
        )
    ]

    assert f"{token.prefix}…" in text
    assert token.digest not in text
    assert make_url(token.bot) not in text
    assert end_url(token) not in text
    assert codes == [403] * 4
    assert CallbackToken.objects.get().expires_at is None


def test_an_administrator_makes_and_ends() -> None:
    bot = make_bot()
    client = as_member_of(ADMINISTRATOR)

    client.post(make_url(bot), {"confirmed": "yes"})
    client.post(end_url(CallbackToken.objects.get()), {"when": "now"})

    verbs = AuditEntry.objects.order_by("pk").values_list("actor", "verb")
    assert list(verbs) == [
        ("administrator", "made_token"),
        ("administrator", "ended_token"),
    ]


@pytest.mark.parametrize(
    "ask",
    [
        lambda client, token: client.get(make_url(token.bot)),
        lambda client, token: client.post(make_url(token.bot), {"confirmed": "yes"}),
        lambda client, token: client.post(end_url(token), {"when": "now"}),
    ],
)
def test_a_visitor_is_sent_to_the_login(
    client: Client, ask: Callable[[Client, CallbackToken], Any]
) -> None:
    token = new_token(make_bot())

    answer = ask(client, token)

    assert answer.status_code == 302
    assert answer.url.startswith(reverse("admin:login"))
    assert CallbackToken.objects.get().expires_at is None


def test_another_site_cannot_press_the_button() -> None:
    bot = make_bot()
    client = Client(enforce_csrf_checks=True)
    client.force_login(
        User.objects.create_superuser("boss"),
        backend="django.contrib.auth.backends.ModelBackend",
    )

    assert client.post(make_url(bot), {"confirmed": "yes"}).status_code == 403
    assert not CallbackToken.objects.exists()


def test_a_bot_is_deleted_with_its_tokens(admin_client: Client) -> None:
    token = new_token(make_bot())
    url = reverse("admin:conversations_bot_delete", args=[token.bot_id])

    answer = admin_client.post(url, {"post": "yes"})

    assert answer.status_code == 302
    assert not Bot.objects.exists()
    assert not CallbackToken.objects.exists()
