"""Files for Dify: sent to it from disk, and sound that it turns into text."""

from __future__ import annotations

from bridge_project.lib.http import CONNECT_TIMEOUT_S
from bridge_project.lib.multipart import FormWithFile, SentFile
from bridge_project.lib.types import JsonValue
from dify_api.client import DifyClient
from dify_api.reading import as_object, clean_text, malformed, required_text

# From the last byte sent to the answer; a model listens to the whole sound first.
_UPLOAD_TIMEOUT_S = 60.0
_HEARING_TIMEOUT_S = 120.0
# What POST /audio-to-text takes.
MAX_AUDIO_MB = 30


class DifyFiles(DifyClient):
    """The calls of an app that take a file."""

    def upload(self, file: SentFile, *, user: str) -> str:
        """POST /files/upload and return the file's id, good for this user alone.

        A lost answer leaves a file in Dify that nobody uses; so it may be repeated.
        """
        body = self._send_file("/files/upload", file, user, _UPLOAD_TIMEOUT_S)
        file_id = required_text(as_object(body, name="/files/upload"), "id")
        if not file_id:
            raise malformed("an uploaded file has no `id`")
        return clean_text(file_id)

    def transcribe(self, file: SentFile, *, user: str) -> str:
        """POST /audio-to-text and return what was understood, maybe nothing.

        The file's type must be one of `file_kinds.audio_type`.
        """
        body = self._send_file("/audio-to-text", file, user, _HEARING_TIMEOUT_S)
        heard = required_text(as_object(body, name="/audio-to-text"), "text")
        return clean_text(heard).strip()

    def _send_file(
        self, path: str, file: SentFile, user: str, timeout_s: float
    ) -> JsonValue:
        form = FormWithFile(
            fields={"user": user}, field="file", file=file, total_timeout_s=timeout_s
        )
        return self.request_json(
            "POST",
            path,
            headers=self._headers(),
            form=form,
            repeat_safe=True,
            timeout_s=(CONNECT_TIMEOUT_S, timeout_s),
        )
