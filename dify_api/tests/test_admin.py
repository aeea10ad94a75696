"""An app's page: a key that goes in and never comes out, and "Read from Dify"."""

from __future__ import annotations

from typing import Any

import pytest
import responses
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.http import HttpResponse
from django.test import Client
from django.urls import reverse

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
    ("status", "health", "words"),
    [
        (401, DifyApp.Health.REFUSED, "“Support”: Dify does not accept the key."),
        (
            500,
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
    health: str,
    words: str,
) -> None:
    wire.get(f"{DIFY}/info", json={"code": "x", "message": "no"}, status=status)

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


def test_another_key_makes_the_app_unknown_again(
    admin_client: Client, app: DifyApp, wire: responses.RequestsMock
) -> None:
    answer(wire)
    press(admin_client, app)
    DifyApp.objects.update(health=DifyApp.Health.REFUSED, last_error="refused")

    admin_client.post(url_of(app), form_of(name="Same key"))
    app.refresh_from_db()
    assert app.health == DifyApp.Health.REFUSED
    admin_client.post(url_of(app), form_of(api_key=NEW_KEY))

    app.refresh_from_db()
    assert (app.health, app.last_error) == (DifyApp.Health.UNKNOWN, "")
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
