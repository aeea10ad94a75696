"""The page of teams, labels and attributes: compare, edit, adopt, import, export."""

from __future__ import annotations

import html
import re
from datetime import UTC, datetime
from typing import Any

import pytest
import responses
from django.contrib.auth.models import Group, User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from bridge_project.lib.uploads import SmallFile
from chatwoot_api import wish_files
from chatwoot_api.models import (
    Agent,
    AttributeDefinition,
    ChatwootAccount,
    Label,
    Team,
    Wish,
)
from conversations.models import Job, JobItem
from conversations.tests.factories import CHATWOOT, make_account

pytestmark = pytest.mark.django_db

ROOT = f"{CHATWOOT}/api/v1/accounts/2"


@pytest.fixture
def account() -> ChatwootAccount:
    """An account whose mirror has two of each."""
    account = make_account(mirrored_at=datetime(2026, 11, 22, 12, tzinfo=UTC))
    for number, name in ((21, "Marta"), (22, "Jonas")):
        Agent.objects.create(
            account=account,
            chatwoot_agent_id=number,
            name=name,
            email=f"{name}@shop.test",
        )
    Team.objects.create(
        account=account,
        chatwoot_team_id=3,
        name="support",
        description="First line",
        member_ids=[21],
    )
    Team.objects.create(account=account, chatwoot_team_id=7, name="sales")
    Label.objects.create(
        account=account, chatwoot_label_id=1, title="vip", color="#7C3AED"
    )
    AttributeDefinition.objects.create(
        account=account,
        chatwoot_definition_id=31,
        key="region",
        model="conversation_attribute",
        display_type="list",
        values=["Berlin", "Bonn"],
    )
    return account


@pytest.fixture
def operator_client(client: Client) -> Client:
    user = User.objects.create_user("olga", password="x", is_staff=True)
    user.groups.add(Group.objects.get(name="Operator"))
    client.force_login(user)
    return client


def want(account: ChatwootAccount, text: str) -> None:
    wish_files.take(account, wish_files.read(text, kind="team"), by="lena")


def page(client: Client, **query: Any) -> str:
    answer = client.get(reverse("bridge:wishes"), query)
    assert answer.status_code == 200
    return html.unescape(answer.content.decode())


def states(text: str) -> dict[str, str]:
    """The rows of the table and their states."""
    rows = re.findall(r"<tr>\s*<th scope=\"row\".*?</th>", text, re.DOTALL)
    found = {}
    for row in rows:
        bare = [part for part in re.split(r"\s*<[^>]+>\s*", row) if part.strip()]
        found[bare[0].strip()] = bare[-1].strip()
    return found


def test_shows_side_by_side_what_is_there_and_what_is_wanted(
    admin_client: Client, account: ChatwootAccount
) -> None:
    want(
        account,
        """
        - {name: Support, description: Second line, members: [marta@shop.test]}
        - {name: returns, members: [jonas@shop.test, ghost@shop.test]}
        """,
    )

    text = page(admin_client)
    assert states(text) == {
        "returns": "missing there",
        "sales": "unknown here",
        "Support": "differs",
    }
    assert "<s>First line</s> → Second line" in text
    assert "No agents of this account: ghost@shop.test." in text
    assert "2026-11-22 12:00:00" in text
    assert states(page(admin_client, state="differs")) == {"Support": "differs"}
    assert states(page(admin_client, kind="label")) == {"vip": "unknown here"}
    assert states(page(admin_client, kind="attribute")) == {
        "region (conversation)": "unknown here"
    }


def test_without_an_account_it_leads_to_the_set_up(admin_client: Client) -> None:
    assert reverse("bridge:setup") in page(admin_client)


def test_the_chosen_account_is_shown(
    admin_client: Client, account: ChatwootAccount
) -> None:
    other = make_account(name="Zweiter", account_id=9)
    Team.objects.create(account=other, chatwoot_team_id=1, name="theirs")

    assert states(page(admin_client, account=other.pk)) == {"theirs": "unknown here"}
    assert set(states(page(admin_client))) == {"sales", "support"}


def test_a_long_list_costs_no_more_queries(
    admin_client: Client, account: ChatwootAccount
) -> None:
    def queries() -> int:
        with CaptureQueriesContext(
            connection,
        ) as caught:
            text = page(admin_client, kind="label")
        assert "vip" in text
        return len(caught)

    queries()
    few = queries()
    Label.objects.bulk_create(
        Label(account=account, chatwoot_label_id=n, title=f"x{n}")
        for n in range(100, 400)
    )
    want(account, "labels: [a1, b2, c3]")

    assert queries() == few
    assert len(states(page(admin_client, kind="label"))) == 100
    assert len(states(page(admin_client, kind="label", page=4))) == 4


