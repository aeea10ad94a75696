"""Refusals, inputs and conversations of the played Dify, version by version."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from sandbox.json_types import Json
from sandbox.tests.conftest import Sandbox, events_of

NEW = ["1.12", "1.14"]


def test_keys(sandbox: Sandbox) -> None:
    url = "/v1/info"
    answers = {
        None: "Authorization header must be provided and start with 'Bearer'",
        "Basic abc": "Authorization scheme must be 'Bearer'",
        "Bearer app-unknown": "Access token is invalid",
    }
    for header, text in answers.items():
        headers = {"Authorization": header} if header else {}
        response = sandbox.client.get(url, headers=headers)
        expected = {"code": "unauthorized", "message": text, "status": 401}
        assert (response.status_code, response.json()) == (401, expected)


def test_info_tells_the_mode_except_in_0_15(sandbox: Sandbox) -> None:
    assert sandbox.dify("GET", "/info", mode="agent").json()["mode"] == "agent"
    sandbox.set(dify_version="0.15")
    old = sandbox.dify("GET", "/info", mode="agent-chat").json()
    assert sorted(old) == ["description", "name", "tags"]


def test_wrong_mode(sandbox: Sandbox) -> None:
    body = {"inputs": {}, "query": "x", "user": "u"}
    codes = [
        sandbox.dify("POST", "/chat-messages", body, mode="workflow").json()["code"],
        sandbox.dify("POST", "/workflows/run", body, mode="chat").json()["code"],
        sandbox.dify("POST", "/completion-messages", body, mode="chat").json()["code"],
    ]
    assert codes == ["not_chat_app", "not_workflow_app", "app_unavailable"]


def test_unknown_path_is_html_and_wrong_method_json(sandbox: Sandbox) -> None:
    unknown = sandbox.dify("GET", "/nope")
    assert unknown.status_code == 404
    assert unknown.text.startswith("<!doctype html>")
    method = sandbox.dify("GET", "/chat-messages")
    assert (method.status_code, method.json()["code"]) == (405, "method_not_allowed")


@pytest.mark.parametrize(
    ("change", "code", "part"),
    [
        ({"user": None}, "invalid_param", "Arg user must be provided."),
        ({"query": ""}, "invalid_param", "query is required"),
        ({"query": 5}, "invalid_param", "Input should be a valid string"),
        ({"inputs": []}, "invalid_param", "Input should be a valid dictionary"),
        ({"response_mode": "sse"}, "invalid_param", "Input should be 'blocking' or"),
        ({"conversation_id": "x"}, "invalid_param", "must be a valid UUID"),
    ],
)
def test_bad_fields(sandbox: Sandbox, change: Json, code: str, part: str) -> None:
    body = {
        "inputs": {"chatwoot_conversation_id": "1"},
        "query": "x",
        "user": "u",
        "response_mode": "blocking",
    }
    response = sandbox.dify("POST", "/chat-messages", body | change)
    assert response.status_code == 400
    assert response.json()["code"] == code
    assert part in response.json()["message"]


def test_0_15_has_old_style_errors(sandbox: Sandbox) -> None:
    sandbox.set(dify_version="0.15")
    body = {"inputs": {}, "user": "u", "response_mode": "blocking"}
    response = sandbox.dify("POST", "/chat-messages", body)
    assert response.json() == {
        "code": "invalid_param",
        "message": "Missing required parameter in the JSON body",
        "params": "query",
    }


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("chatwoot_conversation_id", None, "{} is required in input form"),
        ("chatwoot_conversation_id", 7, "(type 'text-input') {} in input form must"),
        ("chatwoot_conversation_id", "x" * 49, "{} in input form must be less than 48"),
        ("contact_name", True, "(type 'text-input') {} in input form must be a string"),
        ("language", "xx", "{} in input form must be one of the following:"),
        ("message_count", "many", "{} in input form must be a valid number"),
    ],
)
def test_refused_inputs(
    sandbox: Sandbox, name: str, value: object, message: str
) -> None:
    inputs = {"chatwoot_conversation_id": "7", name: value}
    response = sandbox.ask(inputs=inputs, response_mode="blocking")
    assert response.status_code == 400
    assert response.json()["message"].startswith(message.format(name))


def test_accepted_inputs(sandbox: Sandbox) -> None:
    inputs = {
        "chatwoot_conversation_id": "7",
        "language": "de",
        "message_count": "12.5",
        "returning_customer": "true",
        "contact_name": "x" * 48,
        "undeclared": "gone",
    }
    answer = sandbox.ask(inputs=inputs, response_mode="blocking").json()["answer"]
    assert "message_count = 12.5" in answer
    assert "returning_customer = True" in answer
    assert "undeclared" not in answer


@pytest.mark.parametrize(
    ("version", "seen"), [("0.15", "1"), ("1.12", "2"), ("1.14", "2")]
)
def test_inputs_of_the_second_turn(sandbox: Sandbox, version: str, seen: str) -> None:
    sandbox.set(dify_version=version)
    first = sandbox.ask(
        inputs={"chatwoot_conversation_id": "1"}, response_mode="blocking"
    ).json()
    second = sandbox.ask(
        inputs={"chatwoot_conversation_id": "2"},
        conversation_id=first["conversation_id"],
        response_mode="blocking",
    ).json()
    assert f"chatwoot_conversation_id = {seen}" in second["answer"]
    listed = sandbox.dify("GET", "/conversations?user=u1").json()["data"]
    assert listed[0]["inputs"]["chatwoot_conversation_id"] == "1"


# Conversations.


@pytest.mark.parametrize(
    ("version", "owner", "foreign"),
    [("0.15", 200, 404), ("1.12", 204, 204), ("1.14", 204, 404)],
)
def test_delete(sandbox: Sandbox, version: str, owner: int, foreign: int) -> None:
    sandbox.set(dify_version=version)
    made = sandbox.ask(response_mode="blocking").json()
    path = f"/conversations/{made['conversation_id']}"
    assert sandbox.dify("DELETE", path).status_code == 415
    wrong = sandbox.dify("DELETE", path, {"user": "somebody else"})
    assert wrong.status_code == foreign
    right = sandbox.dify("DELETE", path, {"user": "u1"})
    assert right.status_code == owner
    assert right.text == ('{"result":"success"}' if owner == 200 else "")
    query = f"/messages?user=u1&conversation_id={made['conversation_id']}"
    assert sandbox.dify("GET", query).status_code == 404


def test_conversations_belong_to_user_and_app(sandbox: Sandbox) -> None:
    made = sandbox.ask(response_mode="blocking").json()
    conversation_id = made["conversation_id"]
    for user, mode in [("u2", "advanced-chat"), ("u1", "chat")]:
        path = f"/messages?user={user}&conversation_id={conversation_id}"
        response = sandbox.dify("GET", path, mode=mode)
        assert response.status_code == 404
        assert response.json()["message"].startswith("Conversation Not Exists.")


def test_forget(sandbox: Sandbox) -> None:
    made = sandbox.ask("/forget", mode="chat", response_mode="blocking").json()
    lost = sandbox.ask(mode="chat", conversation_id=made["conversation_id"])
    assert (lost.status_code, lost.json()["code"]) == (404, "not_found")


def test_feedback_rename_and_suggestions(sandbox: Sandbox) -> None:
    made = sandbox.ask(response_mode="blocking").json()
    path = f"/messages/{made['message_id']}"
    like = {"rating": "like", "user": "u1"}
    assert sandbox.dify("POST", f"{path}/feedbacks", like).json()["result"] == "success"
    questions = sandbox.dify("GET", f"{path}/suggested?user=u1").json()["data"]
    assert len(questions) == 3
    rename = {"name": "Order 1042", "user": "u1"}
    conversation = f"/conversations/{made['conversation_id']}"
    renamed = sandbox.dify("POST", f"{conversation}/name", rename).json()
    assert renamed["name"] == "Order 1042"
    listed = sandbox.dify(
        "GET", f"/messages?user=u1&conversation_id={made['conversation_id']}"
    ).json()["data"][0]
    assert listed["feedback"] == {"rating": "like"}
    assert listed["answer"] == made["answer"]


@pytest.mark.parametrize("version", NEW)
def test_conversation_variables(sandbox: Sandbox, version: str) -> None:
    sandbox.set(dify_version=version)
    made = sandbox.ask("first", response_mode="blocking").json()
    path = f"/conversations/{made['conversation_id']}/variables"
    rows = sandbox.dify("GET", f"{path}?user=u1").json()["data"]
    values = {row["name"]: row["value"] for row in rows}
    assert values["last_query"] == "first"
    assert values["turns"] == "1"
    assert values["handoff"] == "False"
    handoff = next(row for row in rows if row["name"] == "handoff")
    put = {"value": True, "user": "u1"}
    changed = sandbox.dify("PUT", f"{path}/{handoff['id']}", put)
    assert changed.json()["value"] == "True"
    wrong = sandbox.dify("PUT", f"{path}/{handoff['id']}", put | {"value": "true"})
    text = "Type mismatch: variable 'handoff' expects boolean, but got string type"
    assert (wrong.status_code, wrong.json()["message"]) == (400, text)
    page = sandbox.dify("GET", f"{path}?user=u1&limit=2").json()
    rest = sandbox.dify("GET", f"{path}?user=u1&last_id={page['data'][-1]['id']}")
    names = [row["name"] for row in page["data"] + rest.json()["data"]]
    assert (page["has_more"], names) == (True, [row["name"] for row in rows])
    filtered = sandbox.dify("GET", f"{path}?user=u1&variable_name=turns")
    assert (filtered.status_code, filtered.json()["code"]) == (500, "unknown")


def test_0_15_has_no_variables(sandbox: Sandbox) -> None:
    sandbox.set(dify_version="0.15")
    made = sandbox.ask(response_mode="blocking").json()
    path = f"/conversations/{made['conversation_id']}/variables?user=u1"
    assert sandbox.dify("GET", path).status_code == 404


# Refusals by command, limits and switches.


@pytest.mark.parametrize(
    ("command", "status", "code"),
    [
        ("/http 401", 401, "unauthorized"),
        ("/http 403", 403, "forbidden"),
        ("/http 404", 404, "not_found"),
        ("/http 429", 429, "rate_limit_error"),
        ("/http 500", 500, "internal_server_error"),
        ("/quota", 400, "provider_quota_exceeded"),
    ],
)
def test_json_refusals(sandbox: Sandbox, command: str, status: int, code: str) -> None:
    response = sandbox.ask(command)
    assert (response.status_code, response.json()["code"]) == (status, code)


@pytest.mark.parametrize("status", [502, 503, 504, 524])
def test_proxy_pages(sandbox: Sandbox, status: int) -> None:
    response = sandbox.ask(f"/http {status}")
    assert response.status_code == status
    assert response.headers["content-type"].startswith("text/html")
    assert "<h1>" in response.text


def test_busy_twice(sandbox: Sandbox) -> None:
    for _ in range(2):
        busy = sandbox.ask("/busy 2", mode="chat")
        assert busy.status_code == 400
        assert busy.json()["code"] == "invalid_param"
        assert busy.json()["message"].startswith(
            "Too many requests. Please try again later."
        )
    assert sandbox.ask("/busy 2", mode="chat").status_code == 200
    assert sandbox.ask("/busy", mode="chat").status_code == 400


def test_switched_off_and_unpublished(sandbox: Sandbox) -> None:
    sandbox.control("PATCH", "/dify/apps/chat", {"enabled": False})
    off = sandbox.ask(mode="chat")
    assert (off.status_code, off.json()["code"]) == (403, "forbidden")
    sandbox.control("PATCH", "/dify/apps/workflow", {"published": False})
    parameters = sandbox.dify("GET", "/parameters", mode="workflow")
    assert parameters.json()["code"] == "app_unavailable"
    run = sandbox.ask(mode="workflow")
    assert run.json()["message"] == "Workflow not published"


# Files.


def test_upload_and_use(sandbox: Sandbox) -> None:
    url = "/v1/files/upload"
    key = {"Authorization": "Bearer app-sandbox-advanced-chat"}
    files = {"file": ("a.png", b"png", "image/png")}
    made = sandbox.client.post(url, headers=key, files=files, data={"user": "u1"})
    assert made.status_code == 201
    assert (made.json()["extension"], made.json()["size"]) == ("png", 3)
    item = {
        "type": "image",
        "transfer_method": "local_file",
        "upload_file_id": made.json()["id"],
    }
    mine = sandbox.ask(files=[item], response_mode="blocking")
    assert mine.status_code == 200
    foreign = sandbox.ask(files=[item], user="u2", response_mode="blocking")
    assert foreign.json()["message"] == "Invalid upload file"
    nothing = sandbox.client.post(url, headers=key, data={"user": "u1"})
    assert nothing.json()["code"] == "no_file_uploaded"
    big = {"file": ("a.png", b"x" * (10 * 1024 * 1024 + 1), "image/png")}
    refused = sandbox.client.post(url, headers=key, files=big, data={"user": "u1"})
    assert (refused.status_code, refused.json()["message"]) == (413, "")


def upload(sandbox: Sandbox, name: str, *, mode: str = "advanced-chat") -> str:
    made = sandbox.client.post(
        "/v1/files/upload",
        headers={"Authorization": f"Bearer app-sandbox-{mode}"},
        files={"file": (name, b"abc", "application/octet-stream")},
        data={"user": "u1"},
    )
    return str(made.json()["id"])


def file_item(kind: str, file_id: str) -> Json:
    return {"type": kind, "transfer_method": "local_file", "upload_file_id": file_id}


def test_files_must_be_of_the_apps_types_and_not_too_many(sandbox: Sandbox) -> None:
    film = file_item("video", upload(sandbox, "a.mp4"))
    packed = file_item("custom", upload(sandbox, "a.zip"))
    picture = file_item("image", upload(sandbox, "a.png"))

    def said(*items: Json) -> str:
        body = sandbox.ask(files=list(items), response_mode="blocking").json()
        return str(body.get("message") or body["answer"])

    assert said(film) == "File validation failed for file: a.mp4"
    assert said(packed) == "File validation failed for file: a.zip"
    assert said(*[picture] * 4) == "Number of image files exceeds the maximum limit 3"
    assert said(picture).endswith("Files: a.png (image, 3 bytes).")
    changes = {"file_types": ["video"], "file_extensions": [".zip"], "max_files": 1}
    sandbox.control("PATCH", "/dify/apps/advanced-chat", changes)
    told = sandbox.dify("GET", "/parameters").json()["file_upload"]
    assert (told["allowed_file_types"], told["number_limits"]) == (["video"], 1)
    assert said(film).endswith("Files: a.mp4 (video, 3 bytes).")
    assert said(packed).endswith("Files: a.zip (custom, 3 bytes).")
    assert said(film, packed) == "Number of files exceeds the maximum limit 1"


def test_files_in_inputs(sandbox: Sandbox) -> None:
    form = [{"file": {"variable": "one", "label": "One", "type": "file"}}]
    sandbox.control("PATCH", "/dify/apps/workflow", {"user_input_form": form})

    def run(value: object) -> Json:
        body = {"inputs": {"one": value}, "user": "u1", "response_mode": "blocking"}
        answer: Json = sandbox.dify(
            "POST", "/workflows/run", body, mode="workflow"
        ).json()
        return answer

    item = file_item("image", upload(sandbox, "a.png", mode="workflow"))
    outputs = str(run(item)["data"]["outputs"])
    assert "Files: a.png (image, 3 bytes)." in outputs
    assert run("a.png")["message"] == "one in input form must be a file"
    unknown = run(file_item("image", "0"))
    assert unknown["message"] == "Invalid upload file"


def test_openai_like_transcription(sandbox: Sandbox) -> None:
    url, key = "/openai/v1/audio/transcriptions", "Bearer sandbox-openai-key"

    def answer(name: str = "voice.ogg", *, key: str = key, model: str = "w") -> Json:
        response = sandbox.client.post(
            url,
            headers={"Authorization": key},
            files={"file": (name, b"abc", "audio/ogg")},
            data={"model": model} if model else {},
        )
        shown: Json = response.json()
        return {"status": response.status_code, **shown}

    assert answer() == {"status": 200, "text": "(a voice of 3 bytes)"}
    assert answer(key="Bearer x")["status"] == 401
    assert answer("voice.opus")["error"]["message"].startswith("Invalid file format")
    assert answer(model="")["error"]["message"] == (
        "you must provide a model parameter"
    )


def test_openai_like_answers(sandbox: Sandbox) -> None:
    url, key = "/openai/v1/chat/completions", "Bearer sandbox-openai-key"
    question = [{"role": "user", "content": "Where is my order?"}]
    says = "You asked: “Where is my order?”. I am sandbox-model and was told: user."

    def answer(*, key: str = key, **body: Any) -> httpx.Response:
        sent = {"model": "sandbox-model", "messages": question, **body}
        headers = {"Authorization": key}
        return sandbox.client.post(url, headers=headers, json=sent)

    whole = answer().json()
    assert whole["choices"][0]["message"]["content"] == says
    assert whole["usage"]["total_tokens"] == 4 + len(says.split())
    lines = answer(stream=True).text.split("\n\n")
    assert [json.loads(one[6:])["choices"][0]["delta"] for one in lines[:2]] == [
        {"content": "You "},
        {"content": "asked: "},
    ]
    assert lines[-2:] == ["data: [DONE]", ""]
    assert answer(key="Bearer x").status_code == 401
    assert answer(model="gpt-9").status_code == 404
    assert answer(messages=[]).status_code == 400
    listed = sandbox.client.get("/openai/v1/models", headers={"Authorization": key})
    assert [row["id"] for row in listed.json()["data"]] == [
        "sandbox-model",
        "whisper-1",
    ]


def test_first_event_carries_the_ids(sandbox: Sandbox) -> None:
    first = events_of(sandbox.ask().text)[1]
    assert first["event"] == "workflow_started"
    for name in ("conversation_id", "message_id", "task_id", "workflow_run_id"):
        assert first[name]
