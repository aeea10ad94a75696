"""The three ways in which the two platforms write a moment."""

from __future__ import annotations

import time
from datetime import UTC, datetime


def now() -> float:
    """Seconds since 1970 with fractions: the one clock of the sandbox."""
    return time.time()


def seconds_since_2026() -> int:
    """Grows for ever and keeps numbers that begin with it short."""
    return int(now() - datetime(2026, 1, 1, tzinfo=UTC).timestamp())


def iso(moment: float | None) -> str | None:
    """Rails style: UTC, three decimals, ``Z``."""
    if moment is None:
        return None
    text = datetime.fromtimestamp(moment, tz=UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")
    return f"{text[:-3]}Z"


def iso_micro(moment: float | None) -> str | None:
    """Six decimals: no shape of the platforms, but good for telling what came first."""
    if moment is None:
        return None
    text = datetime.fromtimestamp(moment, tz=UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")
    return f"{text}Z"


def sec(moment: float | None) -> int:
    """Whole seconds, 0 when unset."""
    return int(moment) if moment else 0


def micro(moment: float) -> float:
    """Float seconds with six decimals, as ``updated_at`` of a conversation."""
    return round(moment, 6)
