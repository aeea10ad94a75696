"""When to try again. Pure."""

from __future__ import annotations

from bridge_project.lib.errors import BridgeError, UpstreamRateLimited

# Pauses after the first, second, … failed attempt: about five minutes in all.
DELAYS_S = (2.0, 8.0, 30.0, 90.0, 180.0)
JITTER = 0.2
# A post whose outcome is unknown is looked up once Chatwoot had time to finish it.
LOOK_UP_AFTER_S = 3.0


def delay_s(attempt: int, *, error: Exception, chance: float) -> float | None:
    """Return the pause in seconds before the next attempt, None to give up.

    `attempt` counts from 1, `chance` is a random number in [0, 1) that spreads the
    attempts of many turns that failed in the same moment. What Chatwoot or Dify
    refuses for good is not retried; what we do not understand is, since it may pass.
    """
    if isinstance(error, BridgeError) and not error.retryable:
        return None
    if attempt > len(DELAYS_S):
        return None
    pause = DELAYS_S[attempt - 1] * (1 + JITTER * (2 * chance - 1))
    if isinstance(error, UpstreamRateLimited) and error.retry_after_s is not None:
        return max(pause, error.retry_after_s)
    return pause
