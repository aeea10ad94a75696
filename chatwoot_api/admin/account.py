"""Chatwoot accounts, with secrets that can be replaced but not read."""

from __future__ import annotations

from typing import Any

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.core.exceptions import ImproperlyConfigured
from django.db.models import QuerySet
from django.forms import ModelForm
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from bridge_project.lib.admin_base import (
    BridgeAdmin,
    badge,
    health_badge,
)
from bridge_project.lib.secret_fields import SecretAdminMixin, SecretFormMixin
from chatwoot_api import probe
from chatwoot_api.admin.reading import ReadingMixin
from chatwoot_api.models import ChatwootAccount, Health
from chatwoot_api.token_texts import check_report, token_trouble

SECRETS = (
    "bot_token",
    "admin_token",
    "webhook_secret",
    "previous_webhook_secret",
    "account_webhook_secret",
    "webhook_token",
)
# What Chatwoot's health depends on: with another value it has to be found out anew.
REACHED_BY = frozenset({"base_url", "account_id", "bot_token", "admin_token"})


class ChatwootAccountForm(SecretFormMixin, forms.ModelForm):  # type: ignore[misc,type-arg]
    """An account; its secrets are write-only."""

    secret_names = SECRETS
    sent_names = ("bot_token", "admin_token")

    class Meta:
        model = ChatwootAccount
        fields = ("name", "key", "base_url", "account_id", *SECRETS, "allow_unsigned")


