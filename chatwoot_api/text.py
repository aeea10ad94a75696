"""Message texts: Chatwoot's HTML to plain text, ours past Chatwoot's Liquid."""

from __future__ import annotations

import re
from html import unescape

from markdownify import markdownify

# What Chatwoot 4.9–4.12 renders a message into (reference/chatwoot.md section 2.1).
_LOOKS_RENDERED = re.compile(
    r"\s*<(p|div|ul|ol|blockquote|pre|h[1-6]|table|html|br)\b[^>]*>.*>\s*", re.S | re.I
)
_TAG = re.compile(r"<[^<>]*>")
# Chatwoot takes 150,000 characters; what is larger than this nobody typed.
MAX_HTML_CHARS = 100_000
# Chatwoot protects what stands between two backticks with `{% raw %}`, with just this
# expression (app/models/concerns/liquidable.rb).
_CODE = re.compile(r"(`.*?`)", re.S)
_ENDS_RAW = re.compile(r"\{%-?\s*endraw")
_OPENS_LIQUID = re.compile(r"\{(?=[{%])")
_LITERAL_BRACE = '{{ "{" }}'


def plain_text(content: str) -> str:
    """Return the message as the customer typed it.

    Chatwoot 4.9.0–4.12.0 send HTML for widget and e-mail inboxes; links and lists of it
    become Markdown. Text that does not start with a block element is left alone, and so
    is a huge one. Never fails: it is the customer who chooses the HTML.
    """
    if len(content) > MAX_HTML_CHARS or not _LOOKS_RENDERED.fullmatch(content):
        return content
    try:
        text = markdownify(content, escape_misc=False, escape_underscores=False)
    except Exception:
        # It has many ways to fail, among them RecursionError, ValueError for the column
        # span "²" and a ParserRejectedMarkup for "<![".
        return _without_tags(content)
    # A thousand empty columns, or quotes in quotes in quotes, on each of many lines.
    return _without_tags(content) if len(text) > MAX_HTML_CHARS else text.strip()


def _without_tags(content: str) -> str:
    return " ".join(unescape(_TAG.sub(" ", content)).split())


def liquid_safe(text: str) -> str:
    """Return `text` so that it is the same after Chatwoot ran it through Liquid.

    Chatwoot replaces `{{ … }}` in outgoing messages; an LLM that explains a template
    must not be eaten. Between backticks Chatwoot protects the text itself, and an
    escape would show.
    """
    parts = _CODE.split(text)
    if any(_ENDS_RAW.search(code) for code in parts[1::2]):
        # This text is a syntax error for Liquid, and Chatwoot leaves those as they are.
        return text
    for index in range(0, len(parts), 2):
        escaped = _OPENS_LIQUID.sub(_LITERAL_BRACE, parts[index])
        is_before_code = index + 1 < len(parts)
        if is_before_code and escaped.endswith("{"):
            # Chatwoot will put `{% raw %}` right behind this brace.
            escaped = escaped[:-1] + _LITERAL_BRACE
        parts[index] = escaped
    return "".join(parts)
