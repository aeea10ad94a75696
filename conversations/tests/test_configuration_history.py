"""Who changed which setting is kept, and no secret with it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from auditlog.context import disable_auditlog
from auditlog.models import LogEntry
from django.contrib.auth.models import Group, User
from django.db import connection
from django.db.models import Model
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from bridge_project.lib.types import JsonObject
from chatwoot_api.models import ChatwootAccount, Inbox, Wish
from conversations.configuration.actors import changes_by
from conversations.configuration.history import TRACKED
from conversations.models import AlertChannel, Bot, Retention
from conversations.tests.factories import SECRET, make_account, make_app, make_bot
from dify_api.models import DifyApp

pytestmark = pytest.mark.django_db

SECRETS = {
    "bot_token": "plain-bot-token",
    "admin_token": "plain-admin-token",
    "webhook_secret": "plain-webhook-secret",
    "previous_webhook_secret": "plain-previous-secret",
    "account_webhook_secret": "plain-account-secret",
    "webhook_token": "plain-webhook-token",
}


def changes_of(row: Model) -> list[JsonObject]:
    entries = LogEntry.objects.get_for_object(row).order_by("pk")
    return [entry.changes for entry in entries]


def stored_text() -> str:
    """Return everything that auditlog's table holds, as PostgreSQL prints it."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT entry::text FROM auditlog_logentry entry")
        return "\n".join(row[0] for row in cursor.fetchall())


@pytest.mark.parametrize("model", TRACKED)
def test_each_field_of_a_tracked_model_has_been_thought_of(
    model: type[Model],
) -> None:
    tracked = TRACKED[model]
    known = {*tracked.fields, *tracked.secrets, *tracked.noise}

    assert {field.name for field in model._meta.concrete_fields} == known
    assert {field.name for field in model._meta.many_to_many} == set(tracked.many)


def test_a_change_is_kept_with_what_was_there_before() -> None:
    bot = make_bot(debounce_s=0)
    bot.debounce_s = 5
    bot.save()

    assert changes_of(bot)[-1] == {"debounce_s": [0, 5]}


def test_a_new_row_is_kept_with_its_values() -> None:
    bot = make_bot(inputs={"x": "contact.name"})

    (made,) = changes_of(bot)
    assert made["name"] == [None, "Nordbot"]
    assert made["inputs"] == [None, {"x": "contact.name"}]


def test_inboxes_that_come_and_go_are_kept() -> None:
    bot = make_bot()
    inbox = Inbox.objects.create(
        account=bot.account, chatwoot_inbox_id=1, name="Website"
    )
    bot.inboxes.add(inbox)
    bot.inboxes.remove(inbox)

    of_inboxes = [found["inboxes"] for found in changes_of(bot)[1:]]
    assert [(o["operation"], o["objects"]) for o in of_inboxes] == [  # type: ignore[index, call-overload]
        ("add", ["Website"]),
        ("delete", ["Website"]),
    ]


def test_neither_a_secret_nor_its_ciphertext_is_kept() -> None:
    account = make_account(**SECRETS)
    app = make_app(api_key="app-plain-key")
    channel = AlertChannel.objects.create(
        name="Pager",
        kind="webhook",
        url="https://hooks.test/plain-path",
        secret="plain-channel-secret",
    )
    person = User.objects.create_user("lena", password="plain-password")
    ciphertexts = _ciphertexts()
    for name, value in SECRETS.items():
        setattr(account, name, f"{value}-2")
    account.save()
    app.api_key = "app-plain-key-2"
    app.save()
    channel.secret = ""
    channel.save()
    person.set_password("plain-password-2")
    person.save()
    ciphertexts += _ciphertexts()
    account.delete()
    app.delete()
    person.delete()

    text = stored_text()
    assert "plain" not in text
    assert "pbkdf2" not in text
    assert "md5$" not in text
    assert len(ciphertexts) == 15
    assert [secret for secret in ciphertexts if secret in text] == []
    kept = text.replace('""', '"')
    assert '"bot_token": ["set", "set"]' in kept
    assert '"secret": ["set", ""]' in kept
    assert '"password": ["set", "set"]' in kept


