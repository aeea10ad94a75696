"""What no well-meaning program sends: strategies for bodies, and how many of them."""

from __future__ import annotations

import json
import os
from copy import deepcopy
from typing import Any

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st

# `CHAOS_EXAMPLES=10000 pytest …` tries so many in all for each kind of input. Without
# it there are a few, always the same.
EXAMPLES = int(os.environ.get("CHAOS_EXAMPLES", "0"))
PLANTED = "planted-secret-0123456789"
SECRET_NAMES = (
    "pubsub_token",
    "hmac_token",
    "access_token",
    "api_access_token",
    "line_channel_secret",
    "smtp_password",
    "API_KEY",
    "apiKey",
    "provider_config",
)

_DEEP, _DIGITS = "@@deep@@", "@@digits@@"
_DEPTH, _DIGIT_COUNT = 5000, 5000
_TEXTS = (
    "",
    " ",
    "\x00",
    "a\x00b",
    "\ud800",
    "\udc00\ud800",
    "\ud83d\ude00",
    "\u202e\u2066\ufeff",
    "e\u0301" * 300,
    "٣",
    "²",
    "𝟘",
    "true",
    "null",
    "0x10",
    "-1",
    "1e400",
    "9" * 25,
    "0" * 5000,
    "NaN",
    "Infinity",
    "x" * 100,
    "x" * 101,
    "x" * 256,
    "x" * 20_000,
    "<p>" * 2000,
    "<p><![",
    "<table><td colspan='²'>x</table>",
    "{{ x }}{% raw %}",
    "0001-01-01T00:00:00+14:00",
    "9999-12-31T23:59:59.999999-14:00",
    "2026-06-16T09:00:00.482Z",
    "2026-W25-1",
    "+2026-06-16",
    "message_created",
    "incoming",
    "pending",
    "conversation_updated",
    "macro.executed",
    "'; DROP TABLE conversations; --",
    "\\u0000",
    _DEEP,
    _DIGITS,
)
_NUMBERS = (
    0,
    -1,
    1,
    3,
    2**31 - 1,
    2**31,
    2**53,
    2**63 - 1,
    2**63,
    -(2**63) - 1,
    10**100,
    10**4000,
    -0.0,
    0.5,
    1e-320,
    1e308,
    -1e308,
    float("nan"),
    float("inf"),
    float("-inf"),
    253402300800,
    1781600401.5,
)


def examples(share: float, *, usual: int) -> settings:
    """This share of CHAOS_EXAMPLES, or the usual number in an everyday run."""
    return settings(
        max_examples=max(round(EXAMPLES * share), 1) if EXAMPLES else usual,
        deadline=None,
        database=None,
        derandomize=not EXAMPLES,
        print_blob=True,
        phases=(Phase.explicit, Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )


def values() -> st.SearchStrategy[Any]:
    """JSON values that are wrong in some way, among plain ones."""
    known: st.SearchStrategy[Any] = st.sampled_from((*_TEXTS, *_NUMBERS, None, True))
    leaves = st.one_of(known, st.text(max_size=30), st.integers(), st.floats())
    return st.one_of(
        known,
        leaves,
        st.lists(known, max_size=4),
        st.dictionaries(st.sampled_from((*_TEXTS, *SECRET_NAMES)), known, max_size=3),
        st.sampled_from((0, 1, 40, 62, 63, 64, 65, 200)).map(_nested),
    )


def _nested(depth: int) -> Any:
    value: Any = "bottom"
    for level in range(depth):
        value = [value] if level % 2 else {"x": value}
    return value


_CHANGES = (
    "replace",
    "replace",
    "replace",
    "replace",
    "delete",
    "rename",
    "plant",
    "wrap",
    "repeat",
    "move",
)

# Where (counted through the whole tree), what to do, and with which value.
Change = tuple[int, str, Any]


def changes(*, max_size: int = 6) -> st.SearchStrategy[list[Change]]:
    """Up to so many changes to be made to a sample one after the other."""
    one = st.tuples(st.integers(0, 10_000), st.sampled_from(_CHANGES), values())
    return st.lists(one, min_size=1, max_size=max_size)


def changed(sample: Any, *, by: list[Change]) -> Any:
    """Return a copy of the sample with the changes made."""
    root: dict[str, Any] = {"root": deepcopy(sample)}
    for number, change, value in by:
        places = _places(root)
        container, key = places[number % len(places)]
        _apply(change, container=container, key=key, value=value, root=root)
        root.setdefault("root", None)
    return root["root"]


def _places(root: Any) -> list[tuple[Any, Any]]:
    found: list[tuple[Any, Any]] = []
    todo = [root]
    while todo:
        node = todo.pop()
        keys = list(node) if isinstance(node, dict) else list(range(len(node)))
        found += [(node, key) for key in keys]
        todo += [node[key] for key in keys if isinstance(node[key], dict | list)]
    return found


def _apply(change: str, *, container: Any, key: Any, value: Any, root: Any) -> None:
    old = container[key]
    if change == "delete":
        del container[key]
    elif change == "replace":
        container[key] = deepcopy(value)
    elif change == "repeat":
        container[key] = [old, deepcopy(old)]
    elif change == "wrap":
        container[key] = {"x": old} if isinstance(value, str) else [old]
    elif change == "rename" and isinstance(key, str) and not _is_secret(key):
        container[str(value)[:200]] = container.pop(key)
    elif change == "plant" and isinstance(old, dict):
        name = SECRET_NAMES[len(str(value)) % len(SECRET_NAMES)]
        old[name] = PLANTED if isinstance(value, str) else [{"x": PLANTED}]
    elif change == "move" and isinstance(root["root"], dict) and isinstance(old, dict):
        root["root"] = old


def _is_secret(key: str) -> bool:
    return key.lower() in SECRET_NAMES or key == "contact_inbox"


def as_bytes(value: Any) -> bytes:
    """JSON text as a careless or a hostile program writes it."""
    text = json.dumps(value)
    text = text.replace(f'"{_DIGITS}"', "9" * _DIGIT_COUNT)
    return text.replace(f'"{_DEEP}"', "[" * _DEPTH + "]" * _DEPTH).encode()


# Where, how many bytes to take out, and what to put in.
Edit = tuple[float, int, bytes]


def edits() -> st.SearchStrategy[list[Edit]]:
    """Changes of bytes, whatever they mean."""
    pieces = st.one_of(
        st.binary(max_size=8),
        st.sampled_from(
            (
                b"",
                b"\xff",
                b"\xed\xa0\x80",
                b"\xef\xbb\xbf",
                b"\\ud800",
                b"\\u0000",
                b'"event":"message_created",',
                b'"id":1,"id":"x",',
                b"NaN",
                b"-Infinity",
                b"1e999",
                b"}",
                b"{",
                b"[" * 2000,
                b"\r",
                b"\n",
                b"\r\n\r\n",
                b"data: ",
                b"data:\n",
                b": ping\n\n",
            )
        ),
    )
    one = st.tuples(st.floats(0, 1), st.sampled_from((0, 0, 1, 3, 40, 5000)), pieces)
    return st.lists(one, min_size=1, max_size=6)


def edited(raw: bytes, *, by: list[Edit]) -> bytes:
    """Return the bytes with the edits made."""
    for place, length, piece in by:
        start = int(place * len(raw))
        raw = raw[:start] + piece + raw[start + length :]
    return raw
