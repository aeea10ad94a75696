"""Words that a flow writes in place of a value."""

from __future__ import annotations

from bridge_project.lib.types import JsonValue
from chatwoot_api.names import fold
from dify_api.arguments import as_text

# “none” is not among them: that is how Dify writes a variable without a value.
_CLEAR = frozenset({"clear", "remove", "unset", "unassign"})


def as_word(value: JsonValue) -> str | None:
    """Return a name of a closed list, in lower case and without blanks and quotes."""
    text = as_text(value)
    return None if text is None else fold(text)


def means_clear(value: JsonValue) -> bool:
    """Tell whether the value asks to take away what is set."""
    return isinstance(value, str) and as_word(value) in _CLEAR
