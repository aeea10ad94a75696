"""Whose clock goes wrong: signatures expire after five minutes. Pure."""

from __future__ import annotations

from datetime import datetime

from django.utils.translation import gettext as _

from chatwoot_api.webhooks import TOLERANCE_S
from conversations.doctor.line import About, Line, State

# What is less is the way of the answer, and the whole seconds of a Date header.
WARN_AFTER_S = 30


def clock_line(
    check: str, theirs: datetime | None, *, ours: datetime, about: About
) -> Line:
    """Compare a clock with ours."""
    if theirs is None:
        found = _("The answer does not tell the time.")
        return Line(check=check, state=State.SKIPPED, found=found, about=about)
    apart_s = round((theirs - ours).total_seconds())
    if abs(apart_s) <= WARN_AFTER_S:
        found = _("Goes with ours (%(seconds)+d s).") % {"seconds": apart_s}
        return Line(check=check, state=State.OK, found=found, about=about)
    behind = _("%(seconds)d s behind ours.") % {"seconds": -apart_s}
    ahead = _("%(seconds)d s ahead of ours.") % {"seconds": apart_s}
    return Line(
        check=check,
        state=State.WARNING if abs(apart_s) <= TOLERANCE_S else State.FAILED,
        found=ahead if apart_s > 0 else behind,
        meaning=_(
            "Signatures of webhooks hold for five minutes; clocks further apart than "
            "that make the bridge refuse every event."
        ),
        remedy=_("Let both servers set their clocks by NTP."),
        about=about,
    )
