"""Have Dify forget conversations: when it is wanted, and until it is proven."""

from __future__ import annotations

import json
import logging
from collections import Counter
from datetime import datetime, timedelta

from django.core.exceptions import ImproperlyConfigured
from django.db import transaction
from django.db.models import Case, Exists, F, OuterRef, Q, QuerySet, Value, When
from django.db.models.functions import Coalesce
from django.utils import timezone

from bridge_project.lib.errors import (
    BridgeError,
    NotFound,
    Unauthorized,
    UpstreamError,
    UpstreamRejected,
    UpstreamUnavailable,
)
from bridge_project.lib.health import describe
from bridge_project.lib.redact import cut
from chatwoot_api.client import ChatwootClient
from chatwoot_api.models import ChatwootAccount, Inbox
from conversations import audit, memory
from conversations.models import (
    AuditEntry,
    Bot,
    Conversation,
    ConversationStatus,
    DeletePolicy,
    DifyConversation,
    Erasure,
    PipelineRun,
    Turn,
)
from conversations.models.trial import PLAYGROUND_USER
from conversations.models.turn import UNFINISHED
from dify_api.client import DifyClient
from dify_api.models import DifyApp

logger = logging.getLogger(__name__)

# How long a try may take before another worker makes the next one.
LEASE = timedelta(minutes=10)
# After the first failure, the second, … and after each further one.
PAUSES = (
    timedelta(minutes=1),
    timedelta(minutes=10),
    timedelta(hours=1),
    timedelta(hours=6),
    timedelta(hours=24),
)
# A run may still be storing its memory when the conversation gets resolved.
SETTLED_AFTER = timedelta(hours=1)
# A talk in the playground that nobody goes on with.
TALK_KEPT_FOR = timedelta(days=1)
# Wanted with one statement.
BATCH = 500
# Chatwoot's own words for a record that is not there.
NOT_FOUND = "Resource could not be found"


class StillThere(BridgeError):
    """Dify answered success, but still has the conversation; it is tried again."""

    code = "still_there"


class InUse(BridgeError):
    """A run is going on in the conversation; it is deleted afterwards."""

    code = "in_use"


# --- What is to be deleted ------------------------------------------------------


def want(row: DifyConversation, *, reason: DifyConversation.End) -> bool:
    """Have a Dify conversation deleted; False if it is deleted already."""
    return bool(want_all(DifyConversation.objects.filter(pk=row.pk), reason=reason))


def want_all(
    rows: QuerySet[DifyConversation],
    *,
    reason: DifyConversation.End,
    erasure: Erasure | None = None,
) -> int:
    """Have Dify conversations deleted, and go on in none of them; return how many."""
    now = timezone.now()
    linked = {} if erasure is None else {"erasure": erasure}
    return rows.filter(deleted_at=None).update(
        end_reason=Case(
            When(ended_at=None, then=Value(reason)), default=F("end_reason")
        ),
        ended_at=Coalesce("ended_at", now),
        delete_wanted_at=Coalesce("delete_wanted_at", now),
        next_delete_at=now,
        **linked,
    )


def on_resolved(conversation: Conversation, bot: Bot) -> None:
    """Do what the bot's settings say about a conversation that was just resolved."""
    if bot.dify_delete_policy == DeletePolicy.ON_RESOLVE:
        memories = DifyConversation.objects.filter(conversation=conversation)
        want_all(memories, reason=DifyConversation.End.RESOLVED)
    elif bot.new_dify_conversation_after_resolve:
        memory.end(conversation, reason=DifyConversation.End.RESOLVED)


def want_by_policy(*, now: datetime) -> int:
    """Have deleted what the bots' policies say by now; return how many.

    Also what was resolved before the policy was chosen, or while a run was still
    making its memory. Whose policy counts is asked of the conversation's inbox.
    """
    wanted = 0
    policies = (DeletePolicy.ON_RESOLVE, DeletePolicy.AFTER_DAYS)
    for bot in Bot.objects.filter(dify_delete_policy__in=policies):
        if bot.dify_delete_policy == DeletePolicy.AFTER_DAYS:
            reason, due = DifyConversation.End.UNUSED, Q()
            unused_for = timedelta(days=bot.dify_delete_after_days)
        else:
            reason = DifyConversation.End.RESOLVED
            due = Q(conversation__status=ConversationStatus.RESOLVED)
            unused_for = SETTLED_AFTER
        unfinished = Turn.objects.unfinished().filter(
            conversation=OuterRef("conversation")
        )
        rows = DifyConversation.objects.filter(
            due,
            ~Exists(unfinished),
            conversation__inbox__in=inboxes_of(bot),
            delete_wanted_at=None,
            last_used_at__lt=now - unused_for,
        )
        ids = list(rows.values_list("pk", flat=True)[:BATCH])
        wanted += want_all(
            DifyConversation.objects.filter(pk__in=ids, delete_wanted_at=None),
            reason=reason,
        )
    return wanted


