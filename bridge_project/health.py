"""Is the process alive, and does it reach its database?"""

from __future__ import annotations

from django.db import DatabaseError, connection
from django.http import HttpRequest, JsonResponse
from django.utils import timezone
from django.views.decorators.http import require_safe
from psycopg_pool import PoolTimeout


@require_safe
def health(request: HttpRequest) -> JsonResponse:
    """Answer 200 `{"status", "database", "timestamp"}`; 503 without a database."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
        database = "connected"
    except (DatabaseError, PoolTimeout):
        database = "unreachable"
    healthy = database == "connected"
    return JsonResponse(
        {
            "status": "healthy" if healthy else "unhealthy",
            "database": database,
            "timestamp": timezone.now().isoformat(),
        },
        status=200 if healthy else 503,
    )
