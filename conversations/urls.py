"""Addresses of the flow. A slash at the end has been cut off by the middleware."""

from __future__ import annotations

from django.urls import include, path

from conversations.callbacks import document, schema
from conversations.callbacks import urls as callbacks
from conversations.views import chatwoot_webhook, copilot

urlpatterns = [
    path("api/v1/chatwoot-webhook", chatwoot_webhook, name="chatwoot-webhook"),
    path(
        "api/v1/chatwoot-webhook/<slug:account_key>",
        chatwoot_webhook,
        name="chatwoot-webhook-of-account",
    ),
    path("chatwoot/webhook", chatwoot_webhook, name="chatwoot-webhook-short"),
    path("chatwoot/copilot", copilot, name="chatwoot-copilot"),
    path("api/v1/openapi.json", schema.openapi_json, name="openapi"),
    path("api/schema", schema.WholeDocument.as_view(), name="api-schema"),
    path("api/docs", schema.SwaggerUi.as_view(), name="api-docs"),
    path("api/redoc", schema.ReDoc.as_view(), name="api-redoc"),
    path(document.PREFIX, include(callbacks)),
]
