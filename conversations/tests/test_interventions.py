"""What operators do to a conversation: answer again, hand over, forget in Dify."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
import responses
from django.db import DataError
from django.utils import timezone

from bridge_project.lib.errors import UpstreamUnavailable
from bridge_project.lib.types import JsonObject
from conversations import interventions, jobs, pipeline, processing
from conversations.interventions import Refused
from conversations.jobs.kinds import KINDS
from conversations.jobs.kinds import delete_in_dify as deleting
from conversations.jobs.kinds import erase as erasing
from conversations.models import (
    AuditEntry,
    Bot,
    Conversation,
    DifyConversation,
    Erasure,
    Job,
    JobItem,
    Turn,
    WebhookEvent,
)
from conversations.tests.conftest import (
    CONVERSATION_URL,
    Platforms,
    answer_events,
)
from conversations.tests.factories import (
    DIFY,
    app_of,
    make_event,
    make_memory,
    message_payload,
)
from conversations.tests.test_pipeline import run_until_done

pytestmark = pytest.mark.django_db

AGAIN = "Here I am again."
NOT_THERE: JsonObject = {"code": "not_found", "message": "Conversation Not Exists."}


@pytest.fixture
def sample(payload: Callable[[str], JsonObject]) -> JsonObject:
    return payload("message_created_incoming_text")


@pytest.fixture
def said(bot: Bot, conversation: Conversation, sample: JsonObject) -> WebhookEvent:
    """A customer's message in a conversation that was open then, and is."""
    Conversation.objects.filter(pk=conversation.pk).update(status="open")
    conversation.refresh_from_db()
    return make_event(
        bot.account,
        message_payload(sample),
        conversation=conversation,
        status="processed",
        action="ignore",
        reason="status_not_allowed",
    )


def toggled(platforms: Platforms) -> list[str]:
    """The statuses that were set in Chatwoot."""
    return [
        json.loads(call.request.body or "{}")["status"]
        for call in platforms.wire.calls
        if str(call.request.url).endswith("/toggle_status")
    ]


def pending_webhook(
    bot: Bot, payload: Callable[[str], JsonObject]
) -> Callable[..., Turn | None]:
    """What Chatwoot sends once the conversation is pending."""

    def send() -> Turn | None:
        sample = payload("conversation_status_changed_open")
        body = {**sample, "id": 133, "status": "pending"}
        event = make_event(bot.account, body)
        return processing.process(event.pk, now=timezone.now())

    return send


def run_job(job: Job) -> list[JobItem]:
    """Do a job as a worker does, and return its items."""
    jobs.work(job.pk)
    return list(JobItem.objects.filter(job=job).order_by("position"))


# --- Answer again ------------------------------------------------------------------


@pytest.mark.usefixtures("said")
def test_an_open_conversation_is_not_answered_unless_given_back(
    conversation: Conversation, platforms: Platforms
) -> None:
    with pytest.raises(Refused, match="The conversation is “open”"):
        interventions.answer_again(conversation, by="lena")

    assert toggled(platforms) == []
    assert Turn.objects.count() == 0


@pytest.mark.usefixtures("said")
def test_giving_back_answers_what_is_unanswered(
    conversation: Conversation, platforms: Platforms
) -> None:
    platforms.dify_answers(*answer_events(AGAIN))

    result = interventions.answer_again(conversation, by="lena", give_back=True)

    assert toggled(platforms) == ["pending"]
    conversation.refresh_from_db()
    assert conversation.status == "pending"
    assert result.turn is not None
    assert result.turn.asked_by == "lena"
    assert run_until_done(result.turn) == ("answered", "answered")
    assert [post["content"] for post in platforms.posted] == [AGAIN]
    entry = AuditEntry.objects.get()
    assert (entry.actor, entry.verb) == ("lena", "answered_again")


def test_the_webhook_of_giving_back_makes_no_second_answer(
    said: WebhookEvent,
    bot: Bot,
    conversation: Conversation,
    platforms: Platforms,
    payload: Callable[[str], JsonObject],
) -> None:
    """It may come before our own turn, while it is made, or after its answer."""
    send = pending_webhook(bot, payload)
    platforms.dify_answers(*answer_events(AGAIN))
    result = interventions.answer_again(conversation, by="lena", give_back=True)
    assert send() is None
    assert result.turn is not None
    assert run_until_done(result.turn) == ("answered", "answered")

    assert send() is None

    assert Turn.objects.count() == 1
    assert len(platforms.posted) == 1
    said.refresh_from_db()
    assert said.turn == result.turn


