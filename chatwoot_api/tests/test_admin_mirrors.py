"""The lists of what was read from Chatwoot, and the button that reads it."""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
import responses
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.db.models import Model
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from chatwoot_api.models import (
    Agent,
    AttributeDefinition,
    ChatwootAccount,
    Inbox,
    Label,
    Team,
)
from chatwoot_api.tests.test_sync import COUNTS, serve
from chatwoot_api.tests.wired import ROOT, account_values

pytestmark = pytest.mark.django_db

MIRRORS: tuple[type[Model], ...] = (Team, Agent, Label, AttributeDefinition, Inbox)


@pytest.fixture
def account() -> ChatwootAccount:
    return ChatwootAccount.objects.create(**account_values(name="Nordlicht"))


def fill(account: ChatwootAccount, *, count: int = 1, word: str = "x") -> None:
    for n in range(count):
        name = f"{word}-{n}"
        Team.objects.create(
            account=account, chatwoot_team_id=n, name=name, description="<b>First</b>"
        )
        Agent.objects.create(account=account, chatwoot_agent_id=n, name=name, role="?")
        Label.objects.create(account=account, chatwoot_label_id=n, title=name)
        Inbox.objects.create(account=account, chatwoot_inbox_id=n, name=name)
        AttributeDefinition.objects.create(
            account=account,
            chatwoot_definition_id=n,
            key=name,
            model="company_attribute",
            display_type="map_of_places",
            values=["Berlin", "<i>Bonn</i>"],
        )


def page(model: type[Model], name: str, *args: object) -> str:
    return reverse(f"admin:chatwoot_api_{model._meta.model_name}_{name}", args=args)


def get(client: Client, url: str, **query: str) -> str:
    response = client.get(url, query)
    assert response.status_code == 200
    return html.unescape(response.content.decode())


@pytest.mark.parametrize("model", MIRRORS)
def test_is_looked_at_and_changed_by_nobody(
    admin_client: Client, account: ChatwootAccount, model: type[Model]
) -> None:
    fill(account)
    row = model._default_manager.get()

    text = get(admin_client, page(model, "change", row.pk))

    assert "x-0" in text
    assert 'name="_save"' not in text
    assert admin_client.get(page(model, "add")).status_code == 403
    assert admin_client.post(page(model, "delete", row.pk)).status_code == 403


@pytest.mark.parametrize("model", MIRRORS)
def test_is_found_by_name_and_account(
    admin_client: Client, account: ChatwootAccount, model: type[Model]
) -> None:
    other = ChatwootAccount.objects.create(**account_values(key="b", account_id=3))
    fill(account, word="mine")
    fill(other, word="theirs")
    url = page(model, "changelist")

    both = get(admin_client, url)
    filtered = get(admin_client, url, account__id__exact=str(account.pk))
    searched = get(admin_client, url, q="theirs")

    assert ("mine-0" in both, "theirs-0" in both) == (True, True)
    assert ("mine-0" in filtered, "theirs-0" in filtered) == (True, False)
    assert ("mine-0" in searched, "theirs-0" in searched) == (False, True)


@pytest.mark.parametrize("model", MIRRORS)
def test_a_longer_list_asks_no_more(
    admin_client: Client, account: ChatwootAccount, model: type[Model]
) -> None:
    def queries() -> int:
        with CaptureQueriesContext(connection) as caught:
            get(admin_client, page(model, "changelist"))
        return len(caught)

    fill(account, word="a")
    queries()
    few = queries()
    for each in MIRRORS:
        each._default_manager.all().delete()
    fill(account, count=9, word="b")

    assert queries() == few


def test_what_came_from_chatwoot_is_text(
    admin_client: Client, account: ChatwootAccount
) -> None:
    fill(account)
    pages = (
        page(Team, "changelist"),
        page(Team, "change", Team.objects.get().pk),
        page(AttributeDefinition, "changelist"),
        page(AttributeDefinition, "change", AttributeDefinition.objects.get().pk),
    )
    for url in pages:
        text = admin_client.get(url).content.decode()
        assert "<b>First" not in text
        assert "<i>Bonn" not in text
    # A type and a model that a newer Chatwoot brought are shown as they are.
    for url in pages[2:]:
        text = get(admin_client, url)
        assert "company_attribute" in text
        assert "map_of_places" in text


