"""What the customer types decides how the played app behaves."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field

from sandbox.dify.calls import FlowCall, parse_calls
from sandbox.dify.tool_files import PICTURE_URL, REPORT_URL
from sandbox.json_types import Json
from sandbox.wire_log import mask_text

_COMMAND = re.compile(r"^/([a-z]+)(?:\s+(\d+(?:\.\d+)?))?\s*$")
DEFAULT_SECONDS = 20.0
MAX_SECONDS = 3600.0
MAX_CHARS = 1_000_000

# Name, argument, what happens. The page shows this list.
COMMANDS: list[tuple[str, str, str]] = [
    ("/slow", "20", "the answer drips in over 20 seconds"),
    ("/wait", "20", "nothing but pings for 20 seconds, then the answer"),
    ("/slowstart", "20", "20 seconds until the first event, then the answer"),
    ("/silent", "", "HTTP 200 and not one event, as Dify 1.14 does on bad input"),
    ("/hang", "", "half an answer, then silence without pings"),
    ("/cut", "", "the connection breaks in the middle of the answer"),
    ("/fail", "", "a node of the flow (or the model) fails"),
    ("/error", "", "an error event instead of an answer"),
    ("/http", "502", "HTTP 502 with a proxy's HTML page; any status works"),
    ("/busy", "", "400 invalid_param “Too many requests”, always"),
    ("/busy", "2", "busy the first two times for this conversation, then answers"),
    ("/quota", "", "400 provider_quota_exceeded"),
    ("/think", "", "a <think> block, its tags split over several deltas"),
    ("/unclosed", "", "a <think> block that never ends"),
    ("/replace", "", "message_replace: moderation takes the answer back"),
    ("/empty", "", "an empty answer"),
    ("/braces", "", "an answer with {{ contact.name }} and {{ x }} in it"),
    ("/long", "5000", "an answer of 5000 characters"),
    ("/markdown", "", "headings, a table, a list, code and a link"),
    ("/file", "", "an answer with an image; chat apps put text into message_file"),
    ("/picture", "", "Markdown with an image and a link to a file, both Dify's own"),
    ("/buttons", "", "a JSON answer with buttons"),
    ("/cards", "", "a JSON answer with cards"),
    ("/fields", "", "a JSON answer with a form, in a fence"),
    ("/form", "1", "the run waits for a form: buttons, 1 a text field, 2 a list too"),
    ("/forget", "", "Dify deletes this conversation after the answer"),
    ("/tokens", "5000", "an answer that cost 5000 tokens"),
]
_KNOWN = {name.removeprefix("/") for name, _, _ in COMMANDS}

MARKDOWN = """## Your order

Here is what I found, **Order 1042**:

| Item | Count | Price |
| --- | ---: | ---: |
| Tent “Fjord” | 1 | 249 € |
| Peg set | 2 | 18 € |

1. It was *shipped* yesterday.
2. It arrives on ~~Monday~~ Tuesday.

