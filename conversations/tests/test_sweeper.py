"""Each worker does by itself what nobody is doing, with Redis and without."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest
from django.db import connections
from django.utils import timezone

from bridge_project.lib.types import JsonObject
from conversations import tasks
from conversations.models import Bot, Turn, WebhookEvent
from conversations.sweeper import Sweeper
from conversations.tests.conftest import Platforms, Queue, answer_events
from conversations.tests.factories import make_event, message_payload

# The sweeper works in threads, which see only what is committed.
pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def sweeper() -> Iterator[Sweeper]:
    made = Sweeper(every_s=0.01)
    yield made
    made.wait()
    connections.close_all()


@pytest.fixture
def forgotten(bot: Bot, payload: Callable[[str], JsonObject]) -> WebhookEvent:
    """A customer's message that was stored, but never came through Redis."""
    sample = message_payload(payload("message_created_incoming_text"))
    long_ago = timezone.now() - timedelta(minutes=1)
    return make_event(bot.account, sample, received_at=long_ago)


def test_decides_a_forgotten_event_and_wakes_its_turn(
    sweeper: Sweeper, forgotten: WebhookEvent, queue: Queue
) -> None:
    assert sweeper.sweep() == 1
    sweeper.wait()

    forgotten.refresh_from_db()
    assert forgotten.reason == "customer_message"
    assert queue.tasks() == [("run_turn", [Turn.objects.get().pk])]


def test_answers_while_redis_is_away(
    sweeper: Sweeper,
    forgotten: WebhookEvent,
    platforms: Platforms,
    queue: Queue,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The publisher has found out that Redis is away, as after a refused connection."""
    platforms.dify_answers(*answer_events("Hello"))
    monkeypatch.setattr(tasks.publisher, "_silent_until", float("inf"))

    sweeper.start()
    while Turn.objects.filter(status="answered").count() == 0:
        connections.close_all()
    sweeper.wait()

    assert [post["content"] for post in platforms.posted] == ["Hello"]
    assert queue.tasks() == []


def test_takes_nothing_twice(
    sweeper: Sweeper, forgotten: WebhookEvent, queue: Queue
) -> None:
    sweeper._busy.add((tasks.process_event, forgotten.pk))

    assert sweeper.sweep() == 0


def test_goes_on_after_a_failure(
    sweeper: Sweeper, forgotten: WebhookEvent, queue: Queue
) -> None:
    WebhookEvent.objects.update(payload={"event": "message_created"})

    assert sweeper.sweep() == 1
    for pool in sweeper._pools.values():
        pool.submit(int).result()
    while sweeper._busy:
        pass

    forgotten.refresh_from_db()
    assert (forgotten.status, forgotten.attempts) == ("received", 1)
    assert sweeper.sweep() == 1


def test_takes_nothing_new_once_it_is_stopped(
    sweeper: Sweeper, forgotten: WebhookEvent
) -> None:
    sweeper.stop()

    assert sweeper.sweep() == 0
