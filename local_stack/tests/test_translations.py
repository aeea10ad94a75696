from __future__ import annotations

import gettext
from pathlib import Path

import pytest

from local_stack import translations
from local_stack.data_dir import PROJECT_ROOT

CODE = """
from django.utils.translation import gettext_lazy as _, ngettext, pgettext
_("Hello")
ngettext("%(n)s turn", "%(n)s turns", 3)
pgettext("status", "Open")
"""
TEMPLATE = """
    {% load i18n %}
        <p>{% translate "From a template" %}</p>
      <b>{% blocktranslate trimmed count n=turns %}
        {{ n }} run
      {% plural %}
        {{ n }} runs
      {% endblocktranslate %}</b>
  {# Nothing #}
"""
CATALOGUE = """
msgid ""
msgstr "Content-Type: text/plain; charset=UTF-8\\n"

msgid "Hello"
msgstr "Привет"

msgid "Gone"
msgstr "Нет"
"""


@pytest.fixture
def catalogue(tmp_path: Path) -> Path:
    """The .po of an app with code, a template and tests of its own."""
    files = {
        "app/views.py": CODE,
        "app/templates/page.html": TEMPLATE,
        "app/tests/test_views.py": '_("Not for users")',
        "app/locale/ru/LC_MESSAGES/django.po": CATALOGUE,
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return path


def test_missing_are_the_texts_without_a_translation(
    tmp_path: Path, catalogue: Path
) -> None:
    assert translations.missing(catalogue, root=tmp_path) == [
        "('%(n)s turn', '%(n)s turns')",
        "Open",
        "From a template",
        "('%(n)s run', '%(n)s runs')",
    ]


def test_extract_adds_new_texts_keeps_translations_and_drops_gone_ones(
    tmp_path: Path, catalogue: Path
) -> None:
    assert translations.extract_all(tmp_path) == 5

    known = translations.load(catalogue)
    assert {message.id: message.string for message in known if message.id} == {
        "Hello": "Привет",
        ("%(n)s turn", "%(n)s turns"): ("", "", ""),
        "Open": "",
        "From a template": "",
        ("%(n)s run", "%(n)s runs"): ("", "", ""),
    }
    open_message = known.get("Open", "status")
    assert open_message is not None
    assert open_message.context == "status"


def test_second_extract_changes_nothing(tmp_path: Path, catalogue: Path) -> None:
    translations.extract_all(tmp_path)
    before = catalogue.read_text()

    translations.extract_all(tmp_path)

    assert catalogue.read_text() == before


def test_compile_writes_what_gettext_reads_and_only_when_it_must(
    tmp_path: Path, catalogue: Path
) -> None:
    assert translations.compile_all(tmp_path) == 1
    assert translations.compile_all(tmp_path) == 0

    with catalogue.with_suffix(".mo").open("rb") as file:
        assert gettext.GNUTranslations(file).gettext("Hello") == "Привет"


@pytest.mark.parametrize(
    "path",
    translations.catalogues(),
    ids=lambda path: str(path.relative_to(PROJECT_ROOT)),
)
def test_every_text_of_the_project_is_translated(path: Path) -> None:
    assert translations.missing(path) == []
