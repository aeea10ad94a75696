"""What an agent's note asks of the bot, and how far a draft is from what was sent."""

from __future__ import annotations

from time import perf_counter
from typing import Any

import pytest

from chatwoot_api.payloads import MARK_KEY, Message, Sender
from conversations import agent_notes, drafts
from conversations.agent_notes import Feedback, Rating
from conversations.models import Bot, ReplyAs, Turn


def note(content: str, **overrides: Any) -> Message:
    values: dict[str, Any] = {
        "id": 9021,
        "message_type": "outgoing",
        "private": True,
        "content": content,
        "sender": Sender(kind="user", id=21, name="Marta Keller"),
    }
    return Message(**{**values, **overrides})


@pytest.mark.parametrize(
    ("content", "wanted"),
    [
        ("/ai", ""),
        ("/ai summarise", "summarise"),
        ("/AI  Summarise", "Summarise"),
        ("  /ai\nwhat does she want?", "what does she want?"),
        ("/aid", None),
        ("please /ai", None),
        ("ai summarise", None),
        ("", None),
    ],
)
def test_a_note_that_begins_with_the_word_asks_the_bot(
    content: str, wanted: str | None
) -> None:
    assert agent_notes.asked(note(content), bot=Bot()) == wanted


@pytest.mark.parametrize(
    "others",
    [
        {"private": False},
        {"message_type": "incoming", "sender": Sender(kind="contact", id=1)},
        {"sender": Sender(kind="agent_bot", id=3)},
        {"sender": Sender(kind="captain", id=3)},
        {"sender": Sender(kind="nobody")},
        {"content_attributes": {MARK_KEY: "0b6f"}},
        {"content_attributes": {"automation_rule_id": 4}},
    ],
)
def test_only_an_agents_own_note_does(others: dict[str, Any]) -> None:
    assert agent_notes.asked(note("/ai summarise", **others), bot=Bot()) is None
    made = agent_notes.feedback_in(note("/good", **others), is_new=True, bot=Bot())
    assert made is None


def test_the_word_may_be_another_or_none() -> None:
    assert agent_notes.asked(note("/бот кто это"), bot=Bot(command_word="/бот")) == (
        "кто это"
    )
    assert agent_notes.asked(note("/ai who"), bot=Bot(command_word="/бот")) is None
    assert agent_notes.asked(note("/ai who"), bot=Bot(command_word="")) is None


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("/good", Feedback(rating=Rating.LIKE)),
        ("/good thanks", Feedback(rating=Rating.LIKE, text="thanks")),
        ("/BAD wrong price", Feedback(rating=Rating.DISLIKE, text="wrong price")),
        ("/goods", None),
        ("good", None),
    ],
)
def test_reads_an_agents_feedback(content: str, expected: Feedback | None) -> None:
    assert agent_notes.feedback_in(note(content), is_new=True, bot=Bot()) == expected
    assert agent_notes.feedback_in(note(content), is_new=False, bot=Bot()) is None
    off = Bot(dify_feedback=False)
    assert agent_notes.feedback_in(note(content), is_new=True, bot=off) is None


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (
            {"rating": 5, "feedback_message": "Fast help"},
            Feedback(rating=Rating.LIKE, text="CSAT 5/5: Fast help", by_customer=True),
        ),
        (
            {"rating": 4},
            Feedback(rating=Rating.LIKE, text="CSAT 4/5", by_customer=True),
        ),
        ({"rating": 3}, Feedback(rating=None, text="CSAT 3/5", by_customer=True)),
        (
            {"rating": 2, "feedback_message": None},
            Feedback(rating=Rating.DISLIKE, text="CSAT 2/5", by_customer=True),
        ),
        ({}, None),
        ("5", None),
    ],
)
def test_reads_a_customers_rating(answer: Any, expected: Feedback | None) -> None:
    survey = note(
        "Please rate",
        message_type="template",
        private=False,
        content_type="input_csat",
        content_attributes={"submitted_values": {"csat_survey_response": answer}},
    )

    assert agent_notes.feedback_in(survey, is_new=False, bot=Bot()) == expected
    assert agent_notes.feedback_in(survey, is_new=True, bot=Bot()) is None


# --- Comparison, and the line above a note -------------------------------------------


@pytest.mark.parametrize(
    ("draft", "sent", "similarity", "edit_rate"),
    [
        ("It ships today.", "It ships today.", 1.0, 0.0),
        ("It **ships**  today.", "it ships\ntoday.", 1.0, 0.0),
        ("one two three four", "one two three five", 0.8333, 0.25),
        ("one two", "one two three four five six", 0.4118, 1.0),
        ("abc", "xyz", 0.0, 1.0),
    ],
)
def test_compares_what_was_sent(
    draft: str, sent: str, similarity: float, edit_rate: float
) -> None:
    found = drafts.compared(draft, sent)

    assert (found.similarity, found.edit_rate) == (similarity, edit_rate)


def test_compares_long_texts_by_their_beginnings_without_delay() -> None:
    draft, sent = "ab " * 50_000, "ba " * 50_000

    began = perf_counter()
    found = drafts.compared(draft, sent)

    # difflib would take minutes; this is 2 ms, on whatever machine.
    assert perf_counter() - began < 5
    assert found.edit_rate == 1.0
    assert drafts.compared(draft, draft[:4000] + "x").similarity == 1.0


def test_the_line_above_a_note_is_in_the_bots_language() -> None:
    draft = drafts.marked("Hi", bot=Bot(language="en"), kind=Turn.Kind.DRAFT)
    answer = drafts.marked("Hi", bot=Bot(language="en"), kind=Turn.Kind.HELP)

    assert draft == "🤖 Draft by the bot – not sent to the customer\n\nHi"
    assert answer == "🤖 Answer by the bot – only agents see it\n\nHi"
    assert drafts.unmarked(draft) == "Hi"
    assert drafts.unmarked("Hi\n\nthere") == "Hi\n\nthere"


@pytest.mark.parametrize(
    ("bot", "kind", "expected"),
    [
        (Bot(), Turn.Kind.DRAFT, True),
        (Bot(), Turn.Kind.HELP, True),
        (Bot(reply_as=ReplyAs.BY_SUPPORT_MODE), Turn.Kind.ANSWER, True),
        (Bot(shadow=True), Turn.Kind.ANSWER, True),
        (Bot(reply_as=ReplyAs.PRIVATE_NOTE), Turn.Kind.ANSWER, False),
        (Bot(), Turn.Kind.ANSWER, False),
    ],
)
def test_a_bot_that_always_writes_notes_goes_on_as_it_did(
    bot: Bot, kind: str, expected: bool
) -> None:
    assert drafts.suggests(bot, kind=kind) is expected
