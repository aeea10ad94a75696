"""The commands that read Chatwoot's settings, and make them what a file says."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests
import responses
from django.core.management import CommandError, call_command

from chatwoot_api.models import (
    AttributeDefinition,
    ChatwootAccount,
    Inbox,
    Label,
    Team,
)
from chatwoot_api.tests.test_sync import serve
from chatwoot_api.tests.wired import ADMIN, ROOT, account_values, sent

pytestmark = pytest.mark.django_db

PROJECT = Path(__file__).parents[2]
EXAMPLES = PROJECT / "examples"
DEFINITIONS = "custom_attribute_definitions"
REGION: dict[str, Any] = {
    "id": 31,
    "attribute_key": "region",
    "attribute_display_name": "Region",
    "attribute_display_type": "list",
    "attribute_model": "conversation_attribute",
    "attribute_values": ["Berlin", "Bonn"],
}


@dataclass
class Ran:
    """What a command said; `error` is its CommandError, which exits non-zero."""

    out: list[str]
    err: list[str]
    error: str

    @property
    def last(self) -> str:
        return self.out[-1]


def run(name: str, *arguments: object) -> Ran:
    out, err = io.StringIO(), io.StringIO()
    error = ""
    try:
        call_command(name, *map(str, arguments), stdout=out, stderr=err)
    except CommandError as caught:
        error = str(caught)
    return Ran(out.getvalue().splitlines(), err.getvalue().splitlines(), error)


@pytest.fixture
def account() -> ChatwootAccount:
    return ChatwootAccount.objects.create(**account_values())


@pytest.fixture
def chatwoot(
    wire: responses.RequestsMock, account: ChatwootAccount
) -> responses.RequestsMock:
    """Chatwoot with two teams, one label and one attribute; takes every change."""
    serve(wire)
    wire.upsert(responses.GET, f"{ROOT}/{DEFINITIONS}", json=[REGION])
    for name in ("teams", "labels", DEFINITIONS):
        row = {"id": 50, "attribute_key": "x"}
        wire.post(f"{ROOT}/{name}", json=row)
        wire.patch(re.compile(rf"{ROOT}/{name}/\d+$"), json=row)
        wire.delete(re.compile(rf"{ROOT}/{name}/\d+$"), body="")
    return wire


@pytest.fixture
def file(tmp_path: Path) -> Any:
    def write(content: object, *, name: str = "seed.yaml") -> Path:
        path = tmp_path / name
        is_text = isinstance(content, str)
        path.write_text(str(content) if is_text else json.dumps(content))
        return path

    return write


def changes(wire: responses.RequestsMock) -> list[tuple[str, str, Any]]:
    """Method, path and body of what was not only read, all as the administrator."""
    asked = [row for row in sent(wire) if row[0] != "GET"]
    assert {token for _m, _p, token, _b in asked} <= {ADMIN}
    return [(method, path, body) for method, path, _token, body in asked]


def test_creates_and_updates_teams(chatwoot: responses.RequestsMock, file: Any) -> None:
    path = file(
        """
        - name: " Support "   # Chatwoot has it in lower case
          description: First line
        - name: SALES
          allow_auto_assign: false
        - name: Returns
          description: Goods coming back
          id: 77              # what Chatwoot's own lists say does no harm
          since: Monday
        """
    )

    ran = run("seed_teams", path)

    assert changes(chatwoot) == [
        ("PATCH", "/teams/3", {"description": "First line"}),
        ("POST", "/teams", {"name": "Returns", "description": "Goods coming back"}),
    ]
    assert ran.out == [
        "Not understood, and left out: since.",
        "~ team “support”",
        "    description: “” → “First line”",
        "+ team “Returns”",
        "    name: “Returns”",
        "    description: “Goods coming back”",
        "[1/2] updated team “support”",
        "[2/2] created team “Returns”",
        "Done! 1 created, 1 updated, 0 deleted, 1 unchanged, 0 failed.",
    ]
    assert (ran.err, ran.error) == ([], "")
    # The mirrors know at once.
    assert Team.objects.count() == 2


def test_sets_members_by_their_addresses(
    chatwoot: responses.RequestsMock, file: Any
) -> None:
    agents = [
        {"id": 21, "name": "Marta", "email": "M@shop.test"},
        {"id": 22, "name": "Jonas", "email": "j@shop.test"},
    ]
    members = re.compile(rf"{ROOT}/teams/\d+/team_members")
    chatwoot.upsert(responses.GET, f"{ROOT}/agents", json=agents)
    chatwoot.upsert(responses.GET, members, json=agents[:1])
    chatwoot.patch(members, json=agents)
    chatwoot.delete(members, body="")
    path = file(
        """
        - {name: support, members: [m@shop.test]}
        - {name: sales, members: []}
        - {name: Returns, members: [J@shop.test, m@shop.test, ghost@shop.test]}
        """
    )

    ran = run("seed_teams", path)

    assert changes(chatwoot) == [
        ("DELETE", "/teams/7/team_members", {"user_ids": [21]}),
        ("POST", "/teams", {"name": "Returns"}),
        ("PATCH", "/teams/50/team_members", {"user_ids": [22, 21]}),
    ]
    assert ran.out == [
        "~ team “sales”",
        "    members: - m@shop.test",
        "+ team “Returns”",
        "    name: “Returns”",
        "    members: j@shop.test, m@shop.test",
        "Left out of team “Returns”: no agent of this account has the address "
        "“ghost@shop.test”. Invite them in Chatwoot first.",
        "[1/2] updated team “sales”",
        "[2/2] created team “Returns”",
        "Done! 1 created, 1 updated, 0 deleted, 1 unchanged, 0 failed.",
    ]
    assert [team.member_ids for team in Team.objects.all()] == [[21], [21]]


def test_says_when_only_the_members_could_not_be_set(
    chatwoot: responses.RequestsMock, file: Any
) -> None:
    members = re.compile(rf"{ROOT}/teams/\d+/team_members")
    chatwoot.patch(members, status=401, json={"error": "Invalid User IDs"})

    ran = run("seed_teams", file([{"name": "new", "members": ["m@shop.test"]}]))

    (line,) = ran.err
    assert "The team was made, but its members could not be set" in line
    assert "Chatwoot says: Invalid User IDs." in line
    # It is no refusal of the token.
    assert ChatwootAccount.objects.get().admin_token_refused_at is None


def test_a_second_run_has_nothing_to_do(
    chatwoot: responses.RequestsMock, file: Any
) -> None:
    teams = file([{"name": "Support"}, "Sales"])
    labels = file([{"title": "VIP", "color": "#7c3aed"}], name="labels.json")
    regions = file(["Berlin", "Bonn"], name="regions.json")

    said = [
        run("seed_teams", teams),
        run("seed_labels", labels),
        run("seed_attributes", regions, "--name", "Region"),
    ]

    assert changes(chatwoot) == []
    assert [ran.out for ran in said] == [
        [
            f"Nothing to do: all {words} are as wanted.",
            f"Done! 0 created, 0 updated, 0 deleted, {count} unchanged, 0 failed.",
        ]
        for words, count in (("teams", 2), ("labels", 1), ("attributes", 1))
    ]


def test_a_dry_run_only_says(chatwoot: responses.RequestsMock, file: Any) -> None:
    ran = run("seed_teams", file(["returns"]), "--dry-run", "--prune")

    assert changes(chatwoot) == []
    assert ran.out == [
        "+ team “returns”",
        "    name: “returns”",
        "- team “support”",
        "- team “sales”",
        "Dry run, nothing was changed. It would be: 1 created, 0 updated, 2 deleted, "
        "0 unchanged, 0 failed.",
    ]
    assert Team.objects.count() == 0


def test_what_the_file_does_not_name_stays(
    chatwoot: responses.RequestsMock, file: Any
) -> None:
    ran = run("seed_teams", file(["support"]))

    assert changes(chatwoot) == []
    assert ran.out[0] == "Not in the file, and left as they are: “sales”."


def test_deletes_only_when_that_is_confirmed(
    chatwoot: responses.RequestsMock, file: Any
) -> None:
    path = file(["support", "returns"])

    refused = run("seed_teams", path, "--prune")
    assert changes(chatwoot) == []
    assert "deletes teams for good: here “sales”" in refused.error
    assert "--yes" in refused.error

    done = run("seed_teams", path, "--prune", "--yes")
    assert changes(chatwoot) == [
        ("POST", "/teams", {"name": "returns"}),
        ("DELETE", "/teams/7", None),
    ]
    assert done.last == "Done! 1 created, 0 updated, 1 deleted, 1 unchanged, 0 failed."


def test_what_is_gone_already_counts_as_deleted(
    chatwoot: responses.RequestsMock, file: Any
) -> None:
    gone = {"error": "Resource could not be found"}
    chatwoot.upsert(
        responses.DELETE, re.compile(rf"{ROOT}/teams/\d+$"), status=404, json=gone
    )

    ran = run("seed_teams", file(["support"]), "--prune", "--yes")

    assert ran.last == "Done! 0 created, 0 updated, 1 deleted, 1 unchanged, 0 failed."


def test_one_failure_keeps_nothing_else_back(
    chatwoot: responses.RequestsMock, file: Any
) -> None:
    taken = {"message": "Name has already been taken", "attributes": ["name"]}
    chatwoot.upsert(responses.POST, f"{ROOT}/teams", status=422, json=taken)

    ran = run("seed_teams", file(["one", {"name": "sales", "description": "x"}, "two"]))

    assert [(method, path) for method, path, _body in changes(chatwoot)] == [
        ("POST", "/teams"),
        ("PATCH", "/teams/7"),
        ("POST", "/teams"),
    ]
    assert [line.partition(":")[0] for line in ran.err] == [
        "[1/3] team “one” could not be created",
        "[3/3] team “two” could not be created",
    ]
    assert "Chatwoot says: Name has already been taken." in ran.err[0]
    assert ran.error.startswith("2 of 3 changes failed.")
    assert ran.error.endswith("0 created, 1 updated, 0 deleted, 0 unchanged, 2 failed.")
    assert Team.objects.count() == 2


def test_mirrors_that_cannot_be_read_are_a_failure(
    chatwoot: responses.RequestsMock, file: Any
) -> None:
    chatwoot.upsert(responses.GET, f"{ROOT}/inboxes", status=500)

    ran = run("seed_teams", file(["returns"]))

    assert ran.out[-1] == "[1/1] created team “returns”"
    assert "could not be read" in ran.error
    assert ran.error.endswith("1 created, 0 updated, 0 deleted, 0 unchanged, 0 failed.")


def test_changes_labels(chatwoot: responses.RequestsMock, file: Any) -> None:
    path = file(
        {
            "labels": [
                {"title": "VIP", "description": "Care", "show_on_sidebar": False},
                {"name": "Billing", "colour": "#0891B2"},
            ]
        },
        name="labels.json",
    )

    ran = run("seed_labels", path)

    assert changes(chatwoot) == [
        ("PATCH", "/labels/1", {"description": "Care", "show_on_sidebar": False}),
        ("POST", "/labels", {"title": "Billing", "color": "#0891B2"}),
    ]
    assert "    show_on_sidebar: yes → no" in ran.out
    assert Label.objects.count() == 1


def test_changes_attributes(chatwoot: responses.RequestsMock, file: Any) -> None:
    path = file(
        """
        - key: region
          type: list
          values: [Bonn, Köln, 1]
        - key: region
          model: contact
          values: [Berlin]
        - attribute_key: order_number
          attribute_display_name: Order
          attribute_display_type: 0
          regex_pattern: ^\\d+$
        """
    )

    ran = run("seed_attributes", path)

    assert changes(chatwoot) == [
        ("PATCH", f"/{DEFINITIONS}/31", {"attribute_values": ["Bonn", "Köln", "1"]}),
        (
            "POST",
            f"/{DEFINITIONS}",
            {
                "attribute_key": "region",
                "attribute_display_name": "Region",
                "attribute_display_type": "list",
                "attribute_model": "contact_attribute",
                "attribute_values": ["Berlin"],
            },
        ),
        (
            "POST",
            f"/{DEFINITIONS}",
            {
                "attribute_key": "order_number",
                "attribute_display_name": "Order",
                "attribute_display_type": "text",
                "attribute_model": "conversation_attribute",
                "regex_pattern": "^\\d+$",
            },
        ),
    ]
    assert ran.out[:2] == [
        "~ attribute “region (conversation)”",
        "    attribute_values: + Köln, + 1, - Berlin",
    ]


def test_a_bare_list_is_one_attribute_s_values(
    chatwoot: responses.RequestsMock, file: Any
) -> None:
    path = file(["Bonn", "Berlin"], name="regions.json")

    default = run("seed_attributes", path)
    named = run("seed_attributes", path, "--key", "city", "--name", "Town")

    assert changes(chatwoot) == [
        ("PATCH", f"/{DEFINITIONS}/31", {"attribute_values": ["Bonn", "Berlin"]}),
        (
            "POST",
            f"/{DEFINITIONS}",
            {
                "attribute_key": "city",
                "attribute_display_name": "Town",
                "attribute_display_type": "list",
                "attribute_model": "conversation_attribute",
                "attribute_values": ["Bonn", "Berlin"],
            },
        ),
    ]
    assert default.out[1] == "    attribute_values: in another order"
    assert named.error == ""


def test_companies_attributes_are_not_ours_to_delete(
    chatwoot: responses.RequestsMock, file: Any
) -> None:
    theirs = {**REGION, "id": 32, "attribute_model": "company_attribute"}
    rows = [REGION, theirs, {**REGION, "id": 33, "attribute_key": "old"}]
    chatwoot.upsert(responses.GET, f"{ROOT}/{DEFINITIONS}", json=rows)

    run("seed_attributes", file([{"key": "region"}]), "--prune", "--yes")

    assert changes(chatwoot) == [("DELETE", f"/{DEFINITIONS}/33", None)]


@pytest.mark.parametrize(
    ("command", "content", "says"),
    [
        ("seed_teams", "", "no list of teams"),
        ("seed_teams", "[]", "or an empty one"),
        ("seed_teams", "labels: [a]", "no list of teams"),
        ("seed_teams", "- a: [", "no YAML"),
        ("seed_teams", "- no", "put quotes around them"),
        ("seed_teams", "- description: x", "team 1 of the file has no name"),
        ("seed_teams", "- [a]", "team 1 of the file: “name” must be a text"),
        ("seed_teams", "- {name: a, allow_auto_assign: 1}", "true or false"),
        ("seed_teams", "- {name: a, members: x@y.z}", "“members” must be a list"),
        ("seed_teams", "- {name: a, members: [Marta]}", "“marta” is none"),
        ("seed_teams", "- &a [*a]", "no YAML"),
        ("seed_teams", "- Королёв\n- королев", "the team “королев” twice"),
        ("seed_labels", "- two words", "no spaces, as labels in Chatwoot: two-words"),
        ("seed_attributes", "- {key: a, type: colour}", "must be one of text, number"),
        ("seed_attributes", "- {key: a, model: deal}", "one of conversation, contact"),
        ("seed_attributes", "- {key: a, values: x}", "“values” must be a list"),
        ("seed_attributes", "- {key: a, type: text, values: [x]}", "is no list"),
        ("seed_attributes", "- {key: a}\n- {key: a}", "“a (conversation)” twice"),
    ],
)
def test_a_file_that_is_wrong_changes_nothing(
    chatwoot: responses.RequestsMock, file: Any, command: str, content: str, says: str
) -> None:
    ran = run(command, file(content))

    assert says in ran.error
    assert ran.error.endswith("Nothing was changed.")
    assert len(chatwoot.calls) == 0


def test_other_files_that_are_wrong(
    chatwoot: responses.RequestsMock, file: Any, tmp_path: Path
) -> None:
    bare, whole = file(["a"], name="bare.json"), file([{"key": "a"}], name="whole.json")

    errors = [
        run("seed_teams", tmp_path / "missing.yaml").error,
        run("seed_teams", file("[", name="bad.json")).error,
        run("seed_attributes", bare, "--prune", "--yes").error,
        run("seed_attributes", whole, "--key", "region").error,
    ]

    for error, says in zip(
        errors,
        ("cannot be read", "no JSON", "would delete all others", "--key and --name"),
        strict=True,
    ):
        assert says in error
    assert len(chatwoot.calls) == 0


def test_says_which_accounts_there_are(wire: responses.RequestsMock, file: Any) -> None:
    path = file(["a"])
    assert "no Chatwoot account yet" in run("seed_teams", path).error
    ChatwootAccount.objects.create(**account_values())
    ChatwootAccount.objects.create(**account_values(key="b", account_id=3))

    assert run("seed_teams", path).error.endswith("Known keys: b, shop.")
    assert run("seed_teams", path, "--account", "x").error == (
        "No Chatwoot account has the key “x”. Known keys: b, shop."
    )
    assert "no YAML" in run("seed_teams", file("["), "--account", "b").error
    assert len(wire.calls) == 0


def test_an_account_without_an_administrator_is_not_seeded(
    wire: responses.RequestsMock, file: Any
) -> None:
    ChatwootAccount.objects.create(**account_values(admin_token=""))

    assert "administrator" in run("seed_teams", file(["a"])).error
    assert len(wire.calls) == 0


def test_pulls_each_account(wire: responses.RequestsMock) -> None:
    ChatwootAccount.objects.create(**account_values())
    ChatwootAccount.objects.create(**account_values(key="b", account_id=3))
    ChatwootAccount.objects.create(
        **account_values(key="c", account_id=4, admin_token="")
    )
    serve(wire)
    wire.get("https://chat.test/api/v1/accounts/3/teams", status=500)

    ran = run("pull_chatwoot")

    assert ran.out == [
        "shop: teams 2, agents 1, labels 1, attribute definitions 1, inboxes 1"
    ]
    assert [line.partition(":")[0] for line in ran.err] == ["b", "c"]
    assert ran.error.startswith("1 of 3 accounts were read.")
    assert Inbox.objects.count() == 1

    one = run("pull_chatwoot", "--account", "shop")
    assert (one.last, one.error) == ("Done! 1 of 1 accounts were read.", "")
    assert "Known keys: b, c, shop" in run("pull_chatwoot", "--account", "x").error


@pytest.fixture
def sandbox(tmp_path: Path) -> Iterator[str]:
    """A Chatwoot to play with, in a process of its own."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-m", "sandbox"],
        cwd=PROJECT,
        env={**os.environ, "SANDBOX_PORT": str(port)},
        stderr=subprocess.DEVNULL,
    )
    try:
        url = f"http://127.0.0.1:{port}"
        _wait_for(url, process)
        yield url
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(timeout=20)


