"""Which conversation a request is about, and whether it is the caller's to change."""

from __future__ import annotations

from dataclasses import dataclass

from django.http import QueryDict

from bridge_project.lib.errors import (
    BridgeError,
    ConfigurationError,
    NotFound,
    UpstreamError,
)
from bridge_project.lib.types import JsonValue
from chatwoot_api.client import ChatwootClient
from chatwoot_api.models import ChatwootAccount
from conversations import mirror
from conversations.callbacks.authentication import Caller
from conversations.callbacks.errors import Foreign, Refused
from conversations.models import Bot, Conversation
from dify_api.arguments import is_not_set

CURRENT = "current"
# PostgreSQL's bigint; Chatwoot's own numbers are far smaller.
_MAX_DIGITS = 18


class Unknown(Exception):
    """There is no such conversation; the flow is told so as an outcome."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message


@dataclass(frozen=True, kw_only=True)
class Address:
    """A conversation that the caller may change; `bot` is the one whose rules count."""

    account: ChatwootAccount
    bot: Bot | None
    conversation: Conversation

    @property
    def number(self) -> int:
        """Chatwoot's number of the conversation."""
        return self.conversation.chatwoot_conversation_id


def number_in_query(query: QueryDict) -> str:
    """Return the conversation_id of the query; raises Refused when there are two.

    Dify puts a customer's text into a query as it is, and with an & in it the text
    brings arguments of its own (reference/dify.md section 8a).
    """
    given = query.getlist("conversation_id")
    if len(set(given)) > 1:
        raise Refused(
            "conversation_id stands in the query more than once. A text of the "
            "customer may have brought the other: put texts into the JSON body."
        )
    return given[0] if given else ""


def number_of(caller: Caller, *, given: str, in_body: JsonValue = None) -> int | None:
    """Return the conversation's number, None if none is set.

    `given` stands in the path or query. `in_body` is believed only beside a
    conversation token, or where nobody is asked who they are: a customer's text in the
    same body can forge it. Raises Refused and Foreign.
    """
    claimed = _claimed_number(caller)
    named = given if not is_not_set(given) else _from_body(caller, in_body)
    if named is None or named.lower() == CURRENT:
        if named is not None and claimed is None:
            raise Refused(
                "“current” is the conversation of a conversation token, and none was "
                "sent. Pass on the input conversation_token.",
                code="conversation_id_missing",
            )
        return claimed
    number = _parsed(named)
    if claimed is not None and number != claimed:
        raise Foreign(
            f"The conversation token is for conversation {claimed}, so conversation "
            f"{number} was not touched."
        )
    return number


def _from_body(caller: Caller, value: JsonValue) -> str | None:
    if is_not_set(value):
        return None
    if caller.claim is None and caller.bot is not None:
        raise Refused(
            "The conversation_id stands only in the JSON body, where a customer's text "
            "can forge it. Put it into the path or the query, or send the "
            "conversation token along."
        )
    return str(value)


def _parsed(named: str) -> int:
    text = named.strip().removeprefix("#")
    if not (text.isascii() and text.isdigit()) or len(text) > _MAX_DIGITS:
        raise Refused(
            "The conversation's number must be digits, such as 42, or “current”."
        )
    return int(text)


def _claimed_number(caller: Caller) -> int | None:
    if caller.claim is None:
        return None
    number: int | None = (
        Conversation.objects.filter(pk=caller.claim.conversation_id)
        .values_list("chatwoot_conversation_id", flat=True)
        .first()
    )
    if number is None:
        raise Foreign("The conversation of the conversation token was erased.")
    return number


def find(caller: Caller, *, number: int, client: ChatwootClient) -> Address:
    """Return where the number leads, asking Chatwoot if the mirror does not know it.

    Raises Foreign for a conversation of another inbox, Unknown for none at all.
    """
    account = account_of(caller, number=number)
    rows = Conversation.objects.select_related("account", "inbox")
    conversation = rows.filter(account=account, chatwoot_conversation_id=number).first()
    if conversation is None or conversation.inbox is None:
        conversation = _learn(account, number=number, client=client)
    bot = caller.bot
    if bot is None:
        inbox = conversation.inbox
        bot = Bot.objects.for_inbox(inbox) if inbox is not None else None
    elif not _may(bot, conversation):
        raise Foreign(
            f"Conversation {number} is in an inbox that is not the bot's. Choose the "
            "inbox at the bot, or use the token of the bot that has it.",
            code="not_this_bots_inbox",
        )
    return Address(account=account, bot=bot, conversation=conversation)


def account_of(caller: Caller, *, number: int | None = None) -> ChatwootAccount:
    """Return the account that is meant; raises Refused where that cannot be told."""
    if caller.bot is not None:
        return caller.bot.account
    accounts = list(ChatwootAccount.objects.order_by("pk")[:2])
    if number is not None and len(accounts) > 1:
        known = ChatwootAccount.objects.filter(
            conversations__chatwoot_conversation_id=number
        )
        accounts = list(known.distinct().order_by("pk")[:2])
    if len(accounts) == 1:
        return accounts[0]
    raise Refused(
        "Without a token it cannot be told which of the Chatwoot accounts is meant. "
        "Send a bot's token."
        if accounts
        else "There is no Chatwoot account in the bridge yet."
    )


def _may(bot: Bot, conversation: Conversation) -> bool:
    inboxes = {inbox.pk for inbox in bot.inboxes.all()}
    return not inboxes or conversation.inbox_id in inboxes


def _learn(
    account: ChatwootAccount, *, number: int, client: ChatwootClient
) -> Conversation:
    """Read a conversation of which no webhook told yet, and begin its mirror."""
    try:
        current, _last = client.show_conversation(number)
    except NotFound as err:
        raise Unknown(
            "conversation_not_found",
            f"Chatwoot has no conversation {number}. It may have been deleted.",
        ) from err
    except (UpstreamError, ConfigurationError) as err:
        raise Unknown(*_why_unread(err, number=number)) from err
    return mirror.introduce(account, current)


def _why_unread(err: BridgeError, *, number: int) -> tuple[str, str]:
    code = "chatwoot_unavailable" if err.retryable else "refused_by_chatwoot"
    return code, (
        f"The bridge does not know conversation {number} yet and could not read it: "
        f"{err.message}"
    )
