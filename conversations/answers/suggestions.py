"""Dify's suggested questions, offered to the customer below the answer."""

from __future__ import annotations

import logging

from django.conf import settings
from django.utils import translation
from django.utils.translation import gettext as _

from bridge_project.lib.errors import BridgeError
from bridge_project.lib.http import CallLog
from bridge_project.lib.redact import mask_ours
from bridge_project.lib.types import JsonObject
from chatwoot_api.client import ChatwootClient
from conversations import posting
from conversations.models import Bot, OutgoingMessage, PipelineRun, Turn
from conversations.rich import Rich
from dify_api.client import DifyClient
from dify_api.models import DifyApp
from dify_api.payloads import CHAT_MODES

logger = logging.getLogger(__name__)

# Dify asks a model for them; the customer's next message waits behind this call.
ASK_S = 15.0
MAX_QUESTIONS = 5
MAX_CHARS = 300
_OFF = (
    "No questions are suggested: “Follow-up” is off in the Dify app. Switch it on "
    "there, or the bot's own setting off."
)


def may_have_any(run: PipelineRun, *, bot: Bot) -> bool:
    """Tell whether Dify is to be asked for questions that follow a run's answer."""
    app = run.dify_app
    return (
        bot.suggested_questions
        and app is not None
        and app.mode in CHAT_MODES
        and bool(run.dify_message_id)
    )


def ask(run: PipelineRun, *, call_log: CallLog | None = None) -> list[str]:
    """Return the questions and keep them at the run; why there are none is noted.

    Never fails: nobody owes them to the customer.
    """
    app = run.dify_app
    if app is None or run.suggestions:
        return [str(question) for question in run.suggestions]
    if _is_off(app):
        _note(run, _OFF)
        return []
    try:
        with DifyClient(
            app.connection(), call_log=call_log, read_timeout_s=ASK_S
        ) as client:
            told = client.suggested_questions(run.dify_message_id, user=run.dify_user)
    except BridgeError as err:
        _note(run, f"Dify suggested no questions. {err.message}")
        return []
    bare = (mask_ours(question).strip()[:MAX_CHARS] for question in told)
    run.suggestions = list(dict.fromkeys(filter(None, bare)))[:MAX_QUESTIONS]
    run.save(update_fields=["suggestions"])
    return [str(question) for question in run.suggestions]


def offer(
    turn: Turn, questions: list[str], *, bot: Bot, client: ChatwootClient
) -> None:
    """Post the questions as buttons, or as a list where the channel has none."""
    items: tuple[JsonObject, ...] = tuple(
        {"title": question, "value": question} for question in questions
    )
    with translation.override(bot.language or settings.LANGUAGE_CODE):
        text = _("You could ask:")
    try:
        posting.post_once(
            turn,
            part=OutgoingMessage.Part.CHOICES,
            content=text,
            private=False,
            client=client,
            rich=Rich(content_type="input_select", items=items),
        )
    except BridgeError as err:
        logger.warning("Turn %s: the questions were not posted: %s", turn.pk, err)


def _is_off(app: DifyApp) -> bool:
    """Tell whether the app says that it suggests none: that saves the call."""
    feature = app.parameters.get("suggested_questions_after_answer")
    return isinstance(feature, dict) and feature.get("enabled") is False


def _note(run: PipelineRun, note: str) -> None:
    if note not in run.notes:
        run.notes = [*run.notes, note]
        run.save(update_fields=["notes"])
