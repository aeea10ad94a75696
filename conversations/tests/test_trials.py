"""Questions in the playground, over real HTTP with the sandbox's Dify."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from threading import Thread
from uuid import uuid4

import pytest
from django.db import connection
from django.test import Client
from django.utils import timezone

from conversations import (
    callback_tokens,
    deletion,
    erasure,
    removal,
    retention,
    tasks,
    trials,
)
from conversations.conversation_tokens import PLAYGROUND
from conversations.models import (
    AuditEntry,
    Bot,
    Conversation,
    DifyConversation,
    PipelineRun,
    Retention,
    Trial,
    Turn,
)
from conversations.models.trial import PLAYGROUND_USER
from conversations.tests.conftest import Queue
from conversations.tests.factories import (
    make_app,
    make_bot,
    make_conversation,
    make_turn,
)
from conversations.tests.sandbox_chatwoot import SandboxChatwoot
from dify_api.models import DifyApp
from local_stack.testing import wait_until

pytestmark = pytest.mark.django_db


@pytest.fixture
def app(sandbox: SandboxChatwoot, db: None) -> DifyApp:
    return make_app(
        base_url=f"{sandbox.base_url}/v1",
        api_key="app-sandbox-advanced-chat",
        parameters_read_at=None,
        mode="",
    )


@pytest.fixture
def bot(sandbox: SandboxChatwoot, app: DifyApp) -> Bot:
    return make_bot(sandbox.account(), dify_app=app)


def asked(bot: Bot, question: str = "Where is my order?", **more: object) -> Trial:
    """Ask, and run it as a worker would."""
    trial = trials.ask(bot, question, actor="lena", **more)  # type: ignore[arg-type]
    trials.run(trial.pk)
    trial.refresh_from_db()
    return trial


def test_an_answer_comes_with_all_that_led_to_it(
    bot: Bot, sandbox: SandboxChatwoot
) -> None:
    trial = asked(bot)

    assert trial.status == "answered"
    assert "Hello Alex Example! You asked: “Where is my order?”." in trial.answer
    assert trial.inputs["sent"]["contact_name"] == "Alex Example"
    assert trial.inputs["sent"]["conversation_token"] == "[secret]"
    names = [row["event"] for row in trial.events]
    assert names[0] == "workflow_started"
    assert names.count("message") == 1
    assert {"message_end", "workflow_finished"} <= set(names)
    message = next(row for row in trial.events if row["event"] == "message")
    assert message["count"] > 1
    assert message["text"] == trial.answer[:300]
    assert trial.first_text_ms is not None
    assert trial.duration_ms is not None
    assert trial.first_text_ms <= trial.duration_ms
    assert trial.total_tokens
    assert trial.finished_at is not None
    assert (trial.lease, trial.lease_expires_at) == (None, None)
    assert sandbox.calls() == []


def test_a_question_and_its_answer_are_nowhere_but_in_the_trial(bot: Bot) -> None:
    trial = asked(bot)

    [entry] = AuditEntry.objects.all()
    assert (entry.verb, entry.actor) == ("tried_bot", "lena")
    assert entry.details == {"bot": bot.pk, "trial": trial.pk}
    assert Turn.objects.count() == PipelineRun.objects.count() == 0


def test_the_talk_goes_on_in_one_dify_conversation(bot: Bot) -> None:
    first = asked(bot)

    second = asked(bot, "And now?", talk=first.talk)

    [memory] = DifyConversation.objects.all()
    assert first.dify_conversation == second.dify_conversation == memory
    assert memory.conversation is None
    assert memory.dify_user == f"{PLAYGROUND_USER}{first.talk}"
    assert asked(bot).dify_conversation != memory


def test_a_talk_that_dify_forgot_begins_anew(bot: Bot) -> None:
    first = asked(bot, "/forget")

    second = asked(bot, "And now?", talk=first.talk)

    assert second.status == "answered"
    assert second.dify_conversation != first.dify_conversation
    assert second.inputs["notes"] == [
        "Dify no longer knew the talk; a new one was started."
    ]


def test_values_of_a_conversation_are_sent_but_not_its_numbers(bot: Bot) -> None:
    conversation = make_conversation(bot, labels=["vip"])

    trial = asked(bot, conversation=conversation)

    sent = trial.inputs["sent"]
    assert (sent["contact_name"], sent["labels"]) == ("misty-harbor-412", "vip")
    assert {name: value for name, value in sent.items() if value in (133, 640)} == {}
    assert (trial.inputs["conversation_id"], trial.inputs["contact_id"]) == (
        conversation.pk,
        640,
    )


def test_typed_values_win_but_never_over_what_leads_to_a_conversation(
    bot: Bot,
) -> None:
    bot.inputs = {
        "contact_name": "contact.name",
        "chatwoot_conversation_id": "conversation.id",
        "conversation_token": "bridge.conversation_token",
    }
    bot.save()
    typed = {
        "contact_name": "Zoe",
        "language": "ru",
        "chatwoot_conversation_id": "133",
        "conversation_token": "mine",
    }

    sent = asked(bot, inputs=typed).inputs["sent"]

    assert (sent["contact_name"], sent["language"]) == ("Zoe", "ru")
    assert sent["conversation_token"] == "[secret]"
    assert str(sent.get("chatwoot_conversation_id", "0")) == "0"


def test_a_workflow_takes_the_question_as_an_input(bot: Bot, app: DifyApp) -> None:
    app.api_key = "app-sandbox-workflow"
    app.save()

    trial = asked(bot)

    assert trial.status == "answered"
    assert "Where is my order?" in trial.answer
    assert trial.inputs["sent"]["query"] == "Where is my order?"
    assert trial.dify_conversation is None


def test_an_agents_tools_are_kept(bot: Bot, app: DifyApp) -> None:
    app.api_key = "app-sandbox-agent-chat"
    app.save()

    trial = asked(bot)

    assert trial.status == "answered"
    tools = [step["tool"] for step in trial.inputs["steps"] if step["tool"]]
    assert tools
    assert any(row["event"] == "agent_thought" for row in trial.events)


def test_thinking_is_kept_apart(bot: Bot) -> None:
    trial = asked(bot, "/think")

    assert trial.thinking
    assert "<think>" not in trial.answer


@pytest.mark.parametrize(
    ("question", "code"),
    [("/quota", "model_quota"), ("/http 502", "unavailable"), ("/cut", "stream_cut")],
)
def test_a_failure_is_told_in_a_sentence(bot: Bot, question: str, code: str) -> None:
    trial = asked(bot, question)

    assert trial.status == "failed"
    assert trial.inputs["error_code"] == code
    assert trial.error
    assert trial.finished_at is not None


def test_a_refused_key_is_noted_at_the_app(bot: Bot, app: DifyApp) -> None:
    app.api_key = "app-of-somebody-else"
    app.save()

    trial = asked(bot)

    assert (trial.status, trial.inputs["error_code"]) == ("failed", "unauthorized")
    app.refresh_from_db()
    assert app.health == DifyApp.Health.REFUSED


@pytest.mark.parametrize(
    ("question", "sentence"),
    [
        ("  \n", "Type a question first."),
        ("x" * 20_001, "The question is longer than 20000 characters."),
    ],
)
def test_what_nobody_can_answer_is_not_asked(
    bot: Bot, question: str, sentence: str
) -> None:
    with pytest.raises(trials.CannotAsk) as caught:
        trials.ask(bot, question, actor="lena")

    assert str(caught.value).startswith(sentence)
    assert not Trial.objects.exists()
    assert not AuditEntry.objects.exists()


def test_a_bot_without_an_app_cannot_be_asked(sandbox: SandboxChatwoot) -> None:
    bot = make_bot(sandbox.account(), dify_app=None)

    with pytest.raises(trials.CannotAsk) as caught:
        trials.ask(bot, "Hello", actor="lena")

    assert "The bot has no Dify app" in str(caught.value)


def test_one_question_at_a_time(bot: Bot) -> None:
    first = trials.ask(bot, "Hello", actor="lena")

    with pytest.raises(trials.CannotAsk) as caught:
        trials.ask(bot, "Hello?", actor="lena", talk=first.talk)

    assert "has no answer yet" in str(caught.value)
    assert Trial.objects.count() == AuditEntry.objects.count() == 1


def test_a_talk_is_its_owners(bot: Bot) -> None:
    first = asked(bot)

    for by, of in [("olga", bot), ("lena", make_bot(bot.account))]:
        with pytest.raises(trials.CannotAsk):
            trials.ask(of, "Hello", actor=by, talk=first.talk)

    assert Trial.objects.count() == 1


def test_a_question_runs_once(bot: Bot) -> None:
    trial = asked(bot)
    before = Trial.objects.values().get()

    assert trials.run(trial.pk) == "not waiting, or already running"
    assert Trial.objects.values().get() == before


# --- While it runs --------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_the_answer_is_seen_as_it_comes_and_can_be_stopped(
    bot: Bot, sandbox: SandboxChatwoot
) -> None:
    trial = trials.ask(bot, "/slow 40", actor="lena")
    thread = in_thread(lambda: trials.run(trial.pk))

    def shown() -> Trial:
        return Trial.objects.get(pk=trial.pk)

    wait_until(lambda: bool(shown().answer), patience_s=20, what="a partial answer")
    partial = shown()
    assert partial.status == "running"
    assert partial.first_text_ms is not None
    assert [row["event"] for row in partial.events][-1] == "message"
    assert trials.stop(trial, now=timezone.now()) is True
    assert trials.stop(trial, now=timezone.now()) is False
    stopped = shown()
    thread.join(20)

    assert not thread.is_alive()
    assert stopped.status == "stopped"
    assert stopped.answer
    assert shown() == stopped
    assert shown().status == "stopped"
    stops = [row for row in wire(sandbox) if row.endswith("/stop")]
    assert len(stops) == 1


def in_thread(work: Callable[[], object]) -> Thread:
    def run() -> None:
        try:
            work()
        finally:
            connection.close()

    thread = Thread(target=run)
    thread.start()
    return thread


def wire(sandbox: SandboxChatwoot) -> list[str]:
    rows = sandbox.control("GET", "/wire?brief=1")
    rows = rows["entries"] if isinstance(rows, dict) else rows
    return [f"{row['method']} {row['path']}" for row in rows]


def test_what_is_stopped_before_a_worker_has_it_is_not_asked(
    bot: Bot, sandbox: SandboxChatwoot
) -> None:
    trial = trials.ask(bot, "Hello", actor="lena")
    trials.stop(trial, now=timezone.now())

    trials.run(trial.pk)

    trial.refresh_from_db()
    assert trial.status == "stopped"
    assert not [row for row in wire(sandbox) if "/v1/" in row]


def test_a_dead_workers_question_fails_and_is_not_asked_again(
    bot: Bot, sandbox: SandboxChatwoot
) -> None:
    now = timezone.now()
    trial = trials.ask(bot, "Hello", actor="lena")
    rows = Trial.objects.filter(pk=trial.pk)
    rows.update(status="running", lease=uuid4(), lease_expires_at=now)
    assert trials.due(now - timedelta(seconds=1)) == []
    assert trials.due(now + timedelta(seconds=1)) == [trial.pk]

    trials.run(trial.pk)

    trial.refresh_from_db()
    assert (trial.status, trial.inputs["error_code"]) == ("failed", "worker_lost")
    assert trials.due(now + timedelta(days=1)) == []
    assert not [row for row in wire(sandbox) if "/v1/" in row]


def test_what_redis_forgot_is_found(bot: Bot) -> None:
    trial = trials.ask(bot, "Hello", actor="lena")

    assert trials.due(trial.created_at + timedelta(seconds=4)) == []
    assert trials.due(trial.created_at + timedelta(seconds=6)) == [trial.pk]


def test_a_task_runs_it(bot: Bot, queue: Queue) -> None:
    trial = trials.ask(bot, "Hello", actor="lena")
    tasks.wake_trial(trial.pk)

    assert queue.tasks() == [("run_trial", [trial.pk])]
    tasks.run_trial(trial.pk)
    trial.refresh_from_db()
    assert trial.status == "answered"


def test_customers_have_the_places_first(bot: Bot, app: DifyApp) -> None:
    now = timezone.now()
    app.max_concurrent_runs = 1
    app.save()
    turn = make_turn(
        make_conversation(bot),
        bot,
        status="running",
        lease=uuid4(),
        lease_expires_at=now + timedelta(minutes=1),
    )
    PipelineRun.objects.create(
        turn=turn, dify_app=app, last_message_id=1, status="running"
    )
    trial = trials.ask(bot, "Hello", actor="lena")

    trials.run(trial.pk)
    trial.refresh_from_db()
    assert trial.status == "waiting"

    Trial.objects.update(created_at=now - timedelta(minutes=3))
    trials.run(trial.pk)
    trial.refresh_from_db()
    assert (trial.status, trial.inputs["error_code"]) == ("failed", "no_place")


# --- What stays of it -----------------------------------------------------------------


def test_ending_a_talk_has_dify_forget_it(bot: Bot) -> None:
    trial = asked(bot)
    other = asked(bot)

    assert trials.end(trial.talk, now=timezone.now()) == 1

    assert deletion.delete_due(now=timezone.now()) == {
        "deleted": 1,
        "failed": 0,
        "put_off": 0,
    }
    memories = {row.pk: row.deleted_at for row in DifyConversation.objects.all()}
    assert trial.dify_conversation_id is not None
    assert memories[trial.dify_conversation_id] is not None
    assert other.dify_conversation_id is not None
    assert memories[other.dify_conversation_id] is None
    with pytest.raises(trials.CannotAsk):
        trials.ask(bot, "And now?", actor="lena", talk=trial.talk)


def test_an_old_talk_is_deleted_in_dify_also_without_its_bot(bot: Bot) -> None:
    trial = asked(bot)
    bot.delete()
    customers = DifyConversation.objects.create(
        app=make_app(),
        dify_conversation_id="of-a-customer",
        dify_user="chatwoot-1",
        last_used_at=timezone.now() - timedelta(days=40),
    )
    now = timezone.now()

    assert deletion.want_old_talks(now=now + timedelta(hours=23)) == 0
    assert deletion.want_old_talks(now=now + timedelta(hours=25)) == 1

    wanted = DifyConversation.objects.exclude(delete_wanted_at=None)
    assert [row.dify_user for row in wanted] == [f"{PLAYGROUND_USER}{trial.talk}"]
    customers.refresh_from_db()
    assert customers.delete_wanted_at is None


def test_erasing_a_contact_forgets_the_talks_that_were_told_of_it(bot: Bot) -> None:
    conversation = make_conversation(bot)
    told = asked(bot, conversation=conversation)
    later = asked(bot, "And now?", talk=told.talk)
    other = asked(bot)
    assert erasure.stored(bot.account, 640).counts["trials"] == 2
    wish = erasure.request(bot.account, 640, by="lena")

    wish = erasure.carry_on(wish.pk, now=timezone.now())

    assert list(Trial.objects.values_list("pk", flat=True)) == [other.pk]
    assert wish.counts["trials"] == 2
    memory = later.dify_conversation
    assert memory is not None
    memory.refresh_from_db()
    assert memory.erasure == wish
    assert memory.delete_wanted_at is not None
    kept = other.dify_conversation
    assert kept is not None
    kept.refresh_from_db()
    assert kept.delete_wanted_at is None


def test_an_erasure_finds_talks_from_before_the_contact_was_known(bot: Bot) -> None:
    conversation = make_conversation(bot, chatwoot_contact_id=None)
    asked(bot, conversation=conversation)
    other = asked(bot)
    Conversation.objects.update(chatwoot_contact_id=640)
    assert erasure.stored(bot.account, 640).counts["trials"] == 1
    wish = erasure.request(bot.account, 640, by="lena")

    wish = erasure.carry_on(wish.pk, now=timezone.now())

    assert list(Trial.objects.values_list("pk", flat=True)) == [other.pk]
    assert wish.counts["trials"] == 1
    assert DifyConversation.objects.filter(erasure=wish).count() == 1


@pytest.mark.parametrize(("text_days", "age_days"), [(3, 3), (None, 30), (90, 30)])
def test_trials_are_kept_for_days(
    bot: Bot, text_days: int | None, age_days: int
) -> None:
    Retention.objects.create(account=bot.account, text_days=text_days)
    now = timezone.now()
    old, young, open_ = (
        trials.ask(bot, text, actor="lena") for text in ("old", "young", "open")
    )
    rows = Trial.objects.filter(pk__in=[old.pk, young.pk])
    rows.update(status="answered")
    at = now - timedelta(days=age_days)
    Trial.objects.filter(pk=old.pk).update(created_at=at - timedelta(minutes=1))
    Trial.objects.filter(pk=young.pk).update(created_at=at + timedelta(minutes=1))
    Trial.objects.filter(pk=open_.pk).update(created_at=at - timedelta(minutes=1))

    assert retention.prune(now).counts["trials"] == 1

    assert set(Trial.objects.values_list("pk", flat=True)) == {young.pk, open_.pk}


def test_ids_in_dify_go_with_the_last_trial_once_dify_forgot_them(bot: Bot) -> None:
    gone, there = asked(bot), asked(bot)
    DifyConversation.objects.filter(trials=gone).update(deleted_at=timezone.now())

    assert removal.remove_trials(Trial.objects.all()) == 2

    left = DifyConversation.objects.values_list("pk", flat=True)
    assert list(left) == [there.dify_conversation_id]


# --- What its flow may do -------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/v1/update-labels/133", {"labels": ["vip"]}),
        ("/api/v1/update-labels/current", {"labels": ["vip"]}),
        ("/api/v1/toggle-status/133", {"status": "open"}),
    ],
)
def test_its_token_opens_nothing(
    client: Client,
    bot: Bot,
    sandbox: SandboxChatwoot,
    path: str,
    body: dict[str, object],
) -> None:
    make_conversation(bot)

    answer = client.post(
        path,
        body,
        content_type="application/json",
        headers={"authorization": f"Bearer {PLAYGROUND}"},
    )

    assert answer.status_code == 200
    assert answer.json() == {
        "status": "error",
        "code": "playground",
        "message": "This run was asked for in the bridge's playground, or by POST "
        "/chatwoot/copilot. It has no conversation in Chatwoot, so nothing was read "
        "or changed there.",
    }
    assert sandbox.calls() == []


def test_its_number_is_no_conversations_with_a_bots_token_either(
    client: Client, bot: Bot, sandbox: SandboxChatwoot
) -> None:
    token = callback_tokens.make(bot, by="lena")

    answer = client.post(
        "/api/v1/update-labels/0",
        {"labels": ["vip"]},
        content_type="application/json",
        headers={"authorization": f"Bearer {token}"},
    )

    assert (answer.status_code, answer.json()["code"]) == (200, "playground")
    assert sandbox.calls() == []
