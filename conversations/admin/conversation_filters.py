"""Filters of the list of conversations: who waits, where the bot is silent."""

from __future__ import annotations

from functools import reduce
from operator import or_

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.db.models.fields.json import KeyTextTransform
from django.db.models.functions import Lower, Trim
from django.db.models.lookups import In
from django.http import HttpRequest
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from chatwoot_api.models import Inbox
from conversations.admin import paused
from conversations.decisions import NOT_SET
from conversations.models import Bot, Conversation

NOBODY = Q(pk__in=())
# What JSON has for "nothing" besides the words for it.
EMPTY = frozenset({"[]", "{}", "0.0"})


class OneOf(admin.SimpleListFilter):
    """A filter with a handful of fixed choices."""

    choices_: tuple[tuple[str, Promise], ...] = ()

    def lookups(
        self, request: HttpRequest, model_admin: admin.ModelAdmin[Conversation]
    ) -> list[tuple[str, str]]:
        return [(value, str(name)) for value, name in self.choices_]


class WaitingFilter(OneOf):
    """Customers whom neither bot nor human has answered; see `waiting`."""

    title = _("customer")
    parameter_name = "waiting"
    choices_ = (("yes", _("waits for an answer")),)

    def queryset(
        self, request: HttpRequest, queryset: QuerySet[Conversation]
    ) -> QuerySet[Conversation]:
        if self.value() == "yes":
            return queryset.filter(waiting_since__isnull=False)
        return queryset


class PausedFilter(OneOf):
    """Where the bot is silent, by the switch here or by something in Chatwoot."""

    title = _("bot")
    parameter_name = "silent"
    choices_ = (
        ("yes", _("paused, here or in Chatwoot")),
        ("here", _("paused here")),
    )

    def queryset(
        self, request: HttpRequest, queryset: QuerySet[Conversation]
    ) -> QuerySet[Conversation]:
        if self.value() == "here":
            return queryset.filter(paused=True)
        if self.value() == "yes":
            return queryset.filter(_is_paused())
        return queryset


class BotFilter(admin.SimpleListFilter):
    """Conversations of the inboxes that a bot answers."""

    title = _("answered by")
    parameter_name = "bot"
    template = "admin/dropdown_filter.html"

    def lookups(
        self, request: HttpRequest, model_admin: admin.ModelAdmin[Conversation]
    ) -> list[tuple[str, str]]:
        bots = Bot.objects.order_by("name", "pk").values_list("pk", "name")
        return [(str(pk), name) for pk, name in bots]

    def queryset(
        self, request: HttpRequest, queryset: QuerySet[Conversation]
    ) -> QuerySet[Conversation]:
        if not self.value():
            return queryset
        inboxes = [
            inbox_id
            for inbox_id, bot in _bots().items()
            if bot is not None and str(bot.pk) == self.value()
        ]
        return queryset.filter(inbox__in=inboxes)


class DropdownRelated(admin.RelatedFieldListFilter):
    """A relation with many choices, as a drop-down."""

    template = "admin/dropdown_filter.html"


def _bots() -> dict[int, Bot | None]:
    return paused.bots_of(Inbox.objects.order_by("pk"))


def _is_paused() -> Q:
    """Say in SQL what `decisions.is_paused` says of one conversation.

    Each bot has a label and an attribute of its own.
    """
    inboxes: dict[tuple[str, str], list[int]] = {}
    for inbox_id, bot in _bots().items():
        if bot is not None:
            marks = (bot.pause_label, bot.pause_attribute)
            inboxes.setdefault(marks, []).append(inbox_id)
    by_bot = [
        Q(inbox__in=ids) & (_has_label(label) | _has_attribute(attribute))
        for (label, attribute), ids in inboxes.items()
    ]
    return reduce(or_, by_bot, Q(paused=True))


def _has_label(label: str) -> Q:
    return Q(labels__contains=[label]) if label else NOBODY


def _has_attribute(name: str) -> Q:
    if not name:
        return NOBODY
    value = Lower(Trim(KeyTextTransform(name, "custom_attributes")))
    # An attribute that is not there is NULL, and so is what this says of it.
    return ~Q(In(value, sorted(NOT_SET | EMPTY)))
