"""An app's page: a key that goes in and never comes out, and "Read from Dify"."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
import responses
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.http import HttpResponse
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils.html import strip_tags

from dify_api.models import DifyApp

pytestmark = pytest.mark.django_db

KEY, NEW_KEY = "app-the-stored-key-0001", "app-the-new-key-0002"
DIFY = "https://dify.test/v1"
FORM = [
    {
        "text-input": {
            "variable": "language",
            "label": "Language <b>",
            "required": True,
            "max_length": 48,
        }
    }
]


@pytest.fixture
def app() -> DifyApp:
    return DifyApp.objects.create(name="Support", base_url=DIFY, api_key=KEY)


def form_of(**overrides: Any) -> dict[str, Any]:
    return {
        "name": "Support",
        "base_url": DIFY,
        "api_key": "",
        "mode": "",
        "query_input": "query",
        "answer_output": "",
        "first_event_timeout_s": 60,
        "idle_timeout_s": 60,
        "total_timeout_s": 600,
        "max_concurrent_runs": 8,
        **overrides,
    }


def url_of(app: DifyApp, name: str = "change") -> str:
    return reverse(f"admin:dify_api_difyapp_{name}", args=[app.pk])


def press(client: Client, app: DifyApp) -> HttpResponse:
    response = client.post(url_of(app, "read"), follow=True)
    app.refresh_from_db()
    return response  # type: ignore[return-value]


def answer(wire: responses.RequestsMock, *, mode: str = "advanced-chat") -> None:
    wire.get(f"{DIFY}/info", json={"name": "Support", "mode": mode})
    wire.get(f"{DIFY}/parameters", json={"user_input_form": FORM, "file_upload": {}})


def test_no_page_shows_the_key(admin_client: Client, app: DifyApp) -> None:
    pages = [
        admin_client.get(url_of(app)),
        admin_client.get(reverse("admin:dify_api_difyapp_changelist")),
        admin_client.post(url_of(app), form_of(api_key=NEW_KEY, base_url="no address")),
        admin_client.post(url_of(app), form_of(api_key=NEW_KEY), follow=True),
        admin_client.get(url_of(app)),
        admin_client.get(url_of(app, "history")),
        admin_client.get(url_of(app, "delete")),
    ]

    app.refresh_from_db()
    assert app.api_key == NEW_KEY
    assert "Begin with http:// or https://." in pages[2].content.decode()
    for page in pages:
        assert page.status_code == 200
        assert KEY not in page.content.decode()
        assert NEW_KEY not in page.content.decode()
    assert NEW_KEY not in LogEntry.objects.get().change_message


def test_an_empty_box_keeps_the_key(admin_client: Client, app: DifyApp) -> None:
    admin_client.post(url_of(app), form_of(name="Returns"))

    app.refresh_from_db()
    assert (app.name, app.api_key) == ("Returns", KEY)


def test_an_app_needs_a_key(admin_client: Client) -> None:
    url = reverse("admin:dify_api_difyapp_add")

    refused = admin_client.post(url, form_of())
    assert "This field is required." in refused.content.decode()
    assert not DifyApp.objects.exists()

    added = admin_client.post(url, form_of(api_key=KEY), follow=True)
    app = DifyApp.objects.get()
    assert added.redirect_chain[-1][0] == url_of(app)
    assert "Now press “Read from Dify”" in added.content.decode()


def test_read_from_dify_stores_and_shows_what_the_app_declares(
    admin_client: Client, app: DifyApp, wire: responses.RequestsMock
) -> None:
    answer(wire)

    text = press(admin_client, app).content.decode()

    assert (app.mode, app.health) == ("advanced-chat", DifyApp.Health.OK)
    assert "“Support” answered: chatflow, 1 input declared." in text
    assert "<td><code>language</code></td><td>Language &lt;b&gt;</td>" in text


@pytest.mark.parametrize(
    ("status", "code", "health", "words"),
    [
        (
            401,
            "unauthorized",
            DifyApp.Health.REFUSED,
            "“Support”: Dify does not accept the key.",
        ),
        (
            403,
            "app_api_disabled",
            DifyApp.Health.REFUSED,
            "“Support” could not be read. Dify refuses all calls with the app&#x27;s "
            "key: the app was deleted, its API is switched off,",
        ),
        (
            401,
            "gateway",
            DifyApp.Health.FAILING,
            "“Support” could not be read. Something in front of Dify, such as a proxy",
        ),
        (
            500,
            "unknown",
            DifyApp.Health.FAILING,
            "“Support” could not be read. Dify could not be reached or failed for a "
            "moment. [dify GET /info, HTTP 500]",
        ),
    ],
)
def test_a_refusal_is_a_sentence(
    admin_client: Client,
    app: DifyApp,
    wire: responses.RequestsMock,
    status: int,
    code: str,
    health: str,
    words: str,
) -> None:
    wire.get(f"{DIFY}/info", json={"code": code, "message": "no"}, status=status)

    response = press(admin_client, app)

    assert response.status_code == 200
    assert words in response.content.decode()
    assert app.health == health


def test_an_unreachable_dify_is_a_sentence(admin_client: Client) -> None:
    app = DifyApp.objects.create(name="X", base_url="http://127.0.0.1:9", api_key=KEY)

    text = press(admin_client, app).content.decode()

    assert "“X”: Dify could not be reached. Check the address" in text
    assert KEY not in text


def test_apps_are_read_from_the_list(
    admin_client: Client, app: DifyApp, wire: responses.RequestsMock
) -> None:
    answer(wire, mode="chat")

    response = admin_client.post(
        reverse("admin:dify_api_difyapp_changelist"),
        {"action": "read_selected", "_selected_action": app.pk},
        follow=True,
    )

    app.refresh_from_db()
    assert app.mode == "chat"
    assert "“Support” answered: chatbot" in response.content.decode()


@pytest.mark.django_db(transaction=True)
def test_dify_is_not_called_inside_a_transaction(
    admin_client: Client, app: DifyApp, wire: responses.RequestsMock
) -> None:
    inside: list[bool] = []

    def info(_request: object) -> tuple[int, dict[str, str], str]:
        inside.append(connection.in_atomic_block)
        return 200, {}, '{"name": "Support", "mode": "chat"}'

    wire.add_callback("GET", f"{DIFY}/info", callback=info)
    wire.get(f"{DIFY}/parameters", json={"user_input_form": [], "file_upload": {}})

    text = press(admin_client, app).content.decode()

    assert inside == [False]
    assert "The app declares no inputs" in text


def test_reading_takes_a_post_and_the_right_to_change(
    client: Client, app: DifyApp
) -> None:
    reader = User.objects.create_user("reader", is_staff=True)
    reader.user_permissions.add(Permission.objects.get(codename="view_difyapp"))
    client.force_login(reader)

    assert client.get(url_of(app, "read")).status_code == 405
    assert KEY not in client.get(url_of(app)).content.decode()
    text = press(client, app).content.decode()

    assert "You may look at Dify apps, but not change them." in text
    assert app.health == DifyApp.Health.UNKNOWN


def test_reading_an_app_that_is_gone_leads_back_to_the_list(
    admin_client: Client, app: DifyApp
) -> None:
    url = url_of(app, "read")
    app.delete()

    assert admin_client.post(url).headers["Location"] == reverse(
        "admin:dify_api_difyapp_changelist"
    )


@pytest.mark.parametrize(
    "change",
    [{"api_key": NEW_KEY}, {"base_url": "https://other.test/v1", "api_key": NEW_KEY}],
)
def test_another_key_or_address_makes_the_app_unknown_again(
    admin_client: Client,
    app: DifyApp,
    wire: responses.RequestsMock,
    change: dict[str, Any],
) -> None:
    answer(wire)
    press(admin_client, app)
    DifyApp.objects.all().mark_refused("refused")
    DifyApp.objects.update(lowered_limit=2)

    admin_client.post(url_of(app), form_of(name="Same key"))
    app.refresh_from_db()
    assert app.health == DifyApp.Health.REFUSED
    assert app.next_probe_at is not None
    admin_client.post(url_of(app), form_of(**change))

    app.refresh_from_db()
    assert (app.health, app.last_error) == (DifyApp.Health.UNKNOWN, "")
    after = DifyApp.objects.get()
    assert (after.next_probe_at, after.lowered_limit) == (None, None)
    assert app.parameters_read_at is None
    assert app.declared_inputs() == ()


def test_stored_parameters_that_make_no_sense_do_not_break_the_page(
    admin_client: Client, app: DifyApp, wire: responses.RequestsMock
) -> None:
    answer(wire)
    press(admin_client, app)
    DifyApp.objects.update(parameters={"user_input_form": "?"})

    text = admin_client.get(url_of(app)).content.decode()

    assert "What Dify said cannot be understood." in text


def text_of(client: Client, url: str) -> str:
    """Return a page's text without its tags."""
    return " ".join(strip_tags(client.get(url).content.decode()).split())


