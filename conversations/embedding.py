"""What another Django project needs to have the bridge in it; docs/providers.md.

A project's settings import it, so nothing here may need loaded apps or settings.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.templatetags.static import static

# For INSTALLED_APPS, before the project's own: unfold comes before the admin, whose
# templates it replaces.
APPS = (
    "conversations.apps.ConversationsConfig",
    "chatwoot_api.apps.ChatwootApiConfig",
    "dify_api.apps.DifyApiConfig",
    "unfold",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.humanize",
    "django.contrib.messages",
    "django.contrib.postgres",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "django_celery_results",
    "auditlog",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
)
# For MIDDLEWARE, behind AuthenticationMiddleware: the history of the configuration
# then says who changed it, and the admin opens while FIELD_ENCRYPTION_KEYS is wrong.
MIDDLEWARE = (
    "conversations.configuration.actors.NameActors",
    "bridge_project.lib.encryption.PagesWithoutKey",
)
# Modules with tasks, and what a worker does by itself.
TASK_MODULES = ("tasks", "housekeeping", "jobs", "worker")


def add_tasks(celery_app: Any) -> None:
    """Have a project's Celery application know the bridge's tasks."""
    for name in TASK_MODULES:
        celery_app.autodiscover_tasks(["conversations"], related_name=name)


def _periodic(name: str, *, every_s: float) -> dict[str, Any]:
    """Those that queued up while no worker was there are too many."""
    return {
        "task": f"conversations.housekeeping.{name}",
        "schedule": every_s,
        "options": {"expires": every_s},
    }


# What must never wait for beat or Redis is not here: each worker sweeps by itself.
BEAT_SCHEDULE = {
    "probe_services": _periodic("probe_services", every_s=30.0),
    "carry_on_erasures": _periodic("carry_on_erasures", every_s=30.0),
    "delete_in_dify": _periodic("delete_in_dify", every_s=60.0),
    "end_idle": _periodic("end_idle", every_s=300.0),
    "look_for_gone": _periodic("look_for_gone", every_s=600.0),
    "prune": _periodic("prune", every_s=3600.0),
    "pull_mirrors": _periodic("pull_mirrors", every_s=3600.0),
    "note_beat": _periodic("note_beat", every_s=30.0),
    "roll_up_figures": _periodic("roll_up_figures", every_s=300.0),
    "look_for_trouble": _periodic("look_for_trouble", every_s=60.0),
}

# A task that waits or runs longer than this is delivered a second time. The longest
# run that a DifyApp allows is 1800 s; a check guards the distance.
BROKER_TRANSPORT_OPTIONS = {
    "visibility_timeout": 7200,
    # The webhook must answer within 5 s while Redis is away: one short try (kombu's
    # own default takes 6 s), then the sweep does the work.
    "socket_connect_timeout": 1.0,
    "socket_timeout": 2.0,
    "max_retries": 1,
    "interval_start": 0,
    "interval_step": 0,
    "interval_max": 0,
    "connect_retries_timeout": 1.0,
}

# The project sets FIELD_ENCRYPTION_KEYS, PUBLIC_URL and CELERY_BROKER_URL; these are
# what the bridge takes where the project says nothing.
DEFAULTS: Mapping[str, Any] = {
    "CALLBACK_AUTH": "token",
    "CALLBACKS_AT_ONCE": 80,
    "SUGGESTIONS_AT_ONCE": 8,
    "CONVERSATION_TOKEN_MAX_AGE_S": 86400,
    "REPLY_PROVIDERS": {},
    "REPLY_PROVIDER_TIMEOUT_S": 120.0,
    "CELERY_BROKER_TRANSPORT_OPTIONS": BROKER_TRANSPORT_OPTIONS,
    "CELERY_BEAT_SCHEDULE": BEAT_SCHEDULE,
    "CELERY_TASK_PUBLISH_RETRY": False,
    "AUDITLOG_INCLUDE_ALL_MODELS": False,
    "AUDITLOG_DISABLE_REMOTE_ADDR": True,
    "AUDITLOG_STORE_JSON_CHANGES": True,
    "SPECTACULAR_SETTINGS": {
        "TITLE": "Chatwoot–Dify bridge",
        "VERSION": "1",
        "OAS_VERSION": "3.0.3",
        "DEFAULT_GENERATOR_CLASS": "conversations.callbacks.document.FlowGenerator",
        "SERVE_INCLUDE_SCHEMA": False,
        "SWAGGER_UI_DIST": "SIDECAR",
        "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
        "REDOC_DIST": "SIDECAR",
    },
    "UNFOLD": {
        "STYLES": [lambda request: static("bridge/admin.css")],
        "SCRIPTS": [lambda request: static("bridge/admin.js")],
        "DASHBOARD_CALLBACK": "conversations.admin.attention.add_numbers",
        "SIDEBAR": {"show_all_applications": True},
    },
}


def set_defaults() -> None:
    """Fill in what the project's settings leave out."""
    for name, value in DEFAULTS.items():
        if not hasattr(settings, name):
            setattr(settings, name, value)
    if not hasattr(settings, "REDIS_URL"):
        settings.REDIS_URL = getattr(settings, "CELERY_BROKER_URL", "")
    # What a project says about its own API stays; the document needs this alone.
    settings.REST_FRAMEWORK = {
        "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
        **getattr(settings, "REST_FRAMEWORK", {}),
    }
    # Absolute, or Dify's import of a custom tool fails (reference/dify.md section 8b).
    servers = [{"url": getattr(settings, "PUBLIC_URL", "")}]
    settings.SPECTACULAR_SETTINGS.setdefault("SERVERS", servers)
