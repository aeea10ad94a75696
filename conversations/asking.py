"""Who is asked for what a turn owes: the one place that says so."""

from __future__ import annotations

from bridge_project.lib.errors import ConfigurationError
from chatwoot_api.client import ChatwootClient
from conversations import answering, copilot, flow_forms, incoming, providers
from conversations.call_log import CallRecorder
from conversations.leases import Watch
from conversations.models import Bot, PipelineRun, Turn
from dify_api.models import DifyApp


def app_of(turn: Turn, *, bot: Bot) -> DifyApp | None:
    """Return the Dify app that is asked for a turn, None if another AI is."""
    if turn.kind == Turn.Kind.HELP:
        return copilot.app_for(bot)
    return bot.dify_app if bot.provider == providers.DIFY else None


def ask(
    turn: Turn,
    *,
    question: str,
    files: incoming.Files | None = None,
    bot: Bot,
    client: ChatwootClient,
    recorder: CallRecorder,
    watch: Watch,
    flow_spoke: bool,
) -> PipelineRun:
    """Return a run that answers the question.

    Raises what `aftermath` sorts out: UpstreamError, NoPlace, NoAnswer, Interrupted,
    ConfigurationError.
    """
    # The first that fits: what the turn is about comes before who the bot's AI is.
    if turn.kind == Turn.Kind.HELP:
        return copilot.ask(turn, bot=bot, client=client, recorder=recorder, watch=watch)
    if flow_forms.is_answered(turn):
        return flow_forms.resume(
            turn, question=question, bot=bot, recorder=recorder, watch=watch
        )
    if bot.provider != providers.DIFY:
        return providers.answer_for(
            turn,
            question=question,
            bot=bot,
            recorder=recorder,
            watch=watch,
        )
    if bot.dify_app is None:
        raise ConfigurationError("The bot has no Dify app. Choose one at the bot.")
    return answering.answer_for(
        turn,
        question=question,
        files=files,
        bot=bot,
        app=bot.dify_app,
        recorder=recorder,
        watch=watch,
        flow_spoke=flow_spoke,
    )
