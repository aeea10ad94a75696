"""The shop's addresses; the last three lines are the bridge's."""

from __future__ import annotations

from django.contrib import admin
from django.urls import include, path

urlpatterns = [
    path("admin/", include("conversations.admin.urls")),
    path("admin/", admin.site.urls),
    path("", include("conversations.urls")),
]
