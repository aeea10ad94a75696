"""What needs a person: each alarm says what happened, and leads to where to look."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.conf import settings
from django.db import DatabaseError, InterfaceError
from django.db.models import Model, Q, QuerySet
from django.db.models.functions import Length
from django.urls import reverse
from django.utils.translation import gettext, ngettext
from redis import Redis, RedisError

from bridge_project.lib.admin_base import admin_url, list_url
from chatwoot_api.models import ChatwootAccount, Health
from conversations import heartbeats
from conversations.admin.callback import worth_a_look
from conversations.models import (
    Bot,
    Callback,
    DifyConversation,
    Seen,
    Turn,
    WebhookEvent,
)
from conversations.models.turn import WAITING
from dify_api.models import DifyApp

logger = logging.getLogger(__name__)

# More than this need not be counted: the page says "100+".
MANY = 100
# A healthy worker takes up what is due within seconds.
OVERDUE = timedelta(minutes=2)
# Dify mostly deletes at once; after so long somebody should look.
DELETION_OVERDUE = timedelta(hours=24)
DELETION_ATTEMPTS = 3
# The page must not wait for a Redis that hangs.
REDIS_TIMEOUT_S = 0.5
# Before anything was seen.
DAWN = datetime(1970, 1, 1, tzinfo=UTC)
# Names in `Seen`; the button of such an alarm hides what is older.
FAILED_TURNS = "failed_turns"
REFUSED_CALLBACKS = "refused_callbacks"
CAN_BE_SEEN = frozenset({FAILED_TURNS, REFUSED_CALLBACKS})


@dataclass(frozen=True)
class Alarm:
    """One thing that somebody should look at."""

    text: str
    url: str
    icon: str = "error"
    # What `Seen` calls it; "" if only mending ends it.
    warning: str = ""


def alarms(now: datetime) -> list[Alarm]:
    """Return all alarms; a check that breaks is an alarm itself."""
    return [alarm for check in CHECKS for alarm in _careful(check, now=now)]


def _careful(
    check: Callable[[datetime], Iterator[Alarm]], *, now: datetime
) -> list[Alarm]:
    try:
        return list(check(now))
    except (DatabaseError, InterfaceError):
        # Without the database there is no page at all.
        raise
    except Exception as err:  # one broken check must not hide the others
        logger.exception("A check of the overview failed")
        text = gettext(
            "One of the checks of this page failed, so trouble may be hidden "
            "(%(error)s). The log says more."
        ) % {"error": type(err).__name__}
        return [Alarm(text, reverse("bridge:doctor"), "help")]


def _failed(now: datetime) -> Iterator[Alarm]:
    seen_at = _seen_at(FAILED_TURNS) or DAWN
    # What agents wanted is no customer's.
    failed = Turn.objects.filter(status=Turn.Status.FAILED, kind=Turn.Kind.ANSWER)
    turns = _count(failed.exclude(finished_at__lte=seen_at))
    if turns:
        yield Alarm(
            ngettext(
                "%(count)s customer got neither an answer nor a human.",
                "%(count)s customers got neither an answer nor a human.",
                turns,
            )
            % {"count": _shown(turns)},
            list_url(Turn, status__exact=Turn.Status.FAILED),
            warning=FAILED_TURNS,
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


def _overdue(now: datetime) -> Iterator[Alarm]:
    """What lies about although it is due: the worker is away or cannot keep up."""
    before = now - OVERDUE
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


def _unhealthy(now: datetime) -> Iterator[Alarm]:
    # Keys are not needed here, and one that cannot be read must not break the page.
    apps = DifyApp.objects.only("name", "health").order_by("name", "pk")
    for app in apps.exclude(health__in=[DifyApp.Health.OK, DifyApp.Health.UNKNOWN]):
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
    yield from _of_accounts()


def _of_accounts() -> Iterator[Alarm]:
    accounts = list(
        ChatwootAccount.objects.only(
            "name", "health", "admin_token_refused_at", "allow_unsigned"
        )
        .annotate(admin_token_length=Length("admin_token"))
        .order_by("name", "pk")
    )
    for account in accounts:
        if account.health in (Health.OK, Health.UNKNOWN):
            continue
        names = {"name": account, "health": account.get_health_display()}
        yield Alarm(_trouble(account) % names, admin_url(account), "key_off")
    for account in accounts:
        if account.admin_token_refused_at is None:
            continue
        refused = gettext(
            "Chatwoot account “%(name)s”: Chatwoot refuses the administrator token."
        )
        yield Alarm(refused % {"name": account}, admin_url(account), "key_off")
    for account in accounts:
        if not account.allow_unsigned:
            continue
        is_open = gettext(
            "Chatwoot account “%(name)s” accepts webhooks from anybody. Enter the "
            "webhook secret and switch that off."
        )
        yield Alarm(is_open % {"name": account}, admin_url(account), "lock_open")


def _trouble(account: ChatwootAccount) -> str:
    """Say what it means for the customers; more stands on the account's page."""
    if account.health != Health.REFUSED:
        return gettext("Chatwoot account “%(name)s”: %(health)s.")
    has_token = bool(account.admin_token_length)  # type: ignore[attr-defined]
    if has_token and account.admin_token_refused_at is None:
        return gettext(
            "Chatwoot account “%(name)s”: Chatwoot refuses the bot token. Its "
            "customers go to the humans."
        )
    return gettext(
        "Chatwoot account “%(name)s”: Chatwoot refuses the bot token, and without an "
        "administrator token that works nobody is handed over. Look after the pending "
        "conversations in Chatwoot yourself."
    )


