"""The same request twice: one effect, the same answer."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from uuid import uuid4

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connections
from django.db.models import F
from pytest_django import Settings

from bridge_project.lib.types import JsonObject
from conversations.callbacks import journal, places
from conversations.models import Bot, Callback, Conversation
from conversations.tests import flows
from conversations.tests.factories import make_bot
from conversations.tests.sandbox_chatwoot import SandboxChatwoot

pytestmark = pytest.mark.django_db


@pytest.fixture
def bot(sandbox: SandboxChatwoot) -> Bot:
    return sandbox.bot()


@pytest.fixture
def conversation(sandbox: SandboxChatwoot, bot: Bot) -> Conversation:
    return sandbox.known_conversation(bot)


def said(sandbox: SandboxChatwoot, conversation: Conversation) -> list[str]:
    rows = sandbox.messages(conversation.chatwoot_conversation_id)
    return [row["content"] for row in rows if row["message_type"] == 1]


def age(row: Callback, seconds: int) -> None:
    Callback.objects.filter(pk=row.pk).update(
        created_at=F("created_at") - timedelta(seconds=seconds)
    )


def test_the_same_message_of_the_same_run_is_sent_once(
    sandbox: SandboxChatwoot, bot: Bot, conversation: Conversation
) -> None:
    flow = flows.with_conversation_token(conversation, bot=bot)
    body = {"message": "On its way"}
    path = "send-chatwoot-message?conversation_id=current"
    first = flow.post(path, body)
    second = flow.post(path, body)
    assert said(sandbox, conversation) == ["On its way"]
    assert second == {**first, "repeated": True}


def test_another_message_is_no_repeat(
    sandbox: SandboxChatwoot, bot: Bot, conversation: Conversation
) -> None:
    flow = flows.with_conversation_token(conversation, bot=bot)
    for text in ("one", "two", "one"):
        flow.post("conversations/current/messages", {"content": text})
    assert said(sandbox, conversation) == ["one", "two"]


def test_a_later_run_may_say_the_same(
    sandbox: SandboxChatwoot, bot: Bot, conversation: Conversation
) -> None:
    flow = flows.with_conversation_token(conversation, bot=bot)
    flow.post("conversations/current/messages", {"content": "Hello"})
    flows.make_running_turn(conversation, bot)
    flow.post("conversations/current/messages", {"content": "Hello"})
    assert said(sandbox, conversation) == ["Hello", "Hello"]


def test_after_a_minute_it_is_a_new_request(
    sandbox: SandboxChatwoot, bot: Bot, conversation: Conversation
) -> None:
    flow = flows.with_conversation_token(conversation, bot=bot)
    flow.post("conversations/current/messages", {"content": "Hello"})
    age(flows.last_callback(), 61)
    flow.post("conversations/current/messages", {"content": "Hello"})
    assert said(sandbox, conversation) == ["Hello", "Hello"]


def test_an_idempotency_key_holds_for_a_day(
    sandbox: SandboxChatwoot, bot: Bot, conversation: Conversation
) -> None:
    flow = flows.with_conversation_token(conversation, bot=bot)
    path, body = "conversations/current/messages", {"content": "Hello"}
    flow.post(path, body, Idempotency_Key="abc")
    age(flows.last_callback(), 3600)
    assert flow.post(path, body, Idempotency_Key="abc")["repeated"] is True
    assert said(sandbox, conversation) == ["Hello"]
    age(Callback.objects.earliest("pk"), 24 * 3600)
    assert "repeated" not in flow.post(path, body, Idempotency_Key="abc")
    assert said(sandbox, conversation) == ["Hello", "Hello"]


def test_a_key_makes_the_same_text_two_messages(
    sandbox: SandboxChatwoot, bot: Bot, conversation: Conversation
) -> None:
    flow = flows.with_conversation_token(conversation, bot=bot)
    for key in ("a", "b"):
        flow.post(
            "conversations/current/messages", {"content": "Hi"}, Idempotency_Key=key
        )
    assert said(sandbox, conversation) == ["Hi", "Hi"]


def test_a_key_belongs_to_one_request(
    sandbox: SandboxChatwoot, bot: Bot, conversation: Conversation
) -> None:
    flow = flows.with_conversation_token(conversation, bot=bot)
    path = "conversations/current/messages"
    flow.post(path, {"content": "one"}, Idempotency_Key="abc")
    flow.post(path, {"content": "two"}, Idempotency_Key="abc")
    assert (flow.status, flow.answer["code"]) == (200, "key_reused")
    assert said(sandbox, conversation) == ["one"]


def test_a_state_that_was_changed_since_is_set_again(
    sandbox: SandboxChatwoot, bot: Bot, conversation: Conversation
) -> None:
    flow = flows.with_conversation_token(conversation, bot=bot)
    for status in ("open", "pending", "open"):
        flow.post("toggle-status/current", {"status": status})
        assert "repeated" not in flow.answer
    number = conversation.chatwoot_conversation_id
    assert sandbox.conversation(number)["status"] == "open"


def test_a_refusal_is_repeated_without_asking_again(
    sandbox: SandboxChatwoot, bot: Bot, conversation: Conversation
) -> None:
    flow = flows.with_conversation_token(conversation, bot=bot)
    first = flow.post("assign-team/current", {"team": "nobody"})
    second = flow.post("assign-team/current", {"team": "nobody"})
    assert second == {**first, "repeated": True}


def test_what_failed_for_a_moment_is_tried_again(
    sandbox: SandboxChatwoot, bot: Bot, conversation: Conversation
) -> None:
    flow = flows.with_conversation_token(conversation, bot=bot)
    sandbox.control("PATCH", "/settings", {"bot_token_refused": True})
    flow.post("conversations/current/messages", {"content": "Hello"})
    assert flow.answer["code"] == "token_refused"
    sandbox.control("PATCH", "/settings", {"bot_token_refused": False})
    bot.account.refresh_from_db()
    bot.account.forget_health()
    bot.account.save()
    flow.post("conversations/current/messages", {"content": "Hello"})
    assert flow.answer["status"] == "success"
    assert said(sandbox, conversation) == ["Hello"]


def test_a_request_that_was_cut_off_may_be_made_again(
    sandbox: SandboxChatwoot, bot: Bot, conversation: Conversation
) -> None:
    flow = flows.with_conversation_token(conversation, bot=bot)
    flow.post("toggle-priority/current", {"priority": "low"})
    row = flows.last_callback()
    Callback.objects.filter(pk=row.pk).update(
        status=Callback.Status.RUNNING, duration_ms=None
    )
    age(row, 100)
    flow.post("toggle-priority/current", {"priority": "low"})
    assert flow.answer["status"] == "success"
    assert "repeated" not in flow.answer


@pytest.mark.parametrize("key", ["x" * 256, "y" * 5000])
def test_a_key_that_is_too_long_is_refused(
    bot: Bot, conversation: Conversation, key: str
) -> None:
    flow = flows.with_conversation_token(conversation, bot=bot)
    flow.post("toggle-priority/current", {"priority": "low"}, Idempotency_Key=key)
    assert (flow.status, flow.answer["code"]) == (400, "malformed")


@pytest.mark.django_db(transaction=True)
def test_repeats_at_the_same_time_are_sent_once(
    sandbox: SandboxChatwoot, bot: Bot, conversation: Conversation
) -> None:
    token = flows.with_conversation_token(conversation, bot=bot).token

    def send(_number: int) -> dict[str, object]:
        try:
            flow = flows.Flow(token)
            return flow.post("conversations/current/messages", {"content": "Once"})
        finally:
            connections.close_all()

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(send, range(8)))
    assert said(sandbox, conversation) == ["Once"]
    assert {answer["status"] for answer in answers} == {"success"}
    assert len({answer["message_id"] for answer in answers}) == 1
    assert sum("repeated" in answer for answer in answers) == 7


@pytest.fixture
def few_places(settings: Settings) -> Iterator[None]:
    settings.CALLBACKS_AT_ONCE = 1
    places._places.cache_clear()
    yield
    places._places.cache_clear()


def test_more_callbacks_than_places_are_told_to_wait(
    sandbox: SandboxChatwoot, bot: Bot, conversation: Conversation, few_places: None
) -> None:
    """Webhooks must find a thread, however many callbacks wait for Chatwoot."""
    flow = flows.with_conversation_token(conversation, bot=bot)
    with places.taken() as has_place:
        assert has_place
        flow.post("toggle-status/current", {"status": "open"})
    assert (flow.status, flow.answer["code"]) == (200, "busy")
    flow.post("toggle-status/current", {"status": "open"})
    assert flow.answer["status"] == "success"


@pytest.mark.parametrize("kind", ["bot token", "conversation tokens"])
def test_a_key_counts_within_its_conversation(
    sandbox: SandboxChatwoot, bot: Bot, conversation: Conversation, kind: str
) -> None:
    """Flows use constant keys, such as “handover”."""
    other = sandbox.known_conversation(bot)
    for row in (conversation, other):
        flow = flows.with_bot_token(bot)
        if kind == "conversation tokens":
            flow = flows.with_conversation_token(row, bot=bot)
        number = row.chatwoot_conversation_id
        flow.post(
            f"assign-team/{number}", {"team": "support"}, Idempotency_Key="handover"
        )
        assert flow.answer["conversation_id"] == number
        assert "repeated" not in flow.answer
        assert sandbox.conversation(number)["meta"]["team"]["name"] == "support"


def test_a_partial_answer_that_failed_for_a_moment_is_tried_again(
    sandbox: SandboxChatwoot, bot: Bot, conversation: Conversation
) -> None:
    flow = flows.with_conversation_token(conversation, bot=bot)
    number = conversation.chatwoot_conversation_id
    sandbox.control(
        "POST",
        "/faults",
        {"kind": "status", "path": "/toggle_status$", "times": 50, "status": 503},
    )
    wish = {"priority": "high", "status": "open"}
    flow.patch("conversations/current", wish, Idempotency_Key="k")
    assert flow.answer["status"] == "partial"
    assert flow.answer["fields"]["status"]["code"] == "chatwoot_unavailable"
    sandbox.control("DELETE", "/faults")
    flow.patch("conversations/current", wish, Idempotency_Key="k")
    assert flow.answer["status"] == "success"
    assert "repeated" not in flow.answer
    assert sandbox.conversation(number)["status"] == "open"


def cut_off(row: Callback) -> None:
    """The process was killed after its call to Chatwoot, and a while ago."""
    Callback.objects.filter(pk=row.pk).update(
        status=Callback.Status.RUNNING, duration_ms=None, answer={}
    )
    age(row, 100)


def test_a_message_that_a_killed_process_sent_is_not_sent_again(
    sandbox: SandboxChatwoot, bot: Bot, conversation: Conversation
) -> None:
    flow = flows.with_conversation_token(conversation, bot=bot)
    path, body = "conversations/current/messages", {"content": "Paid"}
    first = flow.post(path, body, Idempotency_Key="pay")
    cut_off(flows.last_callback())
    flow.post(path, body, Idempotency_Key="pay")
    assert flow.answer["status"] == "success"
    assert flow.answer["message_id"] == first["message_id"]
    assert said(sandbox, conversation) == ["Paid"]


def test_a_message_that_a_killed_process_did_not_send_is_sent(
    sandbox: SandboxChatwoot, bot: Bot, conversation: Conversation
) -> None:
    flow = flows.with_conversation_token(conversation, bot=bot)
    path, body = "conversations/current/messages", {"content": "Paid"}
    flow.post(path, body, Idempotency_Key="pay")
    row = flows.last_callback()
    cut_off(row)
    Callback.objects.filter(pk=row.pk).update(mark=uuid4())
    flow.post(path, body, Idempotency_Key="pay")
    assert flow.answer["status"] == "success"
    assert said(sandbox, conversation) == ["Paid", "Paid"]


def test_the_rest_of_a_change_that_was_cut_off_is_done_without_the_note(
    sandbox: SandboxChatwoot, bot: Bot, conversation: Conversation
) -> None:
    flow = flows.with_conversation_token(conversation, bot=bot)
    wish = {"note": "Call back", "status": "open"}
    flow.patch("conversations/current", wish, Idempotency_Key="k")
    cut_off(flows.last_callback())
    number = conversation.chatwoot_conversation_id
    path = f"/conversations/{number}/toggle_status"
    sandbox.api("POST", path, {"status": "pending"})
    flow.patch("conversations/current", wish, Idempotency_Key="k")
    assert sandbox.conversation(number)["status"] == "open"
    assert said(sandbox, conversation) == ["Call back"]


def test_two_files_of_one_name_are_two_messages(
    sandbox: SandboxChatwoot, bot: Bot, conversation: Conversation
) -> None:
    flow = flows.with_conversation_token(conversation, bot=bot)
    for content in (b"one", b"two!!", b"one"):
        flow.upload(
            "conversations/current/messages",
            {"content": "Here"},
            SimpleUploadedFile("scan.pdf", content, "application/pdf"),
        )
        assert flow.answer["status"] == "success", flow.answer
    assert said(sandbox, conversation) == ["Here", "Here"]
    files = [
        message["attachments"]
        for message in sandbox.messages(conversation.chatwoot_conversation_id)
        if message.get("attachments")
    ]
    assert len(files) == 2


def test_a_request_that_is_being_served_keeps_its_key(
    sandbox: SandboxChatwoot,
    bot: Bot,
    conversation: Conversation,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Older than a minute, and not yet taken for cut off: the repeat waits for it."""
    monkeypatch.setattr(journal, "WAIT_FOR_TWIN_S", 0.2)
    flow = flows.with_conversation_token(conversation, bot=bot)
    flow.post("conversations/current/messages", {"content": "Hello"})
    row = flows.last_callback()
    Callback.objects.filter(pk=row.pk).update(status=Callback.Status.RUNNING)
    age(row, 70)
    flow.post("conversations/current/messages", {"content": "Hello"})
    assert flow.answer["code"] == "in_progress"
    assert said(sandbox, conversation) == ["Hello"]


