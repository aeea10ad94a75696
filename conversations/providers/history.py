"""What was said in a conversation before a turn, as the bridge itself has stored it.

Chatwoot is not asked: what it would tell came by webhook, or was posted from here.
"""

from __future__ import annotations

from django.db.models import Max, Q, QuerySet

from chatwoot_api.payloads import parse_event
from conversations import context
from conversations.models import OutgoingMessage, Reason, Turn, WebhookEvent
from conversations.providers.contract import Said

# A message of several thousand words would leave no room for the others.
MAX_CHARS = 8000


def before(turn: Turn, *, most: int) -> tuple[Said, ...]:
    """Return the newest messages that the customer saw, the oldest first.

    Private notes are none of them: a model may repeat what it reads. Nor is what was
    said before the conversation was resolved, if the bot forgets that, or begun anew.
    """
    if most <= 0:
        return ()
    first = _first_message_id(turn)
    begin = _beginning(turn)
    said = _by_webhook(turn, first=first, begin=begin, most=most)
    said |= _posted(turn, first=first, begin=begin, most=most)
    newest = sorted(said.items())[-most:]
    return tuple(Said(one.role, one.text[:MAX_CHARS]) for _number, one in newest)


def _first_message_id(turn: Turn) -> int:
    """Return the number of the first message that the turn answers."""
    ids = WebhookEvent.objects.filter(turn=turn, chatwoot_message_id__isnull=False)
    first = ids.order_by("chatwoot_message_id").values_list("chatwoot_message_id")
    found = first.first()
    return found[0] if found and found[0] else turn.last_message_id


def _beginning(turn: Turn) -> int:
    """Return the event behind which the conversation begins; 0 for the first one."""
    ends = Q(reason=Reason.RESET)
    if turn.bot is None or turn.bot.new_dify_conversation_after_resolve:
        ends |= Q(name="conversation_resolved")
    found = _events(turn).filter(ends).aggregate(last=Max("pk"))
    return found["last"] or 0


def _by_webhook(turn: Turn, *, first: int, begin: int, most: int) -> dict[int, Said]:
    rows = _events(turn).filter(
        pk__gt=begin, name="message_created", chatwoot_message_id__lt=first
    )
    # The same message may have come by two webhooks. Notes and the widget's messages
    # are not counted in advance: so a few more.
    rows = rows.order_by("-chatwoot_message_id").distinct("chatwoot_message_id")
    deleted = set(
        _events(turn)
        .filter(reason=Reason.MESSAGE_DELETED)
        .values_list("chatwoot_message_id", flat=True)
    )
    found = {}
    for event in rows[: 3 * most]:
        number = event.chatwoot_message_id or 0
        said = None if number in deleted else _said(event)
        if said is not None:
            found[number] = said
    return found


def _said(event: WebhookEvent) -> Said | None:
    message = parse_event(event.payload).message
    if message is None or message.private:
        return None
    if message.message_type == "incoming":
        text = context.question([message])
        return Said("user", text) if text else None
    text = message.text.strip()
    is_said = message.message_type == "outgoing" and text
    return Said("assistant", text) if is_said else None


def _posted(turn: Turn, *, first: int, begin: int, most: int) -> dict[int, Said]:
    """Return our own messages; their webhooks may be late, or not be sent at all."""
    rows = OutgoingMessage.objects.filter(
        turn__conversation=turn.conversation_id,
        chatwoot_message_id__lt=first,
        private=False,
    ).exclude(content="")
    if begin:
        since = WebhookEvent.objects.filter(pk=begin).values("received_at")
        rows = rows.filter(created_at__gt=since[:1])
    newest = rows.order_by("-chatwoot_message_id")[:most]
    return {
        row.chatwoot_message_id: Said("assistant", row.content.strip())
        for row in newest
        if row.chatwoot_message_id is not None
    }


def _events(turn: Turn) -> QuerySet[WebhookEvent]:
    conversation = turn.conversation
    return WebhookEvent.objects.filter(
        account=conversation.account_id,
        chatwoot_conversation_id=conversation.chatwoot_conversation_id,
    )
