"""A conversation as text: who said what, for an app that helps an agent."""

from __future__ import annotations

from collections.abc import Iterable

from django.utils.translation import gettext

from bridge_project.lib.errors import (
    MalformedPayload,
    UnexpectedReply,
    UpstreamRejected,
)
from chatwoot_api.client import ChatwootClient
from chatwoot_api.payloads import MARK_KEY, Message, parse_event
from conversations import agent_notes
from conversations.models import Bot, Turn, WebhookEvent

# Three pages of Chatwoot's history at most, of 20 messages each.
MAX_PAGES = 3
MAX_MESSAGES = 60
MAX_CHARS = 12_000
# Of one message: a pasted log must not push all the others out.
MAX_MESSAGE_CHARS = 2000
CUT = "…"


def of_conversation(
    turn: Turn, *, bot: Bot, client: ChatwootClient, max_chars: int = MAX_CHARS
) -> str:
    """Return what was said before the note that the turn is about, the newest kept.

    Asks Chatwoot with the administrator's token; without one, what the webhooks brought
    has to do. The labels are in the language that is active.
    """
    found = _from_chatwoot(turn, client=client)
    if found is None:
        found = _from_events(turn)
    lines = [_line(message) for message in found if _is_told(message, bot=bot)]
    return _newest([line for line in lines if line], max_chars=max_chars)


def _from_chatwoot(turn: Turn, *, client: ChatwootClient) -> list[Message] | None:
    """Return None where no token may read the history."""
    if not client.can_read_messages:
        return None
    number = turn.conversation.chatwoot_conversation_id
    found: list[Message] = []
    before = turn.last_message_id
    try:
        for _page in range(MAX_PAGES):
            page = [
                message
                for message in client.list_messages(number, before=before)
                if message.id < before
            ]
            found = page + found
            if not page:
                break
            before = page[0].id
    except (UpstreamRejected, UnexpectedReply):
        return found or None
    return found


def _from_events(turn: Turn) -> list[Message]:
    rows = (
        WebhookEvent.objects.filter(
            account=turn.conversation.account_id,
            chatwoot_conversation_id=turn.conversation.chatwoot_conversation_id,
            chatwoot_message_id__lt=turn.last_message_id,
            name="message_created",
        )
        .exclude(payload={})
        .order_by("-chatwoot_message_id", "-pk")[:MAX_MESSAGES]
    )
    found: dict[int, Message] = {}
    for row in rows:
        try:
            message = parse_event(row.payload).message
        except MalformedPayload:
            continue
        if message is not None:
            found[message.id] = message
    return [found[number] for number in sorted(found)]


def _is_told(message: Message, *, bot: Bot) -> bool:
    """Leave out what nobody said, and what was said between agents and bot."""
    if message.message_type not in ("incoming", "outgoing") or message.is_deleted:
        return False
    if not message.private:
        return True
    is_ours = MARK_KEY in message.content_attributes
    return not is_ours and not agent_notes.is_command(message.text, bot=bot)


def _line(message: Message) -> str:
    text = message.text.strip()
    if len(text) > MAX_MESSAGE_CHARS:
        text = text[: MAX_MESSAGE_CHARS - 1] + CUT
    files = [f"[{item.file_type}]" for item in message.attachments]
    said = " ".join(filter(None, [text, *files]))
    return f"{_who(message)}: {said}" if said else ""


def _who(message: Message) -> str:
    if message.message_type == "incoming":
        return gettext("Customer")
    name = message.sender.name.strip()
    if message.private:
        who = gettext("Note between agents")
    elif message.sender.kind == "user" and MARK_KEY not in message.content_attributes:
        who = gettext("Agent")
    else:
        return gettext("Bot")
    return f"{who} ({name})" if name else who


def _newest(lines: Iterable[str], *, max_chars: int) -> str:
    """Return as many of the newest lines as there is room for, whole ones."""
    kept: list[str] = []
    left = max_chars
    for line in reversed(list(lines)):
        left -= len(line) + 1
        if left < 0:
            kept.append(CUT)
            break
        kept.append(line)
    return "\n".join(reversed(kept))
