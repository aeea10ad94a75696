"""What is deleted in Chatwoot, or erased, is really gone from Dify; all is real."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from conversations.tests.test_end_to_end import VERSIONS, Customer, choose, rows
from local_stack.data_dir import PROJECT_ROOT
from local_stack.testing import RunningStack, running_stack, wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

ADMIN = {"api-access-token": "sandbox-admin-token"}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    with running_stack(tmp_path_factory.mktemp("stack") / "data") as running:
        yield running


def manage(stack: RunningStack, *arguments: str) -> str:
    command = [sys.executable, "-m", "local_stack", "exec", "--", "python"]
    local = {"DATABASE_URL": "", "REDIS_URL": "", "LOCAL_DIR": str(stack.local_dir)}
    done = subprocess.run(
        [*command, "manage.py", *arguments],
        cwd=PROJECT_ROOT,
        env={**os.environ, **local},
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout


def in_dify(stack: RunningStack) -> set[str]:
    """The Dify conversations that the sandbox has."""
    url = f"{stack.sandbox}/_sandbox/dify/conversations"
    found: Any = requests.get(url, timeout=10).json()
    return {str(row["id"]) for row in found["conversations"]}


def memory_of(stack: RunningStack, customer: Customer) -> dict[str, Any]:
    (memory,) = rows(
        stack,
        "SELECT d.dify_conversation_id AS id, d.end_reason, d.deleted_at, "
        "c.chatwoot_contact_id AS contact FROM conversations_difyconversation d "
        "JOIN conversations_conversation c ON c.id = d.conversation_id "
        "WHERE c.chatwoot_conversation_id = %s",
        customer.number,
    )
    return memory


def answered(stack: RunningStack, name: str) -> Customer:
    customer = Customer(stack, name=name)
    customer.says("Remember me!")
    customer.is_answered()
    wait_until(
        lambda: (
            not rows(
                stack,
                "SELECT 1 FROM conversations_turn "
                "WHERE status IN ('collecting', 'running')",
            )
        ),
        patience_s=20,
        what="the turn to end",
    )
    return customer


@pytest.mark.parametrize("version", VERSIONS)
def test_an_erased_contact_is_gone_here_and_there(
    stack: RunningStack, version: str
) -> None:
    choose(stack, mode="chat", version=version)
    kept, erased = answered(stack, "Kai"), answered(stack, "Erik")
    stays, goes = memory_of(stack, kept), memory_of(stack, erased)
    assert {stays["id"], goes["id"]} <= in_dify(stack)
    (account,) = rows(stack, "SELECT key FROM chatwoot_api_chatwootaccount")

    report = manage(
        stack, "erase_contact", account["key"], str(goes["contact"]), "--yes"
    )

    assert report.endswith(
        f"Done! Contact #{goes['contact']} is erased here and in Dify.\n"
    )
    assert goes["id"] not in in_dify(stack)
    assert stays["id"] in in_dify(stack)
    left = rows(
        stack,
        "SELECT 1 FROM conversations_webhookevent WHERE chatwoot_conversation_id = %s "
        "UNION ALL SELECT 1 FROM conversations_conversation "
        "WHERE chatwoot_contact_id = %s",
        erased.number,
        goes["contact"],
    )
    assert left == []


def test_what_was_deleted_in_chatwoot_is_deleted_in_dify(stack: RunningStack) -> None:
    choose(stack, mode="chat", version="1.14")
    kept, deleted = answered(stack, "Kim"), answered(stack, "Dora")
    stays, goes = memory_of(stack, kept), memory_of(stack, deleted)
    url = f"{stack.sandbox}/api/v1/accounts/1/conversations/{deleted.number}"
    requests.delete(url, headers=ADMIN, timeout=10).raise_for_status()
    code = (
        "from conversations import housekeeping; from conversations.models import Bot; "
        "Bot.objects.update(dify_delete_policy='when_gone'); "
        "print(housekeeping.look_for_gone()['gone']); "
        "print(housekeeping.delete_in_dify()['deleted'])"
    )

    said = manage(stack, "shell", "--no-imports", "--command", code)

    assert said.split() == ["1", "1"]
    assert goes["id"] not in in_dify(stack)
    assert stays["id"] in in_dify(stack)
    gone = memory_of(stack, deleted)
    assert gone["end_reason"] == "gone"
    assert gone["deleted_at"] is not None
