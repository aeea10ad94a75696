"""What earlier attempts at a turn left in its runs."""

from __future__ import annotations

from django.utils import timezone

from bridge_project.lib.errors import UpstreamUnavailable
from bridge_project.lib.types import JsonObject
from chatwoot_api.payloads import Message
from conversations import context
from conversations.models import (
    OutgoingMessage,
    PipelineRun,
    Reason,
    Turn,
    WebhookEvent,
)
from conversations.outcomes import SHUTDOWN
from dify_api.failures import SilentStream, StreamCut
from dify_api.models import DifyApp

# Cut off without Dify's having said how it ended: it may go on there, or be done.
WORKER_LOST = "worker_lost"
CUT_OFF = frozenset({StreamCut.code, UpstreamUnavailable.code, SHUTDOWN, WORKER_LOST})


def former_run(turn: Turn, *, question: str, app: DifyApp) -> PipelineRun | None:
    """Return the app's run that has, or may have, an answer to just this question."""
    same = [
        run
        for run in PipelineRun.objects.filter(turn=turn, dify_app=app).order_by("pk")
        if _is_same(run.query, question)
    ]
    if not same:
        return None
    last = same[-1]
    may_go_on = last.error_code in CUT_OFF and bool(last.dify_task_id)
    is_answer = last.status == PipelineRun.Status.SUCCEEDED
    return last if is_answer or may_go_on else None


def answer_of(turn: Turn, *, question: str, provider: str) -> PipelineRun | None:
    """Return the run in which another provider than Dify answered just this."""
    if turn.is_first_attempt:
        return None
    rows = PipelineRun.objects.filter(
        turn=turn, provider=provider, status=PipelineRun.Status.SUCCEEDED
    ).order_by("-pk")
    return next((run for run in rows if _is_same(run.query, question)), None)


def answered(turn: Turn, events: list[WebhookEvent]) -> list[WebhookEvent]:
    """Return the messages that the turn's answer answers.

    Others may have joined after Dify was asked: the answer was lost on its way, and
    turned out to have arrived.
    """
    if turn.kind == Turn.Kind.HELP or turn.flow_form_id is not None:
        # Of one message, which nothing joins; an agent's note is asked with history.
        return events
    runs = PipelineRun.objects.filter(turn=turn, status=PipelineRun.Status.SUCCEEDED)
    last = runs.order_by("pk").last()
    if last is None or _has_begun_anew(turn, events):
        return events
    asked, sent_files = context.without_quotes(last.query), last.sent_files
    # What was said before a word that begins anew is settled with it.
    since = _resets(events, before=last.last_message_id)
    told, events = events[:since], events[since:]
    messages = context.messages_of(events)
    if asked == _bare(context.question(messages, files=turn.files)):
        return [*told, *events]
    for event in events:
        messages = context.messages_of([event])
        part = _bare(context.words(messages, files=turn.files))
        if not part:
            if _went_along(messages, turn=turn, sent_files=sent_files):
                told.append(event)
            continue
        if asked == part or asked.startswith(f"{part}\n\n"):
            told.append(event)
            asked = asked.removeprefix(part).removeprefix("\n\n")
    return told


def _resets(events: list[WebhookEvent], *, before: int) -> int:
    """Return how many events end with the last word before a message; 0 without one."""
    words = (
        index
        for index, event in enumerate(events, start=1)
        if event.reason == Reason.RESET and (event.chatwoot_message_id or 0) < before
    )
    return max(words, default=0)


def _has_begun_anew(turn: Turn, events: list[WebhookEvent]) -> bool:
    """Tell whether the answer was to the word alone, whatever was asked before it."""
    if not events or events[-1].reason != Reason.RESET or turn.bot is None:
        return False
    posts = turn.outgoing_messages.filter(part=OutgoingMessage.Part.ANSWER)
    return posts.filter(content=turn.bot.reset_text).exists()


def _is_same(asked: str, question: str) -> bool:
    return context.without_quotes(asked) == context.without_quotes(question)


def _bare(text: str) -> str:
    return context.without_quotes(text)


def _went_along(
    messages: list[Message], *, turn: Turn, sent_files: list[JsonObject]
) -> bool:
    """Tell whether messages of nothing but files went along with a run."""
    sent = {file.get("upload_file_id") for file in sent_files}
    keys = [str(item.id) for message in messages for item in message.attachments]
    return bool(keys) and all(
        turn.files.get(key, {}).get("upload_file_id") in sent for key in keys
    )


def was_silent_with_files(turn: Turn) -> bool:
    """Tell whether an earlier run with files got nothing but silence.

    Dify 1.13–1.15 says so that a chatflow's file is not valid (reference section 5).
    """
    if turn.is_first_attempt:
        return False
    silent = PipelineRun.objects.filter(turn=turn, error_code=SilentStream.code)
    return silent.exclude(sent_files=[]).exists()


def close_abandoned(turn: Turn) -> int:
    """Note that what a dead worker left as running was cut off."""
    return PipelineRun.objects.filter(
        turn=turn, status=PipelineRun.Status.RUNNING
    ).update(
        status=PipelineRun.Status.FAILED,
        error_code=WORKER_LOST,
        error="The worker died while an answer was being asked for.",
        finished_at=timezone.now(),
    )
