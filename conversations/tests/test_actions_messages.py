"""Messages of flows: what is posted, what is refused, and never twice."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

import pytest
from django.utils import timezone

from chatwoot_api.client import Upload
from conversations.actions import NotDone, read_messages, send_message, set_typing
from conversations.models import Bot, Turn
from conversations.tests.factories import app_of, make_bot, make_turn
from conversations.tests.sandbox_chatwoot import (
    API,
    SandboxChatwoot,
    make_sandbox_account,
    mirror_of,
    target_of,
)


def test_posts_as_the_bot_with_the_mark(
    sandbox: SandboxChatwoot, sandbox_bot: Bot
) -> None:
    number = sandbox.start()
    target = target_of(number, bot=sandbox_bot)

    outcome = send_message(target, {"content": "Hello {{ name }}", "reply_to": "1"})

    assert (outcome.field, outcome.result) == ("message", "applied")
    message = sandbox.state(number)["messages"][-1]
    assert message["content"] == "Hello {{ name }}"
    assert message["source_id"] == str(target.mark)
    assert message["id"] == outcome.extra["message_id"]
    assert outcome.extra["private"] is False


@pytest.mark.parametrize("content", [None, "", "None", "  ", "{{#llm.text#}}"])
def test_skips_an_empty_message(
    sandbox: SandboxChatwoot, sandbox_bot: Bot, content: Any
) -> None:
    outcome = send_message(
        target_of(sandbox.start(), bot=sandbox_bot), {"content": content}
    )

    assert (outcome.result, outcome.code) == ("skipped", "not_set")
    assert sandbox.calls() == []


def test_takes_words_for_words(sandbox: SandboxChatwoot, sandbox_bot: Bot) -> None:
    number = sandbox.start()

    outcome = send_message(
        target_of(number, bot=sandbox_bot), {"content": "None of your business"}
    )

    assert outcome.result == "applied"
    assert sandbox.public_messages(number) == ["None of your business"]


def test_notes_go_whoever_is_in_charge(
    sandbox: SandboxChatwoot, sandbox_bot: Bot
) -> None:
    number = sandbox.start()
    sandbox.control("POST", f"/conversations/{number}/status", {"status": "open"})

    wanted = {"content": "For you", "private": "True"}
    outcome = send_message(target_of(number, bot=sandbox_bot), wanted)

    assert outcome.result == "applied"
    assert sandbox.public_messages(number) == []


def test_a_human_in_charge_is_not_talked_over(
    sandbox: SandboxChatwoot, sandbox_bot: Bot
) -> None:
    number = sandbox.start()
    sandbox.control("POST", f"/conversations/{number}/status", {"status": "open"})

    refused = send_message(target_of(number, bot=sandbox_bot), {"content": "Hi"})
    forced = send_message(
        target_of(number, bot=sandbox_bot), {"content": "Hi", "even_if_open": "true"}
    )

    assert (refused.result, refused.code) == ("refused", "human_in_charge")
    assert forced.result == "applied"
    assert sandbox.public_messages(number) == ["Hi"]


@pytest.mark.parametrize("hidden", [False, True])
def test_a_humans_reply_ends_the_flows_say(
    sandbox: SandboxChatwoot, sandbox_bot: Bot, hidden: bool
) -> None:
    """Also if the flow has set the status, and if a note hides the reply."""
    number = sandbox.start()
    last = sandbox.state(number)["messages"][-1]["id"]
    row = mirror_of(number, bot=sandbox_bot)
    turn = make_turn(row, sandbox_bot, last_message_id=last)
    path = f"/conversations/{number}"
    sandbox.control("POST", f"{path}/reply", {"content": "Marta here", "agent_id": 2})
    if hidden:
        sandbox.control("POST", f"{path}/note", {"content": "done", "agent_id": 2})

    outcome = send_message(
        target_of(number, bot=sandbox_bot, conversation=row, turn=turn),
        {"content": "Hi"},
    )

    assert (outcome.result, outcome.code) == ("refused", "human_in_charge")
    assert sandbox.public_messages(number) == []


def test_a_flow_may_say_goodbye_after_its_own_handover(
    sandbox: SandboxChatwoot, sandbox_bot: Bot
) -> None:
    number = sandbox.start()
    row = mirror_of(number, bot=sandbox_bot)
    turn = make_turn(
        row,
        sandbox_bot,
        status=Turn.Status.RUNNING,
        started_at=timezone.now(),
        last_message_id=sandbox.state(number)["messages"][-1]["id"],
        by_flow={"status": "open"},
    )
    sandbox.control("POST", f"/conversations/{number}/status", {"status": "open"})

    outcome = send_message(
        target_of(number, bot=sandbox_bot, conversation=row, turn=turn),
        {"content": "A colleague takes over."},
    )

    assert outcome.result == "applied"
    turn.refresh_from_db()
    assert turn.by_flow["spoke"] is True


@pytest.mark.parametrize("kind", ["drop_after", "status_after"])
def test_finds_a_message_whose_answer_was_lost(
    sandbox: SandboxChatwoot, sandbox_bot: Bot, kind: str
) -> None:
    number = sandbox.start()
    sandbox.fault(kind=kind, status=504)

    outcome = send_message(target_of(number, bot=sandbox_bot), {"content": "Once"})

    assert outcome.result == "applied"
    message = sandbox.state(number)["messages"][-1]
    assert outcome.extra["message_id"] == message["id"]
    assert sandbox.public_messages(number) == ["Once"]


def test_never_repeats_what_may_have_been_sent(
    sandbox: SandboxChatwoot, db: None
) -> None:
    bot = make_bot(make_sandbox_account(sandbox, admin_token=""))
    number = sandbox.start()
    sandbox.fault(kind="drop_after")

    outcome = send_message(target_of(number, bot=bot), {"content": "Once"})

    assert (outcome.result, outcome.code) == ("failed", "outcome_unknown")
    assert sandbox.public_messages(number) == ["Once"]


def test_a_limit_is_waited_out(sandbox: SandboxChatwoot, sandbox_bot: Bot) -> None:
    number = sandbox.start()
    sandbox.fault(kind="status", status=429, body="Retry later", times=1)

    outcome = send_message(target_of(number, bot=sandbox_bot), {"content": "Once"})

    assert outcome.result == "applied"
    assert sandbox.public_messages(number) == ["Once"]


CARD = {
    "title": "Boots",
    "description": "Warm",
    "actions": [{"type": "link", "text": "Buy", "uri": "https://shop.example/b"}],
}
FIELD = {"name": "size", "label": "Size", "type": "select", "options": "S, M"}
LINK = {"title": "Returns", "description": "How", "link": "https://shop.example/r"}


@pytest.mark.parametrize(
    ("kind", "items", "stored"),
    [
        (
            "input_select",
            "Yes, No",
            [{"title": "Yes", "value": "Yes"}, {"title": "No", "value": "No"}],
        ),
        (
            "input_select",
            '[{"title": "A", "value": 1}]',
            [{"title": "A", "value": "1"}],
        ),
        ("cards", [CARD], [CARD]),
        (
            "form",
            [FIELD],
            [
                FIELD
                | {
                    "options": [
                        {"label": "S", "value": "S"},
                        {"label": "M", "value": "M"},
                    ]
                }
            ],
        ),
        ("article", [LINK], [LINK]),
    ],
)
def test_posts_rich_messages(
    sandbox: SandboxChatwoot, sandbox_bot: Bot, kind: str, items: Any, stored: Any
) -> None:
    number = sandbox.start()

    outcome = send_message(
        target_of(number, bot=sandbox_bot),
        {"content": "Choose:", "content_type": kind, "items": items},
    )

    assert (outcome.code, outcome.message, outcome.result) == ("", "", "applied")
    message = sandbox.state(number)["messages"][-1]
    assert message["content_type"] == kind
    assert message["content_attributes"]["items"] == stored


@pytest.mark.parametrize(
    ("kind", "items", "code"),
    [
        ("carousel", [], "bad_value"),
        ("cards", None, "bad_value"),
        ("cards", [{"title": "No actions"}], "bad_value"),
        ("cards", [CARD | {"price": 5}], "bad_value"),
        ("cards", ["just a text"], "bad_value"),
        ("cards", [CARD | {"actions": [{"type": "call", "text": "x"}]}], "bad_value"),
        ("form", [{"label": "No name"}], "bad_value"),
        ("form", [{"name": "a", "label": "A", "type": "date"}], "bad_value"),
        ("form", [{"name": "a", "label": "A", "type": "select"}], "bad_value"),
        ("article", [{"title": "x", "link": "shop.example"}], "bad_value"),
        ("input_select", [{"value": "no title"}], "bad_value"),
        ("cards", "no list", "misread"),
    ],
)
def test_refuses_rich_messages_before_chatwoot_does(
    sandbox: SandboxChatwoot, sandbox_bot: Bot, kind: str, items: Any, code: str
) -> None:
    outcome = send_message(
        target_of(sandbox.start(), bot=sandbox_bot),
        {"content": "Choose:", "content_type": kind, "items": items},
    )

    assert (outcome.result, outcome.code) == ("refused", code)
    assert outcome.message
    assert sandbox.calls() == []


def test_choices_are_numbered_where_only_text_is_shown(
    sandbox: SandboxChatwoot, sandbox_bot: Bot
) -> None:
    number = sandbox.start(inbox_id=API)
    row = mirror_of(number, bot=sandbox_bot, channel="Channel::Telegram")

    outcome = send_message(
        target_of(number, bot=sandbox_bot, conversation=row),
        {
            "content": "Which?",
            "content_type": "input_select",
            "items": "Yes, No",
            "even_if_open": True,
        },
    )

    assert outcome.result == "applied"
    message = sandbox.state(number)["messages"][-1]
    assert message["content"] == "Which?\n\n1. Yes\n2. No"
    assert message["content_type"] == "text"


@pytest.fixture
def file_server() -> Iterator[str]:
    """A server in the private network that belongs to nobody we know."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found = "gone" not in self.path
            self.send_response(200 if found else 404)
            self.send_header("Content-Length", "4")
            self.end_headers()
            self.wfile.write(b"%PDF")

        def log_message(self, *_: object) -> None:
            """Quiet."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def test_sends_files_of_the_own_dify(
    sandbox: SandboxChatwoot, sandbox_bot: Bot, file_server: str
) -> None:
    number = sandbox.start()
    app_of(sandbox_bot).base_url = f"{file_server}/v1"
    url = f"{file_server}/files/price%20list.pdf?sign=1"

    outcome = send_message(
        target_of(number, bot=sandbox_bot),
        {"content": "See:", "attachment_urls": url},
        files=[Upload(name="a.txt", content_type="text/plain", content=b"hello")],
    )

    assert outcome.extra["attachments"] == 2
    files = sandbox.state(number)["messages"][-1]["attachments"]
    names = [unquote(file["data_url"]).rpartition("/")[2] for file in files]
    assert names == ["a.txt", "price list.pdf"]


@pytest.mark.parametrize(
    ("path", "code"),
    [("/files/a.pdf", "address_refused"), ("file:///etc/passwd", "address_refused")],
)
def test_sends_nothing_if_one_file_is_refused(
    sandbox: SandboxChatwoot,
    sandbox_bot: Bot,
    file_server: str,
    path: str,
    code: str,
) -> None:
    number = sandbox.start()
    url = path if path.startswith("file:") else file_server + path

    outcome = send_message(
        target_of(number, bot=sandbox_bot),
        {"content": "See:", "attachment_urls": [url]},
    )

    assert (outcome.result, outcome.code) == ("refused", code)
    assert sandbox.public_messages(number) == []


def test_says_which_file_is_missing_without_its_key(
    sandbox: SandboxChatwoot, sandbox_bot: Bot, file_server: str
) -> None:
    app_of(sandbox_bot).base_url = file_server

    outcome = send_message(
        target_of(sandbox.start(), bot=sandbox_bot),
        {"attachment_urls": f"{file_server}/files/gone.pdf?key=hidden"},
    )

    assert (outcome.result, outcome.code) == ("refused", "bad_value")
    assert "404" in outcome.message
    assert "hidden" not in outcome.message


def test_refuses_what_is_too_long(sandbox: SandboxChatwoot, sandbox_bot: Bot) -> None:
    outcome = send_message(
        target_of(sandbox.start(), bot=sandbox_bot), {"content": "x" * 150_001}
    )

    assert (outcome.result, outcome.code) == ("refused", "too_large")
    assert sandbox.calls() == []


def test_shows_the_typing_sign(sandbox: SandboxChatwoot, sandbox_bot: Bot) -> None:
    number = sandbox.start()

    outcome = set_typing(target_of(number, bot=sandbox_bot), on="True")
    nothing = set_typing(target_of(number, bot=sandbox_bot), on="None")
    odd = set_typing(target_of(number, bot=sandbox_bot), on="perhaps")

    assert (outcome.result, outcome.after) == ("applied", True)
    assert nothing.result == "skipped"
    assert (odd.result, odd.code) == ("refused", "misread")
    assert sandbox.calls() == [f"POST /conversations/{number}/toggle_typing_status"]


def test_reads_the_history_page_by_page(
    sandbox: SandboxChatwoot, sandbox_bot: Bot
) -> None:
    number = sandbox.start(message="first")
    for index in range(29):
        sandbox.control(
            "POST",
            f"/conversations/{number}/customer-messages",
            {"content": f"message {index}"},
        )
    target = target_of(number, bot=sandbox_bot)

    latest: dict[str, Any] = read_messages(target, limit="25")
    older = read_messages(target, before=latest["first_id"], limit=100)
    newer = read_messages(target, after=older["last_id"], limit=3)

    def texts(page: Any) -> list[str]:
        return [m["content"] for m in page["messages"] if m["type"] == "incoming"]

    assert texts(latest)[-1] == "message 28"
    assert len(latest["messages"]) == 25
    assert latest["has_more"] is True
    assert texts(older)[0] == "first"
    assert older["has_more"] is False
    assert newer["messages"] == latest["messages"][:3]
    assert newer["has_more"] is True


def test_the_history_needs_an_administrators_token(
    sandbox: SandboxChatwoot, db: None
) -> None:
    bot = make_bot(make_sandbox_account(sandbox, admin_token=""))

    with pytest.raises(NotDone) as caught:
        read_messages(target_of(sandbox.start(), bot=bot))

    assert caught.value.code == "no_admin_token"
    assert sandbox.calls() == []


def test_another_mark_is_another_message(
    sandbox: SandboxChatwoot, sandbox_bot: Bot
) -> None:
    """What was posted before with the same words is not taken for this one."""
    number = sandbox.start()
    target = target_of(number, bot=sandbox_bot)
    send_message(target, {"content": "Same"})
    sandbox.fault(kind="drop")
    later = target_of(number, bot=sandbox_bot, for_s=2.0)

    outcome = send_message(later, {"content": "Same"})

    assert (outcome.result, outcome.code) == ("failed", "outcome_unknown")
    assert sandbox.public_messages(number) == ["Same"]


def test_a_file_of_a_type_that_chatwoot_does_not_take_is_a_bad_value(
    sandbox: SandboxChatwoot, sandbox_bot: Bot
) -> None:
    number = sandbox.start()

    outcome = send_message(
        target_of(number, bot=sandbox_bot),
        {"content": "Look"},
        files=[Upload(name="a.html", content_type="text/html", content=b"<p>")],
    )

    assert (outcome.result, outcome.code) == ("refused", "bad_value")
    assert "file type not supported" in outcome.message
    assert sandbox.public_messages(number) == []
