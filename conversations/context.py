"""What a Dify app may be told about a conversation: its question and its inputs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import replace

from django.conf import settings

from bridge_project.lib.errors import ConfigurationError, MalformedPayload
from bridge_project.lib.types import JsonObject, JsonValue
from chatwoot_api import submitted
from chatwoot_api.attachment_text import line_of
from chatwoot_api.models import ChatwootAccount
from chatwoot_api.payloads import Attachment, Message, parse_event
from conversations import choices, conversation_tokens
from conversations.models import (
    Bot,
    Conversation,
    OutgoingMessage,
    Turn,
    WebhookEvent,
)
from dify_api.inputs import ShapedInputs, shape_inputs
from dify_api.models import DifyApp
from dify_api.payloads import CHAT_MODES

# Whatever Chatwoot's people define; any name may follow.
FREE_SOURCES = (
    "conversation.custom_attributes",
    "conversation.additional_attributes",
    "contact.custom_attributes",
    "contact.additional_attributes",
)

# How much of a message is repeated in front of the reply to it.
MAX_QUOTE_CHARS = 300
QUOTE_MARK = "> "
# What the model is told of a file that it does not get.
_CANNOT = {
    "image": "You cannot see it",
    "video": "You cannot see it",
    "audio": "You cannot hear it",
}


def messages_of(events: Iterable[WebhookEvent]) -> list[Message]:
    """Return the customer's messages that events brought, in the same order."""
    parsed = (parse_event(event.payload).message for event in events)
    return [message for message in parsed if message is not None]


def question(
    messages: Iterable[Message],
    *,
    files: Mapping[str, JsonValue] | None = None,
    quotes: Mapping[int, str] | None = None,
) -> str:
    """Return the text to ask Dify; attachments are named in a line of their own.

    `files` are what became of them, see `Turn.files`. Dify refuses an empty query,
    with or without a file: bare files are named although it has them. `quotes` are
    texts of earlier messages by their numbers: what one replies to stands in front.
    """
    asked = list(messages)
    told = words(asked, files=files, quotes=quotes)
    return told or "\n\n".join(
        line_of(item) for message in asked for item in message.attachments
    )


def words(
    messages: Iterable[Message],
    *,
    files: Mapping[str, JsonValue] | None = None,
    quotes: Mapping[int, str] | None = None,
) -> str:
    """Return what the messages say, without the files that Dify gets as such."""
    parts = []
    for message in messages:
        own = []
        if said := submitted.text_of(message) or message.text.strip():
            own.append(said)
        told = (_file_words(item, files=files or {}) for item in message.attachments)
        own += [text for text in told if text]
        if own and (quote := (quotes or {}).get(message.in_reply_to or message.id)):
            own[0] = f"{QUOTE_MARK}{quote}\n{own[0]}"
        parts += own
    return "\n\n".join(parts)


def _file_words(item: Attachment, *, files: Mapping[str, JsonValue]) -> str:
    """Return what a voice message says, or a line about a file that Dify lacks."""
    fate = files.get(str(item.id))
    if not isinstance(fate, dict):
        return line_of(item)
    if text := fate.get("text"):
        return str(text)
    if fate.get("upload_file_id"):
        return ""
    line = line_of(item)
    if not fate.get("problem"):
        return line
    cannot = _CANNOT.get(item.file_type, "You cannot read it")
    return f"{line[:-1]}. {cannot}: {fate['problem']}]"


def quotes_for(messages: Iterable[Message], *, turn: Turn) -> dict[int, str]:
    """Return the beginnings of what the messages reply to, by its numbers.

    A message that is a mere number has under its own the choice that it names. Asks the
    database only if there is such a reply. What was deleted or is no longer stored, and
    notes, have no text.
    """
    asked = list(messages)
    wanted = {number for message in asked if (number := message.in_reply_to)}
    chosen = _chosen(asked, turn=turn)
    return chosen | _replied_to(wanted, turn=turn) if wanted else chosen


def _chosen(messages: list[Message], *, turn: Turn) -> dict[int, str]:
    """Return what numbers mean, if the bot's last message offered choices."""
    numbers = [one for one in messages if choices.number_in(one.text) is not None]
    if not numbers:
        return {}
    posts = OutgoingMessage.objects.filter(
        turn__conversation=turn.conversation_id,
        private=False,
        posted_at__isnull=False,
    ).exclude(turn=turn)
    rich = posts.order_by("-pk").values_list("rich", flat=True).first() or {}
    found = {one.id: choices.chosen_by_number(one.text, rich) for one in numbers}
    return {number: text for number, text in found.items() if text}


def _replied_to(wanted: set[int], *, turn: Turn) -> dict[int, str]:
    events = WebhookEvent.objects.filter(
        account=turn.conversation.account_id,
        chatwoot_conversation_id=turn.conversation.chatwoot_conversation_id,
        chatwoot_message_id__in=wanted,
    ).order_by("pk")
    found: dict[int, str] = {}
    deleted: set[int] = set()
    for event in events.only("payload"):
        with suppress(MalformedPayload):
            message = parse_event(event.payload).message
            if message is None or message.private:
                continue
            if message.is_deleted:
                deleted.add(message.id)
            text = " ".join(message.text.split())
            found[message.id] = (
                text if len(text) <= MAX_QUOTE_CHARS else f"{text[:MAX_QUOTE_CHARS]}…"
            )
    return {
        number: text for number, text in found.items() if text and number not in deleted
    }


