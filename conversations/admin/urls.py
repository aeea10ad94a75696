"""Addresses of the admin's own pages, those that are no model's."""

from __future__ import annotations

from django.contrib import admin
from django.urls import path

from bridge_project.lib.uploads import takes_files
from conversations.admin.attention import mark_seen
from conversations.admin.celery import CeleryAnswers, CeleryPage, CeleryState
from conversations.admin.configuration import ConfigurationPage
from conversations.admin.doctor import DoctorLines, DoctorMend, DoctorPage
from conversations.admin.playground import PlaygroundPage
from conversations.admin.setup import SetupPage
from conversations.admin.wish_urls import WISHES

app_name = "bridge"

urlpatterns = [
    path("setup/", SetupPage.as_view(), name="setup"),
    path("doctor/", DoctorPage.as_view(), name="doctor"),
    path("doctor/lines/", DoctorLines.as_view(), name="doctor-lines"),
    path("doctor/mend/<slug:key>/<int:pk>/", DoctorMend.as_view(), name="doctor-mend"),
    path("celery/", CeleryPage.as_view(), name="celery"),
    path("celery/state/", CeleryState.as_view(), name="celery-state"),
    path("celery/answers/", CeleryAnswers.as_view(), name="celery-answers"),
    *WISHES,
    path("playground/<int:bot_id>/", PlaygroundPage.as_view(), name="playground"),
    path("seen/", admin.site.admin_view(mark_seen), name="seen"),
    path(
        "configuration/",
        takes_files(ConfigurationPage.as_view()),
        name="configuration",
    ),
]
