"""The short-lived token that lets a flow reach just the conversation it runs in."""

from __future__ import annotations

from dataclasses import dataclass

from django.conf import settings
from django.core.signing import BadSignature, SignatureExpired, TimestampSigner

from bridge_project.lib.errors import BridgeError
from conversations.models import Bot, Conversation, Turn

# `lib.redact` knows the shape.
PREFIX = "bridge-conv-"
# No token is that long; nothing longer is worth a look.
_MAX_CHARS = 1000
# What a run in the playground gets in place of a token. It opens nothing, is known for
# what it is, and is as long as the others: what has no room for it has none for them.
_OF_THE_PLAYGROUND = PREFIX + "playground-"
PLAYGROUND = _OF_THE_PLAYGROUND.ljust(110, "x")


class BadConversationToken(BridgeError):
    """The conversation token is forged, cut, too old, or that of a trial."""

    code = "not_authenticated"

    def __init__(
        self, message: str = "", *, is_expired: bool = False, is_trial: bool = False
    ) -> None:
        super().__init__(message)
        self.is_expired = is_expired
        self.is_trial = is_trial


@dataclass(frozen=True, kw_only=True)
class ConversationClaim:
    """What a token proves, as ids of our own rows; `turn_id` is that of its making."""

    account_id: int
    conversation_id: int
    bot_id: int
    turn_id: int | None


def make(conversation: Conversation, *, bot: Bot, turn: Turn | None) -> str:
    """Return a token for a stored conversation; nothing of it is kept.

    About 110 characters of letters, digits, hyphen, underscore and dot: fit for a
    header, an address and JSON alike.
    """
    claim = [
        conversation.account_id,
        conversation.pk,
        bot.pk,
        turn.pk if turn is not None else None,
    ]
    return PREFIX + _signer().sign_object(claim, compress=True)


def read(token: str) -> ConversationClaim:
    """Return what a token proves. Raises BadConversationToken."""
    text = token.strip()
    if not text.startswith(PREFIX) or len(text) > _MAX_CHARS:
        raise BadConversationToken("This is no conversation token.")
    if text.startswith(_OF_THE_PLAYGROUND):
        raise BadConversationToken(
            "The run was asked for in the playground and has no conversation.",
            is_trial=True,
        )
    try:
        account_id, conversation_id, bot_id, turn_id = _signer().unsign_object(
            text.removeprefix(PREFIX), max_age=settings.CONVERSATION_TOKEN_MAX_AGE_S
        )
    except SignatureExpired as err:
        raise BadConversationToken(
            "The conversation token has expired; each message of the customer brings "
            "a new one as an input.",
            is_expired=True,
        ) from err
    except (BadSignature, ValueError) as err:
        raise BadConversationToken(
            "The conversation token is not genuine, or not complete."
        ) from err
    return ConversationClaim(
        account_id=account_id,
        conversation_id=conversation_id,
        bot_id=bot_id,
        turn_id=turn_id,
    )


def _signer() -> TimestampSigner:
    # A dot, since a colon would be escaped in addresses.
    return TimestampSigner(salt="conversations.conversation_tokens", sep=".")
