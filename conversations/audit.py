"""The record of who changed what: the only writer of `AuditEntry`."""

from __future__ import annotations

from bridge_project.lib.types import JsonValue
from chatwoot_api.models import ChatwootAccount
from conversations.models import AuditEntry, Conversation

# Who did what nobody asked for: the bridge itself, by its settings.
SYSTEM = "system"


def record(
    verb: AuditEntry.Verb,
    *,
    actor: str = SYSTEM,
    account: ChatwootAccount | int | None = None,
    conversation: Conversation | None = None,
    **details: JsonValue,
) -> AuditEntry:
    """Add an entry. `details` are ids, counts and reasons, never what somebody wrote.

    Without an account it is the conversation's. In a transaction it is undone with it.
    """
    account_id = account.pk if isinstance(account, ChatwootAccount) else account
    if account_id is None and conversation is not None:
        account_id = conversation.account_id
    return AuditEntry.objects.create(
        actor=actor[:150],
        verb=verb,
        account_id=account_id,
        conversation=conversation,
        details=details,
    )
