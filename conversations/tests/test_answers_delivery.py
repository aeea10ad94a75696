"""An answer on its way to the customer: parts, files, choices, each posted once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from email import message_from_bytes
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any, ClassVar

import pytest
import requests
from django.test import Client

from bridge_project.lib.types import JsonObject
from chatwoot_api.message_calls import Upload
from conversations import pipeline
from conversations.answers import media
from conversations.answers.room import Room
from conversations.models import Bot, Conversation, OutgoingMessage, PipelineRun, Turn
from conversations.tests.conftest import (
    CONVERSATION_URL,
    IDS,
    Platforms,
    answer_events,
)
from conversations.tests.factories import DIFY, app_of
from conversations.tests.test_pipeline import ended, run_until_done
from dify_api.models import DifyApp

pytestmark = pytest.mark.django_db

MESSAGES_URL = f"{CONVERSATION_URL}/messages"
PARAGRAPH = "The seam is covered by the warranty, and so is the zip. " * 5
THREE = "\n\n".join(f"Part {number}. {PARAGRAPH}".strip() for number in (1, 2, 3))
PARTS = THREE.split("\n\n")
BUTTONS = json.dumps({"text": "Is it **damaged**?", "buttons": ["Yes", "No"]})


@pytest.fixture
def splitting(bot: Bot) -> Bot:
    bot.split_answers = True
    bot.save()
    return bot


def attributes_of(post: JsonObject) -> JsonObject:
    found = post["content_attributes"]
    assert isinstance(found, dict)
    return found


def on_channel(conversation: Conversation, name: str) -> None:
    Conversation.objects.filter(pk=conversation.pk).update(channel=name)


def contents(platforms: Platforms) -> list[Any]:
    return [post["content"] for post in platforms.posted]


def posted_rows(turn: Turn) -> list[tuple[int, bool]]:
    rows = OutgoingMessage.objects.filter(turn=turn, part="answer").order_by("number")
    return [(row.number, row.posted_at is not None) for row in rows]


def test_a_long_answer_is_posted_in_parts(
    turn: Turn, platforms: Platforms, splitting: Bot
) -> None:
    platforms.dify_answers(*answer_events(THREE))

    pipeline.run(turn.pk)

    assert ended(turn) == ("answered", "answered")
    assert contents(platforms) == PARTS
    assert posted_rows(turn) == [(0, True), (1, True), (2, True)]
    marks = {post["source_id"] for post in platforms.posted}
    assert len(marks) == 3


def test_it_is_one_message_unless_that_is_wanted(
    turn: Turn, platforms: Platforms
) -> None:
    platforms.dify_answers(*answer_events(THREE))

    pipeline.run(turn.pk)

    assert contents(platforms) == [THREE]
    row = OutgoingMessage.objects.get(turn=turn)
    assert (row.number, row.rich) == (0, {})


def test_an_agents_note_is_never_split(
    turn: Turn, platforms: Platforms, splitting: Bot
) -> None:
    splitting.reply_as = "private_note"
    splitting.save()
    platforms.dify_answers(*answer_events(THREE))

    pipeline.run(turn.pk)

    assert len(platforms.posted) == 1
    assert platforms.posted[0]["private"] is True


@pytest.mark.parametrize("dies_at", [2, 3])
def test_a_crash_between_two_parts_loses_and_repeats_none(
    turn: Turn,
    platforms: Platforms,
    splitting: Bot,
    dies_at: int,
) -> None:
    """The rest is posted as it was written down, although Dify would say otherwise."""
    platforms.dify_answers(*answer_events(THREE))
    platforms.chatwoot_has_history()
    posted = platforms.posted

    def die(request: Any) -> tuple[int, dict[str, str], str]:
        if len(posted) + 1 == dies_at:
            raise RuntimeError("the worker is gone")
        posted.append(json.loads(request.body))
        return 200, {}, json.dumps({"id": 9100 + len(posted)})

    platforms.wire.remove("POST", MESSAGES_URL)
    platforms.wire.add_callback("POST", MESSAGES_URL, callback=die)
    result = pipeline.run(turn.pk)
    assert isinstance(result.fault, RuntimeError)
    assert contents(platforms) == PARTS[: dies_at - 1]
    platforms.chatwoot_takes_messages()
    PipelineRun.objects.filter(turn=turn).update(answer="something else")
    # Nor does it matter that somebody has answered in between.
    platforms.chatwoot_shows(status="open")

    assert run_until_done(turn) == ("answered", "answered")

    assert contents(platforms) == PARTS
    assert len(platforms.asked) == 1
    assert posted_rows(turn) == [(0, True), (1, True), (2, True)]


def test_a_part_that_arrived_all_the_same_is_found_by_its_mark(
    turn: Turn, platforms: Platforms, splitting: Bot
) -> None:
    platforms.dify_answers(*answer_events(THREE))

    def lose(request: Any) -> tuple[int, dict[str, str], str]:
        platforms.posted.append(json.loads(request.body))
        if len(platforms.posted) == 2:
            raise requests.ConnectionError("reset by peer")
        return 200, {}, json.dumps({"id": 9100 + len(platforms.posted)})

    platforms.wire.remove("POST", MESSAGES_URL)
    platforms.wire.add_callback("POST", MESSAGES_URL, callback=lose)
    pipeline.run(turn.pk)
    assert len(platforms.posted) == 2
    second = {
        "id": 9102,
        "message_type": 1,
        "content_attributes": platforms.posted[1]["content_attributes"],
        "source_id": platforms.posted[1]["source_id"],
    }
    platforms.chatwoot_has_history(second)

    assert run_until_done(turn) == ("answered", "answered")

    assert contents(platforms) == PARTS
    ids = OutgoingMessage.objects.filter(turn=turn).order_by("number")
    assert list(ids.values_list("chatwoot_message_id", flat=True)) == [9101, 9102, 9103]


def test_a_human_before_the_first_part_stops_all_of_them(
    turn: Turn, platforms: Platforms, splitting: Bot
) -> None:
    reply: JsonObject = {
        "id": 9002,
        "message_type": 1,
        "sender": {"id": 2, "type": "user"},
    }
    platforms.dify_answers(
        *answer_events(THREE),
        meanwhile=lambda: platforms.chatwoot_shows(status="open", last=reply),
    )

    pipeline.run(turn.pk)

    assert ended(turn)[0] == "skipped"
    assert platforms.posted == []


def test_an_answer_that_chatwoot_never_took_is_written_anew(
    turn: Turn, platforms: Platforms, splitting: Bot
) -> None:
    """What was to be a message is to be a note by now; the marks stay."""
    platforms.dify_answers(*answer_events(THREE))
    platforms.chatwoot_takes_messages(status=429, json={})
    platforms.chatwoot_has_history()
    pipeline.run(turn.pk)
    marks = list(turn.outgoing_messages.order_by("number").values_list("mark"))
    assert len(marks) == 3
    splitting.reply_as = "private_note"
    splitting.save()
    platforms.chatwoot_takes_messages()

    assert run_until_done(turn)[0] == "answered"

    assert [(post["private"], post["content"]) for post in platforms.posted] == [
        (True, THREE)
    ]
    (row,) = turn.outgoing_messages.all()
    assert (row.mark,) == marks[0]


def test_half_an_answer_that_cannot_go_on_is_handed_over(
    turn: Turn, platforms: Platforms, splitting: Bot
) -> None:
    platforms.dify_answers(*answer_events(THREE))
    platforms.chatwoot_has_history()

    def refuse(request: Any) -> tuple[int, dict[str, str], str]:
        body = json.loads(request.body)
        if body["content"] == PARTS[1]:
            return 422, {}, json.dumps({"error": "no"})
        platforms.posted.append(body)
        return 200, {}, json.dumps({"id": 9100 + len(platforms.posted)})

    platforms.wire.remove("POST", MESSAGES_URL)
    platforms.wire.add_callback("POST", MESSAGES_URL, callback=refuse)

    assert run_until_done(turn) == ("handed_over", "chatwoot_failed")

    said = [post["content"] for post in platforms.posted if not post["private"]]
    assert said == [PARTS[0], splitting.failure_public_text]


@pytest.mark.parametrize(
    ("channel", "most"),
    [("Channel::Sms", 1600), ("Channel::Whatsapp", 4096), ("Channel::Instagram", 1000)],
)
def test_a_channels_limit_counts_although_splitting_is_off(
    turn: Turn,
    conversation: Conversation,
    platforms: Platforms,
    channel: str,
    most: int,
) -> None:
    on_channel(conversation, channel)
    text = "\n\n".join(f"Part {number}. {PARAGRAPH}".strip() for number in range(20))
    platforms.dify_answers(*answer_events(text))

    pipeline.run(turn.pk)

    parts = contents(platforms)
    assert "\n\n".join(parts) == text
    assert len(parts) == -(-len(text) // most) or len(parts) <= 2 * len(text) // most
    assert max(map(len, parts)) <= most


def test_sms_gets_plain_text(
    turn: Turn, conversation: Conversation, platforms: Platforms
) -> None:
    on_channel(conversation, "Channel::TwilioSms")
    platforms.dify_answers(*answer_events("## Hi\n**Look** [here](https://x.test)"))

    pipeline.run(turn.pk)

    assert contents(platforms) == ["Hi\n\nLook here (https://x.test)"]


def test_buttons_are_buttons_in_the_website_chat(
    turn: Turn, platforms: Platforms
) -> None:
    platforms.dify_answers(*answer_events(f"```json\n{BUTTONS}\n```"))

    pipeline.run(turn.pk)

    (post,) = platforms.posted
    mark = post["source_id"]
    items = [{"title": "Yes", "value": "Yes"}, {"title": "No", "value": "No"}]
    assert post == {
        "content": "Is it **damaged**?",
        "message_type": "outgoing",
        "private": False,
        "content_type": "input_select",
        "content_attributes": {"items": items, "bridge_message_id": mark},
        "source_id": mark,
    }
    row = OutgoingMessage.objects.get(turn=turn)
    assert row.rich == {"content_type": "input_select", "items": items}


def test_buttons_without_a_question_get_one(
    turn: Turn, platforms: Platforms, bot: Bot
) -> None:
    platforms.dify_answers(*answer_events('{"buttons": ["Yes", "No"]}'))

    pipeline.run(turn.pk)

    assert contents(platforms) == ["Please choose:"]


@pytest.mark.parametrize(
    ("answer", "lines"),
    [
        (BUTTONS, "Is it damaged?\n\n1. Yes\n2. No"),
        (
            json.dumps(
                {
                    "cards": [
                        {
                            "title": "Tent",
                            "description": "for two",
                            "actions": [
                                {
                                    "type": "link",
                                    "text": "Shop",
                                    "uri": "https://x.test",
                                }
                            ],
                        }
                    ]
                }
            ),
            "1. Tent – for two – Shop: https://x.test",
        ),
        (
            json.dumps(
                {
                    "text": "Tell us:",
                    "form": [
                        {"name": "a", "label": "Street", "type": "text"},
                        {
                            "name": "b",
                            "label": "Size",
                            "type": "select",
                            "options": ["S", "L"],
                        },
                    ],
                }
            ),
            "Tell us:\n\n1. Street\n2. Size: S / L",
        ),
    ],
)
def test_choices_are_a_numbered_list_elsewhere(
    turn: Turn,
    conversation: Conversation,
    platforms: Platforms,
    answer: str,
    lines: str,
) -> None:
    on_channel(conversation, "Channel::Sms")
    platforms.dify_answers(*answer_events(answer))

    pipeline.run(turn.pk)

    (post,) = platforms.posted
    assert post["content"] == lines
    assert "content_type" not in post
    assert set(attributes_of(post)) == {"bridge_message_id"}
    assert OutgoingMessage.objects.get(turn=turn).rich["items"]


def test_broken_items_are_noted_and_the_text_is_posted(
    turn: Turn, platforms: Platforms
) -> None:
    told = json.dumps({"text": "Take one", "cards": [{"title": "Tent"}]})
    platforms.dify_answers(*answer_events(told))

    pipeline.run(turn.pk)

    assert contents(platforms) == ["Take one"]
    assert PipelineRun.objects.get(turn=turn).notes == [
        "The JSON answer's items were left out. Item 1 needs “actions”, at least one "
        "link or postback."
    ]


PICTURE = "/files/tools/a.png?timestamp=1&nonce=2&sign=3"


class _Dify(BaseHTTPRequestHandler):
    """A Dify whose chat says what it was told to, and that has files."""

    stream = ""
    fetched: ClassVar[list[str]] = []

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self._answer("text/event-stream", self.stream.encode())

    def do_GET(self) -> None:
        self.fetched.append(self.path)
        name = self.path.partition("?")[0].rsplit("/", 1)[-1]
        kinds = {
            "a.png": "image/png",
            "b.pdf": "application/pdf",
            "c.html": "text/html",
        }
        kind = kinds.get(name)
        status = 200 if kind else 403
        self._answer(kind or "application/json", f"It is {name}".encode(), status)

    def _answer(self, kind: str, content: bytes, status: int = 200) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Tests are quiet."""


