"""Rows of a turn as its page shows them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from django.utils.safestring import SafeString
from django.utils.translation import gettext

from bridge_project.lib.admin_base import (
    NOTHING,
    admin_link,
    admin_url,
    badge,
    json_block,
    outside_link,
)
from chatwoot_api import submitted
from conversations.admin import callback_changes, callback_words, posted_words
from conversations.admin.base import (
    callback_badge,
    price_in_words,
    run_badge,
    run_took,
    seconds,
)
from conversations.admin.error_words import ABORTED, error_words, run_error_words
from conversations.admin.event import message_of
from conversations.admin.files import file_view
from conversations.models import (
    Callback,
    OutgoingMessage,
    PipelineRun,
    Turn,
    UpstreamCall,
    WebhookEvent,
)


class MessageView:
    """A customer's message, from the event that brought it."""

    def __init__(self, event: WebhookEvent, *, turn: Turn | None = None) -> None:
        message = message_of(event.payload)
        self.event = event
        self.url = admin_url(event)
        # What was clicked, not the bot's question.
        clicked = submitted.text_of(message) if message else ""
        self.text = clicked or (message.text.strip() if message else "")
        self.sender = message.sender.name if message else ""
        self.attachments = tuple(
            file_view(item, turn=turn)
            for item in (message.attachments if message else ())
        )

    @property
    def at(self) -> datetime:
        return self.event.received_at


@dataclass(frozen=True)
class StepView:
    """What an agent thought, and a tool that it used."""

    tool: str
    thought: str
    asked: str
    answered: str


class RunView:
    """One try of a Dify app."""

    def __init__(self, run: PipelineRun) -> None:
        self.run = run
        self.url = admin_url(run)
        self.app = admin_link(run.dify_app) if run.dify_app else run.provider or NOTHING
        self.state = run_badge(run)
        self.inputs = json_block(run.inputs)
        self.took = run_took(run)
        self.first_event = seconds(run.first_event_ms)
        self.first_text = seconds(run.first_text_ms)
        # Sentences of the bridge's, and the steps of an agent.
        self.remarks = [note for note in run.notes if isinstance(note, str)]
        self.steps = list(_steps(run))
        self.tools = ", ".join(
            dict.fromkeys(step.tool for step in self.steps if step.tool)
        )
        log_url = run.dify_app.log_url() if run.dify_app else ""
        self.files = posted_words.file_names(run.files)
        self.suggestions = [str(question) for question in run.suggestions]
        self.log_link = (
            outside_link(log_url, text=gettext("log in Dify")) if log_url else ""
        )

    @property
    def outcome(self) -> str:
        """What Dify said of the run's end, in words."""
        names = {
            "answered": gettext("answered"),
            "stopped": gettext("stopped"),
            "paused": gettext("waits for a human"),
            "nothing": gettext("wanted to say nothing"),
        }
        return names.get(self.run.outcome, self.run.outcome) or NOTHING

    @property
    def stopped_because(self) -> str:
        """Why the bridge gave the run up, in words; "" if it did not."""
        if self.run.status != PipelineRun.Status.STOPPED:
            return ""
        return run_error_words(self.run)

    @property
    def error(self) -> str:
        """What failed, in words."""
        return error_words(self.run.error_code)

    @property
    def cost(self) -> str:
        """The price with its currency."""
        return price_in_words(self.run.total_price, self.run.currency)

    @property
    def ids(self) -> list[tuple[str, str]]:
        """What Dify calls the run, for a look into its log."""
        run = self.run
        return [
            (label, value)
            for label, value in (
                (gettext("Dify conversation"), run.dify_conversation_id),
                (gettext("Dify message"), run.dify_message_id),
                (gettext("Dify task"), run.dify_task_id),
                (gettext("Dify workflow run"), run.dify_workflow_run_id),
                (gettext("User in Dify"), run.dify_user),
            )
            if value
        ]


def _steps(run: PipelineRun) -> Iterator[StepView]:
    """Return what is worth telling: an agent's last thought is its answer."""
    for note in run.notes:
        if not isinstance(note, dict):
            continue
        step = StepView(
            tool=str(note.get("tool") or ""),
            thought=str(note.get("thought") or "").strip(),
            asked=str(note.get("tool_input") or ""),
            answered=str(note.get("observation") or ""),
        )
        if step.tool or (step.thought and step.thought not in run.answer):
            yield step


class PostView:
    """A message that the bridge posted, or was about to."""

    def __init__(self, post: OutgoingMessage, *, turn: Turn) -> None:
        self.post = post
        self.url = admin_url(post)
        self.what = posted_words.part(post)
        self.beside = posted_words.beside(post)
        self.state = post_badge(post, is_over=turn.finished_at is not None)


def post_badge(post: OutgoingMessage, *, is_over: bool) -> SafeString:
    """Return how far the post got."""
    if post.posted_at:
        return badge(gettext("posted"), tone="good")
    if is_over and post.attempted_at is None:
        return badge(gettext("not posted"), tone="warn")
    if is_over:
        return badge(gettext("not known whether it arrived"), tone="warn")
    return badge(gettext("being posted"), tone="busy")


class CallbackView:
    """What a flow asked the bridge to do, and what it was told."""

    def __init__(self, callback: Callback) -> None:
        self.callback = callback
        self.url = admin_url(callback)
        self.what = callback_words.operation_words(callback.operation)
        self.state = callback_badge(callback)
        self.took = seconds(callback.duration_ms)
        self.arguments = callback_changes.arguments(callback)
        self.changes = callback_changes.changes(callback)
        self.fields = callback_changes.field_results(callback)
        self.in_short = callback_changes.in_short(callback, answer=callback.answer)
        self.is_unchanged = callback_changes.is_unchanged(
            callback, answer=callback.answer
        )
        self.is_never_begun = callback_words.is_never_begun(callback)

    @property
    def possible(self) -> str:
        """The names that the flow could have used."""
        names = self.callback.answer.get("possible")
        return ", ".join(map(str, names)) if isinstance(names, list) else ""


class CallView:
    """An HTTP call to Chatwoot or Dify."""

    def __init__(self, call: UpstreamCall) -> None:
        self.call = call
        self.url = admin_url(call)
        self.service = call.service.capitalize()
        self.took = seconds(call.duration_ms)
        self.status = call_badge(call)
        self.error = "" if call.error_code in ABORTED else error_words(call.error_code)


def call_badge(call: UpstreamCall) -> SafeString:
    """Return the HTTP status as a label; red where the call failed."""
    if call.error_code in ABORTED:
        return badge(gettext("stopped by the bridge"), tone="calm")
    if call.http_status is None:
        return badge(gettext("no answer"), tone="bad")
    failed = bool(call.error_code) or call.http_status >= 400
    return badge(str(call.http_status), tone="bad" if failed else "good")
