"""The rows of flows' forms: made with the paused run, taken once, ended.

Who changes one holds the conversation's lock, or changes it under the condition that
it still waits: of two answers one counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from bridge_project.lib.redact import mask_ours
from bridge_project.lib.types import JsonObject, JsonValue
from chatwoot_api.payloads import Message
from conversations.models import (
    Bot,
    Conversation,
    ConversationStatus,
    FlowForm,
    OutgoingMessage,
    PipelineRun,
    Reason,
    Turn,
    WebhookEvent,
)
from conversations.models.bot_settings import FormsGoTo
from dify_api.payloads import FormField, PauseReason

MAX_CONTENT_CHARS = 20_000
MAX_OPTIONS = 50
# Chatwoot's forms carry no files, and a form without them Dify refuses.
_FILES = frozenset({"file", "file-list"})
# A resumed run is still the flow's that gave the conversation to the agents.
OPENED: JsonObject = {
    "status": ConversationStatus.OPEN,
    "statuses": [ConversationStatus.OPEN],
    "assignee": True,
    "assignees": [True],
}


def are_asked(bot: Bot | None) -> bool:
    """Tell whether a bot has anybody fill in its flow's forms."""
    return bot is not None and bot.forms_go_to != FormsGoTo.HAND_OVER


def make(
    run: PipelineRun, pauses: Sequence[PauseReason], *, bot: Bot
) -> FlowForm | None:
    """Store the form that a run waits for, if somebody can be asked to fill it in.

    Of several the first: once it is answered, Dify tells of the next one.
    """
    turn = run.turn
    if not are_asked(bot) or turn.kind != Turn.Kind.ANSWER:
        return None
    pause = next((one for one in pauses if _is_askable(one, bot=bot)), None)
    if pause is None:
        return None
    now = timezone.now()
    expires_at = now + timedelta(minutes=bot.form_minutes)
    if pause.expires_at is not None:
        expires_at = min(expires_at, pause.expires_at)
    remind_at = now + timedelta(minutes=bot.form_reminder_minutes)
    is_reminded = bot.form_reminder_minutes > 0 and remind_at < expires_at
    with transaction.atomic():
        withdraw(turn.conversation_id)
        return FlowForm.objects.create(
            conversation_id=turn.conversation_id,
            bot=bot,
            turn=turn,
            run=run,
            goes_to=bot.forms_go_to,
            form_id=pause.form_id[:64],
            form_token=pause.form_token,
            title=mask_ours(pause.node_title)[:255],
            content=mask_ours(pause.content)[:MAX_CONTENT_CHARS],
            fields=[_field(field) for field in pause.fields],
            actions=[{"id": key, "title": title} for key, title in pause.actions],
            expires_at=expires_at,
            remind_at=remind_at if is_reminded else None,
            created_at=now,
        )


def _is_askable(pause: PauseReason, *, bot: Bot) -> bool:
    """Without a token Dify has sent it by e-mail; nobody else can answer it."""
    if not pause.form_token or not pause.actions:
        return False
    if any(field.kind in _FILES for field in pause.fields):
        return False
    return pause.display_in_ui or bot.forms_go_to != FormsGoTo.CUSTOMER


def _field(field: FormField) -> JsonObject:
    options: list[JsonValue] = [*field.options[:MAX_OPTIONS]]
    return {
        "name": field.name,
        "type": field.kind,
        "label": field.label,
        "default": mask_ours(field.default),
        "options": options,
    }


def waiting(conversation: Conversation) -> FlowForm | None:
    """Return the form that waits in a conversation, if any; there is only one."""
    return (
        FlowForm.objects.filter(
            conversation=conversation, status=FlowForm.Status.WAITING
        )
        .select_related("turn")
        .first()
    )


def made_by(turn: Turn) -> FlowForm | None:
    """Return the form that a run of the turn waits for, if it still does."""
    return turn.flow_forms.filter(status=FlowForm.Status.WAITING).first()


def is_asked(form: FlowForm) -> bool:
    """Tell whether the question may have reached whom it is for."""
    if form.chatwoot_message_id is not None:
        return True
    return OutgoingMessage.objects.filter(
        turn=form.turn_id,
        part=OutgoingMessage.Part.FORM,
        attempted_at__isnull=False,
    ).exists()


def note_asked(form: FlowForm, *, turn: Turn) -> None:
    """Remember under which number of Chatwoot's the form was asked."""
    posts = OutgoingMessage.objects.filter(turn=turn, part=OutgoingMessage.Part.FORM)
    number = posts.values_list("chatwoot_message_id", flat=True).last()
    FlowForm.objects.filter(pk=form.pk).update(chatwoot_message_id=number)


def asked_in(message: Message, *, conversation: Conversation) -> FlowForm | None:
    """Return the form that a message of ours asks for."""
    posts = OutgoingMessage.objects.filter(
        turn__conversation=conversation, part=OutgoingMessage.Part.FORM
    ).select_related("turn__flow_form")
    mark = _uuid(message.mark)
    post = posts.filter(mark=mark).first() if mark else None
    post = post or posts.filter(chatwoot_message_id=message.id).first()
    if post is None:
        return None
    return post.turn.flow_forms.last() or post.turn.flow_form


def take(form: FlowForm, *, answer: JsonObject, by: str) -> bool:
    """Let an answer be the form's; False if it has one, or waits no more."""
    waits = FlowForm.objects.filter(pk=form.pk, status=FlowForm.Status.WAITING)
    return bool(
        waits.update(
            status=FlowForm.Status.ANSWERED,
            answer=answer,
            answered_by=by[:150],
            finished_at=timezone.now(),
            remind_at=None,
        )
    )


def note_unclear(form: FlowForm, *, event: WebhookEvent) -> int:
    """Remember that an answer was not understood; return how many were not."""
    before = form.answer.get("unclear")
    count = (before if isinstance(before, int) else 0) + 1
    FlowForm.objects.filter(pk=form.pk, status=FlowForm.Status.WAITING).update(
        answer={"unclear": count, "event": event.pk}
    )
    return count


def end(form: FlowForm, *, status: FlowForm.Status) -> bool:
    """End a form that nobody is to answer any more, if it still waits."""
    return bool(_end(status, pk=form.pk))


def withdraw(conversation_id: int) -> int:
    """End the form that waits in a conversation, if any: it is not wanted any more."""
    return _end(FlowForm.Status.WITHDRAWN, conversation=conversation_id)


def _end(status: FlowForm.Status, **which: int) -> int:
    waits = FlowForm.objects.filter(status=FlowForm.Status.WAITING, **which)
    return waits.update(
        status=status, form_token="", remind_at=None, finished_at=timezone.now()
    )


def turn_values(event: WebhookEvent) -> dict[str, object]:
    """Return what a turn gets that is made for the answer to a form."""
    if event.reason != Reason.FORM_ANSWERED:
        return {}
    form = FlowForm.objects.filter(
        conversation=event.conversation_id, answer__event=event.pk
    ).last()
    if form is None:
        return {}
    by_flow = OPENED if form.goes_to == FormsGoTo.AGENT else {}
    return {"flow_form": form, "by_flow": {**by_flow}}


def is_agents(turn: Turn) -> bool:
    """Tell whether a turn brings an agent's answer to its flow."""
    form = turn.flow_form
    return form is not None and form.goes_to == FormsGoTo.AGENT


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
