"""Collect the HTTP calls of a run and store them as `UpstreamCall` rows."""

from __future__ import annotations

import logging

from django.db import DatabaseError
from django.utils import timezone

from bridge_project.lib.http import FinishedCall
from conversations.models import PipelineRun, Turn, UpstreamCall

logger = logging.getLogger(__name__)


class CallRecorder:
    """The `call_log` of both clients; written with one statement at the end of a run.

    What a dead worker was doing is seen by its run and its outgoing message, whose rows
    exist before the call.
    """

    def __init__(self, turn: Turn) -> None:
        self._turn = turn
        self._calls: list[UpstreamCall] = []
        self.run: PipelineRun | None = None
        # The Dify app that was asked, once a place was taken.
        self.asked_app_id: int | None = None

    def __call__(self, call: FinishedCall) -> None:
        """Take note of one finished call."""
        self._calls.append(
            UpstreamCall(
                turn=self._turn,
                run=self.run,
                service=call.service,
                method=call.method,
                path=call.path,
                http_status=call.status,
                duration_ms=call.duration_ms,
                error_code=call.error_code,
                request_excerpt=call.request_excerpt,
                response_excerpt=call.response_excerpt,
                created_at=timezone.now(),
            )
        )

    def flush(self) -> None:
        """Store what was collected; a record that fails must not undo the run."""
        calls, self._calls = self._calls, []
        for call in calls:
            if call.run is not None and call.run.pk is None:
                call.run = None  # it found no place, and was never stored
        try:
            UpstreamCall.objects.bulk_create(calls)
        except (DatabaseError, ValueError):
            logger.exception("Calls of turn %s could not be stored", self._turn.pk)
