"""Dify apps: where they are, what they declare, how they fare."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import ImproperlyConfigured
from django.db.models import QuerySet
from django.forms import ModelForm
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_POST

from bridge_project.lib.admin_base import (
    NOTHING,
    BridgeAdmin,
    admin_url,
    badge,
    health_badge,
    moment,
    outside_link,
)
from bridge_project.lib.errors import BridgeError, Unauthorized, UpstreamError
from bridge_project.lib.secret_fields import SecretAdminMixin, SecretFormMixin
from dify_api import app_info
from dify_api.models import DifyApp

# What the app's health depends on: with another value it has to be found out anew.
REACHED_BY = frozenset({"base_url", "api_key"})


class DifyAppForm(SecretFormMixin, forms.ModelForm):  # type: ignore[misc,type-arg]
    """An app; its key is write-only."""

    secret_names = ("api_key",)
    sent_names = ("api_key",)

    class Meta:
        model = DifyApp
        fields = (
            "name",
            "base_url",
            "api_key",
            "console_url",
            "mode",
            "query_input",
            "answer_output",
            "first_event_timeout_s",
            "idle_timeout_s",
            "total_timeout_s",
            "max_concurrent_runs",
        )


@admin.register(DifyApp)
class DifyAppAdmin(SecretAdminMixin, BridgeAdmin[DifyApp]):
    """Kind and inputs are read from Dify at the press of a button."""

    form = DifyAppForm
    change_form_template = "admin/dify_api/difyapp/change_form.html"
    list_display = ("name", "state", "kind", "base_url", "runs_at_once", "read_at")
    list_filter = ("health", "mode")
    search_fields = ("name", "base_url")
    actions = ("read_selected",)
    readonly_fields = (
        "situation",
        "lowered_limit",
        "last_error",
        "last_error_at",
        "server_version",
        "parameters_read_at",
        "declared",
        "log",
    )
    fieldsets = (
        (
            None,
            {"fields": ("name", "base_url", "api_key", "mode", "console_url", "log")},
        ),
        (
            _("What Dify says"),
            {
                "description": _(
                    "Press “Read from Dify” after every change of the app's inputs; "
                    "the bridge itself looks every quarter of an hour."
                ),
                "fields": (
                    "situation",
                    "last_error",
                    "last_error_at",
                    "server_version",
                    "parameters_read_at",
                    "declared",
                ),
            },
        ),
        (
            _("Workflows and text generators"),
            {"fields": ("query_input", "answer_output")},
        ),
        (
            _("How long to wait"),
            {
                "fields": (
                    "first_event_timeout_s",
                    "idle_timeout_s",
                    "total_timeout_s",
                )
            },
        ),
        (
            _("How much at once"),
            {"fields": ("max_concurrent_runs", "lowered_limit")},
        ),
    )

    @admin.display(description=_("health"))
    def state(self, app: DifyApp) -> SafeString:
        """Show the health in the list, with the reason why nothing is tried."""
        if app.health != DifyApp.Health.REFUSED:
            return health_badge(app)
        return format_html(
            '{} <div class="bridge-aside">{}</div>',
            _refused_badge(),
            gettext("Not tried again until a check succeeds."),
        )

    @admin.display(description=_("health"))
    def situation(self, app: DifyApp) -> SafeString:
        """Show the health on the app's page, with what to do about it."""
        if app.health != DifyApp.Health.REFUSED:
            return health_badge(app)
        return format_html("{} <p>{}</p>", _refused_badge(), _refusal(app))

    @admin.display(description=_("runs at once"), ordering="max_concurrent_runs")
    def runs_at_once(self, app: DifyApp) -> str:
        """Show the limit, and what it is lowered to while Dify is overloaded."""
        if app.current_limit == app.max_concurrent_runs:
            return str(app.max_concurrent_runs)
        values = {"now": app.current_limit, "most": app.max_concurrent_runs}
        return gettext("%(now)d of %(most)d, Dify is overloaded") % values

    @admin.display(description=_("kind of app"), ordering="mode")
    def kind(self, app: DifyApp) -> str:
        return app.get_mode_display() or NOTHING

    @admin.display(description=_("read from Dify"), ordering="parameters_read_at")
    def read_at(self, app: DifyApp) -> SafeString:
        return moment(app.parameters_read_at)

    @admin.display(description=_("log in Dify"))
    def log(self, app: DifyApp) -> SafeString | str:
        """Link to the app's log in Dify's console."""
        if app.log_url():
            return outside_link(app.log_url(), text=_("Open the log in Dify"))
        if app.console_url:
            return gettext("The page's address has no /app/… in it.")
        return NOTHING

    @admin.display(description=_("declared inputs"))
    def declared(self, app: DifyApp) -> SafeString | str:
        """Show the app's inputs as a table."""
        if app.parameters_read_at is None:
            return gettext("Not read yet.")
        return _inputs_table(app)

    @admin.action(description=_("Read from Dify"), permissions=["change"])
    def read_selected(self, request: HttpRequest, queryset: QuerySet[DifyApp]) -> None:
        for app in queryset:
            self._read(request, app)

    def get_urls(self) -> list[URLPattern]:
        own = path(
            "<int:app_id>/read-from-dify/",
            self.admin_site.admin_view(require_POST(self.read_view)),
            name="dify_api_difyapp_read",
        )
        return [own, *super().get_urls()]

    def read_view(self, request: HttpRequest, app_id: int) -> HttpResponse:
        """Read one app, outside any transaction: Dify may take its time."""
        app = self.get_object(request, str(app_id))
        if app is None:
            return HttpResponseRedirect(reverse("admin:dify_api_difyapp_changelist"))
        if not self.has_change_permission(request, app):
            self.message_user(
                request,
                gettext("You may look at Dify apps, but not change them."),
                messages.ERROR,
            )
        else:
            self._read(request, app)
        return HttpResponseRedirect(admin_url(app))

    def _read(self, request: HttpRequest, app: DifyApp) -> None:
        try:
            app_info.refresh(app)
        except BridgeError as err:
            self.message_user(request, _failure(app, err), messages.ERROR)
            return
        except ImproperlyConfigured as err:  # no key reads the stored one
            self.message_user(request, str(err), messages.ERROR)
            return
        count = len(app.declared_inputs())
        sentence = ngettext(
            "“%(app)s” answered: %(kind)s, %(count)d input declared.",
            "“%(app)s” answered: %(kind)s, %(count)d inputs declared.",
            count,
        )
        values = {"app": app, "kind": app.get_mode_display(), "count": count}
        self.message_user(request, sentence % values, messages.SUCCESS)

    def save_model(
        self,
        request: HttpRequest,
        obj: DifyApp,
        form: ModelForm[DifyApp],
        change: bool,
    ) -> None:
        """With another key or address it may be another app: forget what was read."""
        if change and REACHED_BY & set(form.changed_data):
            obj.forget_health()
            obj.lowered_limit, obj.limit_changed_at = None, None
            obj.parameters, obj.parameters_read_at = {}, None
            obj.server_version = ""
        super().save_model(request, obj, form, change)

    def response_add(
        self, request: HttpRequest, obj: DifyApp, post_url_continue: str | None = None
    ) -> HttpResponse:
        """Go on to the app's page, where the button is."""
        response = super().response_add(request, obj, post_url_continue)
        if set(request.POST) & {"_addanother", "_popup"}:
            return response
        self.message_user(
            request,
            gettext("Now press “Read from Dify”, to see whether address and key fit."),
            messages.INFO,
        )
        return HttpResponseRedirect(admin_url(obj))


