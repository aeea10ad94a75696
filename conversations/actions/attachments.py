"""Files that a flow wants sent, fetched from addresses that it names."""

from __future__ import annotations

import mimetypes
from collections.abc import Sequence
from pathlib import PurePosixPath
from urllib.parse import unquote, urljoin, urlsplit

from bridge_project.lib import outside
from bridge_project.lib.errors import UpstreamError
from bridge_project.lib.redact import mask_ours
from bridge_project.lib.types import JsonValue
from chatwoot_api.message_calls import Upload
from conversations.actions.limits import MAX_FILES, check_size
from conversations.actions.outcome import NotDone
from conversations.actions.target import Target
from dify_api.arguments import as_texts

# Of all files of a message together: they are held in memory.
MAX_BYTES = 40 * 1024 * 1024
MAX_NAME_CHARS = 150
# What is left is for posting them.
POSTING_S = 8.0
_CODES = frozenset({"address_refused", "too_large"})


def fetched(
    value: JsonValue, *, given: Sequence[Upload], target: Target
) -> list[Upload]:
    """Return the files given, and those of the addresses; all of them or NotDone."""
    check_size(value, name="attachment_urls")
    urls = as_texts(value) or []
    if len(urls) + len(given) > MAX_FILES:
        raise NotDone(f"A message takes {MAX_FILES} files at most.", code="bad_value")
    files = list(given)
    for url in map(mask_ours, urls):
        left = MAX_BYTES - sum(len(file.content) for file in files)
        files.append(_fetch(url, max_bytes=left, target=target))
    if sum(len(file.content) for file in files) > MAX_BYTES:
        raise _too_large()
    return files


def _fetch(url: str, *, max_bytes: int, target: Target) -> Upload:
    left_s = target.left_s() - POSTING_S
    if left_s <= 0:
        raise NotDone(
            "There was no time left to fetch all files; nothing was sent. Send fewer "
            "or smaller ones.",
            code="too_large",
            result="failed",
        )
    try:
        found = outside.fetch(
            url,
            own_places=_own_places(target),
            max_bytes=max_bytes,
            total_timeout_s=left_s,
        )
    except UpstreamError as err:
        if err.code == "too_large":
            raise _too_large() from err
        code = err.code if err.code in _CODES else "bad_value"
        raise NotDone(
            f"{err.message} Nothing was sent. The address: {_shown(url)}", code=code
        ) from err
    name = _name(url)
    return Upload(
        name=name,
        content_type=_content_type(name, claimed=found.content_type),
        content=found.content,
    )


def _own_places(target: Target) -> list[str]:
    """Return where the operator's own servers, maybe in a private network, have files.

    Nothing else of them: their other pages may be for the private network alone.
    """
    app = target.bot.dify_app if target.bot else None
    places = [urljoin(target.account.server_url(), "/rails/active_storage/")]
    if app is not None:
        places.append(urljoin(app.base_url, "/files/"))
    return places


def _name(url: str) -> str:
    name = PurePosixPath(unquote(urlsplit(url).path)).name
    printable = "".join(char for char in name if char.isprintable())
    return printable[-MAX_NAME_CHARS:] or "file"


def _content_type(name: str, *, claimed: str) -> str:
    """Return what the server says, or what the name says if the server says little."""
    kind = claimed.partition(";")[0].strip().lower()
    if kind and kind != "application/octet-stream":
        return kind
    return mimetypes.guess_type(name)[0] or kind or "application/octet-stream"


def _shown(url: str) -> str:
    """Return an address without its query, which often is a key."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "(not readable)"
    return f"{parts.scheme}://{parts.hostname or ''}{parts.path}"[:200]


def _too_large() -> NotDone:
    return NotDone(
        f"The files are larger than {MAX_BYTES // 1024 // 1024} MB together; nothing "
        "was sent.",
        code="too_large",
    )
