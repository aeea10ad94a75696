"""Which HTTP status a flow gets, and that it can read every answer."""

from __future__ import annotations

from io import BytesIO

import pytest
import responses
from django.db import connection
from django.test import Client

from bridge_project.lib.types import JsonObject
from conversations import conversation_tokens
from conversations.actions import messages
from conversations.models import (
    Bot,
    Callback,
    Conversation,
    DifyConversation,
    Turn,
)
from conversations.tests import flows
from conversations.tests.conftest import CONVERSATION_URL, Platforms
from conversations.tests.factories import (
    app_of,
    make_account,
    make_bot,
    make_conversation,
)
from conversations.tests.flows import Flow
from conversations.tests.sandbox_chatwoot import SandboxChatwoot

pytestmark = pytest.mark.django_db


@pytest.fixture
def flow(bot: Bot, conversation: Conversation) -> Flow:
    return flows.with_conversation_token(conversation, bot=bot)


@pytest.fixture
def strict(bot: Bot) -> Bot:
    bot.strict_statuses = True
    bot.save()
    return bot


TOGGLE_STATUS = f"{CONVERSATION_URL}/toggle_status"


def test_a_wish_that_cannot_be_fulfilled_is_200(
    flow: Flow, platforms: Platforms
) -> None:
    flow.post("toggle-status/current", {"status": "closed"})
    assert (flow.status, flow.answer["status"]) == (200, "error")
    assert flow.answer["code"] == "unknown_status"
    assert "resolved" in flow.answer["message"]


def test_with_strict_statuses_it_is_422(
    flow: Flow, strict: Bot, platforms: Platforms
) -> None:
    flow.post("toggle-status/current", {"status": "closed"})
    assert (flow.status, flow.answer["code"]) == (422, "unknown_status")
    assert flows.last_callback().http_status == 422


def test_a_conversation_that_is_gone(flow: Flow, platforms: Platforms) -> None:
    platforms.chatwoot_answers_reads(
        json={"error": "Resource could not be found"}, status=404
    )
    flow.post("toggle-status/current", {"status": "open"})
    assert (flow.status, flow.answer["code"]) == (200, "conversation_not_found")
    assert platforms.calls("POST", "/toggle_status") == 0


def test_with_strict_statuses_it_is_404(
    flow: Flow, strict: Bot, platforms: Platforms
) -> None:
    platforms.chatwoot_answers_reads(
        json={"error": "Resource could not be found"}, status=404
    )
    flow.post("toggle-status/current", {"status": "open"})
    assert (flow.status, flow.answer["code"]) == (404, "conversation_not_found")


def test_chatwoots_refusal_reaches_the_flow_in_its_words(
    flow: Flow, platforms: Platforms
) -> None:
    platforms.wire.remove(responses.POST, TOGGLE_STATUS)
    platforms.wire.post(
        TOGGLE_STATUS, json={"error": "Conversation is locked"}, status=422
    )
    flow.post("toggle-status/current", {"status": "open"})
    assert (flow.status, flow.answer["code"]) == (200, "refused_by_chatwoot")
    assert "Conversation is locked" in flow.answer["message"]


def test_a_passing_trouble_is_waited_for(flow: Flow, platforms: Platforms) -> None:
    platforms.wire.remove(responses.POST, TOGGLE_STATUS)
    platforms.wire.post(TOGGLE_STATUS, status=503)
    platforms.wire.post(TOGGLE_STATUS, status=502)
    platforms.wire.post(TOGGLE_STATUS, json={"payload": {"success": True}})
    flow.post("toggle-status/current", {"status": "open"})
    assert flow.answer["status"] == "success"
    calls = flows.last_callback().calls
    assert [call["status"] for call in calls] == [200, 503, 502, 200]


def test_an_unknown_conversation_is_asked_of_chatwoot(
    bot: Bot, platforms: Platforms
) -> None:
    """No webhook told of it yet; the first callback may be faster."""
    platforms.chatwoot_answers_reads(
        json={
            "id": 133,
            "inbox_id": 11,
            "status": "pending",
            "meta": {"sender": {"id": 640}, "channel": "Channel::WebWidget"},
        }
    )
    flow = flows.with_bot_token(bot)
    flow.post("toggle-status/133", {"status": "open"})
    assert flow.answer["status"] == "success"
    made = Conversation.objects.get(chatwoot_conversation_id=133)
    assert made.status == "pending"
    assert made.inbox is not None
    assert made.inbox.chatwoot_inbox_id == 11


