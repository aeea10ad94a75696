"""Addresses of the pages about teams, labels and attributes."""

from __future__ import annotations

from django.urls import path

from bridge_project.lib.uploads import takes_files
from conversations.admin.wish_edit import EditPage, ImportPage
from conversations.admin.wish_push import PushPage
from conversations.admin.wishes import (
    AdoptPage,
    ExportPage,
    ForgetPage,
    PullPage,
    WishesPage,
)

_ONE = "wishes/<int:account_id>"

WISHES = [
    path("wishes/", WishesPage.as_view(), name="wishes"),
    path(f"{_ONE}/read/", PullPage.as_view(), name="wishes-pull"),
    path(f"{_ONE}/write/", PushPage.as_view(), name="wishes-push"),
    path(f"{_ONE}/import/", takes_files(ImportPage.as_view()), name="wishes-import"),
    path(f"{_ONE}/export/", ExportPage.as_view(), name="wishes-export"),
    path(f"{_ONE}/<slug:kind>/adopt/", AdoptPage.as_view(), name="wishes-adopt"),
    path(f"{_ONE}/<slug:kind>/add/", EditPage.as_view(), name="wish-add"),
    path(f"{_ONE}/<slug:kind>/<int:wish_id>/", EditPage.as_view(), name="wish-edit"),
    path(
        f"{_ONE}/<slug:kind>/<int:wish_id>/forget/",
        ForgetPage.as_view(),
        name="wish-forget",
    ),
]
