"""Fetch the files of an answer, and mend its text: attached, linked, or owned up to."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from time import monotonic
from urllib.parse import urljoin, urlsplit

from django.utils.translation import gettext as _

from bridge_project.lib.errors import NotFound, Unauthorized, UpstreamError
from bridge_project.lib.redact import mask_ours
from chatwoot_api.message_calls import Upload
from chatwoot_api.models import ChatwootAccount
from conversations import named_files
from conversations.answers import places
from conversations.answers.answer import Answer, AnswerFile
from conversations.answers.places import Place
from conversations.answers.room import room
from conversations.answers.shaping import with_address
from dify_api.models import DifyApp

# Chatwoot takes no more with one message.
MAX_FILES = 15
# Of all files together: they are held in memory. The website chat takes no more either.
MAX_BYTES = 40 * 1024 * 1024
# For all files together; the customer waits for the text meanwhile.
TOTAL_S = 30.0
_WEB_WIDGET = "Channel::WebWidget"
# Besides images, video and audio (app/models/attachment.rb).
_WIDGET_TYPES = frozenset(
    {
        "text/csv",
        "text/plain",
        "text/rtf",
        "text/xml",
        "application/json",
        "application/pdf",
        "application/xml",
        "application/zip",
        "application/x-7z-compressed",
        "application/vnd.rar",
        "application/x-rar-compressed",
        "application/x-tar",
        "application/msword",
        "application/vnd.ms-excel",
        "application/vnd.ms-powerpoint",
        "application/rtf",
        "application/vnd.oasis.opendocument.text",
        "application/vnd.openxmlformats-officedocument.presentationml.presentation",
        "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
        "application/x-pkcs12",
    }
)


@dataclass(kw_only=True)
class Source:
    """Where files come from, and how much of time and room is left for them."""

    account: ChatwootAccount
    app: DifyApp | None
    channel: str
    ends_at: float = field(default_factory=lambda: monotonic() + TOTAL_S)
    bytes_left: int = MAX_BYTES


@dataclass(frozen=True, kw_only=True)
class _Missing:
    """A file that is not attached, why, and the address that a customer may open."""

    why: str
    address: str = ""


def fetched(answer: Answer, *, source: Source) -> Answer:
    """Return the answer with its files fetched, and its text made to agree with that.

    What is attached is no longer shown by the text. What is not stays a link where a
    customer can open it, and is a line that says so elsewhere; the answer is lost for
    no file.
    """
    if not answer.files:
        return answer
    got: dict[str, AnswerFile | _Missing] = {}
    for number, file in enumerate(answer.files):
        got[places.key_of(file.url)] = (
            _Missing(
                why="there are more files than Chatwoot takes",
                address=file.url if _is_public(file.url) else "",
            )
            if number >= MAX_FILES
            else fetch(file, source=source)
        )
    notes = [
        f"A file was not attached, since {found.why} "
        f"({named_files.shown(mask_ours(key))})."
        for key, found in got.items()
        if isinstance(found, _Missing)
    ]
    return replace(
        answer,
        text=_mended(answer, got),
        files=tuple(file for file in got.values() if isinstance(file, AnswerFile)),
        notes=(*answer.notes, *notes),
    )


def fetch(file: AnswerFile, *, source: Source) -> AnswerFile | _Missing:
    """Return the file with what is at its address, or why it has none."""
    missing = _Missing(why="there was no time left to fetch it")
    for url in _addresses(file.url, app=source.app):
        left_s = source.ends_at - monotonic()
        if left_s <= 0:
            break
        try:
            upload = _fetched(url, name=file.name, source=source)
        except UpstreamError as err:
            missing = _Missing(why=_why(err), address=_open_address(url, err))
            continue
        if upload is None:
            missing = _Missing(
                why="too many files are being sent already",
                address=url if _is_public(url) else "",
            )
            break
        if not _takes(upload, channel=source.channel):
            return _Missing(
                why=f"the website chat takes no {upload.content_type}",
                address=url if _is_public(url) else "",
            )
        source.bytes_left -= len(upload.content)
        return replace(file, upload=upload)
    return missing


def _fetched(url: str, *, name: str, source: Source) -> Upload | None:
    """Return what is there; None while the process has no room for more."""
    with room.place(wait_s=source.ends_at - monotonic()) as is_free:
        left_s = source.ends_at - monotonic()
        if not is_free or left_s <= 0 or room.left_bytes <= 0:
            return None
        upload = named_files.fetch(
            mask_ours(url),
            account=source.account,
            app=source.app,
            max_bytes=min(source.bytes_left, room.left_bytes),
            total_timeout_s=left_s,
            name=name,
        )
        room.hold(upload)
    return upload


def _addresses(url: str, *, app: DifyApp | None) -> list[str]:
    """Return where a file may be found.

    Dify names its files without a host, or by one that may be known to its own network
    only (FILES_URL); the signature is for the path.
    """
    if app is None or not places.is_dify_file(url):
        return [url]
    parts = urlsplit(url)
    ours = urljoin(app.base_url, f"{parts.path}?{parts.query}")
    return [ours] if not parts.netloc else list(dict.fromkeys([url, ours]))


def _why(err: UpstreamError) -> str:
    text = err.message or "it could not be fetched"
    return f"“{text.rstrip('.')}”"


def _open_address(url: str, err: UpstreamError) -> str:
    """Return the address if a customer may have better luck with it."""
    if isinstance(err, NotFound | Unauthorized) or err.code == "address_refused":
        return ""
    return url if _is_public(url) else ""


def _is_public(url: str) -> bool:
    try:
        host = urlsplit(url).hostname or ""
    except ValueError:
        return False
    try:
        return ipaddress.ip_address(host).is_global
    except ValueError:
        return "." in host and not host.endswith((".local", ".internal"))


def _takes(upload: Upload, *, channel: str) -> bool:
    if channel != _WEB_WIDGET:
        return True
    kind = upload.content_type
    return kind.startswith(("image/", "video/", "audio/")) or kind in _WIDGET_TYPES


def _mended(answer: Answer, got: Mapping[str, AnswerFile | _Missing]) -> str:
    shown: set[str] = set()

    def written(place: Place) -> str | None:
        key = places.key_of(place.url)
        shown.add(key)
        found = got.get(key)
        if isinstance(found, AnswerFile):
            # The picture is below the text; a link's words are part of its sentence.
            return "" if place.is_image else place.label
        if found is None or found.address == place.url:
            return None
        if found.address:
            return f"[{place.label or _('file')}]({found.address})"
        said = f"({_('a file could not be attached')})"
        return said if place.is_image else f"{place.label} {said}".strip()

    text = places.replaced(answer.text, written)
    lines = [
        with_address(file.name or named_files.name_of(file.url), found.address)
        if found.address
        else f"({_('a file could not be attached')})"
        for file in answer.files
        if isinstance(found := got.get(key := places.key_of(file.url)), _Missing)
        and key not in shown
    ]
    return "\n\n".join(filter(None, [text, *lines])) if lines else text
