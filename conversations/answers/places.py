"""Where files stand in an answer's text: Markdown images, and links to Dify's. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from urllib.parse import SplitResult, parse_qs, urlsplit

# Fenced code, or code within a line; what stands there is meant to be read.
_CODE = re.compile(
    r"^ {0,3}(?P<fence>`{3,}+|~{3,}+)[^\n]*+\n.*?(?:^ {0,3}(?P=fence)|\Z)"
    r"|`[^`\n]{1,2000}`",
    re.S | re.M,
)
# ![alt](address "title"), or the same without the mark of an image. Bounded, so that
# thousands of opened brackets take no longer than thousands of others.
_LINK = re.compile(
    r"(?P<image>!?)\[(?P<label>[^\[\]\n]{0,300})\]\("
    r"[ \t]{0,9}<?(?P<url>[^\s<>()]{1,2000}(?:\([^\s<>()]{0,200}\)[^\s<>()]{0,500})?)>?"
    r"(?:[ \t]{1,9}(?:\"[^\"\n]{0,200}\"|'[^'\n]{0,200}'))?[ \t]{0,9}\)"
)


@dataclass(frozen=True, kw_only=True)
class Place:
    """One image or link of a text."""

    start: int
    end: int
    label: str
    url: str
    is_image: bool

    @property
    def file_name(self) -> str:
        """Return the label if it is a file's name."""
        return self.label if PurePosixPath(self.label).suffix else ""


def places_in(text: str) -> Iterator[Place]:
    """Yield the images, and the links to Dify's own files, that are not in code."""
    start = 0
    for code in _CODE.finditer(text):
        yield from _between(text, start=start, end=code.start())
        start = code.end()
    yield from _between(text, start=start, end=len(text))


def _between(text: str, *, start: int, end: int) -> Iterator[Place]:
    for found in _LINK.finditer(text, start, end):
        url, is_image = found["url"], bool(found["image"])
        if is_dify_file(url) or (is_image and _has_host(url)):
            yield Place(
                start=found.start(),
                end=found.end(),
                label=found["label"].strip(),
                url=url,
                is_image=is_image,
            )


def replaced(text: str, new_text: Callable[[Place], str | None]) -> str:
    """Return the text with each image or link replaced; None leaves one as it is."""
    made, last = [], 0
    for place in places_in(text):
        new = new_text(place)
        if new is None:
            continue
        made += [text[last : place.start], new]
        last = place.end
    if not made:
        return text
    return re.sub(r"\n{3,}", "\n\n", "".join([*made, text[last:]])).strip()


def is_dify_file(url: str) -> bool:
    """Tell whether Dify has it: signed, below /files/, often without a host."""
    parts = _parts(url)
    if parts is None or not parts.path.startswith("/files/"):
        return False
    return not parts.netloc or "sign" in parse_qs(parts.query)


def key_of(url: str) -> str:
    """Return what is the same for all addresses of one file: signatures differ."""
    parts = _parts(url)
    if parts is None:
        return url
    return parts.path if is_dify_file(url) else url


def _has_host(url: str) -> bool:
    parts = _parts(url)
    return (
        parts is not None and parts.scheme in ("http", "https") and bool(parts.netloc)
    )


def _parts(url: str) -> SplitResult | None:
    try:
        return urlsplit(url)
    except ValueError:
        return None
