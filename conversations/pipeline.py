"""Run one turn: claim it, check, ask Dify, check again, post, record.

Short writes and bare calls alternate; no transaction is open and no database
connection is held while Chatwoot or Dify is called (see `lib.http`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID

from django.utils import timezone

from bridge_project.lib.errors import BridgeError, ConfigurationError, UpstreamError
from chatwoot_api.client import ChatwootClient
from chatwoot_api.models import ChatwootAccount, Health
from chatwoot_api.payloads import Message
from conversations import (
    aftermath,
    answers,
    asking,
    business_hours,
    ceilings,
    context,
    drafts,
    flow_forms,
    form_rows,
    former_runs,
    freshness,
    greetings,
    handover,
    incoming,
    opening_statement,
    posting,
    resets,
    slots,
    turns,
)
from conversations.aftermath import Result
from conversations.answers import Answer, Typing, suggestions
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
    FlowForm,
    OutgoingMessage,
    PipelineRun,
    Reason,
    ReplyAs,
    Turn,
    WebhookEvent,
)
from conversations.models.bot_settings import DIFY, OutsideHours
from conversations.outcomes import (
    LEASE_LOST,
    AccountRefused,
    Interrupted,
    LeaseLost,
    NoAnswer,
)
from conversations.providers import NOTHING
from conversations.resets import Reset
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


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """What one attempt at a turn works with."""

    turn: Turn
    messages: Sequence[Message]
    quotes: Mapping[int, str]
    question: str
    bot: Bot
    client: ChatwootClient
    recorder: CallRecorder
    typing: Typing
    lease: UUID
    watch: Watch
    # The customer has begun anew in this turn.
    reset: Reset | None = None


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
                delay_s=turns.pause_s(following),
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
        "bot__account",
        "bot__dify_app",
        "bot__command_app",
        "bot__openai_server",
        "conversation__account",
        "conversation__inbox",
        "flow_form__turn",
        "flow_form__run__dify_app",
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
    reset, events = resets.split(events)
    # A bot that was deleted meanwhile leaves its customers to the humans.
    bot = turn.bot or Bot(account=turn.conversation.account, enabled=False)
    accounts = ChatwootAccount.objects.filter(pk=bot.account_id)
    client = ChatwootClient(
        bot.account, call_log=recorder, on_refused=accounts.note_refusal
    )
    # A handover asks nothing, and has to work whatever the events look like.
    messages = [] if turn.handover_reason else context.messages_of(events)
    quotes = context.quotes_for(messages, turn=turn)
    attempt = Attempt(
        turn=turn,
        messages=messages,
        quotes=quotes,
        question=context.question(messages, files=turn.files, quotes=quotes),
        bot=bot,
        client=client,
        recorder=recorder,
        typing=Typing(turn, bot=bot, client=client),
        lease=lease,
        watch=watch,
        reset=reset,
    )
    # Somebody may have been shown it while the turn waited for more messages, or by a
    # worker that died.
    attempt.typing.is_shown = bot.debounce_s > 0 or turn.attempts > 1
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
    if not client.has_token:
        # It was taken away; nothing can be posted, and nothing handed over.
        failed, skipped = Turn.Status.FAILED, Turn.Status.SKIPPED
        status = failed if turn.handover_reason else skipped
        return Ending(status, Reason.NO_CREDENTIALS)
    if not client.can_act:
        raise AccountRefused
    if turn.kind == Turn.Kind.GREETING:
        return _greet(attempt)
    # 1. An earlier attempt may have posted the answer and died before it said so.
    is_asking = flow_forms.is_begun(turn, bot=bot)
    posted_as = None if is_asking else _posted_as(attempt)
    if posted_as is not None:
        return _answered(attempt, replied_as=posted_as)
    if not turn.handover_reason:
        _check_worth(attempt)
    elif aftermath.is_unnoticed(turn):
        return Ending(Turn.Status.SKIPPED, Reason(turn.handover_reason))
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
    if (form := flow_forms.unclear(turn)) is not None:
        return _pose(attempt, form, look=look, run=None)
    if attempt.reset is not None:
        resets.forget(turn, bot=bot, reset=attempt.reset)
        if attempt.reset.is_all:
            return _begin_anew(attempt, look=look)
    # 3. Ask.
    attempt.typing.show()
    answered = _ask(attempt, flow_spoke=look.flow_spoke)
    answer = answers.prepare(answered, turn=turn, bot=bot)
    attempt.typing.hide()
    # 4. Dify took its time: look again, just before posting.
    look = freshness.look(turn, bot=bot, client=client)
    if look.why_not is not None:
        return _not_answered(attempt, reason=look.why_not, status=look.status)
    by_itself = look.flow_spoke or look.left_by_flow
    if answered.outcome == NOTHING and not by_itself:
        return Ending(Turn.Status.SKIPPED, Reason.NOTHING_TO_SAY)
    form = flow_forms.to_pose(turn, run=answered, bot=bot)
    if form is not None:
        return _pose(attempt, form, look=look, run=answered)
    missing = _why_no_answer(answered, answer=answer)
    if missing == Reason.EMPTY_ANSWER and (look.flow_spoke or look.left_by_flow):
        return _ended_by_flow(attempt, look=look)
    if missing == Reason.EMPTY_ANSWER and (noted := _noted_by_flow(attempt, look=look)):
        note = ReplyAs.PRIVATE_NOTE
        return _answered(attempt, replied_as=note, status=look.status, said=noted)
    if missing is not None:
        raise NoAnswer(missing)
    _claim_post(attempt)
    # 5. Post.
    replied_as = replies_as(bot, look.situation, kind=turn.kind)
    if look.is_humans:
        replied_as = ReplyAs.PRIVATE_NOTE
    said = _as_said(answer.text, attempt=attempt, replied_as=replied_as)
    answers.deliver(
        turn,
        replace(answer, text=said),
        private=replied_as == ReplyAs.PRIVATE_NOTE,
        client=client,
        bot=bot,
        keep=lambda: _keep(attempt),
    )
    if bot.account.health in (Health.UNKNOWN, Health.FAILING):
        ChatwootAccount.objects.filter(pk=bot.account.pk).usable().mark_ok()
    if replied_as == ReplyAs.MESSAGE and answer.choices is None:
        _offer_questions(attempt, run=answered)
    return _answered(attempt, replied_as=replied_as, status=look.status)


def _pose(
    attempt: Attempt, form: FlowForm, *, look: Look, run: PipelineRun | None
) -> Ending:
    """Ask for the form that the flow waits for; agents have to see theirs.

    Where the bot only suggests, nobody is asked: the humans have the conversation.
    """
    turn, bot, client = attempt.turn, attempt.bot, attempt.client
    if replies_as(bot, look.situation, kind=turn.kind) != ReplyAs.MESSAGE:
        form_rows.withdraw(turn.conversation_id)
        raise NoAnswer(Reason.DIFY_PAUSED)
    _claim_post(attempt)
    posed = flow_forms.pose(
        form, turn=turn, bot=bot, client=client, run=run, private=look.is_humans
    )
    if posed == flow_forms.Pose.CUSTOMER:
        status = Turn.Status.ANSWERED
        return Ending(status, Reason.ASKED_FOR_FORM, ReplyAs.MESSAGE)
    if hides_from_humans(status=look.status, bot=bot):
        client.toggle_status(
            turn.conversation.chatwoot_conversation_id, status=ConversationStatus.OPEN
        )
    return Ending(Turn.Status.HANDED_OVER, Reason.ASKED_FOR_FORM)


def _offer_questions(attempt: Attempt, *, run: PipelineRun) -> None:
    """Offer what Dify suggests to ask next, while the customer is still ours."""
    turn, bot, client = attempt.turn, attempt.bot, attempt.client
    if turn.kind != Turn.Kind.ANSWER or not suggestions.may_have_any(run, bot=bot):
        return
    questions = suggestions.ask(run, call_log=attempt.recorder)
    if not questions or attempt.watch.is_interrupted():
        return
    if freshness.look(turn, bot=bot, client=client).why_not is None:
        suggestions.offer(turn, questions, bot=bot, client=client)


def _as_said(text: str, *, attempt: Attempt, replied_as: ReplyAs) -> str:
    """Return the answer as it is posted: a suggestion says whose it is."""
    bot, kind = attempt.bot, attempt.turn.kind
    if replied_as == ReplyAs.MESSAGE or not drafts.suggests(bot, kind=kind):
        return text
    return drafts.marked(text, bot=bot, kind=kind)


def _noted_by_flow(attempt: Attempt, *, look: Look) -> str:
    """Return what a flow that answers by callbacks wrote for the agents, "" if nothing.

    It meant to tell the customer; where the bot only suggests, these are its notes.
    """
    bot, kind = attempt.bot, attempt.turn.kind
    is_note = replies_as(bot, look.situation, kind=kind) == ReplyAs.PRIVATE_NOTE
    if not is_note or not drafts.suggests(bot, kind=kind):
        return ""
    return drafts.said_by_flow(attempt.turn)


def _answered(
    attempt: Attempt, *, replied_as: ReplyAs, status: str = "", said: str = ""
) -> Ending:
    """End a turn whose answer is posted; a note brings the customer to the humans.

    Only the bot sees a pending conversation. Where it wrote a note there because the
    customer wants a human, or on a trial run, the humans have to answer. `said` is what
    the flow noted by callbacks in place of an answer.
    """
    turn, bot = attempt.turn, attempt.bot
    if replied_as == ReplyAs.MESSAGE:
        return Ending(Turn.Status.ANSWERED, Reason.ANSWERED, replied_as)
    drafts.record(turn, bot=bot, said=said)
    is_answer = turn.kind == Turn.Kind.ANSWER
    if is_answer and hides_from_humans(
        status=status or situation_of(turn.conversation).status, bot=bot
    ):
        attempt.client.toggle_status(
            turn.conversation.chatwoot_conversation_id, status=ConversationStatus.OPEN
        )
    reason = Reason.ANSWERED if is_answer and not leads(bot) else Reason.SUGGESTED
    return Ending(Turn.Status.ANSWERED, reason, replied_as)


def _greet(attempt: Attempt) -> Ending:
    """Say hello, unless something has been said meanwhile."""
    turn, bot, client = attempt.turn, attempt.bot, attempt.client
    part = OutgoingMessage.Part.GREETING
    if turn.handover_reason:
        return Ending(Turn.Status.SKIPPED, Reason(turn.handover_reason))
    if not posting.is_posted(turn, part=part, client=client):
        text, rich = opening_statement.wording(
            turn.conversation, bot=bot, call_log=attempt.recorder
        )
        look = freshness.look(turn, bot=bot, client=client)
        reason = look.why_not or greetings.why_not_now(turn, bot=bot, look=look)
        if reason is None and not text:
            reason = Reason.NOTHING_TO_SAY
        if reason is not None:
            return Ending(Turn.Status.SKIPPED, reason)
        _claim_post(attempt)
        posting.post_once(
            turn, part=part, content=text, private=False, client=client, rich=rich
        )
    return Ending(Turn.Status.ANSWERED, Reason.GREETING, ReplyAs.MESSAGE)


def _begin_anew(attempt: Attempt, *, look: Look) -> Ending:
    """Tell the customer that the bot has forgotten; agents need not be told."""
    turn, bot = attempt.turn, attempt.bot
    replied_as = replies_as(bot, look.situation, kind=turn.kind)
    if replied_as != ReplyAs.MESSAGE or not bot.reset_text.strip():
        return Ending(Turn.Status.SKIPPED, Reason.RESET)
    _claim_post(attempt)
    posting.post_once(
        turn,
        part=OutgoingMessage.Part.ANSWER,
        content=bot.reset_text,
        private=False,
        client=attempt.client,
    )
    return Ending(Turn.Status.ANSWERED, Reason.ANSWERED, replied_as)


def _check_limits(attempt: Attempt, *, now: datetime) -> None:
    """Raise NoAnswer outside business hours, and at a ceiling.

    Whoever was asked for this turn already was let in then, and so was a flow that an
    answer to its form resumes.
    """
    turn, bot = attempt.turn, attempt.bot
    if turn.flow_form_id is not None:
        return
    is_answer = turn.kind == Turn.Kind.ANSWER
    if is_answer and bot.outside_hours != OutsideHours.ANSWER:
        is_new = turn.is_first_attempt or not turn.runs.exists()
        if is_new and not business_hours.is_open(turn.conversation.inbox, now):
            raise NoAnswer(Reason.OUTSIDE_HOURS)
    if not _only_resets(attempt):
        ceilings.check(turn, bot=bot, now=now)


def _only_resets(attempt: Attempt) -> bool:
    return attempt.reset is not None and attempt.reset.is_all


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
    _check_limits(attempt, now=now)
    app = asking.app_of(turn, bot=bot)
    if app is None or _only_resets(attempt) or _has_answer(attempt, app=app):
        return
    if app.health == DifyApp.Health.REFUSED:
        raise NoAnswer(
            Reason.DIFY_FAILED,
            error="Dify refuses the app's key, so it was not asked. Enter a new key at "
            "the Dify app.",
        )
    slots.check(turn, app=app, now=now)


def _has_answer(attempt: Attempt, *, app: DifyApp) -> bool:
    """Tell whether only the post is left to be done."""
    turn = attempt.turn
    if turn.is_first_attempt:
        return False
    if turn.kind == Turn.Kind.HELP:
        return turn.runs.filter(status=PipelineRun.Status.SUCCEEDED).exists()
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
    files = _files(attempt)
    return asking.ask(
        attempt.turn,
        question=files.question() if files else attempt.question,
        files=files,
        bot=attempt.bot,
        client=attempt.client,
        recorder=attempt.recorder,
        watch=attempt.watch,
        flow_spoke=flow_spoke,
    )


def _files(attempt: Attempt) -> incoming.Files | None:
    """Bring what the customer sent besides text to whoever is asked."""
    turn, bot = attempt.turn, attempt.bot
    of_customer = turn.kind in (Turn.Kind.ANSWER, Turn.Kind.DRAFT)
    if not of_customer or turn.flow_form_id is not None:
        return None
    return incoming.bring(
        turn,
        messages=attempt.messages,
        quotes=attempt.quotes,
        bot=bot,
        app=bot.dify_app if bot.provider == DIFY else None,
        client=attempt.client,
        recorder=attempt.recorder,
        watch=attempt.watch,
    )


def _why_no_answer(run: PipelineRun, *, answer: Answer) -> Reason | None:
    """A paused or stopped run may have said something; it is not the answer."""
    if run.outcome == Outcome.PAUSED:
        return Reason.DIFY_PAUSED
    if run.outcome == Outcome.STOPPED:
        return Reason.DIFY_STOPPED
    return Reason.EMPTY_ANSWER if answer.is_empty else None


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


def _posted_as(attempt: Attempt) -> ReplyAs | None:
    """Return in which form the answer was posted already, None if it was not.

    What is left of one that was begun is posted now. Where that fails for good, the
    humans have to look; that is what the handover is for.
    """
    turn, client = attempt.turn, attempt.client
    try:
        first = answers.first_posted(turn, client=client)
    except posting.CannotBeKnown:
        if turn.handover_reason:
            return None
        raise
    if first is None:
        return None
    try:
        answers.post_rest(
            turn, client=client, bot=attempt.bot, keep=lambda: _keep(attempt)
        )
    except (UpstreamError, ConfigurationError):
        if turn.handover_reason:
            return None
        raise
    return ReplyAs.PRIVATE_NOTE if first.private else ReplyAs.MESSAGE


def _hand_over(attempt: Attempt, *, look: Look) -> Ending:
    """Finish a handover, unless a human was faster.

    A flow may have let go of the conversation before it failed. Whom it has spoken to
    then hears no apology; the agents get the note in any case.
    """
    turn, not_ours = attempt.turn, look.why_not
    if form_rows.are_asked(attempt.bot):
        form_rows.withdraw(turn.conversation_id)
    if not_ours is None or not_ours in SILENCED:
        left, spoke = look.left_by_flow, look.flow_spoke
        handover.hand_over(
            turn,
            bot=attempt.bot,
            client=attempt.client,
            speaks=replies_as(attempt.bot, look.situation, kind=turn.kind)
            == ReplyAs.MESSAGE,
            quietly=not_ours is not None
            or look.is_humans
            or (left is not None and spoke),
            opens=not is_settled_by_flow(left, status=look.status, spoke=spoke),
        )
    elif not handover.was_begun(turn):
        # Otherwise it is our own status change, made before a worker died.
        return Ending(Turn.Status.SKIPPED, not_ours)
    return Ending(Turn.Status.HANDED_OVER, Reason(turn.handover_reason))
