"""Delete rows of conversations and turns, table by table.

Each table with one statement, in the order of the foreign keys: Django's own cascade
would read every row first. The caller opens the transaction.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from django.db.models import Exists, Model, OuterRef, QuerySet
from django.utils import timezone

from conversations.models import (
    AuditEntry,
    Callback,
    Conversation,
    DifyConversation,
    Draft,
    FlowForm,
    Greeting,
    Job,
    JobItem,
    OutgoingMessage,
    PipelineRun,
    Trial,
    Turn,
    UpstreamCall,
    WebhookEvent,
)


def remove_turns(turn_ids: Sequence[int]) -> Counter[str]:
    """Delete turns that are over, with their events; return how many rows of each kind.

    An event that lost its turn would look like a message that waits for one.
    """
    _keep_ids_in_dify(turn_ids)
    Turn.objects.filter(replay_of__in=turn_ids).update(replay_of=None)
    forms = FlowForm.objects.filter(turn__in=turn_ids)
    Turn.objects.filter(flow_form__in=forms.values("pk")).update(flow_form=None)
    runs = PipelineRun.objects.filter(turn__in=turn_ids).values("pk")
    return Counter(
        # One after the other: an index serves each, and none serves both at once.
        callbacks=remove_callbacks(Callback.objects.filter(turn__in=turn_ids))
        + remove_callbacks(Callback.objects.filter(run__in=runs)),
        calls=_delete(UpstreamCall.objects.filter(turn__in=turn_ids)),
        flow_forms=_delete(forms),
        drafts=_delete(Draft.objects.filter(turn__in=turn_ids)),
        outgoing_messages=_delete(OutgoingMessage.objects.filter(turn__in=turn_ids)),
        runs=_delete(PipelineRun.objects.filter(turn__in=turn_ids)),
        events=remove_events(WebhookEvent.objects.filter(turn__in=turn_ids)),
        turns=_delete(Turn.objects.filter(pk__in=turn_ids)),
    )


def remove_events(events: QuerySet[WebhookEvent]) -> int:
    """Delete events; nothing hangs on them."""
    return _delete(events)


def remove_callbacks(callbacks: QuerySet[Callback]) -> int:
    """Delete what flows asked for; nothing hangs on it."""
    return _delete(callbacks)


def remove_trials(trials: QuerySet[Trial]) -> int:
    """Delete questions of the playground, and what Dify has forgotten of them."""
    memory_ids = list(trials.values_list("dify_conversation", flat=True))
    count = _delete(trials)
    memories = DifyConversation.objects.filter(
        ~Exists(Trial.objects.filter(dify_conversation=OuterRef("pk"))),
        pk__in=memory_ids,
        erasure=None,
    )
    _delete(memories.exclude(deleted_at=None))
    return count


def remove_job(job_id: int, *, max_items: int) -> bool:
    """Delete a job that is over; False if it has more items, of which some went."""
    items = JobItem.objects.filter(job=job_id)
    ids = list(items.order_by("pk").values_list("pk", flat=True)[:max_items])
    _delete(JobItem.objects.filter(pk__in=ids))
    return len(ids) < max_items and bool(_delete(Job.objects.filter(pk=job_id)))


def remove_conversations(conversation_ids: Sequence[int]) -> int:
    """Delete conversations that have neither turns nor events any more.

    What is known of them in Dify stays until Dify has proven that it forgot it. What
    flows asked for outside of a turn goes with them.
    """
    remove_callbacks(Callback.objects.filter(conversation__in=conversation_ids))
    memories = DifyConversation.objects.filter(conversation__in=conversation_ids)
    _delete(memories.exclude(deleted_at=None).filter(erasure=None))
    memories.update(conversation=None)
    _delete(Greeting.objects.filter(conversation__in=conversation_ids))
    entries = AuditEntry.objects.filter(conversation__in=conversation_ids)
    entries.update(conversation=None)
    return _delete(Conversation.objects.filter(pk__in=conversation_ids))


def _keep_ids_in_dify(turn_ids: Sequence[int]) -> None:
    """Remember the Dify conversations that only the runs know of.

    A worker that is killed between the two leaves one. Only what we remember can be
    deleted in Dify later.
    """
    known = DifyConversation.objects.filter(
        app=OuterRef("dify_app"), dify_conversation_id=OuterRef("dify_conversation_id")
    )
    runs = (
        PipelineRun.objects.filter(~Exists(known), turn__in=turn_ids)
        .exclude(dify_conversation_id="")
        .order_by("dify_app_id", "dify_conversation_id")
        .distinct("dify_app_id", "dify_conversation_id")
        .select_related("turn")
    )
    now = timezone.now()
    DifyConversation.objects.bulk_create(
        DifyConversation(
            conversation_id=run.turn.conversation_id,
            app_id=run.dify_app_id,
            dify_conversation_id=run.dify_conversation_id,
            dify_user=run.dify_user,
            started_at=run.started_at,
            last_used_at=run.started_at,
            ended_at=now,
        )
        for run in runs
        if run.dify_app_id is not None
    )


def _delete(rows: QuerySet[Model]) -> int:
    # None where Django sees by itself that there can be no row.
    return rows.order_by()._raw_delete(rows.db) or 0
