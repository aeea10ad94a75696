"""Tell Dify what agents and customers thought of an answer.

The event that brought the feedback is the row of it: without an action it is still to
be told, and `attempts` and `processed_at` say how often and when that was tried.
Telling it twice changes nothing in Dify, telling an older opinion after a newer one
would: so only the newest about an answer is told.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import QuerySet

from bridge_project.lib.errors import (
    BridgeError,
    MalformedPayload,
    NotFound,
    Unauthorized,
    UpstreamError,
)
from bridge_project.lib.redact import cut
from chatwoot_api.payloads import Message, parse_event
from conversations import agent_notes
from conversations.agent_notes import Feedback
from conversations.call_log import CallRecorder
from conversations.models import (
    Action,
    Bot,
    OutgoingMessage,
    PipelineRun,
    Reason,
    WebhookEvent,
)
from dify_api.client import DifyClient
from dify_api.models import DifyApp

logger = logging.getLogger(__name__)

# Pauses after the first, second, … failed try; then once an hour.
DELAYS_S = (30.0, 120.0, 600.0, 1800.0)
LATER_S = 3600.0
# A key may be replaced, Dify may be back: for so long it is tried.
GIVEN_UP_AFTER = timedelta(days=1)
# What is older was not even given up, since no worker was there.
FORGOTTEN_AFTER = timedelta(days=7)
# So many at a time; the next look is soon.
BATCH = 100
# The first try is on its way through Redis.
GRACE = timedelta(seconds=5)
# Of the conversation's feedback that came later.
_LOOKS_AHEAD = 20

NO_ANSWER = "No answer of the bot stands before it, so there is nothing to rate."
NOT_SEEN = (
    "The customer has seen no answer of the bot in this conversation, so there is "
    "nothing to rate."
)
NOT_DIFY = "The answer did not come from Dify, so Dify is told nothing."
NO_MESSAGE = (
    "The answer came from a workflow, whose runs have no message in Dify that can be "
    "rated. Chat, agent, chatflow and completion apps have."
)
NEITHER = "A rating in the middle is neither a like nor a dislike, so nothing was sent."
GONE = "Dify does not know the rated message any more."
REPLACED = "Newer feedback on the same answer was sent in its place."


@dataclass(frozen=True)
class _Rated:
    """What is rated: the message in Dify."""

    run: PipelineRun
    app: DifyApp


class _NotTold(Exception):
    """It cannot be told, ever; the sentence says why."""


def begin(event: WebhookEvent) -> None:
    """Note that an event's feedback is to be told."""
    event.action, event.attempts = "", 0
    event.save(update_fields=["action", "attempts"])


def due(now: datetime) -> list[int]:
    """Return the events whose feedback is to be told now, the oldest first."""
    waiting = _waiting().filter(received_at__gt=now - FORGOTTEN_AFTER).order_by("pk")
    found = waiting.values_list("pk", "attempts", "processed_at")[:BATCH]
    return [
        event_id
        for event_id, attempts, tried_at in found
        if tried_at is None or tried_at + _pause(attempts) <= now
    ]


def send(event_id: int, *, now: datetime) -> bool:
    """Tell Dify the feedback of one event; True if Dify took it.

    What fails for a moment is tried again later, for a day. Why it was not told stands
    in the event.
    """
    event = _waiting().select_related("account").filter(pk=event_id).first()
    if event is None:
        return False
    try:
        _send(event)
    except _NotTold as err:
        _end(event, error=str(err), now=now)
    except NotFound:
        _end(event, error=GONE, now=now)
    except BridgeError as err:
        if _may_pass(err) and now - event.received_at < GIVEN_UP_AFTER:
            _try_later(event, err, now=now)
        else:
            logger.error("Feedback of event %s is given up: %s", event.pk, err)
            _end(event, error=cut(str(err)), now=now, failed=True)
    else:
        _end(event, error="", now=now)
        return True
    return False


def _waiting() -> QuerySet[WebhookEvent]:
    return WebhookEvent.objects.filter(
        reason=Reason.FEEDBACK, action="", status=WebhookEvent.Status.PROCESSED
    )


