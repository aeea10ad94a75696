"""Forget in time: payloads, then texts, then whole rows, account by account.

No statement touches more than a batch, and each batch is a transaction of its own, so
nobody waits for long. All of it may be repeated and run twice at once: what is to be
emptied is simply emptied again, and rows that another worker is deleting are skipped.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib import import_module
from time import monotonic
from typing import Any, Generic, TypeVar

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, Model, OuterRef, Q, QuerySet

from chatwoot_api.models import ChatwootAccount
from conversations import audit, removal
from conversations.models import (
    ActionLock,
    AuditEntry,
    Callback,
    Conversation,
    DifyConversation,
    Draft,
    FlowForm,
    Job,
    OutgoingMessage,
    PipelineRun,
    Retention,
    Trial,
    Turn,
    UpstreamCall,
    WebhookEvent,
)
from conversations.models.event import OWED
from conversations.models.turn import UNFINISHED

BATCH = 500
MAX_BATCHES = 1000
MAX_S = 60.0
# What operators tried in the playground is of use for days; no limit makes it longer.
TRIALS_KEPT_FOR = timedelta(days=30)
# Reports of jobs have ids and sentences, no text of a customer.
JOBS_KEPT_FOR = timedelta(days=90)
_EVER = datetime.min.replace(tzinfo=UTC)
# Nobody works on one conversation for so long; by now they are of dead processes.
LOCKS_KEPT_FOR = timedelta(hours=1)
_NO_TEXTS: Mapping[str, Any] = {
    "query": "",
    "inputs": {},
    "answer": "",
    "files": [],
    "suggestions": [],
    "sent_files": [],
    "thinking": "",
    "notes": [],
    "error": "",
}
# Who answers the form has to be understood, and brought to its run.
_WAITS_FOR_FORM = Exists(
    FlowForm.objects.filter(
        Q(status=FlowForm.Status.WAITING) | Q(resuming_turns__status__in=UNFINISHED),
        turn=OuterRef("pk"),
    )
)
_NOTHING_ASKED = Q(arguments={}, before={}, after={}, answer={}, message="")
RowT = TypeVar("RowT", bound=Model)


@dataclass(frozen=True)
class Pruned:
    """How many rows of each kind were emptied or deleted, and whether there is more."""

    counts: dict[str, int]
    more: bool


class Budget:
    """How much one call may do: batches, and seconds."""

    def __init__(self, *, batches: int, seconds: float) -> None:
        self._left = batches
        self._until = monotonic() + seconds
        self.is_used_up = False

    def take(self) -> bool:
        """Tell whether another batch may be begun."""
        self._left -= 1
        self.is_used_up = self._left < 0 or monotonic() > self._until
        return not self.is_used_up


def prune(
    now: datetime, *, max_batches: int = MAX_BATCHES, max_s: float = MAX_S
) -> Pruned:
    """Empty and delete what is older than the accounts' limits."""
    counts: Counter[str] = Counter()
    budget = Budget(batches=max_batches, seconds=max_s)
    for account_id in ChatwootAccount.objects.values_list("pk", flat=True):
        done = _Pruning(account_id, now=now, budget=budget).run()
        counts.update(done)
        if done:
            audit.record(AuditEntry.Verb.PRUNED, account=account_id, counts={**done})
    if jobs := _delete_jobs(before=now - JOBS_KEPT_FOR, budget=budget):
        counts["jobs"] = jobs
        audit.record(AuditEntry.Verb.PRUNED, counts={"jobs": jobs})
    _clear_sessions()
    ActionLock.objects.filter(expires_at__lt=now - LOCKS_KEPT_FOR).delete()
    return Pruned(counts=dict(counts), more=budget.is_used_up)


def _clear_sessions() -> None:
    """Delete the admin's expired sessions; one index, few rows.

    Celery's results are not ours to clear: beat's own `celery.backend_cleanup` does it.
    """
    import_module(settings.SESSION_ENGINE).SessionStore.clear_expired()


def _delete_jobs(*, before: datetime, budget: Budget) -> int:
    """Delete jobs that ended before then, whatever account they were for."""
    over = Job.objects.filter(finished_at__lt=before).order_by("pk")
    count = 0
    for job_id in over.values_list("pk", flat=True)[:BATCH]:
        while budget.take():
            with transaction.atomic():
                is_gone = removal.remove_job(job_id, max_items=BATCH)
            if is_gone:
                count += 1
                break
    return count


