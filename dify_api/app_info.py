"""Reads what a Dify app is and declares into its row."""

from __future__ import annotations

from datetime import timedelta

from django.utils import timezone

from bridge_project.lib.errors import BridgeError, ConfigurationError, Unauthorized
from bridge_project.lib.health import describe
from bridge_project.lib.http import READ_TIMEOUT_S, CallLog
from dify_api.client import DifyClient
from dify_api.models import DifyApp
from dify_api.payloads import AppInfo, AppMode

# The end user that our look-ups run as; no customer is ever called so.
CHECK_USER = "bridge-check"
# How long we trust what an app said about itself; after a refusal, not at all.
PARAMETERS_FRESH_FOR = timedelta(minutes=15)
_HEALTH_FIELDS = ["health", "last_error", "last_error_at", "next_probe_at"]


def refresh(
    app: DifyApp,
    *,
    call_log: CallLog | None = None,
    read_timeout_s: float = READ_TIMEOUT_S,
) -> None:
    """Read /info and /parameters; store mode, parameters, version and health.

    Raises what the calls raise, after storing it as the app's last error.
    """
    key_is_good = False
    try:
        with DifyClient(
            app.connection(), call_log=call_log, read_timeout_s=read_timeout_s
        ) as client:
            info = client.info()
            key_is_good = True
            parameters = client.parameters()
            app.mode = _mode(info, known=app.mode, client=client)
    except BridgeError as err:
        row = DifyApp.objects.filter(pk=app.pk)
        if key_is_good:
            # What fails then, such as an unpublished app, no longer is the key.
            row.filter(health=DifyApp.Health.REFUSED).mark_ok()
        mark = row.mark_refused if isinstance(err, Unauthorized) else row.mark_failing
        mark(describe(err))
        app.refresh_from_db(
            fields=["health", "last_error", "last_error_at", "next_probe_at"]
        )
        raise
    app.parameters = parameters.raw
    app.parameters_read_at = timezone.now()
    app.server_version = client.server_version
    app.health = DifyApp.Health.OK
    app.next_probe_at = None
    app.save(
        update_fields=[
            "mode",
            "parameters",
            "parameters_read_at",
            "server_version",
            "health",
            "next_probe_at",
            "updated_at",
        ]
    )


def is_fresh(app: DifyApp) -> bool:
    """Tell whether what is stored of the app may be relied on."""
    read_at = app.parameters_read_at
    return read_at is not None and timezone.now() - read_at < PARAMETERS_FRESH_FOR


def _mode(info: AppInfo, *, known: str, client: DifyClient) -> str:
    """Return the app's mode; Dify before 1.0 does not tell it.

    There the operator's choice stands. Without one, all kinds of chat are told as a
    plain chat, which is run in the same way.
    """
    if info.mode in set(AppMode):
        return info.mode
    if info.mode:
        msg = (
            f"The Dify app is of the kind “{info.mode}”, which the bridge cannot run. "
            "Use a chatbot, chatflow, agent, workflow or text generator."
        )
        raise ConfigurationError(msg)
    if known:
        return known
    if client.is_chat_app(user=CHECK_USER):
        return AppMode.CHAT
    msg = (
        "This Dify version does not tell the kind of an app, and the app is no chat. "
        "Choose “workflow” or “text generator” in the admin."
    )
    raise ConfigurationError(msg)
