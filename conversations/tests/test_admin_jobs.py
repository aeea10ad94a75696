"""The page of a job: how far it is, what came of it, and how it is stopped."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest
from django.contrib.auth.models import Group, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from access.roles import AUDITOR, OPERATOR
from bridge_project.lib.admin_base import admin_url
from conversations import jobs, retention
from conversations.admin import job_report
from conversations.jobs.kinds import KINDS
from conversations.models import AuditEntry, Job, JobItem

pytestmark = pytest.mark.django_db

LIST = reverse("admin:conversations_job_changelist")


@pytest.fixture(autouse=True)
def _kind(monkeypatch: pytest.MonkeyPatch) -> None:
    kind = jobs.Kind(
        name="count",
        title="Count sheep",
        run=lambda item: jobs.Outcome(JobItem.Status.DONE, "counted"),
    )
    monkeypatch.setitem(KINDS, "count", kind)


@pytest.fixture
def login() -> Callable[[str], Client]:
    """Return a browser of somebody with a role."""

    def enter(role: str) -> Client:
        person = User.objects.create_user("lena", password="x", is_staff=True)
        person.groups.add(Group.objects.get(name=role))
        client = Client()
        client.force_login(person)
        return client

    return enter


def make_job(*statuses: str, **values: object) -> Job:
    items = [jobs.Item(title=f"#{n}") for n, _status in enumerate(statuses)]
    job = jobs.start("count", items=items, actor="lena")
    for position, status in enumerate(statuses):
        text = "" if status == "waiting" else f"result {position}"
        job.items.filter(position=position).update(status=status, outcome=text)
    Job.objects.filter(pk=job.pk).update(**values)
    job.refresh_from_db()
    return job


def running(*statuses: str) -> Job:
    started = timezone.now() - timedelta(seconds=10)
    return make_job(*statuses, status="running", started_at=started)


def url(job: Job, name: str) -> str:
    return reverse(f"admin:conversations_job_{name}", args=[job.pk])


def titles(response: object) -> list[str]:
    items = response.context["items"]  # type: ignore[attr-defined]
    return [item.title for item, _label in items]


def test_the_list_says_what_how_far_and_who(admin_client: Client) -> None:
    running("done", "failed", "waiting")
    make_job("done", "failed", status="done")

    text = admin_client.get(LIST).content.decode()

    assert "Count sheep" in text
    assert "2 of 3" in text
    assert "2 of 2" in text
    assert "done, with failures" in text
    assert "lena" in text


def test_the_list_costs_the_same_for_many(admin_client: Client) -> None:
    costs = []
    for count in (1, 10):
        for _ in range(count):
            running("done", "failed", "waiting")
        admin_client.get(LIST)
        with CaptureQueriesContext(connection) as queries:
            admin_client.get(LIST)
        costs.append(len(queries))

    assert costs[0] == costs[1]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("kind=count", 1),
        ("kind=nothing", 0),
        ("status__exact=done", 1),
        ("q=lena", 1),
        ("q=len", 0),
        ("q=999999999", 0),
    ],
)
def test_the_list_is_searched_and_filtered(
    admin_client: Client, query: str, found: int
) -> None:
    make_job("done", status="done")

    response = admin_client.get(f"{LIST}?{query}")

    assert response.context["cl"].result_count == found


def test_a_job_is_found_by_its_number(admin_client: Client) -> None:
    job = make_job()
    make_job()

    response = admin_client.get(LIST, {"q": f"#{job.pk}"})

    assert [row.pk for row in response.context["cl"].result_list] == [job.pk]


def test_a_job_that_goes_on_shows_how_far_it_is_and_asks_again(
    admin_client: Client,
) -> None:
    job = running("done", "skipped", "failed", "waiting")

    text = admin_client.get(admin_url(job)).content.decode()

    assert f'hx-get="{url(job, "progress")}"' in text
    assert 'aria-valuenow="75"' in text
    assert "3 of 4" in text
    assert "Report so far" in text
    assert url(job, "stop") in text


def test_the_progress_is_a_part_of_the_page(admin_client: Client) -> None:
    job = running("done", "waiting")

    response = admin_client.get(url(job, "progress"))

    text = response.content.decode()
    assert text.lstrip().startswith('<div id="job-progress" hx-get=')
    assert 'aria-valuenow="50"' in text
    assert "<html" not in text
    assert not response.has_header("HX-Refresh")


@pytest.mark.parametrize("status", ["done", "stopped", "failed"])
def test_when_it_is_over_the_whole_page_is_loaded_once_more(
    admin_client: Client, status: str
) -> None:
    job = make_job("done", status=status, finished_at=timezone.now())

    response = admin_client.get(url(job, "progress"))

    assert response["HX-Refresh"] == "true"
    assert "hx-get" not in response.content.decode()
    page = admin_client.get(admin_url(job)).content.decode()
    assert "hx-get" not in page.partition('id="job-progress"')[2][:300]
    assert url(job, "stop") not in page


def test_the_page_leads_to_the_audit(admin_client: Client) -> None:
    job, _other = running("waiting"), running("waiting")
    jobs.stop(job, by="boris")
    job.refresh_from_db()
    entries = AuditEntry.objects.filter(details__job=job.pk).order_by("pk")

    response = admin_client.get(admin_url(job))

    links = response.context["audit_links"]
    assert [admin_url(entry) in str(links) for entry in entries] == [True, True]
    assert len(links) == 2


def test_a_job_without_items_is_shown_as_done(admin_client: Client) -> None:
    job = make_job(status="done")

    text = admin_client.get(admin_url(job)).content.decode()

    assert 'aria-valuenow="100"' in text
    assert "There was nothing to do." in text


def test_a_job_of_an_unknown_kind_is_shown_by_its_name(admin_client: Client) -> None:
    job = make_job("waiting", kind="of_tomorrow", status="failed", error="Not known.")

    text = admin_client.get(admin_url(job)).content.decode()

    assert "of_tomorrow" in text
    assert "Not known." in text


def test_the_report_begins_with_the_failures(admin_client: Client) -> None:
    job = make_job("done", "waiting", "skipped", "failed", "done", status="stopped")

    assert titles(admin_client.get(admin_url(job))) == ["#3", "#2", "#0", "#4", "#1"]
    assert titles(admin_client.get(admin_url(job), {"show": "done"})) == ["#0", "#4"]
    assert len(titles(admin_client.get(admin_url(job), {"show": "nonsense"}))) == 5


def pages(client: Client, job: Job, **query: str) -> Iterator[list[str]]:
    address = admin_url(job)
    response = client.get(address, query)
    yield titles(response)
    while response.context["next_url"]:
        response = client.get(address + response.context["next_url"])
        yield titles(response)


def test_a_long_report_is_read_page_by_page(
    admin_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_report, "PER_PAGE", 2)
    job = make_job("done", "failed", "skipped", "done", "failed", "failed")

    assert list(pages(admin_client, job)) == [["#1", "#4"], ["#5", "#2"], ["#0", "#3"]]
    assert list(pages(admin_client, job, show="failed")) == [["#1", "#4"], ["#5"]]


@pytest.mark.parametrize("key", ["nonsense", "failed-", "failed--1", "x-1", "done-9e9"])
def test_a_made_up_place_in_the_report_is_its_beginning(
    admin_client: Client, key: str
) -> None:
    job = make_job("done", "failed")

    response = admin_client.get(admin_url(job), {"after": key})

    assert titles(response) == ["#1", "#0"]


def test_a_report_costs_the_same_for_many_items(admin_client: Client) -> None:
    costs = []
    for count in (2, 20):
        job = running(*["done"] * count, "waiting")
        admin_client.get(admin_url(job))
        with CaptureQueriesContext(connection) as queries:
            admin_client.get(admin_url(job))
        costs.append(len(queries))

    assert costs[0] == costs[1]


# --- Stop, and who may --------------------------------------------------------------


def test_an_operator_stops_a_job(login: Callable[[str], Client]) -> None:
    job = running("done", "waiting")
    client = login(OPERATOR)

    response = client.post(url(job, "stop"), follow=True)

    job.refresh_from_db()
    assert job.stop_wanted_at is not None
    assert response.redirect_chain == [(admin_url(job), 302)]
    text = response.content.decode()
    assert "The job stops" in text
    assert "stopping" in text
    entry = AuditEntry.objects.get(verb="stopped_job")
    assert (entry.actor, entry.details["job"]) == ("lena", job.pk)

    again = client.post(url(job, "stop"), follow=True).content.decode()
    assert "has ended or is stopping already" in again
    assert AuditEntry.objects.filter(verb="stopped_job").count() == 1


def test_an_auditor_looks_and_has_no_button(login: Callable[[str], Client]) -> None:
    job = running("done", "waiting")
    client = login(AUDITOR)

    assert url(job, "stop") not in client.get(admin_url(job)).content.decode()
    assert client.get(url(job, "progress")).status_code == 200
    assert client.post(url(job, "stop")).status_code == 403
    job.refresh_from_db()
    assert job.stop_wanted_at is None


def test_who_may_see_no_jobs_sees_no_progress() -> None:
    client = Client()
    client.force_login(User.objects.create_user("nobody", is_staff=True))
    job = running("waiting")

    assert client.get(url(job, "progress")).status_code == 403
    assert client.get(admin_url(job)).status_code == 403
    assert client.post(url(job, "stop")).status_code == 403


def test_a_stop_is_a_post(admin_client: Client) -> None:
    job = running("waiting")

    assert admin_client.get(url(job, "stop")).status_code == 405
    assert admin_client.post(url(job, "progress")).status_code == 405


def test_a_job_that_is_not_there_is_not_found(admin_client: Client) -> None:
    for name in ("progress", "stop"):
        address = reverse(f"admin:conversations_job_{name}", args=[999999])
        method = admin_client.post if name == "stop" else admin_client.get
        assert method(address).status_code == 404


# --- Retention ----------------------------------------------------------------------


def test_reports_are_kept_for_ninety_days() -> None:
    now = timezone.now()
    old = make_job("done", "done", status="done", finished_at=now - timedelta(days=91))
    kept = make_job("done", status="done", finished_at=now - timedelta(days=89))
    unfinished = make_job("waiting", created_at=now - timedelta(days=200))

    pruned = retention.prune(now)

    assert pruned.counts == {"jobs": 1}
    assert not pruned.more
    assert set(Job.objects.all()) == {kept, unfinished}
    assert not JobItem.objects.filter(job=old.pk).exists()
    assert JobItem.objects.count() == 2
