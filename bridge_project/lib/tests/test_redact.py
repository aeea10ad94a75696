"""Secrets and long texts stay out."""

from __future__ import annotations

import pytest

from bridge_project.lib.redact import (
    cut,
    excerpt,
    mask,
    mask_ours,
    mask_ours_within,
    storable,
)

CONVERSATION_TOKEN = "bridge-conv-.eJyLNtRRMNQBwlgAC_0CSA.1vMxyz.Qm_3-kTa9ZrYw0p1LxW7"
BOT_TOKEN = "bridge-bot-pD4_x9-Kq2vXw1Zt8RyB6nMcF3hJ5sLgA7uEoViTdYk"


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
        (f"X-Bridge-Token: {BOT_TOKEN}", "X-Bridge-Token: [secret]"),
        (f"Bearer {BOT_TOKEN}", "Bearer [secret]"),
        (f'{{"t": "{CONVERSATION_TOKEN}"}}', '{"t": "[secret]"}'),
        # Cut to the length that a Dify app allows.
        (CONVERSATION_TOKEN[:48], "[secret]"),
        (f"It is {BOT_TOKEN}.", "It is [secret]."),
        ("the bridge-bot-framework", "the bridge-bot-framework"),
        ("an app-store and a bearer of news", "an app-store and a bearer of news"),
    ],
)
def test_masks_what_looks_like_a_secret(text: str, masked: str) -> None:
    assert mask(text) == masked


def test_texts_for_customers_lose_our_own_tokens_alone() -> None:
    text = f"Use {CONVERSATION_TOKEN} with app-A1b2C3d4E5 at https://a:b@shop.test"

    assert mask_ours(text) == (
        "Use [secret] with app-A1b2C3d4E5 at https://a:b@shop.test"
    )
    assert mask_ours_within({"a": [BOT_TOKEN, 5, None], CONVERSATION_TOKEN: True}) == {
        "a": ["[secret]", 5, None],
        "[secret]": True,
    }


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


@pytest.mark.timeout(10)
@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("bridge-conv-" * 12_500, "[secret]"),
        ("bridge-conv-" + "." * 150_000, "bridge-conv-" + "." * 150_000),
        ("bridge-bot- " * 12_500, "bridge-bot- " * 12_500),
        ("bridge-conv-abc " * 9_375, "bridge-conv-abc " * 9_375),
        ("b" * 150_000, "b" * 150_000),
        (f"{BOT_TOKEN} " * 2_700, "[secret] " * 2_700),
    ],
)
def test_a_long_message_of_nearly_tokens_does_not_stop_the_worker(
    text: str, masked: str
) -> None:
    assert mask(text) == masked
    assert mask_ours(text) == masked


def test_an_excerpt_has_no_secret_at_its_edge() -> None:
    text = "x" * 1990 + "t0ken-of-ours" + "y" * 3000

    shortened = excerpt(text, secrets=["t0ken-of-ours"])

    assert "t0ken" not in shortened
    assert len(shortened) == 2000


def test_what_cannot_be_stored_is_replaced() -> None:
    assert storable("a\x00b\ud800c") == "a\ufffdb\ufffdc"
    assert excerpt("\x00") == "\ufffd"
