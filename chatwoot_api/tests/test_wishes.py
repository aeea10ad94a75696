"""What is wanted: compared with the mirrors, adopted, imported and exported."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from bridge_project.lib.types import JsonObject
from chatwoot_api import pushing, seed_files, wish_files, wish_rules, wishes
from chatwoot_api.models import (
    Agent,
    AttributeDefinition,
    ChatwootAccount,
    Label,
    Team,
    Wish,
)
from chatwoot_api.seeding import Change
from chatwoot_api.tests.wired import account_values
from chatwoot_api.wishes import Difference, State

pytestmark = pytest.mark.django_db


@pytest.fixture
def account() -> ChatwootAccount:
    return ChatwootAccount.objects.create(**account_values())


def want(account: ChatwootAccount, text: str, *, kind: str = "team") -> None:
    wish_files.take(account, wish_files.read(text, kind=kind), by="lena")


def make_team(account: ChatwootAccount, **values: Any) -> Team:
    row = {"chatwoot_team_id": 3, "name": "support", **values}
    return Team.objects.create(account=account, **row)


def make_agent(account: ChatwootAccount, number: int, mail: str) -> Agent:
    return Agent.objects.create(account=account, chatwoot_agent_id=number, email=mail)


def states(account: ChatwootAccount, kind: str) -> dict[str, State]:
    return {row.name: row.state for row in wishes.compare(account, kind)}


def test_says_how_both_sides_stand(account: ChatwootAccount) -> None:
    for number, name in ((1, "sales"), (2, "support"), (3, "spare")):
        make_team(account, chatwoot_team_id=number, name=name)
    want(account, "- SALES\n- {name: support, description: New}\n- returns")

    assert states(account, "team") == {
        "returns": State.MISSING_THERE,
        "SALES": State.IN_SYNC,
        "spare": State.UNKNOWN_HERE,
        "support": State.DIFFERS,
    }
    (support,) = [row for row in wishes.compare(account, "team") if row.differences]
    assert support.differences == (
        Difference(field="description", there="", wanted="New"),
    )


def test_the_others_account_is_not_compared(account: ChatwootAccount) -> None:
    other = ChatwootAccount.objects.create(**account_values(key="b", account_id=9))
    make_team(other)
    want(other, "- theirs")

    assert wishes.compare(account, "team") == []


@pytest.mark.parametrize(
    ("member_ids", "members", "state", "strangers"),
    [
        ([21, 22], ["J@shop.test", "m@shop.test"], State.IN_SYNC, ()),
        ([21], ["j@shop.test", "m@shop.test"], State.DIFFERS, ()),
        ([21], [], State.DIFFERS, ()),
        ([21], None, State.IN_SYNC, ()),
        (None, ["m@shop.test"], State.IN_SYNC, ()),
        ([21, 99], ["m@shop.test"], State.IN_SYNC, ()),
        ([21], ["m@shop.test", "x@y.z"], State.IN_SYNC, ("x@y.z",)),
    ],
    ids=[
        "any order",
        "somebody is missing",
        "nobody is wanted",
        "nothing is said",
        "never read",
        "somebody is not read yet",
        "no agent",
    ],
)
def test_compares_members_as_far_as_they_are_known(
    account: ChatwootAccount,
    *,
    member_ids: list[int] | None,
    members: list[str] | None,
    state: State,
    strangers: tuple[str, ...],
) -> None:
    make_agent(account, 21, "M@shop.test")
    make_agent(account, 22, "j@shop.test")
    make_team(account, member_ids=member_ids)
    want(account, yaml.safe_dump([{"name": "support", "members": members}]))

    (row,) = wishes.compare(account, "team")

    assert (row.state, row.strangers) == (state, strangers)


def test_what_is_adopted_is_in_sync(account: ChatwootAccount) -> None:
    make_agent(account, 21, "m@shop.test")
    make_team(account, description="First", member_ids=[21])
    Label.objects.create(account=account, chatwoot_label_id=1, title="vip", color="#A")
    for number, kind, values in ((1, "list", ["a"]), (2, "text", []), (3, "map", [])):
        AttributeDefinition.objects.create(
            account=account,
            chatwoot_definition_id=number,
            key=f"k{number}",
            model="contact_attribute",
            display_type=kind,
            values=values,
        )

    counts = [wishes.adopt(account, kind, by="lena") for kind in wishes.WANTED]

    assert counts == [1, 1, 3]
    for kind in wishes.WANTED:
        assert set(states(account, kind).values()) == {State.IN_SYNC}
    assert Wish.objects.get(kind="team").members == ["m@shop.test"]
    assert [wishes.adopt(account, kind, by="lena") for kind in wishes.WANTED] == [0] * 3


def test_adopts_only_what_was_chosen(account: ChatwootAccount) -> None:
    make_team(account)
    make_team(account, chatwoot_team_id=4, name="sales")

    assert wishes.adopt(account, "team", by="lena", identities={"sales"}) == 1
    assert Wish.objects.get().name == "sales"


FILE = """
teams:
- name: sales
- name: support
  description: First line
  allow_auto_assign: false
  members: [m@shop.test]
