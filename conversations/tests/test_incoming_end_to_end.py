"""Pictures and voice travel from the sandbox's Chatwoot to its Dify; all is real."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from local_stack.testing import RunningStack, running_stack, wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

PNG = b"\x89PNG\r\n\x1a\n" + b"0" * 92
SOUND = b"ID3" + b"0" * 497


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    with running_stack(tmp_path_factory.mktemp("stack") / "data") as running:
        yield running


class Customer:
    """Somebody who sends more than text."""

    def __init__(self, stack: RunningStack) -> None:
        self.stack = stack
        self.control("DELETE", "/wire")
        self.number = int(
            self.control("POST", "/conversations", {"name": "Anna"})["id"]
        )

    def control(self, method: str, path: str, body: Any = None) -> Any:
        url = f"{self.stack.sandbox}/_sandbox{path}"
        answer = requests.request(method, url, json=body, timeout=10)
        answer.raise_for_status()
        return answer.json()

    def sends(
        self, name: str, content_type: str, data: bytes, *, content: str = ""
    ) -> None:
        encoded = base64.b64encode(data).decode()
        file = {"name": name, "content_type": content_type, "base64": encoded}
        path = f"/conversations/{self.number}/customer-messages"
        self.control("POST", path, {"content": content, "attachments": [file]})

    def messages(self, *, private: bool) -> list[str]:
        return [
            message["content"]
            for message in self.control("GET", f"/conversations/{self.number}")[
                "messages"
            ]
            if message["sender_type"] == "AgentBot" and message["private"] is private
        ]

    def answer(self) -> str:
        wait_until(
            lambda: bool(self.messages(private=False)),
            patience_s=60,
            what=f"the answer in conversation {self.number}",
        )
        return self.messages(private=False)[0]

    def requests_to(self, path: str) -> list[dict[str, Any]]:
        """What the bridge asked of a path, oldest first."""
        rows: list[dict[str, Any]] = self.control("GET", f"/wire?path={path}")[
            "entries"
        ]
        return rows


def test_a_picture_reaches_the_app(stack: RunningStack) -> None:
    anna = Customer(stack)

    anna.sends("seam.png", "image/png", PNG, content="What is this?")

    answer = anna.answer()
    assert "You asked: “What is this?”." in answer
    assert "Files: seam.png (image, 100 bytes)." in answer
    (upload,) = anna.requests_to("/v1/files/upload")
    assert (upload["method"], upload["status"]) == ("POST", 201)
    assert 'filename="seam.png"' in upload["request_body"]
    # Chatwoot's redirect to its storage was followed.
    assert [row["status"] for row in anna.requests_to("/rails/")] == [302, 200]


def test_files_that_dify_refuses_are_told_in_words(stack: RunningStack) -> None:
    """Somebody has changed the app since its settings were read."""
    anna = Customer(stack)
    for mode in ("chat", "advanced-chat"):
        anna.control("PATCH", f"/dify/apps/{mode}", {"file_types": ["document"]})
    # 1.14 is silent in place of refusing.
    anna.control("PATCH", "/settings", {"dify_version": "1.12"})
    try:
        anna.sends("seam.png", "image/png", PNG, content="What is this?")
        answer = anna.answer()
    finally:
        anna.control("PATCH", "/settings", {"dify_version": "1.14"})
        for mode in ("chat", "advanced-chat"):
            types = {"file_types": ["image", "document", "audio"]}
            anna.control("PATCH", f"/dify/apps/{mode}", types)

    assert "You cannot see it: Dify refused it" in answer
    assert "Files:" not in answer


def test_voice_becomes_text_in_dify(stack: RunningStack) -> None:
    anna = Customer(stack)

    anna.sends("voice.mp3", "audio/mpeg", SOUND)

    assert "You asked: “(transcript of 500 bytes of sound)”." in anna.answer()
    assert anna.messages(private=True) == [
        "What the voice message “voice.mp3” says:\n\n(transcript of 500 bytes of sound)"
    ]
    (heard,) = anna.requests_to("/v1/audio-to-text")
    assert "Content-Type: audio/mp3" in heard["request_body"]
    assert anna.requests_to("/v1/files/upload") == []


def test_voice_becomes_text_on_another_server(stack: RunningStack) -> None:
    stack.shell(
        "from conversations.models import Bot, OpenAIServer; "
        "server = OpenAIServer.objects.create(name='Ears', "
        f"base_url='{stack.sandbox}/openai/v1', api_key='sandbox-openai-key', "
        "transcription_model='whisper-1'); "
        "Bot.objects.update(transcriber=server)"
    )
    anna = Customer(stack)

    anna.sends("voice.ogg", "audio/ogg", SOUND)

    assert "You asked: “(a voice of 500 bytes)”." in anna.answer()
    (heard,) = anna.requests_to("/openai/v1/audio/transcriptions")
    assert heard["status"] == 200
    assert 'name="model"\r\n\r\nwhisper-1' in heard["request_body"]
    # Dify takes no ogg, so it was not asked.
    assert anna.requests_to("/v1/audio-to-text") == []
