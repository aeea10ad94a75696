"""When to try again. Pure."""

from __future__ import annotations

from bridge_project.lib.errors import (
    BridgeError,
    ConfigurationError,
    OutcomeUnknown,
    Unauthorized,
    UpstreamRateLimited,
    UpstreamRejected,
)

# Pauses after the first, second, … failed attempt: about five minutes in all.
DELAYS_S = (2.0, 8.0, 30.0, 90.0, 180.0)
JITTER = 0.2
# A post whose outcome is unknown is looked up soon, and again until it must be there.
LOOK_UPS_S = (3.0, 10.0, 20.0)
# A turn that waits for a place is woken as soon as there is one; this is in case the
# worker that should do it dies.
PLACE_S = 30.0
# A little after the probe of a refused token, see `lib.health.PROBE_EVERY_S`.
PROBE_S = 70.0


def delay_s(attempt: int, *, error: Exception, chance: float) -> float | None:
    """Return the pause in seconds before the next attempt, None to give up.

    `attempt` counts from 1, `chance` is a random number in [0, 1) that spreads the
    attempts of many turns that failed in the same moment. What Chatwoot or Dify
    refuses for good is not retried; what we do not understand is, since it may pass.
    """
    refused = isinstance(error, BridgeError) and not error.retryable
    if refused or attempt > len(DELAYS_S):
        return None
    return _pause_s(attempt, error=error, chance=chance)


def look_up_delay_s(attempt: int) -> float:
    """Return the pause in seconds before a message is looked for (again)."""
    return LOOK_UPS_S[min(attempt, len(LOOK_UPS_S)) - 1]


def handover_delay_s(attempt: int, *, error: Exception, chance: float) -> float | None:
    """Return the pause before a handover is tried again, None if it is refused.

    Chatwoot will be back, and a refused token will be replaced: a handover waits much
    longer than an answer. Only what is refused for good is given up.
    """
    if isinstance(error, Unauthorized):
        return probe_delay_s(chance=chance)
    if isinstance(error, ConfigurationError | UpstreamRejected):
        return None
    if isinstance(error, OutcomeUnknown):
        return look_up_delay_s(attempt)
    return _pause_s(min(attempt, len(DELAYS_S)), error=error, chance=chance)


def place_delay_s(*, chance: float) -> float:
    """Return the pause after which a turn looks by itself whether it has a place."""
    return PLACE_S * (1 + JITTER * (2 * chance - 1))


def probe_delay_s(*, chance: float) -> float:
    """Return the pause before a refused token may have been tried again."""
    return PROBE_S * (1 + JITTER * chance)


def _pause_s(attempt: int, *, error: Exception, chance: float) -> float:
    pause = DELAYS_S[attempt - 1] * (1 + JITTER * (2 * chance - 1))
    if isinstance(error, UpstreamRateLimited) and error.retry_after_s is not None:
        return max(pause, error.retry_after_s)
    return pause