labels:
- title: vip
  color: "#7C3AED"
  show_on_sidebar: true
attributes:
- key: order
  regex_pattern: ^\\d+$
  regex_cue: digits
- key: region
  name: Region
  model: conversation
  type: list
  values: ["no", Bonn]
"""


def test_a_file_comes_back_as_it_was(account: ChatwootAccount) -> None:
    want(account, FILE)

    text = wish_files.export(account, list(wish_files.READERS))

    assert wish_files.read(text) == wish_files.read(FILE)
    again = wish_files.preview(account, wish_files.read(text), exact=True)
    assert (again.steps, again.unchanged) == ((), 5)
    for kind, read in wish_files.READERS.items():
        alone = yaml.safe_load(wish_files.export(account, [kind]))
        assert isinstance(alone, list)
        assert read(alone) == wish_files.read(FILE)[kind]


def test_what_a_file_does_not_say_stays_wanted(account: ChatwootAccount) -> None:
    want(account, FILE)

    want(account, "- {name: support, description: Second line}")

    wish = Wish.objects.get(name="support")
    assert wish.fields["description"] == "Second line"
    assert (wish.fields["allow_auto_assign"], wish.members) == (False, ["m@shop.test"])
    assert Wish.objects.count() == 5


def test_an_exact_import_forgets_of_its_own_kinds_only(
    account: ChatwootAccount,
) -> None:
    want(account, FILE)

    seeds = wish_files.read("- sales", kind="team")
    assert wish_files.take(account, seeds, by="lena", exact=True) == 1

    assert set(Wish.objects.values_list("kind", "name")) == {
        ("team", "sales"),
        ("label", "vip"),
        ("attribute", "region (conversation)"),
        ("attribute", "order (conversation)"),
    }


def test_json_is_taken_too(account: ChatwootAccount) -> None:
    want(account, '{"teams": [{"name": "a"}], "labels": ["b"]}')
    assert set(Wish.objects.values_list("name", flat=True)) == {"a", "b"}


def test_a_file_that_is_small_but_endless_is_refused() -> None:
    lists = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lists += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]

    with pytest.raises(seed_files.BadFile, match="more than 200000 values"):
        wish_files.read("\n".join(lists), kind="team")


@pytest.mark.parametrize(
    ("kind", "fields", "refused"),
    [
        ("team", {"name": "Anything goes!"}, []),
        ("team", {"name": "x" * 241}, ["name"]),
        ("label", {"title": "vip-2_ü", "color": "#1f93FF"}, []),
        ("label", {"title": "two words", "color": "red"}, ["title", "color"]),
        ("label", {"title": "-vip"}, ["title"]),
        ("attribute", {"attribute_key": "a.b-C_1"}, []),
        ("attribute", {"attribute_key": "a b"}, ["attribute_key"]),
        ("attribute", {"attribute_key": "status"}, ["attribute_key"]),
        (
            "attribute",
            {"attribute_key": "status", "attribute_model": "contact_attribute"},
            [],
        ),
        (
            "attribute",
            {
                "attribute_key": "x",
                "attribute_display_type": "list",
                "attribute_values": [],
            },
            ["attribute_values"],
        ),
    ],
)
def test_knows_what_chatwoot_refuses(
    kind: str, fields: JsonObject, refused: list[str]
) -> None:
    assert [name for name, _why in wish_rules.objections(kind, fields)] == refused


def test_a_change_survives_its_way_to_the_worker() -> None:
    change = Change(
        verb="update",
        name="support",
        number=3,
        fields={"members": ["a@b.c"]},
        before={"members": []},
    )
    assert pushing.from_json(pushing.to_json(change)) == change