def want_old_talks(*, now: datetime) -> int:
    """Have deleted what talks in the playground have left in Dify; return how many.

    Found by their user, since the talk itself may be forgotten by now.
    """
    rows = DifyConversation.objects.filter(
        conversation=None,
        dify_user__startswith=PLAYGROUND_USER,
        delete_wanted_at=None,
        last_used_at__lt=now - TALK_KEPT_FOR,
    )
    ids = list(rows.values_list("pk", flat=True)[:BATCH])
    return want_all(
        DifyConversation.objects.filter(pk__in=ids), reason=DifyConversation.End.UNUSED
    )


def inboxes_of(bot: Bot) -> list[int]:
    """Return the inboxes that the bot answers, and no other bot does."""
    return [
        inbox.pk
        for inbox in Inbox.objects.filter(account=bot.account_id)
        if Bot.objects.for_inbox(inbox) == bot
    ]


# --- Deleting in Dify -------------------------------------------------------------


def delete_due(*, now: datetime, limit: int = 50) -> dict[str, int]:
    """Delete what is due in Dify, and believe only what reading it back shows.

    Dify's 2xx proves nothing, and neither does a 404 (recordings, point 6). Counts:
    `deleted` (proven), `failed` (tried again after a growing pause, for ever), and
    `put_off` (in use, or the app did not answer a moment ago).
    """
    counts: Counter[str] = Counter(deleted=0, failed=0, put_off=0)
    due = DifyConversation.objects.filter(next_delete_at__lte=now, deleted_at=None)
    away: set[int] = set()
    for pk in list(due.order_by("next_delete_at").values_list("pk", flat=True)[:limit]):
        # The lease: of two workers one changes the row.
        if not due.filter(pk=pk).update(next_delete_at=now + LEASE):
            continue
        row = DifyConversation.objects.get(pk=pk)
        if row.app_id in away:
            _put_off(row, now=now)
            counts["put_off"] += 1
            continue
        result, err = _try(row, now=now)
        counts[result] += 1
        if isinstance(err, Unauthorized | UpstreamUnavailable):
            away.add(row.app_id)
    return dict(counts)


def delete_now(row: DifyConversation, *, now: datetime) -> DifyConversation:
    """Try once to delete what is wanted deleted; return the row with what came of it.

    Not if a worker is just trying: what is not deleted is tried again anyway.
    """
    due = DifyConversation.objects.filter(next_delete_at__lte=now, deleted_at=None)
    if due.filter(pk=row.pk).update(next_delete_at=now + LEASE):
        row.refresh_from_db()
        _try(row, now=now)
    row.refresh_from_db()
    return row


def _try(row: DifyConversation, *, now: datetime) -> tuple[str, Exception | None]:
    """Try to delete a row that is leased, and note what came of it; never raises."""
    try:
        was_there = _delete(row)
    except InUse as err:
        _put_off(row, now=now, error=err.message)
        return "put_off", err
    except Exception as err:  # one row that is odd must not keep the others
        if not isinstance(err, BridgeError | ImproperlyConfigured):
            logger.exception("Dify conversation %s cannot be deleted", row.pk)
        _note_failure(row, err, now=now)
        return "failed", err
    _note_proof(row, was_there=was_there, now=now)
    return "deleted", None


def _delete(row: DifyConversation) -> bool:
    """Delete and read back; return whether it was there. Raises what went wrong.

    Only with an id and a user that we stored: Dify 1.12 deletes whatever it is given.
    """
    if _is_in_use(row):
        raise InUse
    app = DifyApp.objects.get(pk=row.app_id)
    if app.health == DifyApp.Health.REFUSED:
        raise Unauthorized(
            "Dify refuses the app's API key. Enter a valid one at the Dify app; then "
            "the conversation is deleted."
        )
    client = DifyClient(app.connection())
    try:
        was_there = client.delete_conversation(
            row.dify_conversation_id, user=row.dify_user
        )
        if client.conversation_exists(row.dify_conversation_id, user=row.dify_user):
            raise StillThere
    except UpstreamError as err:
        DifyApp.objects.filter(pk=app.pk).note(err)
        raise
    if app.health != DifyApp.Health.OK:
        DifyApp.objects.filter(pk=app.pk).mark_ok()
    return was_there


def _is_in_use(row: DifyConversation) -> bool:
    return PipelineRun.objects.filter(
        dify_app=row.app_id,
        dify_conversation_id=row.dify_conversation_id,
        status=PipelineRun.Status.RUNNING,
        turn__status__in=UNFINISHED,
    ).exists()


def _put_off(row: DifyConversation, *, now: datetime, error: str = "") -> None:
    """Try again soon; it is no failed try."""
    DifyConversation.objects.filter(pk=row.pk, deleted_at=None).update(
        next_delete_at=now + PAUSES[0], delete_error=error or row.delete_error
    )


