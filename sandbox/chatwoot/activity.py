"""The English activity lines that a save leaves in a conversation."""

from __future__ import annotations

from sandbox.chatwoot.records import Actor
from sandbox.chatwoot.store import ChatwootStore
from sandbox.json_types import Json

SYSTEM = Actor(kind="System", id=None, name="System")
BOT_FAILURE_TEXT = (
    "Conversation was marked open by system due to an error with the agent bot."
)
_STATUS_TEXTS = {
    "open": "Conversation was reopened by {name}",
    "resolved": "Conversation was marked resolved by {name}",
    "pending": "Conversation was marked as pending by {name}",
    "snoozed": "Conversation was snoozed by {name}",
}


def activity_texts(
    store: ChatwootStore, *, actor: Actor, before: Json, changed: Json
) -> list[str]:
    """English activity lines for one save, as config/locales/en.yml words them."""
    texts: list[str] = []
    if "status" in changed:
        if actor.kind != "System":
            texts.append(_STATUS_TEXTS[changed["status"]].format(name=actor.name))
        elif changed["status"] == "open":
            texts.append(
                "System reopened the conversation due to a new incoming message."
            )
    if "assignee_id" in changed:
        texts.append(
            _assignee_text(store, actor=actor, agent_id=changed["assignee_id"])
        )
    if "team_id" in changed:
        new, old = (
            store.teams.get(i or 0) for i in (changed["team_id"], before["team_id"])
        )
        if new is not None:
            texts.append(f"Assigned to {new.name} by {actor.name}")
        elif old is not None:
            texts.append(f"Unassigned from {old.name} by {actor.name}")
    if "labels" in changed:
        old_labels, new_labels = set(before["labels"]), set(changed["labels"])
        if added := sorted(new_labels - old_labels):
            texts.append(f"{actor.name} added {', '.join(added)}")
        if removed := sorted(old_labels - new_labels):
            texts.append(f"{actor.name} removed {', '.join(removed)}")
    if "priority" in changed:
        texts.append(
            _priority_text(actor, old=before["priority"], new=changed["priority"])
        )
    return texts


def _assignee_text(store: ChatwootStore, *, actor: Actor, agent_id: int | None) -> str:
    if agent_id is None:
        return f"Conversation unassigned by {actor.name}"
    if actor.kind == "User" and actor.id == agent_id:
        return f"{actor.name} self-assigned this conversation"
    return f"Assigned to {store.agents[agent_id].name} by {actor.name}"


def _priority_text(actor: Actor, *, old: str | None, new: str | None) -> str:
    if new is None:
        return f"{actor.name} removed the priority"
    if old is None:
        return f"{actor.name} set the priority to {new}"
    return f"{actor.name} changed the priority from {old} to {new}"