def read(client: Client, account: ChatwootAccount) -> str:
    url = reverse("admin:chatwoot_api_chatwootaccount_read", args=[account.pk])
    response = client.post(url, follow=True)
    assert response.redirect_chain[-1][0] == page(ChatwootAccount, "change", account.pk)
    return html.unescape(response.content.decode())


def read_selected(client: Client, account: ChatwootAccount) -> str:
    data: dict[str, Any] = {
        "action": "read_selected",
        "_selected_action": [account.pk],
    }
    url = page(ChatwootAccount, "changelist")
    return html.unescape(client.post(url, data, follow=True).content.decode())


@pytest.mark.parametrize("press", [read, read_selected])
def test_reads_at_once_and_says_how_much(
    admin_client: Client,
    account: ChatwootAccount,
    wire: responses.RequestsMock,
    press: Callable[[Client, ChatwootAccount], str],
) -> None:
    serve(wire)

    text = press(admin_client, account)

    assert (
        "“Nordlicht” was read: 2 teams, 1 agent, 1 label, 1 attribute, 1 inbox." in text
    )
    assert len(wire.calls) == 5
    assert Team.objects.count() == COUNTS["teams"]


def test_shows_when_and_what_was_read(
    admin_client: Client, account: ChatwootAccount
) -> None:
    url = page(ChatwootAccount, "change", account.pk)
    before = get(admin_client, url)
    assert "Not read yet." in before
    assert "read-from-chatwoot/" in before

    fill(account, count=3)
    at = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)
    ChatwootAccount.objects.update(mirrored_at=at)
    text = get(admin_client, url)

    assert "2026-11-22" in text
    counts = {
        href.split("/")[3]: int(number)
        for href, number in re.findall(
            r'href="([^"]+account__id__exact=\d+)">[^<]+</a>: (\d+)', text
        )
    }
    assert counts == dict.fromkeys(
        ("team", "agent", "label", "attributedefinition", "inbox"), 3
    )
    assert "read-from-chatwoot/" not in get(admin_client, page(ChatwootAccount, "add"))


@pytest.mark.parametrize(
    ("fields", "answer", "says"),
    [
        ({"admin_token": ""}, {}, "has no administrator token"),
        (
            {},
            {"status": 401, "json": {"error": "Invalid Access Token"}},
            "does not accept the administrator token",
        ),
        (
            {},
            {
                "status": 401,
                "json": {"error": "You are not authorized to do this action"},
            },
            "does not let the owner",
        ),
        ({}, {"status": 404, "body": "<html>"}, "address and account number are wrong"),
        ({}, {"status": 503}, "could not be reached, or is overloaded"),
        ({}, {"body": "<html>"}, "could not be read"),
    ],
)
def test_says_why_nothing_was_read(
    admin_client: Client,
    wire: responses.RequestsMock,
    fields: dict[str, Any],
    answer: dict[str, Any],
    says: str,
) -> None:
    account = ChatwootAccount.objects.create(**account_values(**fields))
    Team.objects.create(account=account, chatwoot_team_id=1, name="known")
    if answer:
        wire.get(f"{ROOT}/teams", **answer)

    assert says in read(admin_client, account)
    assert Team.objects.count() == 1
    assert len(wire.calls) == len([answer] if answer else [])


def test_who_may_only_look_may_not_read(
    client: Client, account: ChatwootAccount, wire: responses.RequestsMock
) -> None:
    reader = User.objects.create_user("reader", is_staff=True)
    reader.user_permissions.add(Permission.objects.get(codename="view_chatwootaccount"))
    client.force_login(reader)

    assert "but not change them" in read(client, account)
    assert "was read" not in read_selected(client, account)
    assert len(wire.calls) == 0


def test_an_account_that_is_gone_or_a_mere_look_reads_nothing(
    admin_client: Client, account: ChatwootAccount, wire: responses.RequestsMock
) -> None:
    url = reverse("admin:chatwoot_api_chatwootaccount_read", args=[account.pk])
    gone = reverse("admin:chatwoot_api_chatwootaccount_read", args=[account.pk + 1])

    assert admin_client.get(url).status_code == 405
    assert admin_client.post(gone).status_code == 302
    assert len(wire.calls) == 0
