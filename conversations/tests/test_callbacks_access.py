"""Who may call, and which conversation they reach."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from django.core.signing import TimestampSigner
from django.utils import timezone
from pytest_django import Settings

from chatwoot_api.models import Inbox
from conversations import callback_tokens, conversation_tokens
from conversations.models import Bot, Callback, CallbackToken, Conversation
from conversations.tests import flows
from conversations.tests.factories import make_account, make_bot, make_conversation
from conversations.tests.flows import Flow
from conversations.tests.sandbox_chatwoot import SandboxChatwoot

pytestmark = pytest.mark.django_db


@pytest.fixture
def bot(sandbox: SandboxChatwoot) -> Bot:
    return sandbox.bot()


@pytest.fixture
def conversation(sandbox: SandboxChatwoot, bot: Bot) -> Conversation:
    return sandbox.known_conversation(bot)


@pytest.fixture
def other(sandbox: SandboxChatwoot, bot: Bot) -> Conversation:
    """Another customer's conversation in the same inbox."""
    return sandbox.known_conversation(bot)


def status_of(sandbox: SandboxChatwoot, conversation: Conversation) -> str:
    shown = sandbox.conversation(conversation.chatwoot_conversation_id)
    return str(shown["status"])


def test_without_a_token_nothing_is_done(
    sandbox: SandboxChatwoot, conversation: Conversation
) -> None:
    flow = Flow()
    number = conversation.chatwoot_conversation_id
    flow.post(f"toggle-status/{number}", {"status": "open"})
    assert flow.status == 401
    assert flow.answer["code"] == "not_authenticated"
    assert "Authorization" in flow.answer["message"]
    assert status_of(sandbox, conversation) == "pending"
    assert not Callback.objects.exists()


@pytest.mark.parametrize(
    "token", ["bridge-bot-nobody-knows-it", "bridge-conv-forged.x.y", "secret"]
)
def test_a_wrong_token_is_refused(conversation: Conversation, token: str) -> None:
    flow = Flow(token)
    flow.post("toggle-status/current", {"status": "open"})
    assert (flow.status, flow.answer["code"]) == (401, "not_authenticated")
    assert token not in json.dumps(flow.answer)


def test_the_bots_token_reaches_each_conversation_of_its_inboxes(
    sandbox: SandboxChatwoot, bot: Bot, conversation: Conversation, other: Conversation
) -> None:
    flow = flows.with_bot_token(bot)
    for row in (conversation, other):
        number = row.chatwoot_conversation_id
        flow.post(f"toggle-status/{number}", {"status": "open"})
        assert flow.answer["status"] == "success"
        assert status_of(sandbox, row) == "open"


def test_the_token_may_come_in_a_header_of_its_own(
    sandbox: SandboxChatwoot, bot: Bot, conversation: Conversation
) -> None:
    token = callback_tokens.make(bot, by="test")
    flow = Flow(headers={"X-Bridge-Token": token})
    number = conversation.chatwoot_conversation_id
    assert flow.post(f"toggle-status/{number}", {"status": "open"})["after"] == "open"


def test_a_bots_token_does_not_reach_another_bots_inbox(
    sandbox: SandboxChatwoot, bot: Bot, conversation: Conversation
) -> None:
    elsewhere = Inbox.objects.remember(
        bot.account, chatwoot_id=2, name="API", channel="Channel::Api"
    )
    bot.inboxes.add(elsewhere)
    flow = flows.with_bot_token(bot)
    number = conversation.chatwoot_conversation_id
    flow.post(f"toggle-status/{number}", {"status": "open"})
    assert (flow.status, flow.answer["code"]) == (403, "not_this_bots_inbox")
    assert status_of(sandbox, conversation) == "pending"


def test_a_bots_token_does_not_reach_another_account(
    sandbox: SandboxChatwoot, bot: Bot, conversation: Conversation
) -> None:
    stranger = make_bot(make_account(account_id=7, base_url=sandbox.base_url))
    flow = flows.with_bot_token(stranger)
    number = conversation.chatwoot_conversation_id
    flow.post(f"toggle-status/{number}", {"status": "open"})
    assert flow.answer["status"] == "error"
    assert status_of(sandbox, conversation) == "pending"


def test_an_ended_token_opens_nothing_and_the_new_one_does(
    bot: Bot, conversation: Conversation
) -> None:
    flow = flows.with_bot_token(bot)
    newer = flows.with_bot_token(bot)
    old = CallbackToken.objects.earliest("pk")
    number = conversation.chatwoot_conversation_id
    callback_tokens.end(old, now=timezone.now(), after_s=3600, by="test")
    assert flow.get(f"conversations/{number}")["status"] == "success"
    callback_tokens.end(old, now=timezone.now(), by="test")
    assert flow.get(f"conversations/{number}")["code"] == "not_authenticated"
    assert newer.get(f"conversations/{number}")["status"] == "success"


