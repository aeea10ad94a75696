"""The customer's files and voice, from Chatwoot's payload to what Dify is asked."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from threading import BoundedSemaphore
from typing import Any

import pytest
import responses
from django.test import Client
from django.utils import timezone

from bridge_project.lib.types import JsonObject
from conversations import former_runs, pipeline
from conversations.incoming import bringing, fetching
from conversations.models import (
    Bot,
    Conversation,
    OpenAIServer,
    OutgoingMessage,
    PipelineRun,
    Turn,
    UpstreamCall,
)
from conversations.retention import _empty_turns
from conversations.tests.conftest import CONVERSATION_URL, Platforms, answer_events
from conversations.tests.factories import (
    CHATWOOT,
    DIFY,
    app_of,
    make_event,
    make_memory,
    make_turn,
    message_payload,
)

pytestmark = pytest.mark.django_db

UPLOAD, HEAR = f"{DIFY}/v1/files/upload", f"{DIFY}/v1/audio-to-text"
EARS = "https://ears.test/v1"
IMAGE = f"{CHATWOOT}/rails/active_storage/blobs/redirect/ID-1/seam.jpg"
VOICE = f"{CHATWOOT}/rails/active_storage/blobs/redirect/ID-2/voice.ogg"
VISION = {"image": {"enabled": True, "number_limits": 2, "transfer_methods": []}}
NO_FILES = "You cannot see it: this assistant takes no files]"


def image(**overrides: Any) -> JsonObject:
    return {
        "id": 310,
        "file_type": "image",
        "content_type": "image/jpeg",
        "data_url": IMAGE,
        "file_size": 4,
        **overrides,
    }


def voice(**overrides: Any) -> JsonObject:
    usual = {"id": 311, "file_type": "audio", "content_type": "audio/ogg"}
    return image(**{**usual, "data_url": VOICE, **overrides})


@pytest.fixture
def ask(
    bot: Bot, conversation: Conversation, payload: Callable[[str], JsonObject]
) -> Callable[..., Turn]:
    """Make a due turn of messages with these attachments."""

    def make(*attachments: JsonObject, content: str | None = None) -> Turn:
        made = make_turn(conversation, bot)
        body = message_payload(
            payload("message_created_incoming_text"),
            content=content,
            attachments=list(attachments),
        )
        make_event(
            bot.account,
            body,
            conversation=conversation,
            turn=made,
            status="processed",
            action="answer",
            reason="customer_message",
        )
        return made

    return make


def app_takes(bot: Bot, *form: JsonObject, **parameters: Any) -> None:
    app = app_of(bot)
    kept: JsonObject = {"user_input_form": list(form), "file_upload": {}}
    app.parameters = {**kept, **parameters}
    app.save()


def with_transcriber(bot: Bot) -> OpenAIServer:
    server = OpenAIServer.objects.create(
        name="Whisper",
        base_url=EARS,
        api_key="sk-of-the-ears-0000",
        transcription_model="whisper-1",
    )
    bot.transcriber = server
    bot.save()
    return server


def chatwoot_has(wire: responses.RequestsMock, *urls: str) -> None:
    for url in urls or (IMAGE, VOICE):
        wire.get(url, body=b"\xff\xd8\xff\xe0", content_type="image/jpeg")


def uploads(wire: responses.RequestsMock, *ids: str) -> None:
    for file_id in ids or ("file-1",):
        wire.post(UPLOAD, json={"id": file_id}, status=201)


def again(turn: Turn) -> str:
    """Let the turn's next attempt be due, and run it."""
    Turn.objects.filter(pk=turn.pk).update(
        next_attempt_at=timezone.now() - timedelta(seconds=1)
    )
    return pipeline.run(turn.pk).summary


def local(file_id: str, kind: str = "image") -> JsonObject:
    return {
        "type": kind,
        "transfer_method": "local_file",
        "upload_file_id": file_id,
    }


def body_of(wire: responses.RequestsMock, url: str, index: int = 0) -> str:
    found = [call.request.body for call in wire.calls if call.request.url == url]
    sent = found[index]
    assert isinstance(sent, bytes)
    return sent.decode("latin-1")


