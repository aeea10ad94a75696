"""A row and a test per case: what each failure of Dify means."""

from __future__ import annotations

import json

import pytest

from dify_api.failures import (
    FAILURES,
    NOT_JSON,
    WORKFLOW_FAILED,
    ConversationGone,
    DifyError,
    DifyNotFound,
    DifyRateLimited,
    DifyRejected,
    DifyUnauthorized,
    DifyUnavailable,
    Failure,
    InvalidInputs,
    failure_for,
    failure_for_body,
)
from dify_api.tests import recorded

ERRORS = json.loads((recorded.RECORDINGS / "errors.json").read_text())
# Which class and code each recorded or composed answer must give, by the end of its
# name; the class alone tells what the caller does.
RATE = (DifyRateLimited, "rate_limited")
GONE = (ConversationGone, "conversation_gone")
INPUTS = (InvalidInputs, "invalid_inputs")
REJECTED = (DifyRejected, "rejected")
KEY = (DifyUnauthorized, "unauthorized")
NOT_FOUND = (DifyNotFound, "not_found")
ADDRESS = (DifyNotFound, "wrong_address")
UNAVAILABLE = (DifyUnavailable, "unavailable")
APP = (DifyRejected, "app_unavailable")
MODE = (DifyRejected, "wrong_mode")
FILE = (DifyRejected, "file_refused")
LARGE = (DifyRejected, "too_large")
NODE = (DifyRejected, "run_failed")
MODEL = (DifyUnavailable, "model_call_failed")
PLUGINS = (DifyUnavailable, "plugin_daemon")
EXPECTED: dict[str, tuple[type[DifyError], str]] = {
    "callback/": NODE,
    "conversations/05_bad_uuid_conversation": GONE,
    "conversations/14_delete_no_body": REJECTED,
    "conversations/27_delete_bad_uuid": ADDRESS,
    "conversations/28_delete_no_content_type": REJECTED,
    "0.15.3/conversations/26_variables_deleted": ADDRESS,
    "conversations/": GONE,
    "errors/01_bad_key": KEY,
    "errors/02_no_auth": KEY,
    "errors/03_basic_auth": KEY,
    "errors/12_chat_on_workflow_app": MODE,
    "errors/13_workflow_run_on_chat_app": MODE,
    "errors/14_completion_on_chat_app": APP,
    "errors/15_unknown_route": ADDRESS,
    "errors/19_workflow_id_draft": NOT_FOUND,
    "errors/22_suggested_no_model": NOT_FOUND,
    "errors/23_feedback_unknown": NOT_FOUND,
    "errors/": REJECTED,
    "files/06_upload_too_large": LARGE,
    "files/12_chat_other_users_file": FILE,
    "files/13_chat_unknown_file": FILE,
    "files/16_chat_custom_bin": FILE,
    "files/20_chat_too_many": FILE,
    "files/21_chat_audio_not_allowed": FILE,
    "0.15.3/files/23_preview": ADDRESS,
    "0.15.3/files/24_preview_wrong_user": ADDRESS,
    "0.15.3/files/25_preview_unknown": ADDRESS,
    "files/25_preview_unknown": NOT_FOUND,
    "files/": REJECTED,
    "inputs/05_turn2_no_inputs_key": REJECTED,
    "inputs/": INPUTS,
    "lifecycle/09_limit_blocking": RATE,
    "lifecycle/10_limit_streaming": RATE,
    "lifecycle/11_api_disabled": KEY,
    "lifecycle/12_api_disabled_info": KEY,
    "lifecycle/13_unpublished_app": APP,
    "lifecycle/14_unpublished_parameters": APP,
    "lifecycle/16_deleted_app": KEY,
    "lifecycle/17_deleted_app_later": KEY,
    "llm/05_agent_blocking": MODE,
    "llm/10_chat_llm_500_blocking": MODEL,
    "llm/12_chat_llm_429_blocking": MODEL,
    "llm/15_flow_llm_500_blocking": NODE,
    "meta/09_info_bad_key": KEY,
    "meta/": ADDRESS,
    "node_errors/01_template_no_sandbox_blocking": NODE,
    "1.12.1/node_errors/04_llm_no_plugin_daemon_blocking": NODE,
    "1.14.2/node_errors/04_llm_no_plugin_daemon_blocking": PLUGINS,
    "0.15.3/variables/": ADDRESS,
    "variables/03_filter_name": UNAVAILABLE,
    "variables/10_put_unknown_variable": NOT_FOUND,
    "variables/11_put_wrong_user": GONE,
    "variables/12_get_wrong_user": GONE,
    "variables/": REJECTED,
    "workflow/03_run_missing_input": INPUTS,
    # reference/dify_payloads/errors.json
    "composed: required app variable missing": INPUTS,
    "composed: agent-chat with blocking": MODE,
    "composed: chatflow or workflow never published": APP,
    "composed: blocking chatflow whose run failed": NODE,
    "composed: upload_file_id of another user, or unknown": FILE,
    "composed: app concurrency limit, as the code really answers": RATE,
    "composed: mode agent with blocking": MODE,
    "composed: broken config; wrong mode on completion-messages": APP,
    "composed: workflow or completion app on a chat route": MODE,
    "composed: chat app on a workflow route": MODE,
    "composed: no model credentials; message varies": (
        DifyRejected,
        "model_credentials",
    ),
    "composed: hosted quota used up": (DifyRejected, "model_quota"),
    "composed: model not allowed": (DifyRejected, "model_not_allowed"),
    "composed: model call failed; message is the provider's": MODEL,
    "composed: declared, not raised in 1.14.1": GONE,
    "composed: New Agent": APP,
    "composed: unknown key or key of another kind": KEY,
    "composed: no header": KEY,
    "composed: API switched off": KEY,
    "composed: app deleted": KEY,
    "composed: Cloud sandbox with workflow_id": REJECTED,
    "composed: files/:id/preview": (DifyRejected, "rejected"),
    "composed: plain form (DELETE, older versions)": GONE,
    "composed: same error with flask-restx's hint (>= 1.8.0)": GONE,
    "composed: PUT variable": NOT_FOUND,
    "composed: feedback, suggested": NOT_FOUND,
    "composed: workflows/run/:id": NOT_FOUND,
    "composed: files/upload over the limit": LARGE,
    "composed: upload over the limit; message is empty": LARGE,
    "composed: Cloud plan quota": (DifyRejected, "dify_quota"),
    "composed: documented form of the concurrency limit": RATE,
    "composed: caught inside a handler": UNAVAILABLE,
    "composed: exception outside the handlers' own catch": UNAVAILABLE,
    "composed: unknown path, or an id that is not a UUID": ADDRESS,
    "composed: Cloud edge timeout on a long blocking call (composed, unverified)": (
        UNAVAILABLE
    ),
    "composed: ": REJECTED,
}