class Dify:
    """What a real Dify at a private address answers; Chatwoot is on the wire."""

    def __init__(self, base_url: str, platforms: Platforms) -> None:
        self.base_url, self._platforms = base_url, platforms
        self.posted: list[tuple[JsonObject, list[tuple[str, str, bytes]]]] = []
        platforms.wire.remove("POST", MESSAGES_URL)
        platforms.wire.add_callback("POST", MESSAGES_URL, callback=self._store)
        _Dify.fetched.clear()

    @property
    def fetched(self) -> list[str]:
        return [path.partition("?")[0] for path in _Dify.fetched]

    def says(self, text: str, *files: JsonObject) -> None:
        message, end = answer_events(text)
        told = [{**IDS, "event": "message_file", **file} for file in files]
        events = [*told, message, end]
        _Dify.stream = "".join(f"data: {json.dumps(event)}\n\n" for event in events)

    def _store(self, request: Any) -> tuple[int, dict[str, str], str]:
        kind = request.headers["Content-Type"]
        if kind.startswith("application/json"):
            self.posted.append((json.loads(request.body), []))
        else:
            self.posted.append(parts_of(kind, request.body))
        return 200, {}, json.dumps({"id": 9100 + len(self.posted)})


def parts_of(kind: str, body: bytes) -> tuple[JsonObject, list[tuple[str, str, bytes]]]:
    """Return the fields and the files of a multipart body."""
    head = f"Content-Type: {kind}\r\n\r\n".encode()
    fields: JsonObject = {}
    files = []
    parts: Any = message_from_bytes(head + body).get_payload()
    for part in parts:
        content = part.get_payload(decode=True)
        if part.get_filename():
            files.append((part.get_filename(), part.get_content_type(), content))
        else:
            name = part.get_param("name", header="content-disposition")
            fields[name] = content.decode()
    return fields, files


