"""A Dify flow as tests play it: its requests, its tokens, its running turn."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import uuid4

from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.utils import timezone

from conversations import callback_tokens, conversation_tokens
from conversations.models import Bot, Callback, Conversation, PipelineRun, Turn
from conversations.tests.factories import app_of, make_turn


@dataclass
class Flow:
    """Sends what Dify's HTTP node sends; `answer` is the last one, decoded."""

    token: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    answer: dict[str, Any] = field(default_factory=dict)
    status: int = 0

    def call(
        self, method: str, path: str, body: Any = None, **headers: str
    ) -> dict[str, Any]:
        """Send a request; a body that is no text goes as JSON."""
        sent = {"User-Agent": "python-httpx/0.28.1", "Accept": "*/*", **self.headers}
        if self.token:
            sent["Authorization"] = f"Bearer {self.token}"
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        data = b"" if body is None else body
        if not isinstance(data, str | bytes):
            data = json.dumps(data)
        response = Client(raise_request_exception=False).generic(
            method,
            f"/api/v1/{path}",
            data,
            content_type="application/json",
            headers=sent,
        )
        self.status = response.status_code
        self.answer = response.json()
        return self.answer

    def upload(
        self, path: str, fields: dict[str, str], file: SimpleUploadedFile
    ) -> dict[str, Any]:
        """Send a form with a file, as the node's body type form-data does."""
        response = Client(raise_request_exception=False).post(
            f"/api/v1/{path}",
            {**fields, "attachments": file},
            headers={"Authorization": f"Bearer {self.token}"},
        )
        self.status = response.status_code
        self.answer = response.json()
        return self.answer

    def post(self, path: str, body: Any = None, **headers: str) -> dict[str, Any]:
        return self.call("POST", path, body, **headers)

    def patch(self, path: str, body: Any = None, **headers: str) -> dict[str, Any]:
        return self.call("PATCH", path, body, **headers)

    def get(self, path: str, **headers: str) -> dict[str, Any]:
        return self.call("GET", path, **headers)


def with_bot_token(bot: Bot) -> Flow:
    """A flow that has the bot's own token in a secret variable."""
    return Flow(callback_tokens.make(bot, by="test"))


def with_conversation_token(conversation: Conversation, *, bot: Bot) -> Flow:
    """A flow that passes on the token that it got as an input."""
    return Flow(conversation_tokens.make(conversation, bot=bot, turn=None))


def with_turn_token(turn: Turn, *, bot: Bot) -> Flow:
    """A flow with the token that was made for a turn, maybe for one that is over."""
    return Flow(conversation_tokens.make(turn.conversation, bot=bot, turn=turn))


def make_running_turn(conversation: Conversation, bot: Bot) -> Turn:
    """A turn whose Dify run is under way."""
    turn = make_turn(conversation, bot)
    Turn.objects.filter(pk=turn.pk).update(
        status=Turn.Status.RUNNING,
        lease=uuid4(),
        lease_expires_at=timezone.now() + timedelta(seconds=30),
        started_at=timezone.now(),
    )
    PipelineRun.objects.create(
        turn=turn, dify_app=app_of(bot), last_message_id=turn.last_message_id
    )
    turn.refresh_from_db()
    return turn


def last_callback() -> Callback:
    """The newest row."""
    return Callback.objects.latest("pk")