# --- Files ----------------------------------------------------------------------------


def test_an_image_goes_to_an_app_that_takes_it(
    bot: Bot, ask: Callable[..., Turn], platforms: Platforms
) -> None:
    app_takes(bot, file_upload=VISION)
    chatwoot_has(platforms.wire)
    uploads(platforms.wire)
    platforms.dify_answers(*answer_events("A torn seam."))
    turn = ask(image(), content="What is this?")

    pipeline.run(turn.pk)

    (asked,) = platforms.asked
    assert asked["query"] == "What is this?"
    assert asked["files"] == [local("file-1")]
    sent = body_of(platforms.wire, UPLOAD)
    # The user of the upload is that of the run.
    assert f'name="user"\r\n\r\n{asked["user"]}\r\n' in sent
    assert 'filename="seam.jpg"\r\nContent-Type: image/jpeg\r\n\r\n' in sent
    turn.refresh_from_db()
    assert turn.files == {
        "310": {
            "number": 1,
            "name": "seam.jpg",
            "app": app_of(bot).pk,
            "user": asked["user"],
            "upload_file_id": "file-1",
            "kind": "image",
        }
    }
    run = PipelineRun.objects.get()
    assert run.sent_files == [local("file-1")]
    assert turn.status == Turn.Status.ANSWERED
    excerpts = UpstreamCall.objects.filter(path="/files/upload")
    assert excerpts.get().request_excerpt.endswith('"file": "seam.jpg (4 bytes)"}')


def test_a_bare_image_is_named_since_dify_wants_words(
    bot: Bot, ask: Callable[..., Turn], platforms: Platforms
) -> None:
    app_takes(bot, file_upload=VISION)
    chatwoot_has(platforms.wire)
    uploads(platforms.wire)
    platforms.dify_answers(*answer_events("A torn seam."))
    turn = ask(image())

    pipeline.run(turn.pk)

    assert platforms.asked[0]["query"] == "[The customer sent an image: seam.jpg]"
    turn.refresh_from_db()
    assert turn.status == Turn.Status.ANSWERED


def test_what_the_app_does_not_take_is_told_in_words(
    bot: Bot, ask: Callable[..., Turn], platforms: Platforms
) -> None:
    platforms.dify_answers(*answer_events("Please describe it."))

    pipeline.run(ask(image(), content="Look").pk)

    (asked,) = platforms.asked
    assert (
        asked["query"] == f"Look\n\n[The customer sent an image: seam.jpg. {NO_FILES}"
    )
    assert "files" not in asked
    assert platforms.calls("GET", "seam.jpg") == 0


def test_a_second_attempt_uploads_nothing_again(
    bot: Bot, ask: Callable[..., Turn], platforms: Platforms
) -> None:
    app_takes(bot, file_upload=VISION)
    chatwoot_has(platforms.wire)
    uploads(platforms.wire)
    platforms.dify_answers(status=502, body="<html>")
    platforms.dify_answers(*answer_events("A torn seam."))
    turn = ask(image())

    pipeline.run(turn.pk)
    again(turn)

    assert platforms.calls("POST", "/files/upload") == 1
    assert platforms.calls("GET", "seam.jpg") == 1
    runs = PipelineRun.objects.order_by("pk")
    assert [run.sent_files for run in runs] == [[local("file-1")]] * 2
    assert len({run.query for run in runs}) == 1
    turn.refresh_from_db()
    assert turn.status == Turn.Status.ANSWERED


def test_an_answer_that_was_lost_is_found_by_its_question(
    bot: Bot, ask: Callable[..., Turn], platforms: Platforms
) -> None:
    """Chatwoot was away when the answer was to be posted."""
    app_takes(bot, file_upload=VISION)
    chatwoot_has(platforms.wire)
    uploads(platforms.wire)
    platforms.dify_answers(*answer_events("A torn seam."))
    platforms.chatwoot_takes_messages(status=429)
    turn = ask(image())
    pipeline.run(turn.pk)

    platforms.chatwoot_takes_messages()
    platforms.chatwoot_has_history()
    again(turn)

    assert len(platforms.asked) == 1
    assert [message["content"] for message in platforms.posted] == ["A torn seam."]


