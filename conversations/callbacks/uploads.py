"""Files that a flow sends along with a message."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

from django.core.files.uploadhandler import MemoryFileUploadHandler
from django.http import HttpRequest
from rest_framework.request import Request

from bridge_project.lib.redact import cut, storable
from chatwoot_api.message_calls import Upload
from conversations.callbacks.errors import TooLarge

# Chatwoot's own limit for a file of a website's inbox.
MAX_BYTES = 40 * 1024 * 1024
# What surrounds the files in a multipart body.
_ENVELOPE_BYTES = 1024 * 1024


def allow(request: HttpRequest) -> None:
    """Let the request's files in, which the settings drop everywhere else.

    Raises TooLarge before anything is read.
    """
    length = request.META.get("CONTENT_LENGTH") or "0"
    is_multipart = request.content_type == "multipart/form-data"
    if is_multipart and length.isdigit() and int(length) > MAX_BYTES + _ENVELOPE_BYTES:
        raise TooLarge("The files are larger than 40 MB together.")
    request.upload_handlers = [_InMemory(request)]


def of(request: Request) -> list[Upload]:
    """Return the files of `attachments`, or `attachments[]` as Chatwoot calls it."""
    found = [
        *request.FILES.getlist("attachments"),
        *request.FILES.getlist("attachments[]"),
    ]
    return [
        Upload(
            name=cut(storable(file.name or "file"), max_chars=255),
            content_type=file.content_type or "application/octet-stream",
            content=file.read(),
        )
        for file in found
    ]


def described(file: Upload) -> str:
    """Return what tells two files of the same name apart, for the request's row."""
    digest = sha256(file.content).hexdigest()[:16]
    return f"{file.name} ({len(file.content)} bytes, sha256 {digest})"


class _InMemory(MemoryFileUploadHandler):
    """Also what Django would put on a disk, which a container may not have."""

    def handle_raw_input(self, *args: Any, **kwargs: Any) -> None:
        self.activated = True
