"""Celery's results in words, and the way between them and what they were about."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from django.db.models import Model, Q, QuerySet
from django.db.models.functions import Left
from django.utils.functional import Promise
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from django_celery_results.models import TaskResult

from bridge_project.lib.admin_base import badge
from conversations.models import Job, Trial, Turn, WebhookEvent

_FLOW = "conversations.tasks"
_HOUSEKEEPING = "conversations.housekeeping"
PROCESS_EVENT = f"{_FLOW}.process_event"
RUN_TURN = f"{_FLOW}.run_turn"
RUN_TRIAL = f"{_FLOW}.run_trial"
SEND_FEEDBACK = f"{_FLOW}.send_feedback"
RUN_JOB = "conversations.jobs.task.run_job"

# What the tasks are called here; an unknown one is called by its own name.
TASK_WORDS: Mapping[str, str | Promise] = {
    PROCESS_EVENT: _("Decide about an event"),
    RUN_TURN: _("Answer a turn"),
    RUN_TRIAL: _("Ask a bot in the playground"),
    RUN_JOB: _("Do a job"),
    SEND_FEEDBACK: _("Tell Dify what somebody thought of an answer"),
    f"{_HOUSEKEEPING}.probe_services": _("Try refused tokens again"),
    f"{_HOUSEKEEPING}.carry_on_erasures": _("Go on with erasures"),
    f"{_HOUSEKEEPING}.delete_in_dify": _("Delete conversations in Dify"),
    f"{_HOUSEKEEPING}.end_idle": _("End idle conversations"),
    f"{_HOUSEKEEPING}.look_for_gone": _(
        "Look for conversations that were deleted in Chatwoot"
    ),
    f"{_HOUSEKEEPING}.prune": _("Delete what is older than the retention"),
    f"{_HOUSEKEEPING}.pull_mirrors": _("Read teams, agents and labels from Chatwoot"),
    f"{_HOUSEKEEPING}.note_beat": _("Sign of life of beat"),
    f"{_HOUSEKEEPING}.roll_up_figures": _("Count for the overview"),
    f"{_HOUSEKEEPING}.look_for_trouble": _("Look for reasons for an alert"),
    "celery.backend_cleanup": _("Delete old task results"),
}
TASK_TONES = {
    "SUCCESS": "good",
    "FAILURE": "bad",
    "RETRY": "warn",
    "REVOKED": "warn",
    "STARTED": "busy",
    "PENDING": "busy",
    "RECEIVED": "busy",
}
TASK_STATES = {
    "SUCCESS": _("succeeded"),
    "FAILURE": _("failed"),
    "RETRY": _("will be tried again"),
    "REVOKED": _("cancelled"),
    "STARTED": _("running"),
    "PENDING": _("waiting"),
    "RECEIVED": _("waiting"),
}
# The rows that a task's one argument names.
SUBJECTS: Mapping[str, type[Model]] = {
    PROCESS_EVENT: WebhookEvent,
    RUN_TURN: Turn,
    RUN_TRIAL: Trial,
    RUN_JOB: Job,
}
# As Celery stores the arguments (12,): a text in JSON.
_ONE_NUMBER = re.compile(r'"\((\d{1,18}),\)"')
# What is shown of a turn.
SHOWN = 20


def task_words(name: str | None) -> str:
    """Return what a person calls the task."""
    bare = str(name or "").rpartition(".")[2]
    return str(TASK_WORDS.get(str(name or ""), bare))


def state_badge(result: TaskResult) -> SafeString:
    """Return how the task ended as a label."""
    status = str(result.status)
    return badge(TASK_STATES.get(status, status), tone=TASK_TONES.get(status, "calm"))


def subject_id(result: TaskResult) -> int | None:
    """Return the number that the task was called with, if it was one number."""
    found = _ONE_NUMBER.fullmatch(str(result.task_args or ""))
    return int(found[1]) if found else None


def subject_of(result: TaskResult) -> Model | None:
    """Return the turn, event, trial or job that the task was about, if it is stored."""
    number = subject_id(result)
    model = SUBJECTS.get(str(result.task_name))
    if number is None or model is None:
        return None
    return model._default_manager.filter(pk=number).first()


def with_argument(
    numbers: Iterable[int], *, results: QuerySet[TaskResult] | None = None
) -> QuerySet[TaskResult]:
    """Return results of tasks that were called with one of the numbers.

    By the index `bridge_taskresult_args`, on exactly this expression.
    """
    rows = TaskResult.objects.all() if results is None else results
    stored = [f'"({number},)"' for number in numbers]
    return rows.alias(first_args=Left("task_args", 100)).filter(first_args__in=stored)


def about_turn(turn_id: int, *, event_ids: Iterable[int]) -> list[TaskResult]:
    """Return the newest results of the tasks of a turn and of its events."""
    ids = list(event_ids)
    of_turn = Q(pk__in=_ids([turn_id], task=RUN_TURN))
    of_events = Q(pk__in=_ids(ids, task=PROCESS_EVENT))
    # A traceback may be long, and nobody reads it here.
    rows = TaskResult.objects.defer("traceback", "meta", "task_kwargs")
    return list(rows.filter(of_turn | of_events).order_by("-id")[:SHOWN])


def _ids(numbers: list[int], *, task: str) -> list[int]:
    rows = with_argument(numbers).filter(task_name=task).order_by("-id")
    return list(rows.values_list("pk", flat=True)[:SHOWN])
