"""What the doctor says: one line for each thing that was looked at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal, NamedTuple

from django.utils.functional import Promise
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from bridge_project.lib.errors import BridgeError
from bridge_project.lib.health import describe


class State(StrEnum):
    """How a thing stands; skipped: it could not be looked at, or need not be."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"
    SKIPPED = "skipped"


# The worst first.
RANKS = {State.FAILED: 0, State.WARNING: 1, State.SKIPPED: 2, State.OK: 3}

Topic = Literal["chatwoot", "delivery", "dify", "bots", "processes"]
TOPICS: tuple[Topic, ...] = ("chatwoot", "delivery", "dify", "bots", "processes")

Kind = Literal["account", "app", "bot", "bridge"]


class Check(NamedTuple):
    """A thing that is looked at: under which topic, and how it is called."""

    topic: Topic
    title: str | Promise


CHECKS: Mapping[str, Check] = {
    "chatwoot_reachable": Check("chatwoot", _("Chatwoot answers")),
    "chatwoot_version": Check("chatwoot", _("Chatwoot's version")),
    "chatwoot_clock": Check("chatwoot", _("Chatwoot's clock")),
    "bot_token": Check("chatwoot", _("What the bot token may do")),
    "admin_token": Check("chatwoot", _("What the administrator token may do")),
    "agent_bot": Check("chatwoot", _("Agent bot in Chatwoot")),
    "agent_bot_address": Check("chatwoot", _("Address that the agent bot calls")),
    "agent_bot_secret": Check("chatwoot", _("Signing secret")),
    "inboxes": Check("chatwoot", _("Inboxes linked to the agent bot")),
    "keep_pending": Check("chatwoot", _("When the bridge cannot be reached")),
    "teams": Check("chatwoot", _("Administrator in the teams")),
    "round_trip": Check("delivery", _("Signed delivery to our own address")),
    "last_delivery": Check("delivery", _("Last delivery from Chatwoot")),
    "private_address": Check("delivery", _("Address that Chatwoot can reach")),
    "app_reachable": Check("dify", _("Dify answers")),
    "app_key": Check("dify", _("Key of the app")),
    "app_mode": Check("dify", _("Kind of app")),
    "app_published": Check("dify", _("App is published")),
    "app_inputs": Check("dify", _("Inputs as we know them")),
    "app_files": Check("dify", _("Files")),
    "app_speech": Check("dify", _("Speech")),
    "app_clock": Check("dify", _("Dify's clock")),
    "bot_answers": Check("bots", _("Ready to answer")),
    "bot_inboxes": Check("bots", _("Inboxes of the bot")),
    "inputs_required": Check("bots", _("Required inputs")),
    "inputs_unknown": Check("bots", _("Inputs that the app does not declare")),
    "inputs_known": Check("bots", _("Inputs that could be filled")),
    "inputs_room": Check("bots", _("Room for the conversation token")),
    "query_input": Check("bots", _("Input for the customer's text")),
    "bot_provider": Check("bots", _("Who answers in place of Dify")),
    "bot_trial": Check("bots", _("Trial run")),
    "bot_testers": Check("bots", _("Test only")),
    "support_mode": Check("bots", _("Attribute with the customer's choice")),
    "support_mode_statuses": Check("bots", _("Statuses for the customer's choice")),
    "business_hours": Check("bots", _("Business hours")),
    "greeting": Check("bots", _("Greeting")),
    "greeting_token": Check("bots", _("Greeting in the widget")),
    "opening": Check("bots", _("Opening statement of the app")),
    "old_inputs": Check("bots", _("Inputs that change")),
    "variables": Check("bots", _("Conversation variables")),
    "flow_forms": Check("bots", _("Forms of a flow")),
    "voice": Check("bots", _("Voice messages")),
    "worker": Check("processes", _("Worker")),
    "beat": Check("processes", _("Beat")),
    "events_waiting": Check("processes", _("Oldest unprocessed event")),
    "turns_waiting": Check("processes", _("Oldest turn that is due")),
    "redis": Check("processes", _("Redis")),
    "database_clock": Check("processes", _("Clock of the database")),
    "migrations": Check("processes", _("Database tables")),
    "public_url": Check("processes", _("Address of the bridge")),
    "secrets": Check("processes", _("Stored secrets")),
}


@dataclass(frozen=True, kw_only=True)
class About:
    """What a line is about: one of our rows, or the bridge as a whole."""

    kind: Kind = "bridge"
    pk: int = 0
    name: str = ""


@dataclass(frozen=True, kw_only=True)
class Line:
    """What was found, what that means and how to mend it.

    `mend` names what we can mend ourselves (`mending.MENDS`); `link` leads to where
    somebody mends it in Chatwoot or Dify.
    """

    check: str
    state: State
    found: str
    meaning: str = ""
    remedy: str = ""
    mend: str = ""
    link: str = ""
    about: About = field(default_factory=About)

    @property
    def topic(self) -> Topic:
        return CHECKS[self.check].topic

    @property
    def title(self) -> str:
        return str(CHECKS[self.check].title)


def worst_first(lines: list[Line]) -> list[Line]:
    """Return the lines with failures on top; equal ones keep their order."""
    return sorted(lines, key=lambda line: RANKS[line.state])


def worst(lines: list[Line]) -> State:
    """Return the state of the whole; what was skipped is nobody's fault."""
    states = {line.state for line in lines}
    return next((s for s in (State.FAILED, State.WARNING) if s in states), State.OK)


def unseen(check: str, error: BridgeError | None, *, about: About) -> Line:
    """Return the line of what could not be looked at; None: nobody could ask."""
    if error is None:
        return Line(
            check=check,
            state=State.SKIPPED,
            found=gettext(
                "Not looked at: this needs an administrator's token that works."
            ),
            about=about,
        )
    return Line(
        check=check,
        state=State.WARNING,
        found=describe(error),
        meaning=gettext("It could not be looked at."),
        about=about,
    )