def test_the_upload_has_the_user_of_the_dify_conversation(
    bot: Bot,
    conversation: Conversation,
    ask: Callable[..., Turn],
    platforms: Platforms,
) -> None:
    """A merged contact has another user now; Dify knows the talk under the old one."""
    app_takes(bot, file_upload=VISION)
    make_memory(conversation, app_of(bot), dify_user="chatwoot-before-the-merge")
    chatwoot_has(platforms.wire)
    uploads(platforms.wire)
    platforms.dify_answers(*answer_events("A torn seam."))

    pipeline.run(ask(image()).pk)

    assert platforms.asked[0]["user"] == "chatwoot-before-the-merge"
    sent = body_of(platforms.wire, UPLOAD)
    assert 'name="user"\r\n\r\nchatwoot-before-the-merge\r\n' in sent


def test_another_user_needs_another_upload(
    bot: Bot,
    conversation: Conversation,
    ask: Callable[..., Turn],
    platforms: Platforms,
) -> None:
    """The talk is gone in Dify, so the next one begins under the contact's own user."""
    app_takes(bot, file_upload=VISION)
    make_memory(conversation, app_of(bot), dify_user="chatwoot-before-the-merge")
    chatwoot_has(platforms.wire)
    uploads(platforms.wire, "file-1", "file-2")
    gone = {"code": "not_found", "message": "Conversation Not Exists.", "status": 404}
    platforms.dify_answers(status=404, json=gone)
    platforms.dify_answers(*answer_events("A torn seam."))

    pipeline.run(ask(image()).pk)

    (asked,) = platforms.asked
    assert asked["files"] == [local("file-2")]
    own = bot.dify_user(conversation)
    assert f'name="user"\r\n\r\n{own}\r\n' in body_of(platforms.wire, UPLOAD, 1)


@pytest.mark.parametrize(
    "message",
    [
        "File validation failed for file: seam.jpg",
        "Number of image files exceeds the maximum limit 0",
        "Invalid upload file",
    ],
)
def test_files_that_dify_refuses_are_left_out_once(
    bot: Bot, ask: Callable[..., Turn], platforms: Platforms, message: str
) -> None:
    app_takes(bot, file_upload=VISION)
    chatwoot_has(platforms.wire)
    uploads(platforms.wire)
    refusal = {"code": "invalid_param", "message": message, "status": 400}
    platforms.dify_answers(status=400, json=refusal)
    platforms.dify_answers(*answer_events("Please describe it."))
    turn = ask(image(), content="Look")

    pipeline.run(turn.pk)

    (asked,) = platforms.asked
    line = "[The customer sent an image: seam.jpg. You cannot see it: Dify refused it]"
    assert asked["query"] == f"Look\n\n{line}"
    assert "files" not in asked
    run = PipelineRun.objects.get()
    assert run.notes == ["Dify refused the files; it was asked without them."]
    assert (run.sent_files, run.query) == ([], asked["query"])
    turn.refresh_from_db()
    assert turn.status == Turn.Status.ANSWERED
    assert message in turn.files["310"]["cause"]


def test_an_upload_that_is_refused_fails_no_run(
    bot: Bot, ask: Callable[..., Turn], platforms: Platforms
) -> None:
    app_takes(bot, file_upload=VISION)
    chatwoot_has(platforms.wire)
    answer = {"code": "file_too_large", "message": "", "status": 413}
    platforms.wire.post(UPLOAD, json=answer, status=413)
    platforms.dify_answers(*answer_events("Please describe it."))

    pipeline.run(ask(image(), content="Look").pk)

    assert str(platforms.asked[0]["query"]).endswith(
        "You cannot see it: it is too large]"
    )


