"""Say something in a conversation, as the bot: to the customer, or as a note."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from django.db.models import Q

from bridge_project.lib.database import release_connection
from bridge_project.lib.errors import (
    BridgeError,
    OutcomeUnknown,
    UpstreamRateLimited,
    UpstreamUnavailable,
)
from bridge_project.lib.types import JsonObject, JsonValue
from chatwoot_api.message_calls import MAX_CONTENT_CHARS, Upload
from chatwoot_api.payloads import MARK_KEY, Message
from conversations import drafts
from conversations.actions import attachments, rich, state
from conversations.actions.failures import explained, outcome_of
from conversations.actions.in_charge import refuse_if_silent
from conversations.actions.noting import Marks, noted
from conversations.actions.outcome import NotDone, Outcome, not_set
from conversations.actions.target import Target
from conversations.decisions import replies_as, situation_of
from conversations.models import ReplyAs, Turn, WebhookEvent
from conversations.rich import CHANNELS_WITH_ITEMS, Rich
from dify_api.arguments import as_bool, as_int, as_text, is_not_set

FIELD = "message"
# After a lost connection, Chatwoot may still be storing the message.
LOOK_AFTER_S = (0.5, 1.5, 3.0)
# How far back a message is looked for, in pages of Chatwoot's history.
MAX_PAGES = 5
_AS_NOTE = (
    "This bot writes private notes only, so the message was posted as one: the agents "
    "see it, the customer does not."
)


@dataclass(frozen=True, kw_only=True)
class Post:
    """A message that is understood and ready to be posted."""

    content: str
    private: bool
    rich: Rich | None = None
    reply_to: int | None = None
    files: tuple[Upload, ...] = ()

    def attributes(self) -> JsonObject:
        """Return Chatwoot's `content_attributes`."""
        found = self.rich.attributes() if self.rich else {}
        if self.reply_to is not None:
            found["in_reply_to"] = self.reply_to
        return found

    def as_text(self) -> Post:
        """Return the same for a channel that shows text only."""
        if self.rich is None:
            return self
        content = "\n\n".join(filter(None, [self.content, rich.as_lines(self.rich)]))
        return Post(
            content=content,
            private=self.private,
            reply_to=self.reply_to,
            files=self.files,
        )


def send_message(
    target: Target,
    wanted: Mapping[str, JsonValue],
    *,
    files: Sequence[Upload] = (),
) -> Outcome:
    """Post a message with what the arguments say, once.

    Understood are content, private, reply_to, content_type, items, button_label,
    attachment_urls and even_if_open. `extra` has the message's number.
    """
    try:
        return _sent(target, wanted, files=files)
    except Exception as err:
        return outcome_of(err, field=FIELD, target=target)


def _sent(
    target: Target, wanted: Mapping[str, JsonValue], *, files: Sequence[Upload]
) -> Outcome:
    content = as_text(wanted.get("content")) or ""
    check_length(content)
    items = rich.wanted_items(wanted)
    urls = wanted.get("attachment_urls")
    if not content and items is None and not files and is_not_set(urls):
        return not_set("content")
    if items is not None and items.content_type == "input_select" and not content:
        raise NotDone("Choices need a question in “content”.", code="bad_value")
    private = as_bool(wanted.get("private")) or False
    # Whatever the flow wants: the agents decide what the customer hears.
    is_made_note = not private and _only_writes_notes(target)
    post = Post(
        content=_as_suggested(content, target=target) if is_made_note else content,
        private=private or is_made_note,
        rich=items,
        reply_to=as_int(wanted.get("reply_to")),
        files=tuple(attachments.fetched(urls, given=files, target=target)),
    )
    # After the files, which may take their time.
    channel = _allowed_channel(target, wanted, private=post.private)
    outcome = said(post, channel=channel, target=target)
    return replace(outcome, message=_AS_NOTE) if is_made_note else outcome


def _only_writes_notes(target: Target) -> bool:
    """Tell whether what the bot says here is for the agents, by the mirror."""
    bot, conversation, turn = target.bot, target.conversation, target.turn
    if bot is None or target.only_suggests:
        return target.only_suggests
    if conversation is None:
        return bot.reply_as == ReplyAs.PRIVATE_NOTE
    kind = turn.kind if turn else Turn.Kind.ANSWER
    situation = situation_of(conversation)
    return replies_as(bot, situation, kind=kind) == ReplyAs.PRIVATE_NOTE


def _as_suggested(content: str, *, target: Target) -> str:
    """Say whose note it is, but for bots that always write notes."""
    kind = target.turn.kind if target.turn else Turn.Kind.ANSWER
    if not content or target.bot is None:
        return content
    if not drafts.suggests(target.bot, kind=kind):
        return content
    return drafts.marked(content, bot=target.bot, kind=kind)


def check_length(content: str) -> None:
    """Raise NotDone if Chatwoot would cut a text."""
    if len(content) > MAX_CONTENT_CHARS:
        raise NotDone(
            f"The text has {len(content)} characters; Chatwoot takes "
            f"{MAX_CONTENT_CHARS}. Shorten it.",
            code="too_large",
        )


