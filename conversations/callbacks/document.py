"""The OpenAPI document of what flows may call."""

from __future__ import annotations

from typing import Any

from django.urls import include, path
from drf_spectacular.generators import SchemaGenerator

from bridge_project.lib.types import JsonObject
from conversations.callbacks.urls import flow_urlpatterns

PREFIX = "api/v1/"


class FlowGenerator(SchemaGenerator):
    """Knows only what flows may call; it is the project's one generator.

    The other addresses of the same operations are for numbers that were left empty.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        patterns = [path(PREFIX, include((flow_urlpatterns, "flows")))]
        super().__init__(*args, **{**kwargs, "patterns": patterns})  # type: ignore[no-untyped-call]


def flow_document() -> JsonObject:
    """Return the document that Dify imports as a custom tool.

    OpenAPI 3.0.3 by reference/dify.md section 8b.
    """
    document: JsonObject = FlowGenerator().get_schema(  # type: ignore[no-untyped-call]
        request=None, public=True
    )
    return document
