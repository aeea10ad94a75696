"""Contacts are found exactly, made and changed as the administrator."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import requests
import responses

from bridge_project.lib.errors import (
    ConfigurationError,
    NotFound,
    OutcomeUnknown,
    UnexpectedReply,
    UpstreamRejected,
)
from bridge_project.lib.types import JsonObject
from chatwoot_api.refusals import reason_given
from chatwoot_api.tests.wired import ADMIN, ROOT, client, sent

ILSE = {
    "id": 640,
    "name": "Ilse Brandt",
    "email": "Ilse.Brandt@example.test",
    "phone_number": "+4915112345678",
    "identifier": "crm-17",
    "custom_attributes": {"customer_tier": "gold"},
}


def found(*rows: Any, more: bool = False) -> JsonObject:
    return {"meta": {"has_more": more}, "payload": list(rows)}


def test_shows_a_contact(wire: responses.RequestsMock) -> None:
    wire.get(f"{ROOT}/contacts/640", json={"payload": ILSE})

    contact = client().show_contact(640)

    assert (contact.id, contact.name, contact.identifier) == (
        640,
        "Ilse Brandt",
        "crm-17",
    )
    assert contact.custom_attributes == {"customer_tier": "gold"}
    assert sent(wire) == [("GET", "/contacts/640", ADMIN, None)]


def test_reads_what_chatwoot_answers_to_a_search(
    wire: responses.RequestsMock, payload: Callable[[str], JsonObject]
) -> None:
    wire.get(
        f"{ROOT}/contacts/search", json=payload("api/contacts_search_response_200")
    )

    contact = client().find_contact(phone_number="+4915112345678")

    assert contact is not None
    assert (contact.id, contact.identifier) == (640, "")
    path = "/contacts/search?q=%2B4915112345678&page=1"
    assert sent(wire) == [("GET", path, ADMIN, None)]


@pytest.mark.parametrize(
    ("wanted", "is_found"),
    [
        ({"email": "ilse.brandt@EXAMPLE.test"}, True),
        ({"email": "brandt@example.test"}, False),
        ({"identifier": "crm-17"}, True),
        ({"identifier": "CRM-17"}, False),
        ({"phone_number": "+49151"}, False),
    ],
)
def test_what_only_contains_the_text_is_somebody_else(
    wire: responses.RequestsMock, wanted: dict[str, str], is_found: bool
) -> None:
    wire.get(f"{ROOT}/contacts/search", json=found({"id": 1, "name": "x"}, ILSE))

    contact = client().find_contact(**wanted)

    assert (contact.id if contact else None) == (640 if is_found else None)


def test_looks_by_identifier_then_e_mail_then_number(
    wire: responses.RequestsMock,
) -> None:
    wire.get(f"{ROOT}/contacts/search", json=found())

    nobody = client().find_contact(phone_number="+1", email="a@b.test", identifier="x")

    assert nobody is None
    queries = [path.partition("?")[2] for _m, path, _t, _b in sent(wire)]
    assert queries == ["q=x&page=1", "q=a%40b.test&page=1", "q=%2B1&page=1"]


def test_asks_for_nobody_when_nothing_is_known(wire: responses.RequestsMock) -> None:
    assert client().find_contact() is None
    assert len(wire.calls) == 0


def test_looks_at_the_next_pages_but_not_for_ever(wire: responses.RequestsMock) -> None:
    other = {"id": 1, "email": "x@example.test"}
    wire.get(f"{ROOT}/contacts/search", json=found(other, more=True))
    wire.get(f"{ROOT}/contacts/search", json=found(ILSE))
    contact = client().find_contact(identifier="crm-17")
    assert contact is not None
    assert len(wire.calls) == 2

    wire.replace(responses.GET, f"{ROOT}/contacts/search", json=found(other, more=True))
    assert client().find_contact(identifier="crm-18") is None
    assert len(wire.calls) == 2 + 5


def test_makes_a_contact_of_what_is_known(wire: responses.RequestsMock) -> None:
    made = {"payload": {"contact": ILSE, "contact_inbox": {"inbox": None}}}
    wire.post(f"{ROOT}/contacts", json=made)

    contact = client().create_contact(
        name="Ilse Brandt", email="i@example.test", custom_attributes={"tier": 1}
    )

    assert contact.id == 640
    body = {
        "name": "Ilse Brandt",
        "email": "i@example.test",
        "custom_attributes": {"tier": 1},
    }
    assert sent(wire) == [("POST", "/contacts", ADMIN, body)]


def test_a_contact_that_may_have_been_made_is_not_made_again(
    wire: responses.RequestsMock,
) -> None:
    wire.post(f"{ROOT}/contacts", body=requests.ReadTimeout())

    with pytest.raises(OutcomeUnknown):
        client().create_contact(name="Ilse")
    assert len(wire.calls) == 1


def test_says_why_chatwoot_refuses_a_contact(wire: responses.RequestsMock) -> None:
    refusal = {"message": "Email has already been taken", "attributes": ["email"]}
    wire.post(f"{ROOT}/contacts", status=422, json=refusal)

    with pytest.raises(UpstreamRejected) as caught:
        client().create_contact(email="i@example.test")
    assert reason_given(caught.value) == "Email has already been taken"


def test_changes_a_contact(wire: responses.RequestsMock) -> None:
    wire.patch(f"{ROOT}/contacts/640", json={"payload": {**ILSE, "name": "Ilse B."}})
    fields: JsonObject = {"name": "Ilse B.", "custom_attributes": {"tier": "gold"}}

    assert client().update_contact(640, fields).name == "Ilse B."
    assert sent(wire) == [("PATCH", "/contacts/640", ADMIN, fields)]


def test_removes_attributes_of_a_contact(wire: responses.RequestsMock) -> None:
    path = "/contacts/640/destroy_custom_attributes"
    wire.post(f"{ROOT}{path}", json={"payload": ILSE})

    client().remove_contact_attributes(640, ["customer_tier"])

    body = {"custom_attributes": ["customer_tier"]}
    assert sent(wire) == [("POST", path, ADMIN, body)]


@pytest.mark.parametrize("answer", [None, [], {}, {"payload": {"name": "x"}}])
def test_an_answer_without_a_contact_is_none(
    wire: responses.RequestsMock, answer: Any
) -> None:
    wire.get(f"{ROOT}/contacts/640", json=answer)

    with pytest.raises(UnexpectedReply):
        client().show_contact(640)


def test_a_contact_that_is_not_there(wire: responses.RequestsMock) -> None:
    error = {"error": "Resource could not be found"}
    wire.get(f"{ROOT}/contacts/1", status=404, json=error)

    with pytest.raises(NotFound) as caught:
        client().show_contact(1)
    assert reason_given(caught.value) == "Resource could not be found"


def test_contacts_need_an_administrator(wire: responses.RequestsMock) -> None:
    with pytest.raises(ConfigurationError, match="administrator"):
        client(admin_token="").find_contact(email="a@b.test")
    assert len(wire.calls) == 0
