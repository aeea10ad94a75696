"""Forms whose time is over, and the reminder before that.

Found by each worker's sweeper straight from PostgreSQL: a customer must not wait for
Redis or beat.
"""

from __future__ import annotations

import logging
from contextlib import suppress
from datetime import datetime

from django.db import transaction
from django.db.models import Q

from bridge_project.lib.errors import BridgeError
from chatwoot_api.client import ChatwootClient
from conversations import form_rows, freshness, mirror, posting
from conversations.call_log import CallRecorder
from conversations.decisions import replies_as
from conversations.flow_forms import wording
from conversations.models import (
    Conversation,
    FlowForm,
    OutgoingMessage,
    PipelineRun,
    Reason,
    ReplyAs,
    Turn,
)
from conversations.models.bot_settings import FormsGoTo
from dify_api.client import DifyClient

logger = logging.getLogger(__name__)

BATCH = 100


def due(now: datetime) -> list[int]:
    """Return the forms whose time is over, or of which somebody is to be reminded."""
    rows = FlowForm.objects.filter(
        Q(expires_at__lte=now) | Q(remind_at__lte=now),
        status=FlowForm.Status.WAITING,
    )
    return list(rows.order_by("expires_at").values_list("pk", flat=True)[:BATCH])


def attend(form_id: int, *, now: datetime) -> Turn | None:
    """End or remind of one form; return the handover that begins, if any.

    Harmless to repeat: of two workers one changes the row.
    """
    form = (
        FlowForm.objects.filter(pk=form_id, status=FlowForm.Status.WAITING)
        .select_related("bot__account", "turn__conversation__account", "run__dify_app")
        .first()
    )
    if form is None:
        return None
    if form.expires_at <= now:
        turn = _expire(form)
        if turn is not None:
            _stop(form.run, turn=turn)
        return turn
    if form.remind_at is not None and form.remind_at <= now:
        _remind(form)
    return None


def _expire(form: FlowForm) -> Turn | None:
    """End the form and owe a handover, once no other turn is under way."""
    with transaction.atomic(), suppress(Conversation.DoesNotExist):
        conversation = mirror.lock(form.conversation_id)
        if Turn.objects.unfinished().filter(conversation=conversation).exists():
            return None
        if not form_rows.is_asked(form):
            # The turn that made it came to another end.
            form_rows.end(form, status=FlowForm.Status.WITHDRAWN)
            return None
        if not form_rows.end(form, status=FlowForm.Status.EXPIRED):
            return None
        # A human who has replied since the question has it: then nothing is owed.
        asked = form.chatwoot_message_id or 0
        is_agents = form.goes_to == FormsGoTo.AGENT
        return Turn.objects.create(
            conversation=conversation,
            bot=form.bot,
            last_message_id=max(asked, form.turn.last_message_id),
            handover_reason=Reason.FORM_UNANSWERED,
            error=f"“{form.title}”" if form.title else "",
            by_flow={**form_rows.OPENED} if is_agents else {},
        )
    return None


def _stop(run: PipelineRun, *, turn: Turn) -> None:
    """Let the paused run end in Dify; it would only wait there for its own time."""
    if not run.dify_task_id or run.dify_app is None:
        return
    recorder = CallRecorder(turn)
    client = DifyClient(run.dify_app.connection(), call_log=recorder)
    with suppress(BridgeError):
        client.stop(run.dify_task_id, user=run.dify_user)
    recorder.flush()


def _remind(form: FlowForm) -> None:
    """Remind once, if whoever was asked may still answer; a failure is no second one.

    The row says that it is done before it is: better none than two.
    """
    claimed = FlowForm.objects.filter(
        pk=form.pk, status=FlowForm.Status.WAITING, remind_at=form.remind_at
    ).update(remind_at=None)
    bot, turn = form.bot, form.turn
    if not claimed or bot is None or not bot.enabled or not form_rows.is_asked(form):
        return
    recorder = CallRecorder(turn)
    client = ChatwootClient(bot.account, call_log=recorder)
    is_agents = form.goes_to == FormsGoTo.AGENT
    try:
        look = freshness.look(turn, bot=bot, client=client)
        # Agents may have whatever they like; notes are always theirs to read.
        is_over = look.why_not == Reason.CONVERSATION_GONE
        speaks = replies_as(bot, look.situation, kind=turn.kind) == ReplyAs.MESSAGE
        is_customers = look.why_not is None and speaks
        if is_over or not (is_agents or is_customers):
            return
        posting.post_once(
            turn,
            part=OutgoingMessage.Part.FORM_REMINDER,
            content=wording.reminder(form, bot=bot),
            private=is_agents,
            client=client,
        )
    except BridgeError as err:
        logger.warning("Form %s: nobody could be reminded: %s", form.pk, err)
    finally:
        recorder.flush()
