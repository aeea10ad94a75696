"""`POST /chatwoot/copilot`: an answer on request, of which Chatwoot hears nothing."""

from __future__ import annotations

import json
import os
import runpy
from collections.abc import Iterator
from typing import Any

import pytest
from django.conf import settings
from django.db import OperationalError
from django.test import Client
from pytest_django import Settings

from bridge_project.celery import app as celery
from conversations import (
    callback_tokens,
    conversation_tokens,
    suggesting,
    trials,
    views,
)
from conversations.models import (
    AuditEntry,
    Bot,
    Conversation,
    DifyConversation,
    Trial,
    Turn,
)
from conversations.suggesting import Caller, NotSuggested, Wish
from conversations.tests.conftest import Platforms, answer_events
from conversations.tests.factories import (
    app_of,
    make_account,
    make_bot,
    make_conversation,
)
from dify_api.models import DifyApp

pytestmark = pytest.mark.django_db

PARAMETERS = {
    "user_input_form": [
        {"text-input": {"variable": name, "label": name, "max_length": 256}}
        for name in ("contact_name", "region", "conversation_id", "conversation_token")
    ],
    "file_upload": {},
}


@pytest.fixture
def dify(platforms: Platforms) -> Platforms:
    """An app that tells of its inputs; nothing is there of Chatwoot to be called."""
    platforms.wire.get("https://dify.test/v1/info", json={"name": "x", "mode": "chat"})
    platforms.wire.get("https://dify.test/v1/parameters", json=PARAMETERS)
    return platforms


@pytest.fixture
def token(bot: Bot) -> str:
    return callback_tokens.make(bot, by="tests")


@pytest.fixture
def eager() -> Iterator[None]:
    """Workers do at once what they are asked to."""
    celery.conf.task_always_eager = True
    yield
    celery.conf.task_always_eager = False


def ask(client: Client, body: Any, *, token: str = "", query: str = "") -> Any:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    text = body if isinstance(body, str) else json.dumps(body)
    return client.post(
        f"/chatwoot/copilot{query}",
        text,
        content_type="application/json",
        headers=headers,
    )


@pytest.mark.usefixtures("eager")
def test_returns_what_the_bot_would_say(
    client: Client, bot: Bot, token: str, dify: Platforms
) -> None:
    dify.dify_answers(*answer_events("Send it back within 30 days."))

    answer = ask(client, {"message": "May I return a tent?"}, token=token)

    assert answer.status_code == 200
    assert answer.json() == {
        "suggestion": "Send it back within 30 days.",
        "bot": "Nordbot",
        "conversation_id": None,
    }
    (asked,) = dify.asked
    assert asked["query"] == "May I return a tent?"
    # Chatwoot was not called, and nothing is owed to anybody.
    hosts = {str(call.request.url).split("/")[2] for call in dify.wire.calls}
    assert hosts == {"dify.test"}
    assert not Turn.objects.exists()
    # It is on record, and Dify is to forget it.
    trial = Trial.objects.get()
    assert (trial.status, trial.bot, trial.answer) == (
        "answered",
        bot,
        "Send it back within 30 days.",
    )
    assert trial.actor == f"copilot · {token[:16]}…"
    assert AuditEntry.objects.filter(verb="tried_bot", details__bot=bot.pk).count() == 1
    assert DifyConversation.objects.get().delete_wanted_at is not None


@pytest.mark.usefixtures("eager")
def test_a_conversations_values_are_lent_and_its_numbers_are_not(
    client: Client, bot: Bot, token: str, dify: Platforms
) -> None:
    bot.inputs = {**bot.inputs, "region": "conversation.custom_attributes.region"}
    bot.save()
    make_conversation(bot, contact_name="Anna", custom_attributes={"region": "North"})
    dify.dify_answers(*answer_events("Hello Anna"))

    answer = ask(
        client,
        {"message": "Hi", "conversation_id": "133", "inputs": {"region": "South"}},
        token=token,
    )

    assert answer.json()["conversation_id"] == 133
    inputs = dify.asked[0]["inputs"]
    assert isinstance(inputs, dict)
    assert (inputs["contact_name"], inputs["region"]) == ("Anna", "South")
    assert inputs["conversation_id"] == "0"
    # A token of the playground's, which opens nothing, and masked where it is kept.
    assert str(inputs["conversation_token"]) not in json.dumps(
        Trial.objects.get().inputs
    )


