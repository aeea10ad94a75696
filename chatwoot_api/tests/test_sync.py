"""The mirrors become what Chatwoot says, all at once or not at all."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import responses
from django.db import connection

from bridge_project.lib.errors import (
    ConfigurationError,
    UnexpectedReply,
    UpstreamUnavailable,
)
from bridge_project.lib.types import JsonObject
from chatwoot_api import sync
from chatwoot_api.models import (
    Agent,
    AttributeDefinition,
    ChatwootAccount,
    Inbox,
    Label,
    Team,
)
from chatwoot_api.refusals import TokenRefused
from chatwoot_api.tests.wired import ADMIN, ROOT, account_values, sent

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
ENDPOINTS = ("teams", "agents", "labels", "custom_attribute_definitions", "inboxes")
LISTS: dict[str, list[dict[str, Any]]] = {
    "teams": [
        {"id": 3, "name": "support", "description": None, "allow_auto_assign": True},
        {"id": 7, "name": "sales", "allow_auto_assign": False},
    ],
    "agents": [{"id": 21, "name": "Marta", "email": "m@shop.test", "role": "agent"}],
    "labels": [{"id": 1, "title": "vip", "color": "#7C3AED"}],
    "custom_attribute_definitions": [
        {
            "id": 31,
            "attribute_key": "region",
            "attribute_display_type": "list",
            "attribute_model": "conversation_attribute",
            "attribute_values": ["Berlin", "Hamburg"],
        }
    ],
    "inboxes": [{"id": 11, "name": "Website", "channel_type": "Channel::WebWidget"}],
}
COUNTS = {
    "teams": 2,
    "agents": 1,
    "labels": 1,
    "attribute_definitions": 1,
    "inboxes": 1,
}


def make(**fields: Any) -> ChatwootAccount:
    return ChatwootAccount.objects.create(**account_values(**fields))


def serve(wire: responses.RequestsMock, *, root: str = ROOT, **lists: Any) -> None:
    """Answer all lists from now on."""
    for name, rows in {**LISTS, **lists}.items():
        body = {"payload": rows} if name in ("labels", "inboxes") else rows
        wire.upsert(responses.GET, f"{root}/{name}", json=body)
    members = re.compile(rf"{re.escape(root)}/teams/\d+/team_members")
    wire.upsert(responses.GET, members, json=LISTS["agents"])


def names() -> dict[str, list[str]]:
    return {
        "teams": list(Team.objects.order_by("name").values_list("name", flat=True)),
        "agents": list(Agent.objects.values_list("name", flat=True)),
        "labels": list(Label.objects.values_list("title", flat=True)),
        "definitions": list(AttributeDefinition.objects.values_list("key", flat=True)),
        "inboxes": list(Inbox.objects.order_by("name").values_list("name", flat=True)),
    }


def test_reads_everything_as_the_administrator(wire: responses.RequestsMock) -> None:
    account = make()
    serve(wire)

    assert sync.pull(account, now=NOW) == COUNTS

    assert sent(wire) == [("GET", f"/{name}", ADMIN, None) for name in ENDPOINTS]
    assert names() == {
        "teams": ["sales", "support"],
        "agents": ["Marta"],
        "labels": ["vip"],
        "definitions": ["region"],
        "inboxes": ["Website"],
    }
    sales, definition = (
        Team.objects.get(name="sales"),
        AttributeDefinition.objects.get(),
    )
    assert (sales.chatwoot_team_id, sales.allow_auto_assign) == (7, False)
    assert (definition.display_type, definition.values) == (
        "list",
        ["Berlin", "Hamburg"],
    )
    assert account.mirrored_at == NOW
    assert ChatwootAccount.objects.get().mirrored_at == NOW


def test_changes_and_deletes_with_chatwoot_but_keeps_inboxes(
    wire: responses.RequestsMock,
) -> None:
    account, other = make(), make(key="other", account_id=9)
    Team.objects.create(account=other, chatwoot_team_id=3, name="theirs")
    serve(wire)
    sync.pull(account, now=NOW)
    kept = Team.objects.get(account=account, name="support").pk

    later = NOW + timedelta(hours=1)
    serve(
        wire,
        teams=[{"id": 3, "name": "helpdesk", "description": "First line"}],
        agents=[],
        labels=[],
        custom_attribute_definitions=[],
        inboxes=[{"id": 12, "name": "API"}],
    )
    sync.pull(account, now=later)

    assert names() == {
        "teams": ["helpdesk", "theirs"],
        "agents": [],
        "labels": [],
        "definitions": [],
        "inboxes": ["API", "Website"],
    }
    team = Team.objects.get(account=account)
    assert (team.pk, team.description) == (kept, "First line")
    assert account.mirrored_at == later


def test_an_inbox_keeps_what_a_list_does_not_say(wire: responses.RequestsMock) -> None:
    account = make()
    Inbox.objects.create(
        account=account, chatwoot_inbox_id=11, name="Old", channel="Channel::Api"
    )
    serve(wire, inboxes=[{"id": 11, "name": "New"}])

    sync.pull(account, now=NOW)

    inbox = Inbox.objects.get()
    assert (inbox.name, inbox.channel) == ("New", "Channel::Api")


def test_what_a_newer_chatwoot_says_breaks_nothing(
    wire: responses.RequestsMock,
) -> None:
    serve(
        wire,
        teams=[
            {"id": 3, "name": "a\x00" + "b" * 400, "description": ["x"]},
            {"id": 3, "name": "the same once more"},
            {"id": "4", "allow_auto_assign": "yes"},
            {"name": "no number"},
            None,
        ],
        agents=[{"id": 1, "role": {"name": "custom"}, "name": "\ud800"}],
        custom_attribute_definitions=[
            {
                "id": 1,
                "attribute_key": "x",
                "attribute_display_type": "a_kind_that_nobody_knows",
                "attribute_model": "company_attribute",
                "attribute_values": "no list",
            }
        ],
    )

    sync.pull(make(), now=NOW)

    assert names()["teams"] == ["", "the same once more"]
    definition = AttributeDefinition.objects.get()
    assert definition.display_type == "a_kind_that_nobody_k"
    assert (definition.model, definition.values) == ("company_attribute", [])


@pytest.mark.parametrize("failing", ENDPOINTS)
def test_a_list_that_cannot_be_read_leaves_all_as_it_was(
    wire: responses.RequestsMock, failing: str
) -> None:
    account = make(mirrored_at=NOW)
    Team.objects.create(account=account, chatwoot_team_id=1, name="known")
    serve(wire)
    wire.upsert(responses.GET, f"{ROOT}/{failing}", status=500)

    with pytest.raises(UpstreamUnavailable):
        sync.pull(account, now=NOW + timedelta(hours=1))
    assert names()["teams"] == ["known"]
    assert ChatwootAccount.objects.get().mirrored_at == NOW


HOURS: JsonObject = {
    "day_of_week": 1,
    "closed_all_day": False,
    "open_hour": 9,
    "open_minutes": 30,
    "close_hour": 17,
    "close_minutes": 0,
    "open_all_day": False,
}


def test_an_inbox_s_business_hours_are_read(wire: responses.RequestsMock) -> None:
    website = LISTS["inboxes"][0]
    odd = {"day_of_week": True, "open_hour": "9", "closed_all_day": 1, "more": "x"}
    hours = {
        "working_hours_enabled": True,
        "working_hours": [HOURS, odd, "?"],
        "timezone": "Europe/Berlin",
    }
    serve(wire, inboxes=[{**website, **hours}])

    sync.pull(make(), now=NOW)

    inbox = Inbox.objects.get()
    assert (inbox.working_hours_enabled, inbox.timezone) == (True, "Europe/Berlin")
    assert inbox.working_hours == [
        HOURS,
        {"closed_all_day": False, "open_all_day": False},
    ]


def test_hours_that_were_switched_off_are_known(wire: responses.RequestsMock) -> None:
    account = make()
    inbox = Inbox.objects.remember(account, chatwoot_id=11, name="", channel="")
    inbox.keep_hours(enabled=True, days=[HOURS.copy()], timezone="UTC")
    serve(wire)

    sync.pull(account, now=NOW)

    inbox.refresh_from_db()
    assert (inbox.working_hours_enabled, inbox.working_hours) == (False, [])


def test_another_server_s_answer_is_no_empty_list(wire: responses.RequestsMock) -> None:
    account = make()
    Team.objects.create(account=account, chatwoot_team_id=1, name="known")
    serve(wire, teams={"hello": "world"})

    with pytest.raises(UnexpectedReply):
        sync.pull(account, now=NOW)
    assert names()["teams"] == ["known"]


def test_an_older_answer_does_not_overwrite_a_newer_one(
    wire: responses.RequestsMock,
) -> None:
    account = make(mirrored_at=NOW)
    Team.objects.create(account=account, chatwoot_team_id=1, name="newer")
    serve(wire)

    sync.pull(account, now=NOW - timedelta(seconds=1))

    assert names()["teams"] == ["newer"]
    assert account.mirrored_at == NOW


def test_needs_the_administrator_s_token(wire: responses.RequestsMock) -> None:
    with pytest.raises(ConfigurationError, match="no administrator token"):
        sync.pull(make(admin_token=""), now=NOW)
    assert len(wire.calls) == 0


def test_a_refused_token_is_noted_and_left_alone(wire: responses.RequestsMock) -> None:
    account = make()
    wire.get(f"{ROOT}/teams", status=401, json={"error": "Invalid Access Token"})

    with pytest.raises(TokenRefused):
        sync.pull(account, now=NOW)
    account.refresh_from_db()
    assert account.admin_token_refused_at is not None
    with pytest.raises(TokenRefused):
        sync.pull(account, now=NOW)
    assert len(wire.calls) == 1


def test_no_transaction_waits_for_chatwoot(
    wire: responses.RequestsMock, transactional_db: None
) -> None:
    open_while_asked: list[bool] = []

    def answer(_request: object) -> tuple[int, dict[str, str], str]:
        open_while_asked.append(connection.in_atomic_block)
        return 200, {}, "[]"

    for name in ENDPOINTS:
        wire.add_callback(responses.GET, f"{ROOT}/{name}", callback=answer)

    sync.pull(make(), now=NOW)

    assert open_while_asked == [False] * 5


@pytest.mark.parametrize(
    ("age_s", "is_read"), [(None, True), (61, True), (60, True), (59, False)]
)
def test_pulls_only_what_is_old(
    wire: responses.RequestsMock, age_s: int | None, is_read: bool
) -> None:
    read_at = None if age_s is None else NOW - timedelta(seconds=age_s)
    account = make(mirrored_at=read_at)
    ChatwootAccount.objects.update(mirrored_at=read_at)
    account.mirrored_at = None  # an object that was loaded long ago
    serve(wire)

    assert sync.pull_if_older(account, than_s=60, now=NOW) is is_read
    assert account.mirrored_at == (NOW if is_read else read_at)
    assert len(wire.calls) == (5 if is_read else 0)


def test_each_account_that_can_be_read_is(wire: responses.RequestsMock) -> None:
    make(key="a", account_id=2)
    make(key="b", account_id=3, admin_token="")
    make(key="c", account_id=4, admin_token_refused_at=NOW)
    unreadable = make(key="d", account_id=5)
    make(key="e", account_id=6)
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE chatwoot_api_chatwootaccount SET admin_token = 'x' WHERE id = %s",
            [unreadable.pk],
        )
    serve(wire)
    wire.upsert(responses.GET, f"{ROOT}/teams", status=500)
    serve(wire, root="https://chat.test/api/v1/accounts/6")

    assert sync.pull_all(now=NOW) == {"read": 1, "failed": 2}
    read = ChatwootAccount.objects.exclude(mirrored_at=None).values_list("key")
    assert list(read) == [("e",)]
    assert len(wire.calls) == 1 + 5 + len(LISTS["teams"])


def test_who_is_in_which_team_is_read_only_when_asked_for(
    wire: responses.RequestsMock,
) -> None:
    account = make()
    serve(wire)
    gone = {"error": "Resource could not be found"}

    sync.pull(account, now=NOW)
    assert set(Team.objects.values_list("member_ids", flat=True)) == {None}

    sync.pull(account, now=NOW, with_members=True)
    serve(wire, teams=[{"id": 3, "name": "support"}, {"id": 8, "name": "returns"}])
    wire.upsert(responses.GET, f"{ROOT}/teams/8/team_members", status=404, json=gone)
    sync.pull(account, now=NOW + timedelta(hours=1), with_members=True)
    # Later readings without members leave alone what is known.
    sync.pull(account, now=NOW + timedelta(hours=2))

    teams = Team.objects.order_by("name").values_list("name", "member_ids")
    assert list(teams) == [("returns", None), ("support", [21])]
