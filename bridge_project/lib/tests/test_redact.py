"""Secrets and long texts stay out."""

from __future__ import annotations

import pytest

from bridge_project.lib.redact import cut, excerpt, mask, storable


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("Authorization: Bearer abc.def-1", "Authorization: Bearer [secret]"),
        ("key app-A1b2C3d4E5 refused", "key [secret] refused"),
        ("postgres://u:p4ss@db/x", "postgres://[secret]@db/x"),
        ("redis://:p4ss@host:1/0", "redis://[secret]@host:1/0"),
        ('{"secret": "x", "a": 1}', '{"secret": "[secret]", "a": 1}'),
        ('{"pubsub_token":"x"}', '{"pubsub_token":"[secret]"}'),
        ('{"contact_inbox": {"source_id": "x"}}', '{"contact_inbox": "[secret]"}'),
        ('{"source_id": "our-own"}', '{"source_id": "our-own"}'),
        ("https://chat.test/app/1", "https://chat.test/app/1"),
        ("an app-store and a bearer of news", "an app-store and a bearer of news"),
    ],
)
def test_masks_what_looks_like_a_secret(text: str, masked: str) -> None:
    assert mask(text) == masked


def test_masks_what_it_is_told() -> None:
    assert mask("x t0ken y", secrets=["t0ken", ""]) == "x [secret] y"


def test_cuts_long_texts_and_says_so() -> None:
    assert cut("a" * 10, max_chars=10) == "a" * 10
    shortened = cut("a" * 5000)
    assert len(shortened) == 2000
    assert shortened.endswith("… [5000 characters]")


@pytest.mark.timeout(10)
def test_a_long_message_does_not_stop_the_worker() -> None:
    # Chatwoot's limit; with an unbounded expression this took twenty seconds.
    text = "a." * 75_000

    assert excerpt(text).endswith("… [150000 characters]")
    assert mask(text) == text


def test_an_excerpt_has_no_secret_at_its_edge() -> None:
    text = "x" * 1990 + "t0ken-of-ours" + "y" * 3000

    shortened = excerpt(text, secrets=["t0ken-of-ours"])

    assert "t0ken" not in shortened
    assert len(shortened) == 2000


def test_what_cannot_be_stored_is_replaced() -> None:
    assert storable("a\x00b\ud800c") == "a\ufffdb\ufffdc"
    assert excerpt("\x00") == "\ufffd"
