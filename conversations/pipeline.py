"""Run one turn: claim it, check, ask Dify, check again, post, record.

Short writes and bare calls alternate; no transaction is open and no database
connection is held while Chatwoot or Dify is called (see `lib.http`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from uuid import UUID

from django.utils import timezone

from bridge_project.lib.errors import BridgeError, ConfigurationError
from chatwoot_api.client import ChatwootClient
from chatwoot_api.models import ChatwootAccount, Health
from conversations import (
    aftermath,
    answering,
    context,
    former_runs,
    freshness,
    handover,
    posting,
    slots,
    turns,
)
from conversations.aftermath import Result
from conversations.call_log import CallRecorder
from conversations.decisions import (
    CLOSED,
    SILENCED,
    hides_from_humans,
    is_settled_by_flow,
    leads,
    replies_as,
    situation_of,
)
from conversations.freshness import Look
from conversations.leases import Watch, keeper
from conversations.models import (
    Bot,
    ConversationStatus,
    OutgoingMessage,
    PipelineRun,
    Reason,
    ReplyAs,
    Turn,
    WebhookEvent,
)
from conversations.outcomes import (
    LEASE_LOST,
    AccountRefused,
    Interrupted,
    LeaseLost,
    NoAnswer,
)
from dify_api.models import DifyApp
from dify_api.payloads import Outcome

# More than retries ever make.
MAX_ATTEMPTS = 12


@dataclass(frozen=True)
class Ending:
    """How a turn ends."""

    status: Turn.Status
    reason: Reason
    # In which form it was answered; "" if it was not.
    replied_as: str = ""


class Typing:
    """The typing sign; Chatwoot never hides it by itself.

    A sign that fails costs nobody the answer.
    """

    def __init__(self, turn: Turn, *, bot: Bot, client: ChatwootClient) -> None:
        situation = situation_of(turn.conversation)
        self._number = turn.conversation.chatwoot_conversation_id
        self._client = client
        # Who gets a note, or has a human, is not waiting for the bot.
        self._wanted = replies_as(bot, situation, kind=turn.kind) == ReplyAs.MESSAGE
        self.is_shown = False

    def show(self) -> None:
        """Show it to the customer."""
        self._set(on=True)

    def hide(self) -> None:
        """Take it away, if it was shown."""
        if self.is_shown:
            self._set(on=False)

    def _set(self, *, on: bool) -> None:
        if self._wanted and self._client.can_speak:
            self.is_shown = on
            self._client.show_typing(self._number, on=on)


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """What one attempt at a turn works with."""

    turn: Turn
    question: str
    bot: Bot
    client: ChatwootClient
    recorder: CallRecorder
    typing: Typing
    lease: UUID
    watch: Watch


def run(turn_id: int) -> Result:
    """Run a turn that is due. Harmless to repeat: only one worker can claim it."""
    now = timezone.now()
    lease = Turn.objects.claim(turn_id, now=now)
    if lease is None:
        return Result("not due, or already running")
    turn, events = _load(turn_id)
    if turn.started_at != now:
        former_runs.close_abandoned(turn)
    recorder = CallRecorder(turn)
    with keeper.kept(lease) as watch:
        try:
            ending = _begin(
                turn, events=events, lease=lease, watch=watch, recorder=recorder
            )
        except LeaseLost:
            result = Result("lost the lease, another worker has it")
        except Exception as err:
            result = aftermath.settle(turn, lease=lease, err=err, about=events)
            # The task raises a fault of ours, once the next attempt is on its way.
            fault = None if isinstance(err, BridgeError) else err
            result = replace(result, fault=fault)
        else:
            is_answered = ending.status == Turn.Status.ANSWERED
            following = turns.finish(
                turn,
                lease=lease,
                status=ending.status,
                reason=ending.reason,
                replied_as=ending.replied_as,
                about=former_runs.answered(turn, events) if is_answered else events,
            )
            result = Result(
                f"{ending.status}: {ending.reason}",
                next_turn_id=following.pk if following else None,
            )
        finally:
            recorder.flush()
    return replace(result, app_id=recorder.asked_app_id)


def _load(turn_id: int) -> tuple[Turn, list[WebhookEvent]]:
    """Return a turn with the messages that it is about from here on.

    One that joins it now, to have it begin anew, is none of them: the events are read
    first, and the turn is made to agree with them.
    """
    events = list(
        WebhookEvent.objects.filter(turn=turn_id).order_by("chatwoot_message_id")
    )
    turn = Turn.objects.select_related(
        "bot__account", "bot__dify_app", "conversation__account", "conversation__inbox"
    ).get(pk=turn_id)
    if events:
        turn.last_message_id = events[-1].chatwoot_message_id or 0
    return turn, events


def show_waiting(turn: Turn, *, on: bool) -> None:
    """Show the typing sign while a turn waits for more messages, or hide it."""
    if turn.bot is None:
        return
    typing = Typing(turn, bot=turn.bot, client=ChatwootClient(turn.bot.account))
    typing.is_shown = not on
    if on:
        typing.show()
    else:
        typing.hide()


def _begin(
    turn: Turn,
    *,
    events: list[WebhookEvent],
    lease: UUID,
    watch: Watch,
    recorder: CallRecorder,
) -> Ending:
    # A bot that was deleted meanwhile leaves its customers to the humans.
    bot = turn.bot or Bot(account=turn.conversation.account, enabled=False)
    accounts = ChatwootAccount.objects.filter(pk=bot.account_id)
    client = ChatwootClient(
        bot.account, call_log=recorder, on_refused=accounts.note_refusal
    )
    attempt = Attempt(
        turn=turn,
        # A handover asks nothing, and has to work whatever the events look like.
        question=""
        if turn.handover_reason
        else context.question(context.messages_of(events)),
        bot=bot,
        client=client,
        recorder=recorder,
        typing=Typing(turn, bot=bot, client=client),
        lease=lease,
        watch=watch,
    )
    # Somebody may have been shown it while the turn waited for more messages.
    attempt.typing.is_shown = bot.debounce_s > 0 and turn.attempts <= 1
    try:
        return _work(attempt)
    except Interrupted as err:
        if err.cause == LEASE_LOST:
            raise LeaseLost from err
        raise
    finally:
        attempt.typing.hide()


def _work(attempt: Attempt) -> Ending:
    """Do what the turn needs next. Raises what `aftermath` sorts out."""
    turn, bot, client = attempt.turn, attempt.bot, attempt.client
    if turn.attempts > MAX_ATTEMPTS:
        # It kills its workers.
        if not turn.handover_reason:
            raise NoAnswer(Reason.INTERNAL_ERROR)
        if aftermath.is_too_late(turn):
            return Ending(Turn.Status.FAILED, Reason(turn.handover_reason))
    if not client.can_act:
        raise AccountRefused
    # 1. An earlier attempt may have posted the answer and died before it said so.
    posted_as = _posted_as(turn, client=client)
    if posted_as is not None:
        return _answered(attempt, replied_as=posted_as)
    if not turn.handover_reason:
        _check_worth(attempt)
    # 2. Is it still ours to answer?
    look = freshness.look(turn, bot=bot, client=client)
    if turn.handover_reason:
        _keep(attempt)
        return _hand_over(attempt, look=look)
    if look.why_not is not None:
        return _not_answered(attempt, reason=look.why_not, status=look.status)
    if not bot.enabled:
        reason = Reason.BOT_DISABLED if turn.bot else Reason.NO_BOT_FOR_INBOX
        return _not_answered(attempt, reason=reason, status=look.status)
    # 3. Ask.
    attempt.typing.show()
    answered = _ask(attempt, flow_spoke=look.flow_spoke)
    attempt.typing.hide()
    # 4. Dify took its time: look again, just before posting.
    look = freshness.look(turn, bot=bot, client=client)
    if look.why_not is not None:
        return _not_answered(attempt, reason=look.why_not, status=look.status)
    missing = _why_no_answer(answered)
    if missing == Reason.EMPTY_ANSWER and (look.flow_spoke or look.left_by_flow):
        return _ended_by_flow(attempt, look=look)
    if missing is not None:
        raise NoAnswer(missing)
    _claim_post(attempt)
    # 5. Post.
    replied_as = replies_as(bot, look.situation, kind=turn.kind)
    posting.post_once(
        turn,
        part=OutgoingMessage.Part.ANSWER,
        content=answered.answer,
        private=replied_as == ReplyAs.PRIVATE_NOTE,
        client=client,
    )
    if bot.account.health in (Health.UNKNOWN, Health.FAILING):
        ChatwootAccount.objects.filter(pk=bot.account.pk).usable().mark_ok()
    return _answered(attempt, replied_as=replied_as, status=look.status)


def _answered(attempt: Attempt, *, replied_as: ReplyAs, status: str = "") -> Ending:
    """End a turn whose answer is posted; a note brings the customer to the humans.

    Only the bot sees a pending conversation. Where it wrote a note there because the
    customer wants a human, or on a trial run, the humans have to answer.
    """
    turn, bot = attempt.turn, attempt.bot
    if replied_as == ReplyAs.MESSAGE:
        return Ending(Turn.Status.ANSWERED, Reason.ANSWERED, replied_as)
    is_answer = turn.kind == Turn.Kind.ANSWER
    if is_answer and hides_from_humans(
        status=status or situation_of(turn.conversation).status, bot=bot
    ):
        attempt.client.toggle_status(
            turn.conversation.chatwoot_conversation_id, status=ConversationStatus.OPEN
        )
    reason = Reason.ANSWERED if is_answer and not leads(bot) else Reason.SUGGESTED
    return Ending(Turn.Status.ANSWERED, reason, replied_as)


def _check_worth(attempt: Attempt) -> None:
    """Raise when it makes no sense to ask: too late, refused, or no place."""
    turn, bot, now = attempt.turn, attempt.bot, timezone.now()
    started_at = turn.started_at or now
    if now - started_at > timedelta(minutes=bot.max_turn_minutes):
        raise NoAnswer(Reason.TOOK_TOO_LONG, error=turn.error)
    if started_at - turn.created_at > timedelta(seconds=bot.max_message_age_s):
        raise NoAnswer(Reason.TOO_OLD)
    if not attempt.client.can_speak:
        raise NoAnswer(
            Reason.CHATWOOT_FAILED,
            error="Chatwoot refuses the bot's token. Enter a new one at the account.",
        )
    if bot.dify_app is None or _has_answer(attempt, app=bot.dify_app):
        return
    if bot.dify_app.health == DifyApp.Health.REFUSED:
        raise NoAnswer(
            Reason.DIFY_FAILED,
            error="Dify refuses the app's key, so it was not asked. Enter a new key at "
            "the Dify app.",
        )
    slots.check(turn, app=bot.dify_app, now=now)


def _has_answer(attempt: Attempt, *, app: DifyApp) -> bool:
    """Tell whether only the post is left to be done."""
    turn = attempt.turn
    if turn.is_first_attempt:
        return False
    former = former_runs.former_run(turn, question=attempt.question, app=app)
    return former is not None and former.status == PipelineRun.Status.SUCCEEDED


def _not_answered(attempt: Attempt, *, reason: Reason, status: str) -> Ending:
    """End the turn; what only the bot can see is for the humans if it is silenced."""
    is_silenced = reason in SILENCED | {Reason.BOT_DISABLED, Reason.NO_BOT_FOR_INBOX}
    is_answer = attempt.turn.kind == Turn.Kind.ANSWER
    if is_answer and is_silenced and hides_from_humans(status=status, bot=attempt.bot):
        raise NoAnswer(reason)
    return Ending(Turn.Status.SKIPPED, reason)


def _ended_by_flow(attempt: Attempt, *, look: Look) -> Ending:
    """End a turn whose flow did by callbacks what there was to do, and said no more.

    No failure, so neither line nor note. Opened for the agents, or paused where they
    see it, it is handed over; what the flow resolved or snoozed is deliberately left
    without an answer. Paused where only the bot sees it, it has yet to be opened.
    """
    if look.flow_spoke:
        return Ending(Turn.Status.ANSWERED, Reason.ANSWERED_BY_FLOW, ReplyAs.MESSAGE)
    if hides_from_humans(status=look.status, bot=attempt.bot):
        raise NoAnswer(Reason.HANDED_OVER_BY_FLOW)
    is_closed = look.status in CLOSED
    status = Turn.Status.SKIPPED if is_closed else Turn.Status.HANDED_OVER
    return Ending(status, Reason.HANDED_OVER_BY_FLOW)


def _ask(attempt: Attempt, *, flow_spoke: bool) -> PipelineRun:
    app = attempt.bot.dify_app
    if app is None:
        raise ConfigurationError("The bot has no Dify app. Choose one at the bot.")
    return answering.answer_for(
        attempt.turn,
        question=attempt.question,
        bot=attempt.bot,
        app=app,
        recorder=attempt.recorder,
        watch=attempt.watch,
        flow_spoke=flow_spoke,
    )


def _why_no_answer(run: PipelineRun) -> Reason | None:
    """A paused or stopped run may have said something; it is not the answer."""
    if run.outcome == Outcome.PAUSED:
        return Reason.DIFY_PAUSED
    if run.outcome == Outcome.STOPPED:
        return Reason.DIFY_STOPPED
    return None if run.answer.strip() else Reason.EMPTY_ANSWER


def _keep(attempt: Attempt) -> None:
    """Go on only while the turn is still ours: right before a message is posted."""
    if not Turn.objects.renew([attempt.lease], now=timezone.now()):
        raise LeaseLost


def _claim_post(attempt: Attempt) -> None:
    """Post only what is still ours, wanted, and an answer to all messages."""
    turn, lease = attempt.turn, attempt.lease
    may_post = Turn.objects.claim_post(
        turn.pk,
        lease=lease,
        last_message_id=turn.last_message_id,
        now=timezone.now(),
    )
    if may_post:
        return
    held = Turn.objects.held(turn.pk, lease=lease).values_list("interrupt", flat=True)
    cause = held.first()
    if not cause:
        raise LeaseLost
    raise Interrupted(cause)


def _posted_as(turn: Turn, *, client: ChatwootClient) -> ReplyAs | None:
    """Return in which form the answer was posted already, None if it was not."""
    part = OutgoingMessage.Part.ANSWER
    try:
        if not posting.is_posted(turn, part=part, client=client):
            return None
    except posting.CannotBeKnown:
        # The humans have to look; that is what the handover is for.
        if turn.handover_reason:
            return None
        raise
    was_note = OutgoingMessage.objects.filter(turn=turn, part=part, private=True)
    return ReplyAs.PRIVATE_NOTE if was_note.exists() else ReplyAs.MESSAGE


def _hand_over(attempt: Attempt, *, look: Look) -> Ending:
    """Finish a handover, unless a human was faster.

    A flow may have let go of the conversation before it failed. Whom it has spoken to
    then hears no apology; the agents get the note in any case.
    """
    turn, not_ours = attempt.turn, look.why_not
    if not_ours is None or not_ours in SILENCED:
        left, spoke = look.left_by_flow, look.flow_spoke
        handover.hand_over(
            turn,
            bot=attempt.bot,
            client=attempt.client,
            speaks=replies_as(attempt.bot, look.situation, kind=turn.kind)
            == ReplyAs.MESSAGE,
            quietly=not_ours is not None or (left is not None and spoke),
            opens=not is_settled_by_flow(left, status=look.status, spoke=spoke),
        )
    elif not handover.was_begun(turn):
        # Otherwise it is our own status change, made before a worker died.
        return Ending(Turn.Status.SKIPPED, not_ours)
    return Ending(Turn.Status.HANDED_OVER, Reason(turn.handover_reason))
