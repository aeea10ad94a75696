"""Rich messages, files and pages of the history."""

from __future__ import annotations

import json
from email import message_from_bytes, policy
from typing import Any

import pytest
import responses

from chatwoot_api.client import Upload
from chatwoot_api.tests.wired import ADMIN, BOT, NOT_FOR_BOTS, ONE, client, sent

MARK = "7d2f2d0e-0000-4000-8000-000000000001"


def post(**fields: Any) -> int:
    message: dict[str, Any] = {
        "content": "Which one?",
        "private": False,
        "mark": MARK,
        "channel": "Channel::WebWidget",
    }
    return client().create_message(133, **{**message, **fields})


def raw(wire: responses.RequestsMock, *, call: int = 0) -> bytes:
    body = wire.calls[call].request.body
    assert isinstance(body, bytes)
    return body


def parts_of(wire: responses.RequestsMock, *, call: int = 0) -> list[Any]:
    """Name, file name, type and content of each part of a multipart body."""
    kind = wire.calls[call].request.headers["Content-Type"]
    head = f"Content-Type: {kind}\r\n\r\n".encode()
    message = message_from_bytes(head + raw(wire, call=call), policy=policy.HTTP)
    return [
        (
            part.get_param("name", header="content-disposition"),
            part.get_filename(),
            part.get("Content-Type"),
            part.get_payload(decode=True),
        )
        for part in message.iter_parts()
    ]


def test_the_mark_goes_with_buttons(wire: responses.RequestsMock) -> None:
    wire.post(f"{ONE}/messages", json={"id": 77})
    items = [{"title": "Red", "value": "red"}]

    assert post(content_type="input_select", content_attributes={"items": items}) == 77

    expected = {
        "content": "Which one?",
        "message_type": "outgoing",
        "private": False,
        "content_type": "input_select",
        "content_attributes": {"items": items, "bridge_message_id": MARK},
        "source_id": MARK,
    }
    assert sent(wire) == [("POST", "/conversations/133/messages", BOT, expected)]


def test_no_attribute_takes_the_place_of_the_mark(wire: responses.RequestsMock) -> None:
    wire.post(f"{ONE}/messages", json={"id": 77})

    post(content_attributes={"bridge_message_id": "another", "in_reply_to": 5})

    attributes = sent(wire)[0][3]["content_attributes"]
    assert attributes == {"bridge_message_id": MARK, "in_reply_to": 5}


def test_files_go_as_parts_of_one_request(wire: responses.RequestsMock) -> None:
    wire.post(f"{ONE}/messages", json={"id": 78})
    invoice = Upload(name="счёт.pdf", content_type="application/pdf", content=b"%PDF-1")
    note = Upload(name="a.txt", content_type="text/csv; header=absent", content=b"hi")

    assert post(files=[invoice, note], content_attributes={"in_reply_to": 5}) == 78

    request = wire.calls[0].request
    assert request.headers["api-access-token"] == BOT
    assert request.headers["Content-Type"].startswith("multipart/form-data; boundary=")
    *fields, first, second = parts_of(wire)
    assert {name: value for name, _f, _t, value in fields} == {
        "content": b"Which one?",
        "message_type": b"outgoing",
        "content_attributes": json.dumps(
            {"in_reply_to": 5, "bridge_message_id": MARK}
        ).encode(),
        "source_id": MARK.encode(),
    }
    assert first[0] == second[0] == "attachments[]"
    assert first[2:] == ("application/pdf", b"%PDF-1")
    assert second[1:] == ("a.txt", 'text/csv; header="absent"', b"hi")
    assert b"Content-Type: text/csv; header=absent\r\n" in raw(wire)
    assert "счёт.pdf".encode() in raw(wire)


def test_a_note_with_files_goes_as_the_administrator_if_need_be(
    wire: responses.RequestsMock,
) -> None:
    wire.post(f"{ONE}/messages", status=401, json=NOT_FOR_BOTS)
    wire.post(f"{ONE}/messages", json={"id": 79})
    file = Upload(name="a.txt", content_type="text/plain", content=b"hi")

    assert post(private=True, files=[file]) == 79

    tokens = [call.request.headers["api-access-token"] for call in wire.calls]
    assert tokens == [BOT, ADMIN]
    again = parts_of(wire, call=1)
    assert ("private", b"true") in {(name, value) for name, _f, _t, value in again}
    assert again[-1] == ("attachments[]", "a.txt", "text/plain", b"hi")


@pytest.mark.parametrize(
    "claimed", ["", "text", "text/html\r\nX-Evil: 1", "text/html\n", "ыы/ыы"]
)
def test_a_type_that_is_none_is_not_passed_on(
    wire: responses.RequestsMock, claimed: str
) -> None:
    wire.post(f"{ONE}/messages", json={"id": 80})

    post(files=[Upload(name='"x"\r\n.bin', content_type=claimed, content=b"\x00")])

    name, _file, kind, content = parts_of(wire)[-1]
    assert (name, kind, content) == (
        "attachments[]",
        "application/octet-stream",
        b"\x00",
    )
    assert b"X-Evil" not in raw(wire)


@pytest.mark.parametrize(
    ("limits", "query"),
    [
        ({}, ""),
        ({"before": 9}, "?before=9"),
        ({"after": 0}, "?after=0"),
        ({"after": 3, "before": 9}, "?after=3&before=9"),
    ],
)
def test_pages_through_the_history(
    wire: responses.RequestsMock, limits: dict[str, int], query: str
) -> None:
    wire.get(f"{ONE}/messages", json={"payload": [{"id": 5, "message_type": 0}]})

    assert [message.id for message in client().list_messages(133, **limits)] == [5]
    path = f"/conversations/133/messages{query}"
    assert sent(wire) == [("GET", path, ADMIN, None)]
