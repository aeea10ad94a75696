"""The form of a bot: its fields explained, and what does not fit together refused."""

from __future__ import annotations

from typing import Any, ClassVar, TypeVar

from django import forms
from django.db.models import Model
from django.urls import reverse_lazy
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from unfold.widgets import (
    UnfoldAdminCheckboxSelectMultipleWidget,
    UnfoldAdminTextareaWidget,
)

from chatwoot_api.models import ChatwootAccount, Inbox
from conversations.admin.bot_inputs import InputRows, InputsField
from conversations.models import Bot, ConversationStatus
from dify_api.models import DifyApp

RowT = TypeVar("RowT", bound=Model)


class InboxesField(forms.ModelMultipleChoiceField):  # type: ignore[type-arg]
    """Inboxes as check marks, each with the account it belongs to."""

    def label_from_instance(self, obj: Inbox) -> str:
        return f"{obj.account} · {obj}"


class BotForm(forms.ModelForm):  # type: ignore[type-arg] # not generic at runtime
    """Everything an operator may set at a bot."""

    speak_in_statuses = forms.MultipleChoiceField(
        label=_("Speaks in statuses"),
        choices=ConversationStatus.choices,
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

    class Meta:
        model = Bot
        fields = (
            "name",
            "enabled",
            "account",
            "inboxes",
            "dify_app",
            "reply_as",
            "speak_in_statuses",
            "debounce_s",
            "on_new_message",
            "max_turn_minutes",
            "max_message_age_s",
            "yields_to_assignee",
            "pause_label",
            "pause_attribute",
            "inputs",
            "new_dify_conversation_after_resolve",
            "unknown_names",
            "strict_statuses",
            "idle_hours",
            "idle_action",
            "dify_delete_policy",
            "dify_delete_after_days",
            "failure_public_text",
            "failure_private_text",
            "language",
        )
        widgets: ClassVar = {
            "failure_public_text": UnfoldAdminTextareaWidget(attrs={"rows": 3}),
            "failure_private_text": UnfoldAdminTextareaWidget(attrs={"rows": 3}),
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
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

    def clean(self) -> dict[str, Any] | None:
        """Refuse inboxes that belong to another account."""
        cleaned = super().clean()
        account: ChatwootAccount | None = self.cleaned_data.get("account")
        if account is None:
            return cleaned
        foreign = [
            inbox
            for inbox in self.cleaned_data.get("inboxes") or []
            if inbox.account_id != account.pk
        ]
        if foreign:
            self.add_error("inboxes", self._foreign(foreign, account=account))
        return cleaned

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
