"""Voice to text by a server that speaks OpenAI's HTTP API."""

from __future__ import annotations

from typing import ClassVar

from bridge_project.lib.encryption import readable
from bridge_project.lib.errors import UnexpectedReply
from bridge_project.lib.http import CONNECT_TIMEOUT_S, CallLog, JsonApi
from bridge_project.lib.multipart import FormWithFile, SentFile
from bridge_project.lib.redact import storable
from conversations.models import OpenAIServer

MAX_AUDIO_MB = 25
_PATH = "/audio/transcriptions"


class OpenAIAudio(JsonApi):
    """Calls one server with its key, if it has one."""

    service: ClassVar[str] = "openai"

    def __init__(
        self, server: OpenAIServer, *, call_log: CallLog | None = None
    ) -> None:
        self._key = readable(server.api_key)
        self._model = server.transcription_model
        self._timeout_s = float(server.timeout_s)
        super().__init__(
            base_url=server.base_url, secrets=(self._key,), call_log=call_log
        )

    def transcribe(self, file: SentFile) -> str:
        """POST /audio/transcriptions and return what was understood, maybe nothing."""
        form = FormWithFile(
            fields={"model": self._model, "response_format": "json"},
            field="file",
            file=file,
            total_timeout_s=self._timeout_s,
        )
        headers = {"Authorization": f"Bearer {self._key}"} if self._key else {}
        body = self.request_json(
            "POST",
            _PATH,
            headers=headers,
            form=form,
            repeat_safe=True,
            timeout_s=(CONNECT_TIMEOUT_S, self._timeout_s),
        )
        text = body.get("text") if isinstance(body, dict) else None
        if not isinstance(text, str):
            raise UnexpectedReply(
                "The server for voice messages answered without a `text`.",
                service=self.service,
                method="POST",
                path=_PATH,
            )
        return storable(text).strip()