def _pause(attempts: int) -> timedelta:
    if not attempts:
        return GRACE
    known = attempts <= len(DELAYS_S)
    return timedelta(seconds=DELAYS_S[attempts - 1] if known else LATER_S)


def _may_pass(err: BridgeError) -> bool:
    return err.retryable or isinstance(err, Unauthorized)


def _send(event: WebhookEvent) -> None:
    message, feedback = _read(event)
    if feedback.rating is None:
        raise _NotTold(NEITHER)
    rated = _rated(event, message=message, feedback=feedback)
    if _is_replaced(event, rated=rated):
        raise _NotTold(REPLACED)
    recorder = CallRecorder(rated.run.turn)
    recorder.run = rated.run
    client = DifyClient(rated.app.connection(), call_log=recorder)
    try:
        client.feedback(
            rated.run.dify_message_id,
            rating=feedback.rating.value,
            content=feedback.text,
            user=rated.run.dify_user,
        )
    except UpstreamError as err:
        DifyApp.objects.filter(pk=rated.app.pk).note(err)
        raise
    finally:
        recorder.flush()


def _read(event: WebhookEvent) -> tuple[Message, Feedback]:
    """Return the feedback in an event, whatever the bot is set to by now."""
    try:
        message = parse_event(event.payload).message
    except MalformedPayload:
        message = None
    if message is not None:
        is_new = event.name == "message_created"
        found = agent_notes.feedback_in(message, is_new=is_new, bot=Bot())
        if found is not None:
            return message, found
    raise _NotTold("What was said is no longer stored.")


def _rated(event: WebhookEvent, *, message: Message, feedback: Feedback) -> _Rated:
    """Return what the feedback is about: the bot's last answer before it.

    An agent's note may reply to another one, or be about a draft. A customer rates what
    the customer has seen.
    """
    posts = OutgoingMessage.objects.filter(
        turn__conversation=event.conversation_id,
        part=OutgoingMessage.Part.ANSWER,
        posted_at__isnull=False,
        chatwoot_message_id__lt=message.id,
    ).order_by("-chatwoot_message_id")
    if feedback.by_customer:
        posts = posts.filter(private=False)
    post = None
    if feedback.about_message_id is not None:
        post = posts.filter(chatwoot_message_id=feedback.about_message_id).first()
    post = post or posts.first()
    if post is None:
        raise _NotTold(NOT_SEEN if feedback.by_customer else NO_ANSWER)
    runs = PipelineRun.objects.filter(
        turn=post.turn_id, status=PipelineRun.Status.SUCCEEDED
    ).select_related("dify_app", "turn")
    run = runs.order_by("-pk").first()
    if run is None or run.dify_app is None:
        raise _NotTold(NOT_DIFY)
    if not run.dify_message_id:
        raise _NotTold(NO_MESSAGE)
    return _Rated(run, run.dify_app)


def _is_replaced(event: WebhookEvent, *, rated: _Rated) -> bool:
    """Tell whether somebody has rated the same answer anew since.

    A survey comes twice: with the rating, then with the text.
    """
    later = WebhookEvent.objects.filter(
        conversation=event.conversation_id, reason=Reason.FEEDBACK, pk__gt=event.pk
    ).order_by("pk")
    for other in later[:_LOOKS_AHEAD]:
        try:
            message, feedback = _read(other)
            same = _rated(other, message=message, feedback=feedback).run == rated.run
        except _NotTold:
            continue
        if same and feedback.rating is not None:
            return True
    return False


def _try_later(event: WebhookEvent, err: BridgeError, *, now: datetime) -> None:
    event.attempts, event.processed_at = event.attempts + 1, now
    event.error = cut(f"Dify was not told yet; it is tried again. {err}")
    event.save(update_fields=["attempts", "processed_at", "error"])


def _end(
    event: WebhookEvent, *, error: str, now: datetime, failed: bool = False
) -> None:
    event.action, event.error, event.processed_at = Action.IGNORE, error, now
    event.status = (
        WebhookEvent.Status.FAILED if failed else WebhookEvent.Status.PROCESSED
    )
    event.save(update_fields=["action", "error", "processed_at", "status"])
