"""Alerts: whom to tell of what, and what was told."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Model, Prefetch, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_POST
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget

from bridge_project.lib.admin_base import (
    NOTHING,
    BridgeAdmin,
    ReadOnlyAdmin,
    admin_url,
    badge,
    moment,
)
from bridge_project.lib.secret_fields import SecretAdminMixin, SecretFormMixin
from conversations import audit
from conversations.alerts import delivery, texts, webhook
from conversations.models import (
    Alert,
    AlertCause,
    AlertChannel,
    AlertDelivery,
    AuditEntry,
)

# The newest messages on a channel's page.
SHOWN = 5


class AlertChannelForm(SecretFormMixin, forms.ModelForm):  # type: ignore[misc,type-arg]
    """A channel; its signing secret is write-only."""

    secret_names = ("secret",)
    causes = forms.MultipleChoiceField(
        label=_("Tells of"),
        choices=AlertCause.choices,
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
        error_messages={
            "required": _("Choose at least one, or switch the channel off instead.")
        },
    )

    class Meta:
        model = AlertChannel
        fields = (
            "name",
            "enabled",
            "kind",
            "url",
            "secret",
            "email",
            "language",
            "causes",
            "failing_percent",
            "waiting_minutes",
            "deletion_hours",
        )

    def clean_secret(self) -> str:
        """Refuse what nobody could check a signature with."""
        secret: str = self.cleaned_data["secret"]
        if not secret:
            return ""
        try:
            webhook.key_of(secret)
        except ValueError as err:
            raise forms.ValidationError(
                gettext(
                    "A signing secret is “whsec_” and 24 to 64 bytes in base64. Leave "
                    "this empty, and one is made."
                )
            ) from err
        return secret

    def clean(self) -> dict[str, Any] | None:
        """Ask for the address of the chosen kind."""
        cleaned = super().clean()
        kind = self.cleaned_data.get("kind")
        needed = {
            AlertChannel.Kind.WEBHOOK: ("url", gettext("Enter the webhook's address.")),
            AlertChannel.Kind.EMAIL: ("email", gettext("Enter an e-mail address.")),
        }
        if kind in needed:
            name, sentence = needed[AlertChannel.Kind(kind)]
            if not self.cleaned_data.get(name) and name not in self.errors:
                self.add_error(name, sentence)
        return cleaned


class ChannelFields(BridgeAdmin[AlertChannel]):
    """What a channel's page shows, and to whom."""

    def get_fieldsets(
        self, request: HttpRequest, obj: AlertChannel | None = None
    ) -> Any:
        """Keep an address, often a secret as a whole, from those who may only look."""
        address = "url" if self.has_change_permission(request, obj) else "place"
        self_told = () if obj is None else ("last_messages", "created_at", "updated_at")
        return [
            (None, {"fields": ("name", "enabled", "kind", "language")}),
            (_("Webhook"), {"fields": (address, "secret")}),
            (_("E-mail"), {"fields": ("email",)}),
            (
                _("What it tells of"),
                {
                    "fields": (
                        "causes",
                        "failing_percent",
                        "waiting_minutes",
                        "deletion_hours",
                    )
                },
            ),
            *([(_("What it was told"), {"fields": self_told})] if self_told else []),
        ]