def _note_failure(row: DifyConversation, err: Exception, *, now: datetime) -> None:
    error = describe(err) if isinstance(err, BridgeError) else cut(str(err))
    logger.warning("Dify conversation row %s is not deleted: %s", row.pk, error)
    pause = PAUSES[min(row.delete_attempts, len(PAUSES) - 1)]
    DifyConversation.objects.filter(pk=row.pk, deleted_at=None).update(
        delete_attempts=row.delete_attempts + 1,
        delete_error=error,
        next_delete_at=now + pause,
    )


def _note_proof(row: DifyConversation, *, was_there: bool, now: datetime) -> int:
    conversation, erasure = row.conversation, row.erasure
    with transaction.atomic():
        proven = DifyConversation.objects.filter(pk=row.pk, deleted_at=None).update(
            delete_attempts=row.delete_attempts + 1,
            delete_error="",
            next_delete_at=None,
            deleted_at=now,
        )
        if proven:
            audit.record(
                AuditEntry.Verb.DELETED_IN_DIFY,
                account=erasure.account_id if erasure else None,
                conversation=conversation,
                dify_app=row.app_id,
                dify_conversation=row.dify_conversation_id,
                reason=row.end_reason,
                was_there=was_there,
            )
    return proven


# --- What Chatwoot has deleted ------------------------------------------------------


def find_gone(*, now: datetime, limit: int = 20) -> dict[str, int]:
    """Look which conversations Chatwoot no longer has, and want Dify's part deleted.

    Chatwoot tells nobody that a conversation was deleted, so the ones with something
    in Dify are asked for, `limit` of each account, the longest unasked first. Sorting
    them reads all of these; an index would cost each event a write. Accounts without
    an administrator's token that works are left out: a bot's 404 may mean less.
    """
    counts: Counter[str] = Counter(asked=0, gone=0)
    for pk in ChatwootAccount.objects.values_list("pk", flat=True):
        try:
            account = ChatwootAccount.objects.get(pk=pk)
            counts.update(_find_gone_of(account, now=now, limit=limit))
        except (BridgeError, ImproperlyConfigured) as err:
            logger.warning("Account %s: what is gone cannot be found: %s", pk, err)
            if isinstance(err, BridgeError):
                ChatwootAccount.objects.filter(pk=pk).note(err)
    return dict(counts)


def _find_gone_of(
    account: ChatwootAccount, *, now: datetime, limit: int
) -> Counter[str]:
    """Ask for one account's conversations. Raises when it is no use to go on."""
    accounts = ChatwootAccount.objects.filter(pk=account.pk)
    client = ChatwootClient(account, on_refused=accounts.note_refusal)
    counts: Counter[str] = Counter()
    missing: list[Conversation] = []
    for conversation in _unasked(account)[:limit]:
        if not client.can_read_messages:
            break
        try:
            client.show_conversation(conversation.chatwoot_conversation_id)
        except NotFound as err:
            if _is_chatwoots_own(err):
                missing.append(conversation)
        except UpstreamRejected as err:
            logger.info("Conversation %s cannot be seen: %s", conversation.pk, err)
        counts["asked"] += 1
        Conversation.objects.filter(pk=conversation.pk).update(checked_at=now)
    if missing and not _is_our_account(account, client=client):
        logger.error(
            "Account %s: %s conversations are said to be gone, but so are all "
            "inboxes that we know. Is the account's number or address still right? "
            "Nothing is deleted.",
            account.pk,
            len(missing),
        )
        return counts
    for conversation in missing:
        memories = DifyConversation.objects.filter(conversation=conversation)
        want_all(memories, reason=DifyConversation.End.GONE)
        counts["gone"] += 1
    return counts


def _unasked(account: ChatwootAccount) -> QuerySet[Conversation]:
    """Return conversations with something in Dify; the longest unasked first."""
    bots = Bot.objects.filter(account=account).exclude(
        dify_delete_policy=DeletePolicy.NEVER
    )
    inboxes = [inbox for bot in bots for inbox in inboxes_of(bot)]
    in_dify = DifyConversation.objects.filter(
        conversation=OuterRef("pk"), delete_wanted_at=None
    )
    return Conversation.objects.filter(Exists(in_dify), inbox__in=inboxes).order_by(
        F("checked_at").asc(nulls_first=True), "pk"
    )


def _is_chatwoots_own(err: NotFound) -> bool:
    """Tell Chatwoot's "no such record" from the 404 of a proxy or another server."""
    try:
        body = json.loads(err.excerpt)
    except ValueError:
        return False
    return isinstance(body, dict) and body.get("error") == NOT_FOUND


def _is_our_account(account: ChatwootAccount, *, client: ChatwootClient) -> bool:
    """Tell whether the account still has an inbox that we know.

    With a wrong account number every conversation looks deleted.
    """
    known = Inbox.objects.filter(
        account=account, chatwoot_inbox_id__in=client.inbox_ids()
    )
    return known.exists()