@pytest.mark.parametrize("is_answered_by_then", [False, True])
def test_a_faster_webhook_makes_the_turn(
    said: WebhookEvent,
    bot: Bot,
    conversation: Conversation,
    platforms: Platforms,
    payload: Callable[[str], JsonObject],
    is_answered_by_then: bool,
) -> None:
    send, made = pending_webhook(bot, payload), []
    platforms.dify_answers(*answer_events(AGAIN))

    def toggle(_request: Any) -> tuple[int, dict[str, str], str]:
        turn = send()
        assert turn is not None
        made.append(turn)
        if is_answered_by_then:
            pipeline.run(turn.pk)
        return 200, {}, "{}"

    url = f"{CONVERSATION_URL}/toggle_status"
    platforms.wire.remove(responses.POST, url)
    platforms.wire.add_callback(responses.POST, url, callback=toggle)

    result = interventions.answer_again(
        conversation, by="lena", give_back=True, force=True
    )

    assert [result.turn] == made
    run_until_done(made[0])
    assert Turn.objects.count() == 1
    assert len(platforms.posted) == 1
    made[0].refresh_from_db()
    assert made[0].asked_by == "lena"


@pytest.mark.usefixtures("said")
def test_who_dies_after_giving_back_leaves_the_answer_to_the_webhook(
    bot: Bot,
    conversation: Conversation,
    platforms: Platforms,
    payload: Callable[[str], JsonObject],
) -> None:
    cannot_be_stored = "le\x00na"

    with pytest.raises(DataError, match="NUL"):
        interventions.answer_again(conversation, by=cannot_be_stored, give_back=True)

    assert toggled(platforms) == ["pending"]
    assert Turn.objects.count() == 0
    platforms.dify_answers(*answer_events(AGAIN))
    turn = pending_webhook(bot, payload)()
    assert turn is not None
    assert run_until_done(turn) == ("answered", "answered")


@pytest.mark.usefixtures("said")
def test_nothing_is_given_back_in_vain(
    conversation: Conversation, platforms: Platforms
) -> None:
    Conversation.objects.update(paused=True)

    with pytest.raises(Refused, match="The bot is paused"):
        interventions.answer_again(conversation, by="lena", give_back=True, force=True)

    assert toggled(platforms) == []


@pytest.mark.usefixtures("said")
def test_a_chatwoot_that_is_away_is_an_error_and_changes_nothing(
    conversation: Conversation, platforms: Platforms
) -> None:
    url = f"{CONVERSATION_URL}/toggle_status"
    platforms.wire.remove(responses.POST, url)
    platforms.wire.post(url, status=503)

    with pytest.raises(UpstreamUnavailable):
        interventions.answer_again(conversation, by="lena", give_back=True)

    conversation.refresh_from_db()
    assert conversation.status == "open"
    assert Turn.objects.count() == 0
    assert AuditEntry.objects.count() == 0


def test_what_was_answered_is_answered_again_only_if_forced(
    turn: Turn, conversation: Conversation, platforms: Platforms
) -> None:
    platforms.dify_answers(*answer_events("First."))
    pipeline.run(turn.pk)

    with pytest.raises(Refused, match="No message of the customer is waiting"):
        interventions.answer_again(conversation, by="lena")

    platforms.dify_answers(*answer_events(AGAIN))
    result = interventions.answer_again(conversation, by="lena", force=True)
    assert result.turn is not None
    assert result.turn.replay_of == turn
    assert run_until_done(result.turn) == ("answered", "answered")
    assert [post["content"] for post in platforms.posted] == ["First.", AGAIN]


def test_what_a_human_answered_counts_as_answered(
    said: WebhookEvent, conversation: Conversation
) -> None:
    Conversation.objects.update(status="pending", last_human_message_id=9010)
    conversation.refresh_from_db()
    assert interventions.unanswered(conversation) == []
    assert interventions.unanswered(conversation, force=True) == [said]

    result = interventions.answer_again(conversation, by="lena", force=True)

    assert result.turn is not None
    assert result.turn.despite_message_id == 9010


# --- Hand over -----------------------------------------------------------------------


def test_handing_over_opens_tells_and_stops_the_run(
    turn: Turn, conversation: Conversation, platforms: Platforms
) -> None:
    assert Turn.objects.claim(turn.pk, now=timezone.now()) is not None

    text = interventions.hand_over(conversation, by="lena")

    assert text == "The humans have the conversation: it is open in Chatwoot."
    assert toggled(platforms) == ["open"]
    (note,) = platforms.posted
    assert note["private"] is True
    assert note["content"] == "lena handed this conversation to the humans."
    turn.refresh_from_db()
    assert turn.interrupt == "status_not_allowed"
    conversation.refresh_from_db()
    assert conversation.status == "open"
    entry = AuditEntry.objects.get()
    assert (entry.actor, entry.verb) == ("lena", "handed_over")
    assert entry.details == {"stopped_runs": 1, "noted": True}

    with pytest.raises(Refused, match="open already"):
        interventions.hand_over(conversation, by="lena")