def test_an_unknown_conversation_that_is_not_there(
    bot: Bot, platforms: Platforms
) -> None:
    platforms.chatwoot_answers_reads(json={"error": "not found"}, status=404)
    flow = flows.with_bot_token(bot)
    flow.post("toggle-status/133", {"status": "open"})
    assert (flow.status, flow.answer["code"]) == (200, "conversation_not_found")
    row = flows.last_callback()
    assert (row.status, row.conversation) == (Callback.Status.ERROR, None)
    assert not Conversation.objects.exists()


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"{", "malformed"),
        (b"\xff\xfe{}", "malformed"),
        (b'{"status": "op', "malformed"),
        (b"[" * 100_000, "malformed"),
        (b'["open"]', "malformed"),
        (b"12", "malformed"),
        (b'{"a": ' + b"9" * 5000 + b"}", "malformed"),
    ],
)
def test_a_body_that_is_no_object_is_400(
    flow: Flow, platforms: Platforms, body: bytes, code: str
) -> None:
    flow.post("toggle-status/current", body)
    assert (flow.status, flow.answer["code"]) == (400, code)
    assert flow.answer["status"] == "error"
    assert not platforms.wire.calls


def test_a_body_that_is_too_large_is_413(flow: Flow, platforms: Platforms) -> None:
    flow.post("toggle-status/current", b'{"note": "' + b"x" * 1024 * 1024 + b'"}')
    assert (flow.status, flow.answer["code"]) == (413, "too_large")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "nothing-here", 404),
        ("GET", "toggle-status/133", 405),
        ("DELETE", "conversations/133", 405),
        ("PUT", "conversations/133", 405),
    ],
)
def test_what_is_not_there_is_said_in_json(
    flow: Flow, method: str, path: str, status: int
) -> None:
    flow.call(method, path)
    assert flow.status == status
    assert flow.answer["status"] == "error"
    assert flow.answer["code"]
    assert flow.answer["message"]


@pytest.mark.parametrize(
    "text",
    ["nul \x00 in it", "half \ud83d character", "😀", "line\u2028end", "a" * 20_000],
)
def test_every_text_can_be_noted(sandbox: SandboxChatwoot, text: str) -> None:
    bot = sandbox.bot()
    conversation = sandbox.known_conversation(bot)
    flow = flows.with_conversation_token(conversation, bot=bot)
    flow.patch("conversations/current", {"note": text})
    assert flow.answer["status"] == "success", flow.answer
    last = sandbox.messages(conversation.chatwoot_conversation_id)[-1]
    assert last["private"] is True
    assert last["content"][:3] == text[:3].replace("\ud83d", "\ufffd")


def test_a_row_tells_the_whole_story(
    bot: Bot, conversation: Conversation, flow: Flow, platforms: Platforms
) -> None:
    turn = flows.make_running_turn(conversation, bot)
    flow.post("toggle-status/current", {"status": "open", "unknown": "ignored"})
    row = flows.last_callback()
    assert (row.bot, row.conversation, row.turn) == (bot, conversation, turn)
    assert row.run == turn.runs.get()
    assert (row.operation, row.arguments) == ("set_status", {"status": "open"})
    assert (row.before, row.after) == ({"status": "pending"}, {"status": "open"})
    assert (row.status, row.http_status) == (Callback.Status.SUCCESS, 200)
    assert row.duration_ms is not None
    assert [call["path"].rsplit("/", 1)[-1] for call in row.calls] == [
        "133",
        "toggle_status",
    ]
    turn.refresh_from_db()
    assert turn.by_flow["status"] == "open"


def test_the_flow_of_another_bot_is_not_this_turns(
    bot: Bot, conversation: Conversation, platforms: Platforms
) -> None:
    turn = flows.make_running_turn(conversation, bot)
    other = make_bot(bot.account, name="Other")
    flow = flows.with_bot_token(other)
    flow.post("toggle-status/133", {"status": "open"})
    assert flow.answer["status"] == "success"
    turn.refresh_from_db()
    assert turn.by_flow == {}
    assert flows.last_callback().turn is None


def test_tokens_are_kept_nowhere(
    bot: Bot, conversation: Conversation, platforms: Platforms
) -> None:
    flow = flows.with_conversation_token(conversation, bot=bot)
    token = flow.token
    path = f"{CONVERSATION_URL}/messages"
    platforms.wire.remove(responses.POST, path)
    platforms.wire.post(path, json={"error": f"no {token}"}, status=422)
    flow.patch(
        "conversations/current",
        {"note": f"my token is {token}", "conversation_token": token},
    )
    assert flow.answer["status"] == "error"
    row = Callback.objects.values().get()
    assert token not in repr(row)
    assert token not in repr(flow.answer)


def test_a_turn_that_waits_is_not_the_callers(
    bot: Bot, conversation: Conversation, flow: Flow, platforms: Platforms
) -> None:
    """A turn that has not asked Dify yet has no flow."""
    turn = flows.make_running_turn(conversation, bot)
    Turn.objects.filter(pk=turn.pk).update(
        status=Turn.Status.COLLECTING, started_at=None
    )
    flow.post("toggle-status/current", {"status": "open"})
    assert flows.last_callback().turn is None


