"""What people do in a conversation: for the control API and for triggers."""

from __future__ import annotations

import uuid

from sandbox.chatwoot.drafts import Draft, Upload
from sandbox.chatwoot.records import INCOMING, Actor, Conversation, Message
from sandbox.chatwoot.server import ChatwootServer

DEFAULT_AGENT_ID = 2  # Marta


def customer_of(chatwoot: ChatwootServer, row: Conversation) -> Actor:
    contact = chatwoot.store.contact_of(row)
    return Actor(kind="Contact", id=contact.id, name=contact.name)


def agent(chatwoot: ChatwootServer, agent_id: int = DEFAULT_AGENT_ID) -> Actor:
    """Raises KeyError for an agent that there is not."""
    row = chatwoot.store.agents[agent_id]
    return Actor(kind="User", id=row.id, name=row.name)


def say(
    chatwoot: ChatwootServer,
    row: Conversation,
    *,
    content: str | None,
    uploads: list[Upload] | None = None,
) -> Message:
    """The customer writes something."""
    is_widget = chatwoot.store.inbox_of(row).channel == "Channel::WebWidget"
    draft = Draft(
        content=content,
        message_type=INCOMING,
        actor=customer_of(chatwoot, row),
        content_attributes={"in_reply_to": None} if is_widget else {},
        uploads=uploads or [],
    )
    return chatwoot.messages.create(draft, conversation=row)


def write(
    chatwoot: ChatwootServer,
    row: Conversation,
    *,
    content: str,
    actor: Actor,
    private: bool = False,
) -> Message:
    """An agent replies in the dashboard, or notes something."""
    draft = Draft(content=content, actor=actor, private=private)
    return chatwoot.messages.create(draft, conversation=row)


def write_from_phone(
    chatwoot: ChatwootServer, row: Conversation, *, content: str
) -> Message:
    """A human answers in the channel's own app: outgoing, and nobody's."""
    draft = Draft(content=content, source_id=f"wamid.{uuid.uuid4().hex}")
    return chatwoot.messages.create(draft, conversation=row)


def set_status(
    chatwoot: ChatwootServer, row: Conversation, *, status: str, actor: Actor
) -> None:
    """An agent (not an administrator) who opens a conversation gets it."""
    chatwoot.lifecycle.set_status(row, status=status, actor=actor)
    if status == "open" and chatwoot.store.agents[actor.id or 0].role == "agent":
        chatwoot.lifecycle.assign_agent(row, agent_id=actor.id, actor=actor)


def add_label(
    chatwoot: ChatwootServer, row: Conversation, *, label: str, actor: Actor
) -> None:
    labels = list(dict.fromkeys([*row.labels, label]))
    chatwoot.lifecycle.save(row, actor=actor, changes={"labels": labels})


def delete_newest(chatwoot: ChatwootServer, row: Conversation) -> Message | None:
    """An agent deletes the newest message of the customer that is still there."""
    for message in reversed(row.messages):
        is_theirs = message.message_type == INCOMING
        if is_theirs and not message.content_attributes.get("deleted"):
            chatwoot.messages.delete(message)
            return message
    return None
