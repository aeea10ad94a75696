"""Forms of paused flows: who is asked, what counts as an answer, how the run goes on.

A form is asked of the customer or of an agent (`posing`), waits for one answer
(`deciding`, `reading`), which a turn of its own brings to Dify (`resuming`), or for the
end of its time (`expiring`).
"""

from __future__ import annotations

from conversations.flow_forms.deciding import about
from conversations.flow_forms.expiring import attend, due
from conversations.flow_forms.posing import Pose, is_begun, pose, to_pose, unclear
from conversations.flow_forms.resuming import (
    is_answered,
    is_answered_otherwise,
    resume,
)

__all__ = [
    "Pose",
    "about",
    "attend",
    "due",
    "is_answered",
    "is_answered_otherwise",
    "is_begun",
    "pose",
    "resume",
    "to_pose",
    "unclear",
]
