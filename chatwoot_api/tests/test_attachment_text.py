"""Attachments in words: places, contact cards, links, files."""

from __future__ import annotations

from typing import Any

import pytest

from bridge_project.lib.types import JsonObject
from chatwoot_api.attachment_text import line_of
from chatwoot_api.payloads import Attachment, parse_message


def from_chatwoot(**fields: Any) -> Attachment:
    """Return what is read of an attachment as webhooks have it."""
    data: JsonObject = {
        "id": 9001,
        "message_type": "incoming",
        "attachments": [{"id": 4, "message_id": 9001, "account_id": 2, **fields}],
    }
    return parse_message(data).attachments[0]


@pytest.mark.parametrize(
    ("fields", "line"),
    [
        (
            {
                "file_type": "location",
                "coordinates_lat": 53.5459,
                "coordinates_long": 9.96641,
                "fallback_title": "Hafen, Hamburg",
                "data_url": "https://maps.example.com/?q=53.5459,9.96641",
            },
            "[The customer sent a location: Hafen, Hamburg, 53.5459,9.96641, "
            "https://maps.example.com/?q=53.5459,9.96641]",
        ),
        (
            {
                "file_type": "location",
                "coordinates_lat": 0.0,
                "coordinates_long": 0.0,
                "fallback_title": None,
                "data_url": None,
            },
            "[The customer sent a location]",
        ),
        (
            {
                "file_type": "contact",
                "fallback_title": "+49 40 123456",
                "meta": {"firstName": "Anna", "lastName": "Schmidt"},
            },
            "[The customer sent a contact card: Anna Schmidt, +49 40 123456]",
        ),
        (
            {
                "file_type": "contact",
                "fallback_title": "+4940123456",
                "meta": {"first_name": "Anna", "last_name": None},
            },
            "[The customer sent a contact card: Anna, +4940123456]",
        ),
        (
            {"file_type": "contact", "fallback_title": "+4940123456"},
            "[The customer sent a contact card: +4940123456]",
        ),
        (
            {
                "file_type": "fallback",
                "fallback_title": "Summer\n sale",
                "data_url": "https://shop.example.com/sale",
            },
            "[The customer shared a link: Summer sale, https://shop.example.com/sale]",
        ),
        (
            {"file_type": "story_mention", "data_url": "https://ig.example.com/s/1"},
            "[The customer mentioned us in a story: https://ig.example.com/s/1]",
        ),
        (
            {"file_type": "ig_reel", "data_url": "https://ig.example.com/r/1"},
            "[The customer shared a reel: https://ig.example.com/r/1]",
        ),
        (
            {"file_type": "image", "data_url": "https://chat.test/b/a%20seam.jpg?x=1"},
            "[The customer sent an image: a seam.jpg]",
        ),
        ({"file_type": "hologram"}, "[The customer sent a file]"),
    ],
)
def test_says_what_was_sent(fields: dict[str, Any], line: str) -> None:
    assert line_of(from_chatwoot(**fields)) == line


def test_coordinates_are_numbers_or_not_there() -> None:
    read = from_chatwoot(file_type="location", coordinates_lat="53.5", meta=[1])

    assert (read.latitude, read.longitude, read.meta) == (53.5, None, {})
    odd = from_chatwoot(coordinates_lat="Infinity", coordinates_long=True)
    assert (odd.latitude, odd.longitude) == (None, None)


@pytest.mark.parametrize("file_type", ["image", "file", "audio", "fallback"])
def test_an_address_that_is_none_is_no_obstacle(file_type: str) -> None:
    line = line_of(from_chatwoot(file_type=file_type, data_url="http://[x/a.png"))

    assert line.startswith("[The customer s")