def test_adopts_one_and_all(admin_client: Client, account: ChatwootAccount) -> None:
    url = reverse("bridge:wishes-adopt", args=[account.pk, "team"])

    admin_client.post(url, {"identity": "support"})
    wish = Wish.objects.get()
    assert (wish.name, wish.fields, wish.members, wish.changed_by) == (
        "support",
        {"name": "support", "description": "First line", "allow_auto_assign": True},
        ["marta@shop.test"],
        "admin",
    )
    admin_client.post(url)
    assert states(page(admin_client)) == {"sales": "in sync", "support": "in sync"}
    # Nobody has read who is in it.
    assert Wish.objects.get(name="sales").members is None


def test_asks_before_it_overwrites_what_is_wanted(
    admin_client: Client, account: ChatwootAccount
) -> None:
    want(account, "- {name: support, description: Mine}")
    url = reverse("bridge:wishes-adopt", args=[account.pk, "team"])

    shown = admin_client.get(url, {"identity": "support"}).content.decode()

    assert "<s>Mine</s> → First line" in shown
    assert Wish.objects.get().fields["description"] == "Mine"
    admin_client.post(url, {"identity": "support"})
    assert Wish.objects.get().fields["description"] == "First line"


def test_forgets_after_asking(admin_client: Client, account: ChatwootAccount) -> None:
    want(account, "- support")
    url = reverse(
        "bridge:wish-forget", args=[account.pk, "team", Wish.objects.get().pk]
    )

    assert admin_client.get(url).status_code == 200
    assert Wish.objects.count() == 1
    assert admin_client.post(url).status_code == 302
    assert Wish.objects.count() == 0


TEAM: dict[str, Any] = {"name": "Returns", "description": "", "allow_auto_assign": ""}
LABEL: dict[str, Any] = {
    "title": "VIP",
    "description": "Care",
    "color": "#7c3aed",
    "show_on_sidebar": "no",
}
ATTRIBUTE: dict[str, Any] = {
    "attribute_key": "tier",
    "attribute_model": "contact_attribute",
    "attribute_display_type": "list",
    "attribute_values": "gold\n silver \n\ngold",
}


@pytest.mark.parametrize(
    ("kind", "data", "name", "fields", "members"),
    [
        ("team", TEAM, "returns", {"name": "returns"}, None),
        (
            "team",
            {
                **TEAM,
                "allow_auto_assign": "no",
                "say_members": "on",
                "members": ["jonas@shop.test"],
            },
            "returns",
            {"name": "returns", "allow_auto_assign": False},
            ["jonas@shop.test"],
        ),
        (
            "label",
            LABEL,
            "vip",
            {
                "title": "vip",
                "description": "Care",
                "color": "#7c3aed",
                "show_on_sidebar": False,
            },
            None,
        ),
        (
            "attribute",
            ATTRIBUTE,
            "tier (contact)",
            {
                "attribute_key": "tier",
                "attribute_model": "contact_attribute",
                "attribute_display_type": "list",
                "attribute_values": ["gold", "silver"],
            },
            None,
        ),
    ],
)
def test_adds_what_is_wanted(
    admin_client: Client,
    account: ChatwootAccount,
    *,
    kind: str,
    data: dict[str, Any],
    name: str,
    fields: dict[str, Any],
    members: list[str] | None,
) -> None:
    url = reverse("bridge:wish-add", args=[account.pk, kind])

    assert admin_client.get(url).status_code == 200
    answer = admin_client.post(url, data)

    assert answer.status_code == 302
    wish = Wish.objects.get()
    assert (wish.kind, wish.name, wish.fields, wish.members) == (
        kind,
        name,
        fields,
        members,
    )


