"""The record of each callback, and the answer that a repeat of it gets.

The only writer of `Callback`. The row is there before Chatwoot is called: a repeat that
arrives meanwhile waits for its answer, and one that was cut off is seen.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, replace
from datetime import timedelta
from hashlib import sha256

from django.db import IntegrityError, transaction
from django.db.models import F
from django.utils import timezone
from psycopg.errors import UniqueViolation

from bridge_project.lib import redact
from bridge_project.lib.database import release_connection
from bridge_project.lib.http import FinishedCall
from bridge_project.lib.types import JsonObject, JsonValue
from chatwoot_api.models import ChatwootAccount
from conversations.models import Bot, Callback, Conversation, PipelineRun, Turn

# How long a repeat gets the stored answer: with an Idempotency-Key, and without one.
KEY_VALID_FOR = timedelta(hours=24)
SAME_REQUEST_FOR = timedelta(seconds=60)
# No request takes longer, so a row that is still running then was cut off.
CUT_OFF_AFTER = timedelta(seconds=90)
WAIT_FOR_TWIN_S = 45.0
_LOOK_EVERY_S = 0.1
# Nothing was done, and the next try may work: it is not to get the same answer.
_TRANSIENT = frozenset(
    {
        "chatwoot_unavailable",
        "rate_limited",
        "token_refused",
        "no_admin_token",
        "busy",
        "in_progress",
        "bridge_unavailable",
    }
)
# Of several fields: what a repeat would do twice, and what was not done.
_ADDED = ("note", "message")
_NOT_DONE = frozenset({"refused", "failed"})
NOT_KEPT = "[not kept]"
_HARMLESS = frozenset(
    {
        "status",
        "snoozed_until",
        "priority",
        "team",
        "inbox",
        "private",
        "refresh",
        "what",
        "typing",
    }
)


@dataclass(frozen=True, kw_only=True)
class Request:
    """What identifies a request and stands in its row."""

    operation: str
    arguments: JsonObject
    caller: Callback.Caller
    account: ChatwootAccount
    bot: Bot | None = None
    # Chatwoot's number, also of a conversation that is not known here.
    number: int | None = None
    conversation: Conversation | None = None
    turn: Turn | None = None
    # What the client sent as Idempotency-Key.
    key: str = ""
    # Reads may be repeated as often as one likes.
    changes: bool = True
    # What a repeat must not do twice; setting a state again is harmless, and wanted
    # once something else was set in between.
    adds: bool = False


@dataclass(frozen=True)
class Repeat:
    """The request was made before; this is what it was answered."""

    answer: JsonObject
    http_status: int


class NotBegun(Exception):
    """The request is not served; `code` and `message` are for the flow."""

    code = ""
    message = ""


class KeyReused(NotBegun):
    """The Idempotency-Key belongs to another request."""

    code = "key_reused"
    message = "This Idempotency-Key belongs to another request. Use a new one."


class StillRunning(NotBegun):
    """The same request is being served, and has been for long."""

    code = "in_progress"
    message = "The same request is still being served. Ask again in some seconds."


def begin(request: Request) -> Callback | Repeat:
    """Return the row of a new request, or the answer that it got before.

    Raises KeyReused and StillRunning.
    """
    row = _row(request)
    until = time.monotonic() + WAIT_FOR_TWIN_S
    while not _insert(row):
        twin = _twin_of(row, request=request)
        if twin is None:
            continue  # it has just been let go
        if twin.status != Callback.Status.RUNNING:
            Callback.objects.filter(pk=twin.pk).update(repeats=F("repeats") + 1)
            return Repeat(twin.answer, twin.http_status or 200)
        if time.monotonic() > until:
            raise StillRunning
        release_connection()
        time.sleep(_LOOK_EVERY_S)
    return row


def finish(
    row: Callback,
    *,
    answer: JsonObject,
    http_status: int,
    before: JsonObject,
    after: JsonObject,
    calls: list[JsonValue],
) -> None:
    """Store how the request ended; what failed for a moment may be asked for again."""
    row.status = _status(answer)
    row.code = str(answer.get("code", ""))[:60]
    row.message = redact.excerpt(str(answer.get("message", "")))
    row.answer = _stored(answer)
    row.http_status = http_status
    row.before, row.after = _stored(before), _stored(after)
    row.calls = calls
    row.duration_ms = round((timezone.now() - row.created_at).total_seconds() * 1000)
    if _may_be_repeated(answer):
        row.once_key = None
    if row.conversation_id is None and not _names_contact(row):
        # Erasing a contact would not find what is said of them here.
        row.arguments = _without_words(row.arguments)
    _store(row)


def _may_be_repeated(answer: JsonObject) -> bool:
    """Tell whether the same request may work in a moment, and does nothing twice."""
    if answer.get("status") not in ("error", "partial") or "contact_id" in answer:
        return False
    fields = answer.get("fields")
    if not isinstance(fields, dict):
        return answer.get("code") in _TRANSIENT
    outcomes = {
        name: (one.get("result"), one.get("code"))
        for name, one in fields.items()
        if isinstance(one, dict)
    }
    if any(outcomes.get(name, ("",))[0] == "applied" for name in _ADDED):
        return False
    failed = [code for result, code in outcomes.values() if result in _NOT_DONE]
    return all(code in _TRANSIENT for code in failed)


def _names_contact(row: Callback) -> bool:
    """Tell whether the erasure of the contact finds the row."""
    numbers = (row.arguments.get("contact_id"), row.answer.get("contact_id"))
    return any(str(number).isdecimal() for number in numbers)


def _without_words(arguments: JsonObject) -> JsonObject:
    """Return the arguments without what may be about somebody."""
    return {
        name: value if name in _HARMLESS else NOT_KEPT
        for name, value in arguments.items()
    }


def let_go(row: Callback, err: Exception) -> None:
    """Note that a fault of ours ended the request; a repeat tries again."""
    row.status, row.code = Callback.Status.ERROR, "internal_error"
    row.message = redact.excerpt(type(err).__name__)
    row.once_key = None
    _store(row)


def _store(row: Callback) -> None:
    """Write how it ended, unless the row was erased: it must not come back."""
    names = (
        "status",
        "code",
        "message",
        "answer",
        "http_status",
        "before",
        "after",
        "calls",
        "duration_ms",
        "once_key",
        "arguments",
    )
    values = {name: getattr(row, name) for name in names}
    Callback.objects.filter(pk=row.pk).update(**values)


def refused(request: Request, *, code: str, message: str, http_status: int) -> None:
    """Keep a row of a request that was refused before anything began."""
    row = _row(replace(request, changes=False))
    row.status, row.code = Callback.Status.ERROR, code[:60]
    row.message, row.http_status = redact.excerpt(message), http_status
    row.duration_ms = 0
    row.save(force_insert=True)


def call_note(call: FinishedCall) -> JsonObject:
    """Return what is kept of a call to Chatwoot: no texts, no tokens."""
    return {
        "method": call.method,
        "path": call.path,
        "status": call.status,
        "ms": call.duration_ms,
        "error": call.error_code,
    }


def _row(request: Request) -> Callback:
    turn = request.turn
    run = None
    if turn is not None:
        run = PipelineRun.objects.filter(
            turn=turn, status=PipelineRun.Status.RUNNING
        ).last()
    fingerprint = _digest(request.operation, request.number, request.arguments)
    return Callback(
        account=request.account,
        bot=request.bot,
        conversation=request.conversation,
        turn=turn,
        run=run,
        caller=request.caller,
        operation=request.operation,
        arguments=_stored(request.arguments),
        fingerprint=fingerprint,
        once_key=_once_key(request, run=run, fingerprint=fingerprint),
    )


def _once_key(
    request: Request, *, run: PipelineRun | None, fingerprint: str
) -> str | None:
    if not request.changes:
        return None
    # A key counts within its conversation: flows use constant ones.
    owner = [request.account.pk, request.bot.pk if request.bot else None]
    if request.key:
        return "key:" + _digest(owner, request.number, request.key)
    return "same:" + _digest(owner, run.pk if run else None, fingerprint)


def _digest(*parts: JsonValue | object) -> str:
    text = json.dumps(parts, sort_keys=True, default=str)
    return sha256(text.encode("utf-8", "replace")).hexdigest()


def _insert(row: Callback) -> bool:
    """Store the row unless one with the same key is in force."""
    if row.once_key is not None:
        _end_old(row)
    row.created_at = timezone.now()
    try:
        with transaction.atomic():
            row.save(force_insert=True)
    except IntegrityError as err:
        if not isinstance(err.__cause__, UniqueViolation):
            raise  # the conversation is being erased
        return False
    return True


def _end_old(row: Callback) -> None:
    """Let go of a key whose time is over, or whose request was cut off.

    What a request that was cut off has sent is looked up by its mark, which the new row
    takes over.
    """
    now = timezone.now()
    key = row.once_key or ""
    valid_for = KEY_VALID_FOR if key.startswith("key:") else SAME_REQUEST_FOR
    rows = Callback.objects.filter(once_key=key)
    cut_off = rows.filter(
        status=Callback.Status.RUNNING, created_at__lt=now - CUT_OFF_AFTER
    )
    mark = cut_off.values_list("mark", flat=True).first()
    if mark is not None:
        row.mark, row.follows_cut_off = mark, True
        cut_off.update(
            once_key=None, status=Callback.Status.ERROR, code="outcome_unknown"
        )
    # One that is still being served keeps its key, however short that is valid.
    over = rows.filter(created_at__lt=now - valid_for)
    over.exclude(status=Callback.Status.RUNNING).update(once_key=None)


def _twin_of(row: Callback, *, request: Request) -> Callback | None:
    """Return the row whose answer counts, None if it does not count any more."""
    twin = Callback.objects.filter(once_key=row.once_key).first()
    if twin is None:
        return None
    if request.key:
        if twin.fingerprint != row.fingerprint:
            raise KeyReused
        return twin
    if not request.adds and _was_overruled(twin):
        Callback.objects.filter(pk=twin.pk).update(once_key=None)
        return None
    return twin


def _was_overruled(twin: Callback) -> bool:
    """Tell whether something else was asked for since the twin was answered.

    Then a flow that sets open, pending and open again means it. A node that only
    repeats its request does so before the flow goes on.
    """
    if twin.duration_ms is None:
        return False
    answered_at = twin.created_at + timedelta(milliseconds=twin.duration_ms)
    later = Callback.objects.filter(
        conversation=twin.conversation_id,
        created_at__gte=answered_at,
        once_key__isnull=False,
    )
    return later.exclude(fingerprint=twin.fingerprint).exists()


def _status(answer: JsonObject) -> Callback.Status:
    if answer.get("status") == "error":
        return Callback.Status.ERROR
    if answer.get("status") == "partial":
        return Callback.Status.PARTIAL
    skipped = answer.get("skipped") is True
    return Callback.Status.SKIPPED if skipped else Callback.Status.SUCCESS


def _stored(value: JsonObject) -> JsonObject:
    """Return a copy without secrets, with long texts cut."""
    kept = _kept(value)
    return kept if isinstance(kept, dict) else {}


def _kept(value: JsonValue) -> JsonValue:
    if isinstance(value, str):
        return redact.excerpt(value)
    if isinstance(value, list):
        return [_kept(item) for item in value]
    if isinstance(value, dict):
        return {str(_kept(key)): _kept(item) for key, item in value.items()}
    return value