def test_a_server_that_is_away_is_asked_three_times(
    bot: Bot, ask: Callable[..., Turn], platforms: Platforms
) -> None:
    app_takes(bot, file_upload=VISION)
    chatwoot_has(platforms.wire)
    platforms.wire.post(UPLOAD, status=503)
    platforms.dify_answers(*answer_events("Please describe it."))
    turn = ask(image(), content="Look")

    pipeline.run(turn.pk)
    turn.refresh_from_db()
    first = (turn.status, turn.handover_reason, len(platforms.asked))
    again(turn)
    again(turn)

    assert first == (Turn.Status.RETRYING, "", 0)
    assert platforms.calls("POST", "/files/upload") == 3
    turn.refresh_from_db()
    assert turn.status == Turn.Status.ANSWERED
    assert str(platforms.asked[0]["query"]).endswith("Dify did not take it]")


def test_a_file_that_is_gone_in_chatwoot_is_only_mentioned(
    bot: Bot, ask: Callable[..., Turn], platforms: Platforms
) -> None:
    app_takes(bot, file_upload=VISION)
    platforms.wire.get(IMAGE, status=404)
    platforms.dify_answers(*answer_events("Please send it again."))

    pipeline.run(ask(image(), content="Look").pk)

    assert str(platforms.asked[0]["query"]).endswith("it could not be fetched]")


def test_a_name_that_only_browsers_know_is_no_obstacle(
    bot: Bot, ask: Callable[..., Turn], platforms: Platforms
) -> None:
    """Chatwoot's FRONTEND_URL differs from the address that the bridge was given."""
    app_takes(bot, file_upload=VISION)
    path = "/rails/active_storage/blobs/redirect/ID-1/seam.jpg"
    platforms.wire.get(f"https://chat.example.test{path}", status=503)
    chatwoot_has(platforms.wire, f"{CHATWOOT}{path}")
    uploads(platforms.wire)
    platforms.dify_answers(*answer_events("A torn seam."))

    pipeline.run(ask(image(data_url=f"https://chat.example.test{path}")).pk)

    assert platforms.asked[0]["files"] == [local("file-1")]


def test_a_workflow_gets_its_file_as_an_input(
    bot: Bot, ask: Callable[..., Turn], platforms: Platforms
) -> None:
    app = app_of(bot)
    app.mode, app.query_input = "workflow", "query"
    app.save()
    app_takes(
        bot,
        {"paragraph": {"variable": "query", "required": True}},
        {
            "file": {
                "variable": "picture",
                "required": True,
                "allowed_file_types": ["image"],
                "allowed_file_upload_methods": ["local_file"],
            }
        },
    )
    chatwoot_has(platforms.wire)
    uploads(platforms.wire)
    url = f"{DIFY}/v1/workflows/run"
    platforms.wire.post(url, status=400, json={"code": "x", "message": "", "status": 1})

    pipeline.run(ask(image(), image(id=312), content="Look").pk)

    sent = [call.request.body for call in platforms.wire.calls]
    (run,) = [
        json.loads(body)
        for body in sent
        if isinstance(body, bytes) and b'"picture"' in body
    ]
    assert run["inputs"]["picture"] == local("file-1")
    assert run["inputs"]["query"].startswith("Look\n\n[The customer sent an image")
    assert "takes only 1 at a time" in run["inputs"]["query"]
    assert "files" not in run
    assert PipelineRun.objects.get().sent_files == [local("file-1")]


# --- Voice ----------------------------------------------------------------------------


def test_voice_is_heard_by_dify_under_a_type_that_it_takes(
    bot: Bot, ask: Callable[..., Turn], platforms: Platforms
) -> None:
    app_takes(bot, speech_to_text={"enabled": True})
    url = VOICE.replace(".ogg", ".mp3")
    chatwoot_has(platforms.wire, url)
    platforms.wire.post(HEAR, json={"text": "Where is my tent?"})
    platforms.dify_answers(*answer_events("On its way."))
    turn = ask(voice(content_type="audio/mpeg", data_url=url))

    pipeline.run(turn.pk)

    assert platforms.asked[0]["query"] == "Where is my tent?"
    assert 'filename="voice.mp3"\r\nContent-Type: audio/mp3\r\n' in body_of(
        platforms.wire, HEAR
    )
    note, answer = platforms.posted
    assert note["content"] == (
        "What the voice message “voice.mp3” says:\n\nWhere is my tent?"
    )
    assert (note["private"], answer["content"]) == (True, "On its way.")
    row = OutgoingMessage.objects.get(part=OutgoingMessage.Part.TRANSCRIPT)
    assert (row.number, row.private) == (1, True)