def test_refused_key_is_explained(admin_client: Client, app: DifyApp) -> None:
    DifyApp.objects.update(
        health=DifyApp.Health.REFUSED,
        last_error="Access token is invalid",
        last_error_at=datetime(2026, 11, 22, 12, 0, tzinfo=UTC),
        next_probe_at=datetime(2026, 11, 22, 12, 1, tzinfo=UTC),
    )

    page = text_of(admin_client, url_of(app))
    row = text_of(admin_client, reverse("admin:dify_api_difyapp_changelist"))

    assert (
        "key refused Dify refuses the key (last tried: 2026-11-22 12:00:00). The "
        "bridge does not try it again until a check succeeds; next check: 2026-11-22 "
        "12:01:00. Enter a new key, or press “Read from Dify”."
    ) in page
    assert "key refused Not tried again until a check succeeds." in row


def test_key_refused_before_there_were_checks_is_explained(
    admin_client: Client, app: DifyApp
) -> None:
    DifyApp.objects.update(health=DifyApp.Health.REFUSED)

    assert "next check: any moment now." in text_of(admin_client, url_of(app))


def test_key_that_is_not_refused_needs_no_explanation(
    admin_client: Client, app: DifyApp
) -> None:
    DifyApp.objects.update(health=DifyApp.Health.FAILING)

    for url in (url_of(app), reverse("admin:dify_api_difyapp_changelist")):
        assert "until a check succeeds" not in text_of(admin_client, url)