def test_a_conversation_token_alone_is_enough_for_its_conversation(
    sandbox: SandboxChatwoot, bot: Bot, conversation: Conversation
) -> None:
    flow = flows.with_conversation_token(conversation, bot=bot)
    flow.post("toggle-status/current", {"status": "open"})
    assert flow.answer["conversation_id"] == conversation.chatwoot_conversation_id
    assert status_of(sandbox, conversation) == "open"
    assert flows.last_callback().caller == Callback.Caller.CONVERSATION_TOKEN


@pytest.mark.parametrize("where", ["path", "query", "body"])
def test_a_conversation_token_does_not_reach_another_conversation(
    sandbox: SandboxChatwoot,
    bot: Bot,
    conversation: Conversation,
    other: Conversation,
    where: str,
) -> None:
    flow = flows.with_conversation_token(conversation, bot=bot)
    number = other.chatwoot_conversation_id
    said = len(sandbox.messages(number))
    if where == "path":
        flow.post(f"toggle-status/{number}", {"status": "open"})
    elif where == "query":
        flow.post(f"send-chatwoot-message?conversation_id={number}&message=hi")
    else:
        flow.post("send-chatwoot-message", {"conversation_id": number, "message": "x"})
    assert (flow.status, flow.answer["code"]) == (403, "other_conversation")
    assert status_of(sandbox, other) == "pending"
    assert len(sandbox.messages(number)) == said


def test_with_both_tokens_only_the_tokens_conversation_is_reached(
    sandbox: SandboxChatwoot, bot: Bot, conversation: Conversation, other: Conversation
) -> None:
    flow = flows.with_bot_token(bot)
    token = conversation_tokens.make(conversation, bot=bot, turn=None)
    number = other.chatwoot_conversation_id
    flow.post(f"toggle-status/{number}", {"status": "open"}, X_Conversation_Token=token)
    assert (flow.status, flow.answer["code"]) == (403, "other_conversation")
    flow.post("toggle-status/None", {"status": "open", "conversation_token": token})
    assert flow.answer["conversation_id"] == conversation.chatwoot_conversation_id
    assert status_of(sandbox, conversation) == "open"
    assert status_of(sandbox, other) == "pending"


def test_a_token_that_was_left_empty_counts_as_none(
    bot: Bot, conversation: Conversation
) -> None:
    flow = flows.with_bot_token(bot)
    number = conversation.chatwoot_conversation_id
    for empty in ("", "None", "{{#start.conversation_token#}}"):
        flow.get(f"conversations/{number}", X_Conversation_Token=empty)
        assert flow.answer["status"] == "success"


def test_an_old_conversation_token_says_so(
    bot: Bot,
    conversation: Conversation,
    settings: Settings,
) -> None:
    flow = flows.with_conversation_token(conversation, bot=bot)
    settings.CONVERSATION_TOKEN_MAX_AGE_S = -1
    flow.get("conversations/current")
    assert (flow.status, flow.answer["code"]) == (401, "token_expired")


def test_a_token_signed_for_another_purpose_is_none(conversation: Conversation) -> None:
    forged = TimestampSigner().sign_object([1, conversation.pk, 1, None])
    flow = Flow(f"bridge-conv-{forged}")
    flow.get("conversations/current")
    assert flow.status == 401


def test_a_conversation_token_of_another_bot_does_not_come_along(
    sandbox: SandboxChatwoot, bot: Bot, conversation: Conversation
) -> None:
    other_bot = make_bot(bot.account, name="Other")
    flow = flows.with_bot_token(other_bot)
    token = conversation_tokens.make(conversation, bot=bot, turn=None)
    flow.get("conversations/current", X_Conversation_Token=token)
    assert flow.status == 403


# --- What a customer may try (reference/dify.md section 8a) ---------------------------


def rendered(template: str, *, query: str) -> str:
    """Dify fills the template as text; nothing is escaped."""
    return template.replace("{{#sys.query#}}", query)


def test_a_customers_text_cannot_bring_another_conversation_into_a_body(
    sandbox: SandboxChatwoot, bot: Bot, conversation: Conversation, other: Conversation
) -> None:
    number, victim = (
        conversation.chatwoot_conversation_id,
        other.chatwoot_conversation_id,
    )
    said = len(sandbox.messages(victim))
    body = rendered(
        f'{{"conversation_id": {number}, "message": "{{{{#sys.query#}}}}"}}',
        query=f'hi", "conversation_id": "{victim}',
    )
    assert json.loads(body)["conversation_id"] == str(victim)
    flow = flows.with_conversation_token(conversation, bot=bot)
    flow.post("send-chatwoot-message", body)
    assert (flow.status, flow.answer["code"]) == (403, "other_conversation")
    without = flows.with_bot_token(bot)
    without.post("send-chatwoot-message", body)
    assert (without.status, without.answer["code"]) == (400, "malformed")
    assert "conversation token" in without.answer["message"]
    assert len(sandbox.messages(victim)) == said