def test_voice_that_dify_does_not_take_goes_to_the_other_server(
    bot: Bot, ask: Callable[..., Turn], platforms: Platforms
) -> None:
    app_takes(bot, speech_to_text={"enabled": True})
    with_transcriber(bot)
    chatwoot_has(platforms.wire)
    hears = f"{EARS}/audio/transcriptions"
    platforms.wire.post(hears, json={"text": "Where is my tent?"})
    platforms.dify_answers(*answer_events("On its way."))
    turn = ask(voice(), content="Hello")

    pipeline.run(turn.pk)

    assert platforms.asked[0]["query"] == "Hello\n\nWhere is my tent?"
    sent = body_of(platforms.wire, hears)
    assert 'name="model"\r\n\r\nwhisper-1\r\n' in sent
    assert 'filename="voice.ogg"\r\nContent-Type: audio/ogg\r\n' in sent
    (asked,) = [
        call.request for call in platforms.wire.calls if call.request.url == hears
    ]
    assert asked.headers["Authorization"] == "Bearer sk-of-the-ears-0000"
    call = UpstreamCall.objects.get(service="openai")
    assert call.path == "/audio/transcriptions"
    assert "sk-of-the-ears" not in call.request_excerpt + call.response_excerpt
    turn.refresh_from_db()
    assert turn.files["311"]["heard_by"] == "Whisper"


def test_what_chatwoot_has_heard_is_not_heard_again(
    bot: Bot, ask: Callable[..., Turn], platforms: Platforms
) -> None:
    app_takes(bot, speech_to_text={"enabled": True})
    with_transcriber(bot)
    platforms.dify_answers(*answer_events("On its way."))

    pipeline.run(ask(voice(transcribed_text="Where is my tent?")).pk)

    assert platforms.asked[0]["query"] == "Where is my tent?"
    # The agents see it in Chatwoot already.
    assert [message["content"] for message in platforms.posted] == ["On its way."]


def test_voice_that_nobody_understands_is_said_to_everybody(
    bot: Bot, ask: Callable[..., Turn], platforms: Platforms
) -> None:
    app_takes(bot, speech_to_text={"enabled": True})
    with_transcriber(bot)
    chatwoot_has(platforms.wire)
    refusal = {"error": {"message": "Invalid file format."}}
    platforms.wire.post(f"{EARS}/audio/transcriptions", json=refusal, status=400)
    platforms.dify_answers(*answer_events("Please write."))

    turn = ask(voice())
    pipeline.run(turn.pk)

    assert platforms.asked[0]["query"] == (
        "[The customer sent an audio message: voice.ogg. You cannot hear it: it could "
        "not be turned into text]"
    )
    note = platforms.posted[0]
    assert note["private"] is True
    assert str(note["content"]).startswith(
        "The voice message “voice.ogg” could not be turned into text, so the bot does "
        "not know what it says. Please listen to it. Cause: dify: it does not take "
        "audio/ogg. Whisper: The service refused the request"
    )


def test_voice_without_anybody_to_hear_it_is_mentioned(
    bot: Bot, ask: Callable[..., Turn], platforms: Platforms
) -> None:
    platforms.dify_answers(*answer_events("Please write."))

    pipeline.run(ask(voice()).pk)

    assert platforms.asked[0]["query"] == (
        "[The customer sent an audio message: voice.ogg. You cannot hear it: voice "
        "messages are not turned into text here]"
    )
    assert [message["content"] for message in platforms.posted] == ["Please write."]


def test_an_app_that_takes_sound_gets_what_could_not_be_understood(
    bot: Bot, ask: Callable[..., Turn], platforms: Platforms
) -> None:
    takes = {"enabled": True, "allowed_file_types": ["audio"], "number_limits": 3}
    app_takes(bot, file_upload=takes)
    url = VOICE.replace(".ogg", ".mp3")
    chatwoot_has(platforms.wire, url)
    uploads(platforms.wire)
    platforms.dify_answers(*answer_events("On its way."))

    pipeline.run(ask(voice(content_type="audio/mpeg", data_url=url)).pk)

    assert platforms.asked[0]["files"] == [local("file-1", "audio")]