def without_quotes(asked: str) -> str:
    """Return a question without its quoted lines, to be compared.

    What is quoted may have been deleted when the same question is put again.
    """
    lines = asked.split("\n")
    return "\n".join(line for line in lines if not line.startswith(QUOTE_MARK))


def inputs_for(
    turn: Turn,
    *,
    bot: Bot,
    app: DifyApp,
    question: str,
    given: Mapping[str, JsonValue] | None = None,
) -> ShapedInputs:
    """Return what a run sends as `inputs`, fitted to the app, with a token of its own.

    A token that would be cut is left out: nothing can be reached with half of it.
    """
    token = conversation_tokens.make(turn.conversation, bot=bot, turn=turn)
    return fitted_inputs(
        turn.conversation,
        bot=bot,
        app=app,
        question=question,
        token=token,
        given=given,
    )


def fitted_inputs(
    conversation: Conversation,
    *,
    bot: Bot,
    app: DifyApp,
    question: str,
    token: str,
    given: Mapping[str, JsonValue] | None = None,
) -> ShapedInputs:
    """Return the inputs as the bot maps them, fitted to what the app declares.

    `given` values take the place of mapped ones. The conversation may be one that is
    stored nowhere.
    """
    wanted = wanted_inputs(
        bot.inputs, conversation=conversation, question=question, token=token
    )
    wanted |= given or {}
    if app.mode not in CHAT_MODES:
        wanted[app.query_input] = question
    too_short = [
        field.variable
        for field in app.declared_inputs()
        if wanted.get(field.variable) == token
        and field.max_length is not None
        and field.max_length < len(token)
    ]
    for name in too_short:
        del wanted[name]
    shaped = shape_inputs(wanted, fields=app.declared_inputs())
    notes = tuple(_too_short(name, len(token)) for name in too_short)
    return replace(shaped, notes=(*notes, *shaped.notes))


def refuse_incomplete(shaped: ShapedInputs) -> None:
    """Raise ConfigurationError if Dify would refuse the run for want of an input."""
    if shaped.missing:
        names = ", ".join(f"“{name}”" for name in shaped.missing)
        raise ConfigurationError(
            f"The Dify app requires {names}, but there is no value for it. Map it "
            "at the bot's inputs, or make it optional in Dify."
        )


def _too_short(name: str, length: int) -> str:
    return (
        f"input `{name}` was left out: a conversation token has {length} characters, "
        "and the app allows fewer. Set its maximum length in Dify to 256."
    )


def wanted_inputs(
    mapping: Mapping[str, str],
    *,
    conversation: Conversation,
    question: str,
    token: str = "",
) -> JsonObject:
    """Return the value of each mapped input; unknown sources count as not mapped."""
    sources = input_sources(conversation, question=question, token=token)
    return {
        name: value
        for name, source in mapping.items()
        if (value := _look_up(sources, source)) is not None
    }


def input_sources(
    conversation: Conversation, *, question: str, token: str = ""
) -> JsonObject:
    """Return everything an input may be mapped to; docs/inputs.md explains it.

    Inputs come back in the stream and stay in Dify's logs (reference/dify.md section 9,
    point 9). So no token or key is among them but `token`, which soon expires and opens
    this one conversation.
    """
    browser_language = conversation.additional_attributes.get("browser_language")
    language = conversation.additional_attributes.get(
        "conversation_language", browser_language
    )
    return {
        "conversation": {
            "id": conversation.chatwoot_conversation_id,
            "status": conversation.status,
            "channel": conversation.channel,
            "priority": conversation.priority,
            "labels": ", ".join(conversation.labels),
            "team": conversation.team_name,
            "assignee": conversation.assignee_name,
            "custom_attributes": conversation.custom_attributes,
            "additional_attributes": conversation.additional_attributes,
        },
        "contact": {
            "id": conversation.chatwoot_contact_id,
            "name": conversation.contact_name,
            "language": language if isinstance(language, str) else "",
            "custom_attributes": conversation.contact_custom_attributes,
            "additional_attributes": conversation.contact_additional_attributes,
        },
        "inbox": {
            "id": conversation.inbox.chatwoot_inbox_id if conversation.inbox else None,
            "name": conversation.inbox.name if conversation.inbox else "",
        },
        "account": {"id": conversation.account.account_id},
        "message": {"direction": "incoming", "text": question},
        "bridge": {
            "api_url": f"{settings.PUBLIC_URL}/api/v1",
            "conversation_token": token,
        },
    }


def known_sources() -> list[str]:
    """Return the paths that an input may be mapped to, but for names of attributes."""
    nobody = Conversation(
        account=ChatwootAccount(account_id=0), chatwoot_conversation_id=0
    )
    tree = input_sources(nobody, question="")
    return sorted(
        f"{group}.{name}"
        for group, members in tree.items()
        if isinstance(members, dict)
        for name in members
    )


def is_source(path: str) -> bool:
    """Tell whether an input may be mapped to it: known, or somebody's attribute."""
    is_free = path.startswith(tuple(f"{free}." for free in FREE_SOURCES))
    return is_free or path in known_sources()


def _look_up(sources: JsonObject, path: str) -> JsonValue:
    """Follow `conversation.custom_attributes.region`; None where it leads nowhere."""
    value: JsonValue = sources
    for step in path.split("."):
        value = value.get(step) if isinstance(value, dict) else None
    return value