def _open_to_anybody(now: datetime) -> Iterator[Alarm]:
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


def _refused_callbacks(now: datetime) -> Iterator[Alarm]:
    """What flows asked for in vain, unless a human was in charge."""
    since = max(now - timedelta(hours=24), _seen_at(REFUSED_CALLBACKS) or DAWN)
    count = _count(worth_a_look(Callback.objects.filter(created_at__gt=since)))
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
            REFUSED_CALLBACKS,
        )


def _undeletable(now: datetime) -> Iterator[Alarm]:
    """What Dify should have forgotten and has not."""
    count = _count(
        DifyConversation.objects.filter(
            Q(delete_attempts__gte=DELETION_ATTEMPTS)
            | Q(delete_wanted_at__lt=now - DELETION_OVERDUE),
            next_delete_at__isnull=False,
            deleted_at=None,
        )
    )
    if count:
        yield Alarm(
            ngettext(
                "%(count)s conversation should be deleted in Dify and still is there.",
                "%(count)s conversations should be deleted in Dify and still are "
                "there.",
                count,
            )
            % {"count": _shown(count)},
            list_url(DifyConversation, deletion="unproven"),
            "delete_forever",
        )


def _machinery(now: datetime) -> Iterator[Alarm]:
    """Workers, Redis and beat: without the first nothing happens, else it is late."""
    page = reverse("bridge:celery")
    if not heartbeats.workers(now):
        yield Alarm(
            gettext(
                "No worker is running: nobody gets an answer. Start one; what has "
                "arrived meanwhile is kept."
            ),
            page,
            "heart_broken",
        )
    if not _redis_answers():
        yield Alarm(
            gettext(
                "Redis does not answer. Nothing is lost and customers get their "
                "answers some seconds later, but no periodic work is done."
            ),
            page,
            "cloud_off",
        )
    elif heartbeats.workers(now) and heartbeats.beat(now) is None:
        yield Alarm(
            gettext(
                "Beat is not running: deletions, alerts, numbers and other periodic "
                "work stand still. Start it; answers are not affected."
            ),
            page,
            "timer_off",
        )


def _redis_answers() -> bool:
    try:
        with Redis.from_url(
            settings.REDIS_URL,
            socket_connect_timeout=REDIS_TIMEOUT_S,
            socket_timeout=REDIS_TIMEOUT_S,
        ) as redis:
            return bool(redis.ping())
    except (RedisError, OSError, ValueError):
        return False


def _seen_at(warning: str) -> datetime | None:
    rows = Seen.objects.filter(warning=warning)
    return rows.values_list("seen_at", flat=True).first()


def _count(
    rows: QuerySet[Turn]
    | QuerySet[WebhookEvent]
    | QuerySet[Callback]
    | QuerySet[DifyConversation],
) -> int:
    limited: QuerySet[Model, dict[str, object]] = rows.order_by().values("pk")[:MANY]  # type: ignore[assignment]
    return limited.count()


def _shown(count: int) -> str:
    return f"{count}+" if count >= MANY else str(count)


# In the order in which they are shown.
CHECKS: tuple[Callable[[datetime], Iterator[Alarm]], ...] = (
    _machinery,
    _failed,
    _overdue,
    _unhealthy,
    _open_to_anybody,
    _refused_callbacks,
    _undeletable,
)
