"""Read whatever a node of Dify sends as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from math import isfinite
from typing import IO, Any

from django.http import QueryDict
from rest_framework.parsers import BaseParser

from bridge_project.lib.redact import storable
from bridge_project.lib.types import JsonObject, JsonValue
from conversations.callbacks.errors import Refused, TooLarge

MAX_JSON_BYTES = 1024 * 1024


class LenientJsonParser(BaseParser):
    """Takes JSON under any Content-Type: a node's author chooses it freely.

    An empty body is an empty object; NaN and its like are null, since no JSON has
    them; what PostgreSQL cannot store is replaced.
    """

    media_type = "*/*"

    def parse(
        self,
        stream: IO[bytes],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> Any:
        """Return the decoded body; raises Refused (400, 413)."""
        raw = stream.read(MAX_JSON_BYTES + 1)
        if len(raw) > MAX_JSON_BYTES:
            raise TooLarge("The body is larger than 1 MB. Send less at once.")
        if not raw.strip():
            return {}
        try:
            decoded: JsonValue = json.loads(
                raw.decode("utf-8-sig"), parse_constant=lambda _name: None
            )
            return {} if decoded is None else without_unstorable(decoded)
        except (ValueError, RecursionError) as err:
            raise Refused(
                "The body is not JSON. In Dify's HTTP node choose the body type JSON, "
                "and put text variables between quotation marks."
            ) from err


def without_unstorable(value: JsonValue) -> JsonValue:
    """Replace what PostgreSQL refuses in texts, at every depth."""
    if isinstance(value, str):
        return storable(value)
    if isinstance(value, list):
        return [without_unstorable(item) for item in value]
    if isinstance(value, dict):
        return {storable(key): without_unstorable(item) for key, item in value.items()}
    if isinstance(value, float) and not isfinite(value):
        return None
    return value


def as_object(data: Any) -> JsonObject:
    """Return the arguments of a decoded body; raises Refused for a list or a text."""
    if isinstance(data, QueryDict):
        # A form; its files are no arguments.
        found = {name: value for name, value in data.items() if isinstance(value, str)}
        return as_object(without_unstorable({**found}))
    if isinstance(data, dict):
        return dict(data)
    raise Refused('The body must be a JSON object, such as {"status": "open"}.')
