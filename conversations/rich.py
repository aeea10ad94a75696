"""Messages with buttons, cards, forms and articles, checked before Chatwoot is. Pure.

Chatwoot refuses the whole message for one key too many (reference/chatwoot.md section
5.3), and only its website and API channels show more than text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from bridge_project.lib.errors import BridgeError
from bridge_project.lib.types import JsonObject, JsonValue
from chatwoot_api.message_calls import CHANNELS_THAT_KEEP_SOURCE_ID
from chatwoot_api.names import fold
from dify_api.arguments import Misread, as_bool, as_list, as_text, as_texts

CONTENT_TYPES = ("text", "input_select", "cards", "form", "article")
CHANNELS_WITH_ITEMS = CHANNELS_THAT_KEEP_SOURCE_ID
FORM_TYPES = ("text", "email", "text_area", "select")
# Nobody reads more, and Chatwoot's pages show no more.
MAX_ITEMS = 100
MAX_SHOWN = 50
_FORM_KEYS = frozenset(
    {
        "name",
        "label",
        "type",
        "placeholder",
        "default",
        "required",
        "options",
        "pattern",
        "title",
        "pattern_error",
    }
)
_BY_WORD = {"buttons": "input_select", "select": "input_select", "card": "cards"}


class BadItems(BridgeError):
    """The items are none that Chatwoot would take; says which, and what it takes."""

    code = "bad_value"

    def __init__(self, message: str, *, possible: Iterable[str] = ()) -> None:
        """`possible` are the values that would have been understood."""
        super().__init__(message)
        self.possible = tuple(possible)


@dataclass(frozen=True, kw_only=True)
class Rich:
    """What goes beside the text of a message."""

    content_type: str
    items: tuple[JsonObject, ...]
    button_label: str = ""

    def attributes(self) -> JsonObject:
        """Return Chatwoot's `content_attributes`."""
        found: JsonObject = {"items": list(self.items)}
        if self.button_label:
            found["button_label"] = self.button_label
        return found

    def is_shown(self, *, channel: str, private: bool) -> bool:
        """Tell whether Chatwoot shows the items, and not only the text beside them."""
        return not private and channel in CHANNELS_WITH_ITEMS

    def as_lines(self) -> str:
        """Return the items as text, for channels that show nothing else."""
        line = {
            "input_select": _choice_line,
            "cards": _card_line,
            "form": _field_line,
        }
        write = line.get(self.content_type, _article_line)
        return "\n".join(
            f"{number}. {write(item)}" for number, item in enumerate(self.items, 1)
        )


def read(wanted: Mapping[str, JsonValue]) -> Rich | None:
    """Understand `content_type` and `items`; None for a message of text alone.

    Raises BadItems, or Misread for what is not even a list.
    """
    kind = kind_of(wanted)
    if kind == "text":
        return None
    items = _listed_items(wanted.get("items"), kind=kind)
    if len(items) > MAX_ITEMS:
        raise BadItems(
            f"“items” holds {len(items)} values; {MAX_ITEMS} are taken at once. Send "
            "fewer."
        )
    if not items:
        raise BadItems(f"A message of type {kind} needs “items”, at least one.")
    check = _CHECKS[kind]
    return Rich(
        content_type=kind,
        items=tuple(check(item, number) for number, item in enumerate(items, 1)),
        button_label=as_text(wanted.get("button_label")) or ""
        if kind == "form"
        else "",
    )


def kind_of(wanted: Mapping[str, JsonValue]) -> str:
    """Return Chatwoot's name of the wanted `content_type`."""
    word = _as_word(wanted.get("content_type")) or "text"
    kind = _BY_WORD.get(word, word.replace(" ", "_"))
    if kind not in CONTENT_TYPES:
        raise BadItems(
            f"There is no content type “{word[:80]}”. "
            f"Possible: {', '.join(CONTENT_TYPES)}.",
            possible=CONTENT_TYPES,
        )
    return kind


def _as_word(value: JsonValue) -> str | None:
    text = as_text(value)
    return None if text is None else fold(text)


def _listed_items(value: JsonValue, *, kind: str) -> list[JsonValue]:
    """Return a list; choices may come as "a, b" as well."""
    try:
        return as_list(value) or []
    except Misread:
        if kind != "input_select":
            raise
        return [*(as_texts(value) or [])]


def _choice(item: JsonValue, number: int) -> JsonObject:
    if not isinstance(item, list | dict):
        text = as_text(item) or ""
        return {"title": text, "value": text}
    row = _row(item, number, allowed=("title", "value"))
    title = _needed(row, "title", number)
    return {"title": title, "value": as_text(row.get("value")) or title}


