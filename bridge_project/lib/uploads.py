"""Files that are sent to us: refused everywhere but where a view says otherwise."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.core.exceptions import TooManyFilesSent
from django.core.files.uploadedfile import SimpleUploadedFile, UploadedFile
from django.core.files.uploadhandler import FileUploadHandler
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.views.decorators.csrf import csrf_exempt, csrf_protect


class NoUpload(FileUploadHandler):
    """Answers 400 to every file, before any of it is kept; few pages take one."""

    def new_file(self, *args: Any, **kwargs: Any) -> None:
        """Refuse the file."""
        raise TooManyFilesSent("No file is taken here.")

    def receive_data_chunk(self, raw_data: bytes, start: int) -> bytes | None:
        return None

    def file_complete(self, file_size: int | None) -> None:
        return None


class SmallFile(FileUploadHandler):
    """Keeps one small file in memory, and refuses a longer one before it is kept."""

    MAX_BYTES = 4 * 1024 * 1024

    def new_file(self, *args: Any, **kwargs: Any) -> None:
        super().new_file(*args, **kwargs)
        self._parts: list[bytes] = []
        self._size = 0

    def receive_data_chunk(self, raw_data: bytes, start: int) -> bytes | None:
        self._size += len(raw_data)
        if self._size > self.MAX_BYTES:
            raise TooManyFilesSent("The file is too long.")
        self._parts.append(raw_data)
        return None

    def file_complete(self, file_size: int | None) -> UploadedFile[Any]:
        return SimpleUploadedFile(
            self.file_name or "file", b"".join(self._parts), self.content_type or ""
        )


def takes_files(
    view: Callable[..., HttpResponseBase],
) -> Callable[..., HttpResponseBase]:
    """Let a page of the admin take a small file, from people of the admin only.

    Handlers are chosen before the form is read, which the check against forgery does:
    so it comes second here, and not with all the other pages.
    """
    guarded = csrf_protect(view)

    @wraps(view)
    def with_handler(
        request: HttpRequest, *args: Any, **kwargs: Any
    ) -> HttpResponseBase:
        if request.user.is_active and request.user.is_staff:
            request.upload_handlers = [SmallFile(request)]
        return guarded(request, *args, **kwargs)

    return csrf_exempt(with_handler)
