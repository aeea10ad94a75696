"""Drafts for the agents: one note per burst, marked, compared with what was sent."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from bridge_project.lib.types import JsonObject
from conversations import drafts, pipeline, processing, removal, retention
from conversations.models import (
    Bot,
    Conversation,
    Draft,
    OutgoingMessage,
    Retention,
    Turn,
    WebhookEvent,
)
from conversations.reports import figures
from conversations.tests.conftest import Platforms, answer_events
from conversations.tests.factories import make_callback, make_event, message_payload
from conversations.tests.test_pipeline import ended, run_until_done

pytestmark = pytest.mark.django_db

MARK = "🤖 Draft by the bot – not sent to the customer\n\n"
HELLO = "The seam is covered by the warranty."
OPEN = {"status": "open"}
Hears = Callable[..., Turn | None]


@pytest.fixture
def bot(bot: Bot) -> Bot:
    Bot.objects.update(draft_notes=True, language="en")
    bot.refresh_from_db()
    return bot


@pytest.fixture
def conversation(conversation: Conversation) -> Conversation:
    conversation.status = "open"
    conversation.last_customer_message_id = 0
    conversation.save()
    return conversation


@pytest.fixture
def hears(bot: Bot, payload: Callable[[str], JsonObject]) -> Hears:
    """Process a webhook made from a sample, of the open conversation."""

    def hear(name: str, **changes: Any) -> Turn | None:
        changes.setdefault("conversation", OPEN)
        event = message_payload(payload(name), **changes)
        row = make_event(bot.account, event)
        return processing.process(row.pk, now=timezone.now())

    return hear


@pytest.fixture
def customer(hears: Hears) -> Hears:
    def write(**changes: Any) -> Turn | None:
        return hears("message_created_incoming_text", **changes)

    return write


@pytest.fixture
def human(hears: Hears) -> Hears:
    def write(content: str, **changes: Any) -> Turn | None:
        return hears("message_created_outgoing_user", content=content, **changes)

    return write


def run(turn: Turn | None) -> tuple[str, str]:
    assert turn is not None
    Turn.objects.filter(pk=turn.pk).update(next_attempt_at=timezone.now())
    pipeline.run(turn.pk)
    return ended(turn)


def test_a_customers_message_to_a_human_gets_a_draft_as_a_marked_note(
    conversation: Conversation, customer: Hears, platforms: Platforms
) -> None:
    platforms.chatwoot_shows(status="open")
    platforms.dify_answers(*answer_events(HELLO))

    turn = customer()

    assert turn is not None
    assert turn.kind == Turn.Kind.DRAFT
    assert run(turn) == ("answered", "suggested")
    [note] = platforms.posted
    assert (note["content"], note["private"]) == (f"{MARK}{HELLO}", True)
    assert platforms.calls("POST", "/toggle_status") == 0
    assert platforms.calls("POST", "/toggle_typing_status") == 0
    draft = Draft.objects.get()
    assert (draft.turn_id, draft.text, draft.last_message_id) == (turn.pk, HELLO, 9001)
    assert (draft.human_message_id, draft.similarity) == (None, None)


def test_a_burst_gets_one_draft(
    bot: Bot, conversation: Conversation, customer: Hears, platforms: Platforms
) -> None:
    Bot.objects.update(debounce_s=10)
    platforms.chatwoot_shows(status="open", last={"id": 9002, "message_type": 0})
    platforms.dify_answers(*answer_events(HELLO))

    first = customer()
    second = customer(id=9002, content="And the poles?")

    assert first is not None
    assert second is not None
    assert first.pk == second.pk
    assert second.next_attempt_at > timezone.now() + timedelta(seconds=5)
    assert run(second) == ("answered", "suggested")
    assert len(platforms.posted) == 1
    assert str(platforms.asked[0]["query"]).endswith("And the poles?")


def test_our_own_note_asks_nothing(
    conversation: Conversation, customer: Hears, hears: Hears, platforms: Platforms
) -> None:
    platforms.chatwoot_shows(status="open")
    platforms.dify_answers(*answer_events(HELLO))
    run(customer())
    [note] = platforms.posted

    # With a person's token in place of a bot's, it comes back as that person's.
    again = hears(
        "message_created_private_note",
        id=9101,
        content="/ai " + str(note["content"]),
        content_attributes=note["content_attributes"],
    )

    assert again is None
    assert WebhookEvent.objects.get(chatwoot_message_id=9101).reason == "private_note"
    assert Turn.objects.count() == 1


@pytest.mark.parametrize("asked", [False, True])
def test_a_human_who_answers_first_drops_the_draft(
    conversation: Conversation,
    customer: Hears,
    human: Hears,
    platforms: Platforms,
    asked: bool,
) -> None:
    platforms.chatwoot_shows(status="open")
    platforms.dify_answers(
        *answer_events(HELLO), meanwhile=lambda: human("It is.", id=9050)
    )
    turn = customer()
    if not asked:
        human("It is.", id=9050)

    run(turn)

    assert turn is not None
    run_until_done(turn)
    assert ended(turn) == ("skipped", "human_has_taken_over")
    assert platforms.calls("POST", "/chat-messages") == asked
    assert platforms.posted == []
    assert Draft.objects.count() == 0


def test_a_draft_that_fails_is_silent_and_disturbs_nobody(
    conversation: Conversation, customer: Hears, platforms: Platforms
) -> None:
    platforms.chatwoot_shows(status="open")
    platforms.dify_answers(
        status=400, json={"code": "app_unavailable", "message": "App unavailable"}
    )
    turn = customer()

    assert run(turn) == ("skipped", "dify_failed")
    assert turn is not None
    assert "The Dify app is not available" in turn.error
    assert platforms.posted == []
    assert platforms.calls("POST", "/toggle_status") == 0


def test_a_draft_that_took_too_long_ends_without_a_note(
    conversation: Conversation, customer: Hears, platforms: Platforms
) -> None:
    turn = customer()
    Turn.objects.update(handover_reason="took_too_long")

    assert run(turn) == ("skipped", "took_too_long")
    assert platforms.posted == []


def test_a_draft_that_is_tried_again_steps_aside_for_the_customer(
    conversation: Conversation, customer: Hears
) -> None:
    draft = customer()
    Turn.objects.update(
        status="retrying", next_attempt_at=timezone.now() + timedelta(minutes=3)
    )
    # The customer comes back later, and the conversation is the bot's anew.
    Conversation.objects.update(status="resolved")

    answer = customer(id=9060, conversation={"status": "pending"})

    assert draft is not None
    assert ended(draft) == ("skipped", "status_not_allowed")
    assert answer is not None
    assert (answer.kind, answer.status) == (Turn.Kind.ANSWER, Turn.Status.COLLECTING)


def test_a_bot_without_drafts_leaves_the_message_alone(
    bot: Bot, conversation: Conversation, customer: Hears
) -> None:
    Bot.objects.update(draft_notes=False)

    assert customer() is None
    event = WebhookEvent.objects.get()
    assert (event.action, event.reason) == ("ignore", "status_not_allowed")


def test_drafts_are_no_customers_numbers(
    conversation: Conversation, customer: Hears, platforms: Platforms
) -> None:
    platforms.chatwoot_shows(status="open")
    platforms.dify_answers(*answer_events(HELLO))
    run(customer())

    now = timezone.now()
    rows = figures.read(since=now - timedelta(hours=2), now=now, unit="hour")

    found = {(row.measure, row.key): int(row.amount) for row in rows}
    assert found[("tokens", "")] == 42
    assert not {"turn", "latency"} & {measure for measure, _key in found}
    conversation.refresh_from_db()
    assert conversation.waiting_since is not None


# --- What the human sent ----------------------------------------------------------


@pytest.fixture
def drafted(conversation: Conversation, customer: Hears, platforms: Platforms) -> Draft:
    platforms.chatwoot_shows(status="open")
    platforms.dify_answers(*answer_events(HELLO))
    run(customer())
    return Draft.objects.get()


def test_notes_what_the_human_sent_beside_the_draft(
    drafted: Draft, human: Hears
) -> None:
    human("The seam is covered by our warranty.", id=9110)

    drafted.refresh_from_db()
    assert drafted.human_message_id == 9110
    assert drafted.human_text == "The seam is covered by our warranty."
    assert drafted.replied_at is not None
    assert (drafted.similarity, drafted.edit_rate) == (0.9167, 0.1429)


def test_joins_what_the_human_sends_on_until_the_customer_writes(
    drafted: Draft, human: Hears, customer: Hears
) -> None:
    human("The seam is covered", id=9110)
    human("The seam is covered", id=9110)  # by another webhook
    human("by the warranty.", id=9111)
    customer(id=9112, content="Thanks!")
    human("You are welcome.", id=9113)

    drafted.refresh_from_db()
    assert drafted.human_text == "The seam is covered\nby the warranty."
    assert (drafted.human_message_id, drafted.similarity) == (9111, 1.0)


def test_an_earlier_message_of_the_human_is_no_reply(
    drafted: Draft, human: Hears
) -> None:
    human("Hello, I am Marta.", id=9000)

    drafted.refresh_from_db()
    assert drafted.human_message_id is None


def test_a_conversation_resolved_without_a_reply_did_not_use_its_draft(
    drafted: Draft, bot: Bot, payload: Callable[[str], JsonObject], human: Hears
) -> None:
    resolved = {**payload("conversation_status_changed_resolved"), "id": 133}
    row = make_event(bot.account, resolved, chatwoot_conversation_id=133)
    processing.process(row.pk, now=timezone.now())

    drafted.refresh_from_db()
    assert (drafted.human_message_id, drafted.replied_at) == (drafts.NOT_USED, None)
    # Next month they talk about something else.
    Draft.objects.update(created_at=timezone.now() - timedelta(days=30))
    human("Your new order is here.", id=9500)
    drafted.refresh_from_db()
    assert drafted.human_text == ""


def test_a_reply_that_came_before_the_row_is_found(
    drafted: Draft, human: Hears, bot: Bot
) -> None:
    """The worker died between the post and the row, and the human was fast."""
    turn = drafted.turn
    drafted.delete()
    human(HELLO, id=9110)

    drafts.record(turn, bot=bot)
    drafts.record(turn, bot=bot)

    draft = Draft.objects.get()
    assert (draft.text, draft.human_text, draft.similarity) == (HELLO, HELLO, 1.0)


def test_a_flow_that_answers_by_callbacks_only_suggests_by_them(
    conversation: Conversation, customer: Hears, bot: Bot, platforms: Platforms
) -> None:
    turn = customer()
    platforms.chatwoot_shows(status="open")
    platforms.dify_answers(
        *answer_events(""),
        meanwhile=lambda: make_callback(
            bot,
            turn=turn,
            conversation=conversation,
            operation="send_message",
            arguments={"content": HELLO},
        ),
    )

    assert run(turn) == ("answered", "suggested")
    assert platforms.posted == []
    assert Draft.objects.get().text == HELLO


def test_texts_are_forgotten_with_those_of_the_turn(
    drafted: Draft, human: Hears, bot: Bot
) -> None:
    human(HELLO, id=9110)
    Retention.objects.create(account=bot.account, text_days=1)
    long_ago = timezone.now() - timedelta(days=2)
    Turn.objects.update(created_at=long_ago)

    retention.prune(timezone.now())

    drafted.refresh_from_db()
    assert (drafted.text, drafted.human_text) == ("", "")
    assert drafted.similarity == 1.0


def test_a_draft_goes_with_its_turn(drafted: Draft) -> None:
    counts = removal.remove_turns([drafted.turn_id])

    assert counts["drafts"] == 1
    assert not Draft.objects.exists()
    assert not OutgoingMessage.objects.exists()
