"""What Redis and Celery say of themselves, each within a second or two."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from celery import current_app
from django.conf import settings
from kombu.exceptions import OperationalError
from redis import Redis
from redis.exceptions import RedisError

TIMEOUT_S = 1.0
# Where kombu keeps what workers have taken and not yet confirmed.
UNACKNOWLEDGED = "unacked"


@dataclass(frozen=True)
class Queue:
    """How many tasks stand in Redis, and how many workers have taken."""

    waiting: int
    taken: int


@dataclass(frozen=True)
class Answer:
    """What one Celery worker says that it is doing, by the task's name."""

    node: str
    tasks: dict[str, int]


def queue() -> Queue | None:
    """Return the queue's length; None if Redis is away."""
    name = current_app.conf.task_default_queue
    try:
        with Redis.from_url(
            settings.REDIS_URL,
            socket_timeout=TIMEOUT_S,
            socket_connect_timeout=TIMEOUT_S,
        ) as redis:
            pipe = redis.pipeline(transaction=False)
            pipe.llen(name)
            pipe.hlen(UNACKNOWLEDGED)
            waiting, taken = pipe.execute()
    except (RedisError, OSError):
        return None
    return Queue(waiting=waiting, taken=taken)


def answers() -> list[Answer] | None:
    """Return what the workers answer within a second; None if Redis is away."""
    try:
        replies = current_app.control.inspect(timeout=TIMEOUT_S).active() or {}
    except (OperationalError, RedisError, OSError):
        return None
    return [
        Answer(node, dict(Counter(str(task["name"]) for task in tasks)))
        for node, tasks in sorted(replies.items())
    ]
