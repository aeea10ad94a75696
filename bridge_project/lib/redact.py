"""Keep secrets and long texts out of what is stored and logged."""

from __future__ import annotations

import re
from collections.abc import Iterable

from bridge_project.lib.types import JsonValue

EXCERPT_MAX_CHARS = 2000
MASK = "[secret]"

# The tokens with which flows call the bridge, whole or cut; a full stop behind one ends
# the sentence. No other end is looked for, so a long text takes no more than one pass.
_OUR_TOKENS = r"bridge-(?:bot|conv)-[A-Za-z0-9._-]{19,}[A-Za-z0-9_-]"
_OUR_SHAPES = re.compile(_OUR_TOKENS)
# Bearer tokens, Dify keys, passwords in URLs and what JSON calls a secret, wherever
# they turn up in a text. A contact_inbox holds the visitor's key to the public API.
_SECRET_SHAPES = re.compile(
    r"(?P<bearer>\bBearer\s+)[\w.~+/=-]+"
    rf"|{_OUR_TOKENS}"
    r"|\bapp-[A-Za-z0-9_-]{8,}"
    r"|(?P<field>\"(?:pubsub_token|hmac_token|api_access_token|access_token|secret"
    r"|password)\"\s*:\s*)\"[^\"]*\""
    r"|(?P<inbox>\"contact_inbox\"\s*:\s*)\{[^{}]*\}"
    # Bounded: without an end each letter of a long text would be tried as a scheme.
    r"|(?P<scheme>\b[a-z][a-z0-9+.-]{0,30}://)[^/\s:@]{0,300}:[^/\s@]{1,300}@",
)
# What PostgreSQL takes in no text, and what cannot be written as UTF-8.
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


def storable(text: str) -> str:
    """Return the text without what PostgreSQL refuses: NUL and half characters."""
    return _UNSTORABLE.sub("\ufffd", text)


def cut(text: str, *, max_chars: int = EXCERPT_MAX_CHARS) -> str:
    """Return at most `max_chars` storable characters, and say what was cut."""
    text = storable(text)
    if len(text) <= max_chars:
        return text
    return _shorten(text, whole_chars=len(text), max_chars=max_chars)


def excerpt(text: str, *, secrets: Iterable[str] = ()) -> str:
    """Return the beginning of a text from the wire, fit to be stored and shown.

    Only what may be kept is searched for secrets: a customer's message can be 150 kB.
    """
    text = _without(secrets, text=text)
    kept = storable(mask(text[: 2 * EXCERPT_MAX_CHARS]))
    if len(text) <= EXCERPT_MAX_CHARS:
        return kept
    return _shorten(kept, whole_chars=len(text), max_chars=EXCERPT_MAX_CHARS)


def mask(text: str, *, secrets: Iterable[str] = ()) -> str:
    """Replace the given secrets, and whatever looks like one, by a marker."""
    return _SECRET_SHAPES.sub(_mask_match, _without(secrets, text=text))


def mask_ours(text: str) -> str:
    """Replace the bridge's own tokens alone: in texts that are for customers."""
    return _OUR_SHAPES.sub(MASK, text)


def mask_ours_within(value: JsonValue) -> JsonValue:
    """Return the value without the bridge's own tokens in any text of it."""
    if isinstance(value, str):
        return mask_ours(value)
    if isinstance(value, list):
        return [mask_ours_within(item) for item in value]
    if isinstance(value, dict):
        return {mask_ours(key): mask_ours_within(item) for key, item in value.items()}
    return value


def _without(secrets: Iterable[str], *, text: str) -> str:
    for secret in secrets:
        if secret:
            text = text.replace(secret, MASK)
    return text


def _shorten(text: str, *, whole_chars: int, max_chars: int) -> str:
    note = f"… [{whole_chars} characters]"
    return text[: max_chars - len(note)] + note


def _mask_match(match: re.Match[str]) -> str:
    if match["bearer"]:
        return match["bearer"] + MASK
    if match["field"] or match["inbox"]:
        return f'{match["field"] or match["inbox"]}"{MASK}"'
    if match["scheme"]:
        return f"{match['scheme']}{MASK}@"
    return MASK
