"""The way of each request: who, what, which conversation, once, done, told."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from rest_framework.request import Request
from rest_framework.response import Response

from bridge_project.lib.errors import BridgeError
from bridge_project.lib.http import FinishedCall
from bridge_project.lib.types import JsonObject, JsonValue
from chatwoot_api.client import SHORT_TIMEOUT_S, ChatwootClient
from chatwoot_api.models import ChatwootAccount
from conversations import drafts
from conversations.actions import NotDone, failures, messages
from conversations.actions.target import Target
from conversations.callbacks import addressing, answers, journal
from conversations.callbacks.addressing import Unknown
from conversations.callbacks.answers import Answer
from conversations.callbacks.authentication import Caller, caller_of
from conversations.callbacks.errors import Refused
from conversations.models import (
    Bot,
    Callback,
    Conversation,
    DifyConversation,
    PipelineRun,
    Turn,
)
from dify_api.arguments import Misread, cleaned, is_not_set

# Calls to Chatwoot may be begun this long; Dify's tools give up after 60 s.
WORK_S = 45.0
MAX_KEY_CHARS = 255
# Beside the arguments, these are understood everywhere.
_EVERYWHERE = frozenset({"conversation_id", "conversation_token"})


@dataclass(frozen=True, kw_only=True)
class Operation:
    """One thing that a flow may ask for.

    `fields` are its arguments; if it changes something and none of them is set, there
    is nothing to do.
    """

    name: str
    perform: Callable[[Target, JsonObject], Answer]
    fields: tuple[str, ...] = ()
    # Other names that are understood, each with the one that is meant.
    aliases: tuple[tuple[str, str], ...] = ()
    changes: bool = True
    # Done again, it would be there twice: a message.
    adds: bool = False
    # What the bridge before this one said where nothing was set.
    old_when_not_set: tuple[tuple[str, JsonValue], ...] = ()


# With the account, the caller's bot, a client, and the arguments that are set.
Perform = Callable[[ChatwootAccount, Bot | None, ChatwootClient, JsonObject], Answer]


@dataclass(frozen=True, kw_only=True)
class AccountOperation:
    """One thing that is about no conversation, such as the list of teams."""

    name: str
    perform: Perform
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
    caller = _bound(request, wanted)
    number = addressing.number_of(
        caller, given=given, in_body=wanted.get("conversation_id")
    )
    meant = _meant(operation, wanted)
    if number is None:
        return Response(_not_set(operation, ["conversation_id"], given=meant).body)
    return _Request(
        request, operation, caller=caller, number=number, meant=meant
    ).serve(ignored=_ignored(operation, wanted))


def serve_account(
    request: Request, operation: AccountOperation, *, wanted: JsonObject
) -> Response:
    """Answer a request that is about no conversation."""
    caller = _bound(request, wanted)
    if caller.claim is not None and not operation.open_to_claims:
        raise Refused(
            "A conversation token is for one conversation and cannot do this. Send "
            "the bot's callback token, and no conversation token.",
            code="other_conversation",
            status=403,
        )
    account = addressing.account_of(caller)
    conversation = addressing.claimed(caller)
    calls: list[JsonValue] = []
    client = _client(account, calls)
    meant = _only(wanted, operation.fields)
    is_trial_run = caller.bot is not None and caller.bot.shadow

    def perform(row: Callback) -> Answer:
        if operation.changes and is_trial_run:
            return answers.left_alone(number=None, old={})
        if row.follows_cut_off:
            return answers.refusal("outcome_unknown", _CUT_OFF)
        return operation.perform(account, caller.bot, client, _set(meant))

    return _recorded(
        journal.Request(
            operation=operation.name,
            arguments=meant,
            caller=caller.kind,
            account=account,
            bot=caller.bot,
            conversation=conversation,
            turn=_running_turn(conversation, bot=caller.bot),
            key=_key(request),
            changes=operation.changes,
            adds=operation.changes,
        ),
        perform=perform,
        calls=calls,
    )


_CUT_OFF = (
    "The same request was made before, and the bridge was stopped while it served it. "
    "It may or may not have been done: look before you repeat it with a new "
    "Idempotency-Key."
)


class _Request:
    """One request about a conversation."""

    def __init__(
        self,
        request: Request,
        operation: Operation,
        *,
        caller: Caller,
        number: int,
        meant: JsonObject,
    ) -> None:
        self._operation = operation
        self._caller = caller
        self._meant = meant
        self._key = _key(request)
        self._calls: list[JsonValue] = []
        account = addressing.account_of(caller, number=number)
        self._target = Target(
            account=account,
            bot=caller.bot,
            number=number,
            conversation=None,
            client=_client(account, self._calls),
            turn=None,
            until=time.monotonic() + WORK_S,
            mark=Callback().mark,
        )
        self._unknown: Unknown | None = None

    def serve(self, *, ignored: list[str]) -> Response:
        """Find the conversation, do what is wanted once, and tell."""
        operation, target = self._operation, self._target
        is_known = addressing.is_known(target.account, number=target.number)
        if self._is_empty and not is_known:
            # Chatwoot would have to be asked, and there is nothing to do.
            answer = _not_set(operation, operation.fields, given=self._meant)
            return Response(self._with(answer, ignored).body)
        self._find()
        target = self._target
        return _recorded(
            journal.Request(
                operation=operation.name,
                arguments=self._meant,
                caller=self._caller.kind,
                account=target.account,
                bot=target.bot,
                conversation=target.conversation,
                number=target.number,
                turn=target.turn,
                key=self._key,
                changes=operation.changes,
                adds=operation.adds or self._has_note,
            ),
            perform=lambda row: self._with(self._perform(row), ignored),
            calls=self._calls,
        )

    @property
    def _is_empty(self) -> bool:
        return (
            self._operation.changes
            and bool(self._operation.fields)
            and all(is_not_set(value) for value in self._meant.values())
        )

    @property
    def _has_note(self) -> bool:
        return not is_not_set(self._meant.get("note"))

    def _with(self, answer: Answer, ignored: list[str]) -> Answer:
        return answers.with_ignored(answer, ignored, known=self._operation.fields)

    def _find(self) -> None:
        """Complete the target with the conversation, whose bot it is, and its run."""
        try:
            address = addressing.find(self._caller, target=self._target)
        except Unknown as err:
            self._unknown = err
            return
        turn = _running_turn(address.conversation, bot=address.bot)
        is_late = self._is_late(turn, of=address.conversation)
        claim = self._caller.claim
        self._target = replace(
            self._target,
            bot=address.bot,
            conversation=address.conversation,
            turn=turn,
            speaks_for_turn=not is_late,
            only_suggests=address.bot is not None
            and drafts.only_suggests(
                address.bot,
                conversation=address.conversation,
                turn=None if is_late else turn,
                made_for=claim.turn_id if claim else None,
            ),
        )

    def _is_late(self, turn: Turn | None, *, of: Conversation) -> bool:
        """Tell whether the token is of another turn than the one that runs.

        What a late flow says to the customer does not count as the running turn's
        answer. Its state changes do: Dify does not tell who calls.
        """
        claim = self._caller.claim
        made_for = claim.turn_id if claim is not None else None
        if turn is None or made_for is None or made_for == turn.pk:
            return False
        return made_for != _began_in_dify(of)

    def _perform(self, row: Callback) -> Answer:
        target = replace(self._target, mark=row.mark)
        number = target.number
        if self._unknown is not None:
            return answers.refusal(
                self._unknown.code, self._unknown.message, conversation_id=number
            )
        if self._is_empty:
            return _not_set(
                self._operation, self._meant, given=self._meant, number=number
            )
        changes, says = self._operation.changes, self._operation.adds
        try:
            if target.only_suggests and changes and not says:
                return self._only_note(target, again=row.follows_cut_off)
            if row.follows_cut_off and (self._operation.adds or self._has_note):
                return self._after_cut_off(target)
            return self._operation.perform(target, self._meant)
        except (BridgeError, Misread) as err:
            name = self._operation.fields[0] if self._meant else self._operation.name
            outcome = failures.outcome_of(err, field=name, target=target)
            return answers.of_one(outcome, number=number)

    def _only_note(self, target: Target, *, again: bool) -> Answer:
        """Change nothing, which is no failure; a note for the agents is written."""
        note = {"note": self._meant["note"]} if self._has_note else {}
        if not note:
            # The old bridge's words are for what was not set.
            old = dict.fromkeys(dict(self._operation.old_when_not_set))
            return answers.left_alone(number=target.number, old=old)
        if again and messages.find_sent(target, target.mark) is not None:
            return answers.left_alone(number=target.number, old={})
        answer = self._operation.perform(target, note)
        text = f"{answer.body.get('message', '')} {answers.DRAFT_ONLY}".strip()
        return replace(answer, body={**answer.body, "message": text})

    def _after_cut_off(self, target: Target) -> Answer:
        """Do the rest of a request that was cut off, but do not say it twice."""
        if self._has_note:
            return self._without_note(target)
        found = messages.find_sent(target, target.mark)
        if found is None:
            return self._operation.perform(target, self._meant)
        return Answer(
            body={
                "status": "success",
                "conversation_id": target.number,
                "result": "applied",
                "message_id": found,
                "message": "It was sent before, by a request that was cut off.",
            }
        )

    def _without_note(self, target: Target) -> Answer:
        """Change all but the note, which is there already or may be."""
        try:
            found = messages.find_sent(target, target.mark)
            if found is None:
                return self._operation.perform(target, self._meant)
            note: JsonObject = {"result": "applied", "message_id": found}
        except NotDone as err:
            note = {"result": "failed", "code": err.code, "message": err.message}
        rest = {name: v for name, v in self._meant.items() if name != "note"}
        answer = self._operation.perform(target, rest)
        fields = answer.body.get("fields")
        body: JsonObject = {
            **answer.body,
            "fields": {**(fields if isinstance(fields, dict) else {}), "note": note},
        }
        if note["result"] != "applied" or body["status"] != "success":
            body |= {"status": "partial", "code": note.get("code") or body.get("code")}
        if not rest:
            body["message"] = "The note was written before, by a request cut off."
        body.pop("skipped", None)
        return replace(answer, body=body)


def _began_in_dify(conversation: Conversation) -> int | None:
    """Return the turn that began the Dify conversation which is being continued.

    Dify 0.15 goes on with the inputs, and the token, of that first turn.
    """
    memories = DifyConversation.objects.filter(conversation=conversation, ended_at=None)
    runs = PipelineRun.objects.filter(
        dify_conversation_id__in=memories.values("dify_conversation_id"),
        turn__conversation=conversation,
    )
    return runs.order_by("pk").values_list("turn", flat=True).first()


def _recorded(
    request: journal.Request,
    *,
    perform: Callable[[Callback], Answer],
    calls: list[JsonValue],
) -> Response:
    """Do it once, keep a row of it, and answer."""
    strict = request.bot is not None and request.bot.strict_statuses
    try:
        row = journal.begin(request)
    except journal.NotBegun as err:
        answer = answers.refusal(err.code, err.message)
        return Response(answer.body, status=answer.http_status(strict=strict))
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


def _bound(request: Request, wanted: JsonObject) -> Caller:
    """Return the caller, with the conversation token of body or query, too."""
    return caller_of(request).bound_to(wanted.get("conversation_token", ""))


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


def _running_turn(conversation: Conversation | None, *, bot: Bot | None) -> Turn | None:
    """Return the turn whose run calls: at most one runs in a conversation."""
    if conversation is None or bot is None:
        return None
    turn = Turn.objects.running_turn(conversation.pk)
    return turn if turn is not None and turn.bot_id == bot.pk else None


def _key(request: Request) -> str:
    key: str = request.headers.get("Idempotency-Key", "").strip()
    if len(key) > MAX_KEY_CHARS:
        raise Refused(f"The Idempotency-Key is longer than {MAX_KEY_CHARS} characters.")
    return "" if is_not_set(key) else key


def _meant(operation: Operation, wanted: JsonObject) -> JsonObject:
    """Return the operation's arguments, by its own names for them."""
    meant = _only(wanted, operation.fields)
    for other, name in operation.aliases:
        if other in wanted and is_not_set(meant.get(name)):
            meant[name] = wanted[other]
    return meant


def _ignored(operation: Operation, wanted: JsonObject) -> list[str]:
    """Return the names that mean nothing here."""
    known = {*operation.fields, *(other for other, _name in operation.aliases)}
    return [name for name in wanted if name not in known | _EVERYWHERE]


def _only(wanted: JsonObject, names: tuple[str, ...]) -> JsonObject:
    return {name: wanted[name] for name in names if name in wanted}


def _set(wanted: JsonObject) -> JsonObject:
    return {name: value for name, value in wanted.items() if not is_not_set(value)}


def _not_set(
    operation: Operation,
    names: Iterable[str],
    *,
    given: JsonObject,
    number: int | None = None,
) -> Answer:
    return answers.not_set(
        list(names) or operation.fields,
        number=number,
        received=given,
        understood={name: cleaned(value) for name, value in given.items()},
        old=dict(operation.old_when_not_set),
    )