def test_a_refused_note_does_not_keep_the_customer_waiting(
    conversation: Conversation, platforms: Platforms
) -> None:
    platforms.chatwoot_takes_messages(status=404, json={"error": "gone"})

    text = interventions.hand_over(conversation, by="lena")

    assert text.endswith("Chatwoot did not take the note to the agents.")
    assert toggled(platforms) == ["open"]


# --- Dify's part ---------------------------------------------------------------------


def test_a_new_dify_conversation_ends_the_current_one(
    bot: Bot, conversation: Conversation
) -> None:
    memory = make_memory(conversation, app_of(bot))

    assert interventions.new_dify_conversation(conversation, by="lena") == 1

    memory.refresh_from_db()
    assert memory.ended_at is not None
    assert memory.delete_wanted_at is None
    assert AuditEntry.objects.get().verb == "forgot_in_dify"
    with pytest.raises(Refused, match="begins a new one anyway"):
        interventions.new_dify_conversation(conversation, by="lena")


def test_no_new_dify_conversation_during_a_run(
    turn: Turn, bot: Bot, conversation: Conversation
) -> None:
    make_memory(conversation, app_of(bot))
    assert Turn.objects.claim(turn.pk, now=timezone.now()) is not None

    with pytest.raises(Refused, match="right now"):
        interventions.new_dify_conversation(conversation, by="lena")

    assert DifyConversation.objects.filter(ended_at=None).count() == 1


@pytest.fixture
def dify(wire: responses.RequestsMock) -> responses.RequestsMock:
    """A Dify that deletes, and knows what it has deleted no more."""
    return wire


def deletes(wire: responses.RequestsMock, name: str, *, is_gone: bool = True) -> None:
    wire.delete(f"{DIFY}/v1/conversations/{name}", status=204)
    status, body = (404, NOT_THERE) if is_gone else (200, {"data": []})
    wire.get(f"{DIFY}/v1/messages", status=status, json=body)


def test_deleting_is_proven(
    bot: Bot, conversation: Conversation, dify: responses.RequestsMock
) -> None:
    memory = make_memory(conversation, app_of(bot), dify_conversation_id="dc-1")
    deletes(dify, "dc-1")

    text = interventions.delete_dify(memory, by="lena")

    assert text == "Deleted: Dify was asked for it and no longer knows it."
    memory.refresh_from_db()
    assert memory.deleted_at is not None
    verbs = AuditEntry.objects.order_by("pk").values_list("actor", "verb")
    assert list(verbs) == [("lena", "wanted_deletion"), ("system", "deleted_in_dify")]


def test_a_job_deletes_each_and_says_what_is_left(
    bot: Bot, conversation: Conversation, dify: responses.RequestsMock
) -> None:
    first = make_memory(
        conversation,
        app_of(bot),
        dify_conversation_id="dc-1",
        ended_at=timezone.now(),
    )
    second = make_memory(conversation, app_of(bot), dify_conversation_id="dc-2")
    deletes(dify, "dc-1")
    dify.delete(f"{DIFY}/v1/conversations/dc-2", status=400, json={"code": "odd"})
    rows = DifyConversation.objects.select_related("app").order_by("pk")

    job = jobs.start("delete_in_dify", items=deleting.items_of(rows), actor="lena")
    items = run_job(job)

    assert [item.status for item in items] == ["done", "failed"]
    assert items[1].outcome.startswith("Not deleted yet: ")
    assert items[1].outcome.endswith("It is tried again until it is proven.")
    first.refresh_from_db()
    second.refresh_from_db()
    assert first.deleted_at is not None
    assert second.next_delete_at is not None
    # Once more, for a worker that died: nothing is deleted twice.
    again = KINDS["delete_in_dify"].run(items[0])
    assert again.status == "done"
    assert AuditEntry.objects.filter(verb="deleted_in_dify").count() == 1


def test_a_job_erases_contacts_here_and_in_dify(
    bot: Bot, conversation: Conversation, dify: responses.RequestsMock
) -> None:
    make_memory(conversation, app_of(bot), dify_conversation_id="dc-1")
    deletes(dify, "dc-1")
    contacts = [(bot.account, 640), (bot.account, 641)]

    items = run_job(jobs.start("erase", items=erasing.items_of(contacts), actor="lena"))

    assert [item.status for item in items] == ["done", "done"]
    assert items[0].outcome.startswith("Erased here and, proven, in Dify.")
    assert Conversation.objects.count() == 0
    assert Erasure.objects.filter(status="done", requested_by="lena").count() == 2


def test_an_erasure_that_waits_for_a_run_is_not_called_done(
    turn: Turn, bot: Bot
) -> None:
    assert Turn.objects.claim(turn.pk, now=timezone.now()) is not None

    (item,) = run_job(
        jobs.start("erase", items=erasing.items_of([(bot.account, 640)]), actor="lena")
    )

    assert item.status == "failed"
    assert item.outcome.startswith("Not erased yet: An answer to the contact is being")
    assert Conversation.objects.count() == 1
