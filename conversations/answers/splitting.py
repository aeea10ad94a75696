"""Cut an answer into messages: where it may be, and where it has to be. Pure."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence

from conversations.answers.shaping import Block

# What is shorter is read in one go.
SPLIT_FROM_CHARS = 500
MAX_PARTS = 6

SizeOf = Callable[[str], int]

# Not to be cut: links, addresses, code within a line.
_WHOLE = re.compile(
    r"!?\[[^\[\]\n]{0,300}\]\([^()\s]{1,2000}\)|https?://\S{1,2000}|`[^`\n]{1,500}`"
)
_BLANK_LINE = re.compile(r"\n[ \t]*\n")
_LINE = re.compile(r"\n")
_SENTENCE = re.compile(r"(?<=[.!?…。！？])\s")
_SPACE = re.compile(r"\s")


def parts_of(
    blocks: Sequence[Block], *, wanted: bool, max_size: int, size_of: SizeOf
) -> list[str]:
    """Return the messages for the blocks, none larger than `max_size`.

    `wanted` cuts a long answer at its blank lines, into MAX_PARTS at most. What has to
    be cut all the same, because no message may be so long, is cut between blocks, or
    lines, or sentences, or words; only blanks there are left out.
    """
    whole = "".join(block.text for block in blocks).strip("\n")
    if not whole.strip():
        return []
    size = size_of(whole)
    if size <= max_size and not (wanted and len(whole) > SPLIT_FROM_CHARS):
        return [whole]
    target = min(max_size, max(SPLIT_FROM_CHARS, -(-size // MAX_PARTS)))
    pieces = list(_pieces(blocks, max_size=max_size, size_of=size_of))
    packed = _packed(pieces, most=target if wanted else max_size, size_of=size_of)
    if wanted:
        packed = _fewer(packed, max_size=max_size, size_of=size_of)
    return [text for text in (part.strip("\n") for part in packed) if text.strip()]


def _pieces(
    blocks: Sequence[Block], *, max_size: int, size_of: SizeOf
) -> Iterator[str]:
    """Yield what stays together, unless that is larger than a message may be."""
    unit: list[Block] = []
    for index, block in enumerate(blocks):
        unit.append(block)
        if block.goes_on and index + 1 < len(blocks):
            continue
        text = "".join(member.text for member in unit)
        if size_of(text.strip("\n")) <= max_size:
            yield text
        else:
            for member in unit:
                yield from _cut_block(member, max_size=max_size, size_of=size_of)
        unit = []


def _cut_block(block: Block, *, max_size: int, size_of: SizeOf) -> Iterator[str]:
    if size_of(block.text.strip("\n")) <= max_size:
        yield block.text
        return
    if block.fence is None:
        yield from _cut(block.text, max_size=max_size, size_of=size_of)
        return
    # Each part of the code is code again.
    first, last = block.fence
    lines = block.text.strip("\n").split("\n")
    is_closed = len(lines) > 2 and lines[-1].strip() == last.strip()
    code = "\n".join(lines[1:-1] if is_closed else lines[1:])
    room = max_size - size_of(first + last)
    for part in _cut(code, max_size=room, size_of=size_of):
        yield f"{first}{part.strip(chr(10))}{last}\n\n"


def _cut(text: str, *, max_size: int, size_of: SizeOf) -> Iterator[str]:
    """Yield the text in parts of the size; each ends where it hurts least."""
    kept_whole = [found.span() for found in _WHOLE.finditer(text)]
    start = 0
    while start < len(text):
        left = text[start : start + max_size + 1]
        if start + len(left) == len(text) and size_of(left) <= max_size:
            yield left
            return
        end = _fitting(text, start=start, max_size=max_size, size_of=size_of)
        cut = _where(text, start=start, end=end, kept_whole=kept_whole)
        yield text[start:cut]
        start = cut


def _fitting(text: str, *, start: int, max_size: int, size_of: SizeOf) -> int:
    """Return how far a part from `start` may reach; one character further at least."""
    low, high = start + 1, min(len(text), start + max_size)
    while low < high:
        middle = (low + high + 1) // 2
        if size_of(text[start:middle]) <= max_size:
            low = middle
        else:
            high = middle - 1
    return low


def _where(
    text: str, *, start: int, end: int, kept_whole: Sequence[tuple[int, int]]
) -> int:
    """Return where to cut; rather at a line's end in the second half than late."""
    half = start + (end - start) // 2
    for pattern, earliest in (
        (_BLANK_LINE, half),
        (_LINE, half),
        (_SENTENCE, half),
        (_LINE, start),
        (_SPACE, start),
    ):
        found = [
            place.end()
            for place in pattern.finditer(text, earliest, end)
            if place.start() > start and _span_around(place.start(), kept_whole) is None
        ]
        if found:
            return found[-1]
    whole = _span_around(end, kept_whole)
    # In front of a link, if it then fits.
    if whole is not None and whole[0] > start:
        return whole[0]
    return end


def _span_around(
    place: int, spans: Sequence[tuple[int, int]]
) -> tuple[int, int] | None:
    """Return the span that a place is inside of; they are in order, apart from others.

    A long text has tens of thousands of them, and as many places to cut.
    """
    index = bisect_left(spans, (place,)) - 1
    if index < 0 or not spans[index][0] < place < spans[index][1]:
        return None
    return spans[index]


def _packed(pieces: Sequence[str], *, most: int, size_of: SizeOf) -> list[str]:
    packed: list[list[str]] = []
    size = 0
    for piece in pieces:
        own = size_of(piece)
        if packed and size + size_of(piece.rstrip("\n")) <= most:
            packed[-1].append(piece)
            size += own
        else:
            packed.append([piece])
            size = own
    return ["".join(part) for part in packed]


def _fewer(parts: list[str], *, max_size: int, size_of: SizeOf) -> list[str]:
    """Join the smallest neighbours until there are few enough, as far as they fit."""
    while len(parts) > MAX_PARTS:
        joined = [
            (size_of(first + second.rstrip("\n")), index)
            for index, (first, second) in enumerate(zip(parts, parts[1:], strict=False))
        ]
        size, index = min(joined)
        if size > max_size:
            break
        parts[index : index + 2] = [parts[index] + parts[index + 1]]
    return parts
