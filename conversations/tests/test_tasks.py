"""Waking workers, with and without Redis."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable

import pytest
from celery import Celery
from django.conf import settings

from bridge_project.lib.types import JsonObject
from conversations import tasks
from conversations.models import Bot, Turn
from conversations.tests.conftest import Platforms, Queue, answer_events
from conversations.tests.factories import make_event, message_payload


@pytest.fixture
def nobodys_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_a_redis_that_is_away_is_tried_once_and_then_left_in_peace(
    nobodys_port: int, caplog: pytest.LogCaptureFixture
) -> None:
    app = Celery(broker=f"redis://127.0.0.1:{nobodys_port}/0", set_as_current=False)
    app.conf.broker_transport_options = settings.CELERY_BROKER_TRANSPORT_OPTIONS
    app.conf.task_publish_retry = settings.CELERY_TASK_PUBLISH_RETRY

    @app.task(name="some_task")
    def task(object_id: int) -> None: ...

    publisher = tasks.Publisher()

    with caplog.at_level(logging.WARNING, logger="conversations.tasks"):
        publisher.send(task, 1, delay_s=0.0)
        publisher.send(task, 2, delay_s=0.0)

    assert len(caplog.records) == 1
    assert "the sweep takes over" in caplog.text
    assert "redis://" not in caplog.text


@pytest.mark.django_db
def test_the_whole_way_wakes_one_task_after_the_other(
    turn: Turn, platforms: Platforms, queue: Queue
) -> None:
    platforms.dify_answers(*answer_events("Hello"))

    assert tasks.run_turn(turn.pk) == "answered: answered"
    assert queue.tasks() == []


@pytest.mark.django_db
def test_an_event_that_is_to_be_answered_wakes_its_turn(
    bot: Bot, queue: Queue, payload: Callable[[str], JsonObject]
) -> None:
    sample = payload("message_created_incoming_text")
    event = make_event(bot.account, message_payload(sample))

    tasks.process_event(event.pk)

    assert queue.tasks() == [("run_turn", [Turn.objects.get().pk])]
