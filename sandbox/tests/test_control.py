"""The control API, the wire log, ordered faults, the page and the process."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from sandbox.settings import BadSetting, Settings, from_environment
from sandbox.tests.conftest import ADMIN, AGENT, Sandbox, free_port

ROOT = Path(__file__).parents[2]


def test_settings_are_checked(sandbox: Sandbox) -> None:
    for bad in ({"dify_version": "2.0"}, {"colour": "red"}, {"sign_webhooks": "yes"}):
        response = sandbox.client.patch("/_sandbox/settings", json=bad)
        assert response.status_code == 400
    changed = sandbox.control("PATCH", "/settings", {"dify_version": "0.15"})
    assert changed["dify_version"] == "0.15"


def test_settings_from_the_environment() -> None:
    settings = from_environment(
        {"SANDBOX_PORT": "8119", "SANDBOX_DIFY_VERSION": "1.12"}
    )
    assert settings.base_url() == "http://127.0.0.1:8119"
    assert settings.dify_version == "1.12"
    with pytest.raises(BadSetting):
        from_environment({"SANDBOX_PORT": "many"})
    with pytest.raises(BadSetting):
        Settings().update({"dify_version": "1.13"})


def test_secret_can_be_changed(sandbox: Sandbox) -> None:
    sandbox.control("PATCH", "/settings", {"secret": "another"})
    shown = sandbox.control("GET", "/overview")["credentials"]["webhook_secret"]
    assert shown == "another"


def test_wire_log_masks_and_filters(sandbox: Sandbox) -> None:
    number = sandbox.start()
    sandbox.api("POST", f"/conversations/{number}/messages", {"content": "x" * 5000})
    sandbox.ask(mode="chat")
    entries = sandbox.control("GET", "/wire")["entries"]
    text = json.dumps(entries)
    assert "sandbox-bot-token" not in text
    assert "app-sandbox-chat" not in text
    assert {row["direction"] for row in entries} == {
        "chatwoot→bridge",
        "bridge→chatwoot",
        "bridge→dify",
    }
    assert all(len(row["request_body"]) <= 4097 for row in entries)
    hooks = sandbox.control("GET", "/wire?direction=chatwoot→bridge&text=pubsub_token")
    shown = re.findall(r'"pubsub_token":"([^"]*)"', json.dumps(hooks).replace("\\", ""))
    assert len(shown) == 2
    assert all("***" in token for token in shown)
    posted = sandbox.control("GET", "/wire?path=/messages&method=POST&status=200")
    assert [row["method"] for row in posted["entries"]] == ["POST"]


def test_what_the_page_shows_is_not_what_the_bridge_fetched(sandbox: Sandbox) -> None:
    for headers in ({"Sec-Fetch-Dest": "image"}, {"Referer": "http://x/"}, {}):
        sandbox.client.get("/rails/active_storage/nothing", headers=headers)

    entries = sandbox.control("GET", "/wire?path=/rails")["entries"]
    assert [row["direction"] for row in entries] == ["bridge→chatwoot"]


def test_events_are_masked_but_delivered_whole(sandbox: Sandbox) -> None:
    sandbox.start()
    body = sandbox.receiver.last("message_created")
    assert "***" not in body["conversation"]["contact_inbox"]["pubsub_token"]


@pytest.mark.parametrize(
    ("kind", "stored"),
    [("status", 0), ("drop", 0), ("status_after", 1), ("drop_after", 1)],
)
def test_faults_before_and_after_storing(
    sandbox: Sandbox, kind: str, stored: int
) -> None:
    number = sandbox.start()
    sandbox.control("POST", "/faults", {"kind": kind, "status": 503})
    path = f"/conversations/{number}/messages"
    if kind.startswith("drop"):
        with pytest.raises(httpx.TransportError):
            sandbox.api("POST", path, {"content": "x"})
    else:
        assert sandbox.api("POST", path, {"content": "x"}).status_code == 503
    assert len(sandbox.state(number)["messages"]) == 1 + stored
    # The order is used up.
    assert sandbox.control("GET", "/faults")["faults"] == []
    assert sandbox.api("POST", path, {"content": "y"}).status_code == 200


def test_hanging_after_storing_is_a_timeout(sandbox: Sandbox) -> None:
    number = sandbox.start()
    sandbox.control("POST", "/faults", {"kind": "hang_after", "delay_s": 5.0})
    with pytest.raises(httpx.ReadTimeout):
        sandbox.client.post(
            f"/api/v1/accounts/1/conversations/{number}/messages",
            json={"content": "x"},
            headers=AGENT,
            timeout=0.3,
        )
    assert len(sandbox.state(number)["messages"]) == 2


def test_fault_only_for_some_content(sandbox: Sandbox) -> None:
    number = sandbox.start()
    order = {"kind": "status", "status": 429, "content": "boom", "times": 2}
    sandbox.control("POST", "/faults", order)
    path = f"/conversations/{number}/messages"
    assert sandbox.api("POST", path, {"content": "fine"}).status_code == 200
    throttled = sandbox.api("POST", path, {"content": "boom"})
    assert (throttled.status_code, throttled.text) == (429, "Retry later\n")


def test_bad_fault_orders(sandbox: Sandbox) -> None:
    for bad in ({}, {"kind": "explode"}, {"kind": "drop", "path": "("}, {"kind": "x"}):
        response = sandbox.client.post("/_sandbox/faults", json=bad)
        assert response.status_code == 400


def test_reset_forgets(sandbox: Sandbox) -> None:
    sandbox.start()
    sandbox.control("POST", "/reset")
    assert sandbox.control("GET", "/conversations") == {"conversations": []}
    assert sandbox.start() == 1


def test_control_wants_json(sandbox: Sandbox) -> None:
    response = sandbox.client.post("/_sandbox/settings", data={"a": "b"})
    assert response.status_code == 405
    form = sandbox.client.post("/_sandbox/conversations", data={"name": "x"})
    assert form.status_code == 415
    unknown = sandbox.client.get("/_sandbox/conversations/99")
    assert unknown.status_code == 404


def test_page_is_served_without_foreign_parts(sandbox: Sandbox) -> None:
    page = sandbox.client.get("/")
    assert page.status_code == 200
    assert "default-src 'self'" in page.headers["content-security-policy"]
    names = ["style.css", "app.js", "view.js", "markdown.js", "icon.svg"]
    for name in names:
        file = sandbox.client.get(f"/page/{name}")
        assert file.status_code == 200
        assert f"/page/{name}" in page.text or name in ("view.js", "markdown.js")
    for name in ("/", "/page/style.css", "/page/app.js"):
        text = sandbox.client.get(name).text
        assert "https://" not in text


def test_stream_tells_about_new_things(sandbox: Sandbox) -> None:
    with sandbox.client.stream("GET", "/_sandbox/stream") as response:
        lines = response.iter_lines()
        assert next(lines) == ": hello"
        with httpx.Client(base_url=sandbox.client.base_url, trust_env=False) as other:
            other.post("/_sandbox/conversations", json={"message": "hi"})
        news = json.loads(
            next(line for line in lines if line.startswith("data:"))[len("data: ") :]
        )
    assert news["type"] in ("wire", "conversation")


def test_process_says_when_ready_and_ends_with_an_open_stream() -> None:
    port = free_port()
    env = {**os.environ, "SANDBOX_PORT": str(port)}
    process = subprocess.Popen(
        [sys.executable, "-m", "sandbox"],
        cwd=ROOT,
        env=env,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    try:
        line = process.stderr.readline()
        assert line.startswith(f"sandbox ready: http://127.0.0.1:{port}")
        url = f"http://127.0.0.1:{port}/_sandbox/stream"
        with httpx.stream("GET", url, trust_env=False) as response:
            assert next(response.iter_lines()) == ": hello"
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=10)
        assert process.stderr.read() == ""
    finally:
        process.kill()
        process.wait()
        process.stderr.close()


def test_a_forms_second_request_reaches_the_contact(sandbox: Sandbox) -> None:
    url = f"{sandbox.receiver.url}/account"
    wish = {"url": url, "subscriptions": ["contact_updated"]}
    sandbox.api("POST", "/webhooks", wish, headers=ADMIN)
    number = sandbox.start(custom_attributes={"order_number": "1"})
    first = sandbox.receiver.last("message_created")["conversation"]["meta"]["sender"]

    path, body = f"/conversations/{number}/contact", {"custom_attributes": {"a": "b"}}
    shown = sandbox.control("PATCH", path, body)
    sandbox.control("PATCH", path, body)
    sandbox.drain()

    assert first["custom_attributes"] == {}
    assert shown["contact"]["custom_attributes"] == {"a": "b"}
    assert shown["custom_attributes"] == {"order_number": "1"}
    told = [r.body for r in sandbox.receiver.received if r.event == "contact_updated"]
    changes = [row for row in told if row["custom_attributes"] == {"a": "b"}]
    # Nothing was changed the second time.
    assert len(changes) == 1
    bad = sandbox.client.patch(f"/_sandbox{path}", json={"custom_attributes": 1})
    assert bad.status_code == 400
