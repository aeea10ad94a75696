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
    """Go on with the Dify conversation of this id from now on.

    Another one that was current and is not ended stays: the first of two wins.
    """
    if not dify_conversation_id:
        return
    now = timezone.now()
    known = DifyConversation.objects.filter(
        conversation=conversation,
        app=app,
        ended_at=None,
        dify_conversation_id=dify_conversation_id,
    ).update(last_used_at=now)
    if not known:
        row = DifyConversation(
            conversation=conversation,
            app=app,
            dify_conversation_id=dify_conversation_id,
            dify_user=dify_user,
            last_used_at=now,
        )
        DifyConversation.objects.bulk_create([row], ignore_conflicts=True)


def end(conversation: Conversation, *, reason: DifyConversation.End) -> int:
    """Stop continuing the conversation's Dify conversations; return how many."""
    return DifyConversation.objects.filter(
        conversation=conversation, ended_at=None
    ).update(ended_at=timezone.now(), end_reason=reason)