def _wait_for(url: str, process: subprocess.Popen[bytes]) -> None:
    for _attempt in range(200):
        assert process.poll() is None
        try:
            requests.get(f"{url}/_sandbox/settings", timeout=5)
        except requests.ConnectionError:
            time.sleep(0.05)
        else:
            return
    raise TimeoutError(url)


def test_the_examples_seed_a_real_server_once(sandbox: str) -> None:
    ChatwootAccount.objects.create(
        **account_values(
            base_url=sandbox, account_id=1, admin_token="sandbox-admin-token"
        )
    )
    wanted = [
        ("seed_teams", EXAMPLES / "teams.yaml"),
        ("seed_labels", EXAMPLES / "labels.yaml"),
        ("seed_attributes", EXAMPLES / "attributes.yaml"),
        ("seed_attributes", EXAMPLES / "regions.json"),
        ("seed_attributes", EXAMPLES / "support_mode.yml"),
    ]

    first = [run(name, path) for name, path in wanted]
    second = [run(name, path) for name, path in wanted]

    assert [ran.error for ran in first + second] == [""] * 10
    assert {ran.out[-2].partition(":")[0] for ran in second} == {"Nothing to do"}
    region = AttributeDefinition.objects.get(key="region")
    assert (region.display_type, region.values) == (
        "list",
        ["Berlin", "Brandenburg", "Hamburg"],
    )
    choice = AttributeDefinition.objects.get(key="support_mode")
    assert (choice.display_type, choice.model, choice.values) == (
        "list",
        "conversation_attribute",
        ["AI agent", "Human", "AI агент", "Человек"],
    )
    support = Team.objects.get(name="support")
    assert support.description == "First line"

    only = run("seed_teams", EXAMPLES / "teams.yaml", "--prune", "--yes")
    assert only.error == ""
    assert set(Team.objects.values_list("name", flat=True)) == {
        "support",
        "sales",
        "returns",
    }
