"""What would be decided about a stored event now, and whether it can be replayed.

Nothing here has an effect; only the database is read.
"""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass

from django.utils import timezone
from django.utils.translation import gettext

from bridge_project.lib.errors import MalformedPayload
from chatwoot_api.models import Inbox
from chatwoot_api.payloads import ChatwootEvent, parse_event
from conversations import mirror, processing
from conversations.decisions import Decision, decide, kind_of
from conversations.models import (
    Action,
    Bot,
    Conversation,
    ConversationStatus,
    OutgoingMessage,
    Reason,
    Turn,
    WebhookEvent,
)
from conversations.models.event import OWED
from conversations.models.turn import UNFINISHED
from conversations.replay import words

# A message that was answered again and again is followed back so far.
_MAX_GENERATIONS = 20


@dataclass(frozen=True, kw_only=True)
class Foresight:
    """What would be decided about an event now.

    `action` and `reason` are empty where nothing can be decided. `would_do` says that a
    replay would do something, `needs_force` that it would if it were forced.
    """

    text: str
    action: str = ""
    reason: str = ""
    would_do: bool = False
    needs_force: bool = False


def foresee(
    event: WebhookEvent,
    *,
    bot: Bot | None = None,
    force: bool = False,
    status: str = "",
) -> Foresight:
    """Tell what would become of an event if it were decided now.

    By the mirror and the bot's settings as they are; with `bot` as if that one answered
    the inbox, with `status` as if the conversation had it. `force` overrides a human's
    reply, an answer that was given, and the message's age.
    """
    if event.status == WebhookEvent.Status.RECEIVED:
        return Foresight(text=str(words.NOT_PROCESSED))
    if not event.payload:
        return Foresight(text=str(words.ERASED))
    under_way = "" if bot else _under_way(event)
    if under_way:
        return Foresight(text=under_way, action=event.action, reason=event.reason or "")
    try:
        parsed = parse_event(event.payload)
    except MalformedPayload:
        return Foresight(text=str(words.UNREADABLE))
    seen = _Seen(event, parsed=parsed, bot=bot, status=status)
    foresight = seen.foresight(force=force)
    if event.status != WebhookEvent.Status.FAILED or bot:
        return foresight
    return Foresight(
        text=words.processed_anew(foresight.text),
        action=foresight.action,
        reason=foresight.reason,
        would_do=True,
        needs_force=foresight.needs_force,
    )


def answered_by(event: WebhookEvent) -> Turn | None:
    """Return the turn in which the customer got, or may have got, an answer to it."""
    turn = event.turn
    for _generation in range(_MAX_GENERATIONS):
        if turn is None or has_spoken(turn):
            return turn
        turn = turn.replay_of
    return None


def has_spoken(turn: Turn) -> bool:
    """Tell whether the customer got, or may have got, an answer in this turn."""
    if turn.kind in (Turn.Kind.DRAFT, Turn.Kind.HELP):
        return False
    if turn.status == Turn.Status.ANSWERED or turn.by_flow.get("spoke"):
        return True
    posts = OutgoingMessage.objects.filter(turn=turn, attempted_at__isnull=False)
    return posts.filter(part=OutgoingMessage.Part.ANSWER).exists()


def _under_way(event: WebhookEvent) -> str:
    """Say where the event is being answered; "" if it is not."""
    if event.turn is not None and event.turn.status in UNFINISHED:
        return words.being_answered(event.turn.pk)
    if event.action in OWED and event.turn is None and event.conversation_id:
        open_ = Turn.objects.unfinished().filter(conversation=event.conversation_id)
        turn_id = open_.values_list("pk", flat=True).first()
        if turn_id is not None:
            return words.waits_for(turn_id)
    return ""


