"""What an operator does to one conversation: have it answered, hand it over, forget it.

Chatwoot and Dify are called outside of transactions. What is not possible raises
Refused with a sentence; what the platforms refuse, their own BridgeError.
"""

from __future__ import annotations

import logging
from uuid import uuid4

from django.conf import settings
from django.db import transaction
from django.db.models import Max, QuerySet
from django.utils import timezone, translation
from django.utils.translation import gettext

from bridge_project.lib.errors import BridgeError
from chatwoot_api.api import SHORT_TIMEOUT_S
from chatwoot_api.client import ChatwootClient
from chatwoot_api.models import ChatwootAccount
from conversations import audit, deletion, memory, mirror, replay
from conversations.models import (
    AuditEntry,
    Bot,
    Conversation,
    ConversationStatus,
    DifyConversation,
    Reason,
    Turn,
    WebhookEvent,
)
from conversations.models.turn import UNFINISHED
from conversations.replay import Foresight, Result
from conversations.turns import MAX_JOINED

logger = logging.getLogger(__name__)


class Refused(BridgeError):
    """It is not possible as the conversation stands."""

    code = "refused"


# --- Answer again -----------------------------------------------------------------


def unanswered(
    conversation: Conversation, *, force: bool = False
) -> list[WebhookEvent]:
    """Return the customer's messages that an answer would be to, oldest first.

    Those since the last answer of a human or the bot. Forced, and if there are none,
    the last ones that were answered.
    """
    # A draft answers nobody, and neither does what an agent was told.
    answered = conversation.turns.filter(
        status=Turn.Status.ANSWERED, kind=Turn.Kind.ANSWER
    )
    newest = answered.aggregate(newest=Max("last_message_id"))["newest"] or 0
    after = max(newest, conversation.last_human_message_id)
    rows = list(
        _customers(conversation).filter(chatwoot_message_id__gt=after)[:MAX_JOINED]
    )
    if not rows and force:
        rows = _last_ones(conversation)
    return sorted(rows, key=lambda row: row.chatwoot_message_id or 0)


def foresee_answer(
    conversation: Conversation, *, give_back: bool = False, force: bool = False
) -> tuple[list[WebhookEvent], list[Foresight]]:
    """Return the messages, and for each what `answer_again` would do with it.

    With `give_back` as if the conversation were pending already.
    """
    rows = unanswered(conversation, force=force)
    status = ConversationStatus.PENDING if give_back else ""
    return rows, [replay.foresee(row, force=force, status=status) for row in rows]


def answer_again(
    conversation: Conversation, *, by: str, give_back: bool = False, force: bool = False
) -> Result:
    """Have the bot answer what is unanswered; the caller wakes the turn.

    With `give_back` the conversation is first set to pending in Chatwoot. Its webhook
    may begin the turn before we do: there is one answer all the same. `force` also
    answers what was answered, by whomever, or is too old.
    """
    since = timezone.now()
    conversation.refresh_from_db()
    rows, seen = foresee_answer(conversation, give_back=give_back, force=force)
    if not rows:
        raise Refused(
            gettext(
                "No message of the customer is waiting for an answer here. To have the "
                "last one answered once more, tick “also where it was answered”."
            )
        )
    if not any(found.would_do for found in seen):
        raise Refused(" ".join(dict.fromkeys(found.text for found in seen)))
    if give_back:
        _toggle_status(conversation, status=ConversationStatus.PENDING)
    # At once: if we died in between, the webhook would find nothing given back, and
    # nobody would answer.
    with transaction.atomic():
        if give_back:
            _mirror_status(conversation, status=ConversationStatus.PENDING)
        result = replay.together(
            rows,
            by=by,
            force=force,
            verb=AuditEntry.Verb.ANSWERED_AGAIN,
            since=since if give_back else None,
        )
    if result.turn is None:
        raise Refused(result.text)
    return result


def _customers(conversation: Conversation) -> QuerySet[WebhookEvent]:
    """Return the customer's messages, the newest first, each once."""
    return (
        WebhookEvent.objects.filter(
            conversation=conversation,
            name="message_created",
            payload__message_type__in=["incoming", 0],
            status=WebhookEvent.Status.PROCESSED,
        )
        .exclude(reason=Reason.DUPLICATE_MESSAGE)
        .exclude(payload={})
        .select_related("account", "turn")
        .order_by("-chatwoot_message_id", "-pk")
    )


def _last_ones(conversation: Conversation) -> list[WebhookEvent]:
    """Return the newest message, with those that were answered together with it."""
    newest = _customers(conversation).first()
    if newest is None:
        return []
    if newest.turn_id is None:
        return [newest]
    return list(_customers(conversation).filter(turn=newest.turn_id)[:MAX_JOINED])


# --- Hand over --------------------------------------------------------------------


