"""Customers who wait: since when a message is answered by neither bot nor human.

`Conversation.waiting_since` is kept under the lock of the conversation's row, by
`processing` as events come and by `turns` as answers go. The first unanswered message
counts: who asks again does not begin to wait anew.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import QuerySet

from bridge_project.lib.encryption import EncryptedTextField
from chatwoot_api.models import ChatwootAccount
from chatwoot_api.payloads import ChatwootEvent, Message
from conversations.decisions import is_choice, is_human_reply
from conversations.models import (
    Bot,
    Conversation,
    ConversationStatus,
    Reason,
    WebhookEvent,
)
from conversations.models.event import OWED

# Nobody waits there: it was settled, or put off until a day that was named.
SETTLED = frozenset({ConversationStatus.RESOLVED, ConversationStatus.SNOOZED})
# The message is no question, or not any more, or was counted when it came first.
NOT_NEW = frozenset(
    {Reason.DUPLICATE_MESSAGE, Reason.MESSAGE_DELETED, Reason.FORM_DATA}
)
_TOKENS = tuple(
    f"account__{field.name}"
    for field in ChatwootAccount._meta.concrete_fields
    if isinstance(field, EncryptedTextField)
)


@dataclass(frozen=True)
class Known:
    """What was known of the conversation before the event."""

    waiting_since: datetime | None
    last_customer_message_id: int


def known_of(conversation: Conversation) -> Known:
    """Return what has to be remembered before the mirror takes an event."""
    return Known(
        waiting_since=conversation.waiting_since,
        last_customer_message_id=conversation.last_customer_message_id,
    )


def follow(
    event: ChatwootEvent,
    *,
    conversation: Conversation,
    before: Known,
    bot: Bot | None,
    reason: str,
) -> None:
    """Keep the moment after an event that the mirror has taken."""
    since = waits_since(
        event, conversation=conversation, before=before, bot=bot, reason=reason
    )
    _keep(conversation, since=since)


def waits_since(
    event: ChatwootEvent,
    *,
    conversation: Conversation,
    before: Known,
    bot: Bot | None,
    reason: str,
) -> datetime | None:
    """Say since when the customer waits, once the mirror knows of the event. Pure.

    `reason` is that of the decision about the event. Events may come late, twice and in
    any order; message numbers say which message was written first.
    """
    if bot is None or conversation.contact_blocked or conversation.status in SETTLED:
        return None
    newest = conversation.last_customer_message_id
    since, message = before.waiting_since, event.message
    if is_choice(event) and message is not None and reason not in NOT_NEW:
        clicked_at = message.updated_at
        return min(filter(None, (since, clicked_at)), default=None)
    if newest <= conversation.last_human_message_id:
        return since if _is_after_human(since, conversation) else None
    if message is None:
        return since
    if reason == Reason.MESSAGE_DELETED:
        is_the_one = since == conversation.last_customer_message_at
        return None if message.id == newest and is_the_one else since
    if event.name != "message_created" or message.private or reason in NOT_NEW:
        return since
    if message.message_type == "incoming":
        return _after_customer(message, conversation=conversation, before=before)
    if is_human_reply(message) and since is not None and message.id < newest:
        # The reply's news came late: it answered all but what was written after it.
        written = message.created_at
        if written is not None and since <= written:
            return conversation.last_customer_message_at
    return since


def _is_after_human(since: datetime | None, conversation: Conversation) -> bool:
    """Tell whether the customer clicked after the human's reply; it has no number."""
    replied_at = conversation.last_human_message_at
    return since is not None and replied_at is not None and since > replied_at


def _after_customer(
    message: Message, *, conversation: Conversation, before: Known
) -> datetime | None:
    since, written = before.waiting_since, message.created_at
    if message.id <= conversation.last_human_message_id or written is None:
        return since
    if since is not None:
        return min(since, written)
    # An older message that comes late was answered with the newer one.
    return written if message.id > before.last_customer_message_id else None


def begin(conversation: Conversation, *, at: datetime) -> None:
    """Note a message that could not even be read."""
    if conversation.waiting_since is None:
        _keep(conversation, since=at)


def answered(conversation: Conversation, *, up_to: int) -> None:
    """Note that the customer got an answer to the messages up to this one."""
    if conversation.waiting_since is None:
        return
    if conversation.last_customer_message_id <= up_to:
        _keep(conversation, since=None)
        return
    newer = WebhookEvent.objects.filter(
        conversation=conversation, action__in=OWED, chatwoot_message_id__gt=up_to
    ).order_by("chatwoot_message_id")
    # An agent who asked the bot is no customer.
    newer = newer.exclude(reason=Reason.AGENT_ASKED)
    arrived = newer.values_list("received_at", flat=True).first()
    _keep(conversation, since=arrived or conversation.last_customer_message_at)


def customers(now: datetime, limit: int = 50) -> list[Conversation]:
    """Return those whose customers wait longest, at least since `now`.

    With inbox and account, but without its tokens, which may be unreadable.
    """
    rows = _waiting().filter(waiting_since__lte=now)
    rows = rows.select_related("account", "inbox").defer(*_TOKENS)
    return list(rows.order_by("waiting_since", "pk")[:limit])


def count(limit: int = 1000, *, since: datetime | None = None) -> int:
    """Return how many customers wait; `limit` if there are as many or more.

    `since`: only those who wait since then or longer.
    """
    rows = _waiting() if since is None else _waiting().filter(waiting_since__lte=since)
    return rows.order_by().values("pk")[:limit].count()


def oldest(now: datetime) -> timedelta | None:
    """Return how long the one waits who waits longest; None if nobody waits."""
    rows = _waiting().order_by("waiting_since")
    since = rows.values_list("waiting_since", flat=True).first()
    return None if since is None else max(now - since, timedelta())


def _waiting() -> QuerySet[Conversation]:
    return Conversation.objects.filter(waiting_since__isnull=False)


def _keep(conversation: Conversation, *, since: datetime | None) -> None:
    if conversation.waiting_since == since:
        return
    conversation.waiting_since = since
    Conversation.objects.filter(pk=conversation.pk).update(waiting_since=since)