@admin.register(AlertChannel)
class AlertChannelAdmin(SecretAdminMixin, ChannelFields):
    """Places that are told of trouble."""

    form = AlertChannelForm
    change_form_template = "admin/conversations/alertchannel/change_form.html"
    list_display = ("name", "state", "told_how", "place", "last_message")
    search_fields = ("name",)
    ordering = ("name", "pk")
    readonly_fields = ("place", "last_messages", "created_at", "updated_at")

    def get_queryset(self, request: HttpRequest) -> QuerySet[AlertChannel]:
        """Bring the newest messages along; secrets stay where they are."""
        newest = AlertDelivery.objects.order_by("-pk")[:SHOWN]
        messages_of = Prefetch("deliveries", queryset=newest, to_attr="newest")
        rows = super().get_queryset(request).defer("secret")
        return rows.prefetch_related(messages_of)

    @admin.display(description=_("state"))
    def state(self, channel: AlertChannel) -> SafeString:
        if not channel.enabled:
            return badge(gettext("switched off"), tone="calm")
        return badge(gettext("switched on"), tone="good")

    @admin.display(description=_("how"))
    def told_how(self, channel: AlertChannel) -> str:
        return str(channel.get_kind_display())

    @admin.display(description=_("where"))
    def place(self, channel: AlertChannel) -> str:
        """Show of an address only its server: the rest often is a secret."""
        if channel.kind == AlertChannel.Kind.EMAIL:
            return channel.email or NOTHING
        return urlsplit(channel.url).hostname or NOTHING

    @admin.display(description=_("last message"))
    def last_message(self, channel: AlertChannel) -> SafeString:
        newest: list[AlertDelivery] = getattr(channel, "newest", [])
        return _state_of(newest[0]) if newest else format_html("{}", NOTHING)

    @admin.display(description=_("last messages"))
    def last_messages(self, channel: AlertChannel) -> SafeString:
        newest: list[AlertDelivery] = getattr(channel, "newest", [])
        if not newest:
            return format_html("{}", gettext("None yet."))
        return format_html(
            '<ul class="bridge-list">{}</ul>',
            format_html_join(
                "",
                "<li>{} {} {}{}</li>",
                (
                    (
                        moment(row.created_at),
                        row.get_kind_display(),
                        _state_of(row),
                        format_html('<div class="bridge-error">{}</div>', row.error)
                        if row.error
                        else "",
                    )
                    for row in newest
                ),
            ),
        )

    def save_model(
        self, request: HttpRequest, obj: AlertChannel, form: Any, change: bool
    ) -> None:
        """Make a signing secret for a webhook that has none."""
        is_made = obj.kind == AlertChannel.Kind.WEBHOOK and not obj.secret
        if is_made:
            obj.secret = webhook.make_secret()
        super().save_model(request, obj, form, change)
        if is_made:
            obj.made_secret = obj.secret  # type: ignore[attr-defined]
            by = request.user.get_username()
            audit.record(AuditEntry.Verb.MADE_SECRET, actor=by, channel=obj.pk)

    def response_add(
        self, request: HttpRequest, obj: AlertChannel, *args: Any
    ) -> HttpResponse:
        return self._secret_page(request, obj) or super().response_add(
            request, obj, *args
        )

    def response_change(self, request: HttpRequest, obj: AlertChannel) -> HttpResponse:
        return self._secret_page(request, obj) or super().response_change(request, obj)

    def _secret_page(
        self, request: HttpRequest, channel: AlertChannel
    ) -> HttpResponse | None:
        """Show a secret that was just made: in this one answer and nowhere else."""
        secret = getattr(channel, "made_secret", None)
        if secret is None:
            return None
        response = TemplateResponse(
            request,
            "admin/conversations/alertchannel/secret_made.html",
            {
                **self.admin_site.each_context(request),
                "opts": self.opts,
                "title": gettext("The signing secret of “%(name)s”")
                % {"name": channel},
                "secret": secret,
                "back_url": admin_url(channel),
            },
        )
        response["Cache-Control"] = "no-store"
        return response

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(require_POST(self.send_test))
        name = "conversations_alertchannel_test"
        return [path("<int:channel_id>/test/", view, name=name), *super().get_urls()]

    def send_test(self, request: HttpRequest, channel_id: int) -> HttpResponse:
        """Send a test at once and say what became of it."""
        channel = self.get_object(request, str(channel_id))
        if channel is None:
            raise Http404
        if not self.has_change_permission(request, channel):
            raise PermissionDenied
        told = delivery.send_test(channel, now=timezone.now())
        audit.record(
            AuditEntry.Verb.TESTED_ALERT,
            actor=request.user.get_username(),
            channel=channel.pk,
            arrived=not told.error,
        )
        if told.error:
            text = gettext("The test did not arrive. %(error)s") % {"error": told.error}
            self.message_user(request, text, messages.ERROR)
        else:
            self.message_user(request, _arrived(channel), messages.SUCCESS)
        return HttpResponseRedirect(admin_url(channel))

    def has_delete_permission(
        self, request: HttpRequest, obj: Model | None = None
    ) -> bool:
        """Let a channel go with what it was told: nobody else was told it."""
        return super(BridgeAdmin, self).has_delete_permission(request, obj)

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """Ask for no permission of its own for the alerts, which nobody may delete."""
        rows, counts, _missing, protected = super().get_deleted_objects(objs, request)
        return rows, counts, set(), protected


