"""Turns a voice message into text: by Dify, or by another server."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bridge_project.lib.errors import UpstreamError
from bridge_project.lib.http import CallLog
from bridge_project.lib.multipart import SentFile
from bridge_project.lib.redact import cut, mask_ours
from chatwoot_api.payloads import Attachment
from conversations.incoming import choosing, openai_audio
from conversations.incoming.fetching import Download
from conversations.models import Bot
from dify_api import uploads
from dify_api.file_kinds import audio_type
from dify_api.models import DifyApp
from dify_api.payloads import AppParameters

MAX_TEXT_CHARS = 20_000
BY_CHATWOOT, BY_DIFY = "chatwoot", "dify"
NOT_SET_UP = "voice messages are not turned into text here"
NOT_UNDERSTOOD = "it could not be turned into text"
_MEGABYTE = 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class Ear:
    """Somebody who can turn sound into text."""

    name: str
    max_mb: int
    # The type under which it takes such a sound, "" if it does not.
    type_for: Callable[[str], str]
    hear: Callable[[SentFile], str]


@dataclass(frozen=True, kw_only=True)
class Heard:
    """What was understood, by whom; or why nothing was.

    `was_tried` is false where nobody could even try; `may_pass` is an error after which
    another attempt makes sense.
    """

    text: str = ""
    by: str = ""
    cause: str = ""
    was_tried: bool = False
    may_pass: UpstreamError | None = None


def ears_of(
    bot: Bot,
    *,
    app: DifyApp | None,
    parameters: AppParameters | None,
    user: str,
    call_log: CallLog,
) -> list[Ear]:
    """Return who can understand voice for this bot, Dify first."""
    ears = []
    if app is not None and parameters is not None and parameters.speech_to_text:
        dify = uploads.DifyFiles(app.connection(), call_log=call_log)
        ears.append(
            Ear(
                name=BY_DIFY,
                max_mb=uploads.MAX_AUDIO_MB,
                type_for=audio_type,
                hear=lambda sound: dify.transcribe(sound, user=user),
            )
        )
    server = bot.transcriber
    if server is not None and server.transcription_model:
        other = openai_audio.OpenAIAudio.of(server, call_log=call_log)
        model = server.transcription_model
        ears.append(
            Ear(
                name=server.name,
                max_mb=openai_audio.MAX_AUDIO_MB,
                type_for=lambda content_type: content_type,
                hear=lambda sound: other.transcribe(sound, model=model),
            )
        )
    return ears


def hear(attachment: Attachment, *, ears: Sequence[Ear], download: Download) -> Heard:
    """Return what a voice message says; the first who understands it is believed."""
    known = attachment.transcribed_text.strip()
    if known:
        return Heard(text=cut(known, max_chars=MAX_TEXT_CHARS), by=BY_CHATWOOT)
    if not ears:
        return Heard(cause=NOT_SET_UP)
    causes: list[str] = []
    may_pass: UpstreamError | None = None
    for ear in ears:
        try:
            text, cause = _ask(ear, attachment=attachment, download=download)
        except UpstreamError as err:
            text, cause = "", str(err)
            may_pass = err if err.retryable else may_pass
        if text:
            return Heard(
                text=cut(mask_ours(text), max_chars=MAX_TEXT_CHARS),
                by=ear.name,
                was_tried=True,
            )
        causes.append(f"{ear.name}: {cause}")
    return Heard(cause=" ".join(causes), was_tried=True, may_pass=may_pass)


def _ask(ear: Ear, *, attachment: Attachment, download: Download) -> tuple[str, str]:
    """Return the text, or why there is none."""
    if attachment.file_size > ear.max_mb * _MEGABYTE:
        return "", f"{choosing.too_large(ear.max_mb)}."
    content = download.content()
    claimed = choosing.content_type_of(attachment, claimed=download.content_type)
    content_type = ear.type_for(claimed)
    if not content_type:
        return "", f"it does not take {claimed}."
    sound = SentFile(
        name=choosing.sound_name(attachment, content_type=content_type),
        content_type=content_type,
        content=content,
    )
    if sound.size() > ear.max_mb * _MEGABYTE:
        return "", f"{choosing.too_large(ear.max_mb)}."
    return ear.hear(sound), "it understood nothing."
