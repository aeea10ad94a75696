"""When a human took a conversation over, read from what Chatwoot shows. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

from chaos.states import Author, Conversation, Message

# The one request that may be under way when a human replies.
LAST_REQUEST_S = 2.0

# Activity lines as Chatwoot words them; the name tells a human from the bot.
_STATUS = re.compile(
    r"^Conversation was (?:reopened|marked (?P<kind>resolved|as pending)|snoozed) "
    r"by (?P<name>.+)$"
)
_ASSIGNED = re.compile(
    r"^(?:Assigned to (?!.* by System$).+ by .+|.+ self-assigned this conversation)$"
)
_UNASSIGNED = re.compile(r"^Conversation unassigned by .+$")


@dataclass(frozen=True)
class Rules:
    """What counts as a takeover besides a public reply by a human."""

    bot_names: frozenset[str] = frozenset()
    assigning_counts: bool = False


@dataclass(frozen=True)
class Takeover:
    """A moment from which on the bot has to be silent."""

    at: float
    what: str
    is_resolved: bool = False


def takeover_before(
    message: Message,
    *,
    conversation: Conversation,
    answers_up_to: int,
    rules: Rules,
) -> Takeover | None:
    """Return the earliest takeover that was in force when the bot said `message`.

    A human's reply is in force for customers' messages up to it, a status or an
    assignment until it is taken back.
    """
    reply: Takeover | None = None
    status: Takeover | None = None
    assigned: Takeover | None = None
    for earlier in conversation.messages:
        if earlier.id >= message.id or earlier.private:
            continue
        if earlier.author is Author.HUMAN:
            if earlier.id > answers_up_to and reply is None:
                reply = Takeover(at=earlier.created_at, what="a human's reply")
        elif earlier.author is Author.CUSTOMER:
            # Chatwoot gives a resolved conversation back to its bot.
            status = None if status is not None and status.is_resolved else status
        elif earlier.author is Author.PLATFORM:
            status = _status_after(earlier, before=status, rules=rules)
            assigned = _assigned_after(earlier, before=assigned, rules=rules)
    found = [one for one in (reply, status, assigned) if one is not None]
    return min(found, key=lambda one: one.at, default=None)


def _status_after(
    line: Message, *, before: Takeover | None, rules: Rules
) -> Takeover | None:
    match = _STATUS.match(line.text)
    if match is None:
        return before
    if match["kind"] == "as pending":
        return None
    if before is not None or match["name"] in rules.bot_names:
        return before
    return Takeover(
        at=line.created_at,
        what=f"“{line.text}”",
        is_resolved=match["kind"] == "resolved",
    )


def _assigned_after(
    line: Message, *, before: Takeover | None, rules: Rules
) -> Takeover | None:
    if not rules.assigning_counts:
        return None
    if _UNASSIGNED.match(line.text):
        return None
    if before is None and _ASSIGNED.match(line.text):
        return Takeover(at=line.created_at, what=f"“{line.text}”")
    return before
