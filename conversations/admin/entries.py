"""How each thing that happens in a conversation is told on its page."""

from __future__ import annotations

from collections.abc import Mapping

from django.utils.functional import Promise
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from bridge_project.lib.admin_base import admin_url, badge
from bridge_project.lib.types import JsonObject
from chatwoot_api import submitted
from chatwoot_api.payloads import Attachment, Message
from conversations.admin.audit import details_in_words
from conversations.admin.base import (
    action_badge,
    event_badge,
    time_to_answer,
    turn_badges,
)
from conversations.admin.event import message_of
from conversations.admin.event import why as why_event
from conversations.admin.form_words import FormView
from conversations.admin.story import CallbackView, CallView, PostView, RunView
from conversations.admin.turn import why as why_turn
from conversations.models import (
    Action,
    AuditEntry,
    Callback,
    ConversationStatus,
    Erasure,
    FlowForm,
    OutgoingMessage,
    PipelineRun,
    Reason,
    Turn,
    UpstreamCall,
    WebhookEvent,
)

NEWS: Mapping[str, str | Promise] = {
    "message_updated": _("a message changed"),
    "message_created": _("a message"),
    "conversation_created": _("the conversation began"),
    "conversation_updated": _("the conversation changed"),
    "conversation_status_changed": _("the status changed"),
    "conversation_opened": _("the conversation was opened"),
    "conversation_resolved": _("the conversation was resolved"),
    "conversation_typing_on": _("somebody is typing"),
    "conversation_typing_off": _("somebody stopped typing"),
    "contact_created": _("a new contact"),
    "contact_updated": _("the contact changed"),
    "webwidget_triggered": _("the visitor opened the widget"),
}
# Deliveries of a message that is told already.
_TOLD = frozenset({Reason.DUPLICATE_MESSAGE})
# News of a message that was clicked, but not the click itself.
_NO_CLICK = _TOLD | {Reason.MESSAGE_UPDATED, Reason.MESSAGE_DELETED}
_ICONS: Mapping[str, str] = {
    AuditEntry.Verb.PAUSED: "pause_circle",
    AuditEntry.Verb.RESUMED: "play_circle",
    AuditEntry.Verb.HANDED_OVER: "support_agent",
    AuditEntry.Verb.REPLAYED: "replay",
    AuditEntry.Verb.ANSWERED_AGAIN: "replay",
    AuditEntry.Verb.DELETED_IN_DIFY: "delete",
    AuditEntry.Verb.WANTED_DELETION: "delete",
    AuditEntry.Verb.FORGOT_IN_DIFY: "restart_alt",
    AuditEntry.Verb.ERASED_CONTACT: "delete_forever",
}


class SaidView:
    """A message of the chat, from the event that brought it."""

    def __init__(self, event: WebhookEvent, message: Message) -> None:
        self.event = event
        self.url = admin_url(event)
        clicked = submitted.text_of(message)
        self.text = clicked or message.text.strip()
        self.sender = message.sender.name
        self.attachments: tuple[Attachment, ...] = message.attachments
        self.by_customer = message.message_type == "incoming" or bool(clicked)
        self.who = (
            gettext("customer") if clicked else _who(message, reason=event.reason)
        )
        self.side = "theirs" if self.by_customer else "ours"
        self.tone = "" if clicked else _tone(message, reason=event.reason)
        self.decision = action_badge(event) if event.action else event_badge(event)
        self.reason = event.get_reason_display()
        # Why an answer is owed needs no words, unless it waits.
        self.why = "" if _is_plain(event) else why_event(event)
        self.turn = event.turn
        self.turn_url = admin_url(event.turn) if event.turn else ""


def _is_plain(event: WebhookEvent) -> bool:
    if event.status != WebhookEvent.Status.PROCESSED:
        return False
    is_answered = event.action == Action.ANSWER and event.turn_id is not None
    return is_answered or event.reason in (Reason.HUMAN_REPLY, Reason.OWN_MESSAGE)


