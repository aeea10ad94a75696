"""Ask Chatwoot, right now, whether a turn may still be answered."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from bridge_project.lib.errors import (
    ConfigurationError,
    NotFound,
    UnexpectedReply,
    UpstreamRejected,
    UpstreamUnavailable,
)
from chatwoot_api.client import ChatwootClient
from chatwoot_api.payloads import Message
from conversations import form_rows
from conversations.decisions import (
    Situation,
    is_human_reply,
    marks_of,
    situation_of,
    why_no_longer,
)
from conversations.models import Bot, Conversation, Reason, Turn

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Look:
    """What a look at Chatwoot told."""

    # Why the turn must not be answered; None if it may be.
    why_not: Reason | None
    situation: Situation
    # Why it must not, but for what its own flow did: the flow let go of it.
    left_by_flow: Reason | None = None
    # The flow sent the customer a message of its own.
    flow_spoke: bool = False
    # A human has answered since an agent was asked for a form: what the flow says after
    # the agent's answer is for the agents.
    is_humans: bool = False
    # The last message of any kind, as far as Chatwoot showed it.
    last: Message | None = None

    @property
    def status(self) -> str:
        """Return the conversation's status."""
        return self.situation.status


def look(turn: Turn, *, bot: Bot, client: ChatwootClient) -> Look:
    """Return how the conversation stands, and why the turn must not be answered.

    What no token may read is taken from the mirror, which the webhooks keep. Raises
    UpstreamError when Chatwoot is away: the answer could not be posted either.

    What the turn's own flow has changed is read after Chatwoot: a callback notes it
    before it changes anything, so what is seen there stands here by now.
    """
    conversation = Conversation.objects.get(pk=turn.conversation_id)
    situation, by_webhook = situation_of(conversation), True
    last: Message | None = None
    try:
        current, last = client.show_conversation(conversation.chatwoot_conversation_id)
    except NotFound:
        return Look(Reason.CONVERSATION_GONE, situation)
    except (UpstreamRejected, ConfigurationError) as err:
        # The answer can be posted all the same, but somebody should know.
        logger.warning("Turn %s: the conversation cannot be read: %s", turn.pk, err)
    except UpstreamUnavailable as err:
        # A bot's read fails once the conversation has a team, see ChatwootClient.
        if err.status != 500 or client.can_read_messages:
            raise
    else:
        by_webhook = False
        contact = current.contact
        replied_id = _human_reply_after(turn, last=last, client=client)
        situation = Situation(
            status=current.status or situation.status,
            labels=current.labels,
            custom_attributes=current.custom_attributes,
            assignee_kind=current.assignee.kind if current.assignee else "",
            paused=situation.paused,
            human_message_id=max(situation.human_message_id, replied_id),
            assignee_id=current.assignee.id if current.assignee else None,
            additional_attributes=current.additional_attributes,
            contact_custom_attributes=contact.custom_attributes
            if contact
            else situation.contact_custom_attributes,
            contact_additional_attributes=contact.additional_attributes
            if contact
            else situation.contact_additional_attributes,
        )
    by_flow = Turn.objects.values_list("by_flow", flat=True).get(pk=turn.pk)
    marks = marks_of(by_flow, by_webhook=by_webhook)
    since = _takeover_after_id(turn)
    reason = why_no_longer(
        situation, turn_message_id=since, bot=bot, marks=marks, kind=turn.kind
    )
    if reason == Reason.HUMAN_HAS_TAKEN_OVER and form_rows.is_agents(turn):
        return Look(None, situation, last=last, is_humans=True)
    without = why_no_longer(situation, turn_message_id=since, bot=bot, kind=turn.kind)
    return Look(
        why_not=reason,
        situation=situation,
        left_by_flow=without if reason is None else None,
        flow_spoke=marks.spoke,
        last=last,
    )


def _takeover_after_id(turn: Turn) -> int:
    """Where an agent's answer to a form goes on, all that was said since counts."""
    form = turn.flow_form
    if form is None or not form_rows.is_agents(turn):
        return turn.takeover_after_id
    return form.turn.takeover_after_id


def _human_reply_after(
    turn: Turn, *, last: Message | None, client: ChatwootClient
) -> int:
    """Return the number of a human's reply to the turn, 0 if there is none.

    A note, or the customer's next message, may hide the reply that is asked for.
    """
    since = _takeover_after_id(turn)
    if last is not None and last.id <= since:
        return 0
    if last is not None and is_human_reply(last):
        return last.id
    if not client.can_read_messages:
        return 0
    try:
        history = client.list_messages(
            turn.conversation.chatwoot_conversation_id, after=since
        )
    except (UpstreamRejected, UnexpectedReply):
        return 0  # the webhooks' own news have to do
    return max((entry.id for entry in history if is_human_reply(entry)), default=0)
