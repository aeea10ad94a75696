"""Events: what Chatwoot told us, and what was decided about it."""

from __future__ import annotations

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.db.models.fields.json import KeyTextTransform
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from bridge_project.lib.admin_base import (
    NOTHING,
    StoryAdmin,
    admin_link,
    badge,
    json_block,
    moment,
    shortened,
    two_lines,
)
from bridge_project.lib.errors import MalformedPayload
from bridge_project.lib.types import JsonObject
from chatwoot_api.payloads import Message, parse_event
from conversations.admin.base import (
    action_badge,
    chatwoot_link,
    conversation_link,
    event_badge,
    number_in,
    turn_link,
)
from conversations.admin.explanations import EVENT_STATES, REASONS
from conversations.admin.filters import DropdownFilter, EventKindFilter
from conversations.models import Action, WebhookEvent


def message_of(payload: JsonObject) -> Message | None:
    """Return the message in a payload; None if there is none or it is unreadable."""
    try:
        return parse_event(payload).message
    except MalformedPayload:
        return None


def why(event: WebhookEvent) -> str:
    """Say what became of an event, what that means and what to do."""
    if event.status != WebhookEvent.Status.PROCESSED:
        return str(EVENT_STATES[event.status])
    if event.action == Action.ANSWER and event.turn_id is None:
        return gettext(
            "A customer wrote while the bot was still answering an earlier message. "
            "This one gets its answer in the turn after that."
        )
    explanation = REASONS.get(event.reason)
    return str(explanation) if explanation else event.reason or NOTHING


@admin.register(WebhookEvent)
class WebhookEventAdmin(StoryAdmin[WebhookEvent]):
    """The first place to look when the bot said nothing."""

    list_display = (
        "received",
        "what",
        "state",
        "decision",
        "conversation_number",
        "chatwoot_message_id",
        "answered_in",
    )
    list_display_links = ("received", "what")
    list_filter = (
        "status",
        "action",
        ("reason", DropdownFilter),
        EventKindFilter,
        "received_at",
        "account",
    )
    ordering = ("-id",)
    sortable_by = ()
    search_fields = ("delivery_key",)
    search_help_text = _("Conversation or message number, delivery")
    change_form_template = "admin/conversations/webhookevent/change_form.html"

    @admin.display(description=_("received"))
    def received(self, event: WebhookEvent) -> SafeString:
        return moment(event.received_at)

    @admin.display(description=_("event"))
    def what(self, event: WebhookEvent) -> SafeString | str:
        text = shortened(getattr(event, "content", None) or "", max_chars=60)
        return two_lines(event.name, text) if text else event.name

    @admin.display(description=_("state"))
    def state(self, event: WebhookEvent) -> SafeString:
        return event_badge(event)

    @admin.display(description=_("decision"))
    def decision(self, event: WebhookEvent) -> SafeString:
        if not event.action:
            return action_badge(event)
        return format_html(
            '<span class="bridge-row bridge-reason">{} {}</span>',
            action_badge(event),
            event.get_reason_display(),
        )

    @admin.display(description=_("conversation"))
    def conversation_number(self, event: WebhookEvent) -> SafeString | str:
        if event.conversation is not None:
            return conversation_link(event.conversation)
        number = event.chatwoot_conversation_id
        return NOTHING if number is None else f"#{number}"

    @admin.display(description=_("turn"))
    def answered_in(self, event: WebhookEvent) -> SafeString:
        return turn_link(event.turn)

    def get_search_results(
        self,
        request: HttpRequest,
        queryset: QuerySet[WebhookEvent],
        search_term: str,
    ) -> tuple[QuerySet[WebhookEvent], bool]:
        """Search only where an index helps; the table is long."""
        text = search_term.strip()
        if not text:
            return queryset, False
        number = number_in(text)
        found = Q(delivery_key=text)
        if number is not None:
            found |= Q(chatwoot_conversation_id=number) | Q(chatwoot_message_id=number)
        return queryset.filter(found), False

    def story(self, row: WebhookEvent) -> dict[str, object]:
        """Return the event as its page shows it."""
        return _story(row)

    def get_queryset(self, request: HttpRequest) -> QuerySet[WebhookEvent]:
        """Leave the payloads where they are; only an event's own page reads one."""
        return (
            super()
            .get_queryset(request)
            .select_related("account", "conversation__account", "turn__bot")
            .defer("payload")
            .annotate(content=KeyTextTransform("content", "payload"))
        )


def _story(event: WebhookEvent) -> dict[str, object]:
    message = message_of(event.payload)
    return {
        "event": event,
        "title": gettext("Event %(id)s: %(name)s")
        % {"id": event.pk, "name": event.name},
        "state": event_badge(event),
        "decision": action_badge(event),
        "why": why(event),
        "message": message,
        "message_labels": _labels(message),
        "turn_link": turn_link(event.turn),
        "bot_link": admin_link(event.turn.bot if event.turn else None),
        "conversation_link": conversation_link(event.conversation),
        "chatwoot_link": chatwoot_link(event.conversation),
        "account_link": admin_link(event.account),
        "payload": json_block(event.payload),
    }


def _labels(message: Message | None) -> list[SafeString]:
    if message is None:
        return []
    names = {
        "incoming": gettext("from the customer"),
        "outgoing": gettext("to the customer"),
        "activity": gettext("activity"),
        "template": gettext("template"),
    }
    labels = [badge(names[message.message_type], tone="calm")]
    if message.private:
        labels.append(badge(gettext("private note"), tone="warn"))
    return labels