@pytest.mark.usefixtures("eager")
def test_without_a_conversation_no_customer_is_made_up(
    client: Client, bot: Bot, token: str, dify: Platforms
) -> None:
    dify.dify_answers(*answer_events("Hello"))

    answer = ask(client, {"message": "Hi", "inputs": {"region": "South"}}, token=token)

    assert answer.status_code == 200
    inputs = dify.asked[0]["inputs"]
    assert isinstance(inputs, dict)
    assert (inputs["contact_name"], inputs["region"]) == ("", "South")


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize(
    ("said", "suggested"),
    [
        (
            '{"text": "Which size?", "buttons": ["Small", "Large"]}',
            "Which size?\n\n1. Small\n2. Large",
        ),
        ('{"text": "Just a text"}', "Just a text"),
        ('{"buttons": ["Small", "Large"]}', "1. Small\n2. Large"),
        # Addresses of Dify without a host lead nowhere.
        ("Here:\n\n![x](/files/a.png?sign=1)\n\nBye", "Here:\n\nBye"),
        ("See ![size chart.png](/files/b?sign=1)", "See size chart.png"),
        ("Read [the invoice](/files/c.pdf?sign=1).", "Read the invoice."),
        ("![x](/files/a.png?sign=1)", "x"),
        (
            "![x](https://shop.test/a.png) `![y](/files/b)`",
            "![x](https://shop.test/a.png) `![y](/files/b)`",
        ),
    ],
)
def test_is_what_an_agent_would_read_in_a_note(
    client: Client, token: str, dify: Platforms, said: str, suggested: str
) -> None:
    dify.dify_answers(*answer_events(said))

    answer = ask(client, {"message": "Hi"}, token=token)

    assert answer.json()["suggestion"] == suggested


@pytest.mark.usefixtures("eager")
def test_an_accounts_webhook_token_asks_the_bot_of_the_inbox(
    client: Client, bot: Bot, dify: Platforms
) -> None:
    bot.account.webhook_token = "in-the-address"
    bot.account.save()
    make_account(account_id=9, webhook_token="another")
    own = make_bot(bot.account, name="Own", dify_app=app_of(bot))
    inbox = make_conversation(bot).inbox
    assert inbox is not None
    own.inboxes.set([inbox])
    dify.dify_answers(*answer_events("Hello"))
    dify.dify_answers(*answer_events("Hello"))
    dify.dify_answers(*answer_events("Hello"))

    def bot_of(body: Any) -> Any:
        answer = ask(client, {"message": "Hi", **body}, query="?token=in-the-address")
        return answer.json()["bot"]

    assert bot_of({}) == "Nordbot"
    assert bot_of({"conversation_id": 133}) == "Own"
    assert bot_of({"conversation_id": 133, "bot": "nordbot"}) == "Nordbot"


# --- Who may not ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("token", "query"),
    [
        ("", ""),
        ("", "?token="),
        ("", "?token=wrong"),
        ("bridge-bot-unknown", ""),
        ("bridge-conv-unknown", "?token=in-the-address"),
    ],
)
def test_is_never_open_to_the_world(
    client: Client, bot: Bot, settings: Settings, token: str, query: str
) -> None:
    settings.CALLBACK_AUTH = "none"
    bot.account.webhook_token = "in-the-address"
    bot.account.save()
    # An account without a webhook token is not opened by an empty one.
    make_account(account_id=9)

    answer = ask(client, {"message": "Hi"}, token=token, query=query)

    assert (answer.status_code, answer.json()["code"]) == (401, "not_authenticated")
    assert not Trial.objects.exists()


def test_a_flows_token_asks_nothing(client: Client, turn: Turn, bot: Bot) -> None:
    token = conversation_tokens.make(turn.conversation, bot=bot, turn=turn)

    assert ask(client, {"message": "Hi"}, token=token).status_code == 401


def test_a_bots_token_asks_no_other_bot(client: Client, bot: Bot, token: str) -> None:
    other = make_bot(bot.account, name="Other", dify_app=app_of(bot))

    answer = ask(client, {"message": "Hi", "bot": str(other.pk)}, token=token)

    assert (answer.status_code, answer.json()["code"]) == (403, "other_bot")


# --- What goes wrong ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("no json", "no JSON"),
        ("[" * 100_000, "no JSON"),
        ([], "JSON object"),
        ({}, "“message” is missing"),
        ({"message": "  "}, "“message” is missing"),
        ({"message": 5}, "“message” is missing"),
        ({"message": "x" * 20_001}, "longer than 20000"),
        ({"message": "x", "bot": True}, "“bot” must be"),
        ({"message": "x", "inputs": []}, "“inputs” must be"),
        ({"message": "x", "inputs": {"a": {}}}, "The input “a”"),
        ({"message": "x", "conversation_id": "abc"}, "“conversation_id” must be"),
        ({"message": "x", "conversation_id": 0}, "“conversation_id” must be"),
        ({"message": "x", "conversation_id": 2**70}, "“conversation_id” must be"),
    ],
)
def test_bad_input_is_told(client: Client, token: str, body: Any, told: str) -> None:
    answer = ask(client, body, token=token)

    assert (answer.status_code, answer.json()["status"]) == (400, "error")
    assert told in answer.json()["message"]
    assert not Trial.objects.exists()


