"""A conversation's story: what lies in eight tables, as one list in time order.

A page has the newest entries before a moment, and each table is asked once for no more
than a page of its own. So the page of a conversation with thousands of entries costs
what that of a small one costs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from itertools import groupby
from typing import Any

from django.db.models import F, Q, QuerySet
from django.db.models.functions import Coalesce
from django.utils.timezone import is_aware

from conversations.admin import entries
from conversations.admin.error_words import ABORTED
from conversations.models import (
    AuditEntry,
    Callback,
    Conversation,
    Erasure,
    FlowForm,
    OutgoingMessage,
    PipelineRun,
    Reason,
    Turn,
    UpstreamCall,
    WebhookEvent,
)

PAGE = 50


@dataclass(frozen=True)
class Entry:
    """One thing that happened; `kind` names the template that tells it."""

    at: datetime
    rank: int
    pk: int
    kind: str
    view: object
    # Pieces of news that came one after the other.
    more: list[Entry] = field(default_factory=list)

    @property
    def template(self) -> str:
        """The part of the page that tells the entry."""
        return f"admin/conversations/conversation/{self.kind}.html"

    @property
    def key(self) -> str:
        """What an address calls the entry's place in the story."""
        return f"{self.at.isoformat()}~{self.rank}~{self.pk}"


@dataclass(frozen=True)
class Page:
    """A part of the story, the oldest entry first."""

    entries: list[Entry]
    # Addresses' words for what lies before it; "" if it begins with the beginning.
    earlier: str
    is_newest: bool
    # The address named no place in the story.
    is_bad_key: bool = False


@dataclass(frozen=True)
class Place:
    """A place in the story: everything before it is told."""

    at: datetime
    rank: int
    pk: int


@dataclass(frozen=True)
class _Source:
    """One table: its rows of a conversation, and how one of them is told."""

    rows: Callable[[Conversation], QuerySet[Any]]
    moment: Any
    tell: Callable[[Any], tuple[str, object]]


def page_of(conversation: Conversation, *, before: str = "") -> Page:
    """Return the newest part of the story, or the newest before a key."""
    place = _read(before)
    found: list[Entry] = []
    for rank, source in enumerate(_SOURCES):
        found += _entries(source, rank=rank, conversation=conversation, place=place)
    found.sort(key=lambda entry: (entry.at, entry.rank, entry.pk), reverse=True)
    shown = found[:PAGE][::-1]
    return Page(
        entries=list(_folded(shown)),
        earlier=shown[0].key if len(found) > PAGE else "",
        is_newest=place is None,
        is_bad_key=bool(before) and place is None,
    )


def _read(key: str) -> Place | None:
    """Return the place that an address names, None if it names none."""
    try:
        at, rank, pk = key.split("~")
        place = Place(datetime.fromisoformat(at), int(rank), int(pk))
    except (ValueError, OverflowError):
        return None
    return place if is_aware(place.at) and 0 <= place.pk < 2**63 else None


def _entries(
    source: _Source, *, rank: int, conversation: Conversation, place: Place | None
) -> Iterable[Entry]:
    rows = source.rows(conversation).annotate(moment=source.moment)
    if place is not None:
        rows = rows.filter(_before(place, rank=rank))
    for row in rows.order_by("-moment", "-pk")[: PAGE + 1]:
        kind, view = source.tell(row)
        yield Entry(at=row.moment, rank=rank, pk=row.pk, kind=kind, view=view)


def _before(place: Place, *, rank: int) -> Q:
    """Match a table's rows before a place; of one moment, the ranks order them."""
    earlier = Q(moment__lt=place.at)
    if rank < place.rank:
        return earlier | Q(moment=place.at)
    if rank == place.rank:
        return earlier | Q(moment=place.at, pk__lt=place.pk)
    return earlier


def _folded(shown: list[Entry]) -> Iterable[Entry]:
    """Make one entry of the news that nothing else happened between."""
    for is_news, run in groupby(shown, key=lambda entry: entry.kind == "news"):
        if not is_news:
            yield from run
            continue
        first, *others = run
        first.more.extend(others)
        yield first


def _events(conversation: Conversation) -> QuerySet[WebhookEvent]:
    """Leave out the echoes of what the bridge itself posted: the post tells of it."""
    posted = OutgoingMessage.objects.filter(
        turn__conversation=conversation, chatwoot_message_id__isnull=False
    )
    return conversation.events.exclude(
        reason__in=(Reason.OWN_MESSAGE, Reason.PRIVATE_NOTE),
        chatwoot_message_id__in=posted.values("chatwoot_message_id"),
    ).select_related("turn")


def _audit(conversation: Conversation) -> QuerySet[AuditEntry]:
    return conversation.audit_entries.all()


def _runs(conversation: Conversation) -> QuerySet[PipelineRun]:
    rows = PipelineRun.objects.filter(turn__conversation=conversation)
    return rows.select_related("dify_app")


def _failed_calls(conversation: Conversation) -> QuerySet[UpstreamCall]:
    rows = UpstreamCall.objects.filter(turn__conversation=conversation)
    return rows.filter(Q(http_status__gte=400) | ~Q(error_code="")).exclude(
        error_code__in=ABORTED
    )


def _callbacks(conversation: Conversation) -> QuerySet[Callback]:
    return conversation.callbacks.defer("calls")


def _posts(conversation: Conversation) -> QuerySet[OutgoingMessage]:
    rows = OutgoingMessage.objects.filter(turn__conversation=conversation)
    return rows.select_related("turn")


def _turns(conversation: Conversation) -> QuerySet[Turn]:
    return conversation.turns.select_related("bot", "queued_for")


def _forms(conversation: Conversation) -> QuerySet[FlowForm]:
    return conversation.flow_forms.defer("form_token")


def _erasures(conversation: Conversation) -> QuerySet[Erasure]:
    contact_id = conversation.chatwoot_contact_id
    if contact_id is None:
        return Erasure.objects.none()
    return Erasure.objects.filter(
        account=conversation.account_id, chatwoot_contact_id=contact_id
    )


# Of one moment, the order is that of this list: the question before its answer.
_SOURCES: tuple[_Source, ...] = (
    _Source(_events, F("received_at"), entries.tell_event),
    _Source(_audit, F("created_at"), entries.tell_audit),
    _Source(_runs, F("started_at"), entries.tell_run),
    _Source(_failed_calls, F("created_at"), entries.tell_call),
    _Source(_callbacks, F("created_at"), entries.tell_callback),
    _Source(_posts, F("created_at"), entries.tell_post),
    _Source(_turns, Coalesce("finished_at", "created_at"), entries.tell_turn),
    _Source(_forms, F("created_at"), entries.tell_form),
    _Source(_erasures, F("created_at"), entries.tell_erasure),
)
