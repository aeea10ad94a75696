"""What a Dify app says first, filled in for a conversation."""

from __future__ import annotations

import re

from bridge_project.lib.errors import UpstreamError
from bridge_project.lib.http import CallLog
from bridge_project.lib.types import JsonObject
from conversations import context
from conversations.models import Bot, Conversation
from conversations.rich import Rich
from dify_api import app_info
from dify_api.models import DifyApp

MAX_QUESTIONS = 10
_MAX_CHARS = 20_000
_PLACEHOLDER = re.compile(r"\{\{\s*([^{}\s]{1,100})\s*\}\}")


def wording(
    conversation: Conversation, *, bot: Bot, call_log: CallLog | None = None
) -> tuple[str, Rich | None]:
    """Return Dify's opening statement for a conversation, and the buttons below it.

    "" if the app has none. While Dify is away, what it last said has to do.
    """
    app = bot.dify_app
    if app is None:
        return "", None
    if not app_info.is_fresh(app):
        try:
            app_info.refresh(app, call_log=call_log)
        except UpstreamError:
            if app.parameters_read_at is None:
                raise
    statement = app.parameters.get("opening_statement")
    if not isinstance(statement, str) or not statement.strip():
        return "", None
    values = context.wanted_inputs(bot.inputs, conversation=conversation, question="")
    text = filled(statement[:_MAX_CHARS], values).strip()
    return text, _questions(app) if bot.suggested_questions else None


def filled(statement: str, values: JsonObject) -> str:
    """Put in the inputs, as Dify's own pages do; what nobody knows is left out."""

    def text_of(found: re.Match[str]) -> str:
        value = values.get(found[1])
        return str(value) if isinstance(value, str | int | float) else ""

    return _PLACEHOLDER.sub(text_of, statement)


def _questions(app: DifyApp) -> Rich | None:
    asked = app.parameters.get("suggested_questions")
    if not isinstance(asked, list):
        return None
    texts = [text for text in asked if isinstance(text, str) and text.strip()]
    items: list[JsonObject] = [{"title": text, "value": text} for text in texts]
    items = items[:MAX_QUESTIONS]
    return Rich(content_type="input_select", items=tuple(items)) if items else None
