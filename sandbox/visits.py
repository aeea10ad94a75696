"""Which conversation a request concerns, and what happens there around it."""

from __future__ import annotations

import json
import re
from urllib.parse import parse_qs

from starlette.types import Scope

from sandbox import times
from sandbox.chatwoot.records import RequestTimes
from sandbox.chatwoot.server import ChatwootServer
from sandbox.dify.server import DifyServer
from sandbox.json_types import Json
from sandbox.triggers import Trigger, Triggers

_CHATWOOT = re.compile(r"^/api/v1/accounts/\d+/conversations/(\d+)(?:/|$)")
_READS = re.compile(r"/conversations/\d+(?:/messages)?$")
_UUID = re.compile(r"/([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})(?:/|$)")
_INPUT_NAMES = ("chatwoot_conversation_id", "conversation_id")


class Visits:
    """Sees every request of the bridge arrive."""

    def __init__(self, *, chatwoot: ChatwootServer, dify: DifyServer) -> None:
        self.chatwoot = chatwoot
        self.dify = dify
        self.triggers = Triggers(chatwoot)
        self._of_user: dict[str, int] = {}

    def clear(self) -> None:
        self.triggers.clear()
        self._of_user.clear()

    def arrive(self, scope: Scope, *, body: bytes) -> Visit:
        """Note the arrival and do what is ordered to be done before it is served."""
        arrived_at = times.now()
        number = self._conversation_of(scope, body=body)
        row = self.chatwoot.store.conversations.get(number or 0)
        scope["sandbox.request_times"] = RequestTimes(
            arrived_at=arrived_at, read_at=row.read_at if row else None
        )
        taken: list[Trigger] = []
        if row is not None and self.triggers.are_open:
            taken = self.triggers.take(
                method=scope["method"],
                path=scope["path"],
                body=body.decode("utf-8", errors="replace"),
                conversation_id=row.id,
            )
        visit = Visit(self, conversation_id=number, scope=scope, taken=taken)
        visit.fire("before")
        return visit

    def _conversation_of(self, scope: Scope, *, body: bytes) -> int | None:
        """The number of the Chatwoot conversation, if it can be told."""
        path = scope["path"]
        if match := _CHATWOOT.match(path):
            return int(match[1])
        if not path.startswith("/v1/"):
            return None
        asked = _object(body)
        user = asked.get("user")
        named = _named(asked.get("inputs"))
        if named is not None:
            if isinstance(user, str):
                self._of_user[user] = named
            return named
        query = parse_qs(scope["query_string"].decode("ascii", errors="replace"))
        ids = [asked.get("conversation_id"), *query.get("conversation_id", [])]
        ids += _UUID.findall(path)
        for known in ids:
            found = _named(self._inputs_of(str(known)))
            if found is not None:
                return found
        return self._of_user.get(str(user or query.get("user", [""])[0]))

    def _inputs_of(self, dify_id: str) -> object:
        """The inputs of a Dify conversation or of a run."""
        if (conversation := self.dify.store.conversations.get(dify_id)) is not None:
            return conversation.inputs
        run = self.dify.runs.by_id(dify_id)
        return run.inputs if run is not None else None


class Visit:
    """One request from its arrival to its end."""

    def __init__(
        self,
        visits: Visits,
        *,
        conversation_id: int | None,
        scope: Scope,
        taken: list[Trigger],
    ) -> None:
        self.visits = visits
        self.conversation_id = conversation_id
        self.taken = taken
        self.is_read = scope["method"] == "GET" and bool(_READS.search(scope["path"]))

    def fire(self, when: str) -> None:
        for trigger in self.taken:
            if trigger.when == when and self.conversation_id is not None:
                self.visits.triggers.fire(trigger, conversation_id=self.conversation_id)

    def answered(self, status: int) -> None:
        """The answer's first bytes leave: nothing after now can be in it."""
        if self.is_read and status == 200 and self.conversation_id is not None:
            rows = self.visits.chatwoot.store.conversations
            if (row := rows.get(self.conversation_id)) is not None:
                row.read_at = times.now()


def _object(body: bytes) -> Json:
    if not body.startswith(b"{"):
        return {}
    try:
        asked = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return asked if isinstance(asked, dict) else {}


def _named(inputs: object) -> int | None:
    """A number among the inputs, also one written as text."""
    if not isinstance(inputs, dict):
        return None
    for name in _INPUT_NAMES:
        text = str(inputs.get(name, ""))
        if text.isascii() and text.isdigit() and len(text) < 16:
            return int(text)
    return None
