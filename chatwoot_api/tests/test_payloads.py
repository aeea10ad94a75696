"""The traps of reference/chatwoot.md section 7, one by one."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from bridge_project.lib.errors import MalformedPayload
from bridge_project.lib.types import JsonObject, JsonValue
from chatwoot_api.payloads import (
    Assignee,
    Message,
    Team,
    parse_conversation,
    parse_event,
    parse_message,
)


def message_of(payload: JsonObject) -> Message:
    message = parse_event(payload).message
    assert message is not None
    return message


@pytest.fixture
def incoming(payload: Callable[[str], JsonObject]) -> JsonObject:
    return payload("message_created_incoming_text")


def test_reads_a_customers_message(incoming: JsonObject) -> None:
    event = parse_event(incoming)

    assert (event.name, event.account_id, event.inbox_id, event.inbox_name) == (
        "message_created",
        2,
        11,
        "Website support",
    )
    message = message_of(incoming)
    assert message.id == 9001
    assert message.message_type == "incoming"
    assert message.text == "Hi, the tent I ordered arrived with a torn seam."
    assert message.created_at == datetime(2026, 6, 16, 9, 0, 0, 482_000, tzinfo=UTC)
    assert (message.sender.kind, message.sender.id) == ("contact", 640)
    conversation = event.conversation
    assert conversation is not None
    assert (conversation.id, conversation.status) == (133, "pending")
    assert conversation.channel == "Channel::WebWidget"
    assert conversation.custom_attributes == {
        "order_number": "88123",
        "topic": "Return",
    }
    assert conversation.contact is not None
    assert conversation.contact.name == "misty-harbor-412"
    assert conversation.updated_at == datetime.fromtimestamp(1781600400.318452, tz=UTC)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("incoming", "incoming"),
        ("outgoing", "outgoing"),
        ("template", "template"),
        ("activity", "activity"),
        (0, "incoming"),
        (1, "outgoing"),
        (2, "activity"),
        (3, "template"),
    ],
)
def test_reads_message_types_as_words_and_numbers(
    incoming: JsonObject, given: str | int, expected: str
) -> None:
    incoming["message_type"] = given

    assert message_of(incoming).message_type == expected


def test_null_content_is_an_empty_text(
    payload: Callable[[str], JsonObject],
) -> None:
    message = message_of(payload("message_created_incoming_image_null_content"))

    assert message.text == ""
    assert [item.file_type for item in message.attachments] == ["image"]


def test_no_attachments_key_means_none(incoming: JsonObject) -> None:
    assert "attachments" not in incoming
    assert message_of(incoming).attachments == ()


def test_a_null_sender_is_nobody(payload: Callable[[str], JsonObject]) -> None:
    message = message_of(payload("message_created_outgoing_automation_null_sender"))

    assert message.sender.kind == "nobody"
    assert message.is_from_automation


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("2026-06-16T09:00:00.482Z", datetime(2026, 6, 16, 9, 0, 0, 482_000, UTC)),
        (1781600400, datetime(2026, 6, 16, 9, 0, tzinfo=UTC)),
        (1781600400.5, datetime(2026, 6, 16, 9, 0, 0, 500_000, UTC)),
        (0, None),
        (None, None),
        ("", None),
        ("yesterday", None),
        (True, None),
        (1e300, None),
        (-1, None),
        ("0001-01-01T00:00:00+23:59", None),
        ("9999-12-31T23:59:59-23:59", None),
        ("1970-12-31T23:59:59Z", None),
        ("2201-01-01T00:00:00Z", None),
        ([], None),
    ],
)
def test_reads_times_in_every_form(
    incoming: JsonObject, given: Any, expected: datetime | None
) -> None:
    incoming["created_at"] = given

    assert message_of(incoming).created_at == expected


@pytest.mark.parametrize(
    ("sample", "expected"),
    [
        (
            "conversation_updated_assignee",
            Assignee(kind="user", id=21, name="Marta Keller"),
        ),
        ("conversation_updated_labels", None),
    ],
)
def test_reads_human_assignees(
    payload: Callable[[str], JsonObject], sample: str, expected: Assignee | None
) -> None:
    conversation = parse_event(payload(sample)).conversation

    assert conversation is not None
    assert conversation.assignee == expected


def test_a_bot_that_owns_the_conversation_is_no_human(
    payload: Callable[[str], JsonObject],
) -> None:
    event = parse_event(payload("conversation_updated_assignee_agent_bot"))

    assert event.conversation is not None
    assert event.conversation.assignee is not None
    assert event.conversation.assignee.kind == "agent_bot"


def test_reads_teams(payload: Callable[[str], JsonObject]) -> None:
    conversation = parse_event(payload("conversation_updated_team")).conversation

    assert conversation is not None
    assert conversation.team == Team(id=7, name="returns")


def test_a_status_change_without_changed_attributes_is_read(
    payload: Callable[[str], JsonObject],
) -> None:
    sample = payload("conversation_status_changed_resolved")

    assert sample["changed_attributes"] is None
    conversation = parse_event(sample).conversation
    assert conversation is not None
    assert conversation.status == "resolved"


def test_finds_the_account_of_a_conversation_before_4_14_2(
    payload: Callable[[str], JsonObject],
) -> None:
    sample = payload("conversation_updated_team")
    del sample["account"]

    assert parse_event(sample).account_id == 2


def test_reads_the_conversation_of_the_rest_api(
    payload: Callable[[str], JsonObject],
) -> None:
    conversation = parse_conversation(payload("api/conversation_show_response_200"))

    assert conversation.id > 0
    assert conversation.status in {"open", "pending", "resolved", "snoozed"}
    assert conversation.channel.startswith("Channel::")


@pytest.mark.parametrize("message_type", ["incoming", 0, "outgoing"])
def test_a_deleted_customer_message_keeps_its_number(
    payload: Callable[[str], JsonObject], message_type: JsonValue
) -> None:
    body = {**payload("message_updated_deleted"), "message_type": message_type}

    message = message_of(body)

    assert (message.id, message.is_deleted, message.attachments) == (9020, True, ())


@pytest.mark.parametrize(
    "content_attributes", [{}, {"deleted": False}, {"deleted": "true"}, None, "x"]
)
def test_a_message_that_is_there_is_not_deleted(
    payload: Callable[[str], JsonObject], content_attributes: JsonValue
) -> None:
    body = payload("message_updated_read_receipt")
    body["content_attributes"] = content_attributes

    assert not message_of(body).is_deleted


@pytest.mark.parametrize(
    ("assignee_type", "own_type", "kind"),
    [
        # REST names the kind beside the assignee, and before 4.8.0 nowhere.
        ("User", None, "user"),
        ("AgentBot", None, "agent_bot"),
        (None, None, "user"),
        ("AgentBot", "agent_bot", "agent_bot"),
        ("Captain::Assistant", None, "captain"),
        # What we do not know counts as a human, who wins.
        ("Somebody::New", None, "user"),
    ],
)
def test_tells_a_bot_from_a_human_who_is_assigned(
    assignee_type: str | None, own_type: str | None, kind: str
) -> None:
    assignee: JsonObject = {"id": 3, "name": "Who"}
    if own_type is not None:
        assignee["type"] = own_type
    meta: JsonObject = {"assignee": assignee, "assignee_type": assignee_type}

    conversation = parse_conversation({"id": 133, "meta": meta})

    assert conversation.assignee is not None
    assert conversation.assignee.kind == kind


def test_a_deleted_message_says_so(payload: Callable[[str], JsonObject]) -> None:
    assert message_of(payload("message_updated_deleted")).is_deleted


def test_our_mark_is_found_in_either_place() -> None:
    data: JsonObject = {"id": 1, "message_type": 1}
    in_source = parse_message({**data, "source_id": "m"})
    in_attributes = parse_message(
        {**data, "source_id": None, "content_attributes": {"bridge_message_id": "m"}}
    )

    assert in_source.mark == in_attributes.mark == "m"


def test_an_unknown_event_is_an_event_all_the_same() -> None:
    event = parse_event({"event": "conversation_teleported", "id": {"odd": []}})

    assert (event.name, event.conversation, event.message) == (
        "conversation_teleported",
        None,
        None,
    )


@pytest.mark.parametrize(
    "broken",
    [
        [],
        "text",
        None,
        {},
        {"event": None},
        {"event": ""},
        {"event": 7},
        {"event": "x" * 101},
        {"event": "message_created"},
        {"event": "message_created", "id": 1, "message_type": "incoming"},
        {"event": "message_created", "id": 1, "message_type": "reaction"},
        {"event": "message_updated", "message_type": 4, "conversation": {"id": 1}},
        {"event": "conversation_updated", "id": "abc"},
        {"event": "conversation_updated", "id": -1},
        {"event": "conversation_updated", "id": 2**63},
        {"event": "conversation_updated", "id": True},
        {"event": "conversation_typing_on", "conversation": None},
    ],
)
def test_refuses_what_is_about_nothing(broken: Any) -> None:
    with pytest.raises(MalformedPayload):
        parse_event(broken)


ODD_TYPES = ["reaction", 4, None, [], {}, 1.5, True]


@pytest.mark.parametrize("name", ["message_created", "message_updated"])
@pytest.mark.parametrize("message_type", ODD_TYPES)
def test_a_message_of_a_type_that_we_do_not_know_is_an_event(
    incoming: JsonObject, name: str, message_type: Any
) -> None:
    event = parse_event({**incoming, "event": name, "message_type": message_type})

    assert (event.name, event.account_id, event.message) == (name, 2, None)
    assert event.conversation is not None
    assert event.conversation.id == 133


@pytest.mark.parametrize("message_type", ODD_TYPES)
def test_a_message_alone_needs_a_type_that_we_know(message_type: Any) -> None:
    with pytest.raises(MalformedPayload, match="message_type"):
        parse_message({"id": 1, "message_type": message_type})


def test_html_is_converted_only_when_it_is_read(incoming: JsonObject) -> None:
    incoming["content"] = "<p>Hello</p>"

    message = message_of(incoming)

    assert "text" not in vars(message)
    assert (message.content, message.text) == ("<p>Hello</p>", "Hello")


def test_texts_are_cut_to_what_the_mirror_can_keep(incoming: JsonObject) -> None:
    incoming["inbox"] = {"id": 11, "name": "n" * 300}
    conversation = incoming["conversation"]
    assert isinstance(conversation, dict)
    conversation.update({"priority": "p" * 300, "channel": "c" * 300})

    event = parse_event(incoming)

    assert event.inbox_name == "n" * 255
    assert event.conversation is not None
    assert event.conversation.priority == "p" * 20
    assert event.conversation.channel == "c" * 100


@pytest.mark.parametrize(
    "key",
    ["account", "inbox", "sender", "content_attributes", "created_at", "source_id"],
)
@pytest.mark.parametrize("odd", [None, 7, "text", [1], {"x": {}}])
def test_an_odd_field_costs_no_event(incoming: JsonObject, key: str, odd: Any) -> None:
    incoming[key] = odd

    assert message_of(incoming).id == 9001


def test_a_visitor_who_opens_the_widget(payload: Callable[[str], JsonObject]) -> None:
    opened = parse_event(payload("webwidget_triggered"))
    with_talk = parse_event(payload("webwidget_triggered_existing_conversation"))

    assert opened.widget is not None
    assert (opened.inbox_id, opened.widget.contact_inbox_id) == (11, 702)
    assert opened.widget.contact is not None
    assert opened.widget.contact.id == 640
    assert (opened.widget.current, opened.widget.has_messages) == (None, False)
    assert with_talk.widget is not None
    assert with_talk.widget.current is not None
    assert (with_talk.widget.current.id, with_talk.widget.has_messages) == (133, True)
    # What concerns no message is told of no conversation, as ever.
    assert with_talk.conversation is None
    assert parse_event({"event": "webwidget_triggered"}).widget is None