def test_another_bot_of_the_same_account_does_not_see_a_foreign_conversation(
    platforms: Platforms,
) -> None:
    first = make_bot()
    conversation = make_conversation(first)
    assert conversation.inbox is not None
    first.inboxes.add(conversation.inbox)
    second = make_bot(first.account, name="Second")
    elsewhere = conversation.account.inboxes.create(chatwoot_inbox_id=99, name="Other")
    second.inboxes.add(elsewhere)
    flow = flows.with_bot_token(second)
    flow.get("conversations/133")
    assert (flow.status, flow.answer["code"]) == (403, "not_this_bots_inbox")


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("update-custom-attributes/current", b'{"custom_attributes": {"x": 1e999}}'),
        ("conversations/current/typing", b'{"typing": 1e999}'),
        ("toggle-status/current", b'{"snoozed_until": -1e999}'),
    ],
)
def test_numbers_without_end_are_nothing(
    flow: Flow, platforms: Platforms, path: str, body: bytes
) -> None:
    flow.post(path, body)
    assert (flow.status, flow.answer.get("skipped")) == (200, True)


def test_a_dify_id_with_nul_is_unknown(flow: Flow, bot: Bot) -> None:
    flows.with_bot_token(bot)
    asking = flows.with_bot_token(bot)
    asking.get("conversations/dify/a%00b")
    assert (asking.status, asking.answer["code"]) == (200, "conversation_not_found")


@pytest.mark.parametrize(
    ("path", "body", "ignored", "meant"),
    [
        ("toggle-status/current", {"staus": "open"}, "staus", "status"),
        ("conversations/current", {"priorty": "low"}, "priorty", "priority"),
    ],
)
def test_misspelt_arguments_are_named(
    flow: Flow,
    platforms: Platforms,
    path: str,
    body: JsonObject,
    ignored: str,
    meant: str,
) -> None:
    flow.call("PATCH" if path.startswith("conv") else "POST", path, body)
    assert flow.answer["ignored"] == [ignored]
    assert f"Did you mean “{meant}”?" in flow.answer["message"]


def test_near_names_are_understood(sandbox: SandboxChatwoot) -> None:
    bot = sandbox.bot()
    conversation = sandbox.known_conversation(bot)
    flow = flows.with_conversation_token(conversation, bot=bot)
    assert flow.post("assign-team/current", {"team_id": 1})["team"] == "support"
    flow.post("conversations/current/messages", {"message": "Hello"})
    assert flow.answer["status"] == "success"
    assert "ignored" not in flow.answer


def test_what_was_partly_refused_is_partial(sandbox: SandboxChatwoot) -> None:
    bot = sandbox.bot()
    conversation = sandbox.known_conversation(bot)
    flow = flows.with_conversation_token(conversation, bot=bot)
    wish = {"topic": "Weather", "order_number": "A-1"}
    flow.post("update-custom-attributes/current", wish)
    assert flow.answer["status"] == "partial"
    assert "Return" in flow.answer["refused"]["topic"]
    assert "topic" in flow.answer["message"]
    flow.patch(
        "conversations/current", {"custom_attributes": {**wish, "language": "de"}}
    )
    assert flow.answer["status"] == "partial"
    number = conversation.chatwoot_conversation_id
    shown = sandbox.conversation(number)["custom_attributes"]
    assert shown == {"order_number": "A-1", "language": "de"}


def test_refusals_before_the_begin_are_kept(
    bot: Bot, conversation: Conversation, flow: Flow, platforms: Platforms
) -> None:
    flow.post("toggle-status/999", {"status": "open", "note": "somebody else's"})
    row = flows.last_callback()
    assert (row.status, row.code) == (Callback.Status.ERROR, "other_conversation")
    assert (row.operation, row.http_status) == ("set_status", 403)
    assert (row.bot, row.conversation, row.arguments) == (bot, conversation, {})
    flow.post("toggle-status/current", b"{")
    assert flows.last_callback().code == "malformed"


class _SlowBody(BytesIO):
    """Notes whether a connection to PostgreSQL is held while the body comes in."""

    held: bool | None = None

    def read(self, size: int | None = -1) -> bytes:
        self.held = connection.connection is not None
        return super().read(size)


@pytest.mark.django_db(transaction=True)
def test_nobody_holds_a_connection_while_a_body_comes_in() -> None:
    """Ten slow senders would take them all, and webhooks would get 500."""
    bot = make_bot()
    token = conversation_tokens.make(make_conversation(bot), bot=bot, turn=None)
    body = _SlowBody(b'{"status": "None"}')
    response = Client().generic(
        "POST",
        "/api/v1/toggle-status/current",
        content_type="application/json",
        headers={"Authorization": f"Bearer {token}"},
        **{"wsgi.input": body, "CONTENT_LENGTH": "18"},  # type: ignore[arg-type]
    )
    assert response.status_code == 200
    assert body.held is False