@pytest.mark.parametrize(
    ("kind", "data", "says"),
    [
        ("team", {**TEAM, "name": "SUPPORT"}, "This is wanted already."),
        ("label", {**LABEL, "title": "two words"}, "no spaces in labels"),
        ("attribute", {**ATTRIBUTE, "attribute_key": "email"}, "a field of its own"),
        ("attribute", {**ATTRIBUTE, "attribute_key": "ключ"}, "Latin letters"),
        ("attribute", {**ATTRIBUTE, "attribute_values": ""}, "at least one value"),
        (
            "attribute",
            {**ATTRIBUTE, "attribute_display_type": "text"},
            "Only a list has values.",
        ),
    ],
)
def test_says_what_chatwoot_would_refuse(
    admin_client: Client,
    account: ChatwootAccount,
    *,
    kind: str,
    data: dict[str, Any],
    says: str,
) -> None:
    want(account, "- support")

    answer = admin_client.post(
        reverse("bridge:wish-add", args=[account.pk, kind]), data
    )

    assert answer.status_code == 200
    assert says in answer.content.decode()
    assert Wish.objects.count() == 1


def test_edits_but_does_not_rename(
    admin_client: Client, account: ChatwootAccount
) -> None:
    want(account, "- {name: support, description: Old, members: [ghost@shop.test]}")
    wish = Wish.objects.get()
    url = reverse("bridge:wish-edit", args=[account.pk, "team", wish.pk])

    shown = admin_client.get(url).content.decode()
    assert "Marta · marta@shop.test (in the team in Chatwoot)" in shown
    assert "ghost@shop.test (no agent of this account)" in shown
    admin_client.post(
        url, {**TEAM, "say_members": "on", "members": ["marta@shop.test"]}
    )

    wish.refresh_from_db()
    assert wish.fields == {"name": "support", "description": ""}
    assert wish.members == ["marta@shop.test"]


YAML = """
teams:
  - {name: support, description: First line}
labels: [vip]
attributes:
  - {key: email, model: contact}
"""


def test_imports_after_showing_what_it_changes(
    admin_client: Client, account: ChatwootAccount
) -> None:
    want(account, "- {name: support, description: Old}")
    want(account, "- spare")
    url = reverse("bridge:wishes-import", args=[account.pk])
    file = SimpleUploadedFile("all.yaml", YAML.encode())

    assert admin_client.get(url).status_code == 200
    shown = html.unescape(
        admin_client.post(
            url, {"file": file, "kind": "team", "exact": "on"}
        ).content.decode()
    )

    assert "<s>Old</s> → First line" in shown
    assert "team “spare”</strong>: no longer wanted" in shown
    assert "Chatwoot would refuse “email (contact)”: key: Chatwoot has a field" in shown
    assert Wish.objects.count() == 2
    data = {"text": YAML, "kind": "team", "exact": "on", "confirmed": "yes"}
    assert admin_client.post(url, data).status_code == 302
    assert list(Wish.objects.order_by("name").values_list("kind", "name")) == [
        ("attribute", "email (contact)"),
        ("team", "support"),
        ("label", "vip"),
    ]


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ({"text": "- a: ["}, "no YAML"),
        ({"text": "other: [a]"}, "none of the lists"),
        ({"text": "- {name: x, members: [Marta]}"}, "must be e-mail addresses"),
        ({"text": "- [1]"}, "must be a text"),
        ({"file": SimpleUploadedFile("x.yaml", b"\xff\xfe")}, "no text in UTF-8"),
        ({"text": "&a [*a]"}, "no YAML"),
    ],
)
def test_a_file_that_is_wrong_is_a_sentence(
    admin_client: Client, account: ChatwootAccount, *, data: dict[str, Any], says: str
) -> None:
    url = reverse("bridge:wishes-import", args=[account.pk])

    answer = admin_client.post(url, {"kind": "team", **data})

    assert answer.status_code == 200
    assert says in html.unescape(answer.content.decode())
    assert Wish.objects.count() == 0


def test_exports_one_kind_and_all(
    admin_client: Client, account: ChatwootAccount
) -> None:
    url = reverse("bridge:wishes-export", args=[account.pk])
    assert admin_client.get(url, {"kind": "team"}).status_code == 302

    want(account, YAML)
    one = admin_client.get(url, {"kind": "team"})
    every = admin_client.get(url, {"kind": "all"})

    assert one.content.decode() == "- name: support\n  description: First line\n"
    assert f"teams-{account.key}.yaml" in one["Content-Disposition"]
    assert wish_files.read(every.content.decode()) == wish_files.read(YAML)


def serve(wire: responses.RequestsMock, *, teams: list[dict[str, Any]]) -> None:
    wire.get(f"{ROOT}/teams", json=teams)
    wire.get(f"{ROOT}/labels", json={"payload": []})
    wire.get(f"{ROOT}/custom_attribute_definitions", json=[])


def shown_of(text: str) -> str:
    found = re.search(r'name="shown" value="([^"]+)"', text)
    assert found
    return html.unescape(found[1])


