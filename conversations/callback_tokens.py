"""The tokens with which flows call: made, found, ended. The only writer of them."""

from __future__ import annotations

import secrets
from datetime import datetime, timedelta
from hashlib import sha256

from django.db import transaction
from django.db.models import Q

from conversations import audit
from conversations.models import AuditEntry, Bot, CallbackToken

PREFIX = "bridge-bot-"
# Five characters of the secret part tell tokens apart; 226 of its bits stay unknown.
SHOWN_CHARS = len(PREFIX) + 5
# A busy flow calls several times a second; one note a minute says as much.
NOTE_USE_EVERY = timedelta(minutes=1)


@transaction.atomic
def make(bot: Bot, *, by: str) -> str:
    """Return a new token of the bot; nobody can read it again afterwards."""
    text = PREFIX + secrets.token_urlsafe(32)
    token = CallbackToken.objects.create(
        bot=bot,
        digest=_digest(text),
        prefix=text[:SHOWN_CHARS],
        created_by=by[:150],
    )
    audit.record(
        AuditEntry.Verb.MADE_TOKEN,
        actor=by,
        account=bot.account_id,
        bot=bot.pk,
        token=token.prefix,
    )
    return text


@transaction.atomic
def end(token: CallbackToken, *, now: datetime, by: str, after_s: float = 0) -> bool:
    """Let the token open nothing any more, at once or after a while.

    Never prolongs it: False if it ends no later anyway. Its bot is loaded.
    """
    until = now + timedelta(seconds=after_s)
    sooner = Q(expires_at=None) | Q(expires_at__gt=until)
    rows = CallbackToken.objects.filter(sooner, pk=token.pk)
    if not rows.update(expires_at=until):
        return False
    token.expires_at = until
    audit.record(
        AuditEntry.Verb.ENDED_TOKEN,
        actor=by,
        account=token.bot.account_id,
        bot=token.bot_id,
        token=token.prefix,
        after_s=after_s,
    )
    return True


def find(text: str, *, now: datetime) -> CallbackToken | None:
    """Return the valid token that reads so, with its bot and account; notes its use."""
    if not text.startswith(PREFIX) or not text.isascii():
        return None
    token = (
        CallbackToken.objects.valid(now=now)
        .filter(digest=_digest(text))
        .select_related("bot__account")
        .first()
    )
    if token is not None:
        _note_use(token, now=now)
    return token


def _note_use(token: CallbackToken, *, now: datetime) -> None:
    before = now - NOTE_USE_EVERY
    if token.last_used_at is not None and token.last_used_at > before:
        return
    # Of many requests at once, one writes.
    unnoted = Q(last_used_at=None) | Q(last_used_at__lte=before)
    rows = CallbackToken.objects.filter(unnoted, pk=token.pk)
    if rows.update(last_used_at=now):
        token.last_used_at = now


def _digest(text: str) -> str:
    return sha256(text.encode()).hexdigest()
