"""What a flow's arguments may hold, and what never leaves the bridge in them."""

from __future__ import annotations

from datetime import timedelta
from time import monotonic
from typing import Any

import pytest
from django.utils import timezone

from bridge_project.lib.types import JsonValue
from chatwoot_api.client import Upload
from conversations.actions import change, send_message, update_contact
from conversations.actions.lock import alone
from conversations.models import ActionLock, Bot
from conversations.tests.factories import app_of
from conversations.tests.sandbox_chatwoot import SandboxChatwoot, target_of

HALF_A_MILLION = "a," * 500_000


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("labels_add", ",".join(f"label-{i}" for i in range(101))),
        ("labels_set", [f"label-{i}" for i in range(101)]),
        ("labels_remove", HALF_A_MILLION),
        ("labels_add", ["a"] * 20_000),
        ("labels_add", [["a"] * 9_000, ["b"] * 9_000]),
        ("custom_attributes", {f"key_{i}": 1 for i in range(201)}),
        ("custom_attributes", {"key": list(range(20_000))}),
        ("contact_attributes", {f"key_{i}": 1 for i in range(201)}),
        ("custom_attributes_remove", HALF_A_MILLION),
    ],
)
def test_refuses_too_many_values_before_anything_else(
    sandbox: SandboxChatwoot, sandbox_bot: Bot, name: str, value: Any
) -> None:
    number = sandbox.start()

    (outcome,) = change(target_of(number, bot=sandbox_bot), {name: value})

    assert (outcome.result, outcome.code) == ("refused", "bad_value")
    assert f"“{name}” holds" in outcome.message
    assert sandbox.calls() == []


@pytest.mark.parametrize(
    "wanted",
    [
        {"content_type": "input_select", "items": HALF_A_MILLION},
        {"content_type": "input_select", "items": [f"{i}" for i in range(101)]},
        {"attachment_urls": [f"https://shop.example/{i}" for i in range(16)]},
        {"attachment_urls": HALF_A_MILLION},
    ],
)
def test_refuses_messages_with_too_much(
    sandbox: SandboxChatwoot, sandbox_bot: Bot, wanted: dict[str, Any]
) -> None:
    outcome = send_message(
        target_of(sandbox.start(), bot=sandbox_bot), {"content": "Choose:", **wanted}
    )

    assert (outcome.result, outcome.code) == ("refused", "bad_value")
    assert sandbox.calls() == []


def test_takes_as_many_as_are_allowed(
    sandbox: SandboxChatwoot, sandbox_bot: Bot
) -> None:
    number = sandbox.start()
    wanted: dict[str, Any] = {
        "labels_add": [f"label-{i}" for i in range(100)],
        "custom_attributes": {f"key_{i}": i for i in range(200)},
    }

    outcomes = change(target_of(number, bot=sandbox_bot), wanted)

    assert {outcome.result for outcome in outcomes} == {"applied"}


@pytest.mark.parametrize(
    "url", ["http://[", "http://[::1", "http://a\u2100b.com/", "http://a:b/"]
)
def test_refuses_what_is_no_address(
    sandbox: SandboxChatwoot, sandbox_bot: Bot, url: str
) -> None:
    outcome = send_message(
        target_of(sandbox.start(), bot=sandbox_bot), {"attachment_urls": [url]}
    )

    assert (outcome.result, outcome.code) == ("refused", "address_refused")


@pytest.mark.parametrize("path", ["/api/v1/accounts/1/conversations", "/v1/parameters"])
def test_the_own_servers_other_pages_are_no_files(
    sandbox: SandboxChatwoot, sandbox_bot: Bot, path: str
) -> None:
    """The sandbox plays both on 127.0.0.1."""
    number = sandbox.start()
    app_of(sandbox_bot).base_url = f"{sandbox.base_url}/v1"

    outcome = send_message(
        target_of(number, bot=sandbox_bot),
        {"content": "See:", "attachment_urls": [sandbox.base_url + path]},
    )

    assert (outcome.result, outcome.code) == ("refused", "address_refused")
    assert f"GET {path}" not in sandbox.calls()


def test_a_file_of_the_own_chatwoot_is_sent(
    sandbox: SandboxChatwoot, sandbox_bot: Bot
) -> None:
    number = sandbox.start()
    target = target_of(number, bot=sandbox_bot)
    file = Upload(name="a.txt", content_type="text/plain", content=b"hello")
    send_message(target, {"content": "See:"}, files=[file])
    url = sandbox.state(number)["messages"][-1]["attachments"][0]["data_url"]
    assert "/rails/active_storage/" in url

    outcome = send_message(target, {"content": "Again:", "attachment_urls": [url]})

    assert (outcome.result, outcome.extra["attachments"]) == ("applied", 1)


TOKENS = ["bridge-bot-" + "x" * 43, "bridge-conv-" + "y" * 60]


@pytest.mark.parametrize("token", TOKENS)
def test_no_token_of_the_bridge_reaches_chatwoot(
    sandbox: SandboxChatwoot, sandbox_bot: Bot, token: str
) -> None:
    number = sandbox.start()
    target = target_of(number, bot=sandbox_bot)
    said = f"The token is {token}."

    outcomes = change(
        target,
        {
            "custom_attributes": {"topic_text": said, token: "1", "list": [said]},
            "contact_attributes": {"remark": said},
            "labels_add": [token],
            "labels_remove": ["other", token],
            "note": said,
        },
    )
    outcomes.append(update_contact(target, {"name": said, "identifier": token}))
    items: list[JsonValue] = [{"title": said, "value": token}]
    outcomes.append(
        send_message(
            target,
            {"content": said, "content_type": "input_select", "items": items},
            files=[Upload(name=token, content_type="text/plain", content=b"x")],
        )
    )
    outcomes.append(send_message(target, {"content": said}))

    assert {outcome.result for outcome in outcomes} == {"applied"}
    state = sandbox.state(number)
    assert state["messages"][-1]["content"] == "The token is [secret]."
    assert state["custom_attributes"]["topic_text"] == "The token is [secret]."
    assert token not in str(sandbox.control("GET", "/wire"))
    assert token not in str(state)
    contact = sandbox.api("GET", f"/conversations/{number}")["meta"]["sender"]
    assert token not in str(contact)


def test_the_lock_outlives_the_last_call_and_clocks_that_differ(
    sandbox: SandboxChatwoot, sandbox_bot: Bot
) -> None:
    target = target_of(sandbox.start(), bot=sandbox_bot)

    with alone(target) as short:
        lock = ActionLock.objects.get()
        begins_for_s = short.until - monotonic()
        left_s = (lock.expires_at - timezone.now()) / timedelta(seconds=1)

    # A call connects for 3 s and reads for 8 s; clocks may be 5 s apart.
    assert left_s - begins_for_s > 3 + 8 + 5
