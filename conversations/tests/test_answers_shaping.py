"""Markdown as each channel shows it."""

from __future__ import annotations

import pytest

from conversations.answers.channels import Shows, channel_of
from conversations.answers.shaping import blocks

ANSWER = """## Your *order*

Here is **what** I ~~lost~~ found:
- a [tent](https://shop.test/tents) & more
- `code` <b>tag</b>
  1. one
  2. two

| Item | Price |
| --- | ---: |
| Tent **A** | 249 € |
| Pegs | |

> Keep the number.
> Always.

```python
print("**x**")

print(2)
```

---

Mail [me@x.test](mailto:me@x.test) or <https://x.test>.<br>Bye\\!
![a tent](https://x.test/a.png)"""

PLAIN = """Your order

Here is what I lost found:

- a tent (https://shop.test/tents) & more
- code <b>tag</b>
  1. one
  2. two

- Item: Tent A, Price: 249 €
- Item: Pegs

> Keep the number.
> Always.

print("**x**")

print(2)

———

Mail me@x.test or https://x.test.
Bye!
a tent (https://x.test/a.png)"""


def shaped(text: str, shows: Shows) -> str:
    return "".join(block.text for block in blocks(text, shows=shows)).strip("\n")


def test_plain_text_keeps_what_markdown_says() -> None:
    assert shaped(ANSWER, Shows.PLAIN) == PLAIN


@pytest.mark.parametrize("text", [ANSWER, "a\n\n\n\n    code\n\n1. x\n", "", "\n", "—"])
def test_markdown_stays_as_it_is(text: str) -> None:
    assert "".join(block.text for block in blocks(text, shows=Shows.MARKDOWN)) == text


def test_where_chatwoot_converts_it_tables_titles_and_images_are_written_out() -> None:
    text = shaped(ANSWER, Shows.SIMPLE_MARKDOWN)

    assert text.startswith(
        "Your *order*\n\nHere is **what** I ~~lost~~ found:\n- a [tent]"
    )
    assert "- Item: Tent **A**, Price: 249 €\n- Item: Pegs\n\n> Keep" in text
    assert text.endswith("a tent (https://x.test/a.png)")
    assert shaped("# Title\ntext", Shows.SIMPLE_MARKDOWN) == "**Title**\ntext"


def test_a_table_without_rows_names_its_columns() -> None:
    assert shaped("| A | B |\n| - | - |", Shows.PLAIN) == "- A, B"


@pytest.mark.parametrize(
    ("channel", "shows", "size"),
    [
        ("Channel::WebWidget", Shows.MARKDOWN, 140_000),
        ("Channel::Api", Shows.MARKDOWN, 140_000),
        ("Channel::Email", Shows.MARKDOWN, 140_000),
        ("Channel::Whatsapp", Shows.SIMPLE_MARKDOWN, 4096),
        ("Channel::Telegram", Shows.SIMPLE_MARKDOWN, 4096),
        ("Channel::FacebookPage", Shows.PLAIN, 2000),
        ("Channel::Instagram", Shows.PLAIN, 1000),
        ("Channel::Line", Shows.PLAIN, 5000),
        ("Channel::Sms", Shows.PLAIN, 1600),
        ("Channel::TwilioSms", Shows.PLAIN, 1600),
        ("", Shows.MARKDOWN, 140_000),
    ],
)
def test_each_channel_has_its_way(channel: str, shows: Shows, size: int) -> None:
    found = channel_of(channel, private=False)

    assert (found.shows, found.max_size) == (shows, size)
    assert channel_of(channel, private=True).shows is Shows.MARKDOWN


def test_services_count_differently() -> None:
    sms = channel_of("Channel::Sms", private=False)
    instagram = channel_of("Channel::Instagram", private=False)

    assert sms.size_of("Да 👍") == 5
    assert instagram.size_of("Да 👍") == 9


@pytest.mark.parametrize(
    "text",
    [
        "[" * 150_000,
        "![" * 75_000,
        "> " * 75_000,
        "- " * 75_000,
        "`" * 150_000,
        "*a **b " * 20_000,
        "|a" * 2_000 + "\n" + "|-" * 2_000 + "\n" + "|a\n" * 5_000,
        "\n".join(" " * (index % 40) + "- a" for index in range(6_000)),
        "```\n" * 30_000,
    ],
    ids=range(9),
)
@pytest.mark.parametrize("shows", Shows)
@pytest.mark.timeout(60)
def test_hostile_text_is_shaped_all_the_same(text: str, shows: Shows) -> None:
    assert blocks(text, shows=shows)


@pytest.mark.parametrize("shows", Shows)
@pytest.mark.timeout(30)
def test_wide_tables_of_short_rows_stay_as_they_are(shows: Shows) -> None:
    """Each row would get as many cells as the first one: millions in all."""
    table = "|a" * 300 + "|\n" + "|-" * 300 + "|\n" + "a\n" * 300 + "\n"
    text = table * 60

    made = "".join(block.text for block in blocks(text, shows=shows))

    assert made.count("|a") == 60 * 300
