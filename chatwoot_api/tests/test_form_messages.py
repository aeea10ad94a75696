"""What a form or the widget leaves in the chat, and what is a question."""

from __future__ import annotations

import time

import pytest

from chatwoot_api import form_messages
from chatwoot_api.payloads import Attachment, Message, MessageType


def said(
    content: str,
    *,
    content_type: str = "text",
    message_type: MessageType = "incoming",
    attachments: tuple[Attachment, ...] = (),
) -> Message:
    return Message(
        id=1,
        message_type=message_type,
        content=content,
        content_type=content_type,
        attachments=attachments,
    )


@pytest.mark.parametrize(
    "content",
    [
        "anna@example.org",
        "  Anna.Schmidt+shop@mail.example.co.uk\n",
        "mailto:anna@example.org",
        "E-mail: anna@example.org",
        "<p>anna@example.org</p>",
        '<p><a href="mailto:a_b@example.org">a_b@example.org</a></p>',
        "anna@example.org\nbert@example.org",
        "анна@почта.рф",
    ],
)
def test_a_lone_address_may_be_form_data(content: str) -> None:
    assert form_messages.is_form_data(said(content))
    assert form_messages.has_email(said(content))


@pytest.mark.parametrize(
    "content",
    [
        "Get notified by email",
        "get notified  by email.",
        "<p>Give the team a way to reach you.</p>",
        "Оставьте ваш email для связи",
        "Lassen Sie sich per E-Mail benachrichtigen",
    ],
)
def test_the_widgets_words_are_no_question(content: str) -> None:
    assert form_messages.is_form_data(said(content))
    assert not form_messages.has_email(said(content))


def test_words_and_address_together_are_form_data() -> None:
    both = said("<div>Get notified by email</div><p>anna@example.org</p>")

    assert form_messages.is_form_data(both)
    assert form_messages.has_email(both)


def test_what_was_put_into_a_box_is_form_data_whatever_it_says() -> None:
    assert form_messages.is_form_data(said("whatever", content_type="input_email"))
    assert not form_messages.has_email(said("a@b.org", content_type="input_email"))


@pytest.mark.parametrize(
    "content",
    [
        "",
        "Hi",
        "my e-mail is anna@example.org",
        "anna@example.org where is my order?",
        "anna@example.org\nWhere is my order?",
        "How do I get notified by email?",
        "@anna",
        "anna@example",
        "https://example.org/anna@example.org",
        "anna@example.org " * 100,
    ],
)
def test_a_question_stays_one(content: str) -> None:
    assert not form_messages.is_form_data(said(content))


def test_a_file_is_no_form_data() -> None:
    picture = Attachment(id=1, file_type="image")

    assert not form_messages.is_form_data(
        said("anna@example.org", attachments=(picture,))
    )


def test_a_rich_message_of_ours_is_none_either() -> None:
    assert not form_messages.is_form_data(said("Which one?", content_type="form"))


def test_knows_the_widgets_own_request() -> None:
    box = said("Anything", content_type="input_email", message_type="template")
    words = said("Give the team a way to reach you.", message_type="template")
    greeting = said("We usually reply in a few hours.", message_type="template")
    customer = said("Get notified by email")

    assert [
        form_messages.asks_for_email(message)
        for message in (box, words, greeting, customer)
    ] == [True, True, False, False]


def test_a_hostile_text_takes_no_time() -> None:
    began = time.process_time()

    for text in ("a" * 999 + "@", "@." * 499, "<" * 999, "a@" + "b." * 490):
        assert not form_messages.is_form_data(said(text))

    # Microseconds; an expression that backtracks would take minutes.
    assert time.process_time() - began < 5
