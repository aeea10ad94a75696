"""Turns: what the bridge owes a customer."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from uuid import UUID, uuid4

from django.db import models, transaction
from django.db.models import F, Func, JSONField, Q, Value
from django.db.models.fields.json import KeyTransform
from django.db.models.functions import Coalesce, JSONObject
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from bridge_project.lib.types import JsonObject, JsonValue
from conversations.models.bot import Bot
from conversations.models.conversation import Conversation
from conversations.models.reasons import Reason
from dify_api.models import DifyApp

# A worker renews its leases every 5 s; what is older belongs to a dead one.
LEASE_S = 30
# Where `Turn.by_flow` keeps all that was noted of a mark, the newest at the end.
ALL_OF = {
    "status": "statuses",
    "assignee": "assignees",
    "pause": "pauses",
    "spoke": "spoken",
}


class _Joined(Func):
    """PostgreSQL's `a || b` of two JSON values: keys replaced, or arrays appended."""

    template = "(%(expressions)s)"
    arg_joiner = " || "
    output_field = JSONField()


class TurnQuerySet(models.QuerySet["Turn"]):
    """Claims, leases and what the sweep looks for."""

    def claim(self, turn_id: int, *, now: datetime) -> UUID | None:
        """Take a turn that is due or abandoned; None if there is nothing to take.

        One conditional update: of two workers one changes the row. The lease that is
        returned goes with every later change, so a worker that lost it changes nothing.
        """
        lease = uuid4()
        taken = (
            self.filter(pk=turn_id)
            .filter(_runnable(now))
            .update(
                status=Turn.Status.RUNNING,
                lease=lease,
                lease_expires_at=now + timedelta(seconds=LEASE_S),
                attempts=F("attempts") + 1,
                started_at=Coalesce("started_at", now),
                interrupt="",
                posting_at=None,
                queued_for=None,
            )
        )
        return lease if taken else None

    def held(self, turn_id: int, *, lease: UUID) -> TurnQuerySet:
        """Return the turn if the lease still holds, else nothing."""
        return self.filter(pk=turn_id, status=Turn.Status.RUNNING, lease=lease)

    def renew(self, leases: Iterable[UUID], *, now: datetime) -> int:
        """Prolong the leases of runs that are alive; return how many still hold."""
        return self.filter(status=Turn.Status.RUNNING, lease__in=leases).update(
            lease_expires_at=now + timedelta(seconds=LEASE_S)
        )

    def claim_post(
        self, turn_id: int, *, lease: UUID, last_message_id: int, now: datetime
    ) -> bool:
        """Let the answer be posted, unless something came in between.

        From then on no message joins the turn, so that an answer to two messages is
        never posted for three.
        """
        return bool(
            self.held(turn_id, lease=lease)
            .filter(interrupt="", last_message_id=last_message_id)
            .update(posting_at=now, lease_expires_at=now + timedelta(seconds=LEASE_S))
        )

    def note_by_flow(self, turn_id: int, **marks: str | bool | int) -> bool:
        """Note what the bot's own flow changes; False if the turn is over.

        `status`, `assignee` (an agent's number, or true for anybody), `pause`, `spoke`:
        before Chatwoot is called, so that the webhook which tells of the change finds
        it here. One statement, so that parallel callbacks lose nothing. All that were
        set are kept, since their webhooks may come late. A turn that waits for another
        attempt counts as well: a run that was cut off goes on in Dify.
        """
        news: Func = _Joined("by_flow", Value(marks, JSONField()))
        for name, mark in marks.items():
            key = ALL_OF[name]
            former = Coalesce(KeyTransform(key, "by_flow"), Value([], JSONField()))
            added = _Joined(former, Value([mark], JSONField()))
            news = _Joined(news, JSONObject(**{key: added}))
        calling = self.filter(pk=turn_id).filter(_may_call_back())
        return bool(calling.update(by_flow=news))

    def withdraw_by_flow(self, turn_id: int, **marks: str | bool | int) -> None:
        """Take back one note of each mark, since it surely was not done.

        What was noted before or meanwhile stands again. The row is locked for it: a
        parallel callback's note is not lost.
        """
        calling = self.filter(pk=turn_id).filter(_may_call_back())
        with transaction.atomic():
            rows = calling.select_for_update(no_key=True)
            by_flow = rows.values_list("by_flow", flat=True).first()
            if by_flow is None:
                return
            for name, mark in marks.items():
                by_flow = _without(by_flow, name, mark)
            self.filter(pk=turn_id).update(by_flow=by_flow)

    def running_turn(self, conversation_id: int) -> Turn | None:
        """Return the turn whose flow may be at work in a conversation, if any."""
        rows = self.filter(conversation=conversation_id).filter(_may_call_back())
        return rows.first()

    def interrupt_running(self, conversation_id: int, *, cause: str) -> int:
        """Ask the worker to give up the conversation's run, if it has not posted."""
        return self.filter(
            conversation=conversation_id,
            status=Turn.Status.RUNNING,
            posting_at=None,
            interrupt="",
        ).update(interrupt=cause)

    def runnable(self, *, now: datetime) -> TurnQuerySet:
        """Return turns that a worker may take now."""
        return self.filter(_runnable(now))

    def unfinished(self) -> TurnQuerySet:
        """Return turns that still owe something; at most one per conversation."""
        return self.filter(status__in=UNFINISHED)


