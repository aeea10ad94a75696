"""Let stored messages be answered once more, in a turn of their own."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db import InterfaceError, OperationalError, transaction
from django.db.models.functions import Greatest
from django.utils import timezone
from django.utils.translation import gettext, ngettext

from bridge_project.lib.types import JsonValue
from conversations import audit, mirror, processing, turns
from conversations.decisions import Decision
from conversations.models import (
    Action,
    AuditEntry,
    Bot,
    Conversation,
    Reason,
    Turn,
    WebhookEvent,
)
from conversations.models.turn import JOINABLE
from conversations.replay import words
from conversations.replay.foresight import Foresight, answered_by, foresee
from conversations.turns import MAX_JOINED

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Result:
    """What came of a replay: the turn to be woken, if any, and a sentence."""

    turn: Turn | None
    text: str


def replay(event: WebhookEvent, *, by: str, force: bool = False) -> Result:
    """Have one event decided anew, and its message answered if that says so.

    Only the database is touched; the caller wakes the turn.
    """
    if event.status == WebhookEvent.Status.FAILED:
        result = _process_again(event, by=by)
        event.refresh_from_db()
        has_failed_again = event.status != WebhookEvent.Status.PROCESSED
        if result.turn is not None or not force or has_failed_again:
            return result
    return together([event], by=by, force=force)


def together(
    events: Sequence[WebhookEvent],
    *,
    by: str,
    force: bool = False,
    verb: AuditEntry.Verb = AuditEntry.Verb.REPLAYED,
    since: datetime | None = None,
) -> Result:
    """Have messages of one conversation answered once more, with one answer to all.

    What cannot be answered is left out. A turn that was begun for one of them `since`
    a moment is taken for the one that is wanted: somebody else was faster.
    """
    conversation_id = events[0].conversation_id if events else None
    if conversation_id is None:
        text = foresee(events[0], force=force).text if events else ""
        return Result(None, text)
    with transaction.atomic():
        try:
            conversation = mirror.lock(conversation_id)
        except Conversation.DoesNotExist:
            return Result(None, str(words.ERASED))
        rows = list(
            WebhookEvent.objects.filter(
                pk__in=[event.pk for event in events], conversation=conversation
            )
            .select_related("account", "turn")
            .order_by("chatwoot_message_id", "pk")
        )
        begun = _begun(rows, since=since)
        if begun is not None:
            _note_asked(begun, by=by)
            return Result(begun, _what_is_done(begun, count=len(rows)))
        seen = [(row, foresee(row, force=force)) for row in rows]
        wanted = [row for row, found in seen if found.would_do][-MAX_JOINED:]
        if not wanted:
            return Result(None, _why_none(seen))
        return _answer(wanted, conversation=conversation, by=by, force=force, verb=verb)


def _answer(
    rows: list[WebhookEvent],
    *,
    conversation: Conversation,
    by: str,
    force: bool,
    verb: AuditEntry.Verb,
) -> Result:
    """Give the events their turn. The conversation is locked."""
    bot = Bot.objects.for_inbox(conversation.inbox) if conversation.inbox else None
    open_turn = (
        Turn.objects.select_for_update(no_key=True)
        .unfinished()
        .filter(conversation=conversation)
        .first()
    )
    if bot is None:
        return Result(None, str(words.INSTEAD[Reason.NO_BOT_FOR_INBOX]))
    if open_turn is not None and not _is_joinable(open_turn):
        return Result(None, words.busy(open_turn.pk))
    before: list[JsonValue] = [row.reason for row in rows]
    former = _former_turn(rows)
    turn, now = open_turn, timezone.now()
    for row in rows:
        is_click = row.name == "message_updated"
        asks = Reason.CUSTOMER_CHOICE if is_click else Reason.CUSTOMER_MESSAGE
        if row.reason == Reason.RESET:
            asks = Reason.RESET
        decision = Decision(Action.ANSWER, asks)
        processing.store(row, decision=decision, now=now)
        turn = turns.add_message(row, conversation=conversation, bot=bot, now=now)
    if turn is None:
        raise RuntimeError(f"The turn of conversation {conversation.pk} took nothing.")
    if open_turn is None:
        # Who asks for it waits for it, and the customer has said what there is to say.
        turn.next_attempt_at = now
        turn.save(update_fields=["next_attempt_at"])
    _note_asked(
        turn,
        by=by,
        former=former,
        despite=conversation.last_human_message_id if force else 0,
    )
    audit.record(
        verb,
        actor=by,
        conversation=conversation,
        turn=turn.pk,
        former_turn=former.pk if former else None,
        events=[row.pk for row in rows],
        decided_before=before,
        forced=force,
    )
    turn.refresh_from_db()
    return Result(turn, _what_is_done(turn, count=len(rows)))


def _is_joinable(turn: Turn) -> bool:
    """Tell whether messages may join an open turn, as `turns.add_message` does."""
    if turn.kind == Turn.Kind.GREETING or turn.flow_form_id is not None:
        return False
    if turn.kind == Turn.Kind.HELP and turn.outgoing_messages.exists():
        return False
    return turn.status in JOINABLE and not turn.handover_reason


def _former_turn(rows: list[WebhookEvent]) -> Turn | None:
    """Return the turn that the messages come from: first of all one with an answer."""
    for row in reversed(rows):
        if row.turn is not None and answered_by(row) is not None:
            return row.turn
    return next((row.turn for row in reversed(rows) if row.turn is not None), None)


def _note_asked(
    turn: Turn, *, by: str, former: Turn | None = None, despite: int = 0
) -> None:
    values: dict[str, object] = {"asked_by": by[:150]}
    if former is not None and turn.replay_of_id is None and former.pk != turn.pk:
        values["replay_of"] = former
    if despite:
        values["despite_message_id"] = Greatest("despite_message_id", despite)
    Turn.objects.filter(pk=turn.pk).update(**values)


def _begun(rows: list[WebhookEvent], *, since: datetime | None) -> Turn | None:
    """Return the turn that somebody else began for the messages meanwhile."""
    if since is None:
        return None
    found = [row.turn for row in rows if row.turn and row.turn.created_at >= since]
    return max(found, key=lambda turn: turn.pk, default=None)


def _process_again(event: WebhookEvent, *, by: str) -> Result:
    """Let an event that was given up be processed as if it had just come."""
    found = foresee(event)
    if not found.would_do:
        return Result(None, found.text)
    former = event.turn
    put_back = WebhookEvent.objects.filter(
        pk=event.pk, status=WebhookEvent.Status.FAILED
    ).update(status=WebhookEvent.Status.RECEIVED, attempts=0, error="")
    if not put_back:
        return Result(None, str(words.NOT_PROCESSED))
    try:
        turn = processing.process(event.pk, now=timezone.now())
    except (OperationalError, InterfaceError):
        raise
    except Exception:
        logger.exception("Event %s failed again when it was replayed", event.pk)
        return Result(None, gettext("It failed again; the event's page says why."))
    event.refresh_from_db()
    is_open = turn is not None and turn.finished_at is None
    if turn is not None and is_open:
        _note_asked(turn, by=by, former=former)
    audit.record(
        AuditEntry.Verb.REPLAYED,
        actor=by,
        account=event.account_id,
        conversation=event.conversation,
        events=[event.pk],
        decided_before=["failed"],
        turn=turn.pk if turn else None,
    )
    if turn is not None and is_open:
        return Result(turn, _what_is_done(turn, count=1))
    return Result(
        None,
        gettext("It was processed: %(action)s, %(reason)s.")
        % {
            "action": event.get_action_display(),
            "reason": event.get_reason_display(),
        },
    )


def _what_is_done(turn: Turn, *, count: int) -> str:
    return ngettext(
        "The message is answered in turn %(id)d.",
        "%(count)d messages are answered together in turn %(id)d.",
        count,
    ) % {"count": count, "id": turn.pk}


def _why_none(seen: list[tuple[WebhookEvent, Foresight]]) -> str:
    """Say why nothing is answered: each reason once."""
    return " ".join(dict.fromkeys(found.text for _row, found in seen))