@admin.register(ChatwootAccount)
class ChatwootAccountAdmin(
    SecretAdminMixin, ReadingMixin, BridgeAdmin[ChatwootAccount]
):
    """Where Chatwoot is, and how it and the bridge know each other."""

    form = ChatwootAccountForm
    change_form_template = "admin/chatwoot_api/chatwootaccount/change_form.html"
    list_display = (
        "name",
        "state",
        "server",
        "account_id",
        "webhooks",
        "key",
        "read_at",
    )
    search_fields = ("name", "key", "base_url")
    ordering = ("name", "pk")
    prepopulated_fields = {"key": ("name",)}
    actions = ("check_tokens", "read_selected")
    goes_along = frozenset(
        {
            "actionlock_set",
            "agents",
            "attribute_definitions",
            "audit_entries",  # these stay, without the account; see `delete_model`
            "inboxes",
            "jobs",
            "labels",
            "retention",
            "teams",
            "wishes",
        }
    )
    readonly_fields = (
        "webhook_address",
        "state",
        "read_at",
        "mirrored",
        "last_error",
        "last_error_at",
        "created_at",
        "updated_at",
    )
    fieldsets = (
        (None, {"fields": ("name", "key", "base_url", "account_id")}),
        (
            _("What the bridge may do in Chatwoot"),
            {
                "description": _(
                    "Tokens are stored encrypted and never shown again, only replaced."
                ),
                "fields": ("bot_token", "admin_token"),
            },
        ),
        (
            _("How Chatwoot reaches the bridge"),
            {
                "description": _(
                    "Enter the address in Chatwoot as the webhook URL of the agent "
                    "bot, and the secret that Chatwoot shows there below. One of "
                    "webhook secret and webhook token is enough."
                ),
                "fields": (
                    "webhook_address",
                    "webhook_secret",
                    "previous_webhook_secret",
                    "account_webhook_secret",
                    "webhook_token",
                    "allow_unsigned",
                ),
            },
        ),
        (
            _("What the bridge has read from Chatwoot"),
            {
                "description": _(
                    "Names of teams and agents, labels and attributes, for Dify flows "
                    "to choose from. Read every hour with the administrator token, "
                    "and when a flow asks for a name that is not known."
                ),
                "fields": ("read_at", "mirrored"),
            },
        ),
        (
            _("How it goes"),
            {
                "fields": (
                    "state",
                    "last_error",
                    "last_error_at",
                    "created_at",
                    "updated_at",
                )
            },
        ),
    )

    @admin.display(description=_("health"))
    def state(self, account: ChatwootAccount) -> SafeString:
        """Show the bot's health, and beside it a refused administrator's token."""
        if account.health == Health.REFUSED:
            shown = badge(_("bot token refused"), tone="bad")
        else:
            shown = health_badge(account)
        if account.admin_token_refused_at is None:
            return shown
        refused = badge(_("administrator token refused"), tone="bad")
        return format_html("{} {}", shown, refused)

    @admin.display(description=_("address"))
    def server(self, account: ChatwootAccount) -> str:
        return account.server_url()

    @admin.display(description=_("webhooks"))
    def webhooks(self, account: ChatwootAccount) -> SafeString:
        if account.allow_unsigned:
            return badge(_("accepted from anybody"), tone="bad")
        if account.secrets():
            return badge(_("signed"), tone="good")
        if account.webhook_token:
            return badge(_("with a token"), tone="good")
        return badge(_("all refused"), tone="warn")

    @admin.display(description=_("webhook address"))
    def webhook_address(self, account: ChatwootAccount) -> SafeString:
        """Show what to enter in Chatwoot, but never the token itself."""
        shared = settings.PUBLIC_URL + reverse("chatwoot-webhook")
        lines = [format_html('<code class="bridge-code">{}</code>', shared)]
        if account.webhook_token:
            lines.append(
                format_html(
                    "<p>{} <code class='bridge-code'>{}?token=…</code></p>",
                    gettext("For Chatwoot versions that cannot sign:"),
                    shared,
                )
            )
        if account.key:
            own = reverse("chatwoot-webhook-of-account", args=[account.key])
            lines.append(
                format_html(
                    "<p>{} <code class='bridge-code'>{}</code></p>",
                    gettext("For this account alone:"),
                    settings.PUBLIC_URL + own,
                )
            )
        return format_html("{}" * len(lines), *lines)

    def save_model(
        self,
        request: HttpRequest,
        obj: ChatwootAccount,
        form: ModelForm[ChatwootAccount],
        change: bool,
    ) -> None:
        """Forget the old health with the old token; warn about open doors."""
        if change and REACHED_BY & set(form.changed_data):
            obj.forget_health()
        super().save_model(request, obj, form, change)
        if not obj.allow_unsigned and not obj.secrets() and not obj.webhook_token:
            self.message_user(
                request,
                gettext(
                    "Neither a webhook secret nor a webhook token is set, so every "
                    "webhook of this account is refused. Enter one of them."
                ),
                messages.WARNING,
            )

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """Count what goes along: no page of it has a deletion of its own to ask."""
        _rows, counts, _missing, protected = super().get_deleted_objects(objs, request)
        audit = self.model._meta.get_field("audit_entries").related_model
        counts.pop(audit._meta.verbose_name_plural, None)
        return [str(row) for row in objs], counts, set(), protected

    def delete_model(self, request: HttpRequest, obj: ChatwootAccount) -> None:
        """Keep what was done: the audit is never deleted."""
        obj.audit_entries.update(account=None)
        super().delete_model(request, obj)

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, object] | None = None,
    ) -> HttpResponse:
        """Warn on the page of an account that is open to anybody, or refused."""
        response = super().changeform_view(request, object_id, form_url, extra_context)
        if request.method == "GET" and object_id:
            account = self.get_object(request, object_id)
            if account is not None:
                for sentence in token_trouble(account):
                    self.message_user(request, sentence, messages.ERROR)
                if account.allow_unsigned:
                    self.message_user(request, OPEN_DOOR, messages.WARNING)
        return response

    @admin.action(description=_("Check the tokens now"), permissions=["change"])
    def check_tokens(
        self, request: HttpRequest, queryset: QuerySet[ChatwootAccount]
    ) -> None:
        """Ask Chatwoot about both tokens of each account, and say what it answered."""
        for account in queryset:
            try:
                result = probe.probe(account, only_refused=False)
            except ImproperlyConfigured as err:  # no key reads a token
                self.message_user(request, f"{account}: {err}", messages.ERROR)
                continue
            probe.store(account, result)
            for level, sentence in check_report(account, result):
                self.message_user(request, sentence, level)


OPEN_DOOR = _(
    "This account accepts unsigned webhooks: anybody who reaches the address can make "
    "the bot speak. Enter the webhook secret, or use the webhook token, and switch "
    "“accept unsigned webhooks” off."
)