def test_a_late_call_of_another_run_does_not_answer_this_one(
    bot: Bot, conversation: Conversation, platforms: Platforms
) -> None:
    earlier = flows.make_running_turn(conversation, bot)
    token = conversation_tokens.make(conversation, bot=bot, turn=earlier)
    Turn.objects.filter(pk=earlier.pk).update(status=Turn.Status.ANSWERED)
    turn = flows.make_running_turn(conversation, bot)
    late = Flow(token)
    late.post("conversations/current/messages", {"content": "late words"})
    assert late.answer["status"] == "success", late.answer
    turn.refresh_from_db()
    assert "spoke" not in turn.by_flow


def test_a_token_that_dify_froze_is_as_good_as_new(
    bot: Bot, conversation: Conversation, platforms: Platforms
) -> None:
    """Dify 0.15 goes on with the inputs of the conversation's first message."""
    first = flows.make_running_turn(conversation, bot)
    token = conversation_tokens.make(conversation, bot=bot, turn=first)
    first.runs.update(dify_conversation_id="frozen")
    DifyConversation.objects.create(
        conversation=conversation,
        app=app_of(bot),
        dify_conversation_id="frozen",
        dify_user="u",
    )
    Turn.objects.filter(pk=first.pk).update(status=Turn.Status.ANSWERED)
    turn = flows.make_running_turn(conversation, bot)
    Flow(token).post("conversations/current/messages", {"content": "my words"})
    turn.refresh_from_db()
    assert turn.by_flow["spoke"] is True


def test_a_dify_conversation_of_another_account_is_not_found(
    bot: Bot, conversation: Conversation
) -> None:
    stranger = make_bot(make_account(account_id=7))
    theirs = make_conversation(stranger, chatwoot_conversation_id=133)
    DifyConversation.objects.create(
        conversation=theirs,
        app=app_of(stranger),
        dify_conversation_id="theirs",
        dify_user="u",
    )
    flow = flows.with_bot_token(bot)
    flow.get("conversations/dify/theirs")
    assert flow.answer["code"] == "conversation_not_found"


def test_a_single_failure_does_not_hide_an_unknown_conversation(
    bot: Bot, platforms: Platforms
) -> None:
    platforms.wire.remove(responses.GET, CONVERSATION_URL)
    platforms.wire.get(CONVERSATION_URL, status=503)
    shown = {"id": 133, "inbox_id": 11, "status": "pending", "meta": {}}
    platforms.wire.get(CONVERSATION_URL, json=shown)
    flow = flows.with_bot_token(bot)
    flow.post("toggle-status/133", {"status": "open"})
    assert flow.answer["status"] == "success"


def test_a_conversation_that_no_token_may_read_can_be_opened(
    sandbox: SandboxChatwoot,
) -> None:
    """A bot's own read fails once a team is set (reference/chatwoot.md 5.1)."""
    bot = make_bot(sandbox.account(admin_token=""))
    number = sandbox.start()
    sandbox.api("POST", f"/conversations/{number}/assignments", {"team_id": 1})
    flow = flows.with_bot_token(bot)
    flow.post(f"toggle-status/{number}", {"status": "open"})
    assert flow.answer["status"] == "success", flow.answer
    assert sandbox.conversation(number)["status"] == "open"


def test_what_was_refused_of_a_stranger_is_not_kept(bot: Bot, wire: object) -> None:
    """Erasing a contact could not find the row."""
    flow = flows.with_bot_token(bot)
    flow.post(
        "conversations",
        {"contact_id": "", "contact_email": "anna@example.com", "message": "Hi"},
    )
    assert flow.answer["status"] == "error"
    assert "anna" not in repr(Callback.objects.values().get())


def test_a_message_that_is_not_there_is_nobodys_answer(
    sandbox: SandboxChatwoot, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a run that ends without a text would leave the customer in silence."""
    monkeypatch.setattr(messages, "LOOK_AFTER_S", (0.05,))
    bot = sandbox.bot()
    conversation = sandbox.known_conversation(bot)
    turn = flows.make_running_turn(conversation, bot)
    fault = {"kind": "status", "path": "/messages$", "times": 9, "status": 502}
    sandbox.control("POST", "/faults", fault)
    flow = flows.with_conversation_token(conversation, bot=bot)
    flow.post("conversations/current/messages", {"content": "Hello"})
    assert flow.answer["code"] == "outcome_unknown"
    turn.refresh_from_db()
    assert not turn.by_flow.get("spoke")
