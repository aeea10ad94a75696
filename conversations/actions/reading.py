"""What a flow may read: the conversation as it stands, and what was said in it."""

from __future__ import annotations

from datetime import datetime

from bridge_project.lib.types import JsonObject, JsonValue
from chatwoot_api.payloads import Attachment, Message
from conversations.actions import state as states
from conversations.actions.contacts import shown
from conversations.actions.failures import explained
from conversations.actions.outcome import NotDone
from conversations.actions.retrying import repeating
from conversations.actions.state import State
from conversations.actions.target import Target
from conversations.models import Conversation, DifyConversation
from dify_api.arguments import as_int

DEFAULT_LIMIT, MAX_LIMIT = 20, 100
# Chatwoot's own, without `after`.
PAGE_SIZE = 20
MAX_AFTER = 100


def read_conversation(target: Target, *, fresh: bool) -> JsonObject:
    """Return the conversation by the mirror, or `fresh` from Chatwoot.

    `source` says which; what no token may read fresh comes from the mirror. What the
    mirror does not have is asked of Chatwoot. Raises NotDone.
    """
    try:
        state = states.of_mirror(target.conversation)
        if fresh or state.source == "nowhere":
            state = states.read(target)
    except Exception as err:
        raise explained(err, target=target) from err
    if state.source == "nowhere":
        raise NotDone(
            "Nothing is known of this conversation yet, and no token may read it. An "
            "operator has to enter an administrator's token at the Chatwoot account.",
            code="no_admin_token",
            result="failed",
        )
    return _of_state(state, target=target) | _of_bridge(target.conversation)


def _of_state(state: State, *, target: Target) -> JsonObject:
    return {
        "conversation_id": target.number,
        "source": state.source,
        "status": state.status,
        "priority": state.priority or None,
        "labels": list(state.labels),
        "custom_attributes": state.custom_attributes,
        "team": state.team_name or None,
        "team_id": state.team_id,
        "assignee": state.assignee_name or None,
        "assignee_id": state.assignee_id,
        "assignee_type": state.assignee_kind or None,
        "contact": shown(state.contact) if state.contact else None,
        "inbox_id": state.inbox_id,
        "channel": state.channel,
        "url": target.account.conversation_url(target.number),
    }


def _of_bridge(row: Conversation | None) -> JsonObject:
    """Return what only the bridge knows."""
    if row is None:
        return {
            "inbox": None,
            "dify_conversation_id": None,
            "paused": False,
            "created_at": None,
            "updated_at": None,
        }
    memories = DifyConversation.objects.filter(conversation=row, ended_at=None)
    dify_id = memories.order_by("-last_used_at").values_list(
        "dify_conversation_id", flat=True
    )
    return {
        "inbox": row.inbox.name if row.inbox else None,
        "dify_conversation_id": dify_id.first(),
        "paused": row.paused,
        "created_at": _iso(row.created_at),
        "updated_at": _iso(row.source_updated_at or row.updated_at),
    }


def read_messages(
    target: Target,
    *,
    before: JsonValue = None,
    after: JsonValue = None,
    limit: JsonValue = None,
) -> JsonObject:
    """Return messages, oldest first, with notes; needs the administrator's token.

    Without `before` and `after` (message numbers) the latest. `has_more` says whether
    there are more in the direction that was asked for. Raises NotDone.
    """
    try:
        low, high = as_int(after), as_int(before)
        count = min(max(as_int(limit) or DEFAULT_LIMIT, 1), MAX_LIMIT)
        if low is None:
            found = _back_from(high, count=count, target=target)
            page, is_cut = found[-count:], False
        else:
            found = _page(target, after=low, before=high)
            is_cut = high is None and len(found) >= MAX_AFTER
            found = [message for message in found if message.id > low]
            page = found[:count]
    except Exception as err:
        raise explained(err, target=target) from err
    return {
        "conversation_id": target.number,
        "messages": [_shown(message) for message in page],
        "has_more": is_cut or len(found) > len(page),
        "first_id": page[0].id if page else None,
        "last_id": page[-1].id if page else None,
    }


def _back_from(high: int | None, *, count: int, target: Target) -> list[Message]:
    """Return more than `count` messages before one, if there are so many."""
    found: list[Message] = []
    while len(found) <= count:
        page = _page(target, after=None, before=high)
        # Whatever a newer Chatwoot means by `before`, this ends.
        page = [message for message in page if high is None or message.id < high]
        if not page:
            break
        found = page + found
        high = page[0].id
        if len(page) < PAGE_SIZE:
            break
    return found


def _page(target: Target, *, after: int | None, before: int | None) -> list[Message]:
    return repeating(
        lambda: target.client.list_messages(target.number, after=after, before=before),
        target=target,
    )


def _shown(message: Message) -> JsonObject:
    return {
        "id": message.id,
        "type": message.message_type,
        "private": message.private,
        "content": message.text,
        "content_type": message.content_type,
        "sender": message.sender.name,
        "sender_type": message.sender.kind,
        "created_at": _iso(message.created_at),
        "attachments": [_file(file) for file in message.attachments],
    }


def _file(file: Attachment) -> JsonObject:
    return {
        "type": file.file_type,
        "url": file.data_url,
        "name": file.title,
        "size": file.file_size,
    }


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()
