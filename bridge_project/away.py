"""What browsers see while the bridge cannot show a page: a sentence, not a fault."""

from __future__ import annotations

import sys

from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.template.loader import render_to_string
from django.utils import translation
from django.views.decorators.csrf import requires_csrf_token
from django.views.defaults import server_error as plain_server_error
from psycopg_pool import PoolTimeout

from bridge_project.middleware import API_PREFIXES

RETRY_AFTER_S = 10
# Connection lost, server going down or coming up, too many connections: what passes.
AWAY_STATES = ("08", "57P", "53")


@requires_csrf_token
def server_error(request: HttpRequest) -> HttpResponseBase:
    """Answer for a view that raised: 503 while the database is away, else 500.

    The API keeps Django's own 500, which `JsonApiErrors` turns into JSON: Chatwoot
    takes the conversation from a bot that answers 503. Nothing here asks the database,
    neither for the session nor for the user.
    """
    if request.path.startswith(API_PREFIXES):
        return plain_server_error(request)
    is_away = _is_away(sys.exc_info()[1])
    with translation.override(translation.get_language_from_request(request)):
        page = render_to_string(
            "away.html",
            {
                "is_away": is_away,
                # Repeating a form is for whoever sent it to decide.
                "reload_after_s": RETRY_AFTER_S if request.method == "GET" else None,
                "language": translation.get_language(),
            },
        )
    response = HttpResponse(page, status=503 if is_away else 500)
    if is_away:
        response.headers["Retry-After"] = str(RETRY_AFTER_S)
    response.headers["Cache-Control"] = "no-store"
    return response


def _is_away(error: BaseException | None) -> bool:
    """Tell whether PostgreSQL was not there; it also raises for what took too long."""
    if isinstance(error, InterfaceError | PoolTimeout):
        return True
    if not isinstance(error, OperationalError):
        return False
    state = getattr(error.__cause__, "sqlstate", None)
    return state is None or str(state).startswith(AWAY_STATES)