def _who(message: Message, *, reason: str) -> str:
    """Say whose message it is, for those who do not see the colours."""
    if message.message_type == "incoming":
        return gettext("customer")
    if message.private:
        return gettext("private note")
    if reason == Reason.HUMAN_REPLY:
        return gettext("human reply")
    if reason == Reason.OWN_MESSAGE:
        return gettext("bot")
    return str(dict(Reason.choices).get(reason, message.message_type))


def _tone(message: Message, *, reason: str) -> str:
    if message.message_type == "incoming":
        return ""
    if message.private:
        return "bridge-bubble-note"
    return "bridge-bubble-ours" if reason == Reason.OWN_MESSAGE else ""


class NewsView:
    """An event that says nothing in the chat."""

    def __init__(self, event: WebhookEvent) -> None:
        self.event = event
        self.url = admin_url(event)
        self.what = str(NEWS.get(event.name, event.name))
        self.more = _what_changed(event.payload)
        self.state = event_badge(event)
        self.is_failed = event.status != WebhookEvent.Status.PROCESSED
        self.reason = event.get_reason_display()


def _what_changed(payload: JsonObject) -> str:
    """Say what changed, where the event tells it."""
    changed = payload.get("changed_attributes")
    parts = []
    for item in changed if isinstance(changed, list) else []:
        if isinstance(item, dict):
            parts += [str(name) for name in item if name != "updated_at"]
    status = payload.get("status")
    names = dict(ConversationStatus.choices)
    if "conversation" not in payload and status in names:
        parts.append(gettext("status: %(status)s") % {"status": names[str(status)]})
    return ", ".join(parts[:8])


class TurnView:
    """How a debt to the customer ended, or stands."""

    def __init__(self, turn: Turn) -> None:
        self.turn = turn
        self.url = admin_url(turn)
        self.state = turn_badges(turn)
        is_answered = turn.reason == Reason.ANSWERED
        self.reason = "" if is_answered else turn.get_reason_display()
        self.took = time_to_answer(turn)
        self.why = why_turn(turn)
        self.is_over = turn.finished_at is not None


class AuditView:
    """What an operator did, or the bridge by its settings."""

    def __init__(self, entry: AuditEntry) -> None:
        self.entry = entry
        self.url = admin_url(entry)
        self.icon = _ICONS.get(entry.verb, "person")
        self.details = details_in_words(entry)


class ErasureView:
    """The contact's data were erased."""

    def __init__(self, erasure: Erasure) -> None:
        self.erasure = erasure
        self.url = admin_url(erasure)
        is_done = erasure.status == Erasure.Status.DONE
        self.state: SafeString = badge(
            erasure.get_status_display(), tone="good" if is_done else "busy"
        )


def tell_event(event: WebhookEvent) -> tuple[str, object]:
    """A message that was said is a bubble; all else is news."""
    if event.name == "message_created" and event.reason not in _TOLD:
        message = message_of(event.payload)
        if message is not None and message.message_type in ("incoming", "outgoing"):
            return "said", SaidView(event, message)
        if message is not None and message.text.strip():
            news = NewsView(event)
            news.what = message.text.strip()
            return "news", news
    if event.name == "message_updated" and event.reason not in _NO_CLICK:
        message = message_of(event.payload)
        if message is not None and submitted.text_of(message):
            return "said", SaidView(event, message)
    return "news", NewsView(event)


def tell_run(run: PipelineRun) -> tuple[str, object]:
    return "run", RunView(run)


def tell_callback(callback: Callback) -> tuple[str, object]:
    return "callback", CallbackView(callback)


def tell_post(post: OutgoingMessage) -> tuple[str, object]:
    return "post", PostView(post, turn=post.turn)


def tell_turn(turn: Turn) -> tuple[str, object]:
    return "turn", TurnView(turn)


def tell_call(call: UpstreamCall) -> tuple[str, object]:
    return "call", CallView(call)


def tell_audit(entry: AuditEntry) -> tuple[str, object]:
    return "audit", AuditView(entry)


def tell_form(form: FlowForm) -> tuple[str, object]:
    return "form", FormView(form)


def tell_erasure(erasure: Erasure) -> tuple[str, object]:
    return "erasure", ErasureView(erasure)
