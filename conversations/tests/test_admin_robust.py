"""No page breaks: not without the key of the secrets, not by what an address says."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from auditlog.models import LogEntry
from cryptography.fernet import Fernet
from django.contrib.auth.models import User
from django.db import models
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django import Settings

from bridge_project.lib.types import JsonObject
from chatwoot_api.models import ChatwootAccount, Inbox, Wish
from conversations import audit, jobs
from conversations.admin.audit import DETAIL_NAMES
from conversations.admin.wish_urls import WISHES
from conversations.jobs.kinds import pull
from conversations.models import (
    ActionLock,
    AlertChannel,
    AuditEntry,
    Bot,
    Retention,
    Turn,
    WebhookEvent,
)
from conversations.tests.admin_rows import (
    make_mirrors,
    make_reports,
    make_turns_with_everything,
)
from conversations.tests.factories import make_account, make_bot
from conversations.tests.test_admin_pages import EDITABLE, HISTORY, page
from dify_api.models import DifyApp

pytestmark = pytest.mark.django_db


@pytest.fixture
def bot(payload: Callable[[str], JsonObject]) -> Bot:
    sample = payload("message_created_incoming_text_bot_owned")
    bot = make_bot()
    make_turns_with_everything(bot, sample, count=2)
    make_reports(bot, count=2)
    make_mirrors(bot.account, count=2)
    Retention.objects.create(account=bot.account)
    AlertChannel.objects.create(
        name="On call", kind="webhook", url="https://a.test/x", secret="s" * 32
    )
    Wish.objects.create(
        account=bot.account,
        kind="team",
        identity="sales",
        name="sales",
        fields={"name": "sales"},
    )
    return bot


@pytest.fixture
def reader(admin_user: User) -> Client:
    """An administrator's browser that gets faults as pages."""
    client = Client(raise_request_exception=False)
    client.force_login(admin_user)
    return client


def _own_pages(bot: Bot) -> Iterator[str]:
    wish = Wish.objects.get()
    account = bot.account_id
    yield reverse("admin:index")
    for name in ("setup", "doctor", "celery", "celery-state", "configuration"):
        yield reverse(f"bridge:{name}")
    yield reverse("bridge:doctor") + f"?bot={bot.pk}"
    yield reverse("bridge:doctor-lines") + f"?account={account}"
    yield reverse("bridge:doctor-lines") + f"?app={bot.dify_app_id}"
    yield reverse("bridge:playground", args=[bot.pk])
    yield reverse("bridge:wishes")
    yield reverse("bridge:wishes") + f"?account={account}"
    yield from _wish_pages(account, wish.pk)


def _wish_pages(account: int, wish: int) -> Iterator[str]:
    for one in WISHES:
        text = str(one.pattern)
        args: list[object] = []
        if "account_id" in text:
            args.append(account)
        if ":kind" in text:
            args.append("team")
        if "wish_id" in text:
            args.append(wish)
        if args:
            yield reverse(f"bridge:{one.name}", args=args)


def _model_pages() -> Iterator[str]:
    for model in (*HISTORY, *EDITABLE):
        yield page(model, "changelist")
        row = model._default_manager.values_list("pk", flat=True).first()
        if row is not None:
            yield page(model, "change", row)
            yield page(model, "history", row)
    for model in EDITABLE:
        yield page(model, "add")


def _faults(client: Client, urls: Iterator[str] | list[str]) -> list[str]:
    return [url for url in urls if client.get(url).status_code >= 500]


def test_every_page_opens_without_the_key_of_the_secrets(
    reader: Client, bot: Bot, settings: Settings
) -> None:
    urls = [*_own_pages(bot), *_model_pages()]
    settings.FIELD_ENCRYPTION_KEYS = [Fernet.generate_key().decode()]

    assert _faults(reader, urls) == []


def test_no_odd_value_in_an_address_breaks_a_page(reader: Client, bot: Bot) -> None:
    lists = [page(model, "changelist") for model in (*HISTORY, *EDITABLE)]
    own = [url for url in _own_pages(bot) if "?" not in url and "write" not in url]
    urls = [
        *(f"{url}?before={{0}}&q={{0}}" for url in lists),
        *(f"{url}?bot={{0}}&account={{0}}&page={{0}}&kind={{0}}" for url in own),
        page(WebhookEvent, "changelist") + "?name={0}",
        page(Turn, "changelist") + "?reason__exact={0}",
        page(LogEntry, "changelist") + "?who={0}",
    ]

    odd = ("9" * 40, "%00")
    assert _faults(reader, [url.format(value) for url in urls for value in odd]) == []


