"""Who is changing a conversation in Chatwoot just now."""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID, uuid4

from django.db import connection, models

from chatwoot_api.models import ChatwootAccount


class ActionLockQuerySet(models.QuerySet["ActionLock"]):
    """Taken and given back with one statement each; nothing is held in between."""

    def take(
        self, account_id: int, *, number: int, now: datetime, for_s: float
    ) -> UUID | None:
        """Take the lock of a conversation; None while somebody else has it."""
        holder = uuid4()
        with connection.cursor() as cursor:
            cursor.execute(
                """
                INSERT INTO conversations_actionlock
                    (account_id, chatwoot_conversation_id, holder, expires_at)
                VALUES (%s, %s, %s, %s)
                ON CONFLICT (account_id, chatwoot_conversation_id) DO UPDATE
                    SET holder = EXCLUDED.holder, expires_at = EXCLUDED.expires_at
                    WHERE conversations_actionlock.expires_at < %s
                """,
                [account_id, number, holder, now + timedelta(seconds=for_s), now],
            )
            return holder if cursor.rowcount else None

    def give_back(self, holder: UUID) -> None:
        """Let the next one in; harmless if the lock was lost meanwhile."""
        self.filter(holder=holder)._raw_delete(self.db)


class ActionLock(models.Model):
    """A conversation whose labels or attributes are being changed; by `actions`.

    Chatwoot only replaces them as a whole, so whoever reads, changes and writes them
    must be alone. A transaction cannot hold such a lock: there is network in between.
    The row of a process that died expires.
    """

    account = models.ForeignKey(ChatwootAccount, on_delete=models.CASCADE)
    chatwoot_conversation_id = models.PositiveBigIntegerField()
    holder = models.UUIDField(unique=True)
    expires_at = models.DateTimeField()

    objects = ActionLockQuerySet.as_manager()

    class Meta:
        verbose_name = "action lock"
        constraints = [
            models.UniqueConstraint(
                fields=["account", "chatwoot_conversation_id"], name="actionlock_once"
            )
        ]

    def __str__(self) -> str:
        return f"#{self.chatwoot_conversation_id}"
