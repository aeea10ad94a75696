"""Sends the account's webhooks: recipients, signature, retries, final failure."""

from __future__ import annotations

import asyncio
import functools
import hashlib
import hmac
import json
import logging
import random
import uuid
from collections.abc import Callable, Coroutine
from dataclasses import dataclass

import httpx

from sandbox import times
from sandbox.chatwoot.records import Bot, Conversation, Inbox
from sandbox.chatwoot.store import ChatwootStore
from sandbox.json_types import Json
from sandbox.settings import Settings
from sandbox.wire_log import BODY_LIMIT, WireEntry, WireLog, shown_headers

logger = logging.getLogger(__name__)

_chance = random.SystemRandom()

BOT_EVENTS = frozenset(
    {
        "message_created",
        "message_updated",
        "conversation_updated",
        "conversation_status_changed",
        "conversation_opened",
        "conversation_resolved",
        "webwidget_triggered",
    }
)
# The names an account webhook may subscribe to; the last two need an environment
# variable in Chatwoot and are never raised here.
SUBSCRIPTIONS = frozenset(
    {
        "conversation_status_changed",
        "conversation_updated",
        "conversation_created",
        "contact_created",
        "contact_updated",
        "message_created",
        "message_updated",
        "webwidget_triggered",
        "conversation_typing_on",
        "conversation_typing_off",
        "inbox_created",
        "inbox_updated",
    }
)
API_INBOX_EVENTS = SUBSCRIPTIONS - {
    "contact_created",
    "contact_updated",
    "inbox_created",
    "inbox_updated",
}
BOT_ATTEMPTS = 3
THREADS = 10  # Sidekiq's default
RETRIED_STATUSES = (429, 500)
PUNISHED_EVENTS = ("message_created", "message_updated")

Build = Callable[[], Json]
Raw = Callable[[], bytes]
OnBotFailure = Callable[[int], None]


def rails_json(payload: Json) -> bytes:
    """JSON as Rails writes it: compact, UTF-8, ``<``, ``>`` and ``&`` escaped."""
    text = json.dumps(payload, ensure_ascii=False, separators=(",", ":"))
    for char in "<>&\u2028\u2029":
        text = text.replace(char, f"\\u{ord(char):04x}")
    return text.encode()


def signature(*, secret: str, timestamp: str, raw_body: bytes) -> str:
    """Value of X-Chatwoot-Signature."""
    signed = timestamp.encode() + b"." + raw_body
    return f"sha256={hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()}"


@dataclass(frozen=True)
class Delivery:
    """One queued POST. Retries and copies share id and body, not the signature."""

    id: str
    kind: str
    event: str
    url: str
    secret: str
    raw: Raw
    conversation_id: int | None


