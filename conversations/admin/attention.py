"""The numbers of the index page: what needs a person, and the last 24 hours."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.conf import settings
from django.db.models import Count, Model, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.safestring import SafeString
from django.utils.translation import gettext, ngettext

from bridge_project.lib.admin_base import admin_url, badge, list_url
from chatwoot_api.models import ChatwootAccount, Health
from conversations.admin.base import ACTION_TONES, TURN_TONES
from conversations.admin.callback import worth_a_look
from conversations.models import (
    Bot,
    Callback,
    DifyConversation,
    Reason,
    Turn,
    WebhookEvent,
)
from conversations.models.reasons import Action
from conversations.models.turn import WAITING
from dify_api.models import DifyApp

# More than this need not be counted: the page says "100+".
MANY = 100
# A healthy worker takes up what is due within seconds.
OVERDUE = timedelta(minutes=2)
TURN_STATUSES = dict(Turn.Status.choices)
REASON_NAMES = dict(Reason.choices)
ACTION_NAMES = dict(Action.choices)


@dataclass(frozen=True)
class Alarm:
    """One thing that somebody should look at."""

    text: str
    url: str
    icon: str = "error"


@dataclass(frozen=True)
class CountRow:
    """How often something happened for a reason, with a link to the rows."""

    label: SafeString
    reason: str
    count: int
    url: str


def add_numbers(request: HttpRequest, context: dict[str, object]) -> dict[str, object]:
    """Extend the context of the index page (UNFOLD's DASHBOARD_CALLBACK)."""
    if not request.user.has_perm("conversations.view_turn"):
        return context
    since = timezone.now() - timedelta(hours=24)
    return {
        **context,
        "alarms": list(_alarms(since=since)),
        "steps": list(_first_steps()),
        "turn_counts": _turn_counts(since=since),
        "event_counts": _event_counts(since=since),
    }


def _alarms(*, since: datetime) -> Iterator[Alarm]:
    yield from _failed()
    yield from _overdue()
    yield from _unhealthy()
    yield from _open_to_anybody()
    yield from _refused_callbacks(since=since)
    yield from _undeletable()


def _failed() -> Iterator[Alarm]:
    turns = _count(Turn.objects.filter(status=Turn.Status.FAILED))
    if turns:
        yield Alarm(
            ngettext(
                "%(count)s customer got neither an answer nor a human.",
                "%(count)s customers got neither an answer nor a human.",
                turns,
            )
            % {"count": _shown(turns)},
            list_url(Turn, status__exact=Turn.Status.FAILED),
        )
    events = _count(WebhookEvent.objects.filter(status=WebhookEvent.Status.FAILED))
    if events:
        yield Alarm(
            ngettext(
                "%(count)s event could not be processed.",
                "%(count)s events could not be processed.",
                events,
            )
            % {"count": _shown(events)},
            list_url(WebhookEvent, status__exact=WebhookEvent.Status.FAILED),
        )


def _overdue() -> Iterator[Alarm]:
    """What lies about although it is due: the worker is away or cannot keep up."""
    before = timezone.now() - OVERDUE
    events = _count(
        WebhookEvent.objects.filter(
            status=WebhookEvent.Status.RECEIVED, received_at__lt=before
        )
    )
    if events:
        yield Alarm(
            ngettext(
                "%(count)s event has been waiting for more than two minutes. Is a "
                "worker running?",
                "%(count)s events have been waiting for more than two minutes. Is a "
                "worker running?",
                events,
            )
            % {"count": _shown(events)},
            list_url(WebhookEvent, status__exact=WebhookEvent.Status.RECEIVED),
            "hourglass_top",
        )
    turns = _count(Turn.objects.filter(status__in=WAITING, next_attempt_at__lt=before))
    if turns:
        yield Alarm(
            ngettext(
                "%(count)s customer is waiting for an overdue answer. Is a worker "
                "running?",
                "%(count)s customers are waiting for overdue answers. Is a worker "
                "running?",
                turns,
            )
            % {"count": _shown(turns)},
            list_url(Turn, status__in=",".join(WAITING)),
            "hourglass_top",
        )


def _unhealthy() -> Iterator[Alarm]:
    for app in DifyApp.objects.exclude(
        health__in=[DifyApp.Health.OK, DifyApp.Health.UNKNOWN]
    ).order_by("name", "pk"):
        refused = gettext(
            "Dify app “%(name)s”: Dify refuses the key. Its customers go to the humans."
        )
        failing = gettext("Dify app “%(name)s”: %(health)s.")
        yield Alarm(
            (refused if app.health == DifyApp.Health.REFUSED else failing)
            % {"name": app, "health": app.get_health_display()},
            admin_url(app),
            "key_off",
        )
    for account in ChatwootAccount.objects.exclude(
        health__in=[Health.OK, Health.UNKNOWN]
    ).order_by("name", "pk"):
        yield Alarm(
            _trouble(account)
            % {"name": account, "health": account.get_health_display()},
            admin_url(account),
            "key_off",
        )
    for account in ChatwootAccount.objects.exclude(admin_token_refused_at=None):
        yield Alarm(
            gettext(
                "Chatwoot account “%(name)s”: Chatwoot refuses the administrator token."
            )
            % {"name": account},
            admin_url(account),
            "key_off",
        )
    for account in ChatwootAccount.objects.filter(allow_unsigned=True):
        yield Alarm(
            gettext(
                "Chatwoot account “%(name)s” accepts webhooks from anybody. Enter the "
                "webhook secret and switch that off."
            )
            % {"name": account},
            admin_url(account),
            "lock_open",
        )


def _trouble(account: ChatwootAccount) -> str:
    """Say what it means for the customers; more stands on the account's page."""
    if account.health != Health.REFUSED:
        return gettext("Chatwoot account “%(name)s”: %(health)s.")
    if account.admin_token and account.admin_token_refused_at is None:
        return gettext(
            "Chatwoot account “%(name)s”: Chatwoot refuses the bot token. Its "
            "customers go to the humans."
        )
    return gettext(
        "Chatwoot account “%(name)s”: Chatwoot refuses the bot token, and without an "
        "administrator token that works nobody is handed over. Look after the pending "
        "conversations in Chatwoot yourself."
    )


def _open_to_anybody() -> Iterator[Alarm]:
    """The API that flows call, while nobody is asked for a token."""
    if settings.CALLBACK_AUTH == "none":
        yield Alarm(
            gettext(
                "Whoever reaches the bridge can read and change every conversation: "
                "CALLBACK_AUTH is “none”. Make a callback token on each bot's page, "
                "put it into the flows, then set CALLBACK_AUTH to “token”."
            ),
            list_url(Bot),
            "lock_open",
        )


def _refused_callbacks(*, since: datetime) -> Iterator[Alarm]:
    """What flows asked for in vain, unless a human was in charge."""
    count = _count(worth_a_look(Callback.objects.filter(created_at__gte=since)))
    if count:
        yield Alarm(
            ngettext(
                "%(count)s callback of a Dify flow was refused in the last 24 hours. "
                "The flow's author should look.",
                "%(count)s callbacks of Dify flows were refused in the last 24 hours. "
                "The flows' authors should look.",
                count,
            )
            % {"count": _shown(count)},
            list_url(
                Callback,
                look="refused",
                # Without the “+” of an offset, which an address does not carry.
                created_at__gte=f"{since.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}",
            ),
            "call_missed",
        )


def _undeletable() -> Iterator[Alarm]:
    """What Dify should have forgotten and has not."""
    count = DifyConversation.objects.filter(
        deleted_at=None, delete_attempts__gte=3
    ).count()
    if count:
        yield Alarm(
            ngettext(
                "%(count)s conversation could not be deleted in Dify.",
                "%(count)s conversations could not be deleted in Dify.",
                count,
            )
            % {"count": count},
            list_url(DifyConversation, deletion="failing"),
            "delete_forever",
        )


def _first_steps() -> Iterator[tuple[str, str]]:
    """What is left to do before the first answer."""
    if not ChatwootAccount.objects.exists():
        yield gettext("Add your Chatwoot account."), list_url(ChatwootAccount)
    if not DifyApp.objects.exists():
        yield gettext("Add the Dify app that answers."), list_url(DifyApp)
    if not Bot.objects.filter(enabled=True).exists():
        yield gettext("Make a bot that joins the two."), list_url(Bot)


def _turn_counts(*, since: datetime) -> list[CountRow]:
    rows = (
        Turn.objects.filter(created_at__gte=since)
        .values_list("status", "reason")
        .annotate(count=Count("pk"))
        .order_by("-count")
    )
    return [
        CountRow(
            label=badge(TURN_STATUSES[status], tone=TURN_TONES[status]),
            reason=str(REASON_NAMES.get(reason, reason)) or gettext("not finished yet"),
            count=count,
            url=list_url(Turn, status__exact=status, reason__exact=reason),
        )
        for status, reason, count in rows
    ]


def _event_counts(*, since: datetime) -> list[CountRow]:
    rows = (
        WebhookEvent.objects.filter(received_at__gte=since)
        .exclude(action="")
        .values_list("action", "reason")
        .annotate(count=Count("pk"))
        .order_by("-count")
    )
    return [
        CountRow(
            label=badge(ACTION_NAMES[action], tone=ACTION_TONES[action]),
            reason=str(REASON_NAMES.get(reason, reason)),
            count=count,
            url=list_url(WebhookEvent, reason__exact=reason),
        )
        for action, reason, count in rows
    ]


def _count(
    rows: QuerySet[Turn] | QuerySet[WebhookEvent] | QuerySet[Callback],
) -> int:
    limited: QuerySet[Model, dict[str, object]] = rows.order_by().values("pk")[:MANY]  # type: ignore[assignment]
    return limited.count()


def _shown(count: int) -> str:
    return f"{count}+" if count >= MANY else str(count)
