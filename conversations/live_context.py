"""What has changed in Chatwoot since a Dify conversation was last told.

Inputs carry it on each turn. Two kinds of memory in Dify do not follow them: a
chatflow's conversation variables, and the inputs of servers before 1.0, which keep
those of the first message.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from json import dumps
from time import monotonic

from django.utils.crypto import salted_hmac

from bridge_project.lib.errors import UpstreamError
from bridge_project.lib.redact import cut, mask_ours
from bridge_project.lib.types import JsonObject, JsonValue
from conversations import context
from conversations.call_log import CallRecorder
from conversations.models import Bot, Conversation, DifyConversation, PipelineRun
from dify_api import versions
from dify_api.failures import ConversationGone
from dify_api.models import DifyApp
from dify_api.payloads import CHAT_MODES, AppMode
from dify_api.variables import Unfit, Variable, VariablesClient, fitted

# The customer waits meanwhile.
MAX_SECONDS = 15.0
MAX_VALUE_CHARS = 1000
# Not told in front of a question: it is the question, or opens doors.
_NEVER_TOLD = frozenset({"message.text", "bridge.conversation_token"})
# What `DifyConversation.told_inputs` keeps: fingerprints, not values.
Fingerprints = dict[str, JsonValue]


@dataclass(frozen=True, kw_only=True)
class Live:
    """What a run sends as its query, and what Dify knows once it has answered."""

    query: str
    notes: tuple[str, ...] = ()
    # None: nothing is to be remembered.
    told: JsonObject | None = None


@dataclass(frozen=True, kw_only=True)
class Talk:
    """A run's surroundings: who asks what where, and in which memory of Dify."""

    conversation: Conversation
    bot: Bot
    app: DifyApp
    question: str
    inputs: JsonObject
    # None at the beginning of a Dify conversation.
    current: DifyConversation | None = None

    @property
    def told(self) -> JsonObject:
        """Return what Dify was told, as fingerprints; {} if nobody knows."""
        return self.current.told_inputs if self.current is not None else {}

    @property
    def freezes(self) -> bool:
        """Tell whether Dify goes by the inputs of the first message."""
        is_chat = self.app.mode in CHAT_MODES
        return is_chat and versions.freezes_inputs(self.app.server_version)

    @property
    def has_variables(self) -> bool:
        """Tell whether variables are mapped and there may be any."""
        # The bot's mapping is about its own app, not about that for the agents' notes.
        is_own = self.app.pk == self.bot.dify_app_id
        is_chatflow = self.app.mode == AppMode.ADVANCED_CHAT
        return bool(self.bot.conversation_variables) and is_own and is_chatflow


def prepare(talk: Talk, *, recorder: CallRecorder) -> Live:
    """Tell Dify what has changed, as far as its server can be told; before a run.

    What Dify refuses is a note at the run, which goes on. Raises ConversationGone if
    Dify does not know the conversation any more.
    """
    if talk.freezes:
        live = _in_front(talk)
        if not talk.has_variables:
            return live
        return Live(
            query=live.query, notes=(*live.notes, _too_old(talk.app)), told=live.told
        )
    if not talk.has_variables or talk.current is None:
        return Live(query=talk.question)
    if not versions.sets_variables(talk.app.server_version):
        return Live(query=talk.question, notes=(_too_old(talk.app),))
    return _Variables(talk, current=talk.current, recorder=recorder).push()


def remember(
    live: Live | None, *, conversation: Conversation, run: PipelineRun
) -> None:
    """Keep what Dify was told, once the run has an answer."""
    if live is None or live.told is None or not run.dify_conversation_id:
        return
    DifyConversation.objects.filter(
        conversation=conversation,
        app=run.dify_app_id,
        dify_conversation_id=run.dify_conversation_id,
        ended_at=None,
    ).update(told_inputs=live.told)


# --- Before 1.0: in front of the question ---------------------------------------------


def _in_front(talk: Talk) -> Live:
    """Put the values that changed in front of the question, each by the template."""
    values = {
        name: value
        for name, value in talk.inputs.items()
        if talk.bot.inputs.get(name) not in _NEVER_TOLD
    }
    now = _fingerprints(values)
    told: JsonObject = {**talk.told, "inputs": now}
    if talk.current is None:
        return Live(query=talk.question, told=told)
    before = talk.told.get("inputs")
    if not isinstance(before, dict):
        before = _at_the_beginning(talk.current, names=values)
    names = {**now, **before}
    changed = [name for name in names if now.get(name) != before.get(name)]
    if not changed:
        return Live(query=talk.question, told=told if told != talk.told else None)
    server = f"Dify {talk.app.server_version} keeps the inputs of the first message."
    if not talk.bot.context_template.strip():
        note = (
            f"{server} Changed since, and not told, because the bot's template for "
            f"changed values is empty: {', '.join(changed)}."
        )
        return Live(query=talk.question, notes=(note,))
    lines = "\n".join(
        filled(talk.bot.context_template, name=name, value=values.get(name))
        for name in changed
    )
    # The model might repeat what it reads.
    note = f"{server} Told in front of the question:\n{mask_ours(lines)}"
    return Live(query=f"{lines}\n\n{talk.question}", notes=(note,), told=told)


