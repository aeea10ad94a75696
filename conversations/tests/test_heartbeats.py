"""Who is alive is known from PostgreSQL, whatever Redis says."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from django.db import OperationalError, connections

from bridge_project.lib.types import JsonObject
from conversations import heartbeats, housekeeping, worker
from conversations.heartbeats import Pulse
from conversations.models import Heartbeat

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


def seconds(count: float) -> timedelta:
    return timedelta(seconds=count)


def wait_for(is_so: Callable[[], bool]) -> None:
    """The test's own time limit ends it when that never happens."""
    while not is_so():
        threading.Event().wait(0.01)


def note(name: str, *, ago_s: float, started_s: float = 3600.0) -> None:
    heartbeats.note_worker(
        name,
        started_at=NOW - seconds(started_s),
        now=NOW - seconds(ago_s),
        details={"turns": 3},
    )


@pytest.mark.django_db
def test_a_worker_is_alive_for_a_minute_after_its_last_sign() -> None:
    note("a:1", ago_s=59, started_s=10)
    note("b:1", ago_s=1, started_s=20)
    note("c:1", ago_s=60)

    assert [row.name for row in heartbeats.workers(NOW)] == ["b:1", "a:1"]
    assert heartbeats.alive(NOW) == heartbeats.workers(NOW)


@pytest.mark.django_db
def test_a_worker_has_one_row() -> None:
    note("a:1", ago_s=30, started_s=100)
    note("a:1", ago_s=0, started_s=5)

    row = Heartbeat.objects.get()
    assert (row.kind, row.beat_at, row.started_at) == (
        "worker",
        NOW,
        NOW - seconds(5),
    )
    assert row.details == {"turns": 3}


@pytest.mark.django_db
def test_what_was_silent_for_a_day_is_forgotten() -> None:
    note("dead:1", ago_s=24 * 3600 + 1)
    note("dying:1", ago_s=24 * 3600 - 1)

    note("a:1", ago_s=0)

    names = Heartbeat.objects.order_by("name").values_list("name", flat=True)
    assert list(names) == ["a:1", "dying:1"]


@pytest.mark.django_db
def test_beat_is_alive_for_two_minutes_after_its_last_task() -> None:
    assert heartbeats.beat(NOW) is None
    assert heartbeats.last_beat() is None

    heartbeats.note_beat(now=NOW - seconds(119), by="a:1")
    found = heartbeats.beat(NOW)
    assert found is not None
    assert (found.name, found.details) == ("beat", {"worker": "a:1"})
    assert heartbeats.alive(NOW) == [found]

    assert heartbeats.beat(NOW + seconds(1)) is None
    assert heartbeats.last_beat() == found


@pytest.mark.django_db
def test_beat_counts_as_started_anew_after_a_silence() -> None:
    heartbeats.note_beat(now=NOW, by="a:1")
    heartbeats.note_beat(now=NOW + seconds(30), by="a:1")
    assert Heartbeat.objects.get().started_at == NOW

    heartbeats.note_beat(now=NOW + seconds(200), by="b:1")

    row = Heartbeat.objects.get()
    assert row.started_at == row.beat_at == NOW + seconds(200)


@pytest.mark.django_db
def test_the_task_of_beat_says_which_worker_heard_it() -> None:
    housekeeping.note_beat()

    found = heartbeats.last_beat()
    assert found is not None
    assert found.details == {"worker": heartbeats.own_name()}


@pytest.mark.django_db(transaction=True)
def test_a_worker_notes_itself_from_its_start_to_its_end() -> None:
    pulse = Pulse(every_s=0.01)
    pulse.start(lambda: {"turns": 1})
    wait_for(Heartbeat.objects.exists)
    first = Heartbeat.objects.get()
    rows = Heartbeat.objects.filter(beat_at__gt=first.beat_at)
    wait_for(rows.exists)

    pulse.stop()
    pulse.stop()

    assert first.name == heartbeats.own_name()
    assert first.details == {"turns": 1}
    assert not Heartbeat.objects.exists()
    connections.close_all()


@pytest.mark.django_db(transaction=True)
def test_a_worker_goes_on_after_an_outage_of_the_database(
    caplog: pytest.LogCaptureFixture,
) -> None:
    calls = []

    def details() -> JsonObject:
        calls.append(1)
        if len(calls) < 3:
            raise OperationalError("the server is away")
        return {}

    pulse = Pulse(every_s=0.01)
    pulse.start(details)
    wait_for(Heartbeat.objects.exists)
    pulse.stop()

    assert caplog.text.count("The sign of life could not be written") == 2
    connections.close_all()


def test_a_worker_tells_what_it_is() -> None:
    """Celery names the pool first, and has imported it later."""
    given = {"hostname": "celery@host", "concurrency": 1000}

    early = worker.describe(SimpleNamespace(pool_cls="gevent", **given))
    late = worker.describe(SimpleNamespace(pool_cls=threading.Thread, **given))

    assert early == {
        "node": "celery@host",
        "version": "1",
        "pool": "gevent",
        "concurrency": 1000,
        "turns": 0,
        "jobs": 0,
    }
    assert late["pool"] == "threading"
