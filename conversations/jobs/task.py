"""Celery's entry point to jobs, and how a worker is woken for one."""

from __future__ import annotations

from celery import shared_task

from conversations import tasks
from conversations.jobs import engine


@shared_task(ignore_result=True)
def run_job(job_id: int) -> str:
    """Do a job. Only failures of the bridge leave a result row: the job is its own."""
    result = engine.work(job_id)
    if result == engine.LET_GO:
        wake_job(job_id)
    return result


def wake_job(job_id: int) -> None:
    """Ask a worker to do a job; quietly, if Redis is away."""
    tasks.publisher.send(run_job, job_id, delay_s=0.0)
