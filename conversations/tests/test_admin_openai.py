"""A server's page: a key that goes in and never comes out, and “Ask the server”."""

from __future__ import annotations

from typing import Any

import pytest
import responses
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse

from conversations.models import OpenAIServer

pytestmark = pytest.mark.django_db

KEY = "sk-the-stored-key-0001"
LLM = "https://llm.test/v1"


@pytest.fixture
def server() -> OpenAIServer:
    return OpenAIServer.objects.create(
        name="Our own model", base_url=LLM, api_key=KEY, chat_model="llama3.2"
    )


def url_of(server: OpenAIServer, name: str = "change") -> str:
    return reverse(f"admin:conversations_openaiserver_{name}", args=[server.pk])


def form_of(**overrides: Any) -> dict[str, Any]:
    return {
        "name": "Our own model",
        "base_url": LLM,
        "api_key": "",
        "timeout_s": 120,
        "chat_model": "llama3.2",
        "system_prompt": "",
        "history_messages": 20,
        "transcription_model": "",
        **overrides,
    }


def press(client: Client, server: OpenAIServer) -> str:
    """Press the button; returns what the next page says."""
    return client.post(url_of(server, "ask"), follow=True).content.decode()


def test_no_page_shows_the_key(admin_client: Client, server: OpenAIServer) -> None:
    pages = [
        admin_client.get(url_of(server)),
        admin_client.get(reverse("admin:conversations_openaiserver_changelist")),
        admin_client.post(url_of(server), form_of(base_url="no address")),
        admin_client.post(url_of(server), form_of(), follow=True),
        admin_client.get(url_of(server, "history")),
    ]
    assert [page.status_code for page in pages] == [200] * 5
    assert not [page for page in pages if KEY in page.content.decode()]
    server.refresh_from_db()
    assert server.api_key == KEY


def test_a_key_is_replaced_and_removed(
    admin_client: Client, server: OpenAIServer
) -> None:
    admin_client.post(url_of(server), form_of(api_key="sk-new"))
    server.refresh_from_db()
    assert server.api_key == "sk-new"

    admin_client.post(url_of(server), form_of(api_key_remove="on"))
    server.refresh_from_db()
    assert server.api_key == ""


def test_the_server_tells_its_models(
    admin_client: Client, server: OpenAIServer, wire: responses.RequestsMock
) -> None:
    wire.get(f"{LLM}/models", json={"data": [{"id": "llama3.2"}, {"id": "qwen3"}]})

    assert "answered. Its models: llama3.2, qwen3." in press(admin_client, server)
    assert wire.calls[0].request.headers["Authorization"] == f"Bearer {KEY}"

    OpenAIServer.objects.update(transcription_model="whisper-1")
    said = press(admin_client, server)
    assert "answered, but does not list whisper-1." in said


@pytest.mark.parametrize(
    ("status", "said"),
    [(401, "does not accept the key"), (404, "could not be asked.")],
)
def test_a_refusal_is_explained(
    admin_client: Client,
    server: OpenAIServer,
    wire: responses.RequestsMock,
    status: int,
    said: str,
) -> None:
    wire.get(f"{LLM}/models", status=status, json={"error": f"no, {KEY}"})
    page = press(admin_client, server)
    assert said in page
    assert KEY not in page


def test_only_who_may_change_it_asks(
    server: OpenAIServer, wire: responses.RequestsMock
) -> None:
    user = User.objects.create(username="anna", is_staff=True)
    user.user_permissions.add(Permission.objects.get(codename="view_openaiserver"))
    client = Client()
    client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    assert "but not change them" in press(client, server)
    assert len(wire.calls) == 0
