"""Thinking is parted from what is said."""

from __future__ import annotations

import pytest

from dify_api.thinking import split_thinking


@pytest.mark.parametrize(
    ("text", "said", "thought"),
    [
        ("Hello", "Hello", ""),
        ("  Hello \n", "Hello", ""),
        ("", "", ""),
        ("<think>\nhm\n</think>\n\nHello", "Hello", "hm"),
        ("<THINK>hm</Think >Hello", "Hello", "hm"),
        ('<think time="3">hm</think>Hello', "Hello", "hm"),
        ("<think></think>Hello", "Hello", ""),
        # Unclosed: the run was stopped while thinking.
        ("<think>hm, the customer", "", "hm, the customer"),
        ("Hello <think>hm", "Hello", "hm"),
        # Nobody opened: the model's template did.
        ("hm\n</think>\n\nHello", "Hello", "hm"),
        # Closed twice: only the tag goes.
        ("<think>a</think>Hello</think> you", "Hello you", "a"),
        # Nested, and spoken of inside of thinking.
        ("<think>a<think>b</think>c</think>Hello", "Hello", "a<think>b</think>c"),
        ("<think>no <think> tags</think>Hello", "Hello", "no <think> tags"),
        ("<think>no `</think>` yet</think>Hello", "Hello", "no `</think>` yet"),
        # Several LLM nodes, one after the other.
        ("<think>a</think>One\n\n<think>b</think>\n\nTwo", "One\n\nTwo", "a\nb"),
        ("One\n<think>b</think>\nTwo", "One\n\nTwo", "b"),
        ("One <think>b</think> two", "One two", "b"),
        ("One<think>b</think>two", "Onetwo", "b"),
        # Spoken of, not meant.
        ("Write `<think>` first", "Write `<think>` first", ""),
        ("Use `<think>…</think>` tags", "Use `<think>…</think>` tags", ""),
        ("It ends with `x</think>`.", "It ends with `x</think>`.", ""),
        ("```xml\n<think>a</think>\n```", "```xml\n<think>a</think>\n```", ""),
        ("~~~\n<think>a\n~~~\nOk", "~~~\n<think>a\n~~~\nOk", ""),
        ("```\n<think>a", "```\n<think>a", ""),
        ("<think>a ``` b</think>Hello", "Hello", "a ``` b"),
        # Lone backticks around real thinking do not hide it.
        ("It`s <think>secret</think> it`s", "It`s it`s", "secret"),
        ("a thinker's <thinker> tag", "a thinker's <thinker> tag", ""),
        # What PostgreSQL cannot store.
        ("nul\x00byte", "nulbyte", ""),
        ("pair \ud83d\ude42", "pair 🙂", ""),
        ("lone \ud83d!", "lone �!", ""),
    ],
)
def test_thinking_is_parted_from_what_is_said(
    text: str, said: str, thought: str
) -> None:
    assert split_thinking(text) == (said, thought)
