"""Silence the bot in one conversation, and let it speak again."""

from __future__ import annotations

from django.db import transaction

from conversations import audit
from conversations.models import AuditEntry, Conversation, Reason, Turn


def pause(conversation: Conversation, *, by: str) -> bool:
    """Keep the bot silent from now on; False if it is already.

    A run that is under way is given up, unless its answer is being posted right now.
    """
    with transaction.atomic():
        if not _switch(conversation, paused=True):
            return False
        Turn.objects.interrupt_running(conversation.pk, cause=Reason.PAUSED)
        audit.record(AuditEntry.Verb.PAUSED, actor=by, conversation=conversation)
    return True


def resume(conversation: Conversation, *, by: str) -> bool:
    """Let the bot answer the customer's next message; False if it may already."""
    with transaction.atomic():
        if not _switch(conversation, paused=False):
            return False
        Turn.objects.filter(conversation=conversation, interrupt=Reason.PAUSED).update(
            interrupt=""
        )
        audit.record(AuditEntry.Verb.RESUMED, actor=by, conversation=conversation)
    return True


def _switch(conversation: Conversation, *, paused: bool) -> int:
    """Change the one column, if it is not so already; the mirror writes the others."""
    return Conversation.objects.filter(pk=conversation.pk, paused=not paused).update(
        paused=paused
    )