class _Seen:
    """An event with all that a decision about it needs."""

    def __init__(
        self,
        event: WebhookEvent,
        *,
        parsed: ChatwootEvent,
        bot: Bot | None,
        status: str,
    ) -> None:
        self.event = event
        self.parsed = parsed
        self.now = timezone.now()
        self.conversation = _as_it_is_now(event, parsed=parsed)
        if self.conversation is not None and status:
            self.conversation.status = status
        self.bot = bot or _bot_of(self.conversation, event=event)
        self.known = _known(event)

    def decision(self, *, force: bool) -> Decision:
        """Decide as `processing` does; forced, a human's reply and the age are none."""
        if self.parsed.account_id not in (None, self.event.account.account_id):
            return Decision(Action.IGNORE, Reason.UNKNOWN_ACCOUNT)
        conversation = self.conversation
        last_human = conversation.last_human_message_id if conversation else 0
        return decide(
            self.parsed,
            conversation=conversation,
            bot=self.bot,
            known=self.known,
            now=self.now,
            despite_message_id=last_human if force else 0,
            at_any_age=force,
        )

    def foresight(self, *, force: bool) -> Foresight:
        plain, forced = self.decision(force=False), self.decision(force=True)
        if kind_of(forced.reason) in (Turn.Kind.DRAFT, Turn.Kind.HELP):
            return Foresight(
                text=str(words.FOR_AGENTS[kind_of(forced.reason)]),
                action=plain.action,
                reason=plain.reason,
            )
        if forced.action != Action.ANSWER:
            return self._never(plain, forced)
        obstacles = []
        if plain.action != Action.ANSWER:
            obstacles.append(str(words.OVERRIDABLE[plain.reason]))
        turn = answered_by(self.event)
        if turn is not None:
            obstacles.append(words.answered_in(turn.pk))
        if obstacles and not force:
            return Foresight(
                text=" ".join([*obstacles, str(words.IF_FORCED)]),
                action=plain.action,
                reason=plain.reason,
                needs_force=True,
            )
        return Foresight(
            text=" ".join([str(words.ANSWER), *obstacles]),
            action=forced.action,
            reason=forced.reason,
            would_do=True,
            needs_force=bool(obstacles),
        )

    def _never(self, plain: Decision, forced: Decision) -> Foresight:
        """Say why there would be no answer, and what to do instead."""
        sentences = []
        if plain.reason != forced.reason and plain.reason in words.OVERRIDABLE:
            sentences.append(str(words.OVERRIDABLE[plain.reason]))
        sentences.append(self._instead(forced.reason))
        if plain.action == Action.HAND_OVER:
            sentences.append(
                gettext("A new message would be handed to the humans; this one is not.")
            )
        return Foresight(
            text=" ".join(sentences), action=plain.action, reason=plain.reason
        )

    def _instead(self, reason: str) -> str:
        if reason == Reason.STATUS_NOT_ALLOWED and self.conversation is not None:
            status = self.conversation.status
            is_known = status in ConversationStatus.values
            label = str(ConversationStatus(status).label) if is_known else status
            return words.status_not_allowed(label)
        if reason == Reason.DUPLICATE_MESSAGE:
            return words.duplicate(first_of(self.event))
        sentence = words.INSTEAD.get(reason)
        return str(sentence) if sentence else words.nothing_to_answer(reason)


def first_of(event: WebhookEvent) -> WebhookEvent | None:
    """Return the event with which the same message is, or was, answered."""
    same = WebhookEvent.objects.filter(
        account=event.account_id,
        chatwoot_message_id=event.chatwoot_message_id,
        action__in=OWED,
    )
    return same.exclude(pk=event.pk).defer("payload").order_by("pk").first()


def _known(event: WebhookEvent) -> Reason | None:
    """Like `processing.known`; a message that was taken back says so itself."""
    if event.reason == Reason.MESSAGE_DELETED and event.name == "message_created":
        return Reason.MESSAGE_DELETED
    return processing.known(event)


def _as_it_is_now(event: WebhookEvent, *, parsed: ChatwootEvent) -> Conversation | None:
    """Return the mirror's row as it is; what the event itself tells may be news to it.

    The copy is never saved.
    """
    number = event.chatwoot_conversation_id
    if event.conversation_id is None and (parsed.conversation is None or not number):
        return None
    number = number or 0
    rows = Conversation.objects.select_related("account", "inbox")
    if event.conversation_id is not None:
        row = rows.filter(pk=event.conversation_id).first()
    else:
        row = rows.filter(
            account=event.account_id, chatwoot_conversation_id=number
        ).first()
    conversation = copy(row) if row else Conversation(account=event.account)
    if event.status == WebhookEvent.Status.FAILED:
        conversation.chatwoot_conversation_id = number
        mirror.take(parsed, to=conversation)
        inboxes = Inbox.objects.filter(
            account=event.account_id, chatwoot_inbox_id=parsed.inbox_id or 0
        )
        conversation.inbox = inboxes.first() or conversation.inbox
    return conversation


def _bot_of(conversation: Conversation | None, *, event: WebhookEvent) -> Bot | None:
    """Return the bot of the inbox; of one that is not known yet, who takes them all."""
    if conversation is None:
        return None
    if conversation.inbox is not None:
        return Bot.objects.for_inbox(conversation.inbox)
    if event.status != WebhookEvent.Status.FAILED:
        return None
    takers = Bot.objects.filter(account=event.account_id, inboxes=None)
    return takers.select_related("dify_app").order_by("-enabled", "pk").first()
