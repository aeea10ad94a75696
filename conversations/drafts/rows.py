"""Keep each suggestion, and note beside it what the human sent.

All of it happens under the lock of the conversation's row. So a reply that arrives
while the suggestion is being stored is found by one of the two.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from bridge_project.lib.errors import MalformedPayload
from bridge_project.lib.types import JsonObject
from chatwoot_api.lenient import text_at
from chatwoot_api.payloads import Message, parse_event
from conversations import mirror
from conversations.decisions import is_human_reply
from conversations.drafts.comparison import compared
from conversations.drafts.marking import suggests, unmarked
from conversations.models import (
    Bot,
    Callback,
    Conversation,
    Draft,
    OutgoingMessage,
    ReplyAs,
    Turn,
    WebhookEvent,
)

# In `human_message_id`: the conversation was resolved, and nobody had replied.
NOT_USED = 0
# What the human sends within this time after the first reply belongs to it.
JOINED_FOR = timedelta(minutes=5)
# The operations by which a flow says something.
SENDING = ("send_message", "send_message_simple")
# Of what was sent; more is neither shown nor compared.
MAX_CHARS = 20_000
# So many messages that were sent before the suggestion was stored are looked at.
MAX_EARLIER = 20
# "Send and resolve" of Chatwoot: the news of both may come in any order.
LATE_FOR = timedelta(hours=1)


def may_have_drafts(bot: Bot) -> bool:
    """Tell whether a bot writes suggestions at all; all others cost no query."""
    return bot.draft_notes or bot.shadow or bot.reply_as == ReplyAs.BY_SUPPORT_MODE


def record(turn: Turn, *, bot: Bot, said: str = "") -> Draft | None:
    """Keep what was posted for the agents; harmless to repeat.

    `said` is what the flow itself posted, if the turn has no answer of its own. What
    the human sent meanwhile is noted at once. None where it is no suggestion for an
    answer, or where the turn was erased.
    """
    if turn.kind == Turn.Kind.HELP or not suggests(bot, kind=turn.kind):
        return None
    text = _posted(turn) or said
    with transaction.atomic():
        try:
            conversation = mirror.lock(turn.conversation_id)
        except Conversation.DoesNotExist:
            return None
        if not Turn.objects.filter(pk=turn.pk).exists():
            return None
        draft, is_new = Draft.objects.get_or_create(
            turn=turn,
            defaults={
                "conversation": conversation,
                "bot": turn.bot,
                "last_message_id": turn.last_message_id,
                "text": text,
            },
        )
        if is_new and conversation.last_human_message_id > draft.last_message_id:
            for message, at in _said_since(conversation, since=draft.last_message_id):
                note_reply(conversation, message=message, at=at)
    return draft


def note_reply(conversation: Conversation, *, message: Message, at: datetime) -> int:
    """Note a human's reply beside the drafts that wait for it; return how many.

    What the human sends on within minutes, before the customer says anything, is
    joined to it: people answer in several messages. A delivery that comes twice
    changes nothing.
    """
    waits = Q(human_message_id=None)
    goes_on = Q(
        human_message_id__lt=message.id,
        human_message_id__gt=max(conversation.last_customer_message_id, NOT_USED),
        replied_at__gt=at - JOINED_FOR,
    )
    was_resolved = Q(
        human_message_id=NOT_USED,
        last_message_id__gte=conversation.last_customer_message_id,
        created_at__gt=at - LATE_FOR,
    )
    drafts = list(
        Draft.objects.filter(
            waits | goes_on | was_resolved,
            conversation=conversation,
            last_message_id__lt=message.id,
        )
    )
    text = message.text.strip()
    for draft in drafts:
        _take(draft, text=text, message_id=message.id, at=at)
    return len(drafts)


def said_by_flow(turn: Turn) -> str:
    """Return what the turn's flow posted by callbacks, "" if nothing."""
    done = Callback.objects.filter(
        turn=turn, operation__in=SENDING, status=Callback.Status.SUCCESS
    )
    texts = (_sent(callback.arguments) for callback in done.order_by("pk"))
    return "\n\n".join(text for text in texts if text)


def _sent(arguments: JsonObject) -> str:
    said = (text_at(arguments, name).strip() for name in ("content", "message"))
    return next((text for text in said if text), "")


def settle(conversation: Conversation) -> int:
    """Note that a resolved conversation's drafts were not used; return how many."""
    waiting = Draft.objects.filter(conversation=conversation, human_message_id=None)
    return waiting.update(human_message_id=NOT_USED)


def _take(draft: Draft, *, text: str, message_id: int, at: datetime) -> None:
    draft.human_message_id = message_id
    draft.human_text = "\n".join(filter(None, [draft.human_text, text]))[:MAX_CHARS]
    draft.replied_at = draft.replied_at or at
    if draft.text and draft.human_text:
        comparison = compared(draft.text, draft.human_text)
        draft.similarity = comparison.similarity
        draft.edit_rate = comparison.edit_rate
    draft.save(
        update_fields=[
            "human_message_id",
            "human_text",
            "replied_at",
            "similarity",
            "edit_rate",
        ]
    )


def _posted(turn: Turn) -> str:
    """Return the suggestion as agents see it, but for the line above it."""
    parts = OutgoingMessage.objects.filter(
        turn=turn, part=OutgoingMessage.Part.ANSWER
    ).order_by("number")
    return unmarked("\n\n".join(parts.values_list("content", flat=True)))


def _said_since(
    conversation: Conversation, *, since: int
) -> list[tuple[Message, datetime]]:
    """Return what humans said to the customer, as stored, the oldest first."""
    rows = (
        WebhookEvent.objects.filter(
            account=conversation.account_id,
            chatwoot_conversation_id=conversation.chatwoot_conversation_id,
            name="message_created",
            status=WebhookEvent.Status.PROCESSED,
            chatwoot_message_id__gt=since,
        )
        .exclude(payload={})
        .order_by("chatwoot_message_id", "pk")[:MAX_EARLIER]
    )
    found = []
    for row in rows:
        try:
            message = parse_event(row.payload).message
        except MalformedPayload:
            continue
        if message is not None and is_human_reply(message):
            found.append((message, message.created_at or timezone.now()))
    return found