@pytest.fixture
def dify(bot: Bot, platforms: Platforms) -> Iterator[Dify]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Dify)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    base = f"http://127.0.0.1:{server.server_port}"
    platforms.wire.add_passthru(base)
    # Nobody gets there: such addresses are refused before they are called.
    platforms.wire.add_passthru("http://10.")
    app = app_of(bot)
    app.base_url = f"{base}/v1"
    app.save()
    yield Dify(base, platforms)
    server.shutdown()
    server.server_close()
    thread.join()


A_PNG = ("a.png", "image/png", b"It is a.png")


def test_an_assistants_file_is_attached(turn: Turn, dify: Dify) -> None:
    """Dify names it without a host, and the customer's own uploads beside it."""
    dify.says(
        "Here it is.",
        {"id": "f1", "type": "image", "belongs_to": "assistant", "url": PICTURE},
        {
            "id": "f2",
            "type": "image",
            "belongs_to": "user",
            "url": "/files/u.png?sign=1",
        },
    )

    pipeline.run(turn.pk)

    ((fields, files),) = dify.posted
    assert (fields["content"], files) == ("Here it is.", [A_PNG])
    assert dify.fetched == ["/files/tools/a.png"]
    row = OutgoingMessage.objects.get(turn=turn)
    assert row.rich == {"files": [{"name": "a.png", "url": PICTURE}]}
    (kept,) = PipelineRun.objects.get(turn=turn).files
    assert (kept["url"], kept["kind"]) == (PICTURE, "image")