def _refused_badge() -> SafeString:
    return badge(_("key refused"), tone="bad")


def _refusal(app: DifyApp) -> SafeString:
    """Say what it means that the key is refused, and what to do."""
    next_check = gettext("any moment now")
    if app.next_probe_at is not None:
        next_check = moment(app.next_probe_at)
    return format_html(
        gettext(
            "Dify refuses the key (last tried: {tried}). The bridge does not try it "
            "again until a check succeeds; next check: {next_check}. Enter a new key, "
            "or press “Read from Dify”."
        ),
        tried=moment(app.last_error_at),
        next_check=next_check,
    )


def _failure(app: DifyApp, err: BridgeError) -> str:
    """Say what went wrong, what it means and what to do."""
    values: dict[str, Any] = {"app": app, "error": err}
    if isinstance(err, Unauthorized) and err.status == HTTPStatus.UNAUTHORIZED:
        return (
            gettext(
                "“%(app)s”: Dify does not accept the key. Make a new one in Dify under "
                "“API Access” of this app and enter it below."
            )
            % values
        )
    if isinstance(err, UpstreamError) and err.status is None:
        return (
            gettext(
                "“%(app)s”: Dify could not be reached. Check the address, and whether "
                "this server may connect to it. (%(error)s)"
            )
            % values
        )
    return gettext("“%(app)s” could not be read. %(error)s") % values


def _inputs_table(app: DifyApp) -> SafeString | str:
    try:
        inputs = app.declared_inputs()
    except BridgeError as err:
        return gettext("What Dify said cannot be understood. %(error)s") % {
            "error": err
        }
    if not inputs:
        return gettext("The app declares no inputs; it gets the question alone.")
    head = format_html_join(
        "",
        "<th>{}</th>",
        (
            (title,)
            for title in (
                gettext("Name"),
                gettext("Label"),
                gettext("Kind"),
                gettext("Required"),
                gettext("Longest"),
            )
        ),
    )
    rows = format_html_join(
        "",
        "<tr><td><code>{}</code></td><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
        (
            (
                field.variable,
                field.label,
                field.kind,
                gettext("yes") if field.required else gettext("no"),
                field.max_length or NOTHING,
            )
            for field in inputs
        ),
    )
    return format_html(
        '<div class="bridge-scroll" tabindex="0"><table class="bridge-table">'
        "<thead><tr>{}</tr>"
        "</thead><tbody>{}</tbody></table></div>",
        head,
        rows,
    )
