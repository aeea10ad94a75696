"""Jobs are done item by item, whoever dies meanwhile, and end as they were told to."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest
from django.db import OperationalError, connections
from django.utils import timezone, translation

from bridge_project.lib.errors import ConfigurationError
from conversations import jobs, tasks
from conversations.jobs import engine, orders
from conversations.jobs.kinds import KINDS
from conversations.leases import LeaseKeeper, Watch
from conversations.models import AuditEntry, Job, JobItem
from conversations.sweeper import Sweeper
from conversations.tests.conftest import Queue
from conversations.tests.factories import make_account

Run = Callable[[JobItem], jobs.Outcome]


@pytest.fixture
def kind(monkeypatch: pytest.MonkeyPatch) -> Callable[[Run], None]:
    """Register what the kind "count" does."""

    def register(run: Run) -> None:
        known = jobs.Kind(name="count", title="Count", run=run)
        monkeypatch.setitem(KINDS, "count", known)

    register(lambda item: done(item.title))
    return register


def done(text: str = "") -> jobs.Outcome:
    return jobs.Outcome(JobItem.Status.DONE, text)


def begin(count: int = 3) -> Job:
    items = [jobs.Item(title=f"#{n}", arguments={"id": n}) for n in range(count)]
    return jobs.start("count", items=items, actor="lena")


def outcomes(job: Job) -> list[tuple[str, str]]:
    rows = job.items.order_by("position")
    return list(rows.values_list("status", "outcome"))


def state(job: Job) -> str:
    job.refresh_from_db()
    return job.status


def left_by_a_dead_worker(job: Job) -> None:
    long_ago = timezone.now() - timedelta(hours=1)
    Job.objects.filter(pk=job.pk).update(status="waiting")
    assert Job.objects.claim(job.pk, now=long_ago) is not None


@pytest.mark.django_db(transaction=True)
def test_an_order_is_stored_recorded_and_wakes_a_worker(
    kind: object, queue: Queue
) -> None:
    account = make_account()
    items = [jobs.Item(title="#12", arguments={"id": 5}), jobs.Item(title="#13")]

    job = jobs.start(
        "count", items=items, actor="lena", account=account, arguments={"force": True}
    )

    assert queue.tasks() == [("run_job", [job.pk])]
    assert (job.status, job.total, job.account, job.actor) == (
        "waiting",
        2,
        account,
        "lena",
    )
    assert job.arguments["force"] is True
    rows = job.items.order_by("position")
    assert [(row.position, row.title, row.arguments) for row in rows] == [
        (0, "#12", {"id": 5}),
        (1, "#13", {}),
    ]
    entry = AuditEntry.objects.get()
    assert (entry.verb, entry.actor, entry.account) == ("started_job", "lena", account)
    assert entry.details == {"job": job.pk, "kind": "count", "items": 2}


@pytest.mark.django_db
def test_an_order_of_an_unknown_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="unheard_of"):
        jobs.start("unheard_of", items=[], actor="lena")

    assert not Job.objects.exists()


@pytest.mark.django_db
def test_items_are_done_in_their_order_with_what_they_need(
    kind: Callable[[Run], None],
) -> None:
    seen: list[tuple[object, str]] = []

    def run(item: JobItem) -> jobs.Outcome:
        seen.append((item.arguments["id"], item.job.actor))
        return jobs.Outcome(
            JobItem.Status.SKIPPED if item.position == 1 else JobItem.Status.DONE,
            f"{item.title} seen",
        )

    kind(run)
    job = begin(3)

    assert jobs.work(job.pk) == "done"

    assert seen == [(0, "lena"), (1, "lena"), (2, "lena")]
    assert outcomes(job) == [
        ("done", "#0 seen"),
        ("skipped", "#1 seen"),
        ("done", "#2 seen"),
    ]
    job.refresh_from_db()
    assert (job.status, job.lease, job.error) == ("done", None, "")
    assert job.started_at is not None
    assert job.finished_at is not None
    assert jobs.work(job.pk) == engine.NOTHING_TO_DO


@pytest.mark.django_db
def test_a_job_without_items_is_done_at_once(kind: object) -> None:
    assert jobs.work(begin(0).pk) == "done"


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ConfigurationError("The bot has no Dify app."), "The bot has no Dify app."),
        (KeyError("secret"), "The bridge itself failed; the worker's log says more."),
    ],
)
def test_a_failure_is_that_items_alone(
    kind: Callable[[Run], None], error: Exception, text: str
) -> None:
    def run(item: JobItem) -> jobs.Outcome:
        if item.position == 0:
            raise error
        return done("well")

    kind(run)
    job = begin(2)

    assert jobs.work(job.pk) == "done"

    (first, second) = outcomes(job)
    assert first[0] == "failed"
    assert first[1].startswith(text)
    assert "secret" not in first[1]
    assert second == ("done", "well")


@pytest.mark.django_db
def test_a_text_that_postgresql_cannot_store_is_no_failure(
    kind: Callable[[Run], None],
) -> None:
    kind(lambda item: done("a\x00b" + "c" * 5000))
    job = begin(1)

    assert jobs.work(job.pk) == "done"
    assert outcomes(job) == [("done", "ab" + "c" * 1998)]


@pytest.mark.django_db
def test_the_report_speaks_the_language_of_who_ordered_it(
    kind: Callable[[Run], None],
) -> None:
    kind(lambda item: done(translation.get_language()))
    with translation.override("ru"):
        job = begin(1)

    jobs.work(job.pk)

    assert outcomes(job) == [("done", "ru")]


@pytest.mark.django_db
def test_a_kind_that_this_version_does_not_know_ends_the_job(
    kind: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = begin(2)
    monkeypatch.delitem(KINDS, "count")

    assert jobs.work(job.pk) == "failed"

    job.refresh_from_db()
    assert "does not know “count”" in job.error
    assert outcomes(job) == [("waiting", ""), ("waiting", "")]


@pytest.mark.django_db
def test_a_job_grows_while_it_runs(kind: Callable[[Run], None]) -> None:
    def run(item: JobItem) -> jobs.Outcome:
        if item.position == 0:
            jobs.add_items(item.job, [jobs.Item(title="more")])
        return done()

    kind(run)
    job = begin(1)

    assert jobs.work(job.pk) == "done"

    job.refresh_from_db()
    assert job.total == 2
    assert list(job.items.values_list("title", "status").order_by("position")) == [
        ("#0", "done"),
        ("more", "done"),
    ]
    with pytest.raises(ValueError, match="over"):
        jobs.add_items(job, [jobs.Item(title="too late")])


@pytest.mark.django_db(transaction=True)
def test_items_that_are_added_in_the_last_moment_are_done(
    kind: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the look that found nothing left and the end of the job."""
    job = begin(1)
    look = engine._next_item
    added: list[int] = []

    def look_and_add(row: Job) -> JobItem | None:
        found = look(row)
        if found is None and not added:
            same = Job.objects.get(pk=row.pk)
            added.append(jobs.add_items(same, [jobs.Item(title="late")]))
        return found

    monkeypatch.setattr(engine, "_next_item", look_and_add)

    assert jobs.work(job.pk) == "done"
    assert [status for status, _text in outcomes(job)] == ["done", "done"]


