"""Store a webhook once and wake a worker; nothing else happens in the request."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass

from django.core.exceptions import ImproperlyConfigured
from django.db.models import QuerySet

from bridge_project.lib.errors import BadSignature
from chatwoot_api import webhooks
from chatwoot_api.models import ChatwootAccount
from chatwoot_api.payloads import ChatwootEvent, parse_event
from conversations import tasks
from conversations.models import WebhookEvent

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Receipt:
    """What became of a webhook: its event's id, and whether it is a new one."""

    event_id: int
    is_new: bool


def record(
    raw_body: bytes,
    *,
    headers: Mapping[str, str],
    token: str,
    account_key: str,
    now_s: float,
) -> Receipt:
    """Check, store and announce a webhook.

    The row is committed when this returns. Redis only wakes the worker: when it is
    away, the sweep finds the row. Raises InvalidWebhook before anything is stored.
    """
    proof = webhooks.Proof(
        signature=headers.get(webhooks.SIGNATURE_HEADER, ""),
        timestamp=headers.get(webhooks.TIMESTAMP_HEADER, ""),
        token=token,
    )
    accepted = webhooks.authenticate(
        raw_body,
        proof=proof,
        accounts=_candidates(account_key),
        now_s=now_s,
    )
    payload = webhooks.decode(raw_body)
    event = parse_event(payload)
    conversation_id = event.conversation.id if event.conversation else None
    message_id = event.message.id if event.message else None
    event_id, is_new = WebhookEvent.objects.insert_once(
        account_id=_account_of(event, accepted=accepted).pk,
        delivery_key=webhooks.delivery_key(
            raw_body,
            headers=headers,
            name=event.name,
            object_id=message_id or conversation_id,
        ),
        signature_key=webhooks.signature_key(raw_body, proof=proof),
        name=event.name,
        chatwoot_conversation_id=conversation_id,
        chatwoot_message_id=message_id,
        payload=webhooks.without_secrets(payload),
    )
    if is_new:
        tasks.wake_event(event_id)
    return Receipt(event_id=event_id, is_new=is_new)


def _candidates(account_key: str) -> list[ChatwootAccount]:
    """An address with a key belongs to one account, the one without to all."""
    accounts = ChatwootAccount.objects.all()
    if account_key:
        accounts = accounts.filter(key=account_key)
    try:
        found = list(accounts)
    except ImproperlyConfigured as err:
        found = _readable(accounts)
        if not found:
            raise err from None
    if not found:
        # As for a wrong signature: which keys exist is nobody's business.
        raise BadSignature
    return found


def _readable(accounts: QuerySet[ChatwootAccount]) -> list[ChatwootAccount]:
    """Leave out the accounts whose secrets no key decrypts; the others go on."""
    found: list[ChatwootAccount] = []
    for pk, name in accounts.values_list("pk", "name"):
        try:
            found += accounts.filter(pk=pk)
        except ImproperlyConfigured as err:
            logger.error("No webhook for account %s (%s) gets in: %s", name, pk, err)
    return found


def _account_of(
    event: ChatwootEvent, *, accepted: list[ChatwootAccount]
) -> ChatwootAccount:
    """Accounts that share a secret are told apart by the number in the payload."""
    for account in accepted:
        if account.account_id == event.account_id:
            return account
    return accepted[0]
