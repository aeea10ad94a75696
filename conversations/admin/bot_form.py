"""The form of a bot: its fields explained, and what does not fit together refused."""

from __future__ import annotations

from typing import Any, ClassVar, TypeVar

from django import forms
from django.db.models import Model
from django.urls import reverse_lazy
from django.utils.functional import Promise
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.widgets import (
    UnfoldAdminCheckboxSelectMultipleWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
)

from chatwoot_api.models import ChatwootAccount, Inbox
from conversations import providers
from conversations.admin import bot_checks
from conversations.admin.bot_inputs import InputRows, InputsField, VariablesField
from conversations.admin.bot_tabs import FIELDS
from conversations.models import Bot, ConversationStatus
from conversations.models.bot import default_statuses
from dify_api.models import DifyApp

RowT = TypeVar("RowT", bound=Model)
# Empty, they are what a new bot has.
MAY_BE_LEFT_OUT = frozenset(
    {
        "provider",
        "forms_go_to",
        "form_minutes",
        "form_reminder_minutes",
        "greets",
        "outside_hours",
        "max_answers_per_hour",
        "max_tokens_per_day",
        "max_cost_per_day",
    }
)
_NEW = Bot()
# How high the texts stand there.
_ROWS = {
    "failure_public_text": 3,
    "failure_private_text": 3,
    "support_mode_bot_values": 5,
    "support_mode_human_values": 5,
    "outside_hours_text": 2,
    "reset_words": 3,
    "reset_text": 2,
    "context_template": 2,
    "ceiling_text": 2,
    "allow_rules": 3,
    "ignore_rules": 3,
    "test_rules": 3,
}


class InboxesField(forms.ModelMultipleChoiceField):  # type: ignore[type-arg]
    """Inboxes as check marks, each with the account it belongs to."""

    def label_from_instance(self, obj: Inbox) -> str:
        return f"{obj.account} · {obj}"


