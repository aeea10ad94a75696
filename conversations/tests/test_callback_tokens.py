"""Tokens of bots: shown once, stored as a digest, found while they are valid."""

from __future__ import annotations

import re
from datetime import timedelta
from hashlib import sha256

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from conversations import callback_tokens
from conversations.models import AuditEntry, CallbackToken
from conversations.tests.factories import make_bot

pytestmark = pytest.mark.django_db


def entries() -> list[tuple[str, str, dict[str, object]]]:
    return list(
        AuditEntry.objects.order_by("pk").values_list("actor", "verb", "details")
    )


def test_a_token_is_stored_so_that_nobody_can_read_it() -> None:
    bot = make_bot()

    text = callback_tokens.make(bot, by="anna")

    assert re.fullmatch(r"bridge-bot-[A-Za-z0-9_-]{43}", text)
    (row,) = CallbackToken.objects.values()
    assert row["digest"] == sha256(text.encode()).hexdigest()
    assert (row["prefix"], row["created_by"]) == (text[:16], "anna")
    assert (row["expires_at"], row["last_used_at"]) == (None, None)
    assert text not in str(row)
    assert entries() == [
        ("anna", "made_token", {"bot": bot.pk, "token": text[:16]}),
    ]
    assert AuditEntry.objects.get().account == bot.account


def test_every_token_is_another_and_several_are_valid_at_once() -> None:
    bot, now = make_bot(), timezone.now()

    texts = {callback_tokens.make(bot, by="anna") for _time in range(3)}

    found = [callback_tokens.find(text, now=now) for text in texts]
    assert len(texts) == 3
    assert {token.pk for token in found if token} == set(
        CallbackToken.objects.values_list("pk", flat=True)
    )


def test_finding_costs_one_query_for_token_bot_and_account() -> None:
    bot, now = make_bot(), timezone.now()
    text = callback_tokens.make(bot, by="anna")
    callback_tokens.find(text, now=now)

    with CaptureQueriesContext(connection) as queries:
        token = callback_tokens.find(text, now=now)
        assert token is not None
        assert token.bot.account.name == "Nordlicht Outdoor"

    assert token.bot == bot
    assert len(queries) == 1


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text[:-1],
        lambda text: text + "x",
        lambda text: text.upper(),
        lambda text: text.removeprefix("bridge-bot-"),
        lambda text: text[:16],
        lambda text: sha256(text.encode()).hexdigest(),
        lambda text: text[:-1] + "é",
        lambda text: text + "\ud800",
        lambda _text: "",
        lambda _text: "bridge-bot-",
    ],
)
def test_anything_but_the_token_finds_nothing(change: object) -> None:
    text = callback_tokens.make(make_bot(), by="anna")

    found = callback_tokens.find(change(text), now=timezone.now())  # type: ignore[operator]

    assert found is None


def test_use_is_noted_at_most_once_a_minute() -> None:
    text = callback_tokens.make(make_bot(), by="anna")
    now = timezone.now()
    noted = []

    for seconds in (0, 1, 59, 60, 61):
        callback_tokens.find(text, now=now + timedelta(seconds=seconds))
        noted.append(CallbackToken.objects.get().last_used_at)

    later = now + timedelta(seconds=60)
    assert noted == [now, now, now, later, later]


def test_an_ended_token_finds_nothing_from_then_on() -> None:
    bot, now = make_bot(), timezone.now()
    text = callback_tokens.make(bot, by="anna")
    other = callback_tokens.make(bot, by="anna")
    token = CallbackToken.objects.get(prefix=text[:16])

    assert callback_tokens.end(token, now=now, by="boris") is True

    assert callback_tokens.find(text, now=now) is None
    assert callback_tokens.find(other, now=now) is not None
    assert entries()[-1] == (
        "boris",
        "ended_token",
        {"bot": bot.pk, "token": text[:16], "after_s": 0},
    )


def test_a_token_that_ends_later_is_valid_until_then() -> None:
    text = callback_tokens.make(make_bot(), by="anna")
    token, now = CallbackToken.objects.get(), timezone.now()

    callback_tokens.end(token, now=now, after_s=3600, by="boris")

    token.refresh_from_db()
    assert token.expires_at == now + timedelta(hours=1)
    assert callback_tokens.find(text, now=now + timedelta(seconds=3599)) == token
    assert callback_tokens.find(text, now=now + timedelta(hours=1)) is None


def test_ending_never_prolongs() -> None:
    callback_tokens.make(make_bot(), by="anna")
    token, now = CallbackToken.objects.get(), timezone.now()
    callback_tokens.end(token, now=now, after_s=60, by="anna")

    assert callback_tokens.end(token, now=now, after_s=3600, by="boris") is False

    token.refresh_from_db()
    assert token.expires_at == now + timedelta(seconds=60)
    assert [actor for actor, _verb, _details in entries()] == ["anna", "anna"]


def test_ending_a_token_that_ends_later_may_come_sooner() -> None:
    callback_tokens.make(make_bot(), by="anna")
    token, now = CallbackToken.objects.get(), timezone.now()
    callback_tokens.end(token, now=now, after_s=3600, by="anna")

    assert callback_tokens.end(token, now=now, by="anna") is True

    token.refresh_from_db()
    assert token.expires_at == now


def test_tokens_end_with_their_bot() -> None:
    bot = make_bot()
    text = callback_tokens.make(bot, by="anna")

    bot.delete()

    assert callback_tokens.find(text, now=timezone.now()) is None
