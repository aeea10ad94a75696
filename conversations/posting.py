"""Post each part of a turn's answer once, whatever happens in between."""

from __future__ import annotations

from django.db.models import Q
from django.utils import timezone

from bridge_project.lib.errors import ConfigurationError
from chatwoot_api.client import ChatwootClient
from chatwoot_api.payloads import MARK_KEY
from conversations.models import OutgoingMessage, Turn, WebhookEvent


class CannotBeKnown(ConfigurationError):
    """It cannot be known whether the message was posted."""

    code = "outcome_unknown"


def post_once(
    turn: Turn,
    *,
    part: OutgoingMessage.Part,
    content: str,
    private: bool,
    client: ChatwootClient,
) -> None:
    """Post a message unless it is posted already.

    Raises OutcomeUnknown when the connection was lost, CannotBeKnown when such a
    message can be looked up nowhere; it is never posted again on a guess.
    """
    message = _begun(turn, part=part)
    if message is not None and (message.posted_at or _settle(message, client=client)):
        return
    if message is None:
        message = OutgoingMessage.objects.create(
            turn=turn, part=part, content=content, private=private
        )
    elif message.content != content:
        message.content = content
        message.save(update_fields=["content"])
    conversation = turn.conversation
    posted_id = client.create_message(
        conversation.chatwoot_conversation_id,
        content=message.content,
        private=private,
        mark=str(message.mark),
        channel=conversation.channel,
    )
    _is_posted(message, chatwoot_message_id=posted_id)


def is_posted(
    turn: Turn, *, part: OutgoingMessage.Part, client: ChatwootClient
) -> bool:
    """Tell whether a part was posted, looking it up after an unknown outcome."""
    message = _begun(turn, part=part)
    if message is None:
        return False
    return bool(message.posted_at) or _settle(message, client=client)


def is_unsettled(turn: Turn) -> bool:
    """Tell whether a message of the turn may have been posted, but we do not know."""
    return OutgoingMessage.objects.filter(turn=turn, posted_at=None).exists()


def _begun(turn: Turn, *, part: OutgoingMessage.Part) -> OutgoingMessage | None:
    """Return what an earlier attempt began to post."""
    if turn.is_first_attempt:
        return None
    return OutgoingMessage.objects.filter(turn=turn, part=part).first()


def _settle(message: OutgoingMessage, *, client: ChatwootClient) -> bool:
    """Look a message up; True if it is there, False if surely not."""
    found = _in_own_events(message)
    if found is None:
        found = _in_history(message, client=client)
    if found is None:
        return False
    _is_posted(message, chatwoot_message_id=found)
    return True


def _in_own_events(message: OutgoingMessage) -> int | None:
    """The bot gets a webhook for its own message, too."""
    conversation, mark = message.turn.conversation, str(message.mark)
    return (
        WebhookEvent.objects.filter(
            Q(**{f"payload__content_attributes__{MARK_KEY}": mark})
            | Q(payload__source_id=mark),
            account=conversation.account_id,
            chatwoot_conversation_id=conversation.chatwoot_conversation_id,
            chatwoot_message_id__gt=message.turn.last_message_id,
        )
        .values_list("chatwoot_message_id", flat=True)
        .first()
    )


def _in_history(message: OutgoingMessage, *, client: ChatwootClient) -> int | None:
    if not client.can_read_messages:
        raise CannotBeKnown(
            "The connection was lost while posting, and without an administrator's "
            "token the bridge cannot look whether the message arrived. Enter one at "
            "the Chatwoot account."
        )
    turn = message.turn
    history = client.list_messages(
        turn.conversation.chatwoot_conversation_id, after=turn.last_message_id
    )
    mark = str(message.mark)
    return next((entry.id for entry in history if entry.mark == mark), None)


def _is_posted(message: OutgoingMessage, *, chatwoot_message_id: int) -> None:
    message.chatwoot_message_id = chatwoot_message_id
    message.posted_at = timezone.now()
    message.save(update_fields=["chatwoot_message_id", "posted_at"])
