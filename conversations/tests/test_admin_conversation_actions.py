"""The buttons of a conversation's page, “Answer again”, bulk deletion and erasure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import responses
from django.contrib.auth.models import Permission, User
from django.contrib.messages import get_messages
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from bridge_project.lib.admin_base import admin_url
from bridge_project.lib.types import JsonObject
from conversations.models import (
    AuditEntry,
    Bot,
    Conversation,
    DifyConversation,
    Erasure,
    Job,
    Turn,
    WebhookEvent,
)
from conversations.tests.conftest import CONVERSATION_URL, Platforms, Queue
from conversations.tests.factories import (
    app_of,
    make_conversation,
    make_event,
    make_memory,
    message_payload,
)

pytestmark = pytest.mark.django_db

LIST = "admin:conversations_conversation_changelist"
OPERATIONS = (
    "pause_bot",
    "resume_bot",
    "hand_over",
    "new_dify_conversation",
    "delete_in_dify",
    "erase_contact",
)


def do(row: Conversation, operation: str) -> str:
    return reverse("admin:conversations_conversation_do", args=[row.pk, operation])


def answer(row: Conversation) -> str:
    return reverse("admin:conversations_conversation_answer", args=[row.pk])


def told(response: Any) -> list[str]:
    return [str(message) for message in get_messages(response.wsgi_request)]


def a_user(client: Client, *codenames: str) -> None:
    user = User.objects.create(username="olga", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
    client.force_login(user)


@pytest.fixture
def said(
    bot: Bot, conversation: Conversation, payload: Callable[[str], JsonObject]
) -> WebhookEvent:
    """A customer's message that nobody has answered."""
    sample = payload("message_created_incoming_text")
    return make_event(
        bot.account,
        message_payload(sample),
        conversation=conversation,
        status="processed",
        action="ignore",
        reason="paused",
    )


# --- Buttons -----------------------------------------------------------------------


def test_the_page_has_the_buttons_that_make_sense(
    admin_client: Client, conversation: Conversation, bot: Bot
) -> None:
    text = admin_client.get(admin_url(conversation)).content.decode()
    shown = {name for name in OPERATIONS if do(conversation, name) in text}
    assert shown == {"pause_bot", "hand_over", "erase_contact"}
    assert answer(conversation) in text

    make_memory(conversation, app_of(bot))
    Conversation.objects.update(paused=True, status="open", chatwoot_contact_id=None)
    text = admin_client.get(admin_url(conversation)).content.decode()
    shown = {name for name in OPERATIONS if do(conversation, name) in text}
    assert shown == {"resume_bot", "new_dify_conversation", "delete_in_dify"}


def test_pausing_and_resuming_from_the_page(
    admin_client: Client, conversation: Conversation
) -> None:
    paused = admin_client.post(do(conversation, "pause_bot"))
    assert paused["Location"] == admin_url(conversation)
    conversation.refresh_from_db()
    assert conversation.paused

    resumed = admin_client.post(do(conversation, "resume_bot"))
    assert told(resumed)[-1].startswith("The bot may speak again in 1 conversation.")
    conversation.refresh_from_db()
    assert not conversation.paused


def test_handing_over_from_the_page(
    admin_client: Client, conversation: Conversation, platforms: Platforms
) -> None:
    response = admin_client.post(do(conversation, "hand_over"))

    assert told(response) == [
        "The humans have the conversation: it is open in Chatwoot."
    ]
    assert platforms.calls("POST", "/toggle_status") == 1
    assert AuditEntry.objects.get().actor == "admin"


@pytest.mark.parametrize("status", [401, 404, 500, 503])
def test_what_chatwoot_refuses_is_a_sentence(
    admin_client: Client,
    conversation: Conversation,
    wire: responses.RequestsMock,
    status: int,
) -> None:
    wire.post(f"{CONVERSATION_URL}/toggle_status", status=status, json={"error": "no"})

    response = admin_client.post(do(conversation, "hand_over"))

    assert response["Location"] == admin_url(conversation)
    (sentence,) = told(response)
    assert sentence.startswith("It did not work: ")
    conversation.refresh_from_db()
    assert conversation.status == "pending"


