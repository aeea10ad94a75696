"""While PostgreSQL is away a browser gets a page that says so, and the API a 500."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.db import OperationalError
from django.http import HttpRequest
from django.test import Client
from django.urls import reverse
from psycopg.errors import QueryCanceled
from psycopg_pool import PoolTimeout

from bridge_project import away


@pytest.fixture
def browser() -> Client:
    """A browser with a session that the database would have to be asked for."""
    client = Client(raise_request_exception=False)
    client.cookies["sessionid"] = "some-session"
    return client


@pytest.fixture
def _no_database(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_args: object, **_kwargs: object) -> None:
        msg = "connection refused"
        raise OperationalError(msg)

    backend = "django.db.backends.postgresql.base.DatabaseWrapper"
    for name in ("ensure_connection", "connect", "cursor"):
        monkeypatch.setattr(f"{backend}.{name}", refuse)


@pytest.mark.usefixtures("_no_database")
def test_the_admin_says_that_the_database_is_away(browser: Client) -> None:
    response = browser.get(reverse("admin:index"))

    assert response.status_code == 503
    assert response["Retry-After"] == "10"
    assert "The database is away" in response.text
    assert '<meta http-equiv="refresh" content="10">' in response.text
    assert 'lang="en"' in response.text
    assert "connection refused" not in response.text


@pytest.mark.usefixtures("_no_database")
def test_it_says_so_in_the_browsers_language(browser: Client) -> None:
    response = browser.get(
        reverse("admin:index"), headers={"Accept-Language": "ru,en;q=0.5"}
    )

    assert 'lang="ru"' in response.text


@pytest.mark.usefixtures("_no_database")
def test_a_form_is_not_sent_again_by_itself(browser: Client) -> None:
    response = browser.post(reverse("admin:login"), {"username": "a", "password": "b"})

    assert response.status_code == 503
    assert "refresh" not in response.text
    assert "may not have been saved" in response.text


@pytest.mark.usefixtures("_no_database")
def test_the_webhook_still_answers_500_and_json(browser: Client) -> None:
    response = browser.post(
        "/api/v1/chatwoot-webhook", b"{}", content_type="application/json"
    )

    assert response.status_code == 500
    assert response["Content-Type"].startswith("application/json")


def cancelled() -> Iterator[Exception]:
    error = OperationalError("canceling statement due to statement timeout")
    error.__cause__ = QueryCanceled()
    yield error


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (OperationalError("the connection is lost"), 503),
        (PoolTimeout("no connection"), 503),
        (*cancelled(), 500),
        (ValueError("a secret"), 500),
    ],
)
def test_only_a_database_that_is_not_there_is_called_away(
    error: Exception, status: int
) -> None:
    request = HttpRequest()
    request.path, request.method = "/admin/", "GET"
    try:
        raise error
    except type(error):
        response = away.server_error(request)

    assert response.status_code == status
