"""When a flow may speak to the customer, and that what it said is known."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from django.utils import timezone

from conversations.actions import NotDone, find_sent, send_message
from conversations.models import Bot, Conversation, ReplyAs, Turn
from conversations.tests.factories import make_bot, make_event, make_turn
from conversations.tests.sandbox_chatwoot import (
    SandboxChatwoot,
    make_sandbox_account,
    mirror_of,
    target_of,
)


def running_turn(sandbox: SandboxChatwoot, number: int, *, bot: Bot) -> Turn:
    """A run that answers the conversation's last message."""
    return make_turn(
        mirror_of(number, bot=bot),
        bot,
        status=Turn.Status.RUNNING,
        started_at=timezone.now(),
        last_message_id=sandbox.state(number)["messages"][-1]["id"],
    )


def sent(
    turn: Turn, *, bot: Bot, for_s: float = 25.0, **wanted: Any
) -> tuple[str, str]:
    """Send a message from within the run; what became of it."""
    target = target_of(
        turn.conversation.chatwoot_conversation_id,
        bot=Bot.objects.get(pk=bot.pk),
        conversation=turn.conversation,
        turn=turn,
        for_s=for_s,
    )
    outcome = send_message(target, {"content": "Hi", **wanted})
    return outcome.result, outcome.code


HUMANS = ("refused", "human_in_charge")
SILENT = ("refused", "bot_is_silent")
SENT = ("applied", "")


def human_acts(sandbox: SandboxChatwoot, number: int, what: str, *, bot: Bot) -> None:
    """Somebody does something while the flow runs."""
    path = f"/conversations/{number}"
    turns = Turn.objects.filter(bot=bot)
    match what:
        case "opens":
            sandbox.control("POST", f"{path}/status", {"status": "open"})
        case "replies":
            sandbox.control("POST", f"{path}/reply", {"content": "Me", "agent_id": 2})
        case "is_assigned":
            Bot.objects.update(yields_to_assignee=True)
            sandbox.control("POST", f"{path}/assign", {"assignee_id": 2})
        case "labels":
            sandbox.control("PATCH", path, {"labels": [bot.pause_label]})
        case "sets_attribute":
            values = {bot.pause_attribute: "yes"}
            sandbox.control("PATCH", path, {"custom_attributes": values})
        case "pauses_here":
            Conversation.objects.update(paused=True)
        case "switches_off":
            Bot.objects.update(enabled=False)
        case "blocks":
            contact = sandbox.api("GET", path)["meta"]["sender"]["id"]
            sandbox.api("PATCH", f"/contacts/{contact}", {"blocked": True})
        case "blocked_before":
            Conversation.objects.update(contact_blocked=True)
        case _:
            turns.update(interrupt=what)


@pytest.mark.parametrize(
    ("what", "usual", "even_if_open"),
    [
        ("opens", HUMANS, SENT),
        ("replies", HUMANS, SENT),
        ("is_assigned", HUMANS, SENT),
        ("labels", HUMANS, HUMANS),
        ("sets_attribute", HUMANS, HUMANS),
        ("pauses_here", HUMANS, HUMANS),
        ("switches_off", SILENT, SILENT),
        ("blocks", SILENT, SILENT),
        ("blocked_before", SILENT, SILENT),
        # What interrupted the run, although it may be undone by now.
        ("status_not_allowed", HUMANS, SENT),
        ("human_has_taken_over", HUMANS, SENT),
        ("human_is_assigned", HUMANS, SENT),
        ("paused", HUMANS, HUMANS),
        ("erased", HUMANS, HUMANS),
        # No human's reasons.
        ("new_message", SENT, SENT),
        ("took_too_long", SENT, SENT),
    ],
)
def test_the_bot_is_silent_whatever_the_flow_says(
    sandbox: SandboxChatwoot,
    sandbox_bot: Bot,
    what: str,
    usual: tuple[str, str],
    even_if_open: tuple[str, str],
) -> None:
    number = sandbox.start()
    turn = running_turn(sandbox, number, bot=sandbox_bot)
    human_acts(sandbox, number, what, bot=sandbox_bot)

    found = [
        sent(turn, bot=sandbox_bot),
        sent(turn, bot=sandbox_bot, even_if_open="true"),
        sent(turn, bot=sandbox_bot, private=True),
    ]

    assert found == [usual, even_if_open, SENT]
    assert len(sandbox.public_messages(number)) == found[:2].count(SENT)


