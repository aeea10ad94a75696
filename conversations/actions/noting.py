"""What a run's own flow does is noted in its turn, and taken back if it did not work.

The note is there before Chatwoot is called: the webhook that tells of the change may be
faster than the answer, and must not look like a human's takeover. A note of what never
happened would hide a human's takeover, later.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

from requests import RequestException

from bridge_project.lib.errors import (
    ConfigurationError,
    OutcomeUnknown,
    UpstreamRateLimited,
    UpstreamRejected,
    UpstreamUnavailable,
)
from conversations.actions.retrying import is_passing, repeating
from conversations.actions.target import Target

Marks = Mapping[str, str | bool | int]
T = TypeVar("T")


def noted(
    call: Callable[[], T],
    *,
    target: Target,
    marks: Marks,
    worth_it: Callable[[BaseException], bool] = is_passing,
) -> T:
    """Return what `call` returns, repeated like `repeating` does.

    The marks are withdrawn only if no try can have had an effect: after an unknown
    outcome, and if the process ends in between, they stay.
    """
    may_be_done = False

    def tried() -> T:
        nonlocal may_be_done
        try:
            return call()
        except BaseException as err:
            may_be_done = may_be_done or not surely_not_done(err, target=target)
            raise

    target.note_by_flow(**marks)
    try:
        return repeating(tried, target=target, worth_it=worth_it)
    except Exception:
        if not may_be_done:
            target.withdraw_by_flow(**marks)
        raise


def surely_not_done(err: BaseException, *, target: Target) -> bool:
    """Tell whether a call that failed cannot have changed anything in Chatwoot."""
    if isinstance(err, UpstreamRejected | UpstreamRateLimited | ConfigurationError):
        return True
    if not isinstance(err, UpstreamUnavailable) or err.status is not None:
        return False
    cause = err.__cause__
    if not isinstance(cause, RequestException):
        return False
    # Of a call that may be repeated, the error does not say whether it was ever sent.
    strict = target.client.error_for_exception(
        err.method, err.path, cause, repeat_safe=False
    )
    return not isinstance(strict, OutcomeUnknown)