- Track it at [our site](https://shop.example.test/orders/1042)
- or call us

> Keep the parcel number at hand.

```python
print("tracking", 1042)
```

Use `code 4711` for the return."""

PICTURE = f"""Here is your tent:

![tent.png]({PICTURE_URL})

The details are in [the report]({REPORT_URL})."""

JSON_ANSWERS = {
    "buttons": json.dumps(
        {
            "text": "Is the parcel **damaged**?",
            "buttons": ["Yes", {"title": "No", "value": "It is not damaged"}],
        }
    ),
    "cards": json.dumps(
        {
            "text": "These would fit:",
            "cards": [
                {
                    "title": "Tent “Fjord”",
                    "description": "for two",
                    "actions": [
                        {
                            "type": "link",
                            "text": "To the shop",
                            "uri": "https://shop.example.test/fjord",
                        },
                        {"type": "postback", "text": "Take it", "payload": "fjord"},
                    ],
                }
            ],
        }
    ),
    "fields": "```json\n"
    + json.dumps(
        {
            "text": "Where shall we send it?",
            "form": {
                "fields": [
                    {"name": "street", "label": "Street", "type": "text"},
                    {
                        "name": "country",
                        "label": "Country",
                        "type": "select",
                        "options": ["Norway", "Germany"],
                    },
                ],
                "button": "Send",
            },
        },
        indent=2,
    )
    + "\n```",
}

BRACES = (
    "Dear {{ contact.name }}, templates look like {{ x }} or {% if a %}b{% endif %}; "
    "`{{ in.backticks }}` stays. 100 {percent} {{{triple}}}"
)


@dataclass(frozen=True)
class Script:
    """A command and its number, or ``echo`` for everything else."""

    name: str = "echo"
    number: float | None = None

    @property
    def seconds(self) -> float:
        number = DEFAULT_SECONDS if self.number is None else self.number
        return min(number, MAX_SECONDS)


def parse(query: str) -> Script:
    """The first line that is a known command; the bridge may have joined several."""
    for line in query.splitlines():
        match = _COMMAND.match(line.strip())
        if match and match[1] in _KNOWN:
            return Script(name=match[1], number=float(match[2]) if match[2] else None)
    return Script()


@dataclass
class Plan:
    """How one answer is played; the same for every mode."""

    pieces: list[str]
    piece_pause_s: float
    first_pause_s: float = 0.0
    start_delay_s: float = 0.0
    fails: bool = False
    error: tuple[str, int, str] | None = None
    replacement: str | None = None
    cut_after: int | None = None
    hang_after: int | None = None
    with_file: bool = False
    total_tokens: int | None = None
    # Which Human Input form the run waits for; None for none.
    form: float | None = None
    calls: list[FlowCall] = field(default_factory=list)
    extra: Json = field(default_factory=dict)

    @property
    def text(self) -> str:
        return (
            self.replacement if self.replacement is not None else "".join(self.pieces)
        )


def plan(query: str, *, echo: str, delta_interval_s: float) -> Plan:
    """``echo`` is the friendly answer that most commands end with.

    A message that only orders calls is answered with what the bridge said to them.
    """
    script = parse(query)
    calls, rest = parse_calls(query)
    pieces = _pieces(script, echo=echo if rest or not calls else "")
    made = Plan(pieces=pieces, piece_pause_s=delta_interval_s, calls=calls)
    name = script.name
    if name == "slow":
        made.piece_pause_s = script.seconds / max(len(pieces), 1)
    elif name == "wait":
        made.first_pause_s = script.seconds
    elif name == "slowstart":
        made.start_delay_s = script.seconds
    elif name == "hang":
        made.hang_after = len(pieces) // 2
    elif name == "cut":
        made.cut_after = len(pieces) // 2
    elif name == "fail":
        made.fails = True
    elif name == "error":
        text = "Internal Server Error, please contact support."
        made.error = ("internal_server_error", 500, text)
    elif name == "replace":
        made.replacement = "I cannot help with that."
    elif name == "file":
        made.with_file = True
    elif name == "form":
        made.form = script.number or 0.0
    elif name == "tokens":
        made.total_tokens = int(script.number or 5000)
    return made


def _pieces(script: Script, *, echo: str) -> list[str]:
    if script.name == "empty":
        return []
    if script.name == "think":
        thought = ["<thi", "nk>The customer wants ", "something. ", "Ok.</th"]
        return [*thought, "ink>\n\n", *cut_up(echo)]
    if script.name == "unclosed":
        return [*cut_up("Half an answer. "), "<thi", "nk>", *cut_up("Now what was it")]
    if script.name == "replace":
        return cut_up("The forbidden words are on their way")
    if script.name == "braces":
        return cut_up(BRACES)
    if script.name == "markdown":
        return cut_up(MARKDOWN)
    if script.name == "picture":
        return cut_up(PICTURE)
    if script.name in JSON_ANSWERS:
        return cut_up(JSON_ANSWERS[script.name])
    if script.name == "long":
        return _long(min(int(script.number or 5000), MAX_CHARS))
    return cut_up(echo)


def _long(chars: int) -> list[str]:
    sentence = "This sentence is repeated until the answer is long enough. "
    text = (sentence * (chars // len(sentence) + 1))[:chars]
    size = max(chars // 40, 1)
    return [text[start : start + size] for start in range(0, chars, size)]


def cut_up(text: str) -> list[str]:
    """Deltas of a few words; some cut in the middle of one, as tokens are."""
    return [text[start : start + 14] for start in range(0, len(text), 14)]


def greeting(
    *, query: str, inputs: Json, app_name: str, version: str, files: str = ""
) -> str:
    """The canned answer: it shows what arrived."""
    name = inputs.get("contact_name")
    filled = {key: value for key, value in inputs.items() if value not in (None, "")}
    shown = ", ".join(f"{key} = {_short(value)}" for key, value in filled.items())
    shown = mask_text(shown)
    hello = f"Hello {name}!" if name else "Hello!"
    return (
        f"{hello} You asked: “{_short(query)}”.\n\n"
        f"I am **{app_name}** on Dify {version}, a sandbox without a language model, "
        "so I can only tell you what reached me.\n\n"
        f"Inputs: {shown or 'none'}."
    ) + (f"\n\n{files}" if files else "")


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 200 else f"{text[:200]}…"
