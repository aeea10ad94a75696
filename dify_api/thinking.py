"""Parts what a reasoning model thought from what it says.

Dify leaves `<think>…</think>` in the text (reasoning_format "tagged", its default, see
reference/dify.md section 9.4). The tags may come split over deltas, so this looks at
the joined text only.
"""

from __future__ import annotations

import re

from dify_api.reading import clean_text

_TAG = re.compile(r"<(?P<close>/?)think(?:\s[^<>]*)?>", re.I)
# Where a tag is only spoken of: fenced code, or inline code that begins or ends with
# the tag. A lone backtick on the same line as real thinking must not hide it.
_MENTION = r"`</?think>[^`\n]*`|`[^`\n<]*</?think>`"
_FENCE = (
    r"(?:^|(?<=\n))[ \t]*(?P<fence>```+|~~~+)[^\n]*\n"
    r".*?(?:(?<=\n)[ \t]*(?P=fence)[^\n]*|\Z)"
)
_OUTSIDE = re.compile(rf"{_FENCE}|{_MENTION}|{_TAG.pattern}", re.I | re.S)
_INSIDE = re.compile(rf"{_MENTION}|{_TAG.pattern}", re.I)


def split_thinking(text: str) -> tuple[str, str]:
    """Return (what to say, what was thought); both stripped and storable.

    Unclosed thinking reaches to the end. A closing tag that nobody opened closes
    thinking from the beginning: some models' templates open it in the prompt.
    """
    text = clean_text(text)
    if not _TAG.search(text):
        return text.strip(), ""
    said: list[str] = []
    thought: list[str] = []
    position = 0
    while match := _next_tag(_OUTSIDE, text, position):
        before = text[position : match.start()]
        if match["close"]:
            (said if thought else thought).append(before)
            position = match.end()
            continue
        said.append(before)
        end, position = _end_of_thinking(text, match.end())
        thought.append(text[match.end() : end])
    said.append(text[position:])
    return _join(said), "\n".join(part.strip() for part in thought).strip()


def _next_tag(
    pattern: re.Pattern[str], text: str, position: int
) -> re.Match[str] | None:
    """Return the next real tag at or after `position`."""
    for match in pattern.finditer(text, position):
        if match["close"] is not None:
            return match
    return None


def _end_of_thinking(text: str, position: int) -> tuple[int, int]:
    """Return where the thinking that was opened before `position` ends, and its tag.

    Thinking may be nested. If the tags do not add up, a model has written `<think>`
    without meaning it, and the last closing tag ends it all.
    """
    depth = 1
    last: re.Match[str] | None = None
    while match := _next_tag(_INSIDE, text, position):
        position = match.end()
        depth += -1 if match["close"] else 1
        if match["close"]:
            last = match
        if depth == 0:
            break
    if last is None:
        return len(text), len(text)
    return last.start(), last.end()


def _join(parts: list[str]) -> str:
    """Join what is left; a removed block leaves no hole of blank lines behind."""
    text = parts[0]
    for part in parts[1:]:
        left, right = text.rstrip(), part.lstrip()
        gap = text[len(left) :] + part[: len(part) - len(right)]
        text = left + (gap[:1] and ("\n" * min(gap.count("\n"), 2) or " ")) + right
    return text.strip()
