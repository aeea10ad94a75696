"""Collect the HTTP calls of a run and store them as `UpstreamCall` rows."""

from __future__ import annotations

from django.utils import timezone

from bridge_project.lib.http import FinishedCall
from conversations.models import PipelineRun, Turn, UpstreamCall


class CallRecorder:
    """The `call_log` of both clients; written with one statement at the end of a run.

    What a dead worker was doing is seen by its run and its outgoing message, whose rows
    exist before the call.
    """

    def __init__(self, turn: Turn) -> None:
        self._turn = turn
        self._calls: list[UpstreamCall] = []
        self.run: PipelineRun | None = None

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
                # PostgreSQL takes no NUL in a text.
                request_excerpt=call.request_excerpt.replace("\x00", ""),
                response_excerpt=call.response_excerpt.replace("\x00", ""),
                created_at=timezone.now(),
            )
        )

    def flush(self) -> None:
        """Store what was collected."""
        calls, self._calls = self._calls, []
        UpstreamCall.objects.bulk_create(calls)
