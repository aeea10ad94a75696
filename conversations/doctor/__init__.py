"""The doctor: looks at everything that a bot needs, says what is wrong, mends some."""

from __future__ import annotations

from conversations.doctor.examination import Group, examine, groups, look
from conversations.doctor.line import (
    CHECKS,
    TOPICS,
    About,
    Line,
    State,
    worst,
    worst_first,
)
from conversations.doctor.mending import MENDS, Mend

__all__ = [
    "CHECKS",
    "MENDS",
    "TOPICS",
    "About",
    "Group",
    "Line",
    "Mend",
    "State",
    "examine",
    "groups",
    "look",
    "worst",
    "worst_first",
]