def test_what_is_open_is_not_handed_over(
    admin_client: Client, conversation: Conversation
) -> None:
    Conversation.objects.update(status="open")

    response = admin_client.post(do(conversation, "hand_over"))

    assert told(response)[0].startswith("The conversation is open already")


def test_a_new_dify_conversation_from_the_page(
    admin_client: Client, conversation: Conversation, bot: Bot
) -> None:
    make_memory(conversation, app_of(bot))

    response = admin_client.post(do(conversation, "new_dify_conversation"))
    again = admin_client.post(do(conversation, "new_dify_conversation"))

    assert told(response)[0].startswith("The customer's next message begins a new Dify")
    assert told(again)[-1].startswith("No Dify conversation is in use here")
    assert DifyConversation.objects.filter(ended_at=None).count() == 0


def test_deleting_in_dify_asks_first_and_is_a_job(
    admin_client: Client, conversation: Conversation, bot: Bot
) -> None:
    make_memory(conversation, app_of(bot), dify_conversation_id="dc-1")
    url = do(conversation, "delete_in_dify")

    page = admin_client.post(url).content.decode()
    assert "it cannot be undone" in page
    assert "#133: dc-1 (Support flow)" in page
    assert Job.objects.count() == 0

    response = admin_client.post(url, {"confirmed": "yes"})
    job = Job.objects.get()
    assert response["Location"] == admin_url(job)
    assert (job.kind, job.total) == ("delete_in_dify", 1)


def test_erasing_from_the_page_asks_first(
    admin_client: Client, conversation: Conversation
) -> None:
    url = do(conversation, "erase_contact")
    assert "It cannot be undone" in admin_client.post(url).content.decode()
    assert Erasure.objects.count() == 0

    admin_client.post(url, {"confirmed": "yes"})

    assert Erasure.objects.get().requested_by == "admin"


# --- Bulk ---------------------------------------------------------------------------


def test_bulk_deletion_and_erasure_are_jobs(
    admin_client: Client, conversation: Conversation, bot: Bot
) -> None:
    second = make_conversation(
        bot, chatwoot_conversation_id=134, chatwoot_contact_id=641
    )
    for row in (conversation, second):
        make_memory(row, app_of(bot))
    make_memory(second, app_of(bot), ended_at=timezone.now())
    data = {"_selected_action": [conversation.pk, second.pk], "confirmed": "yes"}

    for action in ("delete_in_dify", "erase_contact"):
        admin_client.post(reverse(LIST), {**data, "action": action})

    assert list(Job.objects.order_by("pk").values_list("kind", "total")) == [
        ("delete_in_dify", 3),
        ("erase", 2),
    ]
    started = AuditEntry.objects.filter(verb="started_job", actor="admin")
    assert started.count() == 2


# --- Answer again --------------------------------------------------------------------


def test_answer_again_shows_and_does(
    admin_client: Client,
    said: WebhookEvent,
    conversation: Conversation,
    queue: Queue,
) -> None:
    page = admin_client.get(answer(conversation)).content.decode()
    assert "The bot would answer." in page
    assert 'name="give_back"' not in page
    assert 'name="force"' not in page

    response = admin_client.post(answer(conversation))

    turn = Turn.objects.get()
    assert response["Location"] == admin_url(turn)
    assert queue.tasks() == [("run_turn", [turn.pk])]
    said.refresh_from_db()
    assert said.turn == turn