def _allowed_channel(
    target: Target, wanted: Mapping[str, JsonValue], *, private: bool
) -> str:
    """Return the conversation's channel; NotDone if the bot is to be silent."""
    row = target.conversation
    known = row.channel if row else ""
    is_even_if_open = as_bool(wanted.get("even_if_open")) or False
    if known and private:
        return known
    now = state.read(target)
    if not private:
        refuse_if_silent(now, target=target, is_even_if_open=is_even_if_open)
    return known or now.channel


def said(post: Post, *, channel: str, target: Target) -> Outcome:
    """Post a message; raises NotDone, or UpstreamError if it surely is not there."""
    if channel and channel not in CHANNELS_WITH_ITEMS:
        post = post.as_text()
    message_id = _posted(post, channel=channel, target=target)
    extra: JsonObject = {"message_id": message_id, "private": post.private}
    if post.files:
        extra["attachments"] = len(post.files)
    return Outcome(field=FIELD, result="applied", after=post.content, extra=extra)


def _posted(post: Post, *, channel: str, target: Target) -> int:
    """Post it, look it up where the outcome is unknown, and never post it twice."""
    marks: Marks = {} if post.private else {"spoke": True}
    try:
        return noted(
            lambda: _post(post, channel=channel, target=target),
            target=target,
            marks=marks,
            worth_it=_was_not_taken,
        )
    except (OutcomeUnknown, UpstreamUnavailable) as err:
        if _was_not_taken(err):
            raise
        found, was_read = _looked_up(target)
        if found is not None:
            return found
        if was_read:
            # An answer of the run's own must not be left out for what is not there.
            target.withdraw_by_flow(**marks)
        raise _unknown() from err


def _post(post: Post, *, channel: str, target: Target) -> int:
    return target.client.create_message(
        target.number,
        content=post.content,
        private=post.private,
        mark=str(target.mark),
        channel=channel,
        content_type=post.rich.content_type if post.rich else "text",
        content_attributes=post.attributes(),
        files=post.files,
    )


def _was_not_taken(err: BaseException) -> bool:
    """Tell whether Chatwoot surely has not stored the message: then it is repeated."""
    never_sent = isinstance(err, UpstreamUnavailable) and err.status is None
    return never_sent or isinstance(err, UpstreamRateLimited)


def _looked_up(target: Target) -> tuple[int | None, bool]:
    """Return the message's number if it turns up in time, and whether we could look."""
    was_read = False
    for pause_s in LOOK_AFTER_S:
        if not target.client.can_read_messages or target.left_s() <= pause_s:
            break
        release_connection()
        time.sleep(pause_s)
        try:
            history = target.client.list_messages(target.number)
        except BridgeError:
            continue
        was_read = True
        found = _marked(history, mark=target.mark)
        if found is not None:
            return found, True
    return None, was_read


def find_sent(target: Target, mark: UUID) -> int | None:
    """Return the number of the message with a mark, None if there surely is none.

    For a request that was cut off a while ago. Looks among the webhooks that we got and
    in Chatwoot's history, which needs the administrator's token: raises NotDone
    (outcome_unknown) if neither tells.
    """
    found = _in_own_events(target, mark=mark)
    if found is not None:
        return found
    if not target.client.can_read_messages:
        raise _unknown()
    try:
        return _in_history(target, mark=mark)
    except BridgeError as err:
        raise _unknown() from err


def _in_own_events(target: Target, *, mark: UUID) -> int | None:
    """The bot gets a webhook for its own message, too."""
    rows = WebhookEvent.objects.filter(
        Q(**{f"payload__content_attributes__{MARK_KEY}": str(mark)})
        | Q(payload__source_id=str(mark)),
        account=target.account,
        chatwoot_conversation_id=target.number,
        chatwoot_message_id__isnull=False,
    )
    return rows.values_list("chatwoot_message_id", flat=True).first()


def _in_history(target: Target, *, mark: UUID) -> int | None:
    """Look page by page, the newest messages first."""
    before: int | None = None
    for _page in range(MAX_PAGES):
        history = target.client.list_messages(target.number, before=before)
        found = _marked(history, mark=mark)
        if found is not None or not history or history[0].id == before:
            return found
        before = history[0].id
    return None


def _marked(history: Sequence[Message], *, mark: UUID) -> int | None:
    return next((row.id for row in history if row.mark == str(mark)), None)


def _unknown() -> NotDone:
    return NotDone(
        "The connection to Chatwoot was lost: the message may or may not have been "
        "sent. Look before you send it again.",
        code="outcome_unknown",
        result="failed",
    )


def write_note(value: JsonValue, *, target: Target) -> Outcome:
    """Post a private note for the agents, which customers never see."""
    try:
        content = as_text(value)
        if content is None:
            return not_set("note")
        check_length(content)
        row = target.conversation
        channel = row.channel if row else ""
        done = said(Post(content=content, private=True), channel=channel, target=target)
    except Exception as err:
        return explained(err, target=target).outcome("note")
    return Outcome(field="note", result=done.result, after=done.after, extra=done.extra)
