"""The pages that tell who changed which setting, from what to what."""

from __future__ import annotations

import pytest
from auditlog.models import LogEntry
from django.contrib.auth.models import Group, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from access.roles import AUDITOR, OPERATOR
from bridge_project.lib import history
from chatwoot_api.models import Inbox
from conversations.configuration.actors import changes_by
from conversations.models import Bot
from conversations.tests.factories import make_account, make_app, make_bot

pytestmark = pytest.mark.django_db

LIST = "admin:auditlog_logentry_changelist"


def fields_of(entry: LogEntry) -> list[tuple[str, str, str]]:
    (change,) = history.readable([entry])
    return [(field.label, field.before, field.after) for field in change.fields]


def newest() -> LogEntry:
    return LogEntry.objects.latest("pk")


def change(bot: Bot, **values: object) -> LogEntry:
    for name, value in values.items():
        setattr(bot, name, value)
    bot.save()
    return newest()


def test_values_are_told_as_a_person_reads_them() -> None:
    bot = make_bot(inputs={"a": "inbox.id", "b": "inbox.name"}, pause_label="")
    other = make_app(name="Other flow")

    entry = change(
        bot,
        enabled=False,
        dify_app=other,
        reply_as="private_note",
        speak_in_statuses=["pending", "open"],
        inputs={"a": "inbox.id", "b": "contact.name"},
        pause_label="quiet",
    )

    assert fields_of(entry) == [
        ("Switched on", "yes", "no"),
        ("Dify app", "Support flow", "Other flow"),
        ("Answers as", "message to the customer", "private note for the agents"),
        ("Speaks in statuses", "pending", "pending, open"),
        ("Pause label", "–", "quiet"),
        ("Inputs", "b: inbox.name", "b: contact.name"),
    ]


def test_secrets_are_told_as_set_and_nothing_more() -> None:
    account = make_account(admin_token="")
    account.bot_token, account.admin_token = "new", "first"
    account.webhook_secret = ""
    account.save()

    assert fields_of(newest()) == [
        ("Bot token", "set", "set anew"),
        ("Administrator token", "empty", "set"),
        ("Webhook secret", "set", "empty"),
    ]


def test_inboxes_and_rows_that_are_gone() -> None:
    bot = make_bot()
    inbox = Inbox.objects.create(
        account=bot.account, chatwoot_inbox_id=1, name="Website"
    )
    bot.inboxes.add(inbox)
    assert fields_of(newest()) == [("Inboxes", "–", "Website")]
    app = bot.dify_app
    assert app is not None
    entry = change(bot, dify_app=None)
    gone = app.pk
    app.delete()

    assert fields_of(entry) == [("Dify app", f"deleted ({gone})", "–")]


def test_of_a_new_row_only_what_was_filled_in_is_told() -> None:
    make_bot(pause_label="", pause_attribute="")

    labels = [label for label, _before, _after in fields_of(newest())]

    assert "Name" in labels
    assert "Pause label" not in labels


def test_the_list_and_the_page_show_it(admin_client: Client, admin_user: User) -> None:
    bot = make_bot()
    with changes_by("admin"):
        entry = change(bot, debounce_s=5, idle_hours=3)

    text = admin_client.get(reverse(LIST)).content.decode()
    page = admin_client.get(
        reverse("admin:auditlog_logentry_change", args=[entry.pk])
    ).content.decode()

    assert "Wait for more messages, seconds, End pending conversations" in text
    row = reverse("admin:conversations_bot_change", args=[bot.pk])
    assert f'href="{row}">Nordbot</a>' in text
    assert "admin · changed" in " ".join(page.split())
    assert '<th scope="row">Wait for more messages, seconds</th>' in page
    assert 'name="_save"' not in page


def test_the_history_of_a_row_has_the_values(admin_client: Client) -> None:
    bot = make_bot()
    change(bot, failure_public_text="<b>Later</b>")
    make_bot(make_account(account_id=9), name="Other bot")

    page = admin_client.get(
        reverse("admin:conversations_bot_history", args=[bot.pk])
    ).content.decode()

    assert "&lt;b&gt;Later&lt;/b&gt;" in page
    assert page.count("the bridge itself ·") == 2
    assert "Other bot" not in page


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({}, 5),
        ({"kind": "conversations.bot"}, 2),
        ({"kind": "auth.user"}, 1),
        ({"kind": "nonsense"}, 5),
        ({"who": "bridge"}, 4),
        ({"who": "USER"}, 1),
        ({"who": "x"}, 5),
        ({"q": "Nordbot"}, 2),
        ({"timestamp__gte": "2099-01-01T00:00:00Z"}, 0),
    ],
)
def test_changes_are_filtered(
    admin_client: Client, admin_user: User, query: dict[str, str], found: int
) -> None:
    bot = make_bot()
    with changes_by("admin"):
        change(bot, debounce_s=5)
    if query.get("who") == "USER":
        query = {"who": str(admin_user.pk)}

    page = admin_client.get(reverse(LIST), query, follow=True)

    assert page.status_code == 200
    assert len(page.context["cl"].result_list) == found


@pytest.mark.parametrize(("role", "kinds"), [(OPERATOR, 3), (AUDITOR, 4)])
def test_only_changes_of_what_one_may_see_are_shown(role: str, kinds: int) -> None:
    bot = make_bot()
    User.objects.create(username="somebody", email="private@x.test")
    user = User.objects.create(username="me", is_staff=True)
    user.groups.add(Group.objects.get(name=role))
    client = Client()
    client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    of_person = LogEntry.objects.get(object_repr="somebody")

    page = client.get(reverse(LIST))
    detail = client.get(reverse("admin:auditlog_logentry_change", args=[of_person.pk]))

    shown = {e.content_type_id for e in page.context["cl"].result_list}
    assert len(shown) == kinds
    assert ("private@x.test" in detail.content.decode()) is (role == AUDITOR)
    own = reverse("admin:conversations_bot_history", args=[bot.pk])
    assert client.get(own).status_code == 200
    page_of_person = reverse("admin:auth_user_history", args=[user.pk])
    assert client.get(page_of_person).status_code == (403 if role == OPERATOR else 200)


def test_a_long_list_costs_what_a_short_one_does(admin_client: Client) -> None:
    bot = make_bot()
    costs = []
    admin_client.get(reverse(LIST))
    for number in (1, 30):
        for step in range(number):
            change(bot, debounce_s=step % 2 + number)
        with CaptureQueriesContext(connection) as queries:
            assert admin_client.get(reverse(LIST)).status_code == 200
        costs.append(len(queries))

    assert costs[0] == costs[1]
