"""Every page opens, in both languages; history cannot be changed; lists stay cheap."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from django.apps import apps
from django.contrib import admin
from django.contrib.auth.models import User
from django.db import connection, models
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django_celery_results.models import TaskResult

from bridge_project.lib.admin_base import ReadOnlyAdmin
from bridge_project.lib.types import JsonObject
from chatwoot_api.models import (
    Agent,
    AttributeDefinition,
    ChatwootAccount,
    Inbox,
    Label,
    Team,
    Wish,
)
from conversations.models import (
    ActionLock,
    Alert,
    AlertChannel,
    AlertDelivery,
    AuditEntry,
    Bot,
    Callback,
    CallbackToken,
    Conversation,
    DifyConversation,
    Draft,
    Erasure,
    Figure,
    FlowForm,
    Greeting,
    Heartbeat,
    Job,
    JobItem,
    OpenAIServer,
    OutgoingMessage,
    PipelineRun,
    Retention,
    Seen,
    Trial,
    Turn,
    UpstreamCall,
    WebhookEvent,
)
from conversations.tests.admin_rows import (
    make_mirrors,
    make_reports,
    make_turns_with_everything,
)
from conversations.tests.factories import make_account, make_app, make_bot
from dify_api.models import DifyApp

pytestmark = pytest.mark.django_db

HISTORY: tuple[type[models.Model], ...] = (
    WebhookEvent,
    Turn,
    Draft,
    FlowForm,
    PipelineRun,
    OutgoingMessage,
    UpstreamCall,
    Callback,
    Conversation,
    DifyConversation,
    AuditEntry,
    Erasure,
    Alert,
    Job,
    Inbox,
    Team,
    Agent,
    Label,
    AttributeDefinition,
    TaskResult,
)
EDITABLE: tuple[type[models.Model], ...] = (
    AlertChannel,
    Bot,
    ChatwootAccount,
    DifyApp,
    OpenAIServer,
    Retention,
    User,
)
# Tokens stand on the page of their bot, by their beginnings; locks live for seconds.
# Items are the report of their job, signs of life a table of “Workers and queue”.
# Messages stand at their alert; figures and what was seen are the overview.
# Trials are the talks of their bot's playground.
# What is wanted has “Teams, labels, attributes”, beside what there is.
WITHOUT_PAGE = {
    ActionLock,
    AlertDelivery,
    CallbackToken,
    Figure,
    Greeting,
    Heartbeat,
    JobItem,
    Seen,
    Trial,
    Wish,
}
OUR_APPS = ("conversations", "chatwoot_api", "dify_api")


@pytest.fixture
def _rows(payload: Callable[[str], JsonObject]) -> None:
    sample = payload("message_created_incoming_text_bot_owned")
    bot = make_bot()
    make_turns_with_everything(bot, sample, count=2)
    make_reports(bot, count=2)
    make_mirrors(bot.account, count=2)
    Retention.objects.create(account=bot.account)
    OpenAIServer.objects.create(name="Played", base_url="http://ai.test/v1")
    channel = AlertChannel.objects.create(
        name="On call", kind="email", email="a@b.test"
    )
    for subject in ("dify:1", "dify:2"):
        facts = {"kind": "dify", "id": 1, "name": "Support flow"}
        Alert.objects.create(
            channel=channel, cause="refused_key", subject=subject, facts=facts
        )


def page(model: type[models.Model], name: str, *args: object) -> str:
    opts = model._meta
    return reverse(f"admin:{opts.app_label}_{opts.model_name}_{name}", args=args)


def addresses() -> Iterator[str]:
    yield reverse("admin:index")
    for model in (*HISTORY, *EDITABLE):
        row = model._default_manager.first()
        assert row is not None, model
        yield page(model, "changelist")
        yield page(model, "change", row.pk)
        yield page(model, "history", row.pk)
    for model in EDITABLE:
        yield page(model, "add")


@pytest.mark.usefixtures("_rows", "translations")
@pytest.mark.parametrize(
    ("language", "word"), [("en", "Needs attention"), ("ru", "Требует внимания")]
)
def test_every_page_opens(admin_client: Client, *, language: str, word: str) -> None:
    answers = {
        url: admin_client.get(url, headers={"accept-language": language})
        for url in addresses()
    }

    assert {
        url: a.status_code for url, a in answers.items() if a.status_code != 200
    } == {}
    assert word in answers[reverse("admin:index")].content.decode()
    assert {a.headers["Content-Language"] for a in answers.values()} == {language}


@pytest.mark.usefixtures("_rows")
def test_no_page_of_history_has_a_form_to_save(admin_client: Client) -> None:
    for model in HISTORY:
        row = model._default_manager.first()
        assert row is not None
        text = admin_client.get(page(model, "change", row.pk)).content.decode()
        assert 'name="_save"' not in text, model


def test_every_model_has_a_page() -> None:
    models_ = {m for label in OUR_APPS for m in apps.get_app_config(label).get_models()}
    ours = models_ - WITHOUT_PAGE

    assert ours - set(admin.site._registry) == set()
    assert ours - set(HISTORY) - set(EDITABLE) == set()


def test_history_is_read_only() -> None:
    for model in HISTORY:
        assert isinstance(admin.site._registry[model], ReadOnlyAdmin), model


@pytest.mark.usefixtures("_rows")
@pytest.mark.parametrize("model", HISTORY)
def test_history_refuses_to_be_changed(
    admin_client: Client, model: type[models.Model]
) -> None:
    row = model._default_manager.first()
    assert row is not None
    before = list(model._default_manager.values())

    codes = [
        admin_client.post(url, {"post": "yes"}).status_code
        for url in (
            page(model, "add"),
            page(model, "change", row.pk),
            page(model, "delete", row.pk),
        )
    ]
    admin_client.post(
        page(model, "changelist"),
        {"action": "delete_selected", "_selected_action": row.pk, "post": "yes"},
    )

    assert codes == [403, 403, 403]
    assert list(model._default_manager.values()) == before


@pytest.mark.usefixtures("_rows")
@pytest.mark.parametrize("model", [ChatwootAccount, Bot, DifyApp])
def test_nothing_is_deleted_that_history_hangs_on(
    admin_client: Client, model: type[models.Model]
) -> None:
    row = model._default_manager.get()

    response = admin_client.post(page(model, "delete", row.pk), {"post": "yes"})

    # A bot leaves its turns behind, an account would take history along, and without
    # an app nothing of it could be deleted in Dify.
    expected = {Bot: 302, ChatwootAccount: 403, DifyApp: 200}
    assert response.status_code == expected[model]
    assert model._default_manager.filter(pk=row.pk).exists() is (model is not Bot)
    assert Turn.objects.count() == 2


def test_an_account_without_history_can_be_deleted(admin_client: Client) -> None:
    account = make_account()

    response = admin_client.post(
        page(ChatwootAccount, "delete", account.pk), {"post": "yes"}
    )

    assert response.status_code == 302
    assert not ChatwootAccount.objects.exists()


@pytest.mark.parametrize("model", [*HISTORY, Bot, ChatwootAccount, DifyApp])
def test_a_list_costs_the_same_with_none_one_and_thirty_rows(
    admin_client: Client,
    model: type[models.Model],
    payload: Callable[[str], JsonObject],
) -> None:
    sample = payload("message_created_incoming_text_bot_owned")
    url = page(model, "changelist")
    admin_client.get(url)
    costs = []
    for count in (0, 1, 30):
        clear()
        if count:
            bot = make_bot()
            make_turns_with_everything(bot, sample, count=count)
            make_reports(bot, count=count)
            make_mirrors(bot.account, count=count)
            if count > 1:
                make_setups(count - 1)
        with CaptureQueriesContext(connection) as queries:
            response = admin_client.get(url)
        assert response.status_code == 200
        costs.append(len(queries))

    # Where nothing is, less has to be looked up.
    assert costs[0] <= costs[1] == costs[2]


def make_setups(count: int) -> None:
    for number in range(count):
        account = make_account(account_id=100 + number)
        bot = make_bot(account, dify_app=make_app())
        bot.inboxes.add(
            Inbox.objects.create(account=account, chatwoot_inbox_id=1, name="Website")
        )


def clear() -> None:
    models_: tuple[type[models.Model], ...] = (*HISTORY, Bot, DifyApp, ChatwootAccount)
    for model in models_:
        model._default_manager.all().delete()


@pytest.mark.usefixtures("_rows")
@pytest.mark.parametrize(
    ("model", "search", "found"),
    [
        (WebhookEvent, "501", 1),
        (WebhookEvent, "#502", 1),
        (WebhookEvent, "5010", 1),
        (WebhookEvent, "nothing like it", 0),
        (Turn, "501", 1),
        (Turn, "text", 0),
        (Conversation, "#501", 1),
        (Conversation, "misty", 2),
        (PipelineRun, "dify-conversation-502", 1),
        (PipelineRun, "502", 1),
        (OutgoingMessage, "501", 1),
        (OutgoingMessage, "no mark", 0),
        (UpstreamCall, "501", 1),
        (UpstreamCall, "text", 0),
        (Callback, "501", 1),
        (Callback, "#502", 1),
        (Callback, "unknown_team", 0),
        (DifyConversation, "dify-conversation-501", 1),
        (DifyConversation, "999999999999999999999999", 0),
        (AuditEntry, "anna", 2),
        (AuditEntry, "#501", 1),
        (AuditEntry, "ann", 0),
        (Erasure, "10501", 1),
        (Erasure, "nobody", 0),
        (Inbox, "Website", 1),
        (TaskResult, "task-501", 1),
    ],
)
def test_search_finds(
    admin_client: Client, model: type[models.Model], search: str, found: int
) -> None:
    response = admin_client.get(page(model, "changelist"), {"q": search})

    assert response.context["cl"].result_count == found


@pytest.mark.usefixtures("_rows")
@pytest.mark.parametrize(
    ("model", "query", "found"),
    [
        (WebhookEvent, "reason__exact=customer_message", 2),
        (WebhookEvent, "reason__exact=typing", 0),
        (WebhookEvent, "kind=message", 2),
        (WebhookEvent, "kind=other", 0),
        (WebhookEvent, "kind=contact", 0),
        (Turn, "status__exact=answered", 2),
        (Turn, "status__in=collecting,retrying", 0),
        (AuditEntry, "verb__exact=paused", 2),
        (AuditEntry, "verb__exact=resumed", 0),
        (Erasure, "status__exact=done", 2),
        (Conversation, "paused__exact=1", 0),
        (DifyConversation, "deletion=unproven", 0),
        (DifyConversation, "deletion=failing", 0),
        (DifyConversation, "deletion=proven", 0),
        (Callback, "status__exact=success", 2),
        (Callback, "status__exact=error", 0),
        (Callback, "operation=assign_team", 2),
        (Callback, "operation=set_status", 0),
        (Callback, "look=refused", 0),
        (UpstreamCall, "service=dify&outcome=worked", 2),
        (UpstreamCall, "outcome=failed", 0),
        (UpstreamCall, "service=chatwoot", 0),
    ],
)
def test_filters_choose(
    admin_client: Client, model: type[models.Model], query: str, found: int
) -> None:
    response = admin_client.get(f"{page(model, 'changelist')}?{query}")

    assert response.status_code == 200
    assert response.context["cl"].result_count == found


@pytest.mark.usefixtures("_rows")
def test_conversation_links_to_all_its_turns_events_and_callbacks(
    admin_client: Client,
) -> None:
    conversation = Conversation.objects.get(chatwoot_conversation_id=501)

    story = admin_client.get(page(Conversation, "change", conversation.pk)).context

    for name in ("all_turns", "all_events", "all_callbacks"):
        link = story[name]
        assert admin_client.get(link).context["cl"].result_count == 1


@pytest.mark.usefixtures("translations")
def test_the_language_switch_changes_the_admin(admin_client: Client) -> None:
    admin_client.post(
        reverse("set_language"), {"language": "ru", "next": reverse("admin:index")}
    )

    assert "Обзор" in admin_client.get(reverse("admin:index")).content.decode()


def test_times_are_local(
    admin_client: Client, settings: object, payload: Callable[[str], JsonObject]
) -> None:
    settings.TIME_ZONE = "Asia/Yekaterinburg"  # type: ignore[attr-defined]
    sample = payload("message_created_incoming_text_bot_owned")
    (turn,) = make_turns_with_everything(make_bot(), sample, count=1)
    Turn.objects.filter(pk=turn.pk).update(created_at="2026-11-22T20:30:05Z")

    text = admin_client.get(page(Turn, "changelist")).content.decode()

    assert "2026-11-23 01:30:05" in text
