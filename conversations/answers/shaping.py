"""Write an answer's Markdown for a channel, as blocks that may be told apart. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest

from markdown_it import MarkdownIt
from markdown_it.tree import SyntaxTreeNode

from conversations.answers.channels import Shows
from conversations.answers.places import replaced

# Looking into what stands on a line takes longest, and a hostile text makes it take
# longer: so much of one is looked at, and in so long a paragraph; the rest stays as it
# is.
MAX_LOOKED_AT_CHARS = 40_000
MAX_PARAGRAPH_CHARS = 4_000
_BREAK = re.compile(r"<br ?/?>", re.I)
_NEWLINE = re.compile(r"\r\n?")
_LINE = re.compile(r"[^\n]*\n|[^\n]+")
_ENDS_BLANK = re.compile(r"\n[ \t]*\n[ \t]*\Z")
# Tags are text: nobody shows them, and a customer may have asked about one.
_PARSER = MarkdownIt("commonmark").enable(["table", "strikethrough"])
_PARSER.disable(["html_block", "html_inline"])
# Finds the blocks; what stands in them is left for later.
_OUTLINER = MarkdownIt("commonmark").enable("table").disable(["html_block", "inline"])
_WITHOUT_TABLES = MarkdownIt("commonmark").disable(["html_block", "inline"])
# Each row of a table gets as many cells as its first one has, so that a text of 2,000
# characters can keep us for seconds; nobody could read such a table in a chat.
MAX_CELLS = 10_000


@dataclass(frozen=True, kw_only=True)
class Block:
    """A paragraph, list, table, code …, with the blank lines behind it.

    One that `goes_on` belongs to the next: a heading, or a line before its list.
    """

    text: str
    goes_on: bool = False
    # Of a block of code that may have to be cut: its first and last line.
    fence: tuple[str, str] | None = None


def blocks(text: str, *, shows: Shows) -> list[Block]:
    """Return the text as a channel shows it, in blocks; nothing of it is lost."""
    text = _NEWLINE.sub("\n", text)
    if shows is Shows.SIMPLE_MARKDOWN:
        text = replaced(text, lambda place: with_address(place.label, place.url))
    outliner = _OUTLINER if _cells(text) <= MAX_CELLS else _WITHOUT_TABLES
    root = SyntaxTreeNode(outliner.parse(text))
    nodes = [node for node in root.children if node.map]
    if shows is Shows.PLAIN:
        looks_closely = len(text) <= MAX_LOOKED_AT_CHARS
        plain = _plain_blocks(nodes, write=_Plain(looks_closely=looks_closely))
        # Of nothing but marks, such as an empty block of code.
        return plain or [Block(text=text)]
    return list(_as_written(text, nodes, simple=shows is Shows.SIMPLE_MARKDOWN))


def _cells(text: str) -> int:
    """Return how many cells its tables have at most."""
    if "|" not in text:
        return 0
    widths = [line.count("|") + 1 for line in text.split("\n")]
    return max(widths) * len(widths)


def with_address(label: str, url: str) -> str:
    """Return a link or image as text."""
    bare = url.removeprefix("mailto:").removeprefix("tel:")
    if not label or label in (url, bare):
        return bare
    return f"{label} ({bare})"


def _as_written(
    text: str, nodes: Sequence[SyntaxTreeNode], *, simple: bool
) -> Iterator[Block]:
    """Yield the blocks as they stand in the text, with all that is between them."""
    if not nodes:
        yield Block(text=text)
        return
    lines = _LINE.findall(text)
    starts = [0, *(node.map[0] for node in nodes[1:] if node.map), len(lines)]
    for node, start, end in zip(nodes, starts, starts[1:], strict=False):
        written = "".join(lines[start:end])
        if simple and node.type in ("table", "heading"):
            blank = len(written) - len(written.rstrip("\n"))
            written = _simple(node) + "\n" * blank
        yield Block(
            text=written,
            goes_on=_goes_on(node, written) or not _ENDS_BLANK.search(written),
            fence=_fence(node),
        )


def _goes_on(node: SyntaxTreeNode, written: str) -> bool:
    if node.type == "heading":
        return True
    return node.type == "paragraph" and written.rstrip().endswith(":")


def _fence(node: SyntaxTreeNode) -> tuple[str, str] | None:
    if node.type != "fence" or len(node.info) > 40:
        return None
    return f"{node.markup}{node.info}\n", f"\n{node.markup}"


def _simple(node: SyntaxTreeNode) -> str:
    """Return a table as lines, or a heading as bold text."""
    if node.type == "table":
        return _table(node, write=_content)
    content = _content(node)
    return content if "*" in content or not content else f"**{content}**"


def _content(node: SyntaxTreeNode) -> str:
    """Return the Markdown of a heading or a table's cell."""
    return " ".join(child.content for child in node.children).strip()


