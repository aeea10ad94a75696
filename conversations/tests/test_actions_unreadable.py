"""Merging into attributes that no token may read: based on the mirror."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connections

from conversations.actions import Outcome, change
from conversations.models import Bot, Conversation
from conversations.tests.factories import make_bot
from conversations.tests.sandbox_chatwoot import (
    SandboxChatwoot,
    make_sandbox_account,
    mirror_of,
    target_of,
)


def unreadable(sandbox: SandboxChatwoot, **attributes: Any) -> tuple[Bot, Conversation]:
    """Return a conversation with a team, and a bot without an administrator's token."""
    bot = make_bot(make_sandbox_account(sandbox, admin_token=""))
    number = sandbox.start(custom_attributes=attributes)
    sandbox.control("POST", f"/conversations/{number}/team", {"team_id": 1})
    return bot, mirror_of(number, bot=bot, custom_attributes=attributes)


def changed(row: Conversation, *, bot: Bot, **wanted: Any) -> list[Outcome]:
    """Change it with a row as old as the request, as `callbacks` do."""
    return change(
        target_of(row.chatwoot_conversation_id, bot=bot, conversation=row), wanted
    )


def test_two_in_a_row_lose_nothing(sandbox: SandboxChatwoot, db: None) -> None:
    bot, row = unreadable(sandbox, language="de", old=1)
    again = Conversation.objects.get(pk=row.pk)

    changed(
        row, bot=bot, custom_attributes={"topic": "x"}, custom_attributes_remove="old"
    )
    outcomes = changed(again, bot=bot, custom_attributes={"mood": "good"})

    assert [outcome.result for outcome in outcomes] == ["applied"]
    wanted = {"language": "de", "topic": "x", "mood": "good"}
    number = row.chatwoot_conversation_id
    assert sandbox.state(number)["custom_attributes"] == wanted


@pytest.mark.django_db(transaction=True)
def test_ten_at_once_lose_nothing(sandbox: SandboxChatwoot) -> None:
    bot, row = unreadable(sandbox, language="de")

    def merge(index: int) -> list[Outcome]:
        try:
            return changed(
                Conversation.objects.get(pk=row.pk),
                bot=Bot.objects.get(pk=bot.pk),
                custom_attributes={f"key_{index}": "x"},
                labels_add=[f"label-{index}"],
            )
        finally:
            connections.close_all()

    with ThreadPoolExecutor(max_workers=10) as pool:
        outcomes = [one for some in pool.map(merge, range(10)) for one in some]

    assert {outcome.result for outcome in outcomes} == {"applied"}
    state = sandbox.state(row.chatwoot_conversation_id)
    keys = {f"key_{index}": "x" for index in range(10)}
    assert state["custom_attributes"] == {"language": "de"} | keys
    assert sorted(state["labels"]) == sorted(f"label-{i}" for i in range(10))


@pytest.mark.parametrize(
    ("before", "wanted", "mirrored"),
    [
        # Its webhook gives the conversation back: the mirror must not know yet.
        ({"bot_paused": True}, {"bot_paused": False}, True),
        # A pause is news to nobody, and must not be undone by the next one.
        ({"bot_paused": False}, {"bot_paused": True}, True),
        ({}, {"bot_paused": True}, True),
    ],
)
def test_the_end_of_a_pause_is_told_by_its_webhook_alone(
    sandbox: SandboxChatwoot,
    db: None,
    before: dict[str, Any],
    wanted: dict[str, Any],
    mirrored: bool,
) -> None:
    bot, row = unreadable(sandbox, **before)
    bot.pause_attribute = "bot_paused"
    bot.save()

    changed(row, bot=bot, custom_attributes=wanted | {"topic": "x"})

    row.refresh_from_db()
    assert row.custom_attributes == {"bot_paused": mirrored, "topic": "x"}
    state = sandbox.state(row.chatwoot_conversation_id)
    assert state["custom_attributes"] == wanted | {"topic": "x"}


def test_leaves_the_mirror_to_webhooks_where_chatwoot_can_be_read(
    sandbox: SandboxChatwoot, sandbox_bot: Bot
) -> None:
    row = mirror_of(sandbox.start(), bot=sandbox_bot)

    changed(row, bot=sandbox_bot, custom_attributes={"topic": "Order"})

    row.refresh_from_db()
    assert row.custom_attributes == {}
