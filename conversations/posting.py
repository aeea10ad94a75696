"""Post each part of a turn's answer once, whatever happens in between."""

from __future__ import annotations

from datetime import timedelta

from django.db.models import Min, Q
from django.utils import timezone

from bridge_project.lib.errors import (
    ConfigurationError,
    OutcomeUnknown,
    UpstreamError,
    UpstreamRateLimited,
    UpstreamRejected,
    UpstreamUnavailable,
)
from chatwoot_api.client import ChatwootClient
from chatwoot_api.payloads import MARK_KEY
from conversations.models import OutgoingMessage, Turn, WebhookEvent

# Behind a proxy that gave up, Chatwoot may still be at work on the request.
ABSENT_AFTER = timedelta(seconds=30)


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
    message = message or OutgoingMessage(turn=turn, part=part, private=private)
    message.content = content
    message.attempted_at = timezone.now()
    message.save()
    conversation = turn.conversation
    try:
        posted_id = client.create_message(
            conversation.chatwoot_conversation_id,
            content=content,
            private=private,
            mark=str(message.mark),
            channel=conversation.channel,
        )
    except UpstreamError as err:
        if _was_not_taken(err):
            message.attempted_at = None
            message.save(update_fields=["attempted_at"])
        raise
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
    return OutgoingMessage.objects.filter(
        turn=turn, posted_at=None, attempted_at__isnull=False
    ).exists()


def _begun(turn: Turn, *, part: OutgoingMessage.Part) -> OutgoingMessage | None:
    """Return what an earlier attempt began to post."""
    if turn.is_first_attempt:
        return None
    return OutgoingMessage.objects.filter(turn=turn, part=part).first()


def _was_not_taken(err: UpstreamError) -> bool:
    """Tell whether Chatwoot surely has not stored the message."""
    never_sent = isinstance(err, UpstreamUnavailable) and err.status is None
    return never_sent or isinstance(err, UpstreamRateLimited | UpstreamRejected)


def _settle(message: OutgoingMessage, *, client: ChatwootClient) -> bool:
    """Look a message up; True if it is there, False if surely not.

    Raises OutcomeUnknown while it may still arrive, and CannotBeKnown when there is no
    more to wait for and nowhere to look.
    """
    found = _in_own_events(message)
    can_look = client.can_read_messages
    if found is None and can_look:
        try:
            found = _in_history(message, client=client)
        except UpstreamRejected:
            # A revoked token looks nowhere; the bot's own may post all the same.
            can_look = False
    if found is not None:
        _is_posted(message, chatwoot_message_id=found)
        return True
    if message.attempted_at is None:
        return False
    if timezone.now() - message.attempted_at < ABSENT_AFTER:
        raise OutcomeUnknown(
            "The message is not in Chatwoot yet; it may still arrive.",
            service=client.service,
        )
    if not can_look:
        raise CannotBeKnown(
            "The connection was lost while posting, and without an administrator's "
            "token that works the bridge cannot look whether the message arrived. "
            "Enter one at the Chatwoot account."
        )
    return False


def _first_message_id(turn: Turn) -> int:
    """The answer is newer than the first message; others may have joined since."""
    first: int | None = turn.events.aggregate(first=Min("chatwoot_message_id"))["first"]
    return turn.last_message_id if first is None else first


def _in_own_events(message: OutgoingMessage) -> int | None:
    """The bot gets a webhook for its own message, too."""
    conversation, mark = message.turn.conversation, str(message.mark)
    return (
        WebhookEvent.objects.filter(
            Q(**{f"payload__content_attributes__{MARK_KEY}": mark})
            | Q(payload__source_id=mark),
            account=conversation.account_id,
            chatwoot_conversation_id=conversation.chatwoot_conversation_id,
            chatwoot_message_id__gt=_first_message_id(message.turn),
        )
        .values_list("chatwoot_message_id", flat=True)
        .first()
    )


def _in_history(message: OutgoingMessage, *, client: ChatwootClient) -> int | None:
    turn, mark = message.turn, str(message.mark)
    history = client.list_messages(
        turn.conversation.chatwoot_conversation_id, after=_first_message_id(turn)
    )
    return next((entry.id for entry in history if entry.mark == mark), None)


def _is_posted(message: OutgoingMessage, *, chatwoot_message_id: int) -> None:
    message.chatwoot_message_id = chatwoot_message_id
    message.posted_at = timezone.now()
    message.save(update_fields=["chatwoot_message_id", "posted_at"])