def test_shows_the_difference_and_orders_only_what_is_ticked(
    admin_client: Client, account: ChatwootAccount, wire: responses.RequestsMock
) -> None:
    want(account, "- {name: support, description: New}\n- returns")
    serve(
        wire,
        teams=[
            {"id": 3, "name": "support", "description": "Old"},
            {"id": 7, "name": "sales"},
        ],
    )
    wire.get(f"{ROOT}/conversations/meta", json={"meta": {"all_count": 4}})
    url = reverse("bridge:wishes-push", args=[account.pk])

    text = html.unescape(admin_client.get(url).content.decode())

    assert "<s>Old</s> → New" in text
    assert "4 conversations will have no team." in text
    assert 'value="2" checked' not in text  # deletions are not ticked
    signed = shown_of(text)
    for data in ({}, {"shown": "forged", "change": "0"}, {"shown": signed}):
        assert admin_client.post(url, data).status_code == 302
    refused = admin_client.post(url, {"shown": signed, "change": ["2"]}, follow=True)
    assert "deleting needs the check mark" in refused.content.decode()
    assert Job.objects.count() == 0

    admin_client.post(url, {"shown": signed, "change": ["1", "2"], "really": "yes"})

    job = Job.objects.get()
    assert (job.kind, job.actor, job.account) == ("push", "admin", account)
    assert list(job.items.order_by("position").values_list("title", flat=True)) == [
        "Change team “support”",
        "Delete team “sales”",
        "Teams with members, agents, labels, attributes",
    ]


def test_takes_files_from_people_of_the_admin_and_no_forgeries(
    account: ChatwootAccount, admin_user: User
) -> None:
    url = reverse("bridge:wishes-import", args=[account.pk])
    anybody, admin = Client(), Client()
    forged = Client(enforce_csrf_checks=True)
    for one in (admin, forged):
        one.force_login(admin_user)

    def send(client: Client, content: bytes) -> int:
        file = SimpleUploadedFile("all.yaml", content)
        return client.post(url, {"file": file, "kind": "team"}).status_code

    assert send(anybody, b"[a]") == 302  # to the login
    assert send(forged, b"[a]") == 403
    assert send(admin, b"[a]") == 200
    assert send(admin, b"#" * (SmallFile.MAX_BYTES + 1)) == 400


@pytest.mark.parametrize(
    ("status", "says"),
    [(500, "Chatwoot could not be asked"), (401, "administrator&#x27;s token")],
)
def test_chatwoots_trouble_is_a_sentence(
    admin_client: Client,
    account: ChatwootAccount,
    wire: responses.RequestsMock,
    *,
    status: int,
    says: str,
) -> None:
    wire.get(f"{ROOT}/teams", status=status, json={"error": "Invalid Access Token"})

    answer = admin_client.get(reverse("bridge:wishes-push", args=[account.pk]))

    assert answer.status_code == 200
    assert says in answer.content.decode()


def test_orders_a_reading(admin_client: Client, account: ChatwootAccount) -> None:
    answer = admin_client.post(reverse("bridge:wishes-pull", args=[account.pk]))

    item = JobItem.objects.select_related("job").get()
    assert (item.job.kind, item.job.account) == ("pull", account)
    assert answer.headers["Location"] == reverse(
        "admin:conversations_job_change", args=[item.job.pk]
    )
    assert "Chatwoot is being read." in page(admin_client)


def test_an_operator_sees_but_changes_nothing(
    operator_client: Client, account: ChatwootAccount
) -> None:
    want(account, "- support")
    wish = Wish.objects.get()
    text = page(operator_client)
    assert states(text)["support"] == "in sync"
    for word in ("wishes-push", "wishes-pull", "wishes-import"):
        assert reverse(f"bridge:{word}", args=[account.pk]) not in text
        answer = operator_client.post(reverse(f"bridge:{word}", args=[account.pk]))
        assert answer.status_code == 403
    one = [account.pk, "team", wish.pk]
    for url in (
        reverse("bridge:wish-edit", args=one),
        reverse("bridge:wish-forget", args=one),
        reverse("bridge:wish-add", args=[account.pk, "team"]),
        reverse("bridge:wishes-adopt", args=[account.pk, "team"]),
    ):
        assert url not in text
        assert operator_client.get(url).status_code == 403
        assert operator_client.post(url).status_code == 403
    assert (Wish.objects.count(), Job.objects.count()) == (1, 0)
