"""Do not hold a database connection while waiting for something else."""

from __future__ import annotations

from django.db import connections


def release_connection() -> None:
    """Give this thread's connection back to the pool; the next query takes one again.

    A thousand runs share a few connections, and a run waits for Dify for minutes.
    Inside a transaction it does nothing: that would be lost.
    """
    for connection in connections.all(initialized_only=True):
        if not connection.in_atomic_block:
            # Not `close_if_unusable_or_obsolete`, which asks the server first.
            connection.close()
