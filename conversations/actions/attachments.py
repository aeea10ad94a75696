"""Files that a flow wants sent, fetched from addresses that it names."""

from __future__ import annotations

from collections.abc import Sequence

from bridge_project.lib.errors import UpstreamError
from bridge_project.lib.redact import mask_ours
from bridge_project.lib.types import JsonValue
from chatwoot_api.message_calls import Upload
from conversations import named_files
from conversations.actions.limits import MAX_FILES, check_size
from conversations.actions.outcome import NotDone
from conversations.actions.target import Target
from dify_api.arguments import as_texts

# Of all files of a message together: they are held in memory.
MAX_BYTES = 40 * 1024 * 1024
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
        return named_files.fetch(
            url,
            account=target.account,
            app=target.bot.dify_app if target.bot else None,
            max_bytes=max_bytes,
            total_timeout_s=left_s,
        )
    except UpstreamError as err:
        if err.code == "too_large":
            raise _too_large() from err
        code = err.code if err.code in _CODES else "bad_value"
        raise NotDone(
            f"{err.message} Nothing was sent. The address: {named_files.shown(url)}",
            code=code,
        ) from err


def _too_large() -> NotDone:
    return NotDone(
        f"The files are larger than {MAX_BYTES // 1024 // 1024} MB together; nothing "
        "was sent.",
        code="too_large",
    )
