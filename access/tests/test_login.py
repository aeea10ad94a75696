from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from axes.models import AccessAttempt
from django.conf import settings as django_settings
from django.contrib.auth.models import User
from django.db.models import F
from django.test import Client, RequestFactory
from django.urls import reverse
from pytest_django import Settings

from access.addresses import client_ip

PASSWORD = "correct horse battery"
LOGIN = "/admin/login/"


@pytest.fixture
def _boss(db: None) -> None:
    User.objects.create_superuser("boss", password=PASSWORD)


@pytest.fixture(autouse=True)
def _quick_hash(settings: Settings) -> None:
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


def try_login(
    client: Client, password: str, *, username: str = "boss", **more: Any
) -> Any:
    return client.post(LOGIN, {"username": username, "password": password}, **more)


def fail(client: Client, *, times: int, **more: Any) -> list[int]:
    return [try_login(client, "wrong", **more).status_code for _ in range(times)]


@pytest.mark.usefixtures("_boss")
def test_the_sixth_try_is_refused_even_with_the_right_password(client: Client) -> None:
    assert fail(client, times=5) == [200, 200, 200, 200, 429]

    response = try_login(client, PASSWORD)

    assert response.status_code == 429
    assert response.headers["Retry-After"] == "900"
    assert "Too many failed logins" in response.content.decode()
    assert "refused for 15 minutes" in response.content.decode()
    for command in (
        'make manage ARGS="axes_reset_username NAME"',
        "manage.py axes_reset_username NAME",
    ):
        assert command in response.content.decode()
    assert client.get(reverse("admin:index")).status_code == 302


@pytest.mark.usefixtures("_boss")
def test_a_login_leads_to_the_overview(client: Client) -> None:
    assert try_login(client, PASSWORD).headers["Location"] == reverse("admin:index")


@pytest.mark.usefixtures("_boss")
def test_four_failures_are_forgiven_by_the_right_password(client: Client) -> None:
    fail(client, times=4)

    assert try_login(client, PASSWORD).status_code == 302
    assert not AccessAttempt.objects.exists()


@pytest.mark.usefixtures("_boss")
def test_after_the_pause_the_right_password_works(client: Client) -> None:
    fail(client, times=5)
    AccessAttempt.objects.update(
        attempt_time=F("attempt_time") - timedelta(minutes=15, seconds=1)
    )

    assert try_login(client, PASSWORD).status_code == 302
    assert client.get(reverse("admin:index")).status_code == 200


@pytest.mark.usefixtures("_boss")
def test_tries_during_the_pause_do_not_prolong_it(client: Client) -> None:
    fail(client, times=5)
    before = AccessAttempt.objects.values_list("attempt_time", flat=True).get()

    fail(client, times=3)

    assert AccessAttempt.objects.values_list("attempt_time", flat=True).get() == before


@pytest.mark.usefixtures("_boss")
def test_others_are_not_kept_out(client: Client) -> None:
    User.objects.create_superuser("colleague", password=PASSWORD)
    fail(client, times=5)

    colleague = try_login(client, PASSWORD, username="colleague")
    elsewhere = try_login(Client(), PASSWORD, REMOTE_ADDR="192.0.2.7")

    assert (colleague.status_code, elsewhere.status_code) == (302, 302)


@pytest.mark.usefixtures("_boss")
def test_another_browser_does_not_help(client: Client) -> None:
    fail(client, times=5)

    response = try_login(Client(), PASSWORD, headers={"user-agent": "another"})

    assert response.status_code == 429


@pytest.mark.usefixtures("_boss")
def test_the_client_cannot_invent_an_address(client: Client) -> None:
    codes = [
        try_login(
            client, "wrong", headers={"x-forwarded-for": f"203.0.113.{i}"}
        ).status_code
        for i in range(5)
    ]

    assert codes[-1] == 429


@pytest.mark.usefixtures("_boss", "translations")
def test_the_page_speaks_russian(client: Client) -> None:
    fail(client, times=4)

    response = try_login(client, "wrong", headers={"accept-language": "ru"})

    assert response.headers["Content-Language"] == "ru"
    assert 'lang="ru"' in response.content.decode()


@pytest.mark.usefixtures("_boss")
def test_nothing_of_the_password_is_stored(client: Client) -> None:
    try_login(client, "nearly-" + PASSWORD)

    (row,) = AccessAttempt.objects.values()
    assert PASSWORD not in str(row)


@pytest.mark.parametrize(
    ("proxies", "forwarded", "expected"),
    [
        (0, "203.0.113.9", "192.0.2.1"),
        (1, "203.0.113.9", "203.0.113.9"),
        (1, "10.9.9.9, 203.0.113.9", "203.0.113.9"),
        (2, "10.9.9.9, 203.0.113.9, 198.51.100.1", "203.0.113.9"),
        (2, "203.0.113.9", "192.0.2.1"),
        (1, "", "192.0.2.1"),
        (1, "nonsense", "192.0.2.1"),
        (1, "2001:db8::1", "2001:db8::1"),
    ],
)
def test_address_is_taken_from_our_own_proxies_only(
    settings: Settings, *, proxies: int, forwarded: str, expected: str
) -> None:
    settings.TRUSTED_PROXIES = proxies
    headers = {"x-forwarded-for": forwarded} if forwarded else {}

    request = RequestFactory().get("/", headers=headers, REMOTE_ADDR="192.0.2.1")

    assert client_ip(request) == expected


def test_failures_are_counted_in_postgresql() -> None:
    assert "redis" not in django_settings.AXES_HANDLER
    assert django_settings.AXES_HANDLER.endswith("AxesDatabaseHandler")
