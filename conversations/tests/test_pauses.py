"""A pause silences the bot at once and leaves a trace."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from conversations import pauses
from conversations.models import AuditEntry, Bot, Conversation, Turn
from conversations.tests.factories import make_turn

pytestmark = pytest.mark.django_db


def verbs() -> list[tuple[str, str]]:
    return list(AuditEntry.objects.order_by("pk").values_list("actor", "verb"))


def running(conversation: Conversation, bot: Bot, **fields: object) -> Turn:
    expires = timezone.now() + timedelta(seconds=30)
    return make_turn(
        conversation, bot, status="running", lease_expires_at=expires, **fields
    )


def test_pausing_and_resuming(conversation: Conversation) -> None:
    assert pauses.pause(conversation, by="anna")
    conversation.refresh_from_db()
    assert conversation.paused

    assert pauses.resume(conversation, by="boris")
    conversation.refresh_from_db()
    assert not conversation.paused
    assert verbs() == [("anna", "paused"), ("boris", "resumed")]
    entry = AuditEntry.objects.order_by("pk")[0]
    assert (entry.conversation, entry.account) == (conversation, conversation.account)


def test_doing_it_twice_changes_nothing(conversation: Conversation) -> None:
    assert not pauses.resume(conversation, by="anna")
    assert [pauses.pause(conversation, by="anna") for _ in range(2)] == [True, False]
    assert verbs() == [("anna", "paused")]


def test_a_run_under_way_is_given_up(bot: Bot, conversation: Conversation) -> None:
    turn = running(conversation, bot)

    pauses.pause(conversation, by="anna")

    turn.refresh_from_db()
    assert turn.interrupt == "paused"


@pytest.mark.parametrize(
    "fields", [{"posting_at": timezone.now()}, {"interrupt": "erased"}]
)
def test_what_cannot_be_stopped_any_more_is_left_alone(
    bot: Bot, conversation: Conversation, fields: dict[str, object]
) -> None:
    turn = running(conversation, bot, **fields)

    pauses.pause(conversation, by="anna")

    turn.refresh_from_db()
    assert turn.interrupt == fields.get("interrupt", "")


def test_resuming_in_time_saves_the_run(bot: Bot, conversation: Conversation) -> None:
    turn = running(conversation, bot)
    pauses.pause(conversation, by="anna")

    pauses.resume(conversation, by="anna")

    turn.refresh_from_db()
    assert turn.interrupt == ""
