"""Run one turn: claim it, check, ask Dify, check again, post, record.

Short writes and bare calls alternate; no transaction is open and no database
connection is held while Chatwoot or Dify is called (see `lib.http`).
"""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID

from django.utils import timezone

from bridge_project.lib.errors import BridgeError, ConfigurationError, UpstreamError
from chatwoot_api.client import ChatwootClient
from chatwoot_api.models import ChatwootAccount, Health
from conversations import (
    aftermath,
    answers,
    asking,
    context,
    endings,
    flow_forms,
    former_runs,
    freshness,
    incoming,
    occasions,
    posting,
    resets,
    turns,
    worth,
)
from conversations.aftermath import Result
from conversations.answers import Answer, Typing
from conversations.attempts import Attempt, Ending, claim_post, keep
from conversations.call_log import CallRecorder
from conversations.decisions import kind_of, replies_as
from conversations.leases import Watch, keeper
from conversations.models import (
    Bot,
    PipelineRun,
    Reason,
    ReplyAs,
    Turn,
    WebhookEvent,
)
from conversations.models.bot_settings import DIFY
from conversations.outcomes import (
    LEASE_LOST,
    AccountRefused,
    Interrupted,
    LeaseLost,
    NoAnswer,
)
from conversations.providers import NOTHING
from dify_api.payloads import Outcome

# More than retries ever make.
MAX_ATTEMPTS = 12


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
        _mend_kind(turn, events)
    return turn, events


def _mend_kind(turn: Turn, events: list[WebhookEvent]) -> None:
    """Keep what agents asked from being answered to the customer.

    A worker of before knows no kinds: while an upgrade runs it may have begun a turn
    for an agent's note as if the customer had written it.
    """
    kinds = {kind_of(event.reason) for event in events}
    if turn.kind == Turn.Kind.ANSWER and kinds == {Turn.Kind.HELP}:
        turn.kind = Turn.Kind.HELP
        Turn.objects.filter(pk=turn.pk).update(kind=turn.kind)


def show_waiting(turn: Turn, *, on: bool) -> None:
    """Show the typing sign while a turn waits for more messages, or hide it."""
    if turn.bot is None:
        return
    typing = Typing(turn, bot=turn.bot, client=ChatwootClient(turn.bot.account))
    typing.is_shown = not on
    if on:
        typing.show_once()
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
    # worker that died; not for ever, if that is what kills them.
    was_tried = 1 < turn.attempts <= MAX_ATTEMPTS
    attempt.typing.is_shown = bot.debounce_s > 0 or was_tried
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
        return occasions.greet(attempt)
    # 1. An earlier attempt may have posted the answer and died before it said so.
    is_asking = flow_forms.is_begun(turn, bot=bot)
    posted_as = None if is_asking else _posted_as(attempt)
    if posted_as is not None:
        return endings.answered(attempt, replied_as=posted_as)
    is_draft = turn.kind == Turn.Kind.DRAFT and not turn.handover_reason
    if is_draft and not attempt.messages:
        # The bot was given the conversation, and answers what was to be drafted.
        return Ending(Turn.Status.SKIPPED, Reason.STATUS_NOT_ALLOWED)
    if flow_forms.is_answered_otherwise(turn):
        return Ending(Turn.Status.SKIPPED, Reason.FORM_ANSWERED)
    if not turn.handover_reason:
        worth.check(attempt)
    elif aftermath.is_unnoticed(turn):
        return Ending(Turn.Status.SKIPPED, Reason(turn.handover_reason))
    # 2. Is it still ours to answer?
    look = freshness.look(turn, bot=bot, client=client)
    if turn.handover_reason:
        keep(attempt)
        return endings.hand_over(attempt, look=look)
    if look.why_not is not None:
        return endings.not_answered(attempt, reason=look.why_not, status=look.status)
    if not bot.enabled:
        reason = Reason.BOT_DISABLED if turn.bot else Reason.NO_BOT_FOR_INBOX
        return endings.not_answered(attempt, reason=reason, status=look.status)
    if (form := flow_forms.unclear(turn)) is not None:
        return occasions.pose(attempt, form, look=look, run=None)
    if attempt.reset is not None:
        resets.forget(turn, bot=bot, reset=attempt.reset)
        if attempt.reset.is_all:
            return occasions.begin_anew(attempt, look=look)
    # 3. Ask.
    attempt.typing.show()
    asked = _ask(attempt, flow_spoke=look.flow_spoke)
    answer = answers.prepare(asked, turn=turn, bot=bot)
    attempt.typing.hide()
    return _check_and_post(attempt, run=asked, answer=answer)


def _check_and_post(attempt: Attempt, *, run: PipelineRun, answer: Answer) -> Ending:
    """Do with a run's answer what may still be done with it."""
    turn, bot, client = attempt.turn, attempt.bot, attempt.client
    # 4. Dify took its time: look again, just before posting.
    look = freshness.look(turn, bot=bot, client=client)
    if look.why_not is not None:
        return endings.not_answered(attempt, reason=look.why_not, status=look.status)
    by_itself = look.flow_spoke or look.left_by_flow is not None
    if run.outcome == NOTHING and not by_itself:
        return Ending(Turn.Status.SKIPPED, Reason.NOTHING_TO_SAY)
    form = flow_forms.to_pose(turn, run=run, bot=bot)
    if form is not None:
        return occasions.pose(attempt, form, look=look, run=run, answer=answer)
    missing = _why_no_answer(run, answer=answer)
    if missing == Reason.EMPTY_ANSWER:
        if by_itself:
            return endings.ended_by_flow(attempt, look=look)
        if noted := endings.noted_by_flow(attempt, look=look):
            return endings.answered(
                attempt,
                replied_as=ReplyAs.PRIVATE_NOTE,
                status=look.status,
                said=noted,
            )
    if missing is not None:
        raise NoAnswer(missing)
    claim_post(attempt)
    # 5. Post.
    replied_as = replies_as(bot, look.situation, kind=turn.kind)
    if look.is_humans:
        replied_as = ReplyAs.PRIVATE_NOTE
    said = endings.as_said(answer.text, attempt=attempt, replied_as=replied_as)
    answers.deliver(
        turn,
        replace(answer, text=said),
        private=replied_as == ReplyAs.PRIVATE_NOTE,
        client=client,
        bot=bot,
        keep=lambda: keep(attempt),
    )
    if bot.account.health in (Health.UNKNOWN, Health.FAILING):
        ChatwootAccount.objects.filter(pk=bot.account.pk).usable().mark_ok()
    if replied_as == ReplyAs.MESSAGE and answer.choices is None:
        occasions.offer_questions(attempt, run=run)
    return endings.answered(attempt, replied_as=replied_as, status=look.status)


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
            turn, client=client, bot=attempt.bot, keep=lambda: keep(attempt)
        )
    except (UpstreamError, ConfigurationError):
        if turn.handover_reason:
            return None
        raise
    return ReplyAs.PRIVATE_NOTE if first.private else ReplyAs.MESSAGE
