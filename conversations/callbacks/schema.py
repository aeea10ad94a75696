"""Where the OpenAPI document is served: for Dify, and as pages for people."""

from __future__ import annotations

from csp.constants import SELF, UNSAFE_INLINE
from csp.decorators import csp_replace
from django.http import HttpRequest, HttpResponse
from django.utils.decorators import method_decorator
from django.views.decorators.http import require_safe
from drf_spectacular.renderers import OpenApiJsonRenderer
from drf_spectacular.views import (
    SpectacularAPIView,
    SpectacularRedocView,
    SpectacularSwaggerSplitView,
)

from conversations.callbacks.document import flow_document


@require_safe
def openapi_json(request: HttpRequest) -> HttpResponse:
    """GET /api/v1/openapi.json; Dify fetches it without any credential."""
    text = OpenApiJsonRenderer().render(flow_document(), renderer_context={})
    return HttpResponse(text, content_type="application/json")


class WholeDocument(SpectacularAPIView):
    """GET /api/schema; the same operations, for people and their tools."""


# Both pages are made by scripts of theirs, which write styles and load images of ours.
# Replaced, not updated: beside a hash, browsers do not count 'unsafe-inline'.
_own_look = csp_replace(
    {
        "style-src-elem": [SELF, UNSAFE_INLINE],
        "img-src": [SELF, "data:"],
        "worker-src": [SELF, "blob:"],
    }
)


@method_decorator(_own_look, name="dispatch")
class SwaggerUi(SpectacularSwaggerSplitView):
    """GET /api/docs; try the operations by hand."""

    url_name = "api-schema"


@method_decorator(_own_look, name="dispatch")
class ReDoc(SpectacularRedocView):
    """GET /api/redoc; read the operations."""

    url_name = "api-schema"
    template_name = "api/redoc.html"
