"""Which messages make a bot begin anew."""

from __future__ import annotations

import pytest

from chatwoot_api.payloads import Attachment, Message
from conversations.models import Bot
from conversations.reset_words import asks_for_it


def says(content: str, *, words: str | None = None, files: int = 0) -> bool:
    message = Message(
        id=1,
        message_type="incoming",
        content=content,
        attachments=tuple(Attachment(id=n) for n in range(files)),
    )
    bot = Bot() if words is None else Bot(reset_words=words)
    return asks_for_it(message, bot=bot)


@pytest.mark.parametrize(
    "content",
    [
        "/reset",
        " /RESET ",
        "Start over!",
        "start  over.",
        "Начать заново…",
        "<p>/reset</p>",
    ],
)
def test_the_whole_message_is_the_word(content: str) -> None:
    assert says(content)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "reset",
        "/reset please",
        "Can we start over?  I mean",
        "!",
        "/reset" + " " * 300,
    ],
)
def test_anything_else_is_a_message(content: str) -> None:
    assert not says(content)


def test_yo_is_ye() -> None:
    assert says("ещё раз", words="Еще раз")
    assert says("ЕЩЕ РАЗ!", words="ещё раз")


def test_a_file_is_not_thrown_away() -> None:
    assert not says("/reset", files=1)


def test_a_word_of_signs_is_itself() -> None:
    assert says("??", words="??")
    assert not says("!!", words="??")


def test_without_words_there_is_none() -> None:
    assert not says("", words="\n \n")
    assert not says("/reset", words="")
