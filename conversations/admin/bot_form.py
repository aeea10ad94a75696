"""The form of a bot: its fields explained, and what does not fit together refused."""

from __future__ import annotations

import json
from typing import Any, ClassVar

from django import forms
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from unfold.widgets import (
    UnfoldAdminCheckboxSelectMultipleWidget,
    UnfoldAdminTextareaWidget,
)

from bridge_project.lib.types import JsonObject, JsonValue
from chatwoot_api.models import ChatwootAccount, Inbox
from conversations.context import input_sources
from conversations.models import Bot, Conversation, ConversationStatus

# Whatever Chatwoot's people define; any name may follow.
FREE_SOURCES = (
    "conversation.custom_attributes",
    "conversation.additional_attributes",
    "contact.custom_attributes",
)


def known_sources() -> list[str]:
    """Return the paths that an input may be mapped to."""
    nobody = Conversation(
        account=ChatwootAccount(account_id=0), chatwoot_conversation_id=0
    )
    tree = input_sources(nobody, question="")
    return sorted(
        f"{group}.{name}"
        for group, members in tree.items()
        if isinstance(members, dict)
        for name in members
    )


class InputsField(forms.JSONField):
    """A map of input names to sources; says what is wrong with another thing."""

    default_error_messages = {
        "invalid": _(
            "This is no JSON. Check quotation marks, commas and brackets; it should "
            'look like {"language": "contact.language"}.'
        ),
        "no_object": _(
            'Enter an object in curly brackets, such as {"language": '
            '"contact.language"}.'
        ),
        "no_text": _(
            "The source of “%(name)s” must be a text in quotation marks, such as "
            "“contact.language”."
        ),
        "no_name": _("An input without a name cannot be sent. Name it or remove it."),
        "unknown": _(
            "“%(source)s”, the source of “%(name)s”, does not exist. There are: "
            "%(known)s; custom and additional attributes take a name behind them, such "
            "as contact.custom_attributes.region."
        ),
    }

    def prepare_value(self, value: Any) -> Any:
        """Show the stored map with one input a line."""
        if isinstance(value, dict):
            # PostgreSQL keeps no order of its own.
            return json.dumps(value, ensure_ascii=False, indent=2, sort_keys=True)
        return super().prepare_value(value)

    def validate(self, value: Any) -> None:
        """Refuse anything but texts mapped to sources that exist."""
        if value in self.empty_values:
            return
        if not isinstance(value, dict):
            raise self._error("no_object")
        known = known_sources()
        for name, source in value.items():
            self._check(name, source, known=known)

    def _check(self, name: str, source: JsonValue, *, known: list[str]) -> None:
        if not name.strip():
            raise self._error("no_name")
        if not isinstance(source, str):
            raise self._error("no_text", name=name)
        is_free = source.startswith(tuple(f"{free}." for free in FREE_SOURCES))
        if source not in known and not is_free:
            raise self._error(
                "unknown", name=name, source=source, known=", ".join(known)
            )

    def _error(self, code: str, **values: str) -> forms.ValidationError:
        return forms.ValidationError(
            self.error_messages[code], code=code, params=values
        )

    def clean(self, value: Any) -> JsonObject:
        """Return the map; nothing entered is an empty one."""
        cleaned = super().clean(value)
        return cleaned or {}


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
            "None chosen: all inboxes of the account. An inbox appears here with its "
            "first webhook."
        ),
    )
    inputs = InputsField(
        label=_("Inputs"),
        required=False,
        widget=UnfoldAdminTextareaWidget(
            attrs={"rows": 20, "class": "bridge-code", "spellcheck": "false"}
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
        )
        widgets: ClassVar = {
            "failure_public_text": UnfoldAdminTextareaWidget(attrs={"rows": 3}),
            "failure_private_text": UnfoldAdminTextareaWidget(attrs={"rows": 3}),
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["inputs"].help_text = Bot._meta.get_field("inputs").help_text

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
