"""Collect the HTTP calls of a run and store them as `UpstreamCall` rows."""

from __future__ import annotations

from django.utils import timezone

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

    def __call__(
        self,
        *,
        service: str,
        method: str,
        path: str,
        status: int | None,
        duration_ms: int,
        error_code: str,
        request_excerpt: str,
        response_excerpt: str,
    ) -> None:
        """Take note of one finished call."""
        self._calls.append(
            UpstreamCall(
                turn=self._turn,
                run=self.run,
                service=service,
                method=method,
                path=path,
                http_status=status,
                duration_ms=duration_ms,
                error_code=error_code,
                request_excerpt=request_excerpt.replace("\x00", ""),
                response_excerpt=response_excerpt.replace("\x00", ""),
                created_at=timezone.now(),
            )
        )

    def flush(self) -> None:
        """Store what was collected."""
        calls, self._calls = self._calls, []
        UpstreamCall.objects.bulk_create(calls)