def test_a_note_is_not_doubled_when_the_rest_fails_for_a_moment(
    sandbox: SandboxChatwoot, bot: Bot, conversation: Conversation
) -> None:
    flow = flows.with_conversation_token(conversation, bot=bot)
    wish = {"note": "Call back", "status": "open"}
    flow.patch("conversations/current", wish, Idempotency_Key="k")
    cut_off(flows.last_callback())
    number = conversation.chatwoot_conversation_id
    path = f"/conversations/{number}/toggle_status"
    sandbox.api("POST", path, {"status": "pending"})
    fault = {"kind": "status", "path": "/toggle_status$", "times": 50, "status": 503}
    sandbox.control("POST", "/faults", fault)
    for _time in range(2):
        flow.patch("conversations/current", wish, Idempotency_Key="k")
        assert flow.answer["status"] == "partial"
        assert flow.answer["fields"]["note"]["result"] == "applied"
    assert said(sandbox, conversation) == ["Call back"]


def test_the_rest_is_done_although_nobody_can_look_for_the_note(
    sandbox: SandboxChatwoot,
) -> None:
    bot = make_bot(sandbox.account(admin_token=""))
    conversation = sandbox.known_conversation(bot)
    flow = flows.with_conversation_token(conversation, bot=bot)
    wish = {"note": "Call back", "status": "open"}
    flow.patch("conversations/current", wish, Idempotency_Key="k")
    cut_off(flows.last_callback())
    number = conversation.chatwoot_conversation_id
    path = f"/conversations/{number}/toggle_status"
    sandbox.api("POST", path, {"status": "pending"})
    flow.patch("conversations/current", wish, Idempotency_Key="k")
    assert flow.answer["status"] == "partial"
    assert flow.answer["fields"]["note"]["code"] == "outcome_unknown"
    assert sandbox.conversation(number)["status"] == "open"
    assert said(sandbox, conversation) == ["Call back"]


@pytest.mark.parametrize(
    ("answer", "may"),
    [
        ({"status": "error", "code": "busy"}, True),
        ({"status": "error", "code": "unknown_team"}, False),
        (
            {
                "status": "error",
                "code": "chatwoot_unavailable",
                "fields": {
                    "priority": {"result": "failed", "code": "chatwoot_unavailable"},
                    "note": {"result": "failed", "code": "outcome_unknown"},
                },
            },
            False,
        ),
        (
            {
                "status": "partial",
                "fields": {
                    "note": {"result": "applied"},
                    "status": {"result": "failed", "code": "chatwoot_unavailable"},
                },
            },
            False,
        ),
    ],
)
def test_what_may_be_asked_for_again(answer: JsonObject, may: bool) -> None:
    assert journal._may_be_repeated(answer) is may
