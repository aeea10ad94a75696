"""Repeat what Chatwoot failed to do for a moment, while the caller still waits."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import TypeVar

from tenacity import RetryCallState, Retrying, retry_if_exception

from bridge_project.lib.database import release_connection
from bridge_project.lib.errors import UpstreamRateLimited, UpstreamUnavailable
from conversations.actions.outcome import NotDone
from conversations.actions.target import Target

FIRST_PAUSE_S = 0.25
MAX_PAUSE_S = 2.0
_random = random.SystemRandom()

T = TypeVar("T")


def is_passing(err: BaseException) -> bool:
    """Tell whether the same call may succeed in a moment."""
    return isinstance(err, UpstreamUnavailable | UpstreamRateLimited)


def repeating(
    call: Callable[[], T],
    *,
    target: Target,
    worth_it: Callable[[BaseException], bool] = is_passing,
) -> T:
    """Return what `call` returns, repeated while Chatwoot's trouble is a passing one.

    All calls of one request share eight seconds of patience, and none is begun after
    `target.until`: then NotDone is raised, and else what the last try raised.
    """

    def begun() -> T:
        if target.left_s() <= 0:
            raise NotDone(
                "Chatwoot was too slow, so there was no time left for this. Try "
                "again in a moment.",
                code="chatwoot_unavailable",
                result="failed",
            )
        return call()

    def is_over(state: RetryCallState) -> bool:
        left_s = min(target.patience.left_s(), target.left_s())
        return state.upcoming_sleep >= left_s

    return Retrying(
        retry=retry_if_exception(worth_it),
        wait=_pause_s,
        stop=is_over,
        before_sleep=lambda _state: release_connection(),
        reraise=True,
    )(begun)


def _pause_s(state: RetryCallState) -> float:
    """Ask again after what Chatwoot names, else after growing pauses with jitter."""
    err = state.outcome.exception() if state.outcome else None
    if isinstance(err, UpstreamRateLimited) and err.retry_after_s is not None:
        return err.retry_after_s
    pause_s: float = min(FIRST_PAUSE_S * 2 ** (state.attempt_number - 1), MAX_PAUSE_S)
    return pause_s * _random.uniform(1.0, 1.5)
