"""The form of the playground: a question, whose values to send, and other values."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.widgets import (
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
)

from bridge_project.lib.admin_base import shortened
from bridge_project.lib.types import JsonValue
from conversations import trials
from conversations.admin.base import number_in
from conversations.models import Bot, Conversation
from dify_api.models import DifyApp
from dify_api.payloads import CHAT_MODES, InputField

_INPUT = "input:"
# Enter sends, Shift+Enter begins a line; without JavaScript the button sends.
_SENDS = (
    "if (!$event.shiftKey && !$event.isComposing) "
    "{ $event.preventDefault(); $el.form.requestSubmit() }"
)


class QuestionForm(forms.Form):
    """What is asked of the bot, and in whose name."""

    question = forms.CharField(
        label=_("Question"),
        strip=True,
        widget=UnfoldAdminTextareaWidget(
            attrs={"rows": 2, "x-data": "", "x-on:keydown.enter": _SENDS}
        ),
        help_text=_("Enter sends, Shift+Enter begins a new line."),
    )
    conversation = forms.CharField(
        label=_("With the values of conversation"),
        required=False,
        widget=UnfoldAdminTextInputWidget(attrs={"inputmode": "numeric"}),
        help_text=_(
            "Its number in Chatwoot. It is only read here. Empty: an invented customer."
        ),
    )

    def __init__(
        self,
        data: Any,
        *,
        bot: Bot,
        may_look: bool,
        initial: dict[str, str] | None = None,
    ) -> None:
        """`may_look` at conversations; who may not is offered none."""
        super().__init__(data, initial=initial, auto_id="playground-%s")
        self._bot = bot
        self.chosen: Conversation | None = None
        if not may_look:
            del self.fields["conversation"]
        fixed = trials.fixed_inputs(bot)
        app = bot.dify_app
        declared = app.declared_inputs() if app is not None else ()
        taken = _takes_the_question(app)
        for field in declared:
            if field.variable not in fixed | taken and field.kind in _KINDS:
                self.fields[f"{_INPUT}{field.variable}"] = _field(field)

    @property
    def input_fields(self) -> list[forms.BoundField]:
        """The fields of the app's inputs."""
        return [self[name] for name in self.fields if name.startswith(_INPUT)]

    @property
    def typed(self) -> dict[str, str]:
        """What was typed for inputs; the others are sent as mapped."""
        return {
            name.removeprefix(_INPUT): value
            for name, value in self.cleaned_data.items()
            if name.startswith(_INPUT) and value != ""
        }

    def show_mapped(self, values: dict[str, JsonValue]) -> None:
        """Say at each input what is sent when nothing is typed."""
        for bound in self.input_fields:
            value = values.get(bound.name.removeprefix(_INPUT))
            said = shortened(str(value)) if value not in (None, "") else ""
            bound.field.help_text = (
                gettext("Empty: “%(value)s”, as mapped.") % {"value": said}
                if said
                else gettext("Empty: sent empty, or not at all.")
            )

    def clean_conversation(self) -> str:
        text: str = self.cleaned_data["conversation"]
        if not text.strip():
            return ""
        number = number_in(text)
        rows = Conversation.objects.filter(account=self._bot.account_id)
        if number is not None:
            self.chosen = rows.filter(chatwoot_conversation_id=number).first()
        if self.chosen is None:
            raise forms.ValidationError(
                gettext(
                    "No conversation with this number is stored here. Look it up under "
                    "Conversations."
                )
            )
        return text


def _takes_the_question(app: DifyApp | None) -> set[str]:
    """Return the input that the question itself goes into, if there is one."""
    return (
        {app.query_input} if app is not None and app.mode not in CHAT_MODES else set()
    )


def initial_of(given: dict[str, str], *, conversation: str) -> dict[str, str]:
    """Return what the form begins with, from what was asked before."""
    typed = {f"{_INPUT}{name}": value for name, value in given.items()}
    return {"conversation": conversation, **typed}


def _field(declared: InputField) -> forms.CharField | forms.ChoiceField:
    label = declared.label or declared.variable
    if label != declared.variable:
        label = f"{label} ({declared.variable})"
    if declared.kind == "select":
        choices = [("", "–"), *((option, option) for option in declared.options)]
        return forms.ChoiceField(
            label=label,
            required=False,
            choices=choices,
            widget=UnfoldAdminSelectWidget(),
        )
    return forms.CharField(
        label=label,
        required=False,
        max_length=20_000,
        widget=UnfoldAdminTextInputWidget(),
    )


# Of the others Dify takes no text.
_KINDS = frozenset(
    {"text-input", "paragraph", "number", "select", "checkbox", "json_object"}
)
