"""The shop's Celery application: celery --app shop worker --pool threads."""

from __future__ import annotations

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")

from conversations import embedding  # noqa: E402 needs the name of the settings

app = Celery("shop")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
embedding.add_tasks(app)
