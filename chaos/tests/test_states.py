"""The sandbox's JSON is read as what it means."""

from __future__ import annotations

import pytest

from chaos.states import Author, Message, conversation_from, message_from

MESSAGE = {
    "id": 3,
    "content": "Hello #c1m1#",
    "message_type": "outgoing",
    "sender_type": "AgentBot",
    "private": False,
    "content_attributes": {},
    "created_at": "2026-11-22T12:00:00.250000Z",
    "request": {
        "arrived_at": "2026-11-22T12:00:00.000000Z",
        "conversation_read_at": None,
    },
}


def test_a_message_is_read_with_its_moments() -> None:
    assert message_from(MESSAGE) == Message(
        id=3,
        text="Hello #c1m1#",
        author=Author.BOT,
        created_at=1795348800.25,
        arrived_at=1795348800.0,
        conversation_read_at=None,
    )


@pytest.mark.parametrize(
    ("kind", "sender", "author"),
    [
        ("incoming", "Contact", Author.CUSTOMER),
        ("outgoing", "AgentBot", Author.BOT),
        ("outgoing", "User", Author.HUMAN),
        ("outgoing", None, Author.HUMAN),
        ("activity", None, Author.PLATFORM),
        ("template", None, Author.PLATFORM),
    ],
)
def test_who_wrote_it(kind: str, sender: str | None, author: Author) -> None:
    message = message_from({**MESSAGE, "message_type": kind, "sender_type": sender})

    assert message.author is author


def test_messages_are_put_in_order() -> None:
    rows = [{**MESSAGE, "id": 5}, {**MESSAGE, "id": 4}]

    conversation = conversation_from({"id": 1, "status": "open", "messages": rows})

    assert [message.id for message in conversation.messages] == [4, 5]


def test_a_deleted_message_is_known_as_such() -> None:
    data = {**MESSAGE, "content": None, "content_attributes": {"deleted": True}}

    assert message_from(data).deleted is True
    assert message_from(data).text == ""
