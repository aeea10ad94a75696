"""Give a turn to the humans: a line for the customer, a note for them, status open."""

from __future__ import annotations

import logging
from datetime import timedelta

from django.conf import settings
from django.db.models import QuerySet
from django.utils import timezone, translation

from bridge_project.lib.errors import (
    ConfigurationError,
    UpstreamError,
    UpstreamRejected,
)
from chatwoot_api.client import ChatwootClient
from conversations import business_hours, posting
from conversations.decisions import leads
from conversations.models import (
    Bot,
    ConversationStatus,
    OutgoingMessage,
    Reason,
    Turn,
)
from conversations.models.bot_settings import OutsideHours

logger = logging.getLogger(__name__)

# Chatwoot answers reads, or we would not be here: then its posts fail for good.
LET_GO_AFTER = 12
# The customer is told only of a failure; a late or an unasked-for line would be odd.
_QUIET = frozenset(
    {
        Reason.BOT_DISABLED,
        Reason.NO_BOT_FOR_INBOX,
        Reason.TOO_OLD,
        Reason.PAUSED,
        Reason.HUMAN_IS_ASSIGNED,
        Reason.HUMAN_HAS_TAKEN_OVER,
        Reason.ERASED,
        Reason.HANDED_OVER_BY_FLOW,
        Reason.NOT_FOR_CONTACT,
    }
)
# No failure of which agents would have to be told.
_WITHOUT_NOTE = frozenset(
    {
        Reason.HANDED_OVER_BY_FLOW,
        Reason.HUMAN_HAS_TAKEN_OVER,
        Reason.NOT_FOR_CONTACT,
        Reason.OUTSIDE_HOURS,
    }
)
# Where a bot speaks in open conversations, each message would be told the same.
OUTSIDE_HOURS_ONCE_IN = timedelta(hours=24)
CEILING_ONCE_IN = timedelta(hours=1)


def hand_over(
    turn: Turn,
    *,
    bot: Bot,
    client: ChatwootClient,
    speaks: bool,
    quietly: bool = False,
    opens: bool = True,
) -> None:
    """Hand the turn over; may be repeated until every step is done.

    The status comes last: Chatwoot counts it as the bot's handoff, and afterwards the
    bot may not speak. It is what brings the customer to the agents, so a refused line
    or note does not stop it. To a customer who has the humans write (not `speaks`) the
    bot says nothing, and a bot that only writes notes leaves the status alone, too; one
    that was paused meanwhile says nothing to the customer (`quietly`), nor does one
    that answers once more: there was an answer, or this line, before.
    Without `opens` the status is one that the bot's own flow has set on purpose.
    """
    quietly = quietly or turn.replay_of_id is not None
    tells = speaks and not quietly and turn.handover_reason not in _QUIET
    text = _public_text(turn, bot=bot) if tells else ""
    if text.strip():
        _say(turn, OutgoingMessage.Part.FAILURE_TEXT, text, client)
    note_text = _note_text(turn, bot=bot)
    if _wants_note(turn) and note_text:
        with translation.override(bot.language or settings.LANGUAGE_CODE):
            cause = _cause(turn)
        note = note_text.replace("{cause}", cause)
        _say(turn, OutgoingMessage.Part.FAILURE_NOTE, note, client)
    if opens and turn.kind == Turn.Kind.ANSWER and leads(bot):
        client.toggle_status(
            turn.conversation.chatwoot_conversation_id, status=ConversationStatus.OPEN
        )


def _note_text(turn: Turn, *, bot: Bot) -> str:
    """Return the note's wording; an agent who asked is told in any case."""
    if bot.failure_private_text.strip():
        return bot.failure_private_text
    return "{cause}" if turn.kind == Turn.Kind.HELP else ""


def _public_text(turn: Turn, *, bot: Bot) -> str:
    """Return what the customer is told, "" if nothing.

    Outside business hours no colleague is promised, if there is another text.
    """
    reason, instead = turn.handover_reason, bot.outside_hours_text
    if reason == Reason.OUTSIDE_HOURS:
        is_silent = bot.outside_hours == OutsideHours.SILENT
        text, once_in = "" if is_silent else instead, OUTSIDE_HOURS_ONCE_IN
    elif instead.strip() and not _is_open(turn):
        text, once_in = instead, OUTSIDE_HOURS_ONCE_IN
    elif reason == Reason.CEILING_REACHED:
        text, once_in = bot.ceiling_text, CEILING_ONCE_IN
    else:
        return bot.failure_public_text
    return _unless_said(turn, text, within=once_in)


def _is_open(turn: Turn) -> bool:
    return business_hours.is_open(turn.conversation.inbox, timezone.now())


def _unless_said(turn: Turn, text: str, *, within: timedelta) -> str:
    """Return a text that the conversation has not been told just lately, else ""."""
    if not text.strip():
        return ""
    said = _told_lately(turn, within=within).filter(
        part=OutgoingMessage.Part.FAILURE_TEXT, content=text
    )
    return "" if said.exists() else text


def _wants_note(turn: Turn) -> bool:
    """Tell whether the agents are told why; an agent who asked is in any case."""
    if turn.handover_reason in _WITHOUT_NOTE:
        return False
    is_ceiling = turn.handover_reason == Reason.CEILING_REACHED
    if not is_ceiling or turn.kind != Turn.Kind.ANSWER:
        return True
    noted = _told_lately(turn, within=CEILING_ONCE_IN).filter(
        part=OutgoingMessage.Part.FAILURE_NOTE,
        turn__handover_reason=Reason.CEILING_REACHED,
    )
    return not noted.exists()


def _told_lately(turn: Turn, *, within: timedelta) -> QuerySet[OutgoingMessage]:
    """Return what other turns of the conversation have said since then."""
    return OutgoingMessage.objects.filter(
        turn__conversation=turn.conversation_id,
        posted_at__gte=timezone.now() - within,
    ).exclude(turn=turn)


def _say(
    turn: Turn, part: OutgoingMessage.Part, content: str, client: ChatwootClient
) -> None:
    """Post a line or note; what is refused, or fails again and again, is let go."""
    try:
        posting.post_once(
            turn,
            part=part,
            content=content,
            private=part == OutgoingMessage.Part.FAILURE_NOTE,
            client=client,
        )
    except (UpstreamError, ConfigurationError) as err:
        refused = isinstance(err, UpstreamRejected | ConfigurationError)
        if not refused and turn.attempts <= LET_GO_AFTER:
            raise
        logger.warning("Turn %s: %s", turn.pk, err)


def was_begun(turn: Turn) -> bool:
    """Tell whether an earlier attempt got as far as the note or the line."""
    return OutgoingMessage.objects.filter(
        turn=turn,
        part__in=[
            OutgoingMessage.Part.FAILURE_TEXT,
            OutgoingMessage.Part.FAILURE_NOTE,
        ],
        posted_at__isnull=False,
    ).exists()


def _cause(turn: Turn) -> str:
    """Say why, for agents: the reason in words and the error's own sentence."""
    reason = str(turn.get_handover_reason_display())
    return f"{reason}. {turn.error}".strip() if turn.error else reason
