"""Webhooks as they were received."""

from __future__ import annotations

import json
from datetime import datetime
from uuid import UUID

from django.contrib.postgres.indexes import GinIndex
from django.contrib.postgres.search import SearchVector
from django.db import connection, models
from django.db.models.fields.json import KeyTextTransform
from django.db.models.functions import Left
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from bridge_project.lib.types import JsonObject
from chatwoot_api import payloads
from chatwoot_api.models import ChatwootAccount
from conversations.models.conversation import Conversation
from conversations.models.reasons import Action, Reason
from conversations.models.turn import Turn

# What the search for a text looks at. Of a message of 150 000 characters the words
# alone would take seconds, in the request of the webhook.
MESSAGE_WORDS = SearchVector(
    Left(KeyTextTransform("content", "payload"), 4000), config="simple"
)
# What a customer is owed something for.
OWED = (Action.ANSWER, Action.HAND_OVER)
# What nearly all events are called: a list of the others would read all of these.
_USUAL = sorted(payloads.MESSAGE_EVENTS | payloads.CONVERSATION_EVENTS)


class WebhookEventQuerySet(models.QuerySet["WebhookEvent"]):
    """What the flow asks of events."""

    def insert_once(
        self,
        *,
        account_id: int,
        delivery_key: str,
        signature_key: UUID | None,
        name: str,
        chatwoot_conversation_id: int | None,
        chatwoot_message_id: int | None,
        payload: JsonObject,
    ) -> tuple[int, bool]:
        """Store an event with one statement; return its id and whether it is new.

        The ORM's `ignore_conflicts` does not tell which of the two happened.
        """
        table = self.model._meta.db_table
        row: dict[str, int | str | datetime | UUID | None] = {
            "account_id": account_id,
            "delivery_key": delivery_key,
            "signature_key": signature_key,
            "name": name,
            "chatwoot_conversation_id": chatwoot_conversation_id,
            "chatwoot_message_id": chatwoot_message_id,
            "payload": json.dumps(payload, ensure_ascii=False),
            "received_at": timezone.now(),
            "status": WebhookEvent.Status.RECEIVED,
            "attempts": 0,
            "action": "",
            "reason": "",
            "error": "",
        }
        statement = (
            f"INSERT INTO {table} ({', '.join(row)}) "
            f"VALUES ({', '.join(['%s'] * len(row))}) "
            # Known by its delivery, or a copy under another one.
            "ON CONFLICT DO NOTHING RETURNING id"
        )
        with connection.cursor() as cursor:
            cursor.execute(statement, list(row.values()))
            inserted = cursor.fetchone()
        if inserted:
            return int(inserted[0]), True
        same = models.Q(delivery_key=delivery_key)
        if signature_key is not None:
            same |= models.Q(signature_key=signature_key)
        known = self.filter(same, account_id=account_id).order_by("pk")[:1].get()
        return known.pk, False

    def waiting_for_turn(self, conversation_id: int) -> WebhookEventQuerySet:
        """Return customers' messages that arrived while a run was under way."""
        return self.filter(
            conversation=conversation_id, action__in=OWED, turn=None
        ).order_by("chatwoot_message_id")


class WebhookEvent(models.Model):
    """One delivery of one webhook; written by `intake`, decided by `processing`."""

    class Status(models.TextChoices):
        """How far we are with it."""

        RECEIVED = "received", _("received")
        PROCESSED = "processed", _("processed")
        FAILED = "failed", _("failed")

    account = models.ForeignKey(
        ChatwootAccount,
        on_delete=models.CASCADE,
        related_name="events",
        verbose_name=_("account"),
    )
    delivery_key = models.CharField(_("delivery"), max_length=160)
    # Of a signed request, which cannot be copied under another delivery id.
    signature_key = models.UUIDField(null=True, editable=False)
    name = models.CharField(_("event"), max_length=100)
    chatwoot_conversation_id = models.PositiveBigIntegerField(
        _("conversation in Chatwoot"), null=True, blank=True
    )
    chatwoot_message_id = models.PositiveBigIntegerField(
        _("message in Chatwoot"), null=True, blank=True
    )
    payload = models.JSONField(_("payload"))
    received_at = models.DateTimeField(_("received"))
    status = models.CharField(_("state"), max_length=20, choices=Status)
    attempts = models.PositiveSmallIntegerField(_("attempts"), default=0)
    action = models.CharField(_("decision"), max_length=20, choices=Action, blank=True)
    reason = models.CharField(_("reason"), max_length=40, choices=Reason, blank=True)
    error = models.TextField(_("error"), blank=True)
    processed_at = models.DateTimeField(_("processed at"), null=True, blank=True)
    conversation = models.ForeignKey(
        Conversation,
        on_delete=models.CASCADE,
        null=True,
        blank=True,
        related_name="events",
        verbose_name=_("conversation"),
    )
    turn = models.ForeignKey(
        Turn,
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="events",
        verbose_name=_("turn"),
    )

    objects = WebhookEventQuerySet.as_manager()

    class Meta:
        verbose_name = _("event")
        verbose_name_plural = _("events")
        constraints = [
            models.UniqueConstraint(
                fields=["account", "delivery_key"], name="webhookevent_delivery"
            ),
            models.UniqueConstraint(
                fields=["account", "signature_key"], name="webhookevent_signature"
            ),
            # The same message through a bot and an account webhook makes one turn.
            models.UniqueConstraint(
                fields=["account", "chatwoot_message_id"],
                condition=models.Q(action__in=OWED),
                name="webhookevent_answered_once",
            ),
        ]
        indexes = [
            # The sweep: what was stored but not processed.
            models.Index(
                fields=["received_at"],
                condition=models.Q(status="received"),
                name="webhookevent_unprocessed",
            ),
            # The sweep and the end of a run: messages that wait for a turn.
            models.Index(
                fields=["conversation", "chatwoot_message_id"],
                condition=models.Q(action__in=OWED, turn=None),
                name="webhookevent_waiting",
            ),
            # Looking for the echo of a message that we posted.
            models.Index(
                fields=["account", "chatwoot_message_id"], name="webhookevent_message"
            ),
            models.Index(
                fields=["account", "chatwoot_conversation_id", "-id"],
                name="webhookevent_conversation",
            ),
            models.Index(fields=["reason", "-id"], name="webhookevent_reason"),
            # The overview: the last 24 hours, and what failed.
            models.Index(fields=["-received_at"], name="webhookevent_time"),
            models.Index(
                fields=["-id"],
                condition=models.Q(status="failed"),
                name="webhookevent_failed",
            ),
            # The sweep: feedback that Dify was not told yet.
            models.Index(
                fields=["id"],
                condition=models.Q(reason=Reason.FEEDBACK, action=""),
                name="webhookevent_feedback",
            ),
            # The list's filters, where what they look for is rare.
            models.Index(
                fields=["-id"],
                condition=models.Q(action=Action.HAND_OVER),
                name="webhookevent_handed_over",
            ),
            models.Index(
                fields=["-id"],
                condition=~models.Q(name__in=_USUAL),
                name="webhookevent_unusual",
            ),
            # Search by the message's text, whole words and beginnings.
            GinIndex(
                MESSAGE_WORDS,
                condition=models.Q(chatwoot_message_id__isnull=False),
                name="webhookevent_words",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name} {self.pk}"