def test_images_and_links_of_the_text_become_attachments(
    turn: Turn, dify: Dify
) -> None:
    report = f"{dify.base_url}/files/tools/b.pdf?timestamp=1&nonce=2&sign=3"
    dify.says(f"Look:\n\n![tent.png]({PICTURE})\n\nMore is in [the report]({report}).")

    pipeline.run(turn.pk)

    ((fields, files),) = dify.posted
    assert fields["content"] == "Look:\n\nMore is in the report."
    assert files == [
        ("tent.png", "image/png", b"It is a.png"),
        ("b.pdf", "application/pdf", b"It is b.pdf"),
    ]


def test_a_host_that_only_dify_knows_is_replaced_by_its_own(
    turn: Turn, dify: Dify
) -> None:
    dify.says(f"![](http://10.99.99.99:5001{PICTURE})")

    pipeline.run(turn.pk)

    ((fields, files),) = dify.posted
    assert (fields.get("content", ""), files) == ("", [A_PNG])


def test_what_cannot_be_fetched_is_said_and_noted(turn: Turn, dify: Dify) -> None:
    """Neither an expired signature nor a private address is a link for customers."""
    dify.says(
        "First ![x](/files/tools/gone.png?sign=1) and [this](/files/gone.pdf?sign=1),"
        " ![y](http://10.1.1.1/secret.png)"
    )

    pipeline.run(turn.pk)

    ((body, files),) = dify.posted
    sorry = "(a file could not be attached)"
    assert body["content"] == f"First {sorry} and this {sorry}, {sorry}"
    assert files == []
    assert ended(turn) == ("answered", "answered")
    notes = PipelineRun.objects.get(turn=turn).notes
    assert [note.partition("(")[2] for note in notes] == [
        "/files/tools/gone.png).",
        "/files/gone.pdf).",
        "http://10.1.1.1/secret.png).",
    ]