# --- Stop ---------------------------------------------------------------------------


@pytest.mark.django_db
def test_a_stop_ends_the_job_after_the_item_that_is_being_done(
    kind: Callable[[Run], None],
) -> None:
    def run(item: JobItem) -> jobs.Outcome:
        if item.position == 1:
            assert jobs.stop(item.job, by="boris") is True
            assert jobs.stop(item.job, by="boris") is False
        return done()

    kind(run)
    job = begin(3)

    assert jobs.work(job.pk) == "stopped"

    assert [status for status, _text in outcomes(job)] == ["done", "done", "waiting"]
    entry = AuditEntry.objects.get(verb="stopped_job")
    assert (entry.actor, entry.details) == ("boris", {"job": job.pk, "kind": "count"})
    assert jobs.stop(job, by="boris") is False


@pytest.mark.django_db
def test_a_stop_before_the_start_ends_the_job_at_once(kind: object) -> None:
    job = begin(1)

    assert jobs.stop(job, by="boris") is True

    assert state(job) == "stopped"
    assert job.finished_at is not None
    assert jobs.work(job.pk) == engine.NOTHING_TO_DO
    assert outcomes(job) == [("waiting", "")]


@pytest.mark.django_db
def test_a_stop_counts_for_a_job_whose_worker_died(kind: object) -> None:
    job = begin(2)
    left_by_a_dead_worker(job)
    jobs.stop(job, by="boris")

    assert jobs.work(job.pk) == "stopped"
    assert [status for status, _text in outcomes(job)] == ["waiting", "waiting"]