# --- Secrets stay where they were entered for -----------------------------------------


def test_a_secret_that_no_key_reads_survives_saving_the_form(
    admin_client: Client, bot: Bot, settings: Settings
) -> None:
    key = settings.FIELD_ENCRYPTION_KEYS
    account = ChatwootAccount.objects.get()
    url = page(ChatwootAccount, "change", account.pk)
    settings.FIELD_ENCRYPTION_KEYS = [Fernet.generate_key().decode()]

    assert "no key reads it" in admin_client.get(url).content.decode()
    answer = admin_client.post(
        url,
        {
            "name": "Renamed",
            "key": account.key,
            "base_url": account.base_url,
            "account_id": account.account_id,
            "admin_token": "entered-anew",
        },
    )
    assert answer.status_code == 302
    settings.FIELD_ENCRYPTION_KEYS = [*settings.FIELD_ENCRYPTION_KEYS, *key]
    found = ChatwootAccount.objects.get()
    assert (found.name, found.admin_token) == ("Renamed", "entered-anew")
    assert found.bot_token == account.bot_token != ""


@pytest.mark.parametrize(
    ("model", "names"),
    [(ChatwootAccount, ("bot_token", "admin_token")), (DifyApp, ("api_key",))],
)
def test_a_stored_token_is_not_sent_to_another_server(
    admin_client: Client, bot: Bot, model: type[models.Model], names: tuple[str, ...]
) -> None:
    ChatwootAccount.objects.update(admin_token="an-admin-token")
    row = model._default_manager.get()
    before = row.base_url  # type: ignore[attr-defined]
    url = page(model, "change", row.pk)
    form = admin_client.get(url).context["adminform"].form
    data = {n: v for n, v in form.initial.items() if v is not None}
    data["base_url"] = "https://elsewhere.test"

    refused = admin_client.post(url, data)
    assert set(refused.context["adminform"].form.errors) == set(names)
    row.refresh_from_db()
    assert row.base_url == before  # type: ignore[attr-defined]

    taken = admin_client.post(url, {**data, **dict.fromkeys(names, "its-own-token")})
    assert taken.status_code == 302
    row.refresh_from_db()
    assert row.base_url == "https://elsewhere.test"  # type: ignore[attr-defined]
    assert {getattr(row, name) for name in names} == {"its-own-token"}


def test_an_account_of_which_only_was_read_can_be_deleted(admin_client: Client) -> None:
    account = make_account()
    make_mirrors(account, count=1)
    Inbox.objects.create(account=account, chatwoot_inbox_id=5, name="Website")
    Wish.objects.create(account=account, kind="label", identity="a", name="a")
    ActionLock.objects.create(
        account=account,
        chatwoot_conversation_id=1,
        holder=uuid4(),
        expires_at=timezone.now(),
    )
    jobs.start("pull", items=pull.items(), actor="anna", account=account)

    url = page(ChatwootAccount, "delete", account.pk)
    asked = admin_client.get(url)
    answer = admin_client.post(url, {"post": "yes"})

    assert asked.status_code == 200
    assert answer.status_code == 302
    assert not ChatwootAccount.objects.exists()
    assert AuditEntry.objects.get().verb == AuditEntry.Verb.STARTED_JOB


def test_every_detail_of_the_audit_has_a_name() -> None:
    folder = Path(audit.__file__).parent
    found: set[str] = set()
    for file in folder.rglob("*.py"):
        if "tests" in file.parts:
            continue
        for node in ast.walk(ast.parse(file.read_text())):
            if not isinstance(node, ast.Call):
                continue
            if ast.unparse(node.func) in ("audit.record", "record", "add_entry"):
                found |= {one.arg for one in node.keywords if one.arg}
    known = {"actor", "account", "conversation"}

    assert found - known - set(DETAIL_NAMES) == set()
