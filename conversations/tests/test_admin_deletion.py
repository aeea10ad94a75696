"""Pausing, deleting in Dify and erasing from the admin, and who may do it."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.contrib.auth.models import Permission, User
from django.contrib.messages import get_messages
from django.db import connection
from django.http import HttpResponse
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from bridge_project.lib.admin_base import admin_url
from conversations import audit, deletion
from conversations.admin.erasure import ERASURE_TONES, KIND_NAMES
from conversations.models import (
    AuditEntry,
    Bot,
    Conversation,
    DifyConversation,
    Erasure,
    Job,
    Retention,
)
from conversations.tests.factories import app_of, make_conversation, make_memory

pytestmark = pytest.mark.django_db

CONVERSATIONS = "admin:conversations_conversation_changelist"
MEMORIES = "admin:conversations_difyconversation_changelist"


@pytest.fixture
def memory(bot: Bot, conversation: Conversation) -> DifyConversation:
    return make_memory(conversation, app_of(bot), dify_conversation_id="dc-1")


def press(
    client: Client, page: str, action: str, *ids: int, **more: str
) -> HttpResponse:
    data = {"action": action, "_selected_action": [str(pk) for pk in ids], **more}
    return client.post(reverse(page), data)  # type: ignore[return-value]


def told(response: HttpResponse) -> list[str]:
    return [str(message) for message in get_messages(response.wsgi_request)]  # type: ignore[attr-defined]


def a_user(client: Client, *codenames: str) -> None:
    """Log in somebody of the staff with these permissions."""
    user = User.objects.create(username="olga", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
    client.force_login(user)


# --- Pausing ---


def test_pausing_and_resuming(admin_client: Client, conversation: Conversation) -> None:
    paused = press(admin_client, CONVERSATIONS, "pause_bot", conversation.pk)
    conversation.refresh_from_db()
    assert conversation.paused
    assert told(paused) == ["The bot is silent in 1 conversation from now on."]
    again = press(admin_client, CONVERSATIONS, "pause_bot", conversation.pk)
    assert told(again)[-1] == "1 conversation was so already."
    page = admin_client.get(
        reverse("admin:conversations_conversation_change", args=[conversation.pk])
    )
    assert "The bot is paused here." in page.content.decode()

    resumed = press(admin_client, CONVERSATIONS, "resume_bot", conversation.pk)

    conversation.refresh_from_db()
    assert not conversation.paused
    assert told(resumed)[-1] == (
        "The bot may speak again in 1 conversation. It answers only while the status "
        "is “pending”: set that in Chatwoot if it is another one."
    )
    entries = AuditEntry.objects.order_by("pk").values_list("actor", "verb")
    assert list(entries) == [("admin", "paused"), ("admin", "resumed")]


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"labels": ["bot-paused"]}, "The bot is paused by the label “bot-paused”."),
        (
            {"custom_attributes": {"bot_paused": True}},
            "The bot is paused by the custom attribute “bot_paused”.",
        ),
        ({"paused": True}, "The bot is paused here."),
    ],
)
def test_each_way_to_pause_is_seen_and_named(
    admin_client: Client, bot: Bot, changed: dict[str, object], sentence: str
) -> None:
    conversation = make_conversation(bot, **changed)
    other = make_conversation(bot, chatwoot_conversation_id=134, labels=["vip"])

    listed = admin_client.get(reverse(CONVERSATIONS)).context["cl"].result_list
    page = admin_client.get(admin_url(conversation))
    calm = admin_client.get(admin_url(other))

    assert {row.pk: row.is_paused for row in listed} == {
        conversation.pk: True,
        other.pk: False,
    }
    (told_why,) = page.context["why_paused"]
    assert told_why.startswith(sentence)
    assert ">paused</span>" in page.content.decode()
    assert calm.context["why_paused"] == []
    assert ">paused</span>" not in calm.content.decode()


def test_letting_the_bot_speak_says_what_else_silences_it(
    admin_client: Client, bot: Bot
) -> None:
    conversation = make_conversation(bot, paused=True, labels=["bot-paused"])

    response = press(admin_client, CONVERSATIONS, "resume_bot", conversation.pk)

    assert told(response)[-1].startswith("In 1 conversation a label or an attribute")


def test_the_contact_is_shown_with_its_number(admin_client: Client, bot: Bot) -> None:
    named = make_conversation(bot)
    nameless = make_conversation(bot, chatwoot_conversation_id=134, contact_name="")

    listed = admin_client.get(reverse(CONVERSATIONS)).content.decode()

    assert "misty-harbor-412 (#640)" in listed
    assert admin_client.get(admin_url(named)).context["contact"] == (
        "misty-harbor-412 (#640)"
    )
    assert admin_client.get(admin_url(nameless)).context["contact"] == "#640"


def test_who_may_change_conversations_may_pause(
    client: Client, conversation: Conversation
) -> None:
    a_user(client, "view_conversation", "change_conversation")

    press(client, CONVERSATIONS, "pause_bot", conversation.pk)

    conversation.refresh_from_db()
    assert conversation.paused
    assert AuditEntry.objects.get().actor == "olga"


def test_who_may_only_look_does_nothing(
    client: Client, conversation: Conversation, memory: DifyConversation
) -> None:
    a_user(client, "view_conversation", "view_difyconversation")

    for action in ("pause_bot", "resume_bot", "erase_contact"):
        press(client, CONVERSATIONS, action, conversation.pk, confirmed="yes")
    press(client, MEMORIES, "delete_in_dify", memory.pk, confirmed="yes")

    conversation.refresh_from_db()
    memory.refresh_from_db()
    assert not conversation.paused
    assert memory.delete_wanted_at is None
    assert not Erasure.objects.exists()
    assert not AuditEntry.objects.exists()


# --- Deleting in Dify ---


def test_deleting_in_dify_asks_first(
    admin_client: Client, memory: DifyConversation
) -> None:
    response = press(admin_client, MEMORIES, "delete_in_dify", memory.pk)

    text = response.content.decode()
    assert "it cannot be undone" in text
    assert "dc-1 (Support flow)" in text
    memory.refresh_from_db()
    assert memory.delete_wanted_at is None


def test_deleting_in_dify_once_confirmed(
    admin_client: Client, memory: DifyConversation
) -> None:
    response = press(
        admin_client, MEMORIES, "delete_in_dify", memory.pk, confirmed="yes"
    )

    # The job does it, and says of each what came of it: see `test_interventions`.
    job = Job.objects.get()
    assert response["Location"] == admin_url(job)
    assert (job.kind, job.actor) == ("delete_in_dify", "admin")
    assert [(item.title, item.arguments) for item in job.items.all()] == [
        ("dc-1 (Support flow)", {"dify_conversation": memory.pk})
    ]


def test_what_dify_has_forgotten_is_left_alone(
    admin_client: Client, memory: DifyConversation
) -> None:
    DifyConversation.objects.update(deleted_at=timezone.now())

    response = press(
        admin_client, MEMORIES, "delete_in_dify", memory.pk, confirmed="yes"
    )

    assert told(response) == ["Nothing to do: Dify has forgotten these already."]
    assert not AuditEntry.objects.exists()


@pytest.mark.parametrize(
    ("tries", "found"),
    [(0, {"unproven": 1, "failing": 0}), (3, {"unproven": 1, "failing": 1})],
)
def test_what_is_not_proven_is_listed(
    admin_client: Client, memory: DifyConversation, tries: int, found: dict[str, int]
) -> None:
    deletion.want(memory, reason=DifyConversation.End.BY_OPERATOR)
    DifyConversation.objects.update(
        delete_attempts=tries, delete_error="Dify said <no>" if tries else ""
    )

    pages = {
        name: admin_client.get(reverse(MEMORIES), {"deletion": name}) for name in found
    }

    counts = {name: page.context["cl"].result_count for name, page in pages.items()}
    assert counts == found
    text = pages["unproven"].content.decode()
    assert "to be deleted in Dify" in text
    assert ("Dify said &lt;no&gt;" in text) == bool(tries)


# --- Erasing ---


def test_erasing_asks_first_and_names_the_contacts(
    admin_client: Client, bot: Bot, conversation: Conversation
) -> None:
    second = make_conversation(bot, chatwoot_conversation_id=134)

    response = press(
        admin_client, CONVERSATIONS, "erase_contact", conversation.pk, second.pk
    )

    text = response.content.decode()
    assert text.count("#640 misty-harbor-412 (Nordlicht Outdoor)") == 1
    assert not Erasure.objects.exists()


def test_erasing_once_confirmed(
    admin_client: Client, bot: Bot, conversation: Conversation
) -> None:
    second = make_conversation(bot, chatwoot_conversation_id=134)

    response = press(
        admin_client,
        CONVERSATIONS,
        "erase_contact",
        conversation.pk,
        second.pk,
        confirmed="yes",
    )

    wish = Erasure.objects.get()
    assert (wish.chatwoot_contact_id, wish.requested_by) == (640, "admin")
    assert f"/conversations/erasure/{wish.pk}/change/" in told(response)[0]


def test_a_conversation_without_a_contact_cannot_be_erased(
    admin_client: Client, bot: Bot
) -> None:
    nobody = make_conversation(bot, chatwoot_contact_id=None)

    response = press(
        admin_client, CONVERSATIONS, "erase_contact", nobody.pk, confirmed="yes"
    )

    assert told(response) == ["No contact is known of this conversation."]
    assert not Erasure.objects.exists()


def test_operators_may_not_erase(client: Client, conversation: Conversation) -> None:
    a_user(client, "view_conversation", "change_conversation")

    press(client, CONVERSATIONS, "erase_contact", conversation.pk, confirmed="yes")

    assert not Erasure.objects.exists()


def test_the_report_lists_what_is_still_in_dify(
    admin_client: Client, bot: Bot, memory: DifyConversation
) -> None:
    wish = Erasure.objects.create(
        account=bot.account,
        chatwoot_contact_id=640,
        requested_by="anna",
        status=Erasure.Status.WAITING_FOR_DIFY,
        erased_here_at=timezone.now(),
        counts={"conversations": 2, "turns": 7},
    )
    DifyConversation.objects.update(erasure=wish, delete_error="Dify is <away>")
    assert memory.conversation is not None
    make_memory(
        memory.conversation,
        memory.app,
        erasure=wish,
        ended_at=timezone.now(),
        deleted_at=timezone.now(),
    )

    page = admin_client.get(
        reverse("admin:conversations_erasure_change", args=[wish.pk])
    ).content.decode()
    listed = admin_client.get(reverse("admin:conversations_erasure_changelist"))

    assert "turns: 7" in page
    assert "Dify is &lt;away&gt;" in page
    assert "erased here, not yet in Dify" in page
    assert page.count(">dc-1</a>") == 1
    assert listed.context["cl"].result_list[0].in_dify == 1
    all_of_it = reverse(MEMORIES) + f"?erasure__id__exact={wish.pk}"
    assert admin_client.get(all_of_it).context["cl"].result_count == 2


def test_a_report_does_not_speak_of_dify_before_anybody_looked(
    admin_client: Client, bot: Bot
) -> None:
    wish = Erasure.objects.create(
        account=bot.account, chatwoot_contact_id=640, requested_by="anna"
    )

    page = admin_client.get(admin_url(wish)).content.decode()
    listed = admin_client.get(
        reverse("admin:conversations_erasure_changelist")
    ).content.decode()

    assert "Not looked at yet" in page
    assert "Nothing that we know of" not in page
    assert ">requested</span>" in page
    assert "not looked at yet" in listed


def test_audit_details_are_words_and_name_the_contact_first(
    admin_client: Client, bot: Bot
) -> None:
    entry = audit.record(
        AuditEntry.Verb.ERASED_CONTACT,
        actor="anna",
        account=bot.account,
        counts={"events": 31, "dify_conversations": 2},
        erasure=3,
        chatwoot_contact_id=640,
    )
    audit.record(
        AuditEntry.Verb.DELETED_IN_DIFY,
        account=bot.account,
        reason="by_operator",
        was_there=True,
    )

    page = admin_client.get(admin_url(entry)).content.decode()
    listed = admin_client.get(
        reverse("admin:conversations_auditentry_changelist")
    ).content.decode()

    assert (
        "<li>contact: #640</li><li>report: #3</li>"
        "<li>deleted: Dify conversations 2, events 31</li>" in page
    )
    assert (
        "contact: #640; report: #3; deleted: Dify conversations 2, events 31" in listed
    )
    assert "because: an operator deleted it; was still in Dify: yes" in listed
    assert "press “History”" in listed


def test_each_state_has_a_badge_and_each_kind_a_name() -> None:
    assert set(ERASURE_TONES) == set(Erasure.Status.values)
    assert set(KIND_NAMES) >= {"conversations", "dify_conversations", "events"}


# --- Retention ---


def test_the_list_of_limits_tells_the_defaults(admin_client: Client) -> None:
    page = admin_client.get(
        reverse("admin:conversations_retention_changelist")
    ).content.decode()

    assert (
        "webhooks as received are kept for 30 days, events and runs with their texts "
        "for 180 days." in page
    )


def test_limits_are_set_for_an_account(admin_client: Client, bot: Bot) -> None:
    data = {
        "account": bot.account.pk,
        "payload_days": 10,
        "text_days": "",
        "history_days": 90,
    }
    admin_client.post(reverse("admin:conversations_retention_add"), data)
    limits = Retention.objects.get()
    assert (limits.payload_days, limits.text_days, limits.history_days) == (
        10,
        None,
        90,
    )
    done = timezone.now() - timedelta(days=10)
    Retention.objects.update(payloads_done_until=done)

    url = reverse("admin:conversations_retention_change", args=[limits.pk])
    admin_client.post(url, {**data, "text_days": 5, "payload_days": 0})
    limits.refresh_from_db()
    assert limits.payload_days == 10
    admin_client.post(url, {**data, "text_days": 5})

    limits.refresh_from_db()
    assert (limits.text_days, limits.account) == (5, bot.account)
    assert limits.payloads_done_until == done


def test_dify_conversations_are_found_by_the_conversation_s_number(
    admin_client: Client,
    bot: Bot,
    conversation: Conversation,
    memory: DifyConversation,
) -> None:
    make_conversation(bot, chatwoot_conversation_id=7)
    with CaptureQueriesContext(connection) as queries:
        page = admin_client.get(
            reverse(MEMORIES), {"q": str(conversation.chatwoot_conversation_id)}
        )
        nothing = admin_client.get(reverse(MEMORIES), {"q": "7"})

    assert [row.pk for row in page.context["cl"].result_list] == [memory.pk]
    assert list(nothing.context["cl"].result_list) == []
    # A join would be read as a whole.
    joined = re.compile(r" OR .{0,80}chatwoot_conversation_id")
    assert not [q["sql"] for q in queries if joined.search(q["sql"])]
