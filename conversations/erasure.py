"""Erase a contact: everything here, then everything in Dify, with a report.

What Chatwoot sends of the contact afterwards begins anew: erase the contact there
first. A contact that was merged into another one is erased under the other's number.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime

from django.db import transaction
from django.db.models import Q, QuerySet

from chatwoot_api.models import ChatwootAccount
from chatwoot_api.payloads import CONTACT_EVENTS
from conversations import audit, deletion, removal
from conversations.models import (
    AuditEntry,
    Callback,
    Conversation,
    DifyConversation,
    Erasure,
    Reason,
    Trial,
    Turn,
    WebhookEvent,
)

BATCH = 500
# What begins anew while it is erased is erased in the next round.
ROUNDS = 3
WAITING_FOR_A_RUN = (
    "An answer to the contact is being made right now. It is being stopped; the "
    "contact is erased afterwards."
)


class _RunGoesOn(Exception):
    """A worker holds a turn of the contact's."""


@dataclass(frozen=True)
class Stored:
    """What is here of a contact, for whoever is about to erase it."""

    names: list[str]
    counts: Counter[str]


def stored(account: ChatwootAccount, contact_id: int) -> Stored:
    """Look what is stored of a contact; changes nothing."""
    conversations = _conversations_of(account.pk, contact_id)
    ids = conversations.values("pk")
    numbers = conversations.values("chatwoot_conversation_id")
    events = WebhookEvent.objects.filter(account=account)
    counts = Counter(
        conversations=conversations.count(),
        turns=Turn.objects.filter(conversation__in=ids).count(),
        events=events.filter(chatwoot_conversation_id__in=numbers).count()
        + _events_without_conversation(account.pk, contact_id).count(),
        callbacks=Callback.objects.filter(conversation__in=ids).count()
        + _callbacks_without_conversation(account.pk, contact_id).count(),
        trials=_talks_with(
            Q(inputs__contact_id=contact_id, bot__account=account)
            | Q(inputs__conversation_id__in=list(ids.values_list("pk", flat=True)))
        ).count(),
        dify_conversations=DifyConversation.objects.filter(
            conversation__in=ids
        ).count(),
    )
    names = conversations.exclude(contact_name="").order_by("contact_name")
    return Stored(
        names=list(names.values_list("contact_name", flat=True).distinct()),
        counts=+counts,
    )


def request(account: ChatwootAccount, contact_id: int, *, by: str) -> Erasure:
    """Want a contact erased; `carry_on` does it. An open wish is not repeated."""
    wish, _made = Erasure.objects.get_or_create(
        account=account,
        chatwoot_contact_id=contact_id,
        status=Erasure.Status.WANTED,
        defaults={"requested_by": by[:150]},
    )
    return wish


def open_wish(account: ChatwootAccount, contact_id: int) -> Erasure | None:
    """Return the contact's newest erasure that is not done."""
    wishes = Erasure.objects.filter(account=account, chatwoot_contact_id=contact_id)
    return wishes.exclude(status=Erasure.Status.DONE).order_by("-pk").first()


def unfinished() -> list[int]:
    """Return the erasures that are not done, the oldest first."""
    open_ = Erasure.objects.exclude(status=Erasure.Status.DONE).order_by("pk")
    return list(open_.values_list("pk", flat=True))


def carry_on(erasure_id: int, *, now: datetime) -> Erasure:
    """Do what can be done now, in short transactions; call again until it is done.

    A run that is under way is asked to stop and waited for. What is in Dify is only
    wanted here; `deletion.delete_due` deletes and proves it.
    """
    wish = Erasure.objects.get(pk=erasure_id)
    if wish.status == Erasure.Status.WANTED:
        try:
            _erase_here(wish, now=now)
        except _RunGoesOn:
            Erasure.objects.filter(pk=wish.pk).update(error=WAITING_FOR_A_RUN)
    still_in_dify = DifyConversation.objects.filter(erasure=wish, deleted_at=None)
    if not still_in_dify.exists():
        Erasure.objects.filter(
            pk=wish.pk, status=Erasure.Status.WAITING_FOR_DIFY
        ).update(status=Erasure.Status.DONE, finished_at=now)
    wish.refresh_from_db()
    return wish


def _erase_here(wish: Erasure, *, now: datetime) -> None:
    """Erase the conversations, and again what was begun meanwhile."""
    for _round in range(ROUNDS):
        found = _conversations_of(wish.account_id, wish.chatwoot_contact_id)
        ids = list(found.values_list("pk", flat=True))
        for conversation_id in ids:
            Turn.objects.interrupt_running(conversation_id, cause=Reason.ERASED)
        running = [pk for pk in ids if not _erase_conversation(wish, pk, now=now)]
        if running:
            raise _RunGoesOn
        if not ids:
            break
    with transaction.atomic():
        events = _events_without_conversation(wish.account_id, wish.chatwoot_contact_id)
        callbacks = _callbacks_without_conversation(
            wish.account_id, wish.chatwoot_contact_id
        )
        removed = Counter(
            events=removal.remove_events(events),
            callbacks=removal.remove_callbacks(callbacks),
            # Also of conversations that were forgotten before.
            trials=_remove_trials(
                wish,
                Q(
                    inputs__contact_id=wish.chatwoot_contact_id,
                    bot__account=wish.account_id,
                ),
            ),
        )
        _count(wish, removed)
    _note_erased(wish, now=now)


def _conversations_of(account_id: int, contact_id: int) -> QuerySet[Conversation]:
    return Conversation.objects.filter(
        account=account_id, chatwoot_contact_id=contact_id
    )


