"""What people do the moment that a request of the bridge comes by, as ordered."""

from __future__ import annotations

import asyncio
import itertools
import re
from collections.abc import Callable
from dataclasses import asdict, dataclass, field

from sandbox import acts, times
from sandbox.chatwoot.errors import ApiError
from sandbox.chatwoot.records import Conversation, Message
from sandbox.chatwoot.server import ChatwootServer
from sandbox.json_types import Json, JsonList

PAUSE_LABEL = "bot-paused"
CUSTOMER_TEXT = "and another thing"
MAX_TIMES = 10_000
MAX_DELAY_S = 600.0

Act = Callable[[ChatwootServer, Conversation], Message | None]


class BadTrigger(ValueError):
    """A trigger order that makes no sense."""


def _human_reply(chatwoot: ChatwootServer, row: Conversation) -> Message:
    text = "Hello, this is Marta. I take over."
    return acts.write(chatwoot, row, content=text, actor=acts.agent(chatwoot))


def _phone_reply(chatwoot: ChatwootServer, row: Conversation) -> Message:
    return acts.write_from_phone(chatwoot, row, content="Answered from my phone.")


def _note(chatwoot: ChatwootServer, row: Conversation) -> Message:
    actor = acts.agent(chatwoot)
    text = "I am watching this one."
    return acts.write(chatwoot, row, content=text, actor=actor, private=True)


def _open(chatwoot: ChatwootServer, row: Conversation) -> None:
    acts.set_status(chatwoot, row, status="open", actor=acts.agent(chatwoot))


def _resolve(chatwoot: ChatwootServer, row: Conversation) -> None:
    acts.set_status(chatwoot, row, status="resolved", actor=acts.agent(chatwoot))


def _assign(chatwoot: ChatwootServer, row: Conversation) -> None:
    actor = acts.agent(chatwoot)
    chatwoot.lifecycle.assign_agent(row, agent_id=actor.id, actor=actor)


def _pause_label(chatwoot: ChatwootServer, row: Conversation) -> None:
    acts.add_label(chatwoot, row, label=PAUSE_LABEL, actor=acts.agent(chatwoot))


def _customer_message(chatwoot: ChatwootServer, row: Conversation) -> Message:
    return acts.say(chatwoot, row, content=CUSTOMER_TEXT)


ACTS: dict[str, Act] = {
    "human_reply": _human_reply,
    "phone_reply": _phone_reply,
    "note": _note,
    "open": _open,
    "resolve": _resolve,
    "assign": _assign,
    "pause_label": _pause_label,
    "customer_message": _customer_message,
    "delete_message": acts.delete_newest,
}


@dataclass
class Trigger:
    """``times`` requests set it off, at most one of each conversation.

    ``fired`` tells what has been done: the conversation, when, and the message that
    was written or deleted.
    """

    id: int
    do: str
    method: str = "POST"
    path: str = r"/conversations/\d+/messages$"
    content: str = ""
    when: str = "before"
    delay_s: float = 0.0
    times: int = 1
    conversation_id: int | None = None
    used: int = 0
    fired: JsonList = field(default_factory=list)

    def fits(self, *, method: str, path: str, body: str) -> bool:
        return (
            self.method in ("*", method)
            and bool(re.search(self.path, path))
            and self.content in body
        )


class Triggers:
    """The orders, used up ones included; only open ones cost anything."""

    def __init__(self, chatwoot: ChatwootServer) -> None:
        self.chatwoot = chatwoot
        self.orders: list[Trigger] = []
        # By the conversation that an order is restricted to, None for all of them.
        self._open: dict[int | None, list[Trigger]] = {}
        self._hit: set[tuple[int, int]] = set()
        self._timers: set[asyncio.TimerHandle] = set()
        self._ids = itertools.count(1)

    def order(self, wish: Json) -> Trigger:
        _check(wish)
        trigger = Trigger(id=next(self._ids), **wish)
        self.orders.append(trigger)
        self._open.setdefault(trigger.conversation_id, []).append(trigger)
        return trigger

    def as_json(self) -> JsonList:
        return [asdict(trigger) for trigger in self.orders]

    def clear(self) -> None:
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()
        self.orders.clear()
        self._open.clear()
        self._hit.clear()

    @property
    def are_open(self) -> bool:
        return bool(self._open)

    def take(
        self, *, method: str, path: str, body: str, conversation_id: int
    ) -> list[Trigger]:
        """The orders that this request sets off."""
        taken: list[Trigger] = []
        for key in (None, conversation_id):
            for trigger in list(self._open.get(key, ())):
                hit = (trigger.id, conversation_id)
                fits = trigger.fits(method=method, path=path, body=body)
                if hit in self._hit or not fits:
                    continue
                self._hit.add(hit)
                trigger.used += 1
                if trigger.used >= trigger.times:
                    self._close(trigger)
                taken.append(trigger)
        return taken

    def _close(self, trigger: Trigger) -> None:
        rows = self._open[trigger.conversation_id]
        rows.remove(trigger)
        if not rows:
            del self._open[trigger.conversation_id]

    def fire(self, trigger: Trigger, *, conversation_id: int) -> None:
        """Do it now, or ``delay_s`` from now; nobody waits for it."""
        if not trigger.delay_s:
            self._act(trigger, conversation_id=conversation_id)
            return

        def act() -> None:
            self._timers.discard(timer)
            self._act(trigger, conversation_id=conversation_id)

        timer = asyncio.get_running_loop().call_later(trigger.delay_s, act)
        self._timers.add(timer)

    def _act(self, trigger: Trigger, *, conversation_id: int) -> None:
        row = self.chatwoot.store.conversations.get(conversation_id)
        if row is None:
            return  # deleted meanwhile
        done: Json = {"conversation_id": row.id, "at": times.iso_micro(times.now())}
        try:
            message = ACTS[trigger.do](self.chatwoot, row)
        except ApiError as err:
            done["error"] = str(err)
        else:
            done["message_id"] = message.id if message else None
        trigger.fired.append(done)


_KINDS: dict[str, tuple[type, ...]] = {
    "do": (str,),
    "method": (str,),
    "path": (str,),
    "content": (str,),
    "when": (str,),
    "delay_s": (int, float),
    "times": (int,),
    "conversation_id": (int, type(None)),
}


def _check(wish: Json) -> None:
    """Raises BadTrigger."""
    for name, value in wish.items():
        if name not in _KINDS:
            raise BadTrigger(f"Unknown key: {name}.")
        if not isinstance(value, _KINDS[name]) or isinstance(value, bool):
            raise BadTrigger(f"{name} cannot be {value!r}.")
    if wish.get("do") not in ACTS:
        raise BadTrigger(f"do must be one of {', '.join(ACTS)}.")
    if wish.get("when", "before") not in ("before", "after"):
        raise BadTrigger("when must be before or after.")
    if not 1 <= wish.get("times", 1) <= MAX_TIMES:
        raise BadTrigger(f"times must be between 1 and {MAX_TIMES}.")
    if not 0 <= wish.get("delay_s", 0) <= MAX_DELAY_S:
        raise BadTrigger(f"delay_s must be between 0 and {MAX_DELAY_S:g}.")
    try:
        re.compile(wish.get("path", ""))
    except re.error as err:
        raise BadTrigger(f"path is not a pattern: {err}.") from err