def test_what_the_website_chat_refuses_is_not_sent_to_it(
    turn: Turn, dify: Dify
) -> None:
    dify.says("See [the page](/files/c.html?sign=3)")

    pipeline.run(turn.pk)

    ((body, files),) = dify.posted
    assert files == []
    assert body["content"] == "See the page (a file could not be attached)"
    (note,) = PipelineRun.objects.get(turn=turn).notes
    assert "takes no text/html" in note


def test_whatsapp_gets_each_file_in_a_message(
    turn: Turn, conversation: Conversation, dify: Dify
) -> None:
    on_channel(conversation, "Channel::Whatsapp")
    dify.says(f"Two: ![]({PICTURE}) ![](/files/b.pdf?sign=1)")

    pipeline.run(turn.pk)

    told = [(fields.get("content", ""), len(files)) for fields, files in dify.posted]
    assert told == [("Two:", 0), ("", 1), ("", 1)]


def test_a_file_stands_above_the_buttons(turn: Turn, dify: Dify) -> None:
    text = f"![]({PICTURE})\nIs this it?"
    dify.says(json.dumps({"text": text, "buttons": ["Yes", "No"]}))

    pipeline.run(turn.pk)

    (first, files), (second, none) = dify.posted
    assert (first.get("content", ""), files, none) == ("", [A_PNG], [])
    assert (second["content"], second["content_type"]) == (
        "Is this it?",
        "input_select",
    )


