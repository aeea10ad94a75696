"""Voice to text by a server that speaks OpenAI's HTTP API."""

from __future__ import annotations

from bridge_project.lib.errors import UnexpectedReply
from bridge_project.lib.multipart import FormWithFile, SentFile
from bridge_project.lib.redact import storable
from conversations.openai_client import OpenAIApi

MAX_AUDIO_MB = 25
_PATH = "/audio/transcriptions"


class OpenAIAudio(OpenAIApi):
    """The call about voice."""

    def transcribe(self, file: SentFile, *, model: str) -> str:
        """POST /audio/transcriptions and return what was understood, maybe nothing."""
        form = FormWithFile(
            fields={"model": model, "response_format": "json"},
            field="file",
            file=file,
            total_timeout_s=self._timeout_s[1],
        )
        body = self.request_json(
            "POST",
            _PATH,
            headers=self.headers,
            form=form,
            repeat_safe=True,
            timeout_s=self._timeout_s,
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
