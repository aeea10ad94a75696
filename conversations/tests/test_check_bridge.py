"""`manage.py check_bridge`: lines, JSON, and the exit code."""

from __future__ import annotations

import json
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from conversations import heartbeats
from conversations.tests.factories import make_app
from conversations.tests.sandbox_chatwoot import SandboxChatwoot
from dify_api import app_info
from dify_api.models import DifyApp

pytestmark = pytest.mark.django_db


def run(**options: Any) -> tuple[str, int]:
    out = StringIO()
    try:
        call_command("check_bridge", stdout=out, **options)
    except SystemExit as ended:
        return out.getvalue(), int(str(ended.code))
    return out.getvalue(), 0


@pytest.fixture
def app(sandbox: SandboxChatwoot) -> DifyApp:
    made = make_app(
        name="Shop", base_url=f"{sandbox.base_url}/v1", api_key="app-sandbox-chat"
    )
    app_info.refresh(made)
    return made


def test_says_ok_and_ends_with_0(app: DifyApp) -> None:
    text, code = run(only=["dify"])

    assert code == 0
    assert "OK   Shop: Kind of app: chatbot\n" in text
    assert text.endswith("Done. 8 checks, 0 failed, 0 warnings.\n")


def test_says_what_failed_and_how_to_mend_it_and_ends_with_1(
    sandbox: SandboxChatwoot, app: DifyApp
) -> None:
    sandbox.control("PATCH", "/dify/apps/chat", {"published": False})

    text, code = run(only=["dify"])

    assert code == 1
    assert "FAIL Shop: App is published: " in text
    assert "\n       Open the app in Dify and press “Publish”.\n" in text


def test_warnings_alone_end_with_0() -> None:
    now = timezone.now()
    heartbeats.note_worker("w:1", started_at=now, now=now, details={})

    text, code = run(only=["processes"])

    assert code == 0
    assert "WARN Beat: It was never seen." in text


def test_writes_json(app: DifyApp) -> None:
    text, code = run(only=["dify"], json=True)

    rows = json.loads(text)
    assert code == 0
    assert {row["topic"] for row in rows} == {"dify"}
    mode = next(row for row in rows if row["check"] == "app_mode")
    assert (mode["state"], mode["found"]) == ("ok", "chatbot")
    assert mode["about"] == {"kind": "app", "id": app.pk, "name": "Shop"}


def test_looks_only_at_the_app_that_is_named(app: DifyApp) -> None:
    make_app(name="Other", base_url="http://127.0.0.1:9")

    text, code = run(only=["dify"], app=app.pk)

    assert code == 0
    assert "Other" not in text


def test_refuses_what_does_not_exist() -> None:
    with pytest.raises(CommandError, match="no such account, app or bot"):
        run(app=999)