class BotForm(forms.ModelForm):  # type: ignore[type-arg] # not generic at runtime
    """Everything an operator may set at a bot."""

    speak_in_statuses = forms.MultipleChoiceField(
        label=_("Speaks in statuses"),
        choices=ConversationStatus.choices,
        # A field of our own does not take the model's default.
        initial=default_statuses,
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
        help_text=_(
            "Chatwoot gives a conversation to its bot as “pending” and to humans as "
            "“open”. With “pending” alone the bot is silent as soon as a human takes "
            "the conversation."
        ),
        error_messages={
            "required": _(
                "Choose at least one status, or the bot never speaks. To silence it, "
                "switch it off instead."
            )
        },
    )
    inboxes = InboxesField(
        label=_("Inboxes"),
        queryset=Inbox.objects.select_related("account").order_by(
            "account__name", "name", "chatwoot_inbox_id"
        ),
        required=False,
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
        help_text=_(
            "None chosen: all inboxes of the account. Is one missing? It appears with "
            "its first webhook, or after “Read from Chatwoot” at the account."
        ),
    )
    inputs = InputsField(
        label=_("Inputs"),
        required=False,
        help_text=_(
            "Where the value of each input comes from; docs/inputs.md explains the "
            "sources. Empty a source to see all of them."
        ),
    )

    provider = forms.ChoiceField(
        label=_("Answers come from"),
        required=False,
        widget=UnfoldAdminSelectWidget,
        help_text=_(
            "A function stands here once REPLY_PROVIDERS names it; docs/providers.md "
            "explains how."
        ),
    )
    conversation_variables = VariablesField(
        label=_("Conversation variables"),
        required=False,
        help_text=_(
            "Of a chatflow (Dify 1.8 and newer). A value that has changed in Chatwoot "
            "is set before the next run; the first run of a Dify conversation begins "
            "with the flow's own values."
        ),
    )

    class Meta:
        model = Bot
        fields = FIELDS
        widgets: ClassVar = {
            name: UnfoldAdminTextareaWidget(attrs={"rows": rows})
            for name, rows in _ROWS.items()
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._offer_providers()
        for name in MAY_BE_LEFT_OUT & self.fields.keys():
            self.fields[name].required = False
        rows = self.fields["conversation_variables"].widget
        if isinstance(rows, InputRows) and "account" in self.fields:
            rows.account = _chosen(ChatwootAccount, self["account"].value())
        widget = self.fields["inputs"].widget
        if isinstance(widget, InputRows) and "dify_app" in self.fields:
            widget.app = _chosen(DifyApp, self["dify_app"].value())
            widget.account = _chosen(ChatwootAccount, self["account"].value())
            # Another app has other inputs; what is typed below stays.
            wrapper = self.fields["dify_app"].widget
            # The admin's wrapper has the select draw itself.
            select: forms.Widget = getattr(wrapper, "widget", None) or wrapper
            select.attrs |= {
                "hx-post": reverse_lazy("admin:conversations_bot_inputs"),
                "hx-trigger": "change",
                "hx-include": "closest form",
                "hx-target": "#bridge-inputs",
                "hx-swap": "outerHTML",
            }

    def _offer_providers(self) -> None:
        """List who may answer; one that is no longer registered stays in sight."""
        choices = providers.choices()
        stored = self.instance.provider
        if stored not in dict(choices):
            text = gettext("%(name)s (not registered)") % {"name": stored}
            choices.append((stored, text))
        field = self.fields.get("provider")
        if isinstance(field, forms.ChoiceField):
            field.choices = choices

    def clean(self) -> dict[str, Any] | None:
        """Refuse what does not fit together."""
        cleaned = super().clean()
        self._tidy()
        values = {name: self._value(name) for name in FIELDS if name != "inboxes"}
        for name, problem in bot_checks.problems(values):
            self.add_error(name if name in self.fields else None, problem)
        account: ChatwootAccount | None = self.cleaned_data.get("account")
        if account is not None:
            self._check_inboxes(account)
        return cleaned

    def _tidy(self) -> None:
        """Take lists without blank lines, and defaults where a number was emptied."""
        given = self.cleaned_data
        for name in bot_checks.LISTS:
            if given.get(name):
                given[name] = bot_checks.without_blank_lines(given[name])
        for name in MAY_BE_LEFT_OUT:
            if name in given and given[name] in (None, ""):
                given[name] = getattr(_NEW, name)

    def _value(self, name: str) -> Any:
        """Return what will be stored: as typed, or as it is where nothing was sent."""
        field = self.fields.get(name)
        if field is None or name not in self.cleaned_data:
            return getattr(self.instance, name, None)
        sent_as = self.add_prefix(name)
        if field.widget.value_omitted_from_data(self.data, self.files, sent_as):
            return getattr(self.instance, name, None)
        return self.cleaned_data[name]

    def _check_inboxes(self, account: ChatwootAccount) -> None:
        """Refuse inboxes that belong to another account."""
        foreign = [
            inbox
            for inbox in self.cleaned_data.get("inboxes") or []
            if inbox.account_id != account.pk
        ]
        if foreign:
            self.add_error("inboxes", self._foreign(foreign, account=account))

    def _foreign(
        self, inboxes: list[Inbox], *, account: ChatwootAccount
    ) -> forms.ValidationError:
        message: Promise = _(
            "Not an inbox of “%(account)s”: %(inboxes)s. Choose inboxes of the bot's "
            "own account, or make a second bot for the other account."
        )
        names = ", ".join(f"{inbox.account} · {inbox}" for inbox in inboxes)
        return forms.ValidationError(
            str(message),
            code="foreign_inbox",
            params={"account": str(account), "inboxes": names},
        )


def _chosen(model: type[RowT], value: object) -> RowT | None:
    """Return the row that a form's choice names; None for none and for nonsense."""
    key = value.pk if isinstance(value, Model) else str(value or "")
    if not str(key).isdecimal():
        return None
    return model._default_manager.filter(pk=key).first()
