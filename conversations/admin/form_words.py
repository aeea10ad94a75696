"""How a flow's form is told: on its page, at its turn and in the conversation."""

from __future__ import annotations

from collections.abc import Mapping

from django.utils.translation import gettext

from bridge_project.lib.admin_base import admin_url, badge
from conversations.flow_forms.wording import content_of
from conversations.models import FlowForm
from conversations.models.bot_settings import FormsGoTo

_TONES: Mapping[str, str] = {
    FlowForm.Status.WAITING: "busy",
    FlowForm.Status.ANSWERED: "good",
    FlowForm.Status.EXPIRED: "warn",
    FlowForm.Status.WITHDRAWN: "calm",
}


class FormView:
    """A form in words."""

    def __init__(self, form: FlowForm) -> None:
        self.form = form
        self.url = admin_url(form)
        self.state = badge(form.get_status_display(), tone=_TONES[form.status])
        self.choices = ", ".join(str(row.get("title", "")) for row in form.actions)
        # Dify's placeholders of its fields say nothing to people.
        self.question = content_of(form)
        self.answer = _answer(form)

    @property
    def sentence(self) -> str:
        """Say what happened to it."""
        form = self.form
        names = {"form": form.title or f"{form.pk}", "by": form.answered_by}
        if form.status == FlowForm.Status.ANSWERED and form.answered_by == "customer":
            told = gettext("The customer answered the flow's form “%(form)s”.")
        elif form.status == FlowForm.Status.ANSWERED:
            told = gettext("%(by)s answered the flow's form “%(form)s”.")
        elif form.status == FlowForm.Status.EXPIRED:
            told = gettext("Nobody answered the flow's form “%(form)s” in time.")
        elif form.status == FlowForm.Status.WITHDRAWN:
            told = gettext("The flow's form “%(form)s” was withdrawn: humans went on.")
        elif form.goes_to == FormsGoTo.AGENT:
            told = gettext("The flow's form “%(form)s” waits for an agent's note.")
        else:
            told = gettext("The flow's form “%(form)s” waits for the customer.")
        return told % names


def _answer(form: FlowForm) -> str:
    title = form.answer.get("title")
    if not title:
        return ""
    inputs = form.answer.get("inputs")
    given = inputs.items() if isinstance(inputs, dict) else ()
    return "\n".join([f"{title}", *(f"{name}: {value}" for name, value in given)])
