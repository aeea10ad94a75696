"""Ask Chatwoot, right now, whether a turn may still be answered."""

from __future__ import annotations

from bridge_project.lib.errors import (
    ConfigurationError,
    NotFound,
    Unauthorized,
    UpstreamUnavailable,
)
from chatwoot_api.client import ChatwootClient
from conversations.decisions import is_human_reply, why_no_longer
from conversations.models import Bot, Conversation, Reason, Turn


def why_not(turn: Turn, *, bot: Bot, client: ChatwootClient) -> Reason | None:
    """Return why the turn must not be answered, or None if it may be.

    What no token may read is taken from the mirror, which the webhooks keep. Raises
    UpstreamError when Chatwoot is away: the answer could not be posted either.
    """
    conversation = Conversation.objects.get(pk=turn.conversation_id)
    status = conversation.status
    human_message_id = conversation.last_human_message_id
    try:
        current, last = client.show_conversation(conversation.chatwoot_conversation_id)
    except NotFound:
        return Reason.CONVERSATION_GONE
    except (Unauthorized, ConfigurationError):
        pass
    except UpstreamUnavailable as err:
        # A bot's read fails once the conversation has a team, see ChatwootClient.
        if err.status != 500 or client.can_read_messages:
            raise
    else:
        status = current.status or status
        if last is not None and is_human_reply(last):
            human_message_id = max(human_message_id, last.id)
    return why_no_longer(
        status=status,
        human_message_id=human_message_id,
        turn_message_id=turn.last_message_id,
        bot=bot,
    )