class WebhookSender:
    """Queues deliveries as tasks, ten at work at once like Sidekiq's threads."""

    def __init__(
        self, *, settings: Settings, wire_log: WireLog, on_bot_failure: OnBotFailure
    ) -> None:
        self.settings = settings
        self.wire_log = wire_log
        self.on_bot_failure = on_bot_failure
        self._threads = asyncio.Semaphore(THREADS)
        self._tasks: set[asyncio.Task[None]] = set()
        self._client = httpx.AsyncClient(
            follow_redirects=True,
            trust_env=False,
            limits=httpx.Limits(max_connections=None),
        )

    def publish(
        self,
        event: str,
        *,
        build: Build,
        store: ChatwootStore,
        inbox: Inbox | None = None,
        conversation: Conversation | None = None,
    ) -> None:
        """Queue ``event`` for everyone who gets it (section 1 of the reference).

        A bot's body is built now, as a snapshot; the others' when their job runs.
        """
        conversation_id = conversation.id if conversation else None

        def queue(*, kind: str, url: str, secret: str, raw: Raw) -> None:
            self._queue(
                Delivery(
                    id=str(uuid.uuid4()),
                    kind=kind,
                    event=event,
                    url=url,
                    secret=secret,
                    raw=raw,
                    conversation_id=conversation_id,
                )
            )

        if event in BOT_EVENTS and inbox is not None:
            bots = _recipients(store, inbox=inbox, conversation=conversation)
            snapshot = rails_json(build()) if bots else b""
            for bot in bots:
                url, secret = bot.outgoing_url, bot.secret
                queue(kind="bot", url=url, secret=secret, raw=lambda: snapshot)
        for webhook in store.webhooks.values():
            if event in webhook.subscriptions:
                queue(
                    kind="account",
                    url=webhook.url,
                    secret=webhook.secret,
                    raw=functools.cache(lambda: rails_json(build())),
                )
        if inbox is not None and inbox.webhook_url and event in API_INBOX_EVENTS:
            queue(
                kind="api_inbox",
                url=inbox.webhook_url,
                secret=inbox.secret,
                raw=functools.cache(lambda: rails_json(build())),
            )

    async def drain(self) -> None:
        """Wait until nothing is queued or under way; new deliveries count too."""
        while self._tasks:
            await asyncio.wait(set(self._tasks))

    @property
    def pending(self) -> int:
        return len(self._tasks)

    def forget_queue(self) -> None:
        for task in set(self._tasks):
            task.cancel()

    async def close(self) -> None:
        self.forget_queue()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._client.aclose()

    def _queue(self, delivery: Delivery) -> None:
        self._start(self._run(delivery))
        for number in range(2, self.settings.webhook_copies + 1):
            self._start(self._copy(delivery, number=number))

    def _start(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _copy(self, delivery: Delivery, *, number: int) -> None:
        """Once more, whatever the answer; only the first copy's counts."""
        await self._post(delivery, note=f"copy {number}")

    async def _run(self, delivery: Delivery) -> None:
        attempts = BOT_ATTEMPTS if delivery.kind == "bot" else 1
        for attempt in range(1, attempts + 1):
            note = f"attempt {attempt}" if attempt > 1 else ""
            status = await self._post(delivery, note=note)
            if status is not None and 200 <= status < 300:
                return
            if status not in RETRIED_STATUSES or attempt == attempts:
                break
            await asyncio.sleep(self.settings.webhook_retry_wait_s)
        logger.info("delivery of %s to %s failed", delivery.event, delivery.kind)
        punished = delivery.kind == "bot" and delivery.event in PUNISHED_EVENTS
        if punished and delivery.conversation_id is not None:
            self.on_bot_failure(delivery.conversation_id)

    async def _post(self, delivery: Delivery, *, note: str) -> int | None:
        """HTTP status, or None when there was no answer."""
        if self.settings.webhook_shuffle_s:
            await asyncio.sleep(_chance.uniform(0, self.settings.webhook_shuffle_s))
        async with self._threads:
            return await self._send(delivery, note=note)

    async def _send(self, delivery: Delivery, *, note: str) -> int | None:
        raw = delivery.raw()
        headers = self._headers(delivery, raw=raw)
        url = httpx.URL(delivery.url)
        entry = self.wire_log.start(
            direction="chatwoot→bridge",
            method="POST",
            path=url.raw_path.decode("ascii", errors="replace"),
        )
        entry.note = f"{delivery.kind}: {delivery.event}"
        if note:
            entry.note += f", {note}"
        self.wire_log.keep_request(entry, headers=headers.items(), body=raw)
        return await self._exchange(entry, url=url, raw=raw, headers=headers)

    async def _exchange(
        self, entry: WireEntry, *, url: httpx.URL, raw: bytes, headers: dict[str, str]
    ) -> int | None:
        try:
            response = await self._client.post(
                url,
                content=raw,
                headers=headers,
                timeout=self.settings.webhook_timeout_s,
            )
        except (httpx.HTTPError, httpx.InvalidURL) as err:
            self.wire_log.finish(entry, error=f"{type(err).__name__}: {err}")
            return None
        entry.status = response.status_code
        entry.response_headers = shown_headers(response.headers.items())
        entry.response_raw = response.content[:BODY_LIMIT]
        entry.response_bytes = len(response.content)
        self.wire_log.finish(entry)
        return response.status_code

    def _headers(self, delivery: Delivery, *, raw: bytes) -> dict[str, str]:
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if not self.settings.sign_webhooks:
            return headers
        timestamp = str(int(times.now()))
        return {
            **headers,
            "X-Chatwoot-Delivery": delivery.id,
            "X-Chatwoot-Timestamp": timestamp,
            "X-Chatwoot-Signature": signature(
                secret=delivery.secret, timestamp=timestamp, raw_body=raw
            ),
        }


def _recipients(
    store: ChatwootStore, *, inbox: Inbox, conversation: Conversation | None
) -> list[Bot]:
    """The assigned bot and the inbox's bot, each once, if they have a URL."""
    ids = [conversation.assignee_bot_id if conversation else None, inbox.bot_id]
    unique = dict.fromkeys(bot_id for bot_id in ids if bot_id is not None)
    bots = [store.bots[bot_id] for bot_id in unique if bot_id in store.bots]
    return [bot for bot in bots if bot.outgoing_url]
