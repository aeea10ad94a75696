"""Service API: what the app is, its files and its ears."""

from __future__ import annotations

from starlette.datastructures import FormData, UploadFile
from starlette.responses import Response

from sandbox import times
from sandbox.dify import errors
from sandbox.dify.records import UploadedFile, new_id
from sandbox.dify.server import DEFAULT_USER, Call, Router
from sandbox.json_types import Json

_MEGABYTE = 1024 * 1024
_LIMITS_MB = {
    **dict.fromkeys(("jpg", "jpeg", "png", "webp", "gif", "svg"), 10),
    **dict.fromkeys(("mp4", "mov", "mpeg", "webm"), 100),
    **dict.fromkeys(("mp3", "m4a", "wav", "amr", "mpga"), 50),
}
_OTHER_LIMIT_MB = 15
_AUDIO_TYPES = {f"audio/{kind}" for kind in ("mp3", "m4a", "wav", "amr", "mpga")}
_AUDIO_LIMIT_MB = 30
_SIGNED = "timestamp=0&nonce=0&sign=0"


def register(router: Router) -> None:
    router.add("GET", "/", root)
    router.add("GET", "/info", info)
    router.add("GET", "/parameters", parameters)
    router.add("GET", "/meta", meta)
    router.add("GET", "/site", site)
    router.add("POST", "/files/upload", upload_file)
    router.add("GET", "/files/{file_id:uuid}/preview", preview_file)
    router.add("POST", "/audio-to-text", audio_to_text)


async def root(call: Call) -> Response:
    body = {
        "welcome": "Dify OpenAPI",
        "api_version": "v1",
        "server_version": call.version.release,
    }
    return call.answer(body)


async def info(call: Call) -> Response:
    return call.answer(call.app.info(call.version))


async def parameters(call: Call) -> Response:
    if not call.app.published:
        raise errors.app_unavailable()
    return call.answer(call.app.parameters())


async def meta(call: Call) -> Response:
    return call.answer({"tool_icons": {}})


async def site(call: Call) -> Response:
    if call.version.is_old:
        return errors.html_not_found()
    return call.answer(call.app.site())


async def upload_file(call: Call) -> Response:
    """201 and the file's row. The extension decides the size limit."""
    async with call.request.form() as form:
        part = _only_file(form, call=call)
        name = part.filename or ""
        if not name:
            text = "The specified filename does not exist."
            raise errors.DifyError(400, "filename_not_exists_error", text)
        if "/" in name or "\\" in name:
            raise errors.invalid_param("Filename contains invalid characters")
        if not part.content_type:
            text = "File type not allowed."
            raise errors.DifyError(415, "unsupported_file_type", text)
        upload = UploadedFile(
            id=new_id(),
            app_id=call.app.id,
            user=_form_user(form),
            name=name,
            mime_type=part.content_type,
            data=await part.read(),
            created_at=int(times.now()),
        )
    limit_mb = _LIMITS_MB.get(upload.extension, _OTHER_LIMIT_MB)
    if len(upload.data) > limit_mb * _MEGABYTE:
        raise errors.DifyError(413, "file_too_large", "")
    call.server.store.files[upload.id] = upload
    return call.answer(_file_shape(call, upload), status=201)


def _only_file(form: FormData, *, call: Call) -> UploadFile:
    parts = [value for _, value in form.multi_items() if isinstance(value, UploadFile)]
    if not isinstance(form.get("file"), UploadFile):
        if call.version.is_old:
            text = errors.broken_json().message
            raise errors.DifyError(400, "bad_request_key_error", text)
        raise errors.DifyError(400, "no_file_uploaded", "Please upload your file.")
    if len(parts) > 1:
        raise errors.DifyError(400, "too_many_files", "Only one file is allowed.")
    return parts[0]


def _form_user(form: FormData) -> str:
    user = form.get("user")
    return user if isinstance(user, str) and user else DEFAULT_USER


def _file_shape(call: Call, upload: UploadedFile) -> Json:
    base = call.server.settings.base_url()
    shape: Json = {
        "id": upload.id,
        "name": upload.name,
        "size": len(upload.data),
        "extension": upload.extension,
        "mime_type": upload.mime_type,
        "created_by": call.server.store.end_user_id(app=call.app, user=upload.user),
        "created_at": upload.created_at,
    }
    if call.version.is_old:
        return shape
    return shape | {
        "preview_url": None,
        "source_url": f"{base}/files/{upload.id}/file-preview?{_SIGNED}",
        "original_url": None,
        "user_id": None,
        "tenant_id": call.app.workflow_id,
        "conversation_id": None,
        "file_key": None,
    }


async def preview_file(call: Call) -> Response:
    if call.version.is_old:
        return errors.html_not_found()
    upload = call.server.store.files.get(call.path_text("file_id"))
    if upload is None or upload.app_id != call.app.id:
        text = "File not found in message context"
        raise errors.DifyError(404, "file_not_found", text)
    return Response(upload.data, media_type=upload.mime_type)


async def audio_to_text(call: Call) -> Response:
    async with call.request.form() as form:
        part = form.get("file")
        if not isinstance(part, UploadFile):
            text = "Please upload your audio."
            raise errors.DifyError(400, "no_audio_uploaded", text)
        kind, data = part.content_type, await part.read()
    if not call.app.speech_to_text:
        text = "Speech to text is not enabled"
        raise errors.DifyError(400, "speech_to_text_disabled", text)
    if kind not in _AUDIO_TYPES:
        text = "Audio type not allowed."
        raise errors.DifyError(415, "unsupported_audio_type", text)
    if len(data) > _AUDIO_LIMIT_MB * _MEGABYTE:
        text = f"Audio size larger than {_AUDIO_LIMIT_MB} mb"
        raise errors.DifyError(413, "audio_too_large", text)
    return call.answer({"text": f"(transcript of {len(data)} bytes of sound)"})
