"""Which of the customer's files a Dify app takes, and where in a run they go. Pure.

Dify drops what an app does not take in silence, or refuses the whole question over it
(reference/dify.md section 5); so nothing of the kind is sent, and the model is told
what there was.
"""

from __future__ import annotations

import mimetypes
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath
from urllib.parse import unquote, urlsplit

from chatwoot_api.payloads import Attachment
from dify_api.file_kinds import CUSTOM, kind_of
from dify_api.payloads import (
    CHAT_MODES,
    FILE_INPUTS,
    AppParameters,
    FileSizes,
    FileUpload,
)

# What is more than words; the others (a location, a contact card …) are told in words.
FILE_TYPES = frozenset({"image", "audio", "video", "file"})
# What the bridge itself passes on: /tmp of a container may be memory.
MAX_FILE_MB = 50
# Where an app tells no number: Dify's `workflow_file_upload_limit`.
_USUAL_COUNT = 10
_MAX_NAME_CHARS = 150
# Where Python's table knows several, or none.
_ENDINGS = {
    "audio/mpeg": "mp3",
    "audio/mp4": "m4a",
    "audio/x-m4a": "m4a",
    "audio/ogg": "ogg",
    "audio/opus": "ogg",
    "audio/webm": "webm",
    "audio/amr": "amr",
    "audio/wav": "wav",
    "audio/x-wav": "wav",
    "image/jpeg": "jpg",
    "video/mp4": "mp4",
}
_PLURALS = {
    "image": "images",
    "audio": "sound",
    "video": "videos",
    "document": "documents",
}


@dataclass(frozen=True, slots=True)
class Place:
    """Where a run takes files: with the message (""), or in an input of its own."""

    variable: str
    takes: FileUpload
    is_list: bool = True

    @property
    def count(self) -> int:
        """Return how many files it takes."""
        return self.takes.max_files or _USUAL_COUNT


@dataclass(frozen=True, slots=True)
class Choice:
    """A place for a file, under one of Dify's kinds; or why there is none."""

    kind: str = ""
    variable: str = ""
    is_list: bool = True
    problem: str = ""


def places_of(parameters: AppParameters, *, mode: str) -> list[Place]:
    """Return where the app takes files, the best first.

    A workflow asks for its files by inputs, a chat takes them with the message. Of
    several inputs the first for one file and the first for many are used.
    """
    inputs = []
    for kind in sorted(FILE_INPUTS):
        declared = [item for item in parameters.inputs if item.kind == kind]
        inputs += [
            Place(item.variable, item.files, is_list=kind == "file-list")
            for item in declared[:1]
        ]
    upload = parameters.file_upload
    message = [Place("", upload)] if upload.enabled else []
    return [*message, *inputs] if mode in CHAT_MODES else [*inputs, *message]


def choose(
    attachment: Attachment,
    *,
    places: list[Place],
    taken: Iterable[str],
    sizes: FileSizes,
) -> Choice:
    """Return the first place that takes the file; `taken` are those of the others."""
    if not places:
        return Choice(problem="this assistant takes no files")
    used = list(taken)
    extension = extension_of(attachment)
    kind = kind_of(extension)
    limit_mb = min(sizes.limit_mb(kind), MAX_FILE_MB)
    if attachment.file_size > limit_mb * 1024 * 1024:
        return Choice(problem=too_large(limit_mb))
    problems = []
    for place in places:
        as_kind, problem = _fits(place.takes, kind=kind, extension=extension)
        if not problem and used.count(place.variable) >= place.count:
            problem = f"this assistant takes only {place.count} at a time"
        if not problem:
            return Choice(as_kind, place.variable, place.is_list)
        problems.append(problem)
    return Choice(problem=problems[0])


def too_large(limit_mb: int) -> str:
    """Say that a file is larger than this."""
    return f"it is larger than {limit_mb} MB"


def limit_bytes(attachment: Attachment, *, sizes: FileSizes) -> int:
    """Return how large the file may be."""
    kind = kind_of(extension_of(attachment))
    return min(sizes.limit_mb(kind), MAX_FILE_MB) * 1024 * 1024


def name_of(attachment: Attachment) -> str:
    """Return the file's name; Chatwoot tells it only as the end of the address.

    Dify goes by its ending, so one is made from the type where there is none.
    """
    try:
        path = urlsplit(attachment.data_url).path
    except ValueError:
        path = ""
    name = PurePosixPath(unquote(path)).name.replace("\\", "_")
    name = "".join(char for char in name if char.isprintable())[-_MAX_NAME_CHARS:]
    name = name or attachment.file_type or "file"
    if PurePosixPath(name).suffix:
        return name
    ending = _ending_of(attachment.content_type)
    return f"{name}.{ending}" if ending else name


def extension_of(attachment: Attachment) -> str:
    """Return the ending of the file's name, without its dot."""
    return PurePosixPath(name_of(attachment)).suffix.removeprefix(".").lower()


def sound_name(attachment: Attachment, *, content_type: str) -> str:
    """Return a name with the ending by which servers tell how it is encoded.

    WhatsApp's `.opus` and `.oga` are known to few, while `.ogg`, which they are, is.
    """
    ending = _ENDINGS.get(content_type) or extension_of(attachment)
    return f"voice.{ending}" if ending else "voice"


def content_type_of(attachment: Attachment, *, claimed: str = "") -> str:
    """Return the type, as Chatwoot or the file's server says, or as its name does."""
    for told in (attachment.content_type, claimed):
        kind = told.partition(";")[0].strip().lower()
        if "/" in kind and kind != "application/octet-stream":
            return kind
    return mimetypes.guess_type(name_of(attachment))[0] or "application/octet-stream"


def _ending_of(content_type: str) -> str:
    kind = content_type.partition(";")[0].strip().lower()
    guessed = mimetypes.guess_extension(kind) or ""
    return _ENDINGS.get(kind) or guessed.removeprefix(".")


def _fits(takes: FileUpload, *, kind: str, extension: str) -> tuple[str, str]:
    """Return the kind under which a place takes such a file, or why it does not.

    Endings count for `custom` files alone (`factories/file_factory` of Dify).
    """
    if takes.methods and "local_file" not in takes.methods:
        return "", "this assistant takes files by link only"
    if kind != CUSTOM and (not takes.kinds or kind in takes.kinds):
        return kind, ""
    endings = {item.lower().removeprefix(".") for item in takes.extensions}
    if CUSTOM in takes.kinds and extension in endings:
        return CUSTOM, ""
    what = _PLURALS.get(kind) or (f".{extension} files" if extension else "such files")
    return "", f"this assistant takes no {what}"
