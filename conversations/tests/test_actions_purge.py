"""`purge_dify_conversations`: what was not used for long leaves Dify."""

from __future__ import annotations

import re
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
import responses
from django.core.management import call_command
from django.core.management.base import CommandError
from django.utils import timezone

from conversations.models import Bot, Conversation, DifyConversation
from conversations.tests.factories import DIFY, app_of, make_memory

pytestmark = pytest.mark.django_db

NOT_EXISTS = {
    "code": "not_found",
    "message": "Conversation Not Exists.",
    "status": 404,
}
ONE = re.compile(rf"{re.escape(DIFY)}/v1/conversations/.*")


@pytest.fixture
def memories(bot: Bot, conversation: Conversation) -> list[DifyConversation]:
    """Two that were not used for a year, and one of today."""
    year_ago = timezone.now() - timedelta(days=365)
    app = app_of(bot)
    old = [
        make_memory(conversation, app, last_used_at=year_ago, ended_at=year_ago)
        for _ in range(2)
    ]
    return [*old, make_memory(conversation, app)]


def purge(**options: Any) -> str:
    output = StringIO()
    month_ago = timezone.localdate() - timedelta(days=30)
    defaults = {"before": month_ago.isoformat(), "stdout": output}
    call_command("purge_dify_conversations", **{**defaults, **options})
    return output.getvalue()


def test_deletes_what_is_older_than_the_date(
    memories: list[DifyConversation], wire: responses.RequestsMock
) -> None:
    wire.delete(ONE, status=204)
    wire.get(f"{DIFY}/v1/messages", status=404, json=NOT_EXISTS)

    said = purge(yes=True)

    assert said.splitlines()[-1] == "Done! Dify has forgotten 2 conversations."
    deleted = [
        DifyConversation.objects.get(pk=row.pk).deleted_at is not None
        for row in memories
    ]
    assert deleted == [True, True, False]


def test_only_counts_or_asks_without_a_yes(
    memories: list[DifyConversation], wire: responses.RequestsMock
) -> None:
    assert purge(dry_run=True).startswith("2 Dify conversations were last used before")
    with pytest.raises(CommandError, match="2 Dify conversations .* --yes"):
        purge()

    assert not DifyConversation.objects.exclude(delete_wanted_at=None).exists()
    assert len(wire.calls) == 0


def test_fails_if_one_could_not_be_deleted(
    memories: list[DifyConversation], wire: responses.RequestsMock
) -> None:
    wire.delete(ONE, status=503)

    output = StringIO()
    with pytest.raises(CommandError, match="2 of 2 are still in Dify"):
        purge(yes=True, stdout=output)

    assert "not deleted: " in output.getvalue()
    assert DifyConversation.objects.exclude(delete_wanted_at=None).count() == 2


@pytest.mark.parametrize("name", ["Nordbot", "Other"])
def test_a_bot_may_be_named(
    memories: list[DifyConversation], wire: responses.RequestsMock, name: str
) -> None:
    if name == "Other":
        with pytest.raises(CommandError, match="Known bots: Nordbot"):
            purge(bot=name, dry_run=True)
    else:
        assert purge(bot=name, dry_run=True).startswith("2 ")


@pytest.mark.parametrize("before", ["soon", "2999-01-01", "31.01.2026"])
def test_refuses_odd_dates(before: str) -> None:
    with pytest.raises(CommandError):
        purge(before=before, yes=True)