def _card(item: JsonValue, number: int) -> JsonObject:
    row = _row(item, number, allowed=("title", "description", "media_url", "actions"))
    card: JsonObject = {"title": _needed(row, "title", number)}
    for key in ("description", "media_url"):
        if text := as_text(row.get(key)):
            card[key] = text
    actions = as_list(row.get("actions")) or []
    if not actions:
        raise _bad(number, "needs “actions”, at least one link or postback")
    card["actions"] = [_action(action, number) for action in actions]
    return card


def _action(item: JsonValue, number: int) -> JsonObject:
    row = _row(item, number, allowed=("type", "text", "uri", "payload"))
    kind = _as_word(row.get("type")) or ("link" if "uri" in row else "postback")
    text = _needed(row, "text", number)
    if kind == "link":
        return {"type": kind, "text": text, "uri": _address(row, "uri", number)}
    if kind == "postback":
        payload = as_text(row.get("payload")) or text
        return {"type": kind, "text": text, "payload": payload}
    raise _bad(number, "has an action whose type is neither link nor postback")


def _form_field(item: JsonValue, number: int) -> JsonObject:
    row = _row(item, number, allowed=sorted(_FORM_KEYS))
    label = _needed(row, "label", number)
    kind = _as_word(row.get("type")) or "text"
    if kind not in FORM_TYPES:
        raise _bad(number, f"has a type other than {', '.join(FORM_TYPES)}")
    made: JsonObject = {
        "name": _needed(row, "name", number),
        "label": label,
        "type": kind,
    }
    for key in ("placeholder", "default", "pattern", "title", "pattern_error"):
        if text := as_text(row.get(key)):
            made[key] = text
    required = as_bool(row.get("required"))
    if required is not None:
        made["required"] = required
    if kind == "select":
        made["options"] = _options(row.get("options"), number)
    return made


def _options(value: JsonValue, number: int) -> list[JsonValue]:
    options: list[JsonValue] = []
    for option in _listed_items(value, kind="input_select"):
        if not isinstance(option, list | dict):
            text = as_text(option) or ""
            options.append({"label": text, "value": text})
            continue
        row = _row(option, number, allowed=("label", "value"))
        label = _needed(row, "label", number)
        options.append({"label": label, "value": as_text(row.get("value")) or label})
    if not options:
        raise _bad(number, "is a select and needs “options”")
    return options


def _article(item: JsonValue, number: int) -> JsonObject:
    row = _row(item, number, allowed=("title", "description", "link"))
    made: JsonObject = {
        "title": _needed(row, "title", number),
        "link": _address(row, "link", number),
    }
    if text := as_text(row.get("description")):
        made["description"] = text
    return made


_CHECKS: Mapping[str, Callable[[JsonValue, int], JsonObject]] = {
    "input_select": _choice,
    "cards": _card,
    "form": _form_field,
    "article": _article,
}


def _row(
    item: JsonValue, number: int, *, allowed: tuple[str, ...] | list[str]
) -> JsonObject:
    """Return an item's fields; Chatwoot refuses those that it does not know."""
    if not isinstance(item, dict):
        raise _bad(number, f"is no object with {', '.join(allowed)}")
    unknown = sorted(item.keys() - set(allowed))
    if unknown:
        named = ", ".join(unknown[:MAX_SHOWN])
        possible = ", ".join(allowed)
        raise _bad(number, f"has the unknown key {named}. Possible: {possible}")
    return item


def _needed(row: JsonObject, key: str, number: int) -> str:
    text = as_text(row.get(key))
    if text is None:
        raise _bad(number, f"needs “{key}”")
    return text


def _address(row: JsonObject, key: str, number: int) -> str:
    text = _needed(row, key, number)
    if not text.lower().startswith(("https://", "http://")):
        raise _bad(number, f"needs a “{key}” that begins with https://")
    return text


def _bad(number: int, what: str) -> BadItems:
    return BadItems(f"Item {number} {what}.")


def _choice_line(item: JsonObject) -> str:
    return str(item["title"])


def _field_line(item: JsonObject) -> str:
    options = item.get("options")
    titles = (
        [str(row["label"]) for row in options if isinstance(row, dict)]
        if isinstance(options, list)
        else []
    )
    return f"{item['label']}: {' / '.join(titles)}" if titles else str(item["label"])


def _card_line(item: JsonObject) -> str:
    actions = item["actions"]
    rows = (
        [row for row in actions if isinstance(row, dict)]
        if isinstance(actions, list)
        else []
    )
    parts = [str(item["title"]), str(item.get("description", ""))]
    parts += [f"{row['text']}: {row['uri']}" for row in rows if "uri" in row]
    return " – ".join(part for part in parts if part)


def _article_line(item: JsonObject) -> str:
    parts = [str(item["title"]), str(item.get("description", "")), str(item["link"])]
    return " – ".join(part for part in parts if part)
