"""Fetch a file from an address that a flow or a model names, ready to be attached."""

from __future__ import annotations

import mimetypes
from pathlib import PurePosixPath
from urllib.parse import unquote, urljoin, urlsplit

from bridge_project.lib import outside
from chatwoot_api.message_calls import Upload
from chatwoot_api.models import ChatwootAccount
from dify_api.models import DifyApp

MAX_NAME_CHARS = 150


def fetch(
    url: str,
    *,
    account: ChatwootAccount,
    app: DifyApp | None,
    max_bytes: int,
    total_timeout_s: float,
    name: str = "",
) -> Upload:
    """Return the file; raises UpstreamError as `lib.outside` does."""
    found = outside.fetch(
        url,
        own_places=own_places(account=account, app=app),
        max_bytes=max_bytes,
        total_timeout_s=total_timeout_s,
    )
    name = _clean(name) or name_of(url)
    return Upload(
        name=name,
        content_type=_content_type(name, claimed=found.content_type),
        content=found.content,
    )


def own_places(*, account: ChatwootAccount, app: DifyApp | None) -> list[str]:
    """Return where the operator's own servers, maybe in a private network, have files.

    Nothing else of them: their other pages may be for the private network alone.
    """
    places = [urljoin(account.server_url(), "/rails/active_storage/")]
    if app is not None:
        places.append(urljoin(app.base_url, "/files/"))
    return places


def name_of(url: str) -> str:
    """Return the file's name in an address."""
    try:
        path = urlsplit(url).path
    except ValueError:
        return "file"
    return _clean(unquote(path)) or "file"


def _clean(name: str) -> str:
    """Return what is a file's name in a name or path that anybody may have written."""
    name = PurePosixPath(name).name
    return "".join(char for char in name if char.isprintable())[-MAX_NAME_CHARS:]


def shown(url: str) -> str:
    """Return an address without its query, which often is a key."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "(not readable)"
    if not parts.netloc:
        return parts.path[:200]
    return f"{parts.scheme}://{parts.hostname or ''}{parts.path}"[:200]


def _content_type(name: str, *, claimed: str) -> str:
    """Return what the server says, or what the name says if the server says little."""
    kind = claimed.partition(";")[0].strip().lower()
    if kind and kind != "application/octet-stream":
        return kind
    return mimetypes.guess_type(name)[0] or kind or "application/octet-stream"
