"""How the doctor asks: every answer or failure is kept, and none takes for ever."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import TypeVar

from django.core.exceptions import ImproperlyConfigured

from bridge_project.lib.errors import BridgeError, ConfigurationError

AnswerT = TypeVar("AnswerT")

# A page waits for one group of lines; each single call has a limit of its own.
GROUP_LIMIT_S = 25.0


class Deadline:
    """A moment after which nothing more is asked."""

    def __init__(self, *, for_s: float = GROUP_LIMIT_S) -> None:
        self._ends_at = monotonic() + for_s

    @property
    def has_passed(self) -> bool:
        return monotonic() >= self._ends_at


class OutOfTime(BridgeError):
    """Not looked at: what came before took too long."""

    code = "out_of_time"


def ask(
    question: Callable[[], AnswerT], *, deadline: Deadline
) -> AnswerT | BridgeError:
    """Return the answer, or why there is none."""
    if deadline.has_passed:
        return OutOfTime()
    try:
        return question()
    except BridgeError as err:
        return err
    except (ImproperlyConfigured, ValueError) as err:
        # No key decrypts the token, or it has characters that no header may have.
        return ConfigurationError(str(err))