def test_other_methods_are_none(client: Client) -> None:
    assert client.get("/chatwoot/copilot").status_code == 405


def test_unknown_bots_and_conversations_are_told(client: Client, bot: Bot) -> None:
    bot.account.webhook_token = "in-the-address"
    bot.account.save()

    def refused(**body: Any) -> tuple[int, str]:
        answer = ask(client, {"message": "x", **body}, query="?token=in-the-address")
        return answer.status_code, answer.json()["code"]

    assert refused(bot="Nobody") == (404, "no_bot")
    assert refused(conversation_id=7) == (404, "no_conversation")
    make_bot(bot.account, dify_app=None)
    assert refused(bot="Nordbot") == (400, "malformed")
    Bot.objects.update(provider="openai")
    assert refused() == (409, "not_dify")
    Bot.objects.update(provider="dify", dify_app=None)
    assert refused() == (409, "bot_has_no_app")
    Bot.objects.all().delete()
    assert refused() == (404, "no_bot")


def test_another_accounts_conversation_is_unknown(
    client: Client, token: str, bot: Bot
) -> None:
    make_conversation(make_bot(make_account(account_id=9), dify_app=app_of(bot)))

    answer = ask(client, {"message": "x", "conversation_id": 133}, token=token)

    assert answer.json()["code"] == "no_conversation"


@pytest.mark.usefixtures("eager")
def test_a_failing_dify_is_told(client: Client, token: str, dify: Platforms) -> None:
    dify.dify_answers(
        json={"code": "unauthorized", "message": "no", "status": 401}, status=401
    )

    answer = ask(client, {"message": "Hi"}, token=token)

    assert answer.status_code == 502
    assert "Dify gave no answer" in answer.json()["message"]
    assert "app-the-dify-key-000" not in answer.content.decode()
    assert DifyApp.objects.get().health == "refused"


def test_no_worker_is_told_and_the_question_withdrawn(bot: Bot) -> None:
    caller, wish = Caller(name="copilot", bot=bot), Wish(message="Hi")

    with pytest.raises(NotSuggested, match="no answer within 0 seconds") as caught:
        suggesting.suggest(wish, caller=caller, wake=lambda _: None, total_s=0.0)

    assert (caught.value.http_status, caught.value.code) == (504, "took_too_long")
    # A worker that comes late finds nothing to do.
    trial = Trial.objects.get()
    assert trial.status == "stopped"
    assert trials.run(trial.pk) == "not waiting, or already running"


def test_only_so_many_are_made_at_once(client: Client, token: str) -> None:
    taken = [
        views._places.acquire(blocking=False)
        for _ in range(settings.SUGGESTIONS_AT_ONCE)
    ]
    try:
        answer = ask(client, {"message": "Hi"}, token=token)
    finally:
        for _place in taken:
            views._places.release()

    assert (answer.status_code, answer.json()["code"]) == (429, "busy")
    # The places are free again.
    assert ask(client, {}, token=token).status_code == 400


def test_a_database_that_is_away_is_told(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*args: object, **kwargs: object) -> None:
        raise OperationalError

    monkeypatch.setattr("django.db.backends.utils.CursorWrapper.execute", away)

    answer = ask(client, {"message": "Hi"}, query="?token=x")

    assert (answer.status_code, answer.json()["code"]) == (503, "database_unavailable")


def test_conversations_are_left_as_they_are(bot: Bot) -> None:
    before = make_conversation(bot)
    caller = Caller(name="copilot", bot=bot)
    wish = Wish(message="Hi", conversation_id=133)

    with pytest.raises(NotSuggested):
        suggesting.suggest(wish, caller=caller, wake=lambda _: None, total_s=0.0)

    after = Conversation.objects.get()
    assert (after.status, after.updated_at) == (before.status, before.updated_at)


@pytest.mark.parametrize("threads", ["4", "16", "24", "96", "200"])
def test_webhooks_find_a_thread_whatever_flows_and_agents_ask(
    threads: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    environ = {"WEB_THREADS": threads}
    monkeypatch.setattr(os, "environ", environ)

    runpy.run_path(str(settings.BASE_DIR / "gunicorn.conf.py"))

    taken = int(environ["CALLBACKS_AT_ONCE"]) + int(environ["SUGGESTIONS_AT_ONCE"])
    assert 0 < taken < int(threads)
