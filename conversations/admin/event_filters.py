"""Filters of the list of events: when, and whose bot."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.db.models import Model, Q, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from chatwoot_api.models import Inbox
from conversations.admin import paused
from conversations.models import Bot, WebhookEvent


class EventBotFilter(admin.SimpleListFilter):
    """Events of the inboxes that a bot answers, also those that it did not answer."""

    title = _("bot")
    parameter_name = "bot"
    template = "admin/dropdown_filter.html"

    def lookups(
        self, request: HttpRequest, model_admin: admin.ModelAdmin[WebhookEvent]
    ) -> list[tuple[str, str]]:
        bots = Bot.objects.order_by("name", "pk").values_list("pk", "name")
        return [(str(pk), name) for pk, name in bots]

    def queryset(
        self, request: HttpRequest, queryset: QuerySet[WebhookEvent]
    ) -> QuerySet[WebhookEvent]:
        if not self.value():
            return queryset
        inboxes = [
            inbox_id
            for inbox_id, bot in paused.bots_of(Inbox.objects.order_by("pk")).items()
            if bot is not None and str(bot.pk) == self.value()
        ]
        return queryset.filter(conversation__inbox__in=inboxes)


class ReceivedFilter(admin.ListFilter):
    """From one day to another, both included; either may be left out."""

    title = _("received")
    template = "admin/date_range_filter.html"
    FROM, TO = "received_from", "received_to"

    def __init__(
        self,
        request: HttpRequest,
        params: dict[str, Any],
        model: type[Model],
        model_admin: admin.ModelAdmin[Any],
    ) -> None:
        super().__init__(request, params, model, model_admin)
        given = {name: params.pop(name, None) for name in (self.FROM, self.TO)}
        self.since, self.until = (_day(given[name]) for name in (self.FROM, self.TO))
        self.used_parameters = {
            name: value
            for name, value in given.items()
            if value and _day(value) is not None
        }

    def expected_parameters(self) -> list[str | None]:
        return [self.FROM, self.TO]

    def has_output(self) -> bool:
        return True

    def choices(self, changelist: ChangeList) -> Iterator[Any]:
        """Return what the form keeps of the other filters, and what it shows itself."""
        yield {
            "others": [
                (name, value)
                for name, values in changelist.params.items()
                if name not in (self.FROM, self.TO)
                for value in (values if isinstance(values, list) else [values])
            ],
            "since": self.since.isoformat() if self.since else "",
            "until": self.until.isoformat() if self.until else "",
            "without": changelist.get_query_string(remove=[self.FROM, self.TO]),
        }

    def queryset(
        self, request: HttpRequest, queryset: QuerySet[WebhookEvent]
    ) -> QuerySet[WebhookEvent]:
        found = Q()
        if self.since is not None:
            found &= Q(received_at__gte=_midnight(self.since))
        if self.until is not None and self.until < date.max:
            found &= Q(received_at__lt=_midnight(self.until + timedelta(days=1)))
        return queryset.filter(found) if found else queryset


def _day(value: object) -> date | None:
    """Return the day that the address names, None for anything else."""
    text = value[-1] if isinstance(value, list) and value else value
    try:
        return date.fromisoformat(str(text)) if text else None
    except ValueError:
        return None


def _midnight(day: date) -> datetime:
    """Return when the day begins here; the first and last ones are not to be moved."""
    if day.year in (date.min.year, date.max.year):
        return datetime.combine(day, time.min, tzinfo=UTC)
    return timezone.make_aware(datetime.combine(day, time.min))
