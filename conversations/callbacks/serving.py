"""The way of each request: who, what, which conversation, once, done, told."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from threading import BoundedSemaphore

from django.conf import settings
from rest_framework.request import Request
from rest_framework.response import Response

from bridge_project.lib.errors import BridgeError
from bridge_project.lib.http import FinishedCall
from bridge_project.lib.types import JsonObject, JsonValue
from chatwoot_api.client import SHORT_TIMEOUT_S, ChatwootClient
from chatwoot_api.models import ChatwootAccount
from conversations.actions import failures
from conversations.actions.target import Target
from conversations.callbacks import addressing, answers, journal
from conversations.callbacks.addressing import Address, Unknown
from conversations.callbacks.answers import Answer
from conversations.callbacks.authentication import Caller, caller_of
from conversations.callbacks.errors import Refused
from conversations.models import Bot, Callback, Turn
from dify_api.arguments import Misread, cleaned, is_not_set

logger = logging.getLogger(__name__)

# Calls to Chatwoot may be begun this long; Dify's tools give up after 60 s.
WORK_S = 25.0
MAX_KEY_CHARS = 255


@dataclass(frozen=True, kw_only=True)
class Operation:
    """One thing that a flow may ask for.

    `fields` are its arguments; if none of them is set there is nothing to do. Without
    `fields` it is always done.
    """

    name: str
    perform: Callable[[Target, JsonObject], Answer]
    fields: tuple[str, ...] = ()
    changes: bool = True
    adds: bool = False
    # What the bridge before this one said where nothing was set.
    old_when_not_set: tuple[tuple[str, JsonValue], ...] = ()


@dataclass(frozen=True, kw_only=True)
class AccountOperation:
    """One thing that is about no conversation, such as the list of teams."""

    name: str
    perform: Callable[[ChatwootAccount, Bot | None, ChatwootClient, JsonObject], Answer]
    fields: tuple[str, ...] = ()
    changes: bool = False
    # Also with a token that is for one conversation only.
    open_to_claims: bool = True


def serve(
    request: Request, operation: Operation, *, given: str, wanted: JsonObject
) -> Response:
    """Answer a request about a conversation.

    `given` is the number as it stands in path or query, `wanted` the arguments as they
    came. Raises Refused, Foreign and NotAuthenticated.
    """
    with _place() as has_place:
        if not has_place:
            return _busy()
        caller = _bound(request, wanted)
        number = addressing.number_of(
            caller, given=given, in_body=wanted.pop("conversation_id", None)
        )
        return _serve(request, operation, caller=caller, number=number, wanted=wanted)


def serve_account(
    request: Request, operation: AccountOperation, *, wanted: JsonObject
) -> Response:
    """Answer a request that is about no conversation."""
    with _place() as has_place:
        if not has_place:
            return _busy()
        caller = _bound(request, wanted)
        if caller.claim is not None and not operation.open_to_claims:
            raise Refused(
                "A conversation token is for one conversation and cannot do this. Send "
                "the bot's callback token, and no conversation token.",
                code="other_conversation",
                status=403,
            )
        account = addressing.account_of(caller)
        calls: list[JsonValue] = []
        client = _client(account, calls)

        def perform(_row: Callback) -> Answer:
            return operation.perform(account, caller.bot, client, _set(wanted))

        return _recorded(
            journal.Request(
                operation=operation.name,
                arguments=_only(wanted, operation.fields),
                caller=caller.kind,
                account=account,
                bot=caller.bot,
                key=_key(request),
                changes=operation.changes,
                adds=operation.changes,
            ),
            perform=perform,
            calls=calls,
        )


def _serve(
    request: Request,
    operation: Operation,
    *,
    caller: Caller,
    number: int | None,
    wanted: JsonObject,
) -> Response:
    if number is None:
        return _nothing_to_do(["conversation_id"], operation, wanted=wanted)
    address: Address | None = None
    calls: list[JsonValue] = []
    account = addressing.account_of(caller, number=number)
    client = _client(account, calls)
    given = _only(wanted, operation.fields)
    is_empty = bool(operation.fields) and all(is_not_set(v) for v in given.values())
    if is_empty and not _is_known(account, number):
        return _nothing_to_do(operation.fields, operation, wanted=given)
    unknown: Unknown | None = None
    try:
        address = addressing.find(caller, number=number, client=client)
    except Unknown as err:
        unknown = err
    bot = address.bot if address else caller.bot
    turn = _running_turn(address, bot=bot)

    def perform(row: Callback) -> Answer:
        if unknown is not None:
            return answers.refusal(
                unknown.code, unknown.message, conversation_id=number
            )
        if is_empty:
            return _not_set(operation, number=number, given=given)
        target = Target(
            account=account,
            bot=bot,
            number=number,
            conversation=address.conversation if address else None,
            client=client,
            turn=turn,
            until=time.monotonic() + WORK_S,
            mark=row.mark,
        )
        try:
            return operation.perform(target, wanted)
        except (BridgeError, Misread) as err:
            name = operation.fields[0] if operation.fields else operation.name
            outcome = failures.outcome_of(err, field=name, target=target)
            return answers.of_one(outcome, number=number)

    return _recorded(
        journal.Request(
            operation=operation.name,
            arguments=given,
            caller=caller.kind,
            account=account,
            bot=bot,
            conversation=address.conversation if address else None,
            turn=turn,
            key=_key(request),
            changes=operation.changes,
            # A note is written anew with each request, unlike a state.
            adds=operation.adds or not is_not_set(wanted.get("note")),
        ),
        perform=perform,
        calls=calls,
    )


def _recorded(
    request: journal.Request,
    *,
    perform: Callable[[Callback], Answer],
    calls: list[JsonValue],
) -> Response:
    strict = request.bot is not None and request.bot.strict_statuses
    try:
        row = journal.begin(request)
    except journal.KeyReused:
        return _told(
            answers.refusal(
                "key_reused",
                "This Idempotency-Key belongs to another request. Use a new one.",
            ),
            strict=strict,
        )
    except journal.StillRunning:
        return _told(
            answers.refusal(
                "in_progress",
                "The same request is still being served. Ask again in some seconds.",
            ),
            strict=strict,
        )
    if isinstance(row, journal.Repeat):
        return Response({**row.answer, "repeated": True}, status=row.http_status)
    try:
        answer = perform(row)
    except Exception as err:
        journal.let_go(row, err)
        raise
    status = answer.http_status(strict=strict)
    journal.finish(
        row,
        answer=answer.body,
        http_status=status,
        before=answer.before,
        after=answer.after,
        calls=calls,
    )
    return Response(answer.body, status=status)


def _told(answer: Answer, *, strict: bool) -> Response:
    return Response(answer.body, status=answer.http_status(strict=strict))


def _bound(request: Request, wanted: JsonObject) -> Caller:
    """Return the caller, with the conversation token of body or query, too."""
    return caller_of(request).bound_to(wanted.pop("conversation_token", ""))


def _client(account: ChatwootAccount, calls: list[JsonValue]) -> ChatwootClient:
    def note(call: FinishedCall) -> None:
        calls.append(journal.call_note(call))

    accounts = ChatwootAccount.objects.filter(pk=account.pk)
    return ChatwootClient(
        account,
        call_log=note,
        on_refused=accounts.note_refusal,
        timeout_s=SHORT_TIMEOUT_S,
    )


def _running_turn(address: Address | None, *, bot: Bot | None) -> Turn | None:
    """Return the turn whose run calls: at most one runs in a conversation."""
    if address is None or bot is None:
        return None
    turn = Turn.objects.running_turn(address.conversation.pk)
    return turn if turn is not None and turn.bot_id == bot.pk else None


def _is_known(account: ChatwootAccount, number: int) -> bool:
    """Tell whether Chatwoot need not be asked for the conversation."""
    return account.conversations.filter(
        chatwoot_conversation_id=number, inbox__isnull=False
    ).exists()


def _key(request: Request) -> str:
    key: str = request.headers.get("Idempotency-Key", "").strip()
    if len(key) > MAX_KEY_CHARS:
        raise Refused(f"The Idempotency-Key is longer than {MAX_KEY_CHARS} characters.")
    return "" if is_not_set(key) else key


def _only(wanted: JsonObject, names: tuple[str, ...]) -> JsonObject:
    return {name: wanted[name] for name in names if name in wanted}


def _set(wanted: JsonObject) -> JsonObject:
    return {name: value for name, value in wanted.items() if not is_not_set(value)}


def _nothing_to_do(
    names: list[str] | tuple[str, ...], operation: Operation, *, wanted: JsonObject
) -> Response:
    """Answer without a row: there is no conversation that it would belong to."""
    answer = answers.not_set(
        names,
        number=None,
        understood=_understood(_only(wanted, operation.fields)),
        **dict(operation.old_when_not_set),
    )
    return Response(answer.body)


def _not_set(operation: Operation, *, number: int, given: JsonObject) -> Answer:
    return answers.not_set(
        given or operation.fields,
        number=number,
        understood=_understood(given),
        **dict(operation.old_when_not_set),
    )


def _understood(given: JsonObject) -> JsonObject:
    return {name: cleaned(value) for name, value in given.items()}


class _place:
    """A place among those that callbacks may take of the process's threads.

    A webhook must find a free thread within Chatwoot's 5 s, however slow Chatwoot is to
    answer callbacks at the same time.
    """

    def __enter__(self) -> bool:
        self._taken = _places().acquire(blocking=False)
        return self._taken

    def __exit__(self, *_exc: object) -> None:
        if self._taken:
            _places().release()


@cache
def _places() -> BoundedSemaphore:
    return BoundedSemaphore(settings.CALLBACKS_AT_ONCE)


def _busy() -> Response:
    return Response(
        answers.refusal(
            "busy",
            "The bridge serves as many callbacks as it can at this moment. Ask again "
            "in some seconds.",
        ).body
    )
