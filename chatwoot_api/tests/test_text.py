"""HTML in, Liquid out."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from liquid import Environment
from liquid.exceptions import LiquidError

from chatwoot_api.text import liquid_safe, plain_text


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
