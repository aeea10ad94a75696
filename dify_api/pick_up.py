"""Looks a run up in Dify that was cut off, before it is asked again.

What Dify does with a run whose client has gone away (recordings lifecycle/04, 05, 18
and 20; langgenius/dify issues 12798, 26169 and 28370):

    chatflow, workflow   1.13 and newer: goes on; message and run are stored whole.
                         1.12: goes on; the message stays empty, the run is stored.
                         older: goes on, but says `running` for ever.
    chatbot, agent       ends; the message stays empty, unless the run was over.
    text generator       cannot be looked up.

A wrong answer is worse than asking again: what cannot be known for sure is None. A run
that the bridge has stopped itself must not be picked up: a chatbot then has its half
answer stored as if it were whole.
"""

from __future__ import annotations

from time import monotonic, sleep

from bridge_project.lib.errors import NotFound
from dify_api.client import DifyClient
from dify_api.failures import (
    DifyError,
    RunAborted,
    RunTooLong,
    failure_for,
    is_stop,
    workflow_failure,
)
from dify_api.payloads import (
    AppMode,
    DifyReply,
    Outcome,
    StoredMessage,
    StoredRun,
    StreamIds,
    Usage,
)
from dify_api.reading import malformed
from dify_api.stream import ShouldStop

POLL_EVERY_S = 2.0
# How long at most a `should_stop` is not asked, but for the time of one look-up.
ASK_EVERY_S = 1.0
# Of replies that came by a look-up instead of a stream.
FINISHED_BY = "pick_up"
_AT_WORK = ("running", "scheduled")
# The message's `error` has no code. Dify puts the provider in front of what a model's
# provider says, and has one text for what it did not expect (recordings llm/11, 13).
_MODEL_FAILED = "["
_DIFY_FAILED = "Internal Server Error"


def pick_up(
    client: DifyClient,
    ids: StreamIds,
    *,
    user: str,
    until: float | None,
    should_stop: ShouldStop | None = None,
) -> DifyReply | None:
    """Return the reply of a cut-off run as it would have come; None: ask again.

    Waits while Dify is still at work, `until` that moment of the monotonic clock, or
    for the app's total limit. Raises what the run failed with, RunTooLong or RunAborted
    (as `should_stop` wishes), all with `ids`, and what the look-ups raise; those that
    may be repeated are retryable.
    """
    try:
        if ids.workflow_run_id:
            known, run = _ended_run(client, ids, until=until, should_stop=should_stop)
            if known:
                return None if run is None else _of_run(client, ids, run, user=user)
        return _of_message(client, ids, user=user)
    except NotFound:
        return None
    except DifyError as err:
        err.ids = ids
        raise


def _ended_run(
    client: DifyClient,
    ids: StreamIds,
    *,
    until: float | None,
    should_stop: ShouldStop | None,
) -> tuple[bool, StoredRun | None]:
    """Return whether Dify tells of this app's runs, and the run once it has ended."""
    if until is None:
        until = monotonic() + client.connection.total_timeout_s
    while True:
        _ask(should_stop)
        try:
            run = client.workflow_run(ids.workflow_run_id)
        except DifyError as err:
            # 0.15 tells of workflows only, not of chatflows.
            if err.code == "wrong_mode":
                return False, None
            raise
        if run is None or run.id != ids.workflow_run_id:
            return True, None
        if run.status not in _AT_WORK:
            return True, run
        if run.may_be_stuck:
            return True, None
        if monotonic() >= until:
            raise RunTooLong(
                "Dify is still at work on the run, which was cut off before, and the "
                "time for it is over. Make the flow quicker, or raise the limit.",
                service="dify",
            )
        _wait(min(until, monotonic() + POLL_EVERY_S), should_stop=should_stop)


def _wait(moment: float, *, should_stop: ShouldStop | None) -> None:
    while (left_s := moment - monotonic()) > 0:
        _ask(should_stop)
        sleep(min(left_s, ASK_EVERY_S))


def _ask(should_stop: ShouldStop | None) -> None:
    if should_stop is not None and should_stop():
        raise RunAborted(
            "The bridge itself gave up waiting for a run that was cut off before: its "
            "answer is no longer wanted, or the worker is being stopped.",
            service="dify",
        )


def _of_run(
    client: DifyClient, ids: StreamIds, run: StoredRun, *, user: str
) -> DifyReply | None:
    """Return the reply of a run that has ended; raises what it failed with."""
    if run.is_answer:
        return _answer_of_run(client, ids, run, user=user)
    if is_stop(run.status, error=run.error):
        return _reply(ids, run, outcome=Outcome.STOPPED)
    if run.status == "paused":
        return _reply(ids, run, outcome=Outcome.PAUSED)
    if run.status == "failed":
        raise workflow_failure(run.error)
    raise malformed(f"the workflow ended with the unknown status “{run.status}”")


def _answer_of_run(
    client: DifyClient, ids: StreamIds, run: StoredRun, *, user: str
) -> DifyReply | None:
    """Return what a chatflow's message says, else what the run says.

    Only the message has passed the app's moderation.
    """
    if client.connection.mode != AppMode.WORKFLOW:
        message = _message(client, ids, user=user)
        if message is not None and message.is_answer:
            return _reply(ids, run, message=message)
        if message is not None and message.status != "normal":
            return None
        if run.answer and client.parameters().moderated:
            return None
    return None if run.answer is None else _reply(ids, run)


def _of_message(client: DifyClient, ids: StreamIds, *, user: str) -> DifyReply | None:
    """Return the reply of a chat that was over before the connection broke."""
    message = _message(client, ids, user=user)
    if message is None:
        return None
    if message.status == "error":
        raise _message_failure(message.error)
    if not message.is_answer:
        return None
    return DifyReply(
        answer=message.answer,
        thinking=message.thinking,
        outcome=Outcome.ANSWERED,
        finished_by=FINISHED_BY,
        ids=ids,
        files=message.files,
    )


def _message(client: DifyClient, ids: StreamIds, *, user: str) -> StoredMessage | None:
    if not ids.conversation_id or not ids.message_id:
        return None
    return client.message(ids.conversation_id, ids.message_id, user=user)


def _message_failure(error: str) -> DifyError:
    """Return the failure as a stream's `error` event would have given it."""
    status, code = 400, "invalid_param"
    if error.startswith(_MODEL_FAILED):
        code = "completion_request_error"
    elif error.startswith(_DIFY_FAILED):
        status, code = 500, "internal_server_error"
    failure = failure_for(status=status, code=code, message=error)
    failure.status = None  # that of the look-up was a success
    return failure


def _reply(
    ids: StreamIds,
    run: StoredRun,
    *,
    outcome: Outcome = Outcome.ANSWERED,
    message: StoredMessage | None = None,
) -> DifyReply:
    told = run if message is None else message
    return DifyReply(
        answer=told.answer or "",
        thinking=told.thinking,
        outcome=outcome,
        finished_by=FINISHED_BY,
        ids=ids,
        partial=run.status == "partial-succeeded",
        usage=Usage(total_tokens=run.total_tokens),
        outputs=run.outputs,
        files=told.files,
    )
