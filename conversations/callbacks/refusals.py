"""Keep a record of requests that were refused before anything began."""

from __future__ import annotations

import logging

from django.db import DatabaseError
from rest_framework.request import Request

from conversations.callbacks import addressing, journal
from conversations.callbacks.authentication import Caller
from conversations.callbacks.errors import Refused

logger = logging.getLogger(__name__)


def note(request: Request, err: Refused, *, operation: str) -> None:
    """Log why, and add a row where it is known whose request it was.

    Its arguments are not kept: they were not understood, or are somebody else's.
    """
    logger.warning("Callback refused: %s: %s", err.code, err.message)
    # Not `request.auth`, which would ask again who calls.
    caller = getattr(request, "_auth", None)
    if not isinstance(caller, Caller):
        return
    try:
        account = addressing.account_of(caller)
        journal.refused(
            journal.Request(
                operation=operation,
                arguments={},
                caller=caller.kind,
                account=account,
                bot=caller.bot,
                conversation=addressing.claimed(caller),
            ),
            code=err.code,
            message=err.message,
            http_status=err.status_code,
        )
    except Refused:
        return  # nobody's account
    except DatabaseError:
        logger.exception("A refused callback could not be noted")
