"""A look at an app: what it is, wants and takes, without running it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
import responses

from bridge_project.lib.errors import Unauthorized
from dify_api.connection import DifyConnection
from dify_api.looking import look

API = "https://dify.test/v1"
CONNECTION = DifyConnection(base_url="https://dify.test", api_key="app-secret-key-1")
INFO = {"name": "Support", "mode": "chat"}
PARAMETERS: dict[str, Any] = {
    "user_input_form": [{"text-input": {"variable": "language", "required": True}}],
    "file_upload": {
        "enabled": True,
        "allowed_file_types": ["image"],
        "number_limits": 3,
    },
    "speech_to_text": {"enabled": True},
}


def test_tells_what_the_app_is_and_takes(wire: responses.RequestsMock) -> None:
    headers = {"X-Version": "1.14.2", "Date": "Sun, 22 Nov 2026 19:00:00 GMT"}
    wire.get(f"{API}/info", json=INFO, headers=headers)
    wire.get(f"{API}/parameters", json=PARAMETERS)

    found = look(CONNECTION)

    assert (found.info.name, found.info.mode, found.version) == (
        "Support",
        "chat",
        "1.14.2",
    )
    assert found.clock == datetime(2026, 11, 22, 19, tzinfo=UTC)
    assert found.parameters is not None
    assert [field.variable for field in found.parameters.inputs] == ["language"]
    assert (found.file_upload.max_files, found.listens) == (3, True)
    assert {call.request.method for call in wire.calls} == {"GET"}


def test_an_unpublished_app_has_a_name_but_no_settings(
    wire: responses.RequestsMock,
) -> None:
    wire.get(f"{API}/info", json=INFO)
    body = {"code": "app_unavailable", "message": "App unavailable", "status": 400}
    wire.get(f"{API}/parameters", json=body, status=400)

    found = look(CONNECTION)

    assert found.info.name == "Support"
    assert found.parameters is None
    assert found.unreadable is not None
    assert found.unreadable.code == "app_unavailable"
    assert not found.file_upload.enabled


def test_a_refused_key_is_raised(wire: responses.RequestsMock) -> None:
    body = {"code": "unauthorized", "message": "Access token is invalid", "status": 401}
    wire.get(f"{API}/info", json=body, status=401)

    with pytest.raises(Unauthorized):
        look(CONNECTION)
