"""Which conversation a request is about, and whether it is the caller's to change."""

from __future__ import annotations

from dataclasses import dataclass

from django.db import transaction
from django.http import QueryDict

from bridge_project.lib.errors import BridgeError
from bridge_project.lib.types import JsonValue
from chatwoot_api.models import ChatwootAccount
from chatwoot_api.refusals import NotOpenToBots
from conversations import mirror
from conversations.actions.failures import explained
from conversations.actions.retrying import is_passing, repeating
from conversations.actions.state import is_teams_bug
from conversations.actions.target import Target
from conversations.callbacks.authentication import Caller
from conversations.callbacks.errors import Foreign, InPlayground, Refused
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

    bot: Bot | None
    conversation: Conversation


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
    number = int(text)
    if not number:
        # Chatwoot's begin with 1; the playground sends 0 as the conversation's.
        raise InPlayground
    return number


def claimed(caller: Caller) -> Conversation | None:
    """Return the conversation of the caller's conversation token, if there is one."""
    if caller.claim is None:
        return None
    return Conversation.objects.filter(pk=caller.claim.conversation_id).first()


def _claimed_number(caller: Caller) -> int | None:
    if caller.claim is None:
        return None
    conversation = claimed(caller)
    if conversation is None:
        raise Foreign("The conversation of the conversation token was erased.")
    return conversation.chatwoot_conversation_id


def find(caller: Caller, *, target: Target) -> Address:
    """Return where the target's number leads, asking Chatwoot if it is not known here.

    Raises Foreign for a conversation of another inbox, Unknown for none at all.
    """
    rows = Conversation.objects.select_related("account", "inbox")
    conversation = rows.filter(
        account=target.account, chatwoot_conversation_id=target.number
    ).first()
    if conversation is None or conversation.inbox is None:
        conversation = _learn(caller, target=target)
    bot = caller.bot
    if bot is None:
        inbox = conversation.inbox
        bot = Bot.objects.for_inbox(inbox) if inbox is not None else None
    elif not _may(bot, conversation):
        raise Foreign(
            f"Conversation {target.number} is in an inbox that is not the bot's. "
            "Choose the inbox at the bot, or use the token of the bot that has it.",
            code="not_this_bots_inbox",
        )
    return Address(bot=bot, conversation=conversation)


def is_known(account: ChatwootAccount, *, number: int) -> bool:
    """Tell whether Chatwoot need not be asked for the conversation."""
    return account.conversations.filter(
        chatwoot_conversation_id=number, inbox__isnull=False
    ).exists()


def account_of(caller: Caller, *, number: int | None = None) -> ChatwootAccount:
    """Return the account that is meant; raises Refused where that cannot be told."""
    if caller.bot is not None:
        return caller.bot.account
    accounts = ChatwootAccount.objects.order_by("pk")
    found = list(accounts[:2])
    if number is not None and len(found) > 1:
        known = accounts.filter(conversations__chatwoot_conversation_id=number)
        found = list(known.distinct()[:2])
    if len(found) == 1:
        return found[0]
    raise Refused(
        "Without a token it cannot be told which of the Chatwoot accounts is meant. "
        "Send a bot's token."
        if accounts.exists()
        else "There is no Chatwoot account in the bridge yet."
    )


def _may(bot: Bot, conversation: Conversation) -> bool:
    inboxes = {inbox.pk for inbox in bot.inboxes.all()}
    return not inboxes or conversation.inbox_id in inboxes


def _learn(caller: Caller, *, target: Target) -> Conversation:
    """Read a conversation of which no webhook told yet, and begin its mirror."""
    try:
        current, _last = repeating(
            lambda: target.client.show_conversation(target.number),
            target=target,
            worth_it=lambda err: (
                is_passing(err) and not is_teams_bug(err, target=target)
            ),
        )
    except BridgeError as err:
        if _nobody_may_read(err, target=target):
            return _unread(caller, target=target)
        why = explained(err, target=target)
        raise Unknown(why.code, why.message) from err
    return mirror.introduce(target.account, current)


def _nobody_may_read(err: BridgeError, *, target: Target) -> bool:
    """Tell whether it is there, but no token that we have may read it."""
    return isinstance(err, NotOpenToBots) or is_teams_bug(err, target=target)


def _unread(caller: Caller, *, target: Target) -> Conversation:
    """Go on without its state, where the bot has all inboxes anyway."""
    if caller.bot is not None and caller.bot.inboxes.exists():
        raise Unknown(
            "no_admin_token",
            f"The bridge cannot read conversation {target.number}, so it does not know "
            "whether it is in one of the bot's inboxes. An operator has to enter an "
            "administrator's token at the Chatwoot account.",
        )
    with transaction.atomic():
        return mirror.locked(target.account, number=target.number)
