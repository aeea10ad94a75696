"""Files on their way to Dify, checked against what real servers answered."""

from __future__ import annotations

from io import BytesIO

import pytest
from responses import RequestsMock

from bridge_project.lib.multipart import SentFile
from bridge_project.lib.types import JsonObject, JsonValue
from dify_api.connection import DifyConnection
from dify_api.failures import DifyRejected, DifyUnavailable, DifyUnexpectedReply
from dify_api.file_kinds import audio_type, kind_of
from dify_api.payloads import FileSizes, FileUpload, parse_parameters
from dify_api.tests import recorded
from dify_api.uploads import DifyFiles

API = "http://dify.test/v1"
VERSIONS = ["0.15.3", "1.12.1", "1.14.2"]


def dify() -> DifyFiles:
    return DifyFiles(DifyConnection(API, "app-test-key", mode="chat"))


def a_file(name: str = "фото.png", content_type: str = "image/png") -> SentFile:
    return SentFile(name=name, content_type=content_type, content=BytesIO(b"\x89PNG"))


def sent(wire: RequestsMock) -> str:
    (call,) = wire.calls
    assert call.request.headers["Authorization"] == "Bearer app-test-key"
    kind = call.request.headers["Content-Type"]
    assert kind.startswith("multipart/form-data; boundary=bridge-")
    body = call.request.body
    assert isinstance(body, bytes)
    text = body.decode("latin-1")
    return text.replace(kind.partition("boundary=")[2], "BOUNDARY")


@pytest.mark.parametrize("version", VERSIONS)
def test_an_upload_brings_the_files_id(wire: RequestsMock, version: str) -> None:
    recording = recorded.body(f"{version}/files/01_upload_png")
    wire.post(f"{API}/files/upload", json=recording, status=201)

    assert dify().upload(a_file(), user="anna") == recording["id"]

    assert sent(wire) == (
        "--BOUNDARY\r\n"
        'Content-Disposition: form-data; name="user"\r\n\r\nanna\r\n'
        "--BOUNDARY\r\n"
        'Content-Disposition: form-data; name="file"; filename="'
        f'{"фото".encode().decode("latin-1")}.png"\r\n'
        "Content-Type: image/png\r\n\r\n\x89PNG\r\n"
        "--BOUNDARY--\r\n"
    )


@pytest.mark.parametrize(
    ("status", "code", "our_code"),
    [
        (413, "file_too_large", "too_large"),
        (415, "unsupported_file_type", "rejected"),
        (400, "filename_not_exists_error", "rejected"),
        (400, "invalid_param", "rejected"),
    ],
)
def test_a_refusal_is_final(
    wire: RequestsMock, status: int, code: str, our_code: str
) -> None:
    answer = {"code": code, "message": "", "status": status}
    wire.post(f"{API}/files/upload", json=answer, status=status)

    with pytest.raises(DifyRejected) as caught:
        dify().upload(a_file(), user="anna")

    assert (caught.value.code, caught.value.retryable) == (our_code, False)


def test_a_server_that_is_away_may_be_asked_again(wire: RequestsMock) -> None:
    wire.post(f"{API}/files/upload", body="<html>nginx</html>", status=502)

    with pytest.raises(DifyUnavailable) as caught:
        dify().upload(a_file(), user="anna")

    assert caught.value.retryable


def test_an_upload_without_an_id_is_none(wire: RequestsMock) -> None:
    wire.post(f"{API}/files/upload", json={"name": "x"}, status=201)

    with pytest.raises(DifyUnexpectedReply):
        dify().upload(a_file(), user="anna")


def test_sound_becomes_text(wire: RequestsMock) -> None:
    wire.post(f"{API}/audio-to-text", json={"text": " Where is my tent? "})

    heard = dify().transcribe(a_file("voice.mp3", "audio/mp3"), user="anna")

    assert heard == "Where is my tent?"
    assert 'filename="voice.mp3"\r\nContent-Type: audio/mp3\r\n' in sent(wire)


@pytest.mark.parametrize(
    ("extension", "kind"),
    [
        ("JPG", "image"),
        ("heic", "custom"),
        ("m4a", "audio"),
        ("ogg", "custom"),
        ("webm", "video"),
        ("pdf", "document"),
        ("zip", "custom"),
        ("", "custom"),
    ],
)
def test_the_ending_decides_what_it_is(extension: str, kind: str) -> None:
    assert kind_of(extension) == kind


@pytest.mark.parametrize(
    ("content_type", "taken_as"),
    [
        ("audio/mpeg", "audio/mp3"),
        ("audio/mp4", "audio/m4a"),
        ("audio/x-m4a; codecs=mp4a.40.2", "audio/m4a"),
        ("audio/x-wav", "audio/wav"),
        ("AUDIO/AMR", "audio/amr"),
        ("audio/ogg; codecs=opus", ""),
        ("audio/webm", ""),
        ("video/mp4", ""),
    ],
)
def test_sound_goes_under_a_type_that_dify_knows(
    content_type: str, taken_as: str
) -> None:
    assert audio_type(content_type) == taken_as


def test_parameters_tell_what_files_an_app_takes() -> None:
    parameters = parse_parameters(recorded.body("1.14.2/meta/02_parameters"))

    assert parameters.file_upload == FileUpload(
        enabled=True,
        kinds=("image", "document", "custom"),
        extensions=(".txt", ".md", ".bin"),
        methods=("local_file", "remote_url"),
        max_files=3,
    )
    assert parameters.file_sizes == FileSizes(10, 50, 100, 15)
    assert parameters.speech_to_text is False
    # What is kept is read like what came.
    assert parse_parameters(parameters.raw) == parameters


def test_limits_of_the_server_and_inputs_that_are_files() -> None:
    wishes: JsonObject = {
        "allowed_file_types": ["document"],
        "allowed_file_upload_methods": [],
    }
    one: JsonObject = {"variable": "invoice", "label": "Invoice", **wishes}
    form: list[JsonValue] = [
        {"file": one},
        {"file-list": {"variable": "pictures", "max_length": 4}},
    ]
    parameters = parse_parameters(
        {
            "user_input_form": form,
            "speech_to_text": {"enabled": True},
            "system_parameters": {"image_file_size_limit": 4, "file_size_limit": "?"},
        }
    )

    invoice, pictures = parameters.inputs
    assert invoice.files == FileUpload(True, ("document",), (), (), 1)
    assert (pictures.files.enabled, pictures.files.max_files) == (True, 4)
    assert parameters.file_sizes == FileSizes(image_mb=4)
    assert [parameters.file_sizes.limit_mb(kind) for kind in ("image", "custom")] == [
        4,
        15,
    ]
    assert parameters.speech_to_text is True
