"""HTML in, Liquid out."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from liquid import Environment
from liquid.exceptions import LiquidError

from chatwoot_api.text import MAX_HTML_CHARS, liquid_safe, plain_text


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("Hello", "Hello"),
        ("", ""),
        ("<p>Hello</p>", "Hello"),
        ("<p>one</p>\n<p>two</p>", "one\n\ntwo"),
        ("<p>a<br>b</p>", "a  \nb"),
        (
            '<p>see <a href="https://x.test/a_b">here</a></p>',
            "see [here](https://x.test/a_b)",
        ),
        ("<p>5 &lt; 6 &amp; 7</p>", "5 < 6 & 7"),
        ("is a < b and b > c?", "is a < b and b > c?"),
        ("what does <p> mean in HTML", "what does <p> mean in HTML"),
        ("I use <b>bold</b>", "I use <b>bold</b>"),
    ],
)
def test_html_of_chatwoot_4_9_becomes_text(content: str, text: str) -> None:
    assert plain_text(content) == text


@pytest.mark.parametrize(
    "content",
    [
        "<div>" * 500 + "x" + "</div>" * 500,
        "<p>" + "<b>" * 1500 + "x</p>",
        '<p><ol start="²"><li>x</li></ol></p>',
        '<table><tr><td colspan="²">x</td></tr></table>',
        "<p><![foo <b>x</b></p>",
        "<table>" + '<tr><td colspan="999">' * 500 + "x</table>",
    ],
)
def test_html_that_cannot_become_markdown_loses_its_tags(content: str) -> None:
    text = plain_text(content)

    assert text.endswith("x")
    assert "<b>" not in text
    assert "<div>" not in text


def test_what_nobody_typed_is_not_converted() -> None:
    huge = "<p>" + "<br>" * MAX_HTML_CHARS + "</p>"

    assert plain_text(huge) == huge


_PIECES = (
    ["<p>", "</p>", "<div>", "<b>", "<ol start='²'>", "<li>", "<a href=x>", "<![", "<!"]
    + ["<td colspan='9'>", "<table>", "<pre>", "<blockquote>", "<br>", "<", ">", "x"]
    + ["&#0;", "&#xD800;", "&amp", "--", "\n", "`", "ю"]
)


@settings(deadline=None, max_examples=50)
@given(
    st.lists(
        st.tuples(st.sampled_from(_PIECES), st.sampled_from([1, 2, 300])), max_size=8
    )
)
def test_any_html_becomes_text_that_can_be_stored(
    pieces: list[tuple[str, int]],
) -> None:
    text = plain_text("<p>" + "".join(piece * n for piece, n in pieces) + "</p>")

    assert "\x00" not in text
    assert text.encode().decode() == text


def after_chatwoot(content: str) -> str:
    """What Chatwoot's app/models/concerns/liquidable.rb makes of a message."""
    protected = re.sub(r"`(.*?)`", r"{% raw %}`\1`{% endraw %}", content, flags=re.S)
    try:
        template = Environment().from_string(protected)
        return template.render(contact={"name": "Marta"})
    except LiquidError:
        return content


def test_the_imitation_eats_braces() -> None:
    assert after_chatwoot("Hi {{ contact.name }}{{ x }}, `{{ y }}`") == (
        "Hi Marta, `{{ y }}`"
    )


@pytest.mark.parametrize(
    "text",
    [
        "Hi {{ contact.name }}",
        "{{{ triple }}}",
        "{% if x %}yes{% endif %}",
        "{%- raw -%}",
        "code `{{ y }}` and {{ z }}",
        "brace before code {`x`",
        "```\n{{ block }}\n```",
        "a lone ` and {{ x }}",
        "`{% endraw %}` and {{ x }}",
        "{",
        "{{",
        "{{{{",
        "}} {{",
        "{{ '{{' }}",
        "{# comment #}",
    ],
)
def test_an_answer_arrives_as_written(text: str) -> None:
    assert after_chatwoot(liquid_safe(text)) == text


@given(st.text(alphabet="{}%`'\" \nrawendxю-#", max_size=40))
@example("{%`{%")
def test_any_answer_arrives_as_written(text: str) -> None:
    assert after_chatwoot(liquid_safe(text)) == text


def test_a_plain_answer_is_not_touched() -> None:
    assert liquid_safe("Just {text} with `code`.") == "Just {text} with `code`."