class Turn(models.Model):
    """One debt to a customer: one or more messages that get one answer.

    Written by `turns` (made, joined, ended) and `pipeline` (run).
    """

    class Status(models.TextChoices):
        """`collecting → running → answered | skipped | handed_over`.

        `retrying` waits for another try, `unknown` for a post whose outcome is being
        looked up; `failed` could not even be handed over.
        """

        COLLECTING = "collecting", _("collecting")
        RUNNING = "running", _("running")
        RETRYING = "retrying", _("will be tried again")
        UNKNOWN = "unknown", _("being looked up")
        ANSWERED = "answered", _("answered")
        SKIPPED = "skipped", _("skipped")
        HANDED_OVER = "handed_over", _("handed to a human")
        FAILED = "failed", _("failed, needs a person")

    class Kind(models.TextChoices):
        """What is owed, and to whom."""

        ANSWER = "answer", _("answer to the customer")
        DRAFT = "draft", _("draft for the agents")
        HELP = "help", _("answer to an agent's note")
        GREETING = "greeting", _("greeting")

    kind = models.CharField(
        _("kind"),
        max_length=20,
        choices=Kind,
        default=Kind.ANSWER,
        db_default=Kind.ANSWER,
    )
    # In which form it was answered, once that is known: a `ReplyAs`.
    replied_as = models.CharField(
        _("answered as"), max_length=20, blank=True, default="", db_default=""
    )
    # The form whose answer this turn brings to its paused run.
    flow_form = models.ForeignKey(
        "conversations.FlowForm",
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="resuming_turns",
        db_index=False,
        verbose_name=_("answers the form"),
    )
    # What became of the customer's files, by the attachment's number:
    # {"7": {"upload_file_id": "…", "kind": "image", "text": "…", "problem": "…"}}.
    files = models.JSONField(default=dict, db_default={}, blank=True, editable=False)
    conversation = models.ForeignKey(
        Conversation,
        on_delete=models.CASCADE,
        related_name="turns",
        verbose_name=_("conversation"),
    )
    bot = models.ForeignKey(
        Bot,
        on_delete=models.SET_NULL,
        null=True,
        related_name="turns",
        verbose_name=_("bot"),
    )
    status = models.CharField(
        _("state"), max_length=20, choices=Status, default=Status.COLLECTING
    )
    reason = models.CharField(_("reason"), max_length=40, choices=Reason, blank=True)
    # Set once the answer is given up: the turn then only owes the handover.
    handover_reason = models.CharField(max_length=40, choices=Reason, blank=True)
    error = models.TextField(_("error"), blank=True)
    # The newest customer message that this turn answers.
    last_message_id = models.PositiveBigIntegerField(_("last message"))
    attempts = models.PositiveSmallIntegerField(_("attempts"), default=0)
    next_attempt_at = models.DateTimeField(_("next attempt"), default=timezone.now)
    # Waiting for one of the app's places, see `slots`.
    queued_for = models.ForeignKey(
        DifyApp,
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="queued_turns",
        verbose_name=_("waits for a place at"),
    )
    # Why the run that is under way is to be given up: a `Reason`, or NEW_MESSAGE.
    interrupt = models.CharField(max_length=40, blank=True, default="", db_default="")
    # What the bot's own flow changed during the run, by callbacks: {"status": "open",
    # "assignee": 2, "pause": true, "spoke": true}, and of each all that were noted
    # ({"statuses": ["pending", "open"]}). It is no human's takeover. Kept when the turn
    # is tried again: what a failed run did is none either.
    by_flow = models.JSONField(default=dict, db_default={}, blank=True, editable=False)
    # The operator who had these messages answered once more, and past which human
    # reply that operator wants the bot to speak all the same.
    asked_by = models.CharField(
        _("asked for by"), max_length=150, blank=True, default="", db_default=""
    )
    despite_message_id = models.PositiveBigIntegerField(
        default=0, db_default=0, editable=False
    )
    replay_of = models.ForeignKey(
        "self",
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="replays",
        verbose_name=_("once more after"),
    )
    # From here on the answer may have reached the customer: nothing joins any more.
    posting_at = models.DateTimeField(null=True, editable=False)
    lease = models.UUIDField(null=True, editable=False)
    lease_expires_at = models.DateTimeField(null=True, editable=False)
    created_at = models.DateTimeField(_("created"), default=timezone.now)
    started_at = models.DateTimeField(_("started"), null=True, blank=True)
    finished_at = models.DateTimeField(_("finished"), null=True, blank=True)

    objects = TurnQuerySet.as_manager()

    class Meta:
        verbose_name = _("turn")
        verbose_name_plural = _("turns")
        constraints = [
            models.UniqueConstraint(
                fields=["conversation"],
                condition=Q(
                    status__in=["collecting", "running", "retrying", "unknown"]
                ),
                name="turn_one_unfinished",
            )
        ]
        indexes = [
            # The sweep: what is due, and whose lease ran out.
            models.Index(
                fields=["next_attempt_at"],
                condition=Q(status__in=["collecting", "retrying", "unknown"]),
                name="turn_due",
            ),
            models.Index(
                fields=["lease_expires_at"],
                condition=Q(status="running"),
                name="turn_leased",
            ),
            models.Index(fields=["status", "-id"], name="turn_status"),
            # Who is next when a place at an app gets free.
            models.Index(
                fields=["queued_for", "id"],
                condition=Q(queued_for__isnull=False),
                name="turn_queued",
            ),
            # When a form is deleted: few turns bring the answer to one.
            models.Index(
                fields=["flow_form"],
                condition=Q(flow_form__isnull=False),
                name="turn_flow_form",
            ),
            # The overview: the last 24 hours.
            models.Index(fields=["-created_at"], name="turn_time"),
            # What ended within an hour: the figures, and the alert of failures.
            models.Index(
                fields=["finished_at"],
                condition=Q(finished_at__isnull=False),
                name="turn_finished",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.pk}"

    @property
    def is_first_attempt(self) -> bool:
        """Tell whether nobody tried before; then there is nothing to pick up."""
        return self.attempts <= 1 and not self.handover_reason

    @property
    def takeover_after_id(self) -> int:
        """The message after which a human's reply takes over.

        The newest that the turn answers, or the reply in spite of which an operator
        wants the bot to speak.
        """
        return max(self.last_message_id, self.despite_message_id)


WAITING = (Turn.Status.COLLECTING, Turn.Status.RETRYING, Turn.Status.UNKNOWN)
# A message may still join these: nothing has been asked of Dify, or in vain.
JOINABLE = (Turn.Status.COLLECTING, Turn.Status.RETRYING)
UNFINISHED = (*WAITING, Turn.Status.RUNNING)


def _without(by_flow: JsonObject, name: str, mark: JsonValue) -> JsonObject:
    """Return the marks without the newest note of just this mark."""
    key = ALL_OF[name]
    noted = by_flow.get(key)
    left = [*noted] if isinstance(noted, list) else []
    for index in reversed(range(len(left))):
        # true is not the agent number 1
        if type(left[index]) is type(mark) and left[index] == mark:
            del left[index]
            break
    rest = {other: by_flow[other] for other in by_flow if other not in (name, key)}
    return {**rest, name: left[-1], key: left} if left else rest


def _may_call_back() -> Q:
    """Dify was asked, and may still be at work."""
    return Q(status__in=UNFINISHED, started_at__isnull=False)


def _runnable(now: datetime) -> Q:
    return Q(status__in=WAITING, next_attempt_at__lte=now) | Q(
        status=Turn.Status.RUNNING, lease_expires_at__lt=now
    )
