"""How a conversation stands before anything is changed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from time import monotonic
from typing import Literal

from bridge_project.lib.errors import (
    ConfigurationError,
    NotFound,
    UpstreamRejected,
    UpstreamUnavailable,
)
from bridge_project.lib.types import JsonObject
from chatwoot_api import payloads
from chatwoot_api.payloads import Contact, Message
from conversations.actions.failures import gone
from conversations.actions.retrying import is_passing, repeating
from conversations.actions.target import Target
from conversations.models import Conversation

# Where it was read: the mirror is as old as the last webhook, and may not be there.
Source = Literal["chatwoot", "mirror", "nowhere"]


@dataclass(frozen=True, kw_only=True)
class State:
    """One conversation; ids are Chatwoot's, and empty is what is not set or unknown."""

    source: Source
    status: str = ""
    priority: str = ""
    labels: tuple[str, ...] = ()
    custom_attributes: JsonObject = field(default_factory=dict)
    team_id: int | None = None
    team_name: str = ""
    assignee_kind: str = ""
    assignee_id: int | None = None
    assignee_name: str = ""
    contact: Contact | None = None
    inbox_id: int | None = None
    channel: str = ""
    # Its last message that is no activity line; from Chatwoot only.
    last: Message | None = None
    # On the clock `time.monotonic`.
    read_at: float = field(default_factory=monotonic, repr=False, compare=False)

    @property
    def is_fresh(self) -> bool:
        """Tell whether Chatwoot said so just now, and not a webhook some time ago."""
        return self.source == "chatwoot"


def read(target: Target) -> State:
    """Return how Chatwoot says the conversation stands.

    What no token may read is taken from the mirror. Raises NotDone if there is no such
    conversation, and UpstreamError while Chatwoot is away.
    """
    client = target.client
    try:
        current, last = repeating(
            lambda: client.show_conversation(target.number),
            target=target,
            worth_it=lambda err: (
                is_passing(err) and not is_teams_bug(err, target=target)
            ),
        )
    except NotFound as err:
        raise gone(target.number) from err
    except (UpstreamRejected, ConfigurationError):
        return of_mirror(target.conversation)
    except UpstreamUnavailable as err:
        if not is_teams_bug(err, target=target):
            raise
        return of_mirror(target.conversation)
    return of_chatwoot(current, last=last)


def is_teams_bug(err: BaseException, *, target: Target) -> bool:
    """Tell whether a bot's read failed since the conversation has a team.

    It would fail again; see reference/chatwoot.md section 5.1.
    """
    return (
        isinstance(err, UpstreamUnavailable)
        and err.status == 500
        and not target.client.can_read_messages
    )


def of_chatwoot(current: payloads.Conversation, *, last: Message | None) -> State:
    """Return what Chatwoot's answer says."""
    team, assignee = current.team, current.assignee
    return State(
        source="chatwoot",
        status=current.status,
        priority=current.priority,
        labels=current.labels,
        custom_attributes=current.custom_attributes,
        team_id=team.id if team else None,
        team_name=team.name if team else "",
        assignee_kind=assignee.kind if assignee else "",
        assignee_id=assignee.id if assignee else None,
        assignee_name=assignee.name if assignee else "",
        contact=current.contact,
        inbox_id=current.inbox_id,
        channel=current.channel,
        last=last,
    )


def of_mirror(row: Conversation | None) -> State:
    """Return what the webhooks told until now."""
    if row is None:
        return State(source="nowhere")
    contact_id = row.chatwoot_contact_id
    return State(
        source="mirror",
        status=row.status,
        priority=row.priority,
        labels=tuple(row.labels),
        custom_attributes=row.custom_attributes,
        team_id=row.chatwoot_team_id,
        team_name=row.team_name,
        assignee_kind=row.assignee_kind,
        assignee_id=row.chatwoot_assignee_id,
        assignee_name=row.assignee_name,
        contact=None
        if contact_id is None
        else Contact(
            id=contact_id,
            name=row.contact_name,
            blocked=row.contact_blocked,
            custom_attributes=row.contact_custom_attributes,
        ),
        inbox_id=row.inbox.chatwoot_inbox_id if row.inbox else None,
        channel=row.channel,
    )


def values_at(values: JsonObject, keys: Iterable[str]) -> JsonObject:
    """Return those of the values that have one of the keys."""
    return {key: values[key] for key in keys if key in values}