def hand_over(conversation: Conversation, *, by: str) -> str:
    """Give the conversation to the humans: status open, a note, no answer of the bot.

    Returns a sentence. It is the status that counts; a note may fail.
    """
    conversation.refresh_from_db()
    if conversation.status == ConversationStatus.OPEN:
        raise Refused(
            gettext(
                "The conversation is open already, so the humans have it. To keep the "
                "bot silent, pause it."
            )
        )
    bot = Bot.objects.for_inbox(conversation.inbox) if conversation.inbox else None
    _toggle_status(conversation, status=ConversationStatus.OPEN)
    _mirror_status(conversation, status=ConversationStatus.OPEN)
    is_noted = _leave_note(conversation, bot=bot, by=by)
    stopped = Turn.objects.interrupt_running(
        conversation.pk, cause=Reason.STATUS_NOT_ALLOWED
    )
    audit.record(
        AuditEntry.Verb.HANDED_OVER,
        actor=by,
        conversation=conversation,
        stopped_runs=stopped,
        noted=is_noted,
    )
    sentences = [gettext("The humans have the conversation: it is open in Chatwoot.")]
    if not is_noted:
        sentences.append(gettext("Chatwoot did not take the note to the agents."))
    if bot is not None and ConversationStatus.OPEN in bot.speak_in_statuses:
        sentences.append(
            gettext(
                "This bot may speak in open conversations, too: pause it to keep it "
                "silent."
            )
        )
    return " ".join(sentences)


def _leave_note(conversation: Conversation, *, bot: Bot | None, by: str) -> bool:
    """Tell the agents who handed it over, in the language of the bot's notes."""
    language = bot.language if bot else ""
    with translation.override(language or settings.LANGUAGE_CODE):
        note = gettext("%(user)s handed this conversation to the humans.") % {
            "user": by
        }
    try:
        _client(conversation).create_message(
            conversation.chatwoot_conversation_id,
            content=note,
            private=True,
            mark=str(uuid4()),
            channel=conversation.channel,
        )
    except BridgeError as err:
        logger.warning("Conversation %s: no note: %s", conversation.pk, err)
        return False
    return True


# --- Dify's part ------------------------------------------------------------------


def new_dify_conversation(conversation: Conversation, *, by: str) -> int:
    """Let the customer's next message begin a new Dify conversation.

    Returns how many end; they are not deleted.
    """
    with transaction.atomic():
        row = mirror.lock(conversation.pk)
        if row.turns.filter(status__in=UNFINISHED, started_at__isnull=False).exists():
            raise Refused(
                gettext(
                    "An answer is being made right now, in the Dify conversation that "
                    "would end. Try again when it is there."
                )
            )
        ended = memory.end(row, reason=DifyConversation.End.RENEWED)
        if not ended:
            raise Refused(
                gettext(
                    "No Dify conversation is in use here: the customer's next message "
                    "begins a new one anyway."
                )
            )
        audit.record(
            AuditEntry.Verb.FORGOT_IN_DIFY, actor=by, conversation=row, ended=ended
        )
    return ended


def delete_dify(dify_conversation: DifyConversation, *, by: str) -> str:
    """Delete a conversation in Dify now, proven by reading it back.

    Returns a sentence. Raises Refused with the reason while Dify has not proven it; it
    is tried again until it has.
    """
    row, is_new = dify_conversation, dify_conversation.delete_wanted_at is None
    if deletion.want(row, reason=DifyConversation.End.BY_OPERATOR) and is_new:
        audit.record(
            AuditEntry.Verb.WANTED_DELETION,
            actor=by,
            conversation=row.conversation,
            dify_app=row.app_id,
            dify_conversation=row.dify_conversation_id,
        )
    row = deletion.delete_now(row, now=timezone.now())
    if row.deleted_at is None:
        raise Refused(
            gettext("Not deleted yet: %(why)s It is tried again until it is proven.")
            % {"why": row.delete_error or gettext("another worker is at it.")}
        )
    return gettext("Deleted: Dify was asked for it and no longer knows it.")


# --- Chatwoot ---------------------------------------------------------------------


def _client(conversation: Conversation) -> ChatwootClient:
    accounts = ChatwootAccount.objects.filter(pk=conversation.account_id)
    return ChatwootClient(
        conversation.account,
        on_refused=accounts.note_refusal,
        timeout_s=SHORT_TIMEOUT_S,
    )


def _toggle_status(conversation: Conversation, *, status: ConversationStatus) -> None:
    _client(conversation).toggle_status(
        conversation.chatwoot_conversation_id, status=status
    )


def _mirror_status(conversation: Conversation, *, status: ConversationStatus) -> None:
    """Note what was set in Chatwoot: the webhook may take a while.

    The mirror's time stays: whatever webhook comes is news to it.
    """
    with transaction.atomic():
        mirror.lock(conversation.pk)
        Conversation.objects.filter(pk=conversation.pk).update(status=status)
    conversation.status = status
