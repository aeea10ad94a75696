"""An outdoor shop's own Django project, with the bridge as a guest."""

from __future__ import annotations

from shop.celery import app as celery_app

__all__ = ["celery_app"]
