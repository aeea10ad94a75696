"""Reading an app into its row, and the command that does so for all."""

from __future__ import annotations

from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from responses import RequestsMock

from bridge_project.lib.errors import BridgeError, ConfigurationError
from dify_api.app_info import refresh
from dify_api.failures import DifyRejected, DifyUnauthorized
from dify_api.models import DifyApp
from dify_api.tests import recorded

pytestmark = pytest.mark.django_db

API = "http://dify.test/v1"
UNAUTHORIZED = {"code": "unauthorized", "message": "Access token is invalid"}
UNPUBLISHED = {"code": "app_unavailable", "message": "App unavailable, please …"}
NOT_CHAT = {"code": "not_chat_app", "message": "Please check …"}


@pytest.fixture
def app() -> DifyApp:
    return DifyApp.objects.create(name="Shop", base_url=API, api_key="app-1")


def answer(wire: RequestsMock, version: str = "1.14.2", **info: Any) -> None:
    wire.get(f"{API}/info", json={**recorded.body(f"{version}/meta/01_info"), **info})
    parameters = recorded.body(f"{version}/meta/08_parameters_inputs")
    wire.get(f"{API}/parameters", json=parameters)


def stored(app: DifyApp) -> DifyApp:
    return DifyApp.objects.get(pk=app.pk)


def test_mode_inputs_and_health_are_stored(app: DifyApp, wire: RequestsMock) -> None:
    DifyApp.objects.all().mark_refused("401")
    answer(wire)

    refresh(app)

    row = stored(app)
    assert row.next_probe_at is None
    assert row.mode == app.mode == "advanced-chat"
    assert row.health == app.health == "ok"
    assert row.parameters_read_at is not None
    assert [field.variable for field in row.declared_inputs()] == [
        "chatwoot_conversation_id",
        "conversation_status",
        "score",
    ]


def test_operators_other_changes_are_not_overwritten(
    app: DifyApp, wire: RequestsMock
) -> None:
    DifyApp.objects.update(total_timeout_s=77)
    answer(wire)

    refresh(app)

    assert stored(app).total_timeout_s == 77


def test_dify_that_does_not_tell_the_mode_is_asked_for_chats(
    app: DifyApp, wire: RequestsMock
) -> None:
    answer(wire, version="0.15.3")
    chats = recorded.body("0.15.3/conversations/06_list")
    wire.get(f"{API}/conversations?user=bridge-check&limit=1", json=chats)

    refresh(app)

    assert stored(app).mode == "chat"


def test_choice_of_the_operator_stands_where_dify_does_not_tell(
    app: DifyApp, wire: RequestsMock
) -> None:
    app.mode = "workflow"
    answer(wire, version="0.15.3")

    refresh(app)

    assert stored(app).mode == "workflow"


@pytest.mark.parametrize("mode", ["", "rag-pipeline"])
def test_kind_that_cannot_be_run_is_said(
    app: DifyApp, wire: RequestsMock, mode: str
) -> None:
    answer(wire, mode=mode)
    wire.get(f"{API}/conversations", json=NOT_CHAT, status=400)

    with pytest.raises(ConfigurationError):
        refresh(app)

    row = stored(app)
    assert (row.mode, row.health) == ("", "failing")
    assert "kind" in row.last_error


@pytest.mark.parametrize(
    ("path", "status", "body", "error", "health"),
    [
        ("/info", 401, UNAUTHORIZED, DifyUnauthorized, "refused"),
        ("/parameters", 400, UNPUBLISHED, DifyRejected, "failing"),
        ("/info", 502, {}, BridgeError, "failing"),
    ],
)
def test_failure_is_stored_and_raised(
    app: DifyApp,
    wire: RequestsMock,
    path: str,
    status: int,
    body: dict[str, Any],
    error: type[Exception],
    health: str,
) -> None:
    wire.get(API + path, json=body, status=status)
    answer(wire)

    with pytest.raises(error):
        refresh(app)

    row = stored(app)
    assert row.health == app.health == health
    assert f"[dify GET {path}, HTTP {status}]" in row.last_error
    assert row.last_error_at is not None
    assert row.parameters == {}


