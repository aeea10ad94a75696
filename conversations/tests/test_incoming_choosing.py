"""Which files an app takes, and which question stands for which messages."""

from __future__ import annotations

from typing import Any

import pytest

from chatwoot_api.payloads import Attachment, Message
from conversations import context
from conversations.incoming.choosing import (
    Choice,
    Place,
    choose,
    content_type_of,
    name_of,
    places_of,
    sound_name,
)
from conversations.incoming.fates import Fate, fate_of
from dify_api.payloads import FileSizes, FileUpload, parse_parameters

AT = "https://chat.test/rails/active_storage/blobs/redirect/ID"
FLOW = FileUpload(
    enabled=True,
    kinds=("image", "document", "custom"),
    extensions=(".ZIP", "ogg"),
    methods=("local_file", "remote_url"),
    max_files=2,
)


def a_file(name: str, **values: Any) -> Attachment:
    return Attachment(id=1, data_url=f"{AT}/{name}", **values)


def chosen(name: str, takes: FileUpload = FLOW, **values: Any) -> Choice:
    return choose(
        a_file(name, **values), places=[Place("", takes)], taken=[], sizes=FileSizes()
    )


@pytest.mark.parametrize(
    ("name", "kind", "problem"),
    [
        ("seam.JPG", "image", ""),
        ("invoice.pdf", "document", ""),
        ("logs.zip", "custom", ""),
        ("voice.ogg", "custom", ""),
        ("film.mp4", "", "this assistant takes no videos"),
        ("song.mp3", "", "this assistant takes no sound"),
        ("photo.heic", "", "this assistant takes no .heic files"),
    ],
)
def test_the_kind_decides(name: str, kind: str, problem: str) -> None:
    assert chosen(name) == Choice(kind=kind, problem=problem)


def test_an_app_that_fetches_links_alone_gets_nothing() -> None:
    takes = FileUpload(True, ("image",), (), ("remote_url",), 1)
    assert chosen("a.png", takes).problem == "this assistant takes files by link only"


def test_limits_are_the_servers_and_the_bridges_own() -> None:
    megabyte = 1024 * 1024
    films = FileUpload(enabled=True, kinds=("video",))

    assert chosen("a.png", file_size=10 * megabyte).kind == "image"
    assert chosen("a.png", file_size=10 * megabyte + 1).problem == (
        "it is larger than 10 MB"
    )
    assert chosen("a.mp4", films, file_size=51 * megabyte).problem == (
        "it is larger than 50 MB"
    )


def test_an_app_without_files() -> None:
    none = parse_parameters({"user_input_form": [], "file_upload": {"enabled": False}})
    assert places_of(none, mode="chat") == []
    choice = choose(a_file("a.png"), places=[], taken=[], sizes=FileSizes())
    assert choice.problem == "this assistant takes no files"


def test_one_more_than_the_app_takes() -> None:
    places = [Place("", FLOW)]
    choice = choose(a_file("a.png"), places=places, taken=["", ""], sizes=FileSizes())
    assert choice.problem == "this assistant takes only 2 at a time"


def test_a_workflow_takes_files_by_its_inputs_first() -> None:
    parameters = parse_parameters(
        {
            "user_input_form": [
                {"file-list": {"variable": "all", "allowed_file_types": ["image"]}},
                {"file": {"variable": "one", "allowed_file_types": ["image"]}},
                {"file": {"variable": "two", "allowed_file_types": ["image"]}},
            ],
            "file_upload": {"enabled": True, "allowed_file_types": ["image"]},
        }
    )

    by_mode = {
        mode: [place.variable for place in places_of(parameters, mode=mode)]
        for mode in ("workflow", "advanced-chat")
    }

    assert by_mode == {
        "workflow": ["one", "all", ""],
        "advanced-chat": ["", "one", "all"],
    }
    places = places_of(parameters, mode="workflow")
    second = choose(a_file("a.png"), places=places, taken=["one"], sizes=FileSizes())
    assert second == Choice(kind="image", variable="all")


@pytest.mark.parametrize(
    ("attachment", "name"),
    [
        (a_file("%D1%84%D0%BE%D1%82%D0%BE.png"), "фото.png"),
        (a_file("voice.ogg?disposition=inline"), "voice.ogg"),
        (a_file("voice", content_type="audio/mpeg"), "voice.mp3"),
        (a_file("..%2F..%2Fetc%2Fpasswd", content_type="text/plain"), "passwd.txt"),
        (a_file("a%5Cb.png"), "a_b.png"),
        (Attachment(id=1, file_type="image", data_url="http://[x/"), "image"),
    ],
)
def test_a_name_that_dify_takes(attachment: Attachment, name: str) -> None:
    assert name_of(attachment) == name


def test_types_of_sound() -> None:
    opus = a_file("ptt.opus", content_type="audio/ogg; codecs=opus")
    unknown = a_file("x.oga", content_type="application/octet-stream")

    assert content_type_of(opus) == "audio/ogg"
    assert sound_name(opus, content_type="audio/ogg") == "voice.ogg"
    assert content_type_of(unknown, claimed="audio/ogg") == "audio/ogg"


def test_a_fate_is_read_as_it_was_written() -> None:
    fate = Fate(number=2, name="a.png", app=7, upload_file_id="f", user="u", kind="x")

    assert fate_of(fate.to_json()) == fate
    # What is not ours is not there.
    assert fate_of({"number": True, "name": 5, "extra": 1}) == Fate()
    assert fate_of("text") == Fate()


def test_the_question_says_what_dify_does_not_get() -> None:
    image, sound = a_file("seam.jpg", file_type="image"), a_file("v.ogg")
    both = Message(
        id=1, message_type="incoming", content="Look", attachments=(image, sound)
    )

    def asked(**fate: str) -> str:
        return context.question([both], files={"1": dict(fate)})

    assert asked(upload_file_id="f") == "Look"
    assert asked(text="Where is it?") == "Look\n\nWhere is it?\n\nWhere is it?"
    assert asked(problem="too big") == (
        "Look\n\n[The customer sent an image: seam.jpg. You cannot see it: too big]"
        "\n\n[The customer sent a file: v.ogg. You cannot read it: too big]"
    )
    # Nothing is known of them: as before.
    assert context.question([both]) == (
        "Look\n\n[The customer sent an image: seam.jpg]\n\n"
        "[The customer sent a file: v.ogg]"
    )