def test_limit_of_runs_is_set_and_its_lowering_shown(
    admin_client: Client, app: DifyApp
) -> None:
    admin_client.post(url_of(app), form_of(max_concurrent_runs=20, lowered_limit=1))
    app.refresh_from_db()
    assert (app.max_concurrent_runs, app.lowered_limit) == (20, None)
    url = reverse("admin:dify_api_difyapp_changelist")
    assert "Dify is overloaded" not in text_of(admin_client, url)

    DifyApp.objects.update(lowered_limit=5)

    assert "5 of 20, Dify is overloaded" in text_of(admin_client, url)
    assert "Lowered because Dify was overloaded" in text_of(admin_client, url_of(app))


def test_list_costs_the_same_for_many_refused_apps(
    admin_client: Client, app: DifyApp
) -> None:
    url = reverse("admin:dify_api_difyapp_changelist")
    admin_client.get(url)
    costs = []
    for _ in range(2):
        DifyApp.objects.update(health=DifyApp.Health.REFUSED, lowered_limit=1)
        with CaptureQueriesContext(connection) as queries:
            admin_client.get(url)
        costs.append(len(queries))
        for number in range(20):
            DifyApp.objects.create(name=f"{number}", base_url=DIFY, api_key=KEY)

    assert costs[0] == costs[1]