# --- Death, shutdown, two at once ---------------------------------------------------


@pytest.mark.django_db
def test_another_worker_goes_on_where_a_dead_one_was(
    kind: Callable[[Run], None],
) -> None:
    seen: list[int] = []

    def run(item: JobItem) -> jobs.Outcome:
        seen.append(item.position)
        return done()

    kind(run)
    job = begin(3)
    job.items.filter(position=0).update(status="done", outcome="by the dead one")
    left_by_a_dead_worker(job)

    assert jobs.due(timezone.now() + timedelta(seconds=6)) == [job.pk]
    assert jobs.work(job.pk) == "done"

    assert seen == [1, 2]
    assert outcomes(job)[0] == ("done", "by the dead one")


@pytest.mark.django_db
def test_what_ends_every_worker_is_left_out(kind: object) -> None:
    job = begin(2)
    job.items.filter(position=0).update(status="done")
    for _ in range(engine.DEADLY_AFTER - 1):
        left_by_a_dead_worker(job)
        claim = Job.objects.claim(job.pk, now=timezone.now())
        assert claim is not None
        watch = Watch()
        engine._Going(job.pk, lease=claim.lease, watch=watch).count_death()
    assert outcomes(job)[1] == ("waiting", "")
    left_by_a_dead_worker(job)

    assert jobs.work(job.pk) == "done"
    assert outcomes(job)[1][0] == "failed"
    assert outcomes(job)[1][1].startswith("5 workers ended while they did this")


@pytest.mark.django_db
def test_a_job_that_is_being_done_is_nobody_elses(kind: object) -> None:
    job = begin(1)
    assert Job.objects.claim(job.pk, now=timezone.now()) is not None

    assert jobs.work(job.pk) == engine.NOTHING_TO_DO
    assert jobs.due(timezone.now() + timedelta(seconds=20)) == []


@pytest.mark.django_db
def test_a_worker_that_lost_its_job_writes_no_result(
    kind: Callable[[Run], None],
) -> None:
    def run(item: JobItem) -> jobs.Outcome:
        late = timezone.now() + timedelta(hours=1)
        assert Job.objects.claim(item.job_id, now=late) is not None
        return done("by the one that lost it")

    kind(run)
    job = begin(2)

    assert jobs.work(job.pk) == engine.LOST

    assert outcomes(job) == [("waiting", ""), ("waiting", "")]
    assert state(job) == "running"


