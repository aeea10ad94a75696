"""The question and the inputs of a run."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from bridge_project.lib.types import JsonObject, JsonValue
from chatwoot_api.models import ChatwootAccount, Inbox
from chatwoot_api.payloads import Attachment, Message, parse_event
from conversations.context import known_sources, question, wanted_inputs
from conversations.models import Bot, Conversation
from conversations.models.bot import default_inputs


def said(text: str, *attachments: Attachment) -> Message:
    return Message(
        id=1, message_type="incoming", content=text, attachments=tuple(attachments)
    )


def test_joins_the_messages_of_a_turn() -> None:
    assert question([said("Hello"), said(" \n"), said("Are you there? ")]) == (
        "Hello\n\nAre you there?"
    )


@pytest.mark.parametrize(
    ("sample", "expected"),
    [
        (
            "message_created_incoming_image_null_content",
            "[The customer sent an image: seam.jpg]",
        ),
        (
            "message_created_incoming_audio",
            "[The customer sent an audio message: voice-note.ogg]",
        ),
    ],
)
def test_a_message_without_text_says_what_was_sent(
    payload: Callable[[str], JsonObject], sample: str, expected: str
) -> None:
    message = parse_event(payload(sample)).message
    assert message is not None

    line = question([message])

    assert line.split(":")[0] == expected.split(":")[0]
    assert line.endswith("]")


def test_names_what_came_with_a_text() -> None:
    place = Attachment(id=1, file_type="location", title="Hamburg, Hafen")

    assert question([said("Here I am", place)]) == (
        "Here I am\n\n[The customer sent a location: Hamburg, Hafen]"
    )
    assert question([said("", Attachment(id=1))]) == "[The customer sent a file]"


@pytest.fixture
def talk() -> Conversation:
    return Conversation(
        account=ChatwootAccount(account_id=2),
        inbox=Inbox(chatwoot_inbox_id=11, name="Website"),
        chatwoot_conversation_id=133,
        status="pending",
        channel="Channel::WebWidget",
        labels=["vip", "return"],
        chatwoot_contact_id=640,
        contact_name="Misty",
        custom_attributes={"region": "north", "n": {"deep": 1}},
        additional_attributes={"browser_language": "de"},
        contact_custom_attributes={"tier": 3},
    )


@pytest.mark.parametrize(
    ("source", "value"),
    [
        ("conversation.id", 133),
        ("conversation.status", "pending"),
        ("conversation.labels", "vip, return"),
        ("conversation.custom_attributes.region", "north"),
        ("conversation.custom_attributes.n.deep", 1),
        ("contact.name", "Misty"),
        ("contact.language", "de"),
        ("contact.custom_attributes.tier", 3),
        ("inbox.name", "Website"),
        ("message.direction", "incoming"),
        ("message.text", "Hello"),
        ("bridge.api_url", "https://bridge.test/api/v1"),
    ],
)
def test_takes_an_input_from_its_source(
    talk: Conversation, settings: object, source: str, value: JsonValue
) -> None:
    settings.PUBLIC_URL = "https://bridge.test"  # type: ignore[attr-defined]

    assert wanted_inputs({"x": source}, conversation=talk, question="Hello") == {
        "x": value
    }


@pytest.mark.parametrize(
    "source", ["", "conversation", "nothing", "contact.name.first", "contact.shoe"]
)
def test_a_source_that_leads_nowhere_counts_as_not_mapped(
    talk: Conversation, source: str
) -> None:
    inputs = wanted_inputs({"x": source}, conversation=talk, question="")

    assert source == "conversation" or inputs == {}


def test_the_conversations_own_language_comes_first(talk: Conversation) -> None:
    talk.additional_attributes["conversation_language"] = "ru"

    assert wanted_inputs({"x": "contact.language"}, conversation=talk, question="") == {
        "x": "ru"
    }


def test_the_conversations_token_is_an_input_only_where_there_is_one(
    talk: Conversation,
) -> None:
    mapping = {"x": "bridge.conversation_token"}

    assert wanted_inputs(mapping, conversation=talk, question="", token="t") == {
        "x": "t"
    }
    assert wanted_inputs(mapping, conversation=talk, question="") == {"x": ""}
    assert "bridge.conversation_token" in known_sources()


def test_every_default_input_has_a_source(talk: Conversation) -> None:
    talk.assignee_name, talk.team_name, talk.priority = "Marta", "returns", "high"

    found = wanted_inputs(default_inputs(), conversation=talk, question="", token="t")

    assert set(found) == set(default_inputs())


def test_a_contact_is_one_opaque_user_for_ever(talk: Conversation) -> None:
    bot, other = Bot(account=ChatwootAccount()), Bot(account=ChatwootAccount())

    user = bot.dify_user(talk)

    assert user == bot.dify_user(Conversation(chatwoot_contact_id=640))
    assert user != bot.dify_user(Conversation(chatwoot_contact_id=641))
    assert user != other.dify_user(talk)
    assert "640" not in user.split("-", 1)[0]