class _Pruning:
    """One account's part of a call."""

    def __init__(self, account_id: int, *, now: datetime, budget: Budget) -> None:
        self._account_id = account_id
        self._budget = budget
        row = Retention.objects.filter(account=account_id).first()
        self._retention = row or Retention(account_id=account_id)
        limits = self._retention
        texts = min(limits.text_days or limits.history_days, limits.history_days)
        self._before_history = now - timedelta(days=limits.history_days)
        self._before_texts = now - timedelta(days=texts)
        # Payloads hold the same texts.
        self._before_trials = max(self._before_texts, now - TRIALS_KEPT_FOR)
        payloads = min(limits.payload_days, texts)
        self._before_payloads = now - timedelta(days=payloads)

    def run(self) -> dict[str, int]:
        """Do it; return the counts that are not 0."""
        counts: Counter[str] = Counter()
        counts.update(self._delete_turns())
        counts.update(self._delete_events())
        counts.update(self._delete_callbacks())
        counts.update(self._delete_conversations())
        counts["payloads_emptied"] += self._empty_payloads()
        counts["turns_emptied"] += self._empty_texts()
        counts["conversations_emptied"] += self._empty_names()
        counts.update(self._delete_trials())
        return {kind: count for kind, count in counts.items() if count}

    # --- Rows: the oldest first, by the index of their time -------------------------

    def _delete_turns(self) -> Counter[str]:
        rows = Turn.objects.filter(
            conversation__account=self._account_id, created_at__lt=self._before_history
        ).exclude(status__in=UNFINISHED)
        return self._delete(rows, order="created_at", remove=removal.remove_turns)

    def _delete_events(self) -> Counter[str]:
        """Delete events without a turn; the others went, or will go, with theirs."""
        rows = (
            WebhookEvent.objects.filter(
                account=self._account_id,
                received_at__lt=self._before_history,
                turn=None,
            )
            .exclude(status=WebhookEvent.Status.RECEIVED)
            .exclude(action__in=OWED)
        )
        return self._delete(
            rows,
            order="received_at",
            remove=lambda ids: Counter(
                events=removal.remove_events(WebhookEvent.objects.filter(pk__in=ids))
            ),
        )

    def _delete_callbacks(self) -> Counter[str]:
        """Delete callbacks without a turn; the others go with theirs."""
        rows = Callback.objects.filter(
            account=self._account_id, turn=None, created_at__lt=self._before_history
        )
        return self._delete(
            rows,
            order="created_at",
            remove=lambda ids: Counter(
                callbacks=removal.remove_callbacks(Callback.objects.filter(pk__in=ids))
            ),
        )

    def _delete_conversations(self) -> Counter[str]:
        """Delete conversations of which nothing is left, in Dify neither.

        While something may be left in Dify the row stays, emptied down to its ids:
        policies and the erasure of a contact must still find it.
        """
        of_this = {"conversation": OuterRef("pk")}
        rows = Conversation.objects.filter(
            ~Exists(Turn.objects.filter(**of_this)),
            ~Exists(WebhookEvent.objects.filter(**of_this)),
            ~Exists(Callback.objects.filter(**of_this)),
            ~Exists(DifyConversation.objects.filter(**of_this, deleted_at=None)),
            account=self._account_id,
            updated_at__lt=self._before_history,
        )
        return self._delete(
            rows,
            order="updated_at",
            remove=lambda ids: Counter(conversations=removal.remove_conversations(ids)),
        )

    def _delete_trials(self) -> Counter[str]:
        """Delete questions of the playground; their texts are all there is to them."""
        rows = Trial.objects.filter(
            bot__account=self._account_id, created_at__lt=self._before_trials
        ).exclude(status__in=(Trial.Status.WAITING, Trial.Status.RUNNING))
        return self._delete(
            rows,
            order="created_at",
            remove=lambda ids: Counter(
                trials=removal.remove_trials(Trial.objects.filter(pk__in=ids))
            ),
        )

    def _delete(
        self,
        rows: QuerySet[RowT],
        *,
        order: str,
        remove: Callable[[list[int]], Counter[str]],
    ) -> Counter[str]:
        """Delete batch after batch, each in a transaction of its own."""
        counts: Counter[str] = Counter()
        while self._budget.take():
            with transaction.atomic():
                ids = _locked(rows, order=order)
                counts.update(remove(ids))
            if len(ids) < BATCH:
                break
        return counts

    # --- What is in them --------------------------------------------------------------

    def _empty_payloads(self) -> int:
        rows = WebhookEvent.objects.filter(account=self._account_id)
        return _Emptying(
            rows.exclude(payload={}),
            moment="received_at",
            until=self._before_payloads,
            in_use=Q(status=WebhookEvent.Status.RECEIVED)
            | Q(turn__status__in=UNFINISHED)
            | Q(turn=None, action__in=OWED),
            # What an error quotes of the payload goes with it.
            empty=lambda ids: rows.filter(pk__in=ids).update(payload={}, error=""),
        ).run(self._retention, mark="payloads_done_until", budget=self._budget)

    def _empty_texts(self) -> int:
        if self._retention.text_days is None:
            return 0
        self._empty_callbacks()
        return _Emptying(
            Turn.objects.filter(conversation__account=self._account_id),
            moment="created_at",
            until=self._before_texts,
            in_use=Q(status__in=UNFINISHED) | Q(_WAITS_FOR_FORM),
            empty=_empty_turns,
        ).run(self._retention, mark="texts_done_until", budget=self._budget)

    def _empty_callbacks(self) -> None:
        """Empty the callbacks without a turn; those of turns are emptied with them.

        They share the mark of the turns, who come after them: it moves on only once
        these are done.
        """
        since = self._retention.texts_done_until or _EVER
        rows = Callback.objects.filter(
            account=self._account_id,
            turn=None,
            created_at__gte=since,
            created_at__lt=self._before_texts,
        ).exclude(_NOTHING_ASKED)
        while self._budget.take():
            ids = list(rows.order_by("created_at").values_list("pk", flat=True)[:BATCH])
            _empty_callbacks(Callback.objects.filter(pk__in=ids))
            if len(ids) < BATCH:
                break

    def _empty_names(self) -> int:
        """Empty what tells who the contact is, in conversations that rest."""
        rows = Conversation.objects.filter(account=self._account_id)
        return _Emptying(
            rows,
            moment="updated_at",
            until=self._before_texts,
            in_use=Q(pk=None),
            empty=lambda ids: rows.filter(pk__in=ids).update(
                contact_name="",
                assignee_name="",
                contact_custom_attributes={},
                contact_additional_attributes={},
                custom_attributes={},
                additional_attributes={},
            ),
        ).run(self._retention, mark="names_done_until", budget=self._budget)