@pytest.mark.django_db(transaction=True)
def test_a_worker_that_ends_hands_its_job_on(
    kind: Callable[[Run], None], queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    ending = LeaseKeeper(engine._JobLeases(), every_s=3600.0)
    monkeypatch.setattr(engine, "keeper", ending)

    def run(item: JobItem) -> jobs.Outcome:
        ending.shut_down()
        return done("the last of this worker")

    kind(run)
    job = begin(2)
    queue.redis.flushdb()

    assert jobs.run_job(job.pk) == engine.LET_GO

    assert outcomes(job) == [("done", "the last of this worker"), ("waiting", "")]
    assert state(job) == "waiting"
    assert queue.tasks() == [("run_job", [job.pk])]
    # It takes nothing new, and does not send its own message round and round.
    assert jobs.run_job(job.pk) == engine.NOTHING_TO_DO
    assert queue.tasks() == [("run_job", [job.pk])]


@pytest.mark.django_db
def test_a_database_that_fails_leaves_the_job_to_be_gone_on_with(
    kind: Callable[[Run], None],
) -> None:
    def run(item: JobItem) -> jobs.Outcome:
        raise OperationalError

    kind(run)
    job = begin(1)

    with pytest.raises(OperationalError):
        jobs.work(job.pk)

    assert state(job) == "running"
    assert outcomes(job) == [("waiting", "")]
    assert jobs.due(timezone.now() + timedelta(seconds=31)) == [job.pk]


@pytest.mark.django_db(transaction=True)
def test_two_workers_at_once_do_each_item_once(kind: Callable[[Run], None]) -> None:
    seen: list[tuple[int, str]] = []
    second_has_tried = threading.Event()

    def run(item: JobItem) -> jobs.Outcome:
        assert second_has_tried.wait(timeout=20)
        seen.append((item.position, threading.current_thread().name))
        return done()

    kind(run)
    job = begin(5)
    results: list[str] = []

    def worker() -> None:
        results.append(jobs.work(job.pk))
        second_has_tried.set()
        connections.close_all()

    threads = [threading.Thread(target=worker) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)

    assert sorted(results) == ["done", engine.NOTHING_TO_DO]
    assert [position for position, _name in seen] == [0, 1, 2, 3, 4]
    assert len({name for _position, name in seen}) == 1


@pytest.mark.django_db(transaction=True)
def test_a_long_item_keeps_its_lease(
    kind: Callable[[Run], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The keeper's thread renews what would otherwise look abandoned."""
    monkeypatch.setattr(
        engine, "keeper", LeaseKeeper(engine._JobLeases(), every_s=0.01)
    )

    def run(item: JobItem) -> jobs.Outcome:
        rows = Job.objects.filter(pk=item.job_id)
        rows.update(lease_expires_at=timezone.now() - timedelta(seconds=1))
        while rows.filter(lease_expires_at__lt=timezone.now()).exists():
            threading.Event().wait(0.01)
        return done("renewed")

    kind(run)
    job = begin(1)

    assert jobs.work(job.pk) == "done"
    assert outcomes(job) == [("done", "renewed")]


# --- Without Redis ------------------------------------------------------------------


@pytest.fixture
def sweeper() -> Iterator[Sweeper]:
    made = Sweeper(every_s=3600.0)
    yield made
    made.wait()
    connections.close_all()


@pytest.mark.django_db(transaction=True)
def test_the_workers_sweep_finds_what_redis_forgot(
    kind: object, sweeper: Sweeper
) -> None:
    job = begin(2)
    assert sweeper.sweep() == 0, "it may be on its way through Redis"
    Job.objects.update(created_at=timezone.now() - timedelta(minutes=1))

    assert sweeper.sweep() == 1
    sweeper.wait()

    assert state(job) == "done"


@pytest.mark.django_db(transaction=True)
def test_a_worker_without_redis_does_it_itself(
    kind: object, sweeper: Sweeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks.publisher, "_silent_until", float("inf"))
    sweeper.start()

    job = begin(1)
    for pool in sweeper._pools.values():
        pool.submit(int).result()
    sweeper.wait()

    assert state(job) == "done"


@pytest.mark.django_db
def test_many_items_are_stored_in_batches(
    kind: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(orders, "BATCH", 2)

    job = begin(5)

    rows = job.items.order_by("position")
    assert list(rows.values_list("title", flat=True)) == ["#0", "#1", "#2", "#3", "#4"]