def test_files_that_chatwoot_refuses_do_not_cost_the_answer(
    turn: Turn, dify: Dify, platforms: Platforms
) -> None:
    dify.says(f"Here: ![]({PICTURE})")

    def refuse(request: Any) -> tuple[int, dict[str, str], str]:
        if request.headers["Content-Type"].startswith("multipart/"):
            return 422, {}, json.dumps({"error": "file type not supported"})
        return dify._store(request)

    platforms.wire.remove("POST", MESSAGES_URL)
    platforms.wire.add_callback("POST", MESSAGES_URL, callback=refuse)

    pipeline.run(turn.pk)

    ((body, files),) = dify.posted
    assert body["content"] == "Here:\n\n(a file could not be attached)"
    assert files == []
    assert ended(turn) == ("answered", "answered")


def test_a_second_attempt_fetches_the_file_again(
    turn: Turn, dify: Dify, platforms: Platforms
) -> None:
    dify.says(f"Here: ![]({PICTURE})")
    platforms.chatwoot_has_history()
    platforms.chatwoot_takes_messages(status=429, json={})
    pipeline.run(turn.pk)
    platforms.wire.remove("POST", MESSAGES_URL)
    platforms.wire.add_callback("POST", MESSAGES_URL, callback=dify._store)

    assert run_until_done(turn) == ("answered", "answered")

    ((fields, files),) = dify.posted
    assert (fields["content"], files) == ("Here:", [A_PNG])
    assert dify.fetched == ["/files/tools/a.png"] * 2


SUGGESTED_URL = f"{DIFY}/v1/messages/dify-message-1/suggested"
SUGGESTING = {"suggested_questions_after_answer": {"enabled": True}}


@pytest.fixture
def suggesting(bot: Bot) -> Bot:
    bot.suggested_questions = True
    bot.save()
    app = app_of(bot)
    app.parameters = {**app.parameters, **SUGGESTING}
    app.save()
    return bot


def test_suggested_questions_are_buttons_below_the_answer(
    turn: Turn, platforms: Platforms, suggesting: Bot
) -> None:
    platforms.dify_answers(*answer_events("Hello"))
    platforms.wire.get(
        SUGGESTED_URL, json={"result": "success", "data": ["When?", "Where? ", "When?"]}
    )

    pipeline.run(turn.pk)

    first, second = platforms.posted
    assert (first["content"], "content_type" in first) == ("Hello", False)
    assert (second["content"], second["content_type"]) == (
        "You could ask:",
        "input_select",
    )
    questions = ["When?", "Where?"]
    items = [{"title": text, "value": text} for text in questions]
    assert attributes_of(second)["items"] == items
    assert PipelineRun.objects.get(turn=turn).suggestions == questions
    asked = [
        call.request
        for call in platforms.wire.calls
        if "suggested" in str(call.request.url)
    ]
    assert [request.url for request in asked] == [
        f"{SUGGESTED_URL}?user={PipelineRun.objects.get(turn=turn).dify_user}"
    ]
    row = OutgoingMessage.objects.get(turn=turn, part="choices")
    assert row.posted_at is not None


def test_they_are_a_list_where_there_are_no_buttons(
    turn: Turn, conversation: Conversation, platforms: Platforms, suggesting: Bot
) -> None:
    on_channel(conversation, "Channel::Telegram")
    platforms.dify_answers(*answer_events("Hello"))
    platforms.wire.get(SUGGESTED_URL, json={"data": ["When?", "Where?"]})

    pipeline.run(turn.pk)

    assert contents(platforms) == ["Hello", "You could ask:\n\n1. When?\n2. Where?"]


OFF = {"status": 400, "code": "bad_request", "message": "Suggested … Is Disabled."}
NEWER_OFF = {"status": 403, "code": "app_suggested_questions_after_answer_disabled"}
NONE = "Dify suggested no questions. "


@pytest.mark.parametrize(
    ("answer", "note"),
    [
        ({"status": 400, "json": OFF}, NONE),
        ({"status": 403, "json": NEWER_OFF}, NONE),
        ({"body": requests.Timeout()}, NONE),
        ({"json": {"data": []}}, None),
        ({"json": {"data": "odd"}}, None),
    ],
    ids=["off", "newer off", "late", "none", "odd"],
)
def test_questions_that_dify_has_not_cost_nothing(
    turn: Turn,
    platforms: Platforms,
    suggesting: Bot,
    answer: dict[str, Any],
    note: str | None,
) -> None:
    platforms.dify_answers(*answer_events("Hello"))
    platforms.wire.get(SUGGESTED_URL, **answer)

    pipeline.run(turn.pk)

    assert ended(turn) == ("answered", "answered")
    assert contents(platforms) == ["Hello"]
    notes = PipelineRun.objects.get(turn=turn).notes
    assert [text.startswith(note or "?") for text in notes] == ([True] if note else [])
    assert app_of(suggesting).health != "refused"


