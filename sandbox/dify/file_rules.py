"""Which files a run takes, with Dify's texts, and what the answer says of them."""

from __future__ import annotations

from sandbox.dify import errors
from sandbox.dify.apps import DifyApp
from sandbox.dify.records import DifyStore, UploadedFile
from sandbox.dify.requests import RunRequest
from sandbox.dify.versions import Version
from sandbox.json_types import Json, JsonList

_FILE_INPUTS = ("file", "file-list")


def check_files(
    asked: RunRequest, *, store: DifyStore, app: DifyApp, version: Version
) -> None:
    """As `factories/file_factory` does: recordings files/12 to files/22."""
    if app.file_upload:  # else Dify drops them in silence
        for item in asked.files:
            _check(item, asked=asked, store=store, app=app, version=version)
        _check_counts(asked.files, app=app)
    for item in _of_inputs(asked.inputs, app=app):
        _upload_of(item, asked=asked, store=store, version=version)


def _check(
    item: object,
    *,
    asked: RunRequest,
    store: DifyStore,
    app: DifyApp,
    version: Version,
) -> None:
    if not isinstance(item, dict) or item.get("transfer_method") != "local_file":
        return
    upload = _upload_of(item, asked=asked, store=store, version=version)
    kind = str(item.get("type"))
    if kind == "custom":
        allowed = f".{upload.extension}" in app.file_extensions
    else:
        allowed = kind in app.file_types
    if not allowed:
        text = f"File validation failed for file: {upload.name}"
        raise errors.invalid_param(text, pre_run=True)


def _upload_of(
    item: Json, *, asked: RunRequest, store: DifyStore, version: Version
) -> UploadedFile:
    """Uploads must exist and, since 1.14, belong to the user."""
    upload = store.files.get(str(item.get("upload_file_id")))
    foreign = upload is not None and upload.user != asked.user
    if upload is None or (foreign and version.runs_in_celery):
        raise errors.invalid_param("Invalid upload file", pre_run=True)
    return upload


def _check_counts(files: JsonList, *, app: DifyApp) -> None:
    images = [item for item in files if item.get("type") == "image"]
    limit = app.max_files
    if len(images) > limit:
        text = f"Number of image files exceeds the maximum limit {limit}"
        raise errors.invalid_param(text, pre_run=True)
    if len(files) > limit:
        text = f"Number of files exceeds the maximum limit {limit}"
        raise errors.invalid_param(text, pre_run=True)


def _of_inputs(inputs: Json, *, app: DifyApp) -> JsonList:
    """The file objects among the inputs; what is none is refused by the form."""
    found: JsonList = []
    for field in app.fields():
        value = inputs.get(field["variable"])
        if field["type"] not in _FILE_INPUTS or not value:
            continue
        several = value if isinstance(value, list) else [value]
        for item in several:
            if not isinstance(item, dict):
                name = field["variable"]
                text = f"{name} in input form must be a file"
                raise errors.invalid_param(text, pre_run=True)
            found.append(item)
    return found


def told(asked: RunRequest, *, store: DifyStore, app: DifyApp) -> str:
    """What the echo says of the files that reached the run, "" without any."""
    items = asked.files if app.file_upload else []
    shown = []
    for item in [*items, *_of_inputs(asked.inputs, app=app)]:
        upload = store.files.get(str(item.get("upload_file_id")))
        name = upload.name if upload else str(item.get("url"))
        size = f", {len(upload.data)} bytes" if upload else ""
        shown.append(f"{name} ({item.get('type')}{size})")
    return f"Files: {', '.join(shown)}." if shown else ""
