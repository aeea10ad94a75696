"""Reading and writing an account's settings as jobs, against a real played Chatwoot."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.management import call_command

from chatwoot_api import seeding, sync, wish_files, wishes
from chatwoot_api.models import ChatwootAccount, Label, Team, Wish
from conversations import jobs
from conversations.jobs.kinds import pull, push
from conversations.models import AuditEntry, Job
from conversations.tests.sandbox_chatwoot import SandboxChatwoot, make_sandbox_account

pytestmark = pytest.mark.django_db

MARTA, JONAS = "marta.keller@sandbox.test", "jonas.weber@sandbox.test"
WANTED = f"""
teams:
  - {{name: Support, description: Everything, members: [{JONAS}, {MARTA}]}}
  - {{name: Night Shift, allow_auto_assign: false, members: [{MARTA}]}}
  - {{name: sales, members: []}}
labels:
  - {{title: night, color: "#112233", show_on_sidebar: false}}
attributes:
  - {{key: shift, values: [day, night]}}
"""


@pytest.fixture
def account(sandbox: SandboxChatwoot) -> ChatwootAccount:
    return make_sandbox_account(sandbox)


def want(account: ChatwootAccount, text: str) -> None:
    wish_files.take(account, wish_files.read(text), by="lena")


def planned(account: ChatwootAccount, **rest: Any) -> list[tuple[str, seeding.Change]]:
    client = sync.client_of(account)
    return [
        (kind, change)
        for kind in seeding.KINDS
        for change in wishes.plan(client, account, kind, **rest).changes
    ]


def write(
    account: ChatwootAccount, changes: list[tuple[str, seeding.Change]]
) -> dict[str, str]:
    """Do the job; returns what became of each item but the last, which reads."""
    job = jobs.start(
        "push", items=push.items_of(changes), actor="lena", account=account
    )
    jobs.work(job.pk)
    job.refresh_from_db()
    assert job.status == Job.Status.DONE
    *items, last = job.items.order_by("position")
    assert last.status == "done", last.outcome
    return {item.title: f"{item.status}: {item.outcome}" for item in items}


def members(sandbox: SandboxChatwoot, name: str) -> set[str]:
    teams = {row["name"]: row["id"] for row in sandbox.api("GET", "/teams")}
    rows = sandbox.api("GET", f"/teams/{teams[name]}/team_members")
    return {row["email"] for row in rows}


def test_reads_teams_with_their_members(
    sandbox: SandboxChatwoot, account: ChatwootAccount
) -> None:
    assert Team.objects.get(name="support").member_ids is None

    job = jobs.start("pull", items=pull.items(), actor="lena", account=account)
    jobs.work(job.pk)

    item = job.items.get()
    assert (item.status, item.outcome.partition(":")[0]) == (
        "done",
        "Read from Chatwoot",
    )
    rows = {row.email: row.chatwoot_agent_id for row in account.agents.all()}
    known = {rows[mail] for mail in members(sandbox, "support")}
    assert set(Team.objects.get(name="support").member_ids or []) == known
    entry = AuditEntry.objects.get(verb="pulled")
    assert (entry.actor, entry.account, entry.details["counts"]["teams"]) == (
        "lena",
        account,
        3,
    )


def test_writes_what_was_confirmed_and_reads_it_back(
    sandbox: SandboxChatwoot, account: ChatwootAccount
) -> None:
    want(account, WANTED)

    outcomes = write(account, planned(account))

    assert outcomes == {
        "Change team “support”": "done: Changed in Chatwoot, and read back.",
        "Make team “Night Shift”": "done: Made in Chatwoot, and read back.",
        "Change team “sales”": "done: Changed in Chatwoot, and read back.",
        "Make label “night”": "done: Made in Chatwoot, and read back.",
        "Make attribute “shift (conversation)”": "done: Made in Chatwoot, and read "
        "back.",
    }
    assert members(sandbox, "support") == {MARTA, JONAS}
    assert members(sandbox, "night shift") == {MARTA}
    assert members(sandbox, "sales") == set()
    # The mirror knows at once, so nothing differs any more; nor for the commands.
    for kind in seeding.KINDS:
        rows = wishes.compare(account, kind)
        assert {row.state for row in rows if row.wish} == {wishes.State.IN_SYNC}
    assert planned(account) == []
    entries = AuditEntry.objects.filter(verb="pushed").order_by("pk")
    assert [entry.details["name"] for entry in entries] == [
        title.partition("“")[2].rstrip("”") for title in outcomes
    ]


def test_what_was_written_is_the_same_for_the_commands(
    account: ChatwootAccount, tmp_path: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    want(account, WANTED)
    write(account, planned(account))
    path = tmp_path / "all.yaml"
    path.write_text(wish_files.export(account, list(seeding.KINDS)))

    for command in ("seed_teams", "seed_labels", "seed_attributes"):
        call_command(command, str(path), "--dry-run")
        said = capsys.readouterr().out.splitlines()[-1]
        assert said.startswith(
            "Dry run, nothing was changed. It would be: 0 created, 0 updated, 0 deleted"
        )


def test_leaves_out_what_somebody_changed_meanwhile(
    sandbox: SandboxChatwoot, account: ChatwootAccount
) -> None:
    want(account, WANTED)
    changes = planned(account)
    teams = {row["name"]: row["id"] for row in sandbox.api("GET", "/teams")}
    sandbox.api("PATCH", f"/teams/{teams['support']}", {"description": "Theirs"})
    sandbox.api("DELETE", f"/teams/{teams['sales']}")
    sandbox.api("POST", "/teams", {"name": "Night Shift"})
    label = {"title": "night", "color": "#112233", "show_on_sidebar": False}
    sandbox.api("POST", "/labels", label)

    outcomes = write(account, changes)

    assert outcomes == {
        "Change team “support”": "skipped: Somebody has changed it in Chatwoot "
        "meanwhile. Compare again.",
        "Make team “Night Shift”": "skipped: Somebody has made it in Chatwoot "
        "meanwhile, but otherwise. Compare again.",
        "Change team “sales”": "skipped: It is no longer in Chatwoot. Compare again.",
        "Make label “night”": "skipped: Chatwoot already has it so: nothing to do.",
        "Make attribute “shift (conversation)”": "done: Made in Chatwoot, and read "
        "back.",
    }
    assert AuditEntry.objects.filter(verb="pushed").count() == 1


def test_somebody_who_joined_meanwhile_is_not_thrown_out(
    sandbox: SandboxChatwoot, account: ChatwootAccount
) -> None:
    want(account, f"teams: [{{name: returns, members: [{MARTA}]}}]")
    changes = planned(account)
    number = Team.objects.get(name="returns").chatwoot_team_id
    before = members(sandbox, "returns")
    sandbox.api("POST", f"/teams/{number}/team_members", {"user_ids": [1, 2, 3]})

    (outcome,) = write(account, changes).values()

    assert outcome.startswith("skipped: Somebody has changed it")
    assert members(sandbox, "returns") > before


def test_deletes_what_was_ticked(
    sandbox: SandboxChatwoot, account: ChatwootAccount
) -> None:
    adopted = wishes.adopt(account, Wish.Kind.TEAM, by="lena")
    assert adopted == 3
    Wish.objects.filter(name="returns").delete()
    changes = [one for one in planned(account, prune=True) if one[0] == "team"]
    assert [change.verb for _kind, change in changes] == ["delete"]

    first, again = write(account, changes), write(account, changes)

    assert first == {
        "Delete team “returns”": "done: Deleted in Chatwoot, and looked for: it is "
        "gone."
    }
    assert again == {
        "Delete team “returns”": "skipped: It is no longer in Chatwoot: nothing to "
        "delete."
    }
    assert set(Team.objects.values_list("name", flat=True)) == {"support", "sales"}


def test_one_refusal_keeps_nothing_else_back(
    sandbox: SandboxChatwoot, account: ChatwootAccount
) -> None:
    want(account, "attributes: [{key: email, model: contact}, {key: status}, shift]")
    want(account, "labels: [night]")

    outcomes = write(account, planned(account))

    assert {title: text.partition(":")[0] for title, text in outcomes.items()} == {
        "Make attribute “email (contact)”": "failed",
        "Make attribute “status (conversation)”": "failed",
        "Make attribute “shift (conversation)”": "done",
        "Make label “night”": "done",
    }
    said = outcomes["Make attribute “status (conversation)”"]
    assert "Chatwoot says: The key provided is not allowed" in said
    assert Label.objects.filter(title="night").exists()
    # An unknown member is refused with 401, which says nothing against the token.
    account.refresh_from_db()
    assert account.admin_token_refused_at is None


def test_a_wanted_member_who_is_no_agent_is_left_out_with_a_sentence(
    sandbox: SandboxChatwoot, account: ChatwootAccount
) -> None:
    want(account, f"teams: [{{name: returns, members: [ghost@x.test, {MARTA}]}}]")
    plan = wishes.plan(sync.client_of(account), account, "team")

    assert plan.notes == (
        "Left out of team “returns”: no agent of this account has the address "
        "“ghost@x.test”. Invite them in Chatwoot first.",
    )
    write(account, [("team", change) for change in plan.changes])
    assert members(sandbox, "returns") == {MARTA}
