"""How a line of the doctor is shown: its badge, its links, and the button, if any."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.urls import reverse
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from bridge_project.lib.admin_base import badge
from conversations.doctor import MENDS, About, Line, Mend, State

STATE_TONES = {
    State.OK: "good",
    State.WARNING: "warn",
    State.FAILED: "bad",
    State.SKIPPED: "calm",
}
STATE_WORDS = {
    State.OK: _("ok"),
    State.WARNING: _("warning"),
    State.FAILED: _("failed"),
    State.SKIPPED: _("not looked at"),
}
_MODELS = {
    "account": "chatwoot_api_chatwootaccount",
    "app": "dify_api_difyapp",
    "bot": "conversations_bot",
}


@dataclass(frozen=True)
class Shown:
    """A line as the page shows it; `mend` only for those who may press it."""

    line: Line
    badge: SafeString
    mend: Mend | None
    about_url: str


def state_badge(state: State) -> SafeString:
    """Return a state as a label."""
    return badge(STATE_WORDS[state], tone=STATE_TONES[state])


def page_of(about: About) -> str:
    """Return the address of the row's own page, "" for the bridge as a whole."""
    if about.kind == "bridge":
        return ""
    return reverse(f"admin:{_MODELS[about.kind]}_change", args=[about.pk])


def report_lines(
    lines: Iterable[Line], *, user: AbstractBaseUser | AnonymousUser
) -> list[Shown]:
    """Return the lines as they are shown to a user."""
    return [
        Shown(
            line=line,
            badge=state_badge(line.state),
            mend=_mend_for(line, user=user),
            about_url=page_of(line.about),
        )
        for line in lines
    ]


def _mend_for(line: Line, *, user: AbstractBaseUser | AnonymousUser) -> Mend | None:
    mend = MENDS.get(line.mend)
    if mend is None or not user.has_perm(mend.permission):  # type: ignore[union-attr]
        return None
    return mend
