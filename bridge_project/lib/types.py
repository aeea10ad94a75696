"""Type aliases for JSON as it comes off the wire."""

from __future__ import annotations

from typing import TypeAlias

JsonValue: TypeAlias = (
    "str | int | float | bool | None | list[JsonValue] | dict[str, JsonValue]"
)
JsonObject: TypeAlias = "dict[str, JsonValue]"
