"""Turns of different kinds share a conversation: nobody waits for another's sake."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from bridge_project.lib.types import JsonObject
from conversations import interventions, pipeline, processing, slots
from conversations.models import (
    Bot,
    Conversation,
    FlowForm,
    PipelineRun,
    Turn,
    WebhookEvent,
)
from conversations.outcomes import NoPlace
from conversations.tests.conftest import Platforms, answer_events
from conversations.tests.factories import (
    DIFY,
    app_of,
    make_app,
    make_conversation,
    make_event,
    make_turn,
    message_payload,
)
from dify_api.models import DifyApp

pytestmark = pytest.mark.django_db

UNASSIGNED: JsonObject = {"assignee": None}
Hears = Callable[..., WebhookEvent]


@pytest.fixture
def hears(
    bot: Bot, conversation: Conversation, payload: Callable[[str], JsonObject]
) -> Hears:
    """Process a webhook made from a sample, of the pending conversation."""

    def hear(name: str, **changes: Any) -> WebhookEvent:
        changes.setdefault("conversation", {"status": "pending"})
        row = make_event(bot.account, message_payload(payload(name), **changes))
        processing.process(row.pk, now=timezone.now())
        row.refresh_from_db()
        return row

    return hear


@pytest.fixture
def customer(hears: Hears) -> Hears:
    def write(**changes: Any) -> WebhookEvent:
        return hears("message_created_incoming_text", **changes)

    return write


@pytest.fixture
def agent(hears: Hears) -> Hears:
    def write(content: str, **changes: Any) -> WebhookEvent:
        return hears("message_created_private_note", content=content, **changes)

    return write


def run(turn: Turn | None) -> Turn:
    assert turn is not None
    Turn.objects.filter(pk=turn.pk).update(next_attempt_at=timezone.now())
    pipeline.run(turn.pk)
    turn.refresh_from_db()
    return turn


# --- What an agent asked ------------------------------------------------------------


def test_who_writes_while_an_agents_question_is_asked_does_not_wait(
    customer: Hears, agent: Hears, platforms: Platforms
) -> None:
    help_turn = agent("/ai summarise").turn
    platforms.chatwoot_has_history()
    platforms.dify_answers(
        *answer_events("A torn seam."), meanwhile=lambda: customer(id=9030)
    )

    run(help_turn)

    assert help_turn is not None
    assert (help_turn.status, help_turn.reason) == ("skipped", "customer_message")
    following = Turn.objects.unfinished().get()
    assert (following.kind, following.last_message_id) == (Turn.Kind.ANSWER, 9030)
    note = WebhookEvent.objects.get(reason="agent_asked")
    assert (note.turn, note.action) == (None, "answer")


def test_a_note_that_a_worker_of_before_took_for_a_message_stays_a_note(
    agent: Hears, platforms: Platforms
) -> None:
    turn = agent("/ai summarise").turn
    Turn.objects.update(kind="answer")
    platforms.chatwoot_has_history()
    platforms.dify_answers(*answer_events("A torn seam."))

    assert run(turn).reason == "suggested"

    assert [body["private"] for body in platforms.posted] == [True]


def test_an_agents_question_waits_in_the_line_of_its_own_app(
    bot: Bot, agent: Hears, platforms: Platforms
) -> None:
    other = make_app(name="Copilot", max_concurrent_runs=1)
    Bot.objects.update(command_app=other)
    busy = make_turn(
        make_conversation(bot, chatwoot_conversation_id=134),
        bot,
        status="running",
        lease_expires_at=timezone.now() + timedelta(seconds=20),
    )
    PipelineRun.objects.create(
        turn=busy, dify_app=other, last_message_id=1, status="running"
    )

    turn = run(agent("/ai summarise").turn)

    assert (turn.status, turn.queued_for) == ("collecting", other)


@pytest.mark.parametrize("kind", ["draft", "help"])
def test_customers_come_before_agents_in_line(bot: Bot, kind: str) -> None:
    DifyApp.objects.update(max_concurrent_runs=2)
    busy = make_turn(
        make_conversation(bot, chatwoot_conversation_id=136),
        bot,
        status="running",
        lease_expires_at=timezone.now() + timedelta(seconds=20),
    )
    PipelineRun.objects.create(
        turn=busy, dify_app=app_of(bot), last_message_id=1, status="running"
    )
    first = make_turn(
        make_conversation(bot, chatwoot_conversation_id=134),
        bot,
        kind=kind,
        queued_for=app_of(bot),
        next_attempt_at=timezone.now() + timedelta(seconds=30),
    )
    customers = make_turn(
        make_conversation(bot, chatwoot_conversation_id=135),
        bot,
        queued_for=app_of(bot),
        next_attempt_at=timezone.now() + timedelta(seconds=30),
    )
    now = timezone.now()

    slots.check(customers, app=DifyApp.objects.get(), now=now)
    with pytest.raises(NoPlace):
        slots.check(first, app=DifyApp.objects.get(), now=now)
    assert slots.next_in_line(app_of(bot).pk, now=now) == [customers.pk]


def test_an_agents_question_that_fails_leaves_the_form_of_the_flow_alone(
    bot: Bot, conversation: Conversation, agent: Hears, platforms: Platforms
) -> None:
    Bot.objects.update(forms_go_to="customer")
    paused = make_turn(conversation, bot, status="answered")
    answered = PipelineRun.objects.create(turn=paused, last_message_id=9001)
    form = FlowForm.objects.create(
        conversation=conversation,
        bot=bot,
        turn=paused,
        run=answered,
        goes_to="customer",
        chatwoot_message_id=9002,
        expires_at=timezone.now() + timedelta(hours=1),
    )
    turn = agent("/ai summarise").turn
    Turn.objects.filter(kind="help").update(handover_reason="dify_failed")

    assert run(turn).status == "handed_over"

    form.refresh_from_db()
    assert form.status == "waiting"


# --- Greetings ----------------------------------------------------------------------


def test_a_customer_does_not_wait_long_for_a_greeting(
    bot: Bot, conversation: Conversation, customer: Hears, platforms: Platforms
) -> None:
    """Dify is away, and nobody knows what it would say first."""
    DifyApp.objects.update(parameters_read_at=None, parameters={})
    for path in ("info", "parameters"):
        platforms.wire.get(f"{DIFY}/v1/{path}", status=503, json={})
    greeting = make_turn(conversation, bot, kind="greeting", last_message_id=0)
    assert customer(id=9030).turn is None

    assert run(greeting).status == "retrying"
    assert run(greeting).status == "skipped"

    assert Turn.objects.unfinished().get().last_message_id == 9030


# --- Drafts -------------------------------------------------------------------------


def test_a_draft_is_not_written_where_the_bot_may_answer_by_itself(
    bot: Bot, customer: Hears, platforms: Platforms
) -> None:
    """It speaks in open conversations, and yields to whoever is assigned."""
    Bot.objects.update(
        draft_notes=True, speak_in_statuses=["open"], yields_to_assignee=True
    )
    agent: JsonObject = {"assignee": {"id": 21, "name": "Marta", "type": "user"}}
    platforms.chatwoot_shows(status="open")
    drafted = customer(id=9002, conversation={"status": "open", "meta": agent})
    assert drafted.reason == "draft_wanted"
    draft = drafted.turn
    assert draft is not None
    Turn.objects.filter(pk=draft.pk).update(
        status="running", lease_expires_at=timezone.now() - timedelta(seconds=1)
    )
    # Nobody is assigned any more: the bot has it, and the draft's message with it.
    customer(id=9003, conversation={"status": "open", "meta": UNASSIGNED})

    assert run(draft).status == "skipped"

    assert platforms.asked == []
    following = Turn.objects.unfinished().get()
    assert following.kind == Turn.Kind.ANSWER
    events = following.events.order_by("chatwoot_message_id")
    assert [event.chatwoot_message_id for event in events] == [9002, 9003]


def test_what_was_only_drafted_can_be_answered_again(
    bot: Bot, conversation: Conversation, customer: Hears
) -> None:
    Bot.objects.update(draft_notes=True)
    event = customer(id=9002, conversation={"status": "open"})
    Turn.objects.filter(kind="draft").update(status="answered", reason="suggested")
    make_turn(conversation, bot, kind="help", status="answered", last_message_id=9050)

    assert interventions.unanswered(conversation) == [event]
