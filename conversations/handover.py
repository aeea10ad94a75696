"""Give a turn to the humans: a line for the customer, a note for them, status open."""

from __future__ import annotations

import logging

from django.conf import settings
from django.utils import translation

from bridge_project.lib.errors import (
    ConfigurationError,
    UpstreamError,
    UpstreamRejected,
)
from chatwoot_api.client import ChatwootClient
from conversations import posting
from conversations.decisions import leads
from conversations.models import (
    Bot,
    ConversationStatus,
    OutgoingMessage,
    Reason,
    Turn,
)

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
        Reason.ERASED,
        Reason.HANDED_OVER_BY_FLOW,
    }
)
# No failure of which agents would have to be told.
_WITHOUT_NOTE = frozenset({Reason.HANDED_OVER_BY_FLOW})


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
    if tells and bot.failure_public_text.strip():
        _say(turn, OutgoingMessage.Part.FAILURE_TEXT, bot.failure_public_text, client)
    notes = turn.handover_reason not in _WITHOUT_NOTE
    if notes and bot.failure_private_text.strip():
        with translation.override(bot.language or settings.LANGUAGE_CODE):
            cause = _cause(turn)
        note = bot.failure_private_text.replace("{cause}", cause)
        _say(turn, OutgoingMessage.Part.FAILURE_NOTE, note, client)
    if opens and turn.kind == Turn.Kind.ANSWER and leads(bot):
        client.toggle_status(
            turn.conversation.chatwoot_conversation_id, status=ConversationStatus.OPEN
        )


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