def filled(template: str, *, name: str, value: JsonValue) -> str:
    """Return the template with a name and its value, which is one line."""
    plain = value if isinstance(value, str) else dumps(value, ensure_ascii=False)
    shown = "" if value is None else " ".join(plain.split())[:MAX_VALUE_CHARS]
    parts = {"{name}": name, "{value}": shown}
    return re.sub(r"\{name\}|\{value\}", lambda found: parts[found[0]], template)


def _at_the_beginning(current: DifyConversation, *, names: JsonObject) -> Fingerprints:
    """Return what the first run said, for memories older than this module.

    Without that run nothing counts as changed.
    """
    runs = PipelineRun.objects.filter(
        turn__conversation=current.conversation_id,
        dify_conversation_id=current.dify_conversation_id,
    )
    first = runs.order_by("pk").values_list("inputs", flat=True).first()
    if not first:
        return _fingerprints(names)
    return _fingerprints({key: first[key] for key in names if key in first})


def _fingerprints(values: Mapping[str, JsonValue]) -> Fingerprints:
    """Return what tells values apart and gives none of them away.

    An empty value is as good as none.
    """
    return {
        name: salted_hmac("live_context", dumps(value, sort_keys=True)).hexdigest()[:16]
        for name, value in values.items()
        if value not in (None, "")
    }


# --- From 1.8 on: conversation variables ----------------------------------------------


def _too_old(app: DifyApp) -> str:
    return (
        "The bot's conversation variables were not set: they need Dify 1.8, and this "
        f"is {app.server_version}."
    )


class _Variables:
    """Sets what differs from what was last told; what a flow changed itself stays."""

    def __init__(
        self, talk: Talk, *, current: DifyConversation, recorder: CallRecorder
    ) -> None:
        self._talk = talk
        self._current = current
        self._client = VariablesClient(talk.app.connection(), call_log=recorder)
        self._notes: list[str] = []
        self._until = monotonic() + MAX_SECONDS

    def push(self) -> Live:
        """Set what has changed; if nothing has, no call is made."""
        talk = self._talk
        found = context.wanted_inputs(
            talk.bot.conversation_variables,
            conversation=talk.conversation,
            question=talk.question,
        )
        now, known = _fingerprints(found), talk.told.get("variables")
        told = dict(known) if isinstance(known, dict) else {}
        changed = {
            # What lost its value in Chatwoot is emptied in Dify.
            name: found.get(name)
            for name in sorted(talk.bot.conversation_variables)
            if now.get(name) != told.get(name)
        }
        if not changed:
            return Live(query=talk.question)
        for name in self._set(changed):
            told.pop(name, None)
            told |= {name: now[name]} if name in now else {}
        return Live(
            query=talk.question,
            notes=tuple(self._notes),
            told={**talk.told, "variables": told},
        )

    def _set(self, changed: JsonObject) -> Iterator[str]:
        """Yield the names of what Dify now has as Chatwoot has it."""
        current = self._current
        try:
            rows = self._client.variables(
                current.dify_conversation_id, user=current.dify_user
            )
        except ConversationGone:
            raise
        except UpstreamError as err:
            self._note(", ".join(changed), why=f"{err} {err.excerpt}")
            return
        there = {row.name: row for row in rows}
        for name, value in changed.items():
            if name not in there:
                self._note(name, why="the app has no such variable.")
            elif monotonic() > self._until:
                self._note(name, why="Dify took too long; the next run tries again.")
            elif self._set_one(there[name], value):
                yield name

    def _set_one(self, row: Variable, value: JsonValue) -> bool:
        current = self._current
        try:
            fit = fitted(value, kind=row.kind)
            if not row.has(fit):
                self._client.set_variable(
                    current.dify_conversation_id,
                    row.id,
                    value=fit,
                    user=current.dify_user,
                )
        except Unfit:
            self._note(row.name, why=f"its value does not fit the type {row.kind}.")
        except ConversationGone:
            raise
        except UpstreamError as err:
            self._note(row.name, why=f"{err} {err.excerpt}")
        else:
            return True
        return False

    def _note(self, names: str, *, why: str) -> None:
        text = f"Conversation variable not set: {names}; {why}"
        self._notes.append(cut(mask_ours(text.strip())))
