"""Who calls: a bot, by its token, a run, by its conversation token, or nobody knows."""

from __future__ import annotations

from dataclasses import dataclass, replace

from django.conf import settings
from django.utils import timezone
from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request

from conversations import callback_tokens, conversation_tokens
from conversations.callbacks.errors import Foreign, InPlayground, NotAuthenticated
from conversations.conversation_tokens import BadConversationToken, ConversationClaim
from conversations.models import Bot, Callback
from dify_api.arguments import is_not_set

_MAX_TOKEN_CHARS = 2000
_OURS = ("bridge-bot-", "bridge-conv-")
_HOW = (
    "Send `Authorization: Bearer TOKEN` with a callback token of the bot (its page in "
    "the admin makes one) or with the input conversation_token."
)


@dataclass(frozen=True, kw_only=True)
class Caller:
    """Whose rights a request has.

    With a `claim` they end at one conversation. Without a `bot` nobody was asked who
    they are (CALLBACK_AUTH=none).
    """

    kind: Callback.Caller
    bot: Bot | None = None
    claim: ConversationClaim | None = None

    def bound_to(self, token: object) -> Caller:
        """Return the caller with the conversation token that came along, if any.

        Raises NotAuthenticated for a wrong one and Foreign for that of another bot.
        """
        if is_not_set(_text(token)):
            return self
        claim = _claim(_text(token))
        if self.bot is not None and claim.bot_id != self.bot.pk:
            raise Foreign("The conversation token belongs to another bot.")
        known = self.claim or claim
        if known.conversation_id != claim.conversation_id:
            raise Foreign("Two tokens of different conversations were sent.")
        return replace(self, bot=self.bot or _bot_of(claim), claim=claim)


class CallbackAuthentication(BaseAuthentication):
    """`Authorization: Bearer …` or `X-Bridge-Token: …`, and `X-Conversation-Token`."""

    def authenticate(self, request: Request) -> tuple[None, Caller]:
        """Return the caller as `request.auth`; raises NotAuthenticated."""
        caller = _caller(_credential(request))
        return None, caller.bound_to(request.headers.get("X-Conversation-Token", ""))

    def authenticate_header(self, request: Request) -> str:
        return "Bearer"


def caller_of(request: Request) -> Caller:
    """Return whom `CallbackAuthentication` has found."""
    found: object = request.auth
    if not isinstance(found, Caller):
        raise NotAuthenticated
    return found


def _credential(request: Request) -> str:
    header = request.headers.get("Authorization", "").strip()
    scheme, _space, token = header.partition(" ")
    given = token.strip() if scheme.lower() == "bearer" else ""
    given = given or request.headers.get("X-Bridge-Token", "").strip()
    if not is_not_set(given):
        return given
    if header.startswith(_OURS):
        raise NotAuthenticated(
            "“Bearer ” is missing: send `Authorization: Bearer TOKEN`."
        )
    if given:
        raise NotAuthenticated(
            f"Instead of a token came “{given[:60]}”: the variable is empty or not "
            "declared. Declare the input conversation_token in the Start node (text, "
            "maximum length 256), publish, and choose it in the header."
        )
    return ""


def _caller(token: str) -> Caller:
    if not token:
        if settings.CALLBACK_AUTH == "none":
            return Caller(kind=Callback.Caller.NOBODY)
        raise NotAuthenticated(f"The request carries no token. {_HOW}")
    if token.startswith(conversation_tokens.PREFIX):
        claim = _claim(token)
        return Caller(
            kind=Callback.Caller.CONVERSATION_TOKEN, bot=_bot_of(claim), claim=claim
        )
    found = callback_tokens.find(token[:_MAX_TOKEN_CHARS], now=timezone.now())
    if found is None:
        raise NotAuthenticated(
            f"The token is unknown, or it was ended in the admin. {_HOW}"
        )
    return Caller(kind=Callback.Caller.BOT_TOKEN, bot=found.bot)


def _claim(token: str) -> ConversationClaim:
    try:
        return conversation_tokens.read(token[:_MAX_TOKEN_CHARS])
    except BadConversationToken as err:
        if err.is_trial:
            raise InPlayground from err
        if err.is_expired:
            raise NotAuthenticated(
                "The conversation token is too old. Each run gets a new one as the "
                "input conversation_token; use that of this run.",
                code="token_expired",
            ) from err
        raise NotAuthenticated(
            "The conversation token is not one of this bridge's. Pass on the input "
            "conversation_token as it came."
        ) from err


def _bot_of(claim: ConversationClaim) -> Bot:
    bot = Bot.objects.filter(pk=claim.bot_id).select_related("account").first()
    if bot is None:
        raise NotAuthenticated("The bot of this conversation token was deleted.")
    return bot


def _text(token: object) -> str:
    return token.strip() if isinstance(token, str) else ""
