"""The typing sign is seen for as long as a run lasts, and not any longer."""

from __future__ import annotations

import json
from datetime import timedelta
from threading import Event, Thread
from typing import Any

import pytest
from django.utils import timezone

from bridge_project.lib.types import JsonObject
from chatwoot_api.client import ChatwootClient
from conversations import pipeline
from conversations.answers import Typing, typing_sign
from conversations.answers.typing_sign import Refresher
from conversations.models import Bot, Turn
from conversations.tests.conftest import CONVERSATION_URL, Platforms, answer_events

pytestmark = pytest.mark.django_db


def signs(platforms: Platforms) -> list[str]:
    return [
        json.loads(call.request.body or "{}")["typing_status"]
        for call in platforms.wire.calls
        if str(call.request.url).endswith("/toggle_typing_status")
    ]


def test_it_is_shown_during_a_run_and_hidden_before_the_answer(
    turn: Turn, platforms: Platforms
) -> None:
    seen: list[list[str]] = []
    platforms.dify_answers(
        *answer_events("Hello"), meanwhile=lambda: seen.append(signs(platforms))
    )

    pipeline.run(turn.pk)

    assert seen == [["on"]]
    assert signs(platforms) == ["on", "off"]


@pytest.mark.parametrize(
    "answer", [{"status": 500, "body": "boom"}, {"body": RuntimeError("a fault")}]
)
def test_it_is_hidden_after_a_failure(
    turn: Turn, platforms: Platforms, answer: dict[str, Any]
) -> None:
    platforms.dify_answers(**answer)

    pipeline.run(turn.pk)

    assert signs(platforms)[0] == "on"
    assert signs(platforms)[-1] == "off"


def test_the_attempt_after_a_crash_hides_it(turn: Turn, platforms: Platforms) -> None:
    """The worker died with the sign on; by now a human has the conversation."""
    Turn.objects.filter(pk=turn.pk).update(
        status="running",
        attempts=1,
        started_at=timezone.now(),
        lease_expires_at=timezone.now() - timedelta(seconds=1),
    )
    reply: JsonObject = {
        "id": 9002,
        "message_type": 1,
        "sender": {"id": 2, "type": "user"},
    }
    platforms.chatwoot_shows(status="pending", last=reply)

    pipeline.run(turn.pk)

    turn.refresh_from_db()
    assert turn.status == "skipped"
    assert signs(platforms) == ["off"]


def test_who_gets_a_note_sees_none(turn: Turn, platforms: Platforms, bot: Bot) -> None:
    bot.reply_as = "private_note"
    bot.save()
    platforms.dify_answers(*answer_events("Hello"))

    pipeline.run(turn.pk)

    assert signs(platforms) == []


def test_it_is_shown_again_while_a_run_lasts(
    turn: Turn, platforms: Platforms, monkeypatch: pytest.MonkeyPatch
) -> None:
    refresher = Refresher(every_s=0.01, after_s=0.0)
    monkeypatch.setattr(typing_sign, "refresher", refresher)
    shown = Event()

    def toggle(_request: Any) -> tuple[int, dict[str, str], str]:
        if signs(platforms).count("on") >= 2:
            shown.set()
        return 200, {}, ""

    url = f"{CONVERSATION_URL}/toggle_typing_status"
    platforms.wire.remove("POST", url)
    platforms.wire.add_callback("POST", url, callback=toggle)
    platforms.dify_answers(
        *answer_events("Hello"), meanwhile=lambda: shown.wait(timeout=20)
    )

    pipeline.run(turn.pk)

    assert shown.is_set()
    assert signs(platforms)[-1] == "off"
    assert "off" not in signs(platforms)[:-1]
    assert refresher._signs == set()


def test_showing_it_again_never_comes_after_hiding_it(
    turn: Turn, platforms: Platforms, bot: Bot
) -> None:
    client = ChatwootClient(bot.account)
    sign = Typing(turn, bot=bot, client=client)
    sign.show()
    held, goes_on = Event(), Event()

    def slow(_request: Any) -> tuple[int, dict[str, str], str]:
        held.set()
        goes_on.wait(timeout=20)
        return 200, {}, ""

    url = f"{CONVERSATION_URL}/toggle_typing_status"
    platforms.wire.remove("POST", url)
    platforms.wire.add_callback("POST", url, callback=slow)
    again = Thread(target=lambda: sign.show_again(client=client))
    again.start()
    assert held.wait(timeout=20)
    hides = Thread(target=sign.hide)
    hides.start()
    goes_on.set()
    again.join(timeout=20)
    hides.join(timeout=20)
    sign.show_again(client=client)

    assert signs(platforms) == ["on", "on", "off"]


def test_one_that_waits_for_more_messages_is_not_shown_for_ever(
    turn: Turn, platforms: Platforms, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run, in another process, takes it away: nobody here would hear of it."""
    refresher = Refresher(every_s=0.01, after_s=0.0)
    monkeypatch.setattr(typing_sign, "refresher", refresher)

    pipeline.show_waiting(turn, on=True)

    assert signs(platforms) == ["on"]
    assert refresher._signs == set()
