"""What the control API shows: the whole state, in shapes made for reading."""

from __future__ import annotations

from sandbox import times
from sandbox.chatwoot import seed
from sandbox.chatwoot.payloads import unread_count
from sandbox.chatwoot.records import MESSAGE_TYPES, Conversation, Message
from sandbox.dify import calls, scripts
from sandbox.dify.apps import DifyApp
from sandbox.json_types import Json
from sandbox.settings import DIFY_VERSIONS
from sandbox.world import World


def overview(world: World) -> Json:
    """All that the page draws around a conversation."""
    store = world.chatwoot.store
    return {
        "account": {"id": store.account.id, "name": store.account.name},
        "settings": world.settings.as_json(),
        "dify_versions": list(DIFY_VERSIONS),
        "dify_apps": [dify_app(app) for app in world.dify.store.apps.values()],
        "inboxes": [
            {
                "id": inbox.id,
                "name": inbox.name,
                "channel": inbox.channel,
                "has_bot": inbox.bot_id is not None,
            }
            for inbox in store.inboxes.values()
        ],
        "agents": [
            {"id": a.id, "name": a.name, "role": a.role} for a in store.agents.values()
        ],
        "bots": [
            {"id": b.id, "name": b.name, "outgoing_url": b.outgoing_url}
            for b in store.bots.values()
        ],
        "teams": [{"id": t.id, "name": t.name} for t in store.teams.values()],
        "labels": [
            {"title": row.title, "color": row.color} for row in store.labels.values()
        ],
        "commands": [
            {"command": f"{name} {arg}".strip(), "what": what}
            for name, arg, what in (*scripts.COMMANDS, *calls.COMMANDS)
        ],
        "conversations": conversation_list(world),
        "credentials": {
            "bot_token": seed.BOT_TOKEN,
            "admin_token": seed.ADMIN_TOKEN,
            "webhook_secret": store.bots[1].secret if 1 in store.bots else "",
        },
    }


def conversation_list(world: World) -> list[Json]:
    """Newest activity first."""
    rows = sorted(
        world.chatwoot.store.conversations.values(),
        key=lambda row: row.last_activity_at,
        reverse=True,
    )
    return [_brief(world, row) for row in rows]


def all_conversations(world: World) -> list[Json]:
    """Every conversation in full, oldest first."""
    return [conversation(world, r) for r in world.chatwoot.store.conversations.values()]


def _brief(world: World, conversation: Conversation) -> Json:
    newest_first = reversed(conversation.messages)
    spoken = (m.content for m in newest_first if m.content and not m.private)
    return {
        "id": conversation.id,
        "status": conversation.status,
        "inbox_id": conversation.inbox_id,
        "inbox_name": world.chatwoot.store.inbox_of(conversation).name,
        "contact_name": world.chatwoot.store.contact_of(conversation).name,
        "last_text": next(spoken, "")[:80],
        "last_activity_at": times.iso(conversation.last_activity_at),
        "unread_count": unread_count(conversation),
    }


def conversation(world: World, row: Conversation) -> Json:
    """One conversation with everything an agent could know about it."""
    store = world.chatwoot.store
    contact = store.contact_of(row)
    team = store.team_of(row)
    agent = store.agents.get(row.assignee_id or 0)
    bot = store.bots.get(row.assignee_bot_id or 0)
    return {
        **_brief(world, row),
        "channel": store.inbox_of(row).channel,
        "has_bot": store.active_bot(store.inbox_of(row)) is not None,
        "contact": {
            "id": contact.id,
            "name": contact.name,
            "email": contact.email,
            "custom_attributes": contact.custom_attributes,
            "blocked": contact.blocked,
        },
        "assignee": {"id": agent.id, "name": agent.name} if agent else None,
        "assignee_bot": {"id": bot.id, "name": bot.name} if bot else None,
        "team": {"id": team.id, "name": team.name} if team else None,
        "priority": row.priority,
        "labels": list(row.labels),
        "custom_attributes": row.custom_attributes,
        "additional_attributes": row.additional_attributes,
        "snoozed_until": times.iso(row.snoozed_until),
        "waiting_since": times.iso(row.waiting_since),
        "first_reply_created_at": times.iso(row.first_reply_created_at),
        "typing": row.typing,
        "messages": [message(world, item) for item in row.messages],
    }


def message(world: World, row: Message) -> Json:
    payloads = world.chatwoot.lifecycle.payloads
    sender = payloads.sender(row)
    return {
        "id": row.id,
        "content": row.content,
        "message_type": MESSAGE_TYPES[row.message_type],
        "private": row.private,
        "content_type": row.content_type,
        "content_attributes": row.content_attributes,
        "status": row.status,
        "source_id": row.source_id,
        "sender_type": row.sender_type,
        "sender_name": sender["name"] if sender else None,
        "created_at": times.iso_micro(row.created_at),
        "attachments": [payloads.attachment(item) for item in row.attachments],
        "request": _request(row),
    }


def _request(row: Message) -> Json | None:
    """For a judge: could whoever posted this have seen what others had written?"""
    if row.request is None:
        return None
    return {
        "arrived_at": times.iso_micro(row.request.arrived_at),
        "conversation_read_at": times.iso_micro(row.request.read_at),
    }


def dify_app(app: DifyApp) -> Json:
    return {
        "mode": app.mode,
        "key": app.key,
        "enabled": app.enabled,
        "key_refused": app.key_refused,
        "published": app.published,
        "max_active_requests": app.max_active_requests,
        "user_input_form": app.form,
    }


def dify_conversations(world: World) -> list[Json]:
    """What the played Dify remembers, newest last."""
    apps = {app.id: app for app in world.dify.store.apps.values()}
    return [
        {
            "id": row.id,
            "mode": apps[row.app_id].mode,
            "user": row.user,
            "inputs": row.inputs,
            "messages": [m.shape(is_newest=True) for m in row.messages],
            "feedback": {
                m.id: {"rating": m.feedback, "content": m.feedback_content}
                for m in row.messages
                if m.feedback
            },
        }
        for row in world.dify.store.conversations.values()
    ]