def expected_for(recording: str, status: int) -> tuple[type[DifyError], str]:
    if status == 413:
        return LARGE
    if recording == "composed: files/:id/preview" and status == 404:
        return NOT_FOUND
    for name, expected in EXPECTED.items():
        version, _, rest = recording.partition("/")
        if recording.startswith(name) or (
            version[:1] in "01" and rest.startswith(name)
        ):
            return expected
    raise KeyError(recording)


@pytest.mark.parametrize(
    "error", ERRORS, ids=[f"{e['recordings'][0]} {e['status']}" for e in ERRORS]
)
def test_recorded_error_means_what_it_says(error: dict[str, object]) -> None:
    status, body = int(str(error["status"])), str(error["body"])
    recordings = error["recordings"]
    assert isinstance(recordings, list)
    for recording in recordings:
        failure = failure_for_body(status=status, body=body, method="POST", path="/x")

        assert (type(failure), failure.code) == expected_for(recording, status)
        assert failure.status == status


@pytest.mark.parametrize("row", FAILURES, ids=repr)
def test_each_row_is_reached_by_something(row: Failure) -> None:
    """A row hidden by one above it, or one that nothing needs, is a mistake."""
    reached = {_first_row(status, code, message) for status, code, message in _cases()}

    assert FAILURES.index(row) in reached


def _cases() -> list[tuple[int, str, str]]:
    cases = [
        (400, WORKFLOW_FAILED, "Request failed with status code 404"),
        (400, "invalid_param", "Invalid input type for ['a']"),
        (400, "not_completion_app", "Please check if your app mode matches"),
        (403, "app_not_found", ""),
        (403, "app_abnormal_status", ""),
        (403, "app_api_disabled", ""),
        (403, "workspace_not_found", ""),
        (403, "workspace_archived", ""),
        (403, NOT_JSON, ""),
        (401, NOT_JSON, ""),
    ]
    for error in ERRORS:
        try:
            body = json.loads(error["body"])
            cases.append((error["status"], body["code"], body["message"]))
        except ValueError:
            cases.append((error["status"], NOT_JSON, ""))
    return cases


def _first_row(status: int, code: str, message: str) -> int:
    for index, row in enumerate(FAILURES):
        if row.matches(status=status, code=code, message=message):
            return index
    return -1


