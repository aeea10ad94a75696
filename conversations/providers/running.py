"""Ask a provider for a turn, and leave in a run what came of it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal

import requests
from django.conf import settings
from django.utils import timezone

from bridge_project.lib.errors import (
    BridgeError,
    ConfigurationError,
    UpstreamError,
    UpstreamUnavailable,
)
from bridge_project.lib.redact import cut, mask, mask_ours, mask_ours_within, storable
from bridge_project.lib.types import JsonObject
from conversations import context, conversation_tokens, former_runs
from conversations.call_log import CallRecorder
from conversations.leases import Watch
from conversations.models import Bot, PipelineRun, Reason, Turn
from conversations.models.bot_settings import OPENAI
from conversations.openai_client import OpenAIClient
from conversations.outcomes import LEASE_LOST, Interrupted, LeaseLost, NoAnswer
from conversations.providers import calling, history, openai, registry
from conversations.providers.contract import Reply, ReplyContext, context_values
from conversations.providers.registry import NotAProvider
from dify_api.payloads import Outcome
from dify_api.reading import price
from dify_api.thinking import split_thinking

logger = logging.getLogger(__name__)

# How many earlier messages a function gets.
HISTORY_MESSAGES = 20
# A run's outcome: the provider was asked, and wants nothing to be said.
NOTHING = "nothing"


def answer_for(
    turn: Turn,
    *,
    question: str,
    bot: Bot,
    recorder: CallRecorder,
    watch: Watch,
) -> PipelineRun:
    """Return a run that answers the question, an earlier attempt's if there is one.

    Raises UpstreamError for what may pass, NoAnswer or ConfigurationError for what
    does not, Interrupted when nobody wants the answer any more. The outcome NOTHING
    says that the provider wants to say nothing.
    """
    former = former_runs.answer_of(turn, question=question, provider=bot.provider)
    if former is not None:
        return former
    return _Asking(
        turn, question=question, bot=bot, recorder=recorder, watch=watch
    ).go()


class _Asking:
    """One try: the run's row, and the provider."""

    def __init__(
        self,
        turn: Turn,
        *,
        question: str,
        bot: Bot,
        recorder: CallRecorder,
        watch: Watch,
    ) -> None:
        self._turn, self._bot = turn, bot
        self._recorder, self._watch = recorder, watch
        self._is_openai = bot.provider == OPENAI
        self._run = PipelineRun(
            turn=turn,
            provider=bot.provider,
            last_message_id=turn.last_message_id,
            query=question,
        )
        self._context: ReplyContext | None = None

    def go(self) -> PipelineRun:
        """Ask, and leave the outcome in the run's row."""
        produce, timeout_s = self._prepared()
        self._watch.check()
        self._run.save()
        self._recorder.run = self._run
        try:
            made = calling.call(
                produce,
                name=self._bot.provider,
                timeout_s=timeout_s,
                watch=self._watch,
            )
            self._store_reply(made)
        except Exception as err:
            self._end_badly(err)
        finally:
            self._recorder.run = None
        return self._run

    # --- Before ---------------------------------------------------------------------

    def _prepared(self) -> tuple[Callable[[], Reply], float]:
        """Return what is called, and how long it may take."""
        problem = registry.why_not_askable(self._bot)
        if problem:
            raise ConfigurationError(problem)
        server = self._bot.openai_server
        if self._is_openai and server is not None:
            until = self._deadline(float(server.timeout_s))
            about = self._told(history_messages=server.history_messages, until=until)
            client = OpenAIClient.of(server, call_log=self._recorder)
            reply = openai.reply_of(server, client=client)
            return lambda: reply(about), self._left_s(until)
        until = self._deadline(settings.REPLY_PROVIDER_TIMEOUT_S)
        try:
            found = registry.find(self._bot.provider)
        except NotAProvider as err:
            raise ConfigurationError(str(err)) from err
        if not found.takes_context:
            question = self._run.query
            return lambda: found.function(question), self._left_s(until)
        about = self._told(history_messages=HISTORY_MESSAGES, until=until)
        return lambda: found.function(about), self._left_s(until)

    def _deadline(self, limit_s: float) -> datetime:
        """Return when nobody waits any more: the provider's limit, or the bot's."""
        now = timezone.now()
        begun = self._turn.started_at or now
        last = begun + timedelta(minutes=self._bot.max_turn_minutes)
        return min(now + timedelta(seconds=limit_s), last)

    @staticmethod
    def _left_s(until: datetime) -> float:
        return max((until - timezone.now()).total_seconds(), 0.0)

    def _told(self, *, history_messages: int, until: datetime) -> ReplyContext:
        """Return what the provider is told; the row keeps it without our tokens."""
        turn, question = self._turn, self._run.query
        conversation = turn.conversation
        token = conversation_tokens.make(conversation, bot=self._bot, turn=turn)
        sources = context.input_sources(conversation, question=question, token=token)
        inputs: JsonObject = context.wanted_inputs(
            self._bot.inputs, conversation=conversation, question=question, token=token
        )
        if self._is_openai:
            inputs = {}  # nothing of them is sent
        self._run.inputs = mask_ours_within(inputs)
        self._context = ReplyContext(
            message=question,
            bot=self._bot.name,
            labels=tuple(conversation.labels),
            inputs=inputs,
            history=history.before(turn, most=history_messages),
            kind=turn.kind,
            deadline=until,
            **context_values(sources),  # type: ignore[arg-type]
        )
        return self._context

    # --- After ----------------------------------------------------------------------

    def _store_reply(self, made: calling.Call) -> None:
        run = self._run
        said, thought = storable(made.text).strip(), ""
        if self._is_openai:
            said, thought = split_thinking(made.text)
            if not said:
                raise NoAnswer(
                    Reason.PROVIDER_FAILED, error="The model gave an empty answer."
                )
        self._take_report(thought)
        run.status = PipelineRun.Status.SUCCEEDED
        run.outcome = Outcome.ANSWERED if said else NOTHING
        # The provider knows the inputs, and may repeat them to the customer.
        run.answer = mask_ours(said)
        run.first_event_ms = run.first_text_ms = made.first_text_ms
        run.duration_ms = made.elapsed_ms()
        run.finished_at = timezone.now()
        run.save()

    def _take_report(self, thought: str) -> None:
        """Keep what the provider told about its answer, as far as it can be kept."""
        if self._context is None:
            return
        run, report = self._run, self._context.report
        parts = [storable(str(part)) for part in (report.thinking, thought) if part]
        run.thinking = mask_ours("\n".join(parts))
        run.notes += [cut(mask_ours(str(note))) for note in report.notes or ()]
        run.total_tokens = _tokens(report.total_tokens)
        run.total_price = _price(report.total_price)
        run.currency = storable(str(report.currency or ""))[:10]

    def _end_badly(self, err: Exception) -> None:
        """Store why there is no answer, and raise what the turn makes of it."""
        if isinstance(err, Interrupted) and err.cause == LEASE_LOST:
            raise LeaseLost from err
        ours = err if isinstance(err, Interrupted) else self._as_ours(err)
        run = self._run
        run.status = PipelineRun.Status.FAILED
        run.error_code = _code_of(err)
        run.error = run.error or cut(mask(str(ours)))
        if isinstance(err, Interrupted):
            run.status = PipelineRun.Status.STOPPED
            run.error_code, run.error = err.cause, ""
        run.finished_at = timezone.now()
        run.save()
        raise ours from err

    def _as_ours(self, err: Exception) -> BridgeError:
        """Say whether it may pass, in words for operators."""
        name = self._bot.provider
        if isinstance(err, ConfigurationError | NoAnswer):
            return err
        if isinstance(err, UpstreamError) and err.service in (
            OpenAIClient.service,
            calling.SERVICE,
        ):
            return err
        if isinstance(err, calling.TookTooLong | calling.WrongReply):
            return NoAnswer(Reason.PROVIDER_FAILED, error=f"“{name}”: {err}")
        # What a function's exception says may hold anything: only for operators.
        failed = f"“{name}” failed: {type(err).__name__}"
        self._run.error = cut(mask(f"{failed}: {err}"))
        text = f"{failed}. Its text is in the run's record."
        if _may_pass(err):
            return UpstreamUnavailable(text, service=calling.SERVICE)
        # Its author needs to know where.
        logger.error("Reply provider %s failed", name, exc_info=err)
        return NoAnswer(Reason.PROVIDER_FAILED, error=text)


def _tokens(count: object) -> int | None:
    """Return what can be counted; a provider may tell anything."""
    if not isinstance(count, int | float | Decimal) or not 0 <= count < 2**63:
        return None
    return int(count)


def _price(amount: object) -> Decimal | None:
    return None if amount is None else price({"": str(amount)}, "")


def _may_pass(err: Exception) -> bool:
    """Tell whether the same question may be answered a little later."""
    if isinstance(err, requests.HTTPError) and err.response is not None:
        status = err.response.status_code
        return status == 429 or status >= 500
    if isinstance(err, BridgeError):
        return err.retryable
    return isinstance(err, requests.RequestException | TimeoutError | ConnectionError)


def _code_of(err: Exception) -> str:
    return err.code if isinstance(err, BridgeError) else Reason.PROVIDER_FAILED
