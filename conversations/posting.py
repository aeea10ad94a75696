"""Post each part of a turn's answer once, whatever happens in between."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from logging import getLogger

from django.db.models import Min, Q
from django.utils import timezone

from bridge_project.lib.errors import (
    ConfigurationError,
    NotFound,
    OutcomeUnknown,
    Unauthorized,
    UpstreamError,
    UpstreamRateLimited,
    UpstreamRejected,
    UpstreamUnavailable,
)
from bridge_project.lib.types import JsonObject
from chatwoot_api.client import ChatwootClient
from chatwoot_api.message_calls import Upload
from chatwoot_api.payloads import MARK_KEY
from conversations.models import OutgoingMessage, Turn, WebhookEvent
from conversations.rich import Rich

logger = getLogger(__name__)

# Behind a proxy that gave up, Chatwoot may still be at work on the request.
ABSENT_AFTER = timedelta(seconds=30)
# Of a row's `rich`: Chatwoot refused its items, so that they stand in the text.
AS_TEXT = "as_text"


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
    number: int = 0,
    rich: Rich | None = None,
    files: Sequence[Upload] = (),
) -> None:
    """Post a message unless it is posted already.

    Where Chatwoot shows no items, those of `rich` are written below the text. Raises
    OutcomeUnknown when the connection was lost, CannotBeKnown when such a message can
    be looked up nowhere; it is never posted again on a guess.
    """
    message = _begun(turn, part=part, number=number)
    if message is not None and (message.posted_at or _settle(message, client=client)):
        return
    known = message or OutgoingMessage(turn=turn, part=part, number=number)
    fill(known, content=content, private=private, rich=rich)
    _post(known, client=client, files=files)


def fill(
    message: OutgoingMessage, *, content: str, private: bool, rich: Rich | None = None
) -> None:
    """Write down what a message will say."""
    message.content, message.private = content, private
    message.rich = details_of(rich)
    channel = message.turn.conversation.channel
    if rich is not None and not rich.is_shown(channel=channel, private=private):
        lines = [content.strip(), rich.as_lines()]
        message.content = "\n\n".join(line for line in lines if line)


def details_of(rich: Rich | None) -> JsonObject:
    """Return how a row keeps items, also those that are only told in its text."""
    if rich is None:
        return {}
    return {"content_type": rich.content_type, **rich.attributes()}


def post_planned(
    message: OutgoingMessage, *, client: ChatwootClient, files: Sequence[Upload] = ()
) -> None:
    """Post a message whose row says it all, unless it is posted already.

    Raises as `post_once` does.
    """
    if not is_there(message, client=client):
        _post(message, client=client, files=files)


def is_there(message: OutgoingMessage, *, client: ChatwootClient) -> bool:
    """Tell whether a message was posted, looking it up after an unknown outcome."""
    if message.posted_at:
        return True
    is_new = message._state.adding or message.turn.is_first_attempt
    if is_new and message.attempted_at is None:
        return False
    return _settle(message, client=client)


def _post(
    message: OutgoingMessage, *, client: ChatwootClient, files: Sequence[Upload]
) -> None:
    """Post a message; with its items as text if it is refused for them."""
    rich = _shown_items(message)
    try:
        _send(message, client=client, files=files, rich=rich)
    except UpstreamRejected as err:
        if rich is None or isinstance(err, Unauthorized | NotFound):
            raise
        logger.warning("Turn %s: items go as text: %s", message.turn_id, err)
        lines = [message.content.strip(), rich.as_lines()]
        message.content = "\n\n".join(line for line in lines if line)
        message.rich[AS_TEXT] = True
        _send(message, client=client, files=files, rich=None)


def _shown_items(message: OutgoingMessage) -> Rich | None:
    """Return the items that Chatwoot is sent; elsewhere the text has them."""
    rich, channel = rich_of(message), message.turn.conversation.channel
    if rich is None or message.rich.get(AS_TEXT):
        return None
    is_shown = rich.is_shown(channel=channel, private=message.private)
    return rich if is_shown else None


def _send(
    message: OutgoingMessage,
    *,
    client: ChatwootClient,
    files: Sequence[Upload],
    rich: Rich | None,
) -> None:
    message.attempted_at = timezone.now()
    message.save()
    conversation = message.turn.conversation
    try:
        posted_id = client.create_message(
            conversation.chatwoot_conversation_id,
            content=message.content,
            private=message.private,
            mark=str(message.mark),
            channel=conversation.channel,
            content_type=rich.content_type if rich else "text",
            content_attributes=rich.attributes() if rich else None,
            files=files,
        )
    except UpstreamError as err:
        if _was_not_taken(err):
            message.attempted_at = None
            message.save(update_fields=["attempted_at"])
        raise
    _is_posted(message, chatwoot_message_id=posted_id)


def rich_of(message: OutgoingMessage) -> Rich | None:
    """Return the items that go, or went, with a message."""
    kind, items = message.rich.get("content_type"), message.rich.get("items")
    if not isinstance(kind, str) or not isinstance(items, list):
        return None
    return Rich(
        content_type=kind,
        items=tuple(item for item in items if isinstance(item, dict)),
        button_label=str(message.rich.get("button_label", "")),
    )


def is_posted(
    turn: Turn, *, part: OutgoingMessage.Part, client: ChatwootClient, number: int = 0
) -> bool:
    """Tell whether a part was posted, looking it up after an unknown outcome."""
    message = _begun(turn, part=part, number=number)
    if message is None:
        return False
    return bool(message.posted_at) or _settle(message, client=client)


def is_unsettled(turn: Turn) -> bool:
    """Tell whether a message of the turn may have been posted, but we do not know."""
    return OutgoingMessage.objects.filter(
        turn=turn, posted_at=None, attempted_at__isnull=False
    ).exists()


def _begun(
    turn: Turn, *, part: OutgoingMessage.Part, number: int
) -> OutgoingMessage | None:
    """Return what an earlier attempt began to post."""
    if turn.is_first_attempt:
        return None
    return OutgoingMessage.objects.filter(turn=turn, part=part, number=number).first()


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
    """The answer is newer than the first message; others may have joined since.

    A click has the number of the bot's old question; far more may have been said since
    than Chatwoot tells at once.
    """
    first: int | None = turn.events.aggregate(first=Min("chatwoot_message_id"))["first"]
    first = turn.last_message_id if first is None else first
    return max(first, turn.despite_message_id)


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
