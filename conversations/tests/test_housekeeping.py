"""The tasks of beat do what their modules do, and may run twice."""

from __future__ import annotations

import inspect
from datetime import timedelta

import pytest
import responses
from celery import current_app
from django.utils import timezone

from chatwoot_api.models import Team
from conversations import deletion, erasure, housekeeping
from conversations.models import (
    Bot,
    Conversation,
    DifyConversation,
    Erasure,
    Turn,
)
from conversations.tests.conftest import Platforms
from conversations.tests.factories import (
    CHATWOOT,
    DIFY,
    app_of,
    make_account,
    make_conversation,
    make_memory,
    make_turn,
)

pytestmark = pytest.mark.django_db

TASKS = {
    "carry_on_erasures",
    "delete_in_dify",
    "end_idle",
    "look_for_gone",
    "look_for_trouble",
    "note_beat",
    "probe_services",
    "prune",
    "pull_mirrors",
    "roll_up_figures",
}


def test_the_worker_knows_each_task() -> None:
    current_app.loader.import_default_modules()
    prefix = "conversations.housekeeping."
    known = {name.removeprefix(prefix) for name in current_app.tasks if prefix in name}

    assert known == TASKS
    assert "conversations.jobs.task.run_job" in current_app.tasks
    assert "conversations.tasks.run_trial" in current_app.tasks
    assert all(inspect.getdoc(getattr(housekeeping, name)) for name in TASKS)


def test_nothing_to_do_is_harmless() -> None:
    assert housekeeping.delete_in_dify() == {
        "wanted": 0,
        "deleted": 0,
        "failed": 0,
        "put_off": 0,
    }
    assert housekeeping.end_idle() == {"ended": 0, "left": 0, "failed": 0}
    assert housekeeping.look_for_gone() == {"asked": 0, "gone": 0}
    assert housekeeping.prune() == {"more": 0}
    assert housekeeping.carry_on_erasures() == {"done": 0}
    assert housekeeping.pull_mirrors() == {"read": 0, "failed": 0}
    assert set(housekeeping.probe_services().values()) == {0}


def test_wants_by_policy_and_deletes_at_once(
    wire: responses.RequestsMock, bot: Bot, conversation: Conversation
) -> None:
    Bot.objects.update(dify_delete_policy="after_days", dify_delete_after_days=1)
    used = timezone.now() - timedelta(days=2)
    make_memory(
        conversation, app_of(bot), dify_conversation_id="dc-1", last_used_at=used
    )
    wire.delete(f"{DIFY}/v1/conversations/dc-1", status=204)
    body = {"code": "not_found", "message": "Conversation Not Exists."}
    wire.get(f"{DIFY}/v1/messages", status=404, json=body)

    counts = [housekeeping.delete_in_dify() for _ in range(2)]

    assert [(c["wanted"], c["deleted"]) for c in counts] == [(1, 1), (0, 0)]


def test_ends_idle_conversations(platforms: Platforms, bot: Bot) -> None:
    Bot.objects.update(idle_hours=1)
    silent = timezone.now() - timedelta(hours=2)
    make_conversation(bot, last_customer_message_at=silent)

    assert [housekeeping.end_idle()["ended"] for _ in range(2)] == [1, 0]


def test_erasures_go_on_until_they_are_done(
    bot: Bot, conversation: Conversation
) -> None:
    memory = make_memory(conversation, app_of(bot))
    wish = erasure.request(bot.account, 640, by="anna")
    waits = erasure.request(bot.account, 641, by="anna")
    other = make_conversation(
        bot, chatwoot_conversation_id=134, chatwoot_contact_id=641
    )
    expires = timezone.now() + timedelta(seconds=30)
    make_turn(other, bot, status="running", lease_expires_at=expires)

    assert housekeeping.carry_on_erasures() == {"done": 0}
    wish.refresh_from_db()
    assert wish.status == Erasure.Status.WAITING_FOR_DIFY

    now = timezone.now()
    DifyConversation.objects.filter(pk=memory.pk).update(deleted_at=now)
    Turn.objects.update(status="skipped")
    assert housekeeping.carry_on_erasures() == {"done": 2}
    assert housekeeping.carry_on_erasures() == {"done": 0}
    waits.refresh_from_db()
    assert waits.status == Erasure.Status.DONE


def test_deletion_wanted_by_nobody_is_none_of_its_business(
    wire: responses.RequestsMock, bot: Bot, conversation: Conversation
) -> None:
    make_memory(conversation, app_of(bot))

    assert deletion.delete_due(now=timezone.now())["deleted"] == 0
    assert len(wire.calls) == 0


def test_the_mirrors_of_one_account_do_not_wait_for_those_of_another(
    wire: responses.RequestsMock, caplog: pytest.LogCaptureFixture
) -> None:
    make_account(key="away", account_id=7, admin_token="a-token")
    make_account(key="fine", account_id=8, admin_token="a-token")
    make_account(key="no-token", account_id=9, admin_token="")
    refused = timezone.now()
    make_account(
        key="refused", account_id=10, admin_token="x", admin_token_refused_at=refused
    )
    wire.get(f"{CHATWOOT}/api/v1/accounts/7/teams", status=500)
    fine = f"{CHATWOOT}/api/v1/accounts/8"
    wire.get(f"{fine}/teams", json=[{"id": 4, "name": "sales"}])
    for name in ("agents", "labels", "custom_attribute_definitions", "inboxes"):
        wire.get(f"{fine}/{name}", json=[])
    wire.get(f"{fine}/teams/4/team_members", json=[])

    assert housekeeping.pull_mirrors() == {"read": 1, "failed": 1}

    assert list(Team.objects.values_list("account__key", "name")) == [("fine", "sales")]
    assert "could not be read" in caplog.text
    assert len(wire.calls) == 7