def test_a_number_in_the_path_is_not_overruled_by_the_body(
    sandbox: SandboxChatwoot, bot: Bot, conversation: Conversation, other: Conversation
) -> None:
    number, victim = (
        conversation.chatwoot_conversation_id,
        other.chatwoot_conversation_id,
    )
    body = rendered(
        '{"note": "{{#sys.query#}}"}',
        query=f'hi", "conversation_id": {victim}, "account_id": "99',
    )
    flow = flows.with_bot_token(bot)
    flow.patch(f"conversations/{number}", body)
    assert flow.answer["conversation_id"] == number
    assert sandbox.messages(number)[-1]["content"] == "hi"
    assert len(sandbox.messages(victim)) == 1


def test_a_customers_text_cannot_bring_a_second_number_into_a_query(
    sandbox: SandboxChatwoot, bot: Bot, conversation: Conversation, other: Conversation
) -> None:
    number, victim = (
        conversation.chatwoot_conversation_id,
        other.chatwoot_conversation_id,
    )
    flow = flows.with_bot_token(bot)
    path = rendered(
        f"send-chatwoot-message?conversation_id={number}&message={{{{#sys.query#}}}}",
        query=f"hi&conversation_id={victim}",
    )
    flow.post(path)
    assert (flow.status, flow.answer["code"]) == (400, "malformed")
    assert len(sandbox.messages(number)) == len(sandbox.messages(victim)) == 1


@pytest.mark.parametrize(
    "given",
    [
        "../{victim}",
        "..%2F{victim}",
        "%2e%2e/{victim}",
        "{number}/../{victim}",
        "{number}%2F..%2F{victim}",
        "{number};{victim}",
        "{number},{victim}",
        "{number}%00",
        "-{victim}",
        "{victim}.0",
        "0x1",
        "१२",
        "99999999999999999999999999",
    ],
)
def test_a_strange_number_in_the_path_reaches_nothing(
    sandbox: SandboxChatwoot,
    bot: Bot,
    conversation: Conversation,
    other: Conversation,
    given: str,
) -> None:
    number, victim = (
        conversation.chatwoot_conversation_id,
        other.chatwoot_conversation_id,
    )
    flow = flows.with_conversation_token(conversation, bot=bot)
    text = given.format(number=number, victim=victim)
    flow.post(f"toggle-status/{text}", {"status": "open"})
    assert flow.status in (400, 403, 404)
    assert flow.answer["status"] == "error"
    assert status_of(sandbox, conversation) == "pending"
    assert status_of(sandbox, other) == "pending"


# --- CALLBACK_AUTH=none ---------------------------------------------------------------


def test_a_closed_network_may_do_without_tokens(
    sandbox: SandboxChatwoot, conversation: Conversation, settings: Settings
) -> None:
    settings.CALLBACK_AUTH = "none"
    number = conversation.chatwoot_conversation_id
    flow = Flow()
    flow.post(f"toggle-status/{number}", {"status": "open"})
    assert flow.answer["new_status"] == "open"
    flow.post(
        "send-chatwoot-message",
        {"conversation_id": number, "message": "Note", "is_private": True},
    )
    assert flow.answer["status"] == "success"
    callback = flows.last_callback()
    assert callback.caller == Callback.Caller.NOBODY
    assert callback.bot is not None


def test_a_wrong_token_is_refused_even_there(
    conversation: Conversation, settings: Settings
) -> None:
    settings.CALLBACK_AUTH = "none"
    flow = Flow("bridge-bot-nobody-knows-it")
    flow.get(f"conversations/{conversation.chatwoot_conversation_id}")
    assert flow.status == 401


def test_without_tokens_an_ambiguous_number_is_refused(
    sandbox: SandboxChatwoot, conversation: Conversation, settings: Settings
) -> None:
    settings.CALLBACK_AUTH = "none"
    number = conversation.chatwoot_conversation_id
    twin = make_bot(make_account(account_id=7, base_url=sandbox.base_url))
    make_conversation(twin, chatwoot_conversation_id=number)
    flow = Flow()
    flow.post(f"toggle-status/{number}", {"status": "open"})
    assert flow.status == 400
    assert "which of the Chatwoot accounts" in flow.answer["message"]
    assert status_of(sandbox, conversation) == "pending"


def test_last_use_is_noted_once_a_minute(bot: Bot, conversation: Conversation) -> None:
    flow = flows.with_bot_token(bot)
    flow.get(f"conversations/{conversation.chatwoot_conversation_id}")
    used = CallbackToken.objects.get().last_used_at
    assert used is not None
    assert timezone.now() - used < timedelta(minutes=1)
    flow.get(f"conversations/{conversation.chatwoot_conversation_id}")
    assert CallbackToken.objects.get().last_used_at == used