def test_a_note_that_is_refused_costs_nobody_the_answer(
    bot: Bot, ask: Callable[..., Turn], platforms: Platforms
) -> None:
    app_takes(bot, speech_to_text={"enabled": True})
    chatwoot_has(platforms.wire, VOICE.replace(".ogg", ".mp3"))
    platforms.wire.post(HEAR, json={"text": "Where is my tent?"})
    platforms.dify_answers(*answer_events("On its way."))

    def answer(request: Any) -> tuple[int, dict[str, str], str]:
        is_note = json.loads(request.body)["private"]
        return (500, {}, "") if is_note else (200, {}, '{"id": 9200}')

    url = f"{CONVERSATION_URL}/messages"
    platforms.wire.remove(responses.POST, url)
    platforms.wire.add_callback(responses.POST, url, callback=answer)
    platforms.wire.get(url, json={"payload": []})
    url = VOICE.replace(".ogg", ".mp3")
    turn = ask(voice(content_type="audio/mpeg", data_url=url))

    pipeline.run(turn.pk)

    turn.refresh_from_db()
    assert turn.status == Turn.Status.ANSWERED


def test_notes_are_off_if_the_bot_says_so(
    bot: Bot, ask: Callable[..., Turn], platforms: Platforms
) -> None:
    bot.transcript_notes = False
    bot.save()
    app_takes(bot, speech_to_text={"enabled": True})
    url = VOICE.replace(".ogg", ".wav")
    chatwoot_has(platforms.wire, url)
    platforms.wire.post(HEAR, json={"text": "Where is my tent?"})
    platforms.dify_answers(*answer_events("On its way."))

    pipeline.run(ask(voice(content_type="audio/x-wav", data_url=url)).pk)

    assert [message["content"] for message in platforms.posted] == ["On its way."]


def test_voice_reaches_a_provider_that_is_not_dify(
    bot: Bot, ask: Callable[..., Turn], platforms: Platforms, settings: Any
) -> None:
    name = "conversations.tests.reply_functions.plain"
    settings.REPLY_PROVIDERS = {"plain": name}
    with_transcriber(bot)
    bot.provider, bot.dify_app = "plain", None
    bot.save()
    chatwoot_has(platforms.wire)
    platforms.wire.post(f"{EARS}/audio/transcriptions", json={"text": "Where is it?"})
    turn = ask(voice(), image(), content="Hello")

    pipeline.run(turn.pk)

    line = f"[The customer sent an image: seam.jpg. {NO_FILES}"
    run = PipelineRun.objects.get()
    assert run.query == f"Hello\n\nWhere is it?\n\n{line}"
    assert len(platforms.posted) == 2


def test_what_takes_too_long_is_left_for_the_next_attempt(
    bot: Bot,
    ask: Callable[..., Turn],
    platforms: Platforms,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bringing, "TOTAL_TIMEOUT_S", -1.0)
    app_takes(bot, file_upload=VISION)
    platforms.dify_answers(*answer_events("Please describe it."))
    turn = ask(image(), content="Look")

    pipeline.run(turn.pk)
    first = len(platforms.asked)
    again(turn)
    again(turn)

    assert first == 0
    assert str(platforms.asked[0]["query"]).endswith("it could not be fetched]")


# --- Afterwards -----------------------------------------------------------------------


def test_the_turns_page_tells_what_became_of_each_file(
    bot: Bot, ask: Callable[..., Turn], admin_client: Client
) -> None:
    turn = ask(image(), voice(), content="Look")
    turn.files = {
        "310": {"number": 1, "problem": "it is too large", "cause": "HTTP 413"},
        "311": {"number": 2, "text": "Where is my <b>tent</b>?", "heard_by": "dify"},
    }
    turn.save()

    page = admin_client.get(f"/admin/conversations/turn/{turn.pk}/change/")

    html = page.content.decode()
    assert "Not given to Dify, only mentioned: it is too large." in html
    assert "HTTP 413" in html
    assert "Turned into text by Dify:" in html
    assert "Where is my &lt;b&gt;tent&lt;/b&gt;?" in html


