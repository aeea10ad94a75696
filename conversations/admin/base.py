"""What the pages of the flow share: badges of states, links into Chatwoot."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal

from django.utils.formats import number_format
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.timesince import timesince
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from bridge_project.lib.admin_base import NOTHING, admin_link, badge, outside_link
from chatwoot_api.models import ChatwootAccount
from conversations.admin.callback_words import is_cut_off
from conversations.models import (
    Action,
    Callback,
    Conversation,
    ConversationStatus,
    PipelineRun,
    Turn,
    WebhookEvent,
)

# A search looks into no more turns than these.
MAX_TURNS = 1000
EVENT_TONES: Mapping[str, str] = {
    WebhookEvent.Status.RECEIVED: "busy",
    WebhookEvent.Status.PROCESSED: "calm",
    WebhookEvent.Status.FAILED: "bad",
}
ACTION_TONES: Mapping[str, str] = {
    Action.ANSWER: "good",
    Action.HAND_OVER: "warn",
    Action.IGNORE: "calm",
}
TURN_TONES: Mapping[str, str] = {
    Turn.Status.COLLECTING: "busy",
    Turn.Status.RUNNING: "busy",
    Turn.Status.RETRYING: "warn",
    Turn.Status.UNKNOWN: "warn",
    Turn.Status.ANSWERED: "good",
    Turn.Status.SKIPPED: "calm",
    Turn.Status.HANDED_OVER: "warn",
    Turn.Status.FAILED: "bad",
}
RUN_TONES: Mapping[str, str] = {
    PipelineRun.Status.RUNNING: "busy",
    PipelineRun.Status.SUCCEEDED: "good",
    PipelineRun.Status.FAILED: "bad",
    PipelineRun.Status.STOPPED: "calm",
}
CONVERSATION_TONES: Mapping[str, str] = {
    ConversationStatus.OPEN: "good",
    ConversationStatus.PENDING: "busy",
    ConversationStatus.RESOLVED: "calm",
    ConversationStatus.SNOOZED: "warn",
}

CALLBACK_TONES: Mapping[str, str] = {
    Callback.Status.RUNNING: "busy",
    Callback.Status.SUCCESS: "good",
    Callback.Status.SKIPPED: "calm",
    Callback.Status.PARTIAL: "warn",
    Callback.Status.ERROR: "bad",
}


def event_badge(event: WebhookEvent) -> SafeString:
    """Return the event's state as a label."""
    return badge(event.get_status_display(), tone=EVENT_TONES[event.status])


def action_badge(event: WebhookEvent) -> SafeString:
    """Return the decision as a label."""
    if not event.action:
        return format_html("{}", NOTHING)
    return badge(event.get_action_display(), tone=ACTION_TONES[event.action])


def turn_badge(turn: Turn) -> SafeString:
    """Return the turn's state as a label."""
    return badge(turn.get_status_display(), tone=TURN_TONES[turn.status])


def turn_badges(turn: Turn) -> SafeString:
    """Return the turn's state, and for whom it was if not for the customer."""
    if turn.kind == Turn.Kind.ANSWER:
        return turn_badge(turn)
    kind = badge(turn.get_kind_display(), tone="calm")
    return format_html('<span class="bridge-row">{} {}</span>', turn_badge(turn), kind)


def run_badge(run: PipelineRun) -> SafeString:
    """Return the run's state as a label."""
    return badge(run.get_status_display(), tone=RUN_TONES[run.status])


def callback_badge(callback: Callback) -> SafeString:
    """Return how the callback ended as a label."""
    if is_cut_off(callback):
        return badge(_("cut off"), tone="warn")
    return badge(callback.get_status_display(), tone=CALLBACK_TONES[callback.status])


def conversation_badge(conversation: Conversation) -> SafeString:
    """Return the conversation's status as a label."""
    if not conversation.status:
        return badge(_("not known yet"), tone="calm")
    return badge(
        conversation.get_status_display(),
        tone=CONVERSATION_TONES.get(conversation.status, "calm"),
    )


def chatwoot_link(conversation: Conversation | None) -> SafeString:
    """Return a link to the conversation in Chatwoot; its account is loaded."""
    if conversation is None:
        return format_html("{}", NOTHING)
    return outside_link(conversation.chatwoot_url, text=_("Open in Chatwoot"))


def conversation_link(conversation: Conversation | None) -> SafeString:
    """Return a link to our page of the conversation."""
    return admin_link(conversation)


def turn_link(turn: Turn | None) -> SafeString:
    """Return a link to the turn with its state."""
    if turn is None:
        return format_html("{}", NOTHING)
    return format_html(
        '<span class="bridge-row">{} {}</span>',
        admin_link(turn, text=gettext("Turn %(id)s") % {"id": turn.pk}),
        turn_badge(turn),
    )


def seconds(duration_ms: int | None) -> str:
    """Return a duration as a person says it."""
    if duration_ms is None:
        return NOTHING
    if duration_ms < 1000:
        return gettext("%(ms)s ms") % {"ms": duration_ms}
    return gettext("%(s)s s") % {"s": number_format(duration_ms / 1000, 1)}


def elapsed(start: datetime | None, end: datetime | None) -> str:
    """Return the time between two moments as a person says it."""
    if start is None or end is None:
        return NOTHING
    duration_s = max((end - start).total_seconds(), 0.0)
    if duration_s < 120:
        return seconds(round(duration_s * 1000))
    return timesince(start, end)


def time_to_answer(turn: Turn) -> str:
    """Return how long the customer waited for the answer, if there was one."""
    if turn.status != Turn.Status.ANSWERED:
        return NOTHING
    return elapsed(turn.created_at, turn.finished_at)


def run_took(run: PipelineRun) -> str:
    """Return how long the run took, by our own clock where Dify did not say it."""
    if run.duration_ms is None:
        return elapsed(run.started_at, run.finished_at)
    return seconds(run.duration_ms)


def price_in_words(price: Decimal | None, currency: str) -> str:
    """Return a price with its currency; Dify's trailing zeros are left out."""
    if price is None:
        return NOTHING
    amount = f"{price:f}"
    if "." in amount:
        amount = amount.rstrip("0").rstrip(".")
    return f"{amount} {currency}".strip()


def conversations_numbered(number: int) -> list[int]:
    """Return the ids of the conversations with that number in Chatwoot.

    All accounts are named, since the index of the numbers begins with the account; and
    ids by themselves, since PostgreSQL finds rows "of this number or of that
    conversation" by two indexes only where neither is in another table.
    """
    accounts = list(ChatwootAccount.objects.order_by("pk").values_list("pk", flat=True))
    rows = Conversation.objects.filter(
        account__in=accounts, chatwoot_conversation_id=number
    )
    return list(rows.order_by("pk").values_list("pk", flat=True))


def turns_of_number(number: int) -> list[int]:
    """Return the ids of the newest turns of the conversations with that number."""
    turns = Turn.objects.filter(conversation__in=conversations_numbered(number))
    return list(turns.order_by("-pk").values_list("pk", flat=True)[:MAX_TURNS])


def number_in(text: str) -> int | None:
    """Return the number that somebody searches for, with or without a `#`."""
    digits = text.strip().removeprefix("#")
    # Larger ones fit into no column.
    return int(digits) if digits.isdecimal() and len(digits) <= 18 else None
