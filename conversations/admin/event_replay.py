"""Replaying events: what would happen now, for one or many, and the buttons for it."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.core.exceptions import PermissionDenied
from django.db.models import Q, QuerySet
from django.db.models.fields.json import KeyTextTransform
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_GET, require_POST

from bridge_project.lib.admin_base import (
    NOTHING,
    StoryAdmin,
    admin_link,
    admin_url,
    badge,
    list_url,
    shortened,
)
from conversations import jobs, replay, tasks
from conversations.admin import confirm
from conversations.admin.base import (
    ACTION_TONES,
    action_badge,
    conversation_link,
    number_in,
)
from conversations.jobs.kinds.replay import items_of
from conversations.models import Action, Bot, Reason, WebhookEvent
from conversations.replay import Foresight

MAX_ROWS = 100
# Of a bot that is asked what it would do with the newest messages.
NEWEST = 20


class ForesightView:
    """What would become of an event now, as pages show it."""

    def __init__(self, event: WebhookEvent, found: Foresight) -> None:
        self.event = event
        self.link = admin_link(event, text=gettext("Event %(id)d") % {"id": event.pk})
        self.conversation = conversation_link(event.conversation)
        self.words = shortened(_words(event), max_chars=60)
        self.then = action_badge(event)
        self.then_why = event.get_reason_display()
        self.now = decision_badge(found)
        self.now_why = (
            str(Reason(found.reason).label) if found.reason in Reason.values else ""
        )
        self.text = found.text
        self.would_do = found.would_do
        self.needs_force = found.needs_force and not found.would_do


def _words(event: WebhookEvent) -> str:
    """Return the message's text; lists have read it, so that payloads can stay away."""
    if hasattr(event, "content"):
        return str(event.content or "")
    return str(event.payload.get("content") or "")


def decision_badge(found: Foresight) -> SafeString | str:
    """Return what would be decided as a label."""
    if found.action not in Action.values:
        return NOTHING
    return badge(Action(found.action).label, tone=ACTION_TONES[found.action])


