"""What earlier attempts at a turn left in its runs."""

from __future__ import annotations

from django.utils import timezone

from bridge_project.lib.errors import UpstreamUnavailable
from conversations import context
from conversations.models import PipelineRun, Turn, WebhookEvent
from conversations.outcomes import SHUTDOWN
from dify_api.failures import StreamCut
from dify_api.models import DifyApp

# Cut off without Dify's having said how it ended: it may go on there, or be done.
WORKER_LOST = "worker_lost"
CUT_OFF = frozenset({StreamCut.code, UpstreamUnavailable.code, SHUTDOWN, WORKER_LOST})


def former_run(turn: Turn, *, question: str, app: DifyApp) -> PipelineRun | None:
    """Return the app's run that has, or may have, an answer to just this question."""
    same = [
        run
        for run in PipelineRun.objects.filter(turn=turn, dify_app=app).order_by("pk")
        if run.query == question
    ]
    if not same:
        return None
    last = same[-1]
    may_go_on = last.error_code in CUT_OFF and bool(last.dify_task_id)
    is_answer = last.status == PipelineRun.Status.SUCCEEDED
    return last if is_answer or may_go_on else None


def answered(turn: Turn, events: list[WebhookEvent]) -> list[WebhookEvent]:
    """Return the messages that the turn's answer answers.

    Others may have joined after Dify was asked: the answer was lost on its way, and
    turned out to have arrived.
    """
    runs = PipelineRun.objects.filter(turn=turn, status=PipelineRun.Status.SUCCEEDED)
    asked = runs.order_by("pk").values_list("query", flat=True).last()
    if asked is None or asked == context.question(context.messages_of(events)):
        return events
    told = []
    for event in events:
        part = context.question(context.messages_of([event]))
        if asked == part or asked.startswith(f"{part}\n\n"):
            told.append(event)
            asked = asked.removeprefix(part).removeprefix("\n\n")
    return told


def close_abandoned(turn: Turn) -> int:
    """Note that what a dead worker left as running was cut off."""
    return PipelineRun.objects.filter(
        turn=turn, status=PipelineRun.Status.RUNNING
    ).update(
        status=PipelineRun.Status.FAILED,
        error_code=WORKER_LOST,
        error="The worker died while Dify was being asked.",
        finished_at=timezone.now(),
    )