def _ciphertexts() -> list[str]:
    found: list[str] = []
    for table, columns in (
        ("chatwoot_api_chatwootaccount", ", ".join(SECRETS)),
        ("dify_api_difyapp", "api_key"),
        ("conversations_alertchannel", "secret"),
    ):
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT {columns} FROM {table}")
            found += [value for row in cursor.fetchall() for value in row if value]
    return found


def test_what_the_bridge_notes_while_it_works_is_no_change() -> None:
    app = make_app()
    before = LogEntry.objects.count()
    app.health, app.last_error, app.lowered_limit = "failing", "Away.", 2
    app.parameters = {"user_input_form": [{}]}
    app.save()
    DifyApp.objects.filter(pk=app.pk).mark_refused("No.")
    User.objects.create_user("lena")
    Client().force_login(User.objects.get())

    assert LogEntry.objects.count() == before + 1  # the new user, not the login


def test_the_others_are_kept_as_well() -> None:
    account = make_account()
    retention = Retention.objects.create(account=account, history_days=30)
    wish = Wish.objects.create(account=account, kind="team", identity="x", name="X")
    person, group = User.objects.create_user("lena"), Group.objects.create(name="Night")
    person.groups.add(group)

    assert changes_of(retention)[0]["history_days"] == [None, 30]
    assert changes_of(wish)[0]["name"] == [None, "X"]
    assert changes_of(person)[1]["groups"]["objects"] == ["Night"]  # type: ignore[index, call-overload]
    assert changes_of(group)[0]["name"] == [None, "Night"]


def test_who_it_was_comes_from_the_request_or_the_task(
    admin_client: Client, admin_user: User
) -> None:
    account = make_account()
    retention = Retention.objects.create(account=account)
    page = reverse("admin:conversations_retention_change", args=[retention.pk])
    admin_client.post(page, {"payload_days": 3, "history_days": 20})
    with changes_by("admin"):
        account.name = "Other"
        account.save()
    with changes_by("nobody"):
        account.name = "Another"
        account.save()

    entries = LogEntry.objects.order_by("pk").values_list("object_repr", "actor")
    assert list(entries)[1:] == [
        ("Nordlicht Outdoor", None),
        ("Nordlicht Outdoor", None),
        ("Nordlicht Outdoor", admin_user.pk),
        ("Other", admin_user.pk),
        ("Another", None),
    ]


def test_a_webhook_asks_for_no_user_and_writes_no_history(
    client: Client, payload: Callable[[str], JsonObject], admin_user: User
) -> None:
    make_account(account_id=2, webhook_token="t", webhook_secret="")
    client.force_login(admin_user)
    before = LogEntry.objects.count()
    with CaptureQueriesContext(connection) as queries:
        response = client.post(
            reverse("chatwoot-webhook") + "?token=t",
            payload("message_created_incoming_text"),
            content_type="application/json",
        )

    assert response.status_code == 200
    asked = " ".join(query["sql"] for query in queries)
    for table in ("django_session", "auth_user", "auditlog_logentry"):
        assert table not in asked
    assert "conversations_webhookevent" in asked
    assert LogEntry.objects.count() == before


def test_an_account_with_history_can_be_deleted() -> None:
    account = make_account(webhook_secret=SECRET)
    bot = make_bot(account)
    bot.inboxes.add(Inbox.objects.create(account=account, chatwoot_inbox_id=1))
    Retention.objects.create(account=account)
    Wish.objects.create(account=account, kind="team", identity="x", name="X")

    account.delete()

    assert not ChatwootAccount.objects.exists()
    assert not Bot.objects.exists()
    deleted = LogEntry.objects.filter(action=LogEntry.Action.DELETE)
    assert set(deleted.values_list("content_type__model", flat=True)) == {
        "bot",
        "chatwootaccount",
        "retention",
        "wish",
    }


def test_a_migration_is_nobodys_change(db: None) -> None:
    assert not LogEntry.objects.exists()
    assert Group.objects.filter(name="Administrator").exists()
    with disable_auditlog():
        Group.objects.create(name="Quiet")
    assert not LogEntry.objects.exists()
