"""Files that are sent to us: refused everywhere but where a view says otherwise."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import TooManyFilesSent
from django.core.files.uploadhandler import FileUploadHandler


class NoUpload(FileUploadHandler):
    """Answers 400 to every file, before any of it is kept; no form of ours has one."""

    def new_file(self, *args: Any, **kwargs: Any) -> None:
        """Refuse the file."""
        raise TooManyFilesSent("No file is taken here.")

    def receive_data_chunk(self, raw_data: bytes, start: int) -> bytes | None:
        return None

    def file_complete(self, file_size: int | None) -> None:
        return None
