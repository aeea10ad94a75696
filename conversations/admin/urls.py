"""Addresses of the admin's own pages, those that are no model's."""

from __future__ import annotations

from django.urls import path

from conversations.admin.celery import CeleryPage
from conversations.admin.configuration import ConfigurationPage
from conversations.admin.doctor import DoctorPage
from conversations.admin.setup import SetupPage
from conversations.admin.wishes import WishesPage

app_name = "bridge"

urlpatterns = [
    path("setup/", SetupPage.as_view(), name="setup"),
    path("doctor/", DoctorPage.as_view(), name="doctor"),
    path("celery/", CeleryPage.as_view(), name="celery"),
    path("wishes/", WishesPage.as_view(), name="wishes"),
    path("configuration/", ConfigurationPage.as_view(), name="configuration"),
]