class EventReplay(StoryAdmin[WebhookEvent]):
    """The action of the list, the box of the page, and the page of a bot's question."""

    actions = ("replay_events",)

    def has_replay_permission(self, request: HttpRequest) -> bool:
        """The pages are read-only for everybody, replaying is for those who may."""
        return request.user.has_perm("conversations.change_webhookevent")

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view
        return [
            path(
                "foresee/",
                view(require_GET(self.foresee_view)),
                name="conversations_webhookevent_foresee",
            ),
            path(
                "<int:event_id>/replay/",
                view(require_POST(self.replay_view)),
                name="conversations_webhookevent_replay",
            ),
            *super().get_urls(),
        ]

    # --- One event -----------------------------------------------------------------

    def story_for(self, request: HttpRequest, row: WebhookEvent) -> dict[str, object]:
        """Add what would become of the event now, by its own bot or another one."""
        bots = list(Bot.objects.filter(account=row.account_id).order_by("name", "pk"))
        asked = _chosen(request, bots)
        found = replay.foresee(row, bot=asked)
        return {
            **super().story_for(request, row),
            "foresight": ForesightView(row, found),
            "bots": bots,
            "asked_bot": asked,
            "replay_url": reverse(
                "admin:conversations_webhookevent_replay", args=[row.pk]
            ),
            "may_replay": asked is None and self.has_replay_permission(request),
        }

    def replay_view(self, request: HttpRequest, event_id: int) -> HttpResponse:
        """Replay one event and go on to the turn that answers it."""
        if not self.has_replay_permission(request):
            raise PermissionDenied
        event = self.get_object(request, str(event_id))
        if event is None:
            raise Http404
        result = replay.replay(
            event, by=request.user.get_username(), force="force" in request.POST
        )
        if result.turn is None:
            self.message_user(request, result.text, messages.WARNING)
            return HttpResponseRedirect(admin_url(event))
        tasks.wake_turn(result.turn.pk)
        self.message_user(request, result.text, messages.SUCCESS)
        return HttpResponseRedirect(admin_url(result.turn))

    # --- Many events -----------------------------------------------------------------

    @admin.action(description=_("Replay…"), permissions=["replay"])
    def replay_events(
        self, request: HttpRequest, queryset: QuerySet[WebhookEvent]
    ) -> HttpResponse:
        """Show what would happen; then have a worker do it."""
        events = list(queryset.defer(None).order_by("pk")[:MAX_ROWS])
        if not confirm.is_confirmed(request):
            return self._show_dry_run(request, events)
        job = jobs.start(
            "replay",
            items=items_of(events),
            actor=request.user.get_username(),
            arguments={"force": "force" in request.POST},
        )
        return HttpResponseRedirect(admin_url(job))

    def _show_dry_run(
        self, request: HttpRequest, events: list[WebhookEvent]
    ) -> HttpResponse:
        rows = [ForesightView(event, replay.foresee(event)) for event in events]
        context = {
            **self._frame(request, gettext("Replay: what would happen now")),
            "rows": rows,
            "count": sum(row.would_do for row in rows),
            "forcible": sum(row.needs_force for row in rows),
            "selected": [event.pk for event in events],
            "action_checkbox_name": ACTION_CHECKBOX_NAME,
            "back_url": list_url(WebhookEvent),
        }
        template = "admin/conversations/webhookevent/replay.html"
        return TemplateResponse(request, template, context)

    # --- What a bot would do ---------------------------------------------------------

    def foresee_view(self, request: HttpRequest) -> HttpResponse:
        """Show what a bot would do with the newest messages, or with one named."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        bots = list(Bot.objects.select_related("account").order_by("name", "pk"))
        bot, asked = _chosen(request, bots), request.GET.get("event", "").strip()
        rows = []
        if bot is not None:
            rows = [
                ForesightView(event, replay.foresee(event, bot=bot))
                for event in self._messages(request, bot=bot, asked=asked)
            ]
        context = {
            **self._frame(request, gettext("What would the bot do?")),
            "bots": bots,
            "asked_bot": bot,
            "asked": asked,
            "rows": rows,
        }
        template = "admin/conversations/webhookevent/foresee.html"
        return TemplateResponse(request, template, context)

    def _messages(
        self, request: HttpRequest, *, bot: Bot, asked: str
    ) -> list[WebhookEvent]:
        """Return the account's newest messages of customers, or those with a number."""
        events = self.get_queryset(request).defer(None).filter(account=bot.account_id)
        if asked:
            number = number_in(asked)
            if number is None:
                return []
            found = (
                Q(pk=number)
                | Q(chatwoot_message_id=number)
                | Q(chatwoot_conversation_id=number)
            )
            return list(events.filter(found).order_by("-pk")[:NEWEST])
        messages_ = events.filter(
            chatwoot_message_id__isnull=False,
            name="message_created",
            payload__message_type__in=["incoming", 0],
        )
        return list(messages_.order_by("-chatwoot_message_id", "-pk")[:NEWEST])

    def _frame(self, request: HttpRequest, title: str) -> dict[str, Any]:
        return {
            **self.admin_site.each_context(request),
            "opts": self.model._meta,
            "title": title,
            "subtitle": None,
        }

    def get_queryset(self, request: HttpRequest) -> QuerySet[WebhookEvent]:
        """Leave the payloads where they are; only an event's own page reads one."""
        return (
            super()
            .get_queryset(request)
            .select_related("account", "conversation__account", "turn__bot")
            .defer("payload")
            .annotate(content=KeyTextTransform("content", "payload"))
        )


def _chosen(request: HttpRequest, bots: list[Bot]) -> Bot | None:
    """Return the bot that the address names, if it is one of these."""
    return next((bot for bot in bots if str(bot.pk) == request.GET.get("bot")), None)
