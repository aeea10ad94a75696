"""The page of workers and queue, and the way between tasks and what they were about."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest
from celery import Celery, current_app
from celery.app.task import Context
from django.conf import settings as django_settings
from django.contrib.auth.models import Group, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone
from django_celery_results.models import TaskResult

from access.roles import AUDITOR
from bridge_project.celery import app
from bridge_project.lib.admin_base import admin_url
from bridge_project.lib.types import JsonObject
from conversations import heartbeats, tasks
from conversations.admin import broker, task_results
from conversations.admin.celery import oldest, schedule
from conversations.models import Bot, Job, Turn
from conversations.tests.conftest import Queue
from conversations.tests.factories import (
    make_conversation,
    make_event,
    make_turn,
    message_payload,
)

pytestmark = pytest.mark.django_db

PAGE, STATE, ANSWERS = (
    reverse(f"bridge:{name}") for name in ("celery", "celery-state", "celery-answers")
)
RESULTS = reverse("admin:django_celery_results_taskresult_changelist")


def make_result(name: str, argument: object, **values: object) -> TaskResult:
    number = TaskResult.objects.count() + 1
    stored = {"task_id": f"id-{number}", "task_name": name, "status": "FAILURE"}
    return TaskResult.objects.create(
        **{**stored, "task_args": f'"({argument},)"', **values}
    )


def note_worker(name: str = "host:1", *, ago_s: float = 1, version: str = "1") -> None:
    now = timezone.now()
    heartbeats.note_worker(
        name,
        started_at=now - timedelta(hours=1),
        now=now - timedelta(seconds=ago_s),
        details={
            "version": version,
            "pool": "gevent",
            "concurrency": 1000,
            "turns": 7,
            "jobs": 0,
        },
    )


@pytest.fixture
def _without_redis(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nobody listens where Redis should be."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = f"redis://127.0.0.1:{probe.getsockname()[1]}/0"
    monkeypatch.setattr(django_settings, "REDIS_URL", url)
    lonely = Celery(broker=url, set_as_current=False)
    lonely.conf.broker_transport_options = (
        django_settings.CELERY_BROKER_TRANSPORT_OPTIONS
    )
    lonely.set_current()
    yield
    app.set_current()


# --- Workers, beat, queue -----------------------------------------------------------


def test_the_page_shows_who_is_alive(admin_client: Client, queue: Queue) -> None:
    note_worker("host:1")
    note_worker("dead:1", ago_s=61)
    heartbeats.note_beat(now=timezone.now(), by="host:1")

    response = admin_client.get(PAGE)

    text = response.content.decode()
    assert "host:1" in text
    assert "dead:1" not in text
    assert "gevent" in text
    assert "alive" in text
    assert [row.name for row, _age in response.context["workers"]] == ["host:1"]
    assert "different versions" not in text


def test_without_workers_it_says_what_that_means(
    admin_client: Client, queue: Queue
) -> None:
    text = admin_client.get(PAGE).content.decode()

    assert "No worker is alive: nobody is answered." in text
    assert "never heard of" in text


def test_workers_of_different_versions_are_named(
    admin_client: Client, queue: Queue
) -> None:
    note_worker("old:1", version="1.0")
    note_worker("new:1", version="1.1")

    text = admin_client.get(PAGE).content.decode()

    assert "They are of different versions: 1.0, 1.1." in text


def test_a_silent_beat_is_shown_as_such(admin_client: Client, queue: Queue) -> None:
    heartbeats.note_beat(now=timezone.now() - timedelta(minutes=5), by="host:1")

    assert "silent" in admin_client.get(STATE).content.decode()


def test_the_queue_is_counted(queue: Queue) -> None:
    for number in range(3):
        tasks.wake_turn(number)
    queue.redis.hset("unacked", mapping={"a": "1", "b": "2"})

    assert broker.queue() == broker.Queue(waiting=3, taken=2)
    queue.redis.flushdb()


def test_the_part_that_is_asked_for_again_is_a_part(
    admin_client: Client, queue: Queue
) -> None:
    text = admin_client.get(STATE).content.decode()

    assert f'hx-get="{STATE}" hx-trigger="every 5s"' in text
    assert "<html" not in text


@pytest.mark.usefixtures("_without_redis")
def test_without_redis_it_says_what_that_means(admin_client: Client) -> None:
    note_worker()

    state = admin_client.get(STATE).content.decode()
    answers = admin_client.get(ANSWERS).content.decode()

    assert "Redis is away. Nothing is lost" in state
    assert "host:1" in state
    assert "Redis is away, so nobody can be asked." in answers


def test_workers_that_do_not_answer_are_no_error(
    admin_client: Client, queue: Queue
) -> None:
    text = admin_client.get(ANSWERS).content.decode()

    assert "No worker has answered within a second." in text


def test_the_oldest_of_what_waits_is_linked(
    bot: Bot, payload: Callable[[str], JsonObject]
) -> None:
    now = timezone.now()
    sample = message_payload(payload("message_created_incoming_text"))
    events = [
        make_event(bot.account, sample, received_at=now - timedelta(seconds=age_s))
        for age_s in (5, 90)
    ]
    turn = make_turn(
        make_conversation(bot), bot, next_attempt_at=now - timedelta(seconds=30)
    )

    (event_row, turn_row) = oldest(now)

    assert event_row[1] == "90.0 s"
    assert admin_url(events[1]) in event_row[2]
    assert turn_row[1] == "30.0 s"
    assert admin_url(turn) in turn_row[2]


def test_nothing_waits() -> None:
    assert [(row[1], row[2]) for row in oldest(timezone.now())] == [
        ("", "none waits"),
        ("", "none waits"),
    ]


# --- Schedule -----------------------------------------------------------------------


def done(name: str, at: datetime, **values: object) -> TaskResult:
    result = make_result(f"conversations.housekeeping.{name}", "", **values)
    TaskResult.objects.filter(pk=result.pk).update(date_done=at)
    return result


def test_the_schedule_names_everything_that_beat_sends() -> None:
    rows = schedule(timezone.now())

    assert {row.name for row in rows} == {
        entry["task"] for entry in django_settings.CELERY_BEAT_SCHEDULE.values()
    }
    assert {row.name for row in rows} <= set(task_results.TASK_WORDS)
    assert [row.last_at for row in rows] == [None] * len(rows)
    assert {row.is_late for row in rows} == {False}


def test_the_schedule_says_when_it_was_done_and_when_again() -> None:
    now = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
    done("prune", now - timedelta(minutes=90), status="SUCCESS")
    newest = done("prune", now - timedelta(minutes=20), status="SUCCESS")
    done("probe_services", now - timedelta(minutes=5))
    heartbeats.note_beat(now=now - timedelta(seconds=10), by="host:1")

    rows = {row.name.rpartition(".")[2]: row for row in schedule(now)}

    prune = rows["prune"]
    assert prune.period == "every hour"
    assert prune.last_at == now - timedelta(minutes=20)
    assert prune.next_at == now + timedelta(minutes=40)
    assert not prune.is_late
    assert admin_url(newest) in prune.last
    assert "succeeded" in prune.last
    assert rows["probe_services"].is_late
    assert rows["probe_services"].period == "every 30 seconds"
    assert "failed" in rows["probe_services"].last
    assert rows["note_beat"].last_at == now - timedelta(seconds=10)


def test_the_page_costs_the_same_with_many_results(
    admin_client: Client, queue: Queue
) -> None:
    costs = []
    for count in (1, 30):
        for _ in range(count):
            done("prune", timezone.now())
        admin_client.get(STATE)
        with CaptureQueriesContext(connection) as queries:
            admin_client.get(STATE)
        costs.append(len(queries))

    assert costs[0] == costs[1]


# --- From a task to what it was about, and back -------------------------------------


def test_a_failed_task_is_found_from_its_turn_and_leads_back(
    admin_client: Client, turn: Turn
) -> None:
    event = turn.events.get()
    of_turn = make_result(task_results.RUN_TURN, turn.pk)
    of_event = make_result(task_results.PROCESS_EVENT, event.pk)
    strangers = [
        make_result(task_results.RUN_TURN, turn.pk + 1),
        make_result(task_results.PROCESS_EVENT, event.pk + 1),
        make_result(task_results.RUN_JOB, turn.pk),
    ]

    page = admin_client.get(admin_url(turn)).content.decode()

    for result in (of_turn, of_event):
        assert admin_url(result) in page
    for result in strangers:
        assert admin_url(result) not in page
    assert admin_url(turn) in admin_client.get(admin_url(of_turn)).content.decode()
    assert admin_url(event) in admin_client.get(admin_url(of_event)).content.decode()


def test_a_failed_job_leads_to_the_job() -> None:
    job = Job.objects.create(kind="count", actor="lena")

    assert task_results.subject_of(make_result(task_results.RUN_JOB, job.pk)) == job


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        (task_results.RUN_TURN, '"(999999,)"'),
        (task_results.RUN_TURN, '"()"'),
        (task_results.RUN_TURN, None),
        (task_results.RUN_TURN, '"(1, 2)"'),
        (task_results.RUN_TURN, '"(99999999999999999999999,)"'),
        ("somebody.elses.task", '"(1,)"'),
        (None, None),
    ],
)
def test_a_task_about_nothing_that_is_stored_has_a_page(
    admin_client: Client, name: str | None, arguments: str | None
) -> None:
    result = make_result("", 0, task_name=name, task_args=arguments)

    assert task_results.subject_of(result) is None
    assert admin_client.get(admin_url(result)).status_code == 200


def test_a_turn_says_that_only_failures_are_kept(
    admin_client: Client, turn: Turn
) -> None:
    assert (
        "Only failures are kept" in admin_client.get(admin_url(turn)).content.decode()
    )


def test_results_are_found_by_the_number_of_their_turn(admin_client: Client) -> None:
    mine = make_result(task_results.RUN_TURN, 4711)
    make_result(task_results.RUN_TURN, 47)

    for text in ("4711", "#4711", "id-1"):
        found = admin_client.get(RESULTS, {"q": text}).context["cl"].result_list
        assert list(found) == [mine]
    assert admin_client.get(RESULTS, {"q": "no"}).context["cl"].result_count == 0


def test_results_are_filtered_by_their_task(admin_client: Client) -> None:
    make_result(task_results.RUN_TURN, 1)
    job = make_result(task_results.RUN_JOB, 1)

    found = admin_client.get(RESULTS, {"task": task_results.RUN_JOB}).context["cl"]

    assert list(found.result_list) == [job]


def test_celery_stores_arguments_as_we_look_for_them(turn: Turn) -> None:
    """What its result backend makes of a real message's headers."""
    message = current_app.amqp.as_task_v2("an-id", tasks.run_turn.name, (turn.pk,))
    request = Context({**message.headers, "hostname": "host"})

    current_app.backend.store_result(
        "an-id", ValueError("no"), "FAILURE", request=request
    )

    (found,) = task_results.about_turn(turn.pk, event_ids=[])
    assert found.task_id == "an-id"


def test_the_index_serves_the_way_from_a_turn() -> None:
    TaskResult.objects.bulk_create(
        TaskResult(
            task_id=f"many-{number}",
            task_name=task_results.RUN_TURN,
            task_args=f'"({number},)"',
        )
        for number in range(1000)
    )
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE django_celery_results_taskresult")
    rows = task_results.with_argument([1]).filter(task_name=task_results.RUN_TURN)

    assert "bridge_taskresult_args" in rows.order_by("-id")[:20].explain()


# --- Who may ------------------------------------------------------------------------


def test_who_may_see_task_results_may_see_the_page(queue: Queue) -> None:
    auditor = User.objects.create_user("auditor", is_staff=True)
    auditor.groups.add(Group.objects.get(name=AUDITOR))
    nobody = User.objects.create_user("nobody", is_staff=True)
    for person, code in ((auditor, 200), (nobody, 403)):
        client = Client()
        client.force_login(person)
        for url in (PAGE, STATE, ANSWERS):
            assert client.get(url).status_code == code
    assert Client().get(PAGE).status_code == 302
