"""A question of the playground as its page shows it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from bridge_project.lib.admin_base import NOTHING, badge, json_block
from conversations.admin.base import price_in_words, seconds
from conversations.admin.error_words import error_words
from conversations.models import Trial
from conversations.trials.running import (
    NO_PLACE,
    PAUSED,
    STOPPED_IN_DIFY,
    Forgotten,
)

TRIAL_TONES: Mapping[str, str] = {
    Trial.Status.WAITING: "busy",
    Trial.Status.RUNNING: "busy",
    Trial.Status.ANSWERED: "good",
    Trial.Status.FAILED: "bad",
    Trial.Status.STOPPED: "calm",
}
# Codes that only a trial ends with, each with what to do.
SENTENCES: Mapping[str, str | Promise] = {
    NO_PLACE: _(
        "The app was busy with customers for two minutes, and they come first. Ask "
        "again later, or allow the app more runs at once."
    ),
    STOPPED_IN_DIFY: _("The run was stopped in Dify before it came to its end."),
    PAUSED: _(
        "The run waits in Dify for a human to fill in a form. A customer would be "
        "handed over to a human."
    ),
    Forgotten.code: _(
        "The conversation whose values were to be sent is no longer stored here. "
        "Choose another one."
    ),
    "worker_lost": _(
        "The worker that asked Dify was stopped or died. Nothing is repeated by "
        "itself; ask again."
    ),
    "internal_error": _("The bridge itself failed; its log says why."),
}


class TrialView:
    """One question, its answer, and what led to it."""

    def __init__(self, trial: Trial) -> None:
        about: dict[str, Any] = trial.inputs
        self.trial = trial
        self.state = badge(trial.get_status_display(), tone=TRIAL_TONES[trial.status])
        self.inputs_count = len(about.get("sent", {}))
        self.inputs = json_block(about.get("sent", {}))
        self.notes: list[str] = about.get("notes", [])
        self.steps: list[dict[str, str]] = about.get("steps", [])
        self.took = seconds(trial.duration_ms)
        self.first_text = seconds(trial.first_text_ms)
        self.tokens = NOTHING if trial.total_tokens is None else trial.total_tokens
        self.cost = price_in_words(trial.total_price, trial.currency)
        self.is_empty = trial.status == Trial.Status.ANSWERED and not trial.answer

    @property
    def events(self) -> list[dict[str, Any]]:
        """The stream's events, the time of each as a person reads it."""
        return [{**row, "at": seconds(row["at_ms"])} for row in self.trial.events]

    @property
    def failure(self) -> str:
        """Why there is no answer, in a sentence or two; "" if there is one."""
        code = self.trial.inputs.get("error_code", "")
        if code in SENTENCES:
            return str(SENTENCES[code])
        if self.trial.status != Trial.Status.FAILED:
            return ""
        words = error_words(code)
        return words[:1].upper() + words[1:]

    @property
    def waits(self) -> str:
        """What an unfinished question waits for."""
        if self.trial.status == Trial.Status.WAITING:
            return gettext("Waiting for a worker…")
        if not self.trial.events:
            return gettext("Dify was asked and has not said anything yet…")
        return gettext("The answer is being written…")