@pytest.mark.parametrize(
    ("what", "marks"),
    [
        ("opens", {"status": "open"}),
        ("is_assigned", {"assignee": 2}),
        ("labels", {"pause": True}),
    ],
)
def test_what_the_flow_itself_did_does_not_silence_it(
    sandbox: SandboxChatwoot, sandbox_bot: Bot, what: str, marks: dict[str, Any]
) -> None:
    number = sandbox.start()
    turn = running_turn(sandbox, number, bot=sandbox_bot)
    Turn.objects.note_by_flow(turn.pk, **marks)
    human_acts(sandbox, number, what, bot=sandbox_bot)

    assert sent(turn, bot=sandbox_bot) == SENT


@pytest.mark.parametrize("even_if_open", [None, True])
def test_a_bot_for_notes_says_nothing_to_the_customer(
    sandbox: SandboxChatwoot, sandbox_bot: Bot, even_if_open: bool | None
) -> None:
    number = sandbox.start()
    turn = running_turn(sandbox, number, bot=sandbox_bot)
    sandbox_bot.reply_as = ReplyAs.PRIVATE_NOTE

    outcome = send_message(
        target_of(number, bot=sandbox_bot, conversation=turn.conversation, turn=turn),
        {"content": "A draft", "even_if_open": even_if_open},
    )

    assert (outcome.result, outcome.extra["private"]) == ("applied", True)
    assert "private notes only" in outcome.message
    assert sandbox.public_messages(number) == []
    assert sandbox.state(number)["messages"][-1]["content"] == "A draft"
    turn.refresh_from_db()
    assert turn.by_flow == {}


# --- That the flow has spoken ---------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "found", "spoke"),
    [
        ({"kind": "drop_after"}, ("failed", "outcome_unknown"), True),
        ({"kind": "drop"}, ("failed", "outcome_unknown"), True),
        ({"kind": "status", "status": 500}, ("failed", "outcome_unknown"), True),
        ({"kind": "status", "status": 422}, ("refused", "refused_by_chatwoot"), None),
        ({"kind": "status", "status": 429}, ("failed", "rate_limited"), None),
    ],
)
def test_the_flow_has_spoken_unless_the_message_surely_was_not_taken(
    sandbox: SandboxChatwoot,
    db: None,
    fault: dict[str, Any],
    found: tuple[str, str],
    spoke: bool | None,
) -> None:
    bot = make_bot(make_sandbox_account(sandbox, admin_token=""))
    number = sandbox.start()
    turn = running_turn(sandbox, number, bot=bot)
    sandbox.fault(times=100, body="{}", **fault)

    assert sent(turn, bot=bot, for_s=1.5) == found
    turn.refresh_from_db()
    assert turn.by_flow.get("spoke") is spoke


# --- Looking for what was sent --------------------------------------------------------


def test_finds_what_was_sent_in_the_history(
    sandbox: SandboxChatwoot, sandbox_bot: Bot
) -> None:
    number = sandbox.start()
    target = target_of(number, bot=sandbox_bot)
    message_id = send_message(target, {"content": "Hi"}).extra["message_id"]
    for index in range(25):
        sandbox.control(
            "POST",
            f"/conversations/{number}/customer-messages",
            {"content": f"message {index}"},
        )

    assert find_sent(target, target.mark) == message_id
    assert find_sent(target, uuid4()) is None


def test_finds_what_was_sent_among_the_webhooks(
    sandbox: SandboxChatwoot, db: None
) -> None:
    bot = make_bot(make_sandbox_account(sandbox, admin_token=""))
    number, mark = sandbox.start(), uuid4()
    target = target_of(number, bot=bot)
    make_event(
        bot.account,
        {
            "event": "message_created",
            "id": 77,
            "content_attributes": {"bridge_message_id": str(mark)},
            "conversation": {"id": number},
        },
    )

    assert find_sent(target, mark) == 77
    with pytest.raises(NotDone) as caught:
        find_sent(target, uuid4())
    assert (caught.value.code, caught.value.result) == ("outcome_unknown", "failed")


def test_does_not_guess_while_chatwoot_is_away(
    sandbox: SandboxChatwoot, sandbox_bot: Bot
) -> None:
    number = sandbox.start()
    sandbox.fault(kind="status", status=503, method="GET", times=100)

    with pytest.raises(NotDone) as caught:
        find_sent(target_of(number, bot=sandbox_bot), uuid4())

    assert caught.value.code == "outcome_unknown"