@pytest.mark.parametrize(
    ("status", "body", "kind", "code"),
    [
        (429, "error code: 1015", DifyRateLimited, "rate_limited"),
        (429, "<html>Too many</html>", DifyRateLimited, "rate_limited"),
        (502, "<html>Bad Gateway</html>", DifyUnavailable, "unavailable"),
        (504, "", DifyUnavailable, "unavailable"),
        (524, "<html>A timeout occurred</html>", DifyUnavailable, "unavailable"),
        (403, "<html>Attention Required!</html>", DifyRejected, "firewall"),
        (403, '{"code": "app_api_disabled"}', DifyUnauthorized, "unauthorized"),
        # Not Dify's words: nothing is known of the key, whose refusal stops all runs.
        (401, "<html>Login</html>", DifyRejected, "proxy_login"),
        (401, '{"message": "Unauthorized"}', DifyRejected, "proxy_login"),
        (401, '{"code": "no_session", "message": "?"}', DifyRejected, "proxy_login"),
        (401, "", DifyRejected, "proxy_login"),
        (401, '{"code": "unauthorized"}', DifyUnauthorized, "unauthorized"),
        (403, '{"code": "forbidden", "message": "?"}', DifyRejected, "rejected"),
        (403, '{"code": "forbidden"}', DifyRejected, "rejected"),
        (413, "<html>Too large</html>", DifyRejected, "too_large"),
        (404, '{"detail": "Not Found"}', DifyNotFound, "wrong_address"),
        (418, '{"code": "teapot", "message": "?"}', DifyRejected, "rejected"),
        (500, '{"code": "new_code", "message": "?"}', DifyUnavailable, "unavailable"),
        (400, '{"code": 5, "message": null}', DifyRejected, "rejected"),
        (400, '{"code": "x", "message": null}', DifyRejected, "rejected"),
        (400, "[" * 100_000, DifyRejected, "rejected"),
        (400, "null", DifyRejected, "rejected"),
    ],
)
def test_pages_of_proxies_and_unknown_codes_are_survived(
    status: int, body: str, kind: type[DifyError], code: str
) -> None:
    failure = failure_for_body(status=status, body=body, method="POST", path="/x")

    assert (type(failure), failure.code) == (kind, code)
    assert failure.excerpt.startswith(body[:1000])


@pytest.mark.parametrize(
    "message",
    [
        "The app no longer exists.",
        "The app's status is abnormal.",
        "The app's API service has been disabled.",
        "The workspace's status is archived.",
        "Tenant does not exist.",
    ],
)
def test_app_that_takes_no_calls_is_told_apart_from_other_refusals(
    message: str,
) -> None:
    failure = failure_for(status=403, code="forbidden", message=message)

    assert type(failure) is DifyUnauthorized
    assert "switched off" in str(failure)


def test_login_of_a_proxy_says_what_to_do() -> None:
    failure = failure_for_body(status=401, body="<html>", method="GET", path="/info")

    assert str(failure) == (
        "Something in front of Dify, such as a proxy with a login, refused the "
        "request; the app's key was not looked at. Let the bridge pass there, or set "
        "an address that leads to Dify itself. [dify GET /info, HTTP 401]"
    )


@pytest.mark.parametrize(
    ("code", "message", "kind"),
    [
        # A node's error that begins like the limit: the run is not repeated.
        (WORKFLOW_FAILED, "Too many requests", DifyRejected),
        (WORKFLOW_FAILED, "Failed to request plugin daemon", DifyRejected),
        (WORKFLOW_FAILED, "channel is required in input form", InvalidInputs),
        (WORKFLOW_FAILED, "Conversation Not Exists.", ConversationGone),
        (WORKFLOW_FAILED, "", DifyRejected),
    ],
)
def test_failed_workflow_is_looked_up_by_its_error(
    code: str, message: str, kind: type[DifyError]
) -> None:
    assert type(failure_for(status=400, code=code, message=message)) is kind


@pytest.mark.parametrize(
    ("code", "retryable"),
    [
        ("completion_request_error", True),
        ("provider_not_initialize", False),
        ("provider_quota_exceeded", False),
        ("rate_limit_error", False),
        ("too_many_requests", True),
    ],
)
def test_keys_and_quotas_are_not_retried(code: str, retryable: bool) -> None:
    status = 429 if code in ("rate_limit_error", "too_many_requests") else 400

    assert failure_for(status=status, code=code, message="").retryable is retryable


def test_keys_in_messages_are_masked() -> None:
    failure = failure_for(
        status=400, code="x", message="Bearer app-abcdefgh12345678 is bad"
    )

    assert failure.excerpt == "x: Bearer [secret] is bad"
