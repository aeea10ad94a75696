"""Answer what an agent asks the bot in a private note: “/ai summarise”.

The app gets the conversation as text. It is asked as a Dify user of its own and in a
Dify conversation of its own, so that the customer's memory knows nothing of it.
"""

from __future__ import annotations

from uuid import uuid5

from django.conf import settings
from django.utils import translation
from django.utils.translation import gettext

from bridge_project.lib.errors import ConfigurationError, UpstreamError
from chatwoot_api.client import ChatwootClient
from conversations import agent_notes, answering, context, providers
from conversations.answering import Apart
from conversations.call_log import CallRecorder
from conversations.copilot import transcript
from conversations.leases import Watch
from conversations.models import Bot, Conversation, PipelineRun, Turn
from dify_api import app_info
from dify_api.models import DifyApp

# Inputs that an app may declare; then they need not be in the question.
HISTORY, INSTRUCTION = "history", "instruction"


def app_for(bot: Bot) -> DifyApp | None:
    """Return the Dify app that agents' notes go to, None if another AI answers."""
    if bot.command_app is not None:
        return bot.command_app
    return bot.dify_app if bot.provider == providers.DIFY else None


def ask(
    turn: Turn,
    *,
    bot: Bot,
    client: ChatwootClient,
    recorder: CallRecorder,
    watch: Watch,
) -> PipelineRun:
    """Return a run that answers an agent's note; raises as `asking.ask` does."""
    app = app_for(bot)
    with translation.override(bot.language or settings.LANGUAGE_CODE):
        instruction = _instruction(turn, bot=bot)
        if app is None:
            said = transcript.of_conversation(turn, bot=bot, client=client)
            question = _question(instruction, history=said)
        else:
            return _ask_dify(
                turn,
                instruction=instruction,
                bot=bot,
                app=app,
                client=client,
                recorder=recorder,
                watch=watch,
            )
    if bot.provider == providers.DIFY:
        raise ConfigurationError("The bot has no Dify app. Choose one at the bot.")
    return providers.answer_for(
        turn, question=question, bot=bot, recorder=recorder, watch=watch
    )


def _ask_dify(
    turn: Turn,
    *,
    instruction: str,
    bot: Bot,
    app: DifyApp,
    client: ChatwootClient,
    recorder: CallRecorder,
    watch: Watch,
) -> PipelineRun:
    _know(app, recorder=recorder)
    lengths = {one.variable: one.max_length for one in app.declared_inputs()}
    max_chars = min(lengths.get(HISTORY) or transcript.MAX_CHARS, transcript.MAX_CHARS)
    said = transcript.of_conversation(turn, bot=bot, client=client, max_chars=max_chars)
    history = "" if HISTORY in lengths else said
    question = _question(instruction, history=history)
    return answering.answer_for(
        turn,
        # What was asked before is asked again, and found again.
        question=_asked_before(turn, app=app) or question,
        bot=bot,
        app=app,
        recorder=recorder,
        watch=watch,
        apart=Apart(
            user=_user(turn.conversation),
            inputs={HISTORY: said, INSTRUCTION: instruction},
        ),
    )


def _know(app: DifyApp, *, recorder: CallRecorder) -> None:
    """Read which inputs the app declares; what was known before is better than none."""
    if app_info.is_fresh(app):
        return
    try:
        app_info.refresh(app, call_log=recorder)
    except UpstreamError:
        if app.parameters_read_at is None:
            raise


def _instruction(turn: Turn, *, bot: Bot) -> str:
    """Return what the agent wants; the command alone asks for a summary."""
    messages = context.messages_of(turn.events.order_by("chatwoot_message_id"))
    wanted = agent_notes.asked(messages[0], bot=bot) if messages else None
    return wanted or gettext(
        "Summarise the conversation for a colleague who takes it over: what the "
        "customer wants, what was said and done, and what is still open."
    )


def _question(instruction: str, *, history: str) -> str:
    if not history:
        return instruction
    return "\n\n".join(
        [
            gettext("A conversation between a customer and our support:"),
            history,
            gettext("A support agent, not the customer, now asks you:"),
            instruction,
        ]
    )


def _asked_before(turn: Turn, *, app: DifyApp) -> str:
    if turn.is_first_attempt:
        return ""
    runs = PipelineRun.objects.filter(turn=turn, dify_app=app).order_by("-pk")
    return runs.values_list("query", flat=True).first() or ""


def _user(conversation: Conversation) -> str:
    """Return the opaque `user` under which Dify knows the agents of a conversation."""
    name = f"copilot-{conversation.chatwoot_conversation_id}"
    return f"copilot-{uuid5(conversation.account.namespace, name)}"
