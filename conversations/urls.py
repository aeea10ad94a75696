"""Addresses of the flow. With and without a slash at the end is the same."""

from __future__ import annotations

from django.urls import re_path

from conversations.views import chatwoot_webhook

urlpatterns = [
    re_path(r"^api/v1/chatwoot-webhook/?$", chatwoot_webhook, name="chatwoot-webhook"),
    re_path(
        r"^api/v1/chatwoot-webhook/(?P<account_key>[-\w]+)/?$",
        chatwoot_webhook,
        name="chatwoot-webhook-of-account",
    ),
    re_path(r"^chatwoot/webhook/?$", chatwoot_webhook, name="chatwoot-webhook-short"),
]
