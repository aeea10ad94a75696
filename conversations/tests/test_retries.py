"""Pauses between attempts."""

from __future__ import annotations

import pytest

from bridge_project.lib.errors import (
    ConfigurationError,
    OutcomeUnknown,
    Unauthorized,
    UnexpectedReply,
    UpstreamRateLimited,
    UpstreamRejected,
    UpstreamUnavailable,
)
from conversations.retries import delay_s


@pytest.mark.parametrize(
    ("attempt", "pause_s"),
    [(1, 2.0), (2, 8.0), (3, 30.0), (4, 90.0), (5, 180.0), (6, None), (7, None)],
)
def test_waits_longer_each_time_and_then_gives_up(
    attempt: int, pause_s: float | None
) -> None:
    assert delay_s(attempt, error=UpstreamUnavailable(), chance=0.5) == pause_s


@pytest.mark.parametrize(("chance", "pause_s"), [(0.0, 1.6), (0.5, 2.0), (1.0, 2.4)])
def test_spreads_attempts_that_failed_together(chance: float, pause_s: float) -> None:
    pause = delay_s(1, error=UpstreamUnavailable(), chance=chance)

    assert pause == pytest.approx(pause_s)


@pytest.mark.parametrize(
    "error",
    [
        UpstreamRejected(),
        Unauthorized(),
        UnexpectedReply(),
        ConfigurationError(),
        OutcomeUnknown(),
    ],
)
def test_does_not_repeat_what_is_refused(error: Exception) -> None:
    assert delay_s(1, error=error, chance=0.5) is None


def test_repeats_what_it_does_not_understand() -> None:
    assert delay_s(1, error=ZeroDivisionError(), chance=0.5) == 2.0


@pytest.mark.parametrize(("asked_s", "pause_s"), [(1.0, 2.0), (20.0, 20.0)])
def test_waits_at_least_as_long_as_asked(asked_s: float, pause_s: float) -> None:
    error = UpstreamRateLimited()
    error.retry_after_s = asked_s

    assert delay_s(1, error=error, chance=0.5) == pause_s