def test_an_app_that_suggests_none_is_not_asked(
    turn: Turn, platforms: Platforms, suggesting: Bot
) -> None:
    app = app_of(suggesting)
    app.parameters = {
        **app.parameters,
        "suggested_questions_after_answer": {"enabled": False},
    }
    app.save()
    platforms.dify_answers(*answer_events("Hello"))

    pipeline.run(turn.pk)

    (note,) = PipelineRun.objects.get(turn=turn).notes
    assert note.startswith("No questions are suggested: ")
    assert platforms.calls("GET", "/suggested") == 0


def test_nobody_is_offered_questions_once_a_human_has_answered(
    turn: Turn, platforms: Platforms, suggesting: Bot
) -> None:
    platforms.dify_answers(*answer_events("Hello"))
    reply: JsonObject = {
        "id": 9200,
        "message_type": 1,
        "sender": {"id": 2, "type": "user"},
    }

    def answer(_request: Any) -> tuple[int, dict[str, str], str]:
        platforms.chatwoot_shows(status="open", last=reply)
        return 200, {}, json.dumps({"data": ["When?"]})

    platforms.wire.add_callback("GET", SUGGESTED_URL, callback=answer)

    pipeline.run(turn.pk)

    assert contents(platforms) == ["Hello"]
    assert ended(turn) == ("answered", "answered")


@pytest.mark.parametrize("changes", [{}, {"reply_as": "private_note"}])
def test_questions_are_asked_for_only_where_a_customer_gets_them(
    turn: Turn, platforms: Platforms, bot: Bot, changes: dict[str, str]
) -> None:
    bot.suggested_questions = bool(changes)
    bot.reply_as = changes.get("reply_as", bot.reply_as)
    bot.save()
    platforms.dify_answers(*answer_events("Hello"))

    pipeline.run(turn.pk)

    assert platforms.calls("GET", "/suggested") == 0
    assert len(platforms.posted) == 1


def test_the_turns_page_says_what_was_posted(
    turn: Turn, dify: Dify, splitting: Bot, admin_client: Client
) -> None:
    text = f"{THREE}\n\n![tent.png]({PICTURE})"
    dify.says(json.dumps({"text": text, "buttons": ["Yes", "No"]}))
    pipeline.run(turn.pk)

    page = admin_client.get(f"/admin/conversations/turn/{turn.pk}/change/")
    talk = admin_client.get(
        f"/admin/conversations/conversation/{turn.conversation_id}/change/"
    )

    for shown in (page.content.decode(), talk.content.decode()):
        assert "answer, 2 of 4" in shown
        assert "Buttons: Yes, No" in shown
        assert "Files: tent.png" in shown
    row = OutgoingMessage.objects.get(turn=turn, number=3)
    one = admin_client.get(f"/admin/conversations/outgoingmessage/{row.pk}/change/")
    assert "Buttons: Yes, No" in one.content.decode()


def test_items_that_chatwoot_refuses_become_text(
    turn: Turn, platforms: Platforms
) -> None:
    """An older Chatwoot, or one whose checks are stricter than ours."""
    platforms.dify_answers(*answer_events(BUTTONS))
    taken: list[JsonObject] = []

    def choose(request: Any) -> tuple[int, dict[str, str], str]:
        body = json.loads(request.body)
        if "content_type" in body:
            return 422, {}, json.dumps({"error": "Content attributes contains invalid"})
        taken.append(body)
        return 200, {}, json.dumps({"id": 9101})

    platforms.wire.remove("POST", MESSAGES_URL)
    platforms.wire.add_callback("POST", MESSAGES_URL, callback=choose)

    pipeline.run(turn.pk)

    assert ended(turn) == ("answered", "answered")
    (post,) = taken
    assert post["content"] == "Is it **damaged**?\n\n1. Yes\n2. No"
    assert attributes_of(post).keys() == {"bridge_message_id"}
    row = OutgoingMessage.objects.get(turn=turn)
    assert row.content == post["content"]
    # A customer may answer with a number.
    assert row.rich["content_type"] == "input_select"


