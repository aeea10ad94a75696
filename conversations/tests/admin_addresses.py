"""Every address of the admin that has a name, with a row for each of its numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from auditlog.models import LogEntry
from django.contrib import admin
from django.contrib.auth.models import User
from django.contrib.contenttypes.models import ContentType
from django.db import models
from django.urls import URLPattern, reverse

from bridge_project.lib.types import JsonObject
from chatwoot_api import wish_files
from chatwoot_api.models import ChatwootAccount, Inbox, Wish
from conversations import callback_tokens
from conversations.admin import urls
from conversations.admin.conversation_operations import PERMISSIONS
from conversations.models import (
    Alert,
    AlertChannel,
    Bot,
    CallbackToken,
    Conversation,
    Job,
    OpenAIServer,
    Retention,
    WebhookEvent,
)
from conversations.tests.admin_rows import (
    make_mirrors,
    make_reports,
    make_turns_with_everything,
)
from conversations.tests.factories import make_bot
from dify_api.models import DifyApp

VIEWS = ("changelist", "add", "change", "delete", "history")


@dataclass(frozen=True)
class Address:
    """What it is called, and where it leads; `model` and `view` of a model's page."""

    name: str
    url: str
    model: type[models.Model] | None = None
    view: str = ""


def make_rows(sample: JsonObject) -> None:
    """Make at least one row for each page."""
    bot = make_bot()
    make_turns_with_everything(bot, sample, count=2)
    make_reports(bot, count=2)
    make_mirrors(bot.account, count=2)
    bot.inboxes.set(Inbox.objects.all())
    Job.objects.update(status=Job.Status.RUNNING)
    Retention.objects.create(account=bot.account)
    wanted = wish_files.read("- {name: night shift}", kind="team")
    wish_files.take(bot.account, wanted, by="anna")
    callback_tokens.make(bot, by="anna")
    channel = AlertChannel.objects.create(name="Duty", kind="email", email="a@b.test")
    facts = {"kind": "dify", "id": 1, "name": "Support flow"}
    Alert.objects.create(
        channel=channel, cause="refused_key", subject="dify:1", facts=facts
    )
    OpenAIServer.objects.create(name="Our own model", base_url="https://llm.test/v1")
    User.objects.create(username="colleague")


# What stands for a number or a word in an address, where its name does not say which.
_VALUES: dict[str, Callable[[], Any]] = {
    "account_id": lambda: ChatwootAccount.objects.get().pk,
    "app_id": lambda: DifyApp.objects.get().pk,
    "bot_id": lambda: Bot.objects.get().pk,
    "channel_id": lambda: AlertChannel.objects.get().pk,
    "conversation_id": lambda: Conversation.objects.earliest("pk").pk,
    "event_id": lambda: WebhookEvent.objects.earliest("pk").pk,
    "id": lambda: User.objects.get(username="colleague").pk,
    "server_id": lambda: OpenAIServer.objects.get().pk,
    "job_id": lambda: Job.objects.earliest("pk").pk,
    "token_id": lambda: CallbackToken.objects.get().pk,
    "wish_id": lambda: Wish.objects.get().pk,
    "kind": lambda: Wish.Kind.TEAM,
    "app_label": lambda: "conversations",
    "operation": lambda: "pause_bot",
    "key": lambda: "fetch_secret",
    "pk": lambda: ChatwootAccount.objects.get().pk,
    "content_type_id": lambda: 1,
}


def addresses() -> Iterator[Address]:
    """Yield all that have a name; those without one only lead on to one of these."""
    for namespace, patterns in (
        ("admin", admin.site.get_urls()),
        ("bridge", urls.urlpatterns),
    ):
        for name, parameters in _named(patterns):
            yield from _addresses(namespace, name, parameters)


def _named(patterns: list[Any]) -> Iterator[tuple[str, list[str]]]:
    for pattern in patterns:
        if not isinstance(pattern, URLPattern):
            yield from _named(pattern.url_patterns)
        elif pattern.name:
            yield pattern.name, list(pattern.pattern.regex.groupindex)


def _addresses(namespace: str, name: str, parameters: list[str]) -> Iterator[Address]:
    prefix, _, view = name.rpartition("_")
    model = _models().get(prefix)
    values = {
        parameter: _row_of(model).pk
        if parameter == "object_id" and model is not None
        else _VALUES.get(parameter, lambda: 1)()
        for parameter in parameters
    }
    url = reverse(f"{namespace}:{name}", kwargs=values)
    if name == "conversations_conversation_do":
        for operation in PERMISSIONS:
            yield Address(f"{name} {operation}", url.replace("pause_bot", operation))
    elif namespace == "bridge":
        yield Address(f"bridge:{name}", url)
    elif model is not None and view in VIEWS:
        yield Address(name, url, model, view)
    else:
        yield Address(name, url)


def _models() -> dict[str, type[models.Model]]:
    return {
        f"{model._meta.app_label}_{model._meta.model_name}": model
        for model in admin.site._registry
    }


def _row_of(model: type[models.Model]) -> models.Model:
    if model is User:
        return User.objects.get(username="colleague")
    if model is LogEntry:
        # Who may see it may see the entry.
        of_a_bot = ContentType.objects.get_for_model(Bot)
        return _first(LogEntry._default_manager.filter(content_type=of_a_bot))
    return _first(model._default_manager.all())


def _first(rows: models.QuerySet[Any]) -> models.Model:
    row = rows.order_by("pk").first()
    assert row is not None, rows.model
    assert isinstance(row, models.Model)
    return row


def everything() -> dict[str, list[dict[str, Any]]]:
    """Return all rows of the bridge, to see that nothing was changed."""
    kept: set[type[models.Model]] = {*admin.site._registry, Wish, CallbackToken}
    return {
        model._meta.label: list(model._default_manager.order_by("pk").values())
        for model in kept
    }
