"""Type aliases for JSON as it travels through the sandbox."""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]
JsonList = list[Any]