def _locked(rows: QuerySet[RowT], *, order: str) -> list[int]:
    """Lock the next rows to be deleted, but for those that somebody else has locked.

    The condition is checked again once a row is locked, so one that has just become
    news is left alone.
    """
    locked = rows.select_for_update(skip_locked=True, of=("self",)).only("pk")
    return [row.pk for row in locked.order_by(order)[:BATCH]]


def _empty_turns(turn_ids: list[int]) -> int:
    """Empty what was said in finished turns; reasons, codes, ids and numbers stay."""
    runs = PipelineRun.objects.filter(turn__in=turn_ids).exclude(**_NO_TEXTS)
    runs.update(**_NO_TEXTS)
    posts = OutgoingMessage.objects.filter(turn__in=turn_ids)
    posts.exclude(content="", rich={}).update(content="", rich={})
    calls = UpstreamCall.objects.filter(turn__in=turn_ids)
    calls.exclude(request_excerpt="", response_excerpt="").update(
        request_excerpt="", response_excerpt=""
    )
    _empty_callbacks(Callback.objects.filter(turn__in=turn_ids))
    forms = FlowForm.objects.filter(turn__in=turn_ids)
    forms.update(content="", fields=[], answer={}, form_token="")
    drafts = Draft.objects.filter(turn__in=turn_ids)
    drafts.exclude(text="", human_text="").update(text="", human_text="")
    turns = Turn.objects.filter(pk__in=turn_ids)
    turns.exclude(error="", files={}).update(error="", files={})
    return len(turn_ids)


def _empty_callbacks(callbacks: QuerySet[Callback]) -> None:
    """Without its answer a callback can answer no repeat, so its key goes, too."""
    callbacks.exclude(_NOTHING_ASKED).update(
        arguments={}, before={}, after={}, answer={}, message="", once_key=None
    )


@dataclass(frozen=True)
class _Emptying(Generic[RowT]):
    """A walk over rows by their time, which goes on where the last call stopped.

    How far it came stands in the account's row, so that nothing is read twice. A row
    that is in use holds this mark back, not the walk. It does not skip locked rows,
    since it would not come back for them: nobody locks what is so old for long.
    """

    rows: QuerySet[RowT]
    moment: str
    until: datetime
    in_use: Q
    empty: Callable[[list[int]], int]

    def run(self, retention: Retention, *, mark: str, budget: Budget) -> int:
        """Empty batch after batch; return the number of rows."""
        since = getattr(retention, mark) or _EVER
        if self.until <= since:
            return 0  # the limit was raised
        window = self.rows.filter(**self._between(since)).order_by(self.moment, "pk")
        held = window.filter(self.in_use).values_list(self.moment, flat=True).first()
        idle = window.exclude(self.in_use)
        count, last, reached = 0, (since, 0), since
        while budget.take():
            batch = list(
                idle.filter(self._after(last)).values_list("pk", self.moment)[:BATCH]
            )
            if batch:
                with transaction.atomic():
                    count += self.empty([pk for pk, _moment in batch])
                last = (batch[-1][1], batch[-1][0])
            reached = last[0]
            if len(batch) < BATCH:
                reached = self.until
                break
        self._keep(retention, mark=mark, at=min(reached, held or reached), anew=count)
        return count

    def _between(self, since: datetime) -> dict[str, datetime]:
        return {f"{self.moment}__gte": since, f"{self.moment}__lt": self.until}

    def _after(self, last: tuple[datetime, int]) -> Q:
        moment, pk = last
        same = Q(**{self.moment: moment, "pk__gt": pk})
        # The first condition is the one that an index serves.
        return Q(**{f"{self.moment}__gte": moment}) & (
            same | Q(**{f"{self.moment}__gt": moment})
        )

    def _keep(
        self, retention: Retention, *, mark: str, at: datetime, anew: int
    ) -> None:
        """Store how far it came; an account without old rows needs no row for it."""
        if retention.pk is None and not anew:
            return
        row, _made = Retention.objects.get_or_create(account_id=retention.account_id)
        retention.pk = row.pk
        Retention.objects.filter(pk=row.pk).update(**{mark: at})