def _erase_conversation(wish: Erasure, conversation_id: int, *, now: datetime) -> bool:
    """Delete a conversation, batch after batch; False while a run goes on in it."""
    while True:
        with transaction.atomic():
            rows = Conversation.objects.select_for_update().filter(pk=conversation_id)
            conversation = rows.first()
            if conversation is None:
                return True
            if _is_running(conversation_id, now=now):
                return False
            counts, is_over = _erase_batch(wish, conversation)
            _count(wish, counts)
            if is_over:
                return True


def _is_running(conversation_id: int, *, now: datetime) -> bool:
    """Look, and lock the open turn: nobody claims it before it is deleted."""
    turns = Turn.objects.select_for_update().unfinished()
    return any(
        turn.status == Turn.Status.RUNNING
        and turn.lease_expires_at is not None
        and turn.lease_expires_at >= now
        for turn in turns.filter(conversation=conversation_id)
    )


def _erase_batch(
    wish: Erasure, conversation: Conversation
) -> tuple[Counter[str], bool]:
    """Delete some of a locked conversation; with the last of it the row itself."""
    turns = Turn.objects.filter(conversation=conversation).order_by("pk")
    turn_ids = list(turns.values_list("pk", flat=True)[:BATCH])
    counts = removal.remove_turns(turn_ids)
    # After the turns, whose runs may have known more of them.
    memories = DifyConversation.objects.filter(conversation=conversation)
    deletion.want_all(memories, reason=DifyConversation.End.ERASED, erasure=wish)
    asked = Callback.objects.filter(conversation=conversation, turn=None)
    counts["callbacks"] += removal.remove_callbacks(asked)
    events = _some_events(wish, conversation)
    counts["events"] += removal.remove_events(events)
    is_over = len(turn_ids) < BATCH and counts["events"] < BATCH
    if is_over:
        # Whose it is may have become known, or another's, after the talk.
        told = Q(inputs__conversation_id=conversation.pk)
        counts["trials"] += _remove_trials(wish, told)
        counts["conversations"] += removal.remove_conversations([conversation.pk])
    return counts, is_over


def _some_events(wish: Erasure, conversation: Conversation) -> QuerySet[WebhookEvent]:
    """Return a batch of events, also by Chatwoot's number: new ones have no other.

    Those that are being processed right now are skipped, for a worker holds them and
    waits for our conversation. They begin a new one, which the next round erases.
    """
    number = conversation.chatwoot_conversation_id
    ids = (
        WebhookEvent.objects.select_for_update(skip_locked=True)
        .filter(account=wish.account_id, chatwoot_conversation_id=number)
        .values_list("pk", flat=True)[:BATCH]
    )
    return WebhookEvent.objects.filter(pk__in=list(ids))


def _events_without_conversation(
    account_id: int, contact_id: int
) -> QuerySet[WebhookEvent]:
    """Return what Chatwoot told about the contact alone.

    No index finds it by the payload; that of the conversation leaves few to look at.
    """
    return WebhookEvent.objects.filter(
        Q(name__in=CONTACT_EVENTS, payload__id=contact_id)
        | Q(name="webwidget_triggered", payload__contact__id=contact_id),
        account=account_id,
        chatwoot_conversation_id=None,
    )


def _callbacks_without_conversation(
    account_id: int, contact_id: int
) -> QuerySet[Callback]:
    """Return what flows asked for the contact alone: to write to it, to look at it."""
    named = Q(arguments__contact_id__in=[contact_id, str(contact_id)])
    told = Q(after__contact_id=contact_id) | Q(answer__contact_id=contact_id)
    return Callback.objects.filter(named | told, account=account_id, conversation=None)


def _talks_with(told: Q) -> QuerySet[Trial]:
    """Return all questions of the playground's talks in which one was told so.

    No index finds them; they are few, and kept for weeks at most.
    """
    talks = Trial.objects.filter(told).values("talk")
    return Trial.objects.filter(talk__in=talks)


def _remove_trials(wish: Erasure, told: Q) -> int:
    """Delete them, and have Dify forget the talks; a worker in one loses its row."""
    ids = list(_talks_with(told).values_list("pk", flat=True))
    memories = DifyConversation.objects.filter(trials__in=ids)
    deletion.want_all(memories, reason=DifyConversation.End.ERASED, erasure=wish)
    return removal.remove_trials(Trial.objects.filter(pk__in=ids))


def _count(wish: Erasure, counts: Counter[str]) -> None:
    """Add to the report; its row is locked, so that two workers lose no number."""
    row = Erasure.objects.select_for_update().get(pk=wish.pk)
    row.counts = dict(Counter(row.counts) + counts)
    row.save(update_fields=["counts"])


def _note_erased(wish: Erasure, *, now: datetime) -> None:
    with transaction.atomic():
        erased = Erasure.objects.filter(pk=wish.pk, status=Erasure.Status.WANTED)
        if not erased.update(
            status=Erasure.Status.WAITING_FOR_DIFY, erased_here_at=now, error=""
        ):
            return
        wish.refresh_from_db()
        in_dify = DifyConversation.objects.filter(erasure=wish).count()
        wish.counts["dify_conversations"] = in_dify
        wish.save(update_fields=["counts"])
        audit.record(
            AuditEntry.Verb.ERASED_CONTACT,
            actor=wish.requested_by,
            account=wish.account_id,
            chatwoot_contact_id=wish.chatwoot_contact_id,
            erasure=wish.pk,
            counts=wish.counts,
        )