def test_key_that_is_accepted_again_is_no_longer_refused(
    app: DifyApp, wire: RequestsMock
) -> None:
    """Else an unpublished app would be told as a refused key for ever."""
    DifyApp.objects.all().mark_refused("401")
    wire.get(f"{API}/parameters", json=UNPUBLISHED, status=400)
    answer(wire)

    with pytest.raises(DifyRejected):
        refresh(app)

    row = stored(app)
    assert row.health == app.health == "failing"
    assert row.next_probe_at is app.next_probe_at is None


def test_page_of_a_proxy_leaves_a_refused_key_refused(
    app: DifyApp, wire: RequestsMock
) -> None:
    DifyApp.objects.all().mark_refused("401")
    wire.get(f"{API}/info", body="<html>", status=401)

    with pytest.raises(DifyRejected):
        refresh(app)

    assert stored(app).health == app.health == "refused"
    assert stored(app).next_probe_at == app.next_probe_at is not None


def test_page_of_a_proxy_does_not_refuse_the_key(
    app: DifyApp, wire: RequestsMock
) -> None:
    wire.get(f"{API}/info", body="<html>", status=401)

    with pytest.raises(DifyRejected):
        refresh(app)

    assert stored(app).health == "failing"


def run_command(*args: str) -> tuple[str, str, str]:
    out, err = StringIO(), StringIO()
    try:
        call_command("check_dify", *args, stdout=out, stderr=err)
    except CommandError as failure:
        return out.getvalue(), err.getvalue(), str(failure)
    return out.getvalue(), err.getvalue(), ""


def test_command_says_what_it_found(app: DifyApp, wire: RequestsMock) -> None:
    answer(wire)

    out, err, failure = run_command()

    assert out.splitlines() == [
        f"OK Shop: reachable at {API}, key accepted",
        "OK Shop: published, kind: chatflow",
        "OK Shop: declared inputs: chatwoot_conversation_id (text-input, required), "
        "conversation_status (text-input), score (number)",
        "Done. 1 Dify apps can be used.",
    ]
    assert (err, failure) == ("", "")
    assert stored(app).health == "ok"


def test_command_fails_with_the_reason(app: DifyApp, wire: RequestsMock) -> None:
    wire.get(f"{API}/info", json=UNAUTHORIZED, status=401)

    out, err, failure = run_command()

    assert out == ""
    assert err == (
        "FAILED Shop: Dify does not accept the app's API key. "
        "[dify GET /info, HTTP 401]\n"
    )
    assert failure == "1 of 1 Dify apps cannot be used."
    assert stored(app).health == "refused"


def test_command_checks_one_app_by_name_or_number(
    app: DifyApp, wire: RequestsMock
) -> None:
    DifyApp.objects.create(name="Other", base_url="http://other.test", api_key="app-2")
    answer(wire)
    answer(wire)

    for choice in ("Shop", str(app.pk)):
        assert "Done. 1 Dify apps can be used." in run_command(choice)[0]


def test_command_refuses_an_unknown_app() -> None:
    assert run_command("Nobody") == ("", "", "There is no Dify app “Nobody”.")


def test_version_of_the_server_is_stored(app: DifyApp, wire: RequestsMock) -> None:
    told = {"X-Version": "0.15.3", "X-Env": "PRODUCTION"}
    info = recorded.body("0.15.3/meta/01_info")
    wire.get(f"{API}/info", json=info, headers=told)
    parameters = recorded.body("0.15.3/meta/08_parameters_inputs")
    wire.get(f"{API}/parameters", json=parameters, headers=told)
    app.mode = "chat"

    refresh(app)

    assert stored(app).server_version == app.server_version == "0.15.3"
