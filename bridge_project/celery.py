"""The Celery application; tasks live in `conversations.tasks` and its neighbours."""

from __future__ import annotations

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "bridge_project.settings")

app = Celery("bridge")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
app.autodiscover_tasks(related_name="housekeeping")
app.autodiscover_tasks(related_name="jobs")
app.autodiscover_tasks(related_name="worker")