def _arrived(channel: AlertChannel) -> str:
    if channel.kind == AlertChannel.Kind.EMAIL:
        return gettext(
            "The mail server has taken the test for %(address)s. Look whether it "
            "arrives there."
        ) % {"address": channel.email}
    return gettext("The test has arrived: %(host)s has taken it.") % {
        "host": urlsplit(channel.url).hostname or ""
    }


def _state_of(row: AlertDelivery) -> SafeString:
    if row.delivered_at is not None:
        return badge(gettext("delivered"), tone="good")
    if row.next_attempt_at is None:
        # Over before it arrived, or tried for the last time.
        return badge(gettext("not delivered"), tone="bad" if row.error else "calm")
    if row.attempts:
        return badge(gettext("will be tried again"), tone="warn")
    return badge(gettext("about to be sent"), tone="busy")


@admin.register(Alert)
class AlertAdmin(ReadOnlyAdmin[Alert]):
    """What was told, and when it was over."""

    list_display = ("state", "what", "channel", "began", "ended", "told")
    list_display_links = ("state", "what")
    list_filter = ("cause", "channel")
    list_select_related = ("channel",)
    # PostgreSQL takes what has not ended for the latest: it stands first.
    ordering = ("-ended_at", "-began_at", "-pk")
    fields = ("state", "what", "where", "channel", "began", "ended", "told")
    readonly_fields = fields

    def get_queryset(self, request: HttpRequest) -> QuerySet[Alert]:
        rows = super().get_queryset(request).select_related("channel")
        return rows.defer("channel__secret").prefetch_related("deliveries")

    @admin.display(description=_("state"))
    def state(self, alert: Alert) -> SafeString:
        if alert.ended_at is None:
            return badge(gettext("open"), tone="bad")
        return badge(gettext("over"), tone="calm")

    @admin.display(description=_("what"))
    def what(self, alert: Alert) -> SafeString:
        return format_html('<div class="bridge-two">{}</div>', texts.what(alert))

    @admin.display(description=_("where to look"))
    def where(self, alert: Alert) -> SafeString:
        page = texts.page_of(alert)
        text = gettext("Open the page")
        return format_html('<a class="text-link" href="{}">{}</a>', page, text)

    @admin.display(description=_("since"))
    def began(self, alert: Alert) -> SafeString:
        return moment(alert.began_at)

    @admin.display(description=_("until"))
    def ended(self, alert: Alert) -> SafeString:
        return moment(alert.ended_at)

    @admin.display(description=_("told"))
    def told(self, alert: Alert) -> SafeString:
        """Show for beginning and end when the channel heard of it, or why not."""
        rows = sorted(alert.deliveries.all(), key=lambda row: row.pk)
        return format_html(
            "{}",
            format_html_join(
                "",
                "<div>{} {} {}</div>",
                (
                    (
                        row.get_kind_display(),
                        _state_of(row),
                        moment(row.delivered_at) if row.delivered_at else "",
                    )
                    for row in rows
                ),
            ),
        )
