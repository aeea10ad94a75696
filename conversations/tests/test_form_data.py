"""A form's messages are no questions; an address that was asked for is an answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.utils import timezone

from bridge_project.lib.types import JsonObject
from conversations import processing
from conversations.models import Bot, Conversation, Turn, WebhookEvent
from conversations.tests.factories import make_event, message_payload

pytestmark = pytest.mark.django_db

ADDRESS = "anna@example.org"


@pytest.fixture
def happens(bot: Bot, payload: Callable[[str], JsonObject]) -> Callable[..., Any]:
    """Process a sample's webhook as the conversation's event `number`."""

    def process(sample: str, number: int, **values: Any) -> WebhookEvent:
        nested = values.pop("conversation", {})
        body = message_payload(
            payload(f"message_created_{sample}"),
            id=number,
            conversation={"id": 133, "status": "pending", **nested},
            **values,
        )
        event = make_event(bot.account, body)
        processing.process(event.pk, now=timezone.now())
        event.refresh_from_db()
        return event

    return process


Happens = Callable[..., WebhookEvent]


@pytest.mark.parametrize(
    "content", [ADDRESS, f"<p>{ADDRESS}</p>", "Get notified by email"]
)
def test_a_conversation_that_begins_with_form_data_waits_for_the_customer(
    happens: Happens, content: str
) -> None:
    event = happens("incoming_text", 9001, content=content)

    assert (event.action, event.reason) == ("ignore", "form_data")
    assert not Turn.objects.exists()
    conversation = Conversation.objects.get()
    # Nothing is left to anybody: the bot still has it, and nobody waits.
    assert (conversation.status, conversation.waiting_since) == ("pending", None)

    question = happens("incoming_text", 9002, content="Where is my order?")

    assert (question.action, question.reason) == ("answer", "customer_message")
    assert [e.chatwoot_message_id for e in Turn.objects.get().events.all()] == [9002]


def test_another_delivery_of_it_is_no_question_either(happens: Happens) -> None:
    happens("incoming_text", 9001, content=ADDRESS)

    assert happens("incoming_text", 9001, content=ADDRESS).reason == "form_data"


def test_an_address_after_the_widgets_request_is_the_widgets(happens: Happens) -> None:
    happens("incoming_text", 9001)
    happens("template_email_collect_text", 9006)
    happens("template_input_email", 9007)

    event = happens("incoming_text", 9008, content=ADDRESS)

    assert (event.action, event.reason) == ("ignore", "form_data")


@pytest.mark.parametrize(
    "asks", ["outgoing_agent_bot", "outgoing_user", "outgoing_automation_null_sender"]
)
def test_an_address_that_somebody_may_have_asked_for_is_an_answer(
    happens: Happens, asks: str
) -> None:
    happens("incoming_text", 9001)
    happens("template_input_email", 9007)
    happens(asks, 9008, content="What is your e-mail address?")

    event = happens("incoming_text", 9009, content=ADDRESS)

    assert event.reason in ("customer_message", "human_has_taken_over")
    assert event.reason != "form_data"


def test_an_address_after_a_bots_greeting_is_an_answer(happens: Happens) -> None:
    happens("outgoing_agent_bot", 9000, content="Hi! What is your e-mail address?")

    assert happens("incoming_text", 9001, content=ADDRESS).action == "answer"


def test_an_address_after_another_message_is_one_itself(happens: Happens) -> None:
    happens("incoming_text", 9001)
    happens("template_greeting", 9002)

    assert happens("incoming_text", 9003, content=ADDRESS).action == "answer"


def test_what_was_said_is_forgotten_but_not_that_it_was(happens: Happens) -> None:
    happens("incoming_text", 9001)
    happens("outgoing_agent_bot", 9002, content="What is your e-mail address?")
    WebhookEvent.objects.update(payload={})

    assert happens("incoming_text", 9003, content=ADDRESS).action == "answer"

    WebhookEvent.objects.all().delete()
    assert happens("incoming_text", 9004, content=ADDRESS).action == "answer"


@pytest.mark.parametrize("channel", ["Channel::Whatsapp", "Channel::Email"])
def test_where_there_is_no_form_an_address_is_a_message(
    happens: Happens, channel: str
) -> None:
    event = happens(
        "incoming_text", 9001, content=ADDRESS, conversation={"channel": channel}
    )

    assert event.action == "answer"


def test_form_data_is_no_question_when_the_bot_gets_the_conversation_back(
    happens: Happens, bot: Bot, payload: Callable[[str], JsonObject]
) -> None:
    happens("incoming_text", 9001, content=ADDRESS)
    status: JsonObject = {"event": "conversation_status_changed", "id": 133}
    for number, name in enumerate(("open", "pending"), start=1):
        body: JsonObject = {
            **payload("conversation_status_changed_open"),
            **status,
            "status": name,
            "updated_at": timezone.now().timestamp() + number,
        }
        event = make_event(bot.account, body)
        processing.process(event.pk, now=timezone.now())

    assert Conversation.objects.get().status == "pending"
    assert not Turn.objects.exists()
