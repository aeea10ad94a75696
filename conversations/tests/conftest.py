"""Fixtures of the flow: the queue in Redis, and both platforms on the wire."""

from __future__ import annotations

import json
import re
from base64 import b64decode
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import responses
from django.conf import settings
from redis import Redis
from responses import matchers

from bridge_project.lib.types import JsonObject
from conversations.answers.typing_sign import refresher
from conversations.jobs import engine
from conversations.leases import keeper
from conversations.models import Bot, Conversation, Turn
from conversations.tests.factories import (
    CHATWOOT,
    DIFY,
    make_bot,
    make_conversation,
    make_event,
    make_turn,
    message_payload,
)
from conversations.tests.sandbox_chatwoot import (
    sandbox,
    sandbox_bot,
    sandbox_process,
)

__all__ = ["sandbox", "sandbox_bot", "sandbox_process"]


@pytest.fixture(autouse=True)
def _nobody_watches(monkeypatch: pytest.MonkeyPatch) -> None:
    """A keeper's thread has a connection of its own, without a test's own rows."""
    for one in (keeper, engine.keeper):
        monkeypatch.setattr(one, "_every_s", 3600.0)


@pytest.fixture(autouse=True)
def _no_sign_outlives_its_test() -> Iterator[None]:
    """Shown again during another test, it would be a stray call there."""
    yield
    with refresher._lock:
        refresher._signs.clear()


@dataclass
class Queue:
    """What stands in Redis for the worker."""

    redis: Redis

    def tasks(self) -> list[tuple[str, list[int]]]:
        """Return the name and arguments of each task, in the order of sending."""
        raw = [json.loads(item) for item in self.redis.lrange("celery", 0, -1)]
        found = []
        for message in reversed(raw):
            name = message["headers"]["task"].rsplit(".", 1)[-1]
            arguments, _keywords, _embedded = json.loads(b64decode(message["body"]))
            found.append((name, arguments))
        return found


@pytest.fixture
def queue() -> Queue:
    redis = Redis.from_url(settings.REDIS_URL)
    redis.flushdb()
    return Queue(redis)


CONVERSATION_URL = f"{CHATWOOT}/api/v1/accounts/2/conversations/133"
CHAT_URL = f"{DIFY}/v1/chat-messages"


@dataclass
class Platforms:
    """Chatwoot and Dify on the wire, as a bot meets them on a good day."""

    wire: responses.RequestsMock
    posted: list[JsonObject] = field(default_factory=list)
    asked: list[JsonObject] = field(default_factory=list)

    def chatwoot_shows(
        self, *, status: str = "pending", last: JsonObject | None = None
    ) -> None:
        """Answer GET conversations/133; later calls replace earlier ones."""
        body: JsonObject = {
            "id": 133,
            "status": status,
            "meta": {"sender": {"id": 640}, "channel": "Channel::WebWidget"},
            "last_non_activity_message": last or {"id": 9001, "message_type": 0},
        }
        self.chatwoot_answers_reads(json=body)

    def chatwoot_answers_reads(self, **answer: Any) -> None:
        """Answer GET conversations/133 with anything."""
        self.wire.remove(responses.GET, CONVERSATION_URL)
        self.wire.get(CONVERSATION_URL, **answer)

    def chatwoot_refuses(self, token: str) -> None:
        """Answer every request with this token as Chatwoot does after its end."""
        for method in (responses.GET, responses.POST):
            self.wire.add(
                method,
                re.compile(rf"{re.escape(CHATWOOT)}/.*"),
                json={"error": "Invalid Access Token"},
                status=401,
                match=[matchers.header_matcher({"api-access-token": token})],
            )
            # Those that were there before would be asked first.
            registry = self.wire._registry.registered
            registry.insert(0, registry.pop())

    def used(self, token: str) -> int:
        """Count the calls that were made with a token."""
        return sum(
            call.request.headers.get("api-access-token") == token
            for call in self.wire.calls
        )

    def chatwoot_takes_messages(self, **rest: Any) -> None:
        """Answer POST messages like Chatwoot, or with `rest` for a bad day."""
        url = f"{CONVERSATION_URL}/messages"
        self.wire.remove(responses.POST, url)
        if rest:
            self.wire.post(url, **rest)
            return

        def store(request: Any) -> tuple[int, dict[str, str], str]:
            self.posted.append(json.loads(request.body))
            return 200, {}, json.dumps({"id": 9100 + len(self.posted)})

        self.wire.add_callback(responses.POST, url, callback=store)

    def chatwoot_has_history(self, *messages: JsonObject) -> None:
        """Answer GET messages with what Chatwoot knows."""
        self.wire.get(f"{CONVERSATION_URL}/messages", json={"payload": list(messages)})

    def dify_answers(
        self,
        *events: JsonObject,
        meanwhile: Callable[[], object] | None = None,
        **rest: Any,
    ) -> None:
        """Answer a chat with a stream of these events; later calls come after.

        `meanwhile` happens after the question and before the answer.
        """
        if rest:
            self.wire.post(CHAT_URL, **rest)
            return
        stream = "".join(f"data: {json.dumps(event)}\n\n" for event in events)

        def answer(request: Any) -> tuple[int, dict[str, str], str]:
            self.asked.append(json.loads(request.body))
            if meanwhile is not None:
                meanwhile()
            return 200, {"Content-Type": "text/event-stream"}, stream

        self.wire.add_callback(responses.POST, CHAT_URL, callback=answer)

    def calls(self, method: str, ending: str) -> int:
        """Count the calls whose path ends so."""
        return sum(
            call.request.method == method
            and str(call.request.url).split("?")[0].endswith(ending)
            for call in self.wire.calls
        )


IDS: JsonObject = {
    "task_id": "task-1",
    "conversation_id": "dify-conversation-1",
    "message_id": "dify-message-1",
}


def answer_events(text: str, **ids: str) -> list[JsonObject]:
    """The stream of a chat app that says `text`."""
    common = {**IDS, **ids}
    usage: JsonObject = {"total_tokens": 42, "total_price": "0.0012", "currency": "USD"}
    end: JsonObject = {"event": "message_end", "metadata": {"usage": usage}}
    return [{"event": "message", "answer": text, **common}, {**end, **common}]


@pytest.fixture
def platforms(wire: responses.RequestsMock) -> Platforms:
    """A Chatwoot that lets us speak and takes everything; Dify is up to the test."""
    both = Platforms(wire)
    both.chatwoot_shows()
    both.chatwoot_takes_messages()
    wire.post(f"{CONVERSATION_URL}/toggle_typing_status", body="")
    wire.post(f"{CONVERSATION_URL}/toggle_status", json={"payload": {"success": True}})
    return both


@pytest.fixture
def bot() -> Bot:
    return make_bot()


@pytest.fixture
def conversation(bot: Bot) -> Conversation:
    return make_conversation(bot)


@pytest.fixture
def turn(
    bot: Bot, conversation: Conversation, payload: Callable[[str], JsonObject]
) -> Turn:
    """A due turn of one customer's message."""
    made = make_turn(conversation, bot)
    make_event(
        bot.account,
        message_payload(payload("message_created_incoming_text")),
        conversation=conversation,
        turn=made,
        status="processed",
        action="answer",
        reason="customer_message",
    )
    return made