def test_items_that_were_refused_are_not_tried_again(
    turn: Turn, platforms: Platforms
) -> None:
    platforms.dify_answers(*answer_events(BUTTONS))
    platforms.chatwoot_has_history()
    kinds: list[bool] = []

    def choose(request: Any) -> tuple[int, dict[str, str], str]:
        is_rich = "content_type" in json.loads(request.body)
        kinds.append(is_rich)
        if is_rich:
            return 422, {}, json.dumps({"error": "invalid"})
        return (429, {}, "{}") if len(kinds) < 3 else (200, {}, '{"id": 9101}')

    platforms.wire.remove("POST", MESSAGES_URL)
    platforms.wire.add_callback("POST", MESSAGES_URL, callback=choose)

    assert run_until_done(turn) == ("answered", "answered")

    row = OutgoingMessage.objects.get(turn=turn)
    assert row.content == "Is it **damaged**?\n\n1. Yes\n2. No"


@pytest.mark.parametrize(
    "name", ["http://[x", "data:[", "../../etc/passwd.png", "a\nb.png", "x" * 5000]
)
def test_a_files_odd_name_costs_nobody_the_answer(
    turn: Turn, dify: Dify, name: str
) -> None:
    """Tools and models choose them."""
    file: JsonObject = {"id": "f1", "type": "image", "url": PICTURE, "filename": name}
    dify.says("Here it is.", {**file, "belongs_to": "assistant"})

    pipeline.run(turn.pk)

    assert ended(turn) == ("answered", "answered")
    ((_fields, ((sent_name, kind, content),)),) = dify.posted
    assert (kind, content) == ("image/png", b"It is a.png")
    assert "/" not in sent_name
    assert len(sent_name) <= 150


def test_files_of_many_answers_have_room_for_so_much_together(
    turn: Turn, dify: Dify, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What others hold until it is posted is not there for this one."""
    shared = Room(max_bytes=20)
    monkeypatch.setattr(media, "room", shared)
    held = Upload(name="b", content_type="image/png", content=b"x" * 15)
    shared.hold(held)
    dify.says(f"Here: ![]({PICTURE})")

    pipeline.run(turn.pk)

    ((fields, files),) = dify.posted
    assert (fields["content"], files) == ("Here: (a file could not be attached)", [])
    assert shared.left_bytes == 5
    del held
    assert shared.left_bytes == 20


def test_what_a_flow_said_before_it_paused_has_its_pictures(
    turn: Turn, dify: Dify, bot: Bot
) -> None:
    Bot.objects.filter(pk=bot.pk).update(forms_go_to="customer")
    DifyApp.objects.filter(pk=app_of(bot).pk).update(mode="advanced-chat")
    form: JsonObject = {
        "form_id": "form-1",
        "form_content": "Is it this one?",
        "form_token": "token-of-the-form",
        "actions": [{"id": "yes", "title": "Yes"}, {"id": "no", "title": "No"}],
        "inputs": [],
    }
    ids: JsonObject = {**IDS, "workflow_run_id": "run-1"}
    events: list[JsonObject] = [
        {"event": "message", "answer": f"Look: ![]({PICTURE})", **ids},
        {"event": "human_input_required", "data": form, **ids},
        {"event": "workflow_paused", "data": {"reasons": [form]}, **ids},
    ]
    _Dify.stream = "".join(f"data: {json.dumps(event)}\n\n" for event in events)

    pipeline.run(turn.pk)

    (said, files), (asked, _none) = dify.posted
    assert (said["content"], files) == ("Look:", [A_PNG])
    assert asked["content_type"] == "input_select"
    assert ended(turn) == ("answered", "asked_for_form")