def test_retention_empties_what_was_said(bot: Bot, ask: Callable[..., Turn]) -> None:
    turn = ask(voice())
    Turn.objects.filter(pk=turn.pk).update(files={"311": {"text": "my secret"}})

    _empty_turns([turn.pk])

    turn.refresh_from_db()
    assert turn.files == {}


# --- What attempts have in common ---------------------------------------------------


def test_silence_after_files_is_answered_without_them(
    bot: Bot, ask: Callable[..., Turn], platforms: Platforms
) -> None:
    """Dify 1.13 to 1.15 says with silence that a chatflow's file is not valid."""
    app_takes(bot, file_upload=VISION)
    turn = ask(image(), content="Look")
    user = bot.dify_user(turn.conversation)
    turn.attempts = 1
    turn.files = {
        "310": {
            "app": app_of(bot).pk,
            "user": user,
            "upload_file_id": "file-1",
            "kind": "image",
        }
    }
    turn.save()
    PipelineRun.objects.create(
        turn=turn,
        dify_app=app_of(bot),
        last_message_id=9001,
        query="Look",
        status=PipelineRun.Status.FAILED,
        error_code="silent_stream",
        sent_files=[local("file-1")],
    )
    platforms.dify_answers(*answer_events("Please describe it."))

    pipeline.run(turn.pk)

    (asked,) = platforms.asked
    assert "files" not in asked
    assert str(asked["query"]).endswith("You cannot see it: Dify refused it]")


def test_an_interrupted_attempts_note_is_not_posted_again(
    bot: Bot, ask: Callable[..., Turn], platforms: Platforms
) -> None:
    """A worker that was stopped is no attempt: the next one is the first again."""
    turn = ask(voice())
    turn.files = {
        "311": {"number": 1, "text": "Where is it?", "heard_by": "dify", "tells": True}
    }
    turn.save()
    OutgoingMessage.objects.create(
        turn=turn,
        part=OutgoingMessage.Part.TRANSCRIPT,
        number=1,
        private=True,
        content="…",
        chatwoot_message_id=9101,
        attempted_at=timezone.now(),
        posted_at=timezone.now(),
    )
    platforms.dify_answers(*answer_events("On its way."))

    pipeline.run(turn.pk)

    assert platforms.asked[0]["query"] == "Where is it?"
    assert [message["content"] for message in platforms.posted] == ["On its way."]


def test_a_message_of_files_alone_counts_as_answered_if_they_went_along(
    bot: Bot, ask: Callable[..., Turn], payload: Callable[[str], JsonObject]
) -> None:
    """Its answer turned out to have arrived, after another message had joined."""
    turn = ask(image())
    turn.files = {"310": {"upload_file_id": "file-1"}}
    later = make_event(
        bot.account,
        message_payload(
            payload("message_created_incoming_text"), id=9002, content="Hello?"
        ),
        turn=turn,
    )
    first = turn.events.exclude(pk=later.pk).get()
    PipelineRun.objects.create(
        turn=turn,
        last_message_id=9001,
        status=PipelineRun.Status.SUCCEEDED,
        query="[The customer sent an image: seam.jpg]",
        sent_files=[local("file-1")],
    )

    assert former_runs.answered(turn, [first, later]) == [first]


def test_a_place_among_those_that_are_fetched_is_not_waited_for_for_ever(
    bot: Bot,
    ask: Callable[..., Turn],
    platforms: Platforms,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    app_takes(bot, file_upload=VISION)
    platforms.dify_answers(*answer_events("I see nothing."))
    monkeypatch.setattr(fetching, "WAIT_S", 0.01)
    monkeypatch.setattr(fetching, "_free", BoundedSemaphore(1))
    assert fetching._free.acquire()
    turn = ask(image())

    pipeline.run(turn.pk)
    again(turn)
    again(turn)

    (asked,) = platforms.asked
    assert asked["query"] == (
        "[The customer sent an image: seam.jpg. You cannot see it: it could not be "
        "fetched]"
    )
    turn.refresh_from_db()
    assert turn.status == "answered"
