"""End pending conversations in which nobody says anything any more."""

from __future__ import annotations

import logging
from collections import Counter
from datetime import datetime, timedelta

from django.core.exceptions import ImproperlyConfigured
from django.db.models import Exists, OuterRef, Q, QuerySet

from bridge_project.lib.errors import (
    BridgeError,
    Unauthorized,
    UpstreamUnavailable,
)
from chatwoot_api.client import ChatwootClient
from chatwoot_api.models import ChatwootAccount
from chatwoot_api.payloads import Message
from conversations import audit, deletion
from conversations.models import (
    AuditEntry,
    Bot,
    Conversation,
    ConversationStatus,
    IdleAction,
    Turn,
    WebhookEvent,
)
from conversations.models.event import OWED

logger = logging.getLogger(__name__)

# Whatever came of it, a conversation is looked at again no sooner than this.
LOOK_AGAIN_AFTER = timedelta(hours=1)
_STATUS = {
    IdleAction.OPEN: ConversationStatus.OPEN,
    IdleAction.RESOLVE: ConversationStatus.RESOLVED,
}


def end_idle(*, now: datetime, limit: int = 50) -> dict[str, int]:
    """Resolve or open what has been idle for longer than its bot allows.

    `limit` counts the conversations of one bot. Chatwoot is asked first: the mirror
    may have missed a message.
    """
    counts: Counter[str] = Counter(ended=0, left=0, failed=0)
    # A bot on a trial run changes nothing: the humans have the conversations.
    bots = Bot.objects.filter(enabled=True, shadow=False, idle_hours__gt=0)
    ids = bots.values_list("pk", flat=True)
    for pk in ids:
        try:
            bot = Bot.objects.select_related("account").get(pk=pk)
        except ImproperlyConfigured as err:
            logger.error("Bot %s: idle conversations stay as they are: %s", pk, err)
            continue
        counts.update(_end_idle_of(bot, now=now, limit=limit))
    return dict(counts)


def _end_idle_of(bot: Bot, *, now: datetime, limit: int) -> Counter[str]:
    counts: Counter[str] = Counter()
    accounts = ChatwootAccount.objects.filter(pk=bot.account_id)
    client = ChatwootClient(bot.account, on_refused=accounts.note_refusal)
    since = now - timedelta(hours=bot.idle_hours)
    idle = _idle(bot, since=since).filter(
        Q(idle_checked_at=None) | Q(idle_checked_at__lt=now - LOOK_AGAIN_AFTER)
    )
    for conversation in list(idle.order_by("last_customer_message_at")[:limit]):
        # Of two workers one changes the row.
        if not idle.filter(pk=conversation.pk).update(idle_checked_at=now):
            continue
        try:
            ended = _end(conversation, bot=bot, since=since, client=client)
        except BridgeError as err:
            logger.warning("Idle conversation %s: %s", conversation.pk, err)
            counts["failed"] += 1
            if isinstance(err, Unauthorized | UpstreamUnavailable):
                accounts.note(err)
                break
        else:
            counts["ended" if ended else "left"] += 1
    return counts


def _idle(bot: Bot, *, since: datetime) -> QuerySet[Conversation]:
    """Return pending conversations without any word, or anything owed, since then."""
    of_this = {"conversation": OuterRef("pk")}
    waiting = WebhookEvent.objects.filter(**of_this, action__in=OWED, turn=None)
    unprocessed = WebhookEvent.objects.filter(
        account=OuterRef("account"),
        chatwoot_conversation_id=OuterRef("chatwoot_conversation_id"),
        status=WebhookEvent.Status.RECEIVED,
    )
    return Conversation.objects.filter(
        ~Exists(Turn.objects.unfinished().filter(**of_this)),
        ~Exists(waiting),
        ~Exists(unprocessed),
        _quiet("last_bot_message_at", since=since),
        _quiet("last_human_message_at", since=since),
        inbox__in=deletion.inboxes_of(bot),
        status=ConversationStatus.PENDING,
        last_customer_message_at__lt=since,
        paused=False,
    )


def _quiet(field: str, *, since: datetime) -> Q:
    return Q(**{field: None}) | Q(**{f"{field}__lt": since})


def _end(
    conversation: Conversation, *, bot: Bot, since: datetime, client: ChatwootClient
) -> bool:
    """End the conversation if Chatwoot, too, says that it is idle."""
    number = conversation.chatwoot_conversation_id
    current, last = client.show_conversation(number)
    if current.status != ConversationStatus.PENDING or _is_recent(last, since=since):
        return False
    # A webhook may have come while Chatwoot was asked.
    if not _idle(bot, since=since).filter(pk=conversation.pk).exists():
        return False
    status = _STATUS[IdleAction(bot.idle_action)]
    client.toggle_status(number, status=status)
    audit.record(
        AuditEntry.Verb.ENDED_IDLE,
        conversation=conversation,
        bot=bot.pk,
        status=str(status),
        idle_hours=bot.idle_hours,
    )
    return True


def _is_recent(message: Message | None, *, since: datetime) -> bool:
    """A message without a time says nothing about when; then the mirror counts."""
    return (
        message is not None
        and message.created_at is not None
        and message.created_at >= since
    )
