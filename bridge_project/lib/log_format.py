"""How log lines look: without secrets, wherever they come from."""

from __future__ import annotations

import logging

from bridge_project.lib import redact


class Masking(logging.Formatter):
    """Masks what looks like a secret, in the message and in the traceback alike.

    A token may stand in an address that Django logs, or in a statement of PostgreSQL's.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, masked."""
        return redact.mask(super().format(record))
