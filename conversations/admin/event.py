"""Events: what Chatwoot told us, and what was decided about it."""

from __future__ import annotations

import re

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from bridge_project.lib.admin_base import (
    NOTHING,
    admin_link,
    badge,
    json_block,
    moment,
    shortened,
    two_lines,
)
from bridge_project.lib.errors import MalformedPayload
from bridge_project.lib.types import JsonObject
from bridge_project.lib.words import listed, words_query
from chatwoot_api.models import ChatwootAccount
from chatwoot_api.payloads import ChatwootEvent, Conversation, Message, parse_event
from conversations.admin.base import (
    action_badge,
    chatwoot_link,
    conversation_link,
    event_badge,
    number_in,
    turn_link,
)
from conversations.admin.event_filters import EventBotFilter, ReceivedFilter
from conversations.admin.event_replay import EventReplay
from conversations.admin.explanations import EVENT_STATES, REASONS
from conversations.admin.filters import DropdownFilter, EventKindFilter
from conversations.models import Action, Reason, WebhookEvent
from conversations.models.event import MESSAGE_WORDS


def message_of(payload: JsonObject) -> Message | None:
    """Return the message in a payload; None if there is none or it is unreadable."""
    parsed = _parsed(payload)
    return parsed.message if parsed else None


def _parsed(payload: JsonObject) -> ChatwootEvent | None:
    try:
        return parse_event(payload)
    except MalformedPayload:
        return None


def why(event: WebhookEvent) -> str:
    """Say what became of an event, what that means and what to do."""
    if event.status == WebhookEvent.Status.FAILED and event.reason == Reason.FEEDBACK:
        return gettext(
            "Dify could not be told this feedback, although it was tried for a day or "
            "Dify refused it; the error tells why. No customer waits for it. Replay "
            "the event to try again."
        )
    if event.status != WebhookEvent.Status.PROCESSED:
        return str(EVENT_STATES[event.status])
    if event.reason == Reason.AGENT_ASKED and event.turn_id is None:
        return gettext(
            "An agent asked the bot while it was still busy in this conversation. It "
            "answers in the turn after that."
        )
    if event.action == Action.ANSWER and event.turn_id is None:
        return gettext(
            "A customer wrote while the bot was still answering an earlier message. "
            "This one gets its answer in the turn after that."
        )
    explanation = REASONS.get(event.reason)
    return str(explanation) if explanation else event.reason or NOTHING


# How deliveries are called: Chatwoot's are UUIDs, ours are hashes.
_DELIVERY = re.compile(r"[\w:.-]{20,160}")


def _found(
    events: QuerySet[WebhookEvent], text: str, *, request: HttpRequest
) -> QuerySet[WebhookEvent]:
    """Return the events of a number or delivery, or with these words in the text.

    All accounts are named, so that the indexes which begin with them serve.
    """
    accounts = list(ChatwootAccount.objects.order_by("pk").values_list("pk", flat=True))
    number = number_in(text)
    if number is not None:
        same = Q(chatwoot_conversation_id=number) | Q(chatwoot_message_id=number)
        return events.filter(same, account__in=accounts)
    if _DELIVERY.fullmatch(text) and any(map(str.isdigit, text)):
        return events.filter(delivery_key=text, account__in=accounts)
    query = words_query(text.replace('"', " "))
    if query is None:
        return events.none()
    found = events.alias(words=MESSAGE_WORDS).filter(
        words=query, chatwoot_message_id__isnull=False
    )
    return listed(events, found=found, request=request, by="id")


@admin.register(WebhookEvent)
class WebhookEventAdmin(EventReplay):
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
        EventBotFilter,
        ReceivedFilter,
        "account",
    )
    ordering = ("-id",)
    sortable_by = ()
    search_fields = ("delivery_key",)
    search_help_text = _(
        "Number of a conversation or message; words of the text (a number alone in "
        "quotes); delivery"
    )
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
        return _found(queryset, text, request=request), False

    def get_ordering(self, request: HttpRequest) -> tuple[str, ...]:
        """Go by the time where days are chosen: by number, all later ones are read."""
        chosen = (ReceivedFilter.FROM, ReceivedFilter.TO)
        if any(request.GET.get(name) for name in chosen):
            return ("-received_at", "-pk")
        return self.ordering

    def story(self, row: WebhookEvent) -> dict[str, object]:
        """Return the event as its page shows it."""
        return _story(row)


def _story(event: WebhookEvent) -> dict[str, object]:
    parsed = _parsed(event.payload)
    message = parsed.message if parsed else None
    return {
        "event": event,
        "title": gettext("Event %(id)s: %(name)s")
        % {"id": event.pk, "name": event.name},
        "state": event_badge(event),
        "decision": action_badge(event),
        "why": why(event),
        "message": message,
        "message_labels": _labels(message),
        "sender": _sender(message),
        "told": _told(parsed.conversation) if parsed and parsed.conversation else [],
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


def _sender(message: Message | None) -> str:
    """Say who wrote the message, and what kind of sender that is."""
    if message is None:
        return ""
    sender = message.sender
    kinds = {
        "contact": gettext("customer"),
        "user": gettext("human agent"),
        "agent_bot": gettext("bot"),
        "captain": gettext("Chatwoot's Captain"),
        "nobody": gettext("no sender"),
    }
    number = f" #{sender.id}" if sender.id is not None else ""
    name = f"{sender.name} " if sender.name else ""
    return f"{name}({kinds[sender.kind]}{number})"


def _told(conversation: Conversation) -> list[tuple[str, str]]:
    """Return what the event said of its conversation, by name."""
    contact, team = conversation.contact, conversation.team
    assignee = conversation.assignee
    facts = (
        (gettext("Status"), conversation.status),
        (gettext("Channel"), conversation.channel),
        (gettext("Contact"), f"{contact.name} (#{contact.id})" if contact else ""),
        (gettext("Assignee"), (assignee.name or str(assignee.id)) if assignee else ""),
        (gettext("Team"), (team.name or str(team.id)) if team else ""),
        (gettext("Labels"), ", ".join(conversation.labels)),
        (gettext("Priority"), conversation.priority),
    )
    return [(name, value) for name, value in facts if value]