def _table(node: SyntaxTreeNode, *, write: Callable[[SyntaxTreeNode], str]) -> str:
    """Return a line for each row, which names the columns."""
    rows = [row for part in node.children for row in part.children]
    names = [write(cell) for cell in rows[0].children] if rows else []
    if len(rows) < 2:
        return "- " + ", ".join(filter(None, names))
    lines = []
    for row in rows[1:]:
        cells = [write(cell) for cell in row.children]
        named = zip_longest(names, cells, fillvalue="")
        parts = [f"{name}: {cell}" if name else cell for name, cell in named if cell]
        lines.append("- " + ", ".join(parts))
    return "\n".join(lines)


def _plain_blocks(nodes: Sequence[SyntaxTreeNode], *, write: _Plain) -> list[Block]:
    made = []
    for node in nodes:
        written = write.block(node)
        if written:
            made.append(Block(text=f"{written}\n\n", goes_on=_goes_on(node, written)))
    return made


class _Plain:
    """Writes blocks as text that needs no marks."""

    def __init__(self, *, looks_closely: bool) -> None:
        self._looks_closely = looks_closely

    def block(self, node: SyntaxTreeNode) -> str:
        """Return a block's text, without a line break at its end."""
        if node.type in ("fence", "code_block"):
            return node.content.rstrip("\n")
        if node.type == "table":
            return _table(node, write=self._inside)
        if node.type in ("bullet_list", "ordered_list"):
            return self._list(node)
        if node.type == "blockquote":
            return "\n".join(f"> {line}" for line in self._blocks(node).split("\n"))
        if node.type == "hr":
            return "———"
        if node.children:
            return self._inside(node)
        return self._line(node.content) if node.type == "inline" else ""

    def _blocks(self, node: SyntaxTreeNode) -> str:
        return "\n".join(filter(None, (self.block(child) for child in node.children)))

    def _inside(self, node: SyntaxTreeNode) -> str:
        return "".join(self._line(child.content) for child in node.children)

    def _list(self, node: SyntaxTreeNode) -> str:
        first = int(node.attrs.get("start", 1)) if node.type == "ordered_list" else None
        lines = []
        for number, item in enumerate(node.children):
            mark = "- " if first is None else f"{first + number}. "
            inside = self._blocks(item).split("\n")
            lines.append(mark + inside[0])
            lines += [" " * len(mark) + line for line in inside[1:]]
        return "\n".join(lines)

    def _line(self, content: str) -> str:
        if not self._looks_closely or len(content) > MAX_PARAGRAPH_CHARS:
            return content.strip()
        (inline,) = _PARSER.parseInline(content)
        return _BREAK.sub("\n", _inline(SyntaxTreeNode([inline]).children[0])).strip()


def _inline(node: SyntaxTreeNode) -> str:
    if node.type in ("text", "code_inline"):
        return str(node.content)
    if node.type in ("softbreak", "hardbreak"):
        return "\n"
    inside = "".join(_inline(child) for child in node.children)
    if node.type == "link":
        return with_address(inside.strip(), str(node.attrs.get("href", "")))
    if node.type == "image":
        return with_address(inside.strip(), str(node.attrs.get("src", "")))
    return inside