@pytest.mark.usefixtures("said")
def test_answer_again_offers_to_give_it_back(
    admin_client: Client, conversation: Conversation, platforms: Platforms, queue: Queue
) -> None:
    Conversation.objects.update(status="resolved")
    page = admin_client.get(answer(conversation)).content.decode()
    assert 'name="give_back" value="yes" checked' in page
    assert "The bot would answer." in page

    refused = admin_client.post(answer(conversation))
    assert told(refused)[-1].startswith("The conversation is “resolved”")
    assert refused["Location"] == answer(conversation)
    assert Turn.objects.count() == 0

    admin_client.post(answer(conversation), {"give_back": "yes"})

    assert platforms.calls("POST", "/toggle_status") == 1
    assert Turn.objects.get().asked_by == "admin"
    assert len(queue.tasks()) == 1


@pytest.mark.usefixtures("said")
def test_answer_again_where_a_human_answered_needs_the_tick(
    admin_client: Client, conversation: Conversation
) -> None:
    Conversation.objects.update(last_human_message_id=9010)
    page = admin_client.get(answer(conversation)).content.decode()
    assert "Nothing waits for an answer" in page
    assert 'name="force"' in page

    refused = admin_client.post(answer(conversation))
    assert told(refused)[-1].startswith("No message of the customer is waiting")

    admin_client.post(answer(conversation), {"force": "yes"})
    assert Turn.objects.get().despite_message_id == 9010


def test_answer_again_of_an_empty_conversation_has_no_button(
    admin_client: Client, conversation: Conversation
) -> None:
    page = admin_client.get(answer(conversation)).content.decode()

    assert "No message of the customer is stored here" in page
    assert "Back to the conversation" in page
    assert told(admin_client.post(answer(conversation), {"force": "yes"})) != []


@pytest.mark.usefixtures("said")
def test_answer_again_says_what_chatwoot_refuses(
    admin_client: Client, conversation: Conversation, wire: responses.RequestsMock
) -> None:
    Conversation.objects.update(status="open")
    wire.post(f"{CONVERSATION_URL}/toggle_status", status=503)

    response = admin_client.post(answer(conversation), {"give_back": "yes"})

    assert told(response)[0].startswith("It did not work: ")
    assert Turn.objects.count() == 0


# --- Who may -------------------------------------------------------------------------


def test_an_auditor_sees_no_button_and_may_press_none(
    client: Client, conversation: Conversation, bot: Bot
) -> None:
    make_memory(conversation, app_of(bot))
    a_user(client, "view_conversation", "view_difyconversation", "view_turn")

    text = client.get(admin_url(conversation)).content.decode()

    for name in OPERATIONS:
        assert do(conversation, name) not in text
        assert client.post(do(conversation, name)).status_code == 403, name
    assert answer(conversation) not in text
    assert client.get(answer(conversation)).status_code == 403
    assert client.post(answer(conversation)).status_code == 403
    assert AuditEntry.objects.count() == 0


def test_an_operator_may_intervene_and_not_delete(
    client: Client, conversation: Conversation, bot: Bot
) -> None:
    make_memory(conversation, app_of(bot))
    a_user(client, "view_conversation", "change_conversation")

    text = client.get(admin_url(conversation)).content.decode()

    shown = {name for name in OPERATIONS if do(conversation, name) in text}
    assert shown == {"pause_bot", "hand_over", "new_dify_conversation"}
    assert client.post(do(conversation, "pause_bot")).status_code == 302
    for name in ("delete_in_dify", "erase_contact"):
        assert client.post(do(conversation, name)).status_code == 403, name


def test_operations_are_no_gets_and_have_names(
    admin_client: Client, conversation: Conversation
) -> None:
    assert admin_client.get(do(conversation, "pause_bot")).status_code == 405
    assert admin_client.post(do(conversation, "get_queryset")).status_code == 404
    gone = reverse("admin:conversations_conversation_do", args=[0, "pause_bot"])
    assert admin_client.post(gone).status_code == 404
    assert client_without_login(conversation) == 302


def client_without_login(conversation: Conversation) -> int:
    return Client().post(do(conversation, "pause_bot")).status_code
