"""Questions of one talk: asked one at a time, stopped, ended; found when forgotten."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from uuid import UUID, uuid4

from django.db import IntegrityError, transaction
from django.db.models import Q
from django.utils.translation import gettext

from bridge_project.lib.errors import BridgeError
from bridge_project.lib.redact import storable
from conversations import audit, deletion
from conversations.models import (
    AuditEntry,
    Bot,
    Conversation,
    DifyConversation,
    Trial,
)
from conversations.models.bot_settings import DIFY

MAX_QUESTION_CHARS = 20_000
# What is younger is most likely on its way through Redis.
GRACE = timedelta(seconds=5)
BATCH = 50
_UNFINISHED = (Trial.Status.WAITING, Trial.Status.RUNNING)


class CannotAsk(BridgeError):
    """The question was not asked; the message says why, to the operator."""

    code = "cannot_ask"


def ask(
    bot: Bot,
    question: str,
    *,
    actor: str,
    talk: UUID | None = None,
    conversation: Conversation | None = None,
    inputs: Mapping[str, str] | None = None,
    invents: bool = True,
) -> Trial:
    """Store a question for a worker; the caller wakes one. Raises CannotAsk.

    `conversation` lends its values to the inputs and is not touched. `inputs` are what
    the operator typed in place of mapped values. Without a conversation a customer is
    invented, unless `invents` is False.
    """
    text = storable(question).strip()
    _check(bot, text, actor=actor, talk=talk, conversation=conversation)
    about = {
        "given": {name: storable(value) for name, value in (inputs or {}).items()},
        "conversation_id": conversation.pk if conversation else None,
        "contact_id": conversation.chatwoot_contact_id if conversation else None,
        "invents": invents,
    }
    try:
        with transaction.atomic():
            trial = Trial.objects.create(
                bot=bot,
                actor=actor[:150],
                talk=talk or uuid4(),
                question=text,
                inputs=about,
            )
            audit.record(
                AuditEntry.Verb.TRIED_BOT,
                actor=actor,
                account=bot.account_id,
                conversation=conversation,
                bot=bot.pk,
                trial=trial.pk,
            )
    except IntegrityError as err:
        raise CannotAsk(
            gettext(
                "The last question has no answer yet. Wait for it, or stop it, then "
                "ask again."
            )
        ) from err
    return trial


def _check(
    bot: Bot,
    question: str,
    *,
    actor: str,
    talk: UUID | None,
    conversation: Conversation | None,
) -> None:
    if not question:
        raise CannotAsk(gettext("Type a question first."))
    if len(question) > MAX_QUESTION_CHARS:
        raise CannotAsk(
            gettext(
                "The question is longer than %(count)s characters. No customer "
                "writes so much; shorten it."
            )
            % {"count": MAX_QUESTION_CHARS}
        )
    if bot.provider != DIFY:
        raise CannotAsk(
            gettext(
                "The playground only tries Dify apps, and this bot asks somebody else. "
                "Try it in a test inbox of Chatwoot, with “test only” switched on."
            )
        )
    if bot.dify_app_id is None:
        raise CannotAsk(
            gettext(
                "The bot has no Dify app, so there is nobody to ask. Choose one at the "
                "bot."
            )
        )
    if conversation is not None and conversation.account_id != bot.account_id:
        raise CannotAsk(
            gettext("The conversation belongs to another Chatwoot account.")
        )
    if talk is not None and not _may_go_on(talk, bot=bot, actor=actor):
        raise CannotAsk(
            gettext("This talk is somebody else's, or ended. Begin one of your own.")
        )


def _may_go_on(talk: UUID, *, bot: Bot, actor: str) -> bool:
    """Tell whether the talk is new or the actor's own; an ended one is forgotten."""
    others = Trial.objects.filter(talk=talk).exclude(bot=bot, actor=actor)
    return not (others.exists() or is_ended(talk))


def is_ended(talk: UUID) -> bool:
    """Tell whether Dify has forgotten the talk, or is about to."""
    return Trial.objects.filter(
        talk=talk, dify_conversation__delete_wanted_at__isnull=False
    ).exists()


def stop(trial: Trial, *, now: datetime) -> bool:
    """End a question that has no answer yet; False if it is over already.

    It is over here at once. The worker hears of it within a second or two of Dify's
    first sign of life, and stops the run in Dify.
    """
    return bool(
        Trial.objects.filter(pk=trial.pk, status__in=_UNFINISHED).update(
            status=Trial.Status.STOPPED,
            stop_wanted_at=now,
            finished_at=now,
            lease=None,
            lease_expires_at=None,
        )
    )


def end(talk: UUID, *, now: datetime) -> int:
    """Stop what runs, and have Dify forget the talk; return how many memories."""
    for trial in Trial.objects.filter(talk=talk, status__in=_UNFINISHED):
        stop(trial, now=now)
    ids = Trial.objects.filter(talk=talk).values("dify_conversation")
    return deletion.want_all(
        DifyConversation.objects.filter(pk__in=ids),
        reason=DifyConversation.End.BY_OPERATOR,
    )


def due(now: datetime) -> list[int]:
    """Return the trials that nobody works on: Redis forgot them, or a worker died."""
    forgotten = Q(status=Trial.Status.WAITING, created_at__lt=now - GRACE)
    dead = Q(status=Trial.Status.RUNNING, lease_expires_at__lt=now)
    rows = Trial.objects.filter(forgotten | dead, status__in=_UNFINISHED)
    return list(rows.order_by("created_at").values_list("pk", flat=True)[:BATCH])


def memory_of(trial: Trial, *, app_id: int) -> DifyConversation | None:
    """Return the Dify conversation that the talk goes on in, None to start one."""
    rows = DifyConversation.objects.filter(
        trials__talk=trial.talk, app=app_id, ended_at=None
    )
    return rows.order_by("-pk").first()


def is_first(trial: Trial) -> bool:
    """Tell whether the talk begins with this question."""
    return not Trial.objects.filter(talk=trial.talk, pk__lt=trial.pk).exists()
