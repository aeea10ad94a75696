"""Translations without the gettext programs: `extract` and `compile` with Babel.

A catalogue lies in `<folder>/locale/<language>/LC_MESSAGES/django.po` and belongs to
the code and templates below that folder; the one at the top to everything else. The
compiled `.mo` files are made where they are needed and never committed.
"""

from __future__ import annotations

import io
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.extract import extract
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po
from django.utils.translation.template import templatize

from local_stack.data_dir import PROJECT_ROOT

CATALOGUES = "locale/*/LC_MESSAGES/django.po"

# How Django's functions take their arguments: (context,) singular, plural.
KEYWORDS: dict[str, tuple[int | tuple[int, int] | tuple[int, str], ...] | None] = {
    "_": None,
    "gettext": None,
    "gettext_lazy": None,
    "gettext_noop": None,
    "ngettext": (1, 2),
    "ngettext_lazy": (1, 2),
    "pgettext": ((1, "c"), 2),
    "pgettext_lazy": ((1, "c"), 2),
    "npgettext": ((1, "c"), 2, 3),
    "npgettext_lazy": ((1, "c"), 2, 3),
}

# Not shown to anybody who reads another language, or not ours.
SKIPPED = re.compile(r"(^|/)(\.[^/]+|tests|migrations|sandbox|local_stack)/")


def catalogues(root: Path = PROJECT_ROOT) -> list[Path]:
    """Every .po file of the project."""
    return sorted([*root.glob(CATALOGUES), *root.glob(f"*/{CATALOGUES}")])


def compile_all(root: Path = PROJECT_ROOT) -> int:
    """Write the .mo beside each .po that is newer; returns how many were written."""
    written = 0
    for path in catalogues(root):
        target = path.with_suffix(".mo")
        if target.exists() and target.stat().st_mtime >= path.stat().st_mtime:
            continue
        staged = target.with_suffix(f".{os.getpid()}")
        with staged.open("wb") as file:
            write_mo(file, load(path))
        staged.replace(target)
        written += 1
    return written


def extract_all(root: Path = PROJECT_ROOT) -> int:
    """Bring every .po up to date with the code; returns how many messages there are.

    New messages come without a translation, gone ones are dropped; nothing is guessed.
    """
    count = 0
    for path in catalogues(root):
        catalogue = load(path)
        made_at = catalogue.creation_date
        catalogue.update(template(path, root=root), no_fuzzy_matching=True)
        catalogue.creation_date = made_at
        catalogue.obsolete.clear()
        with path.open("wb") as file:
            write_po(file, catalogue, width=80, include_lineno=False, sort_by_file=True)
        count += len(catalogue)
    return count


def missing(path: Path, *, root: Path = PROJECT_ROOT) -> list[str]:
    """The texts in the code that this catalogue does not translate."""
    known = load(path)
    wanted = template(path, root=root)
    return [
        str(message.id)
        for message in wanted
        if message.id and not _is_translated(known, message.id, message.context)
    ]


def load(path: Path) -> Catalog:
    """The catalogue in that .po file."""
    with path.open("rb") as file:
        return read_po(file, locale=path.parts[-3], abort_invalid=True)


def template(path: Path, *, root: Path) -> Catalog:
    """The messages in the code that belongs to that catalogue, untranslated."""
    found = Catalog(charset="utf-8")
    for source in _sources(path, root=root):
        text = source.read_text()
        if source.suffix != ".py":
            # Calls of gettext between words without meaning, indented at will; that
            # is Python only inside parentheses.
            text = f"({templatize(text, origin=str(source))}\n)"
        place = [(str(source.relative_to(root)), 1)]
        for _line, message, comments, context in extract(
            "python", io.BytesIO(text.encode()), KEYWORDS, ["Translators:"]
        ):
            found.add(message, None, place, (), comments, context=context)
    return found


def _is_translated(
    known: Catalog, text: str | list[str] | tuple[str, ...], context: str | None
) -> bool:
    message = known.get(text, context)
    if message is None or message.fuzzy:
        return False
    forms = message.string if isinstance(message.string, tuple) else (message.string,)
    return all(forms)


def _sources(path: Path, *, root: Path) -> Iterator[Path]:
    """Python modules and templates of the folder the catalogue belongs to."""
    folder = path.parents[3]
    others = [one.parents[3] for one in catalogues(root) if one.parents[3] != folder]
    for pattern in ("*.py", "*.html", "*.txt"):
        for source in sorted(folder.rglob(pattern)):
            if SKIPPED.search(str(source.relative_to(root))):
                continue
            is_template = "templates" in source.parts
            belongs_elsewhere = any(
                source.is_relative_to(other) and other.is_relative_to(folder)
                for other in others
            )
            if not belongs_elsewhere and (is_template or pattern == "*.py"):
                yield source


def main() -> int:
    actions = {"compile": compile_all, "extract": extract_all}
    if len(sys.argv) != 2 or sys.argv[1] not in actions:
        sys.stderr.write("usage: python -m local_stack.translations compile|extract\n")
        return 2
    count = actions[sys.argv[1]]()
    if sys.argv[1] == "extract":
        sys.stdout.write(f"{count} messages in {len(catalogues())} files\n")
    elif count:
        sys.stdout.write(f"==> Compiled {count} translation files\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
