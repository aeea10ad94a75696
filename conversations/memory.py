"""Which Dify conversation continues a Chatwoot conversation."""

from __future__ import annotations

from django.utils import timezone

from conversations.models import Conversation, DifyConversation
from dify_api.models import DifyApp


def current(conversation: Conversation, *, app: DifyApp) -> DifyConversation | None:
    """Return the Dify conversation to go on with, None to start one."""
    return DifyConversation.objects.filter(
        conversation=conversation, app=app, ended_at=None
    ).first()


def remember(
    conversation: Conversation,
    *,
    app: DifyApp,
    dify_conversation_id: str,
    dify_user: str,
) -> None:
    """Go on with a new Dify conversation from now on; the first of two wins."""
    row = DifyConversation(
        conversation=conversation,
        app=app,
        dify_conversation_id=dify_conversation_id,
        dify_user=dify_user,
    )
    DifyConversation.objects.bulk_create([row], ignore_conflicts=True)


def keep_apart(
    conversation: Conversation,
    *,
    app: DifyApp,
    dify_conversation_id: str,
    dify_user: str,
) -> None:
    """Note a Dify conversation that nobody goes on with, so that it can be deleted."""
    known = DifyConversation.objects.filter(
        app=app, dify_conversation_id=dify_conversation_id
    )
    if known.exists():
        return
    DifyConversation.objects.create(
        conversation=conversation,
        app=app,
        dify_conversation_id=dify_conversation_id,
        dify_user=dify_user,
        ended_at=timezone.now(),
        end_reason=DifyConversation.End.UNUSED,
    )


def touch(row: DifyConversation) -> None:
    """Note that the Dify conversation is alive."""
    DifyConversation.objects.filter(pk=row.pk).update(last_used_at=timezone.now())


def end(
    conversation: Conversation,
    *,
    reason: DifyConversation.End,
    app: DifyApp | None = None,
) -> int:
    """Stop continuing the conversation's memories, or that in one app."""
    memories = DifyConversation.objects.filter(conversation=conversation, ended_at=None)
    if app is not None:
        memories = memories.filter(app=app)
    return memories.update(ended_at=timezone.now(), end_reason=reason)
