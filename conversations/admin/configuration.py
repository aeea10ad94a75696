"""Export and import of the configuration: a page of the admin."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ImproperlyConfigured, PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from bridge_project.lib.admin_base import admin_url, badge
from bridge_project.lib.encryption import secrets_needed
from bridge_project.lib.errors import BridgeError
from chatwoot_api.models import ChatwootAccount
from conversations import audit
from conversations.admin.page import AdminPage
from conversations.configuration.document import MAX_BYTES, BadConfiguration, read
from conversations.configuration.export import export
from conversations.configuration.importing import (
    MODELS,
    STATE_NAMES,
    Plan,
    PlanChanged,
    State,
    carry_out,
    plan,
)
from conversations.models import AuditEntry

TONES = {
    State.NEW: "good",
    State.CHANGED: "busy",
    State.SAME: "calm",
    State.ONLY_HERE: "calm",
}
SECTION_NAMES = {
    "accounts": _("Chatwoot accounts"),
    "retention": _("Retention"),
    "dify_apps": _("Dify apps"),
    "bots": _("Bots"),
    "wishes": _("Wanted teams, labels, attributes"),
    "alert_channels": _("Alert channels"),
}


class ConfigurationPage(AdminPage):
    """A file without secrets out, and in: the difference first."""

    title = _("Export and import")
    permission_required = "conversations.view_bot"
    template_name = "admin/conversations/configuration.html"

    def post(self, request: HttpRequest) -> HttpResponse:
        """Export, show what an import would do, or do it."""
        with secrets_needed():
            return self._answer(request)

    def _answer(self, request: HttpRequest) -> HttpResponse:
        if "export" in request.POST:
            return self._export()
        if not may_import(request):
            raise PermissionDenied
        text = request.POST.get("text", "")
        try:
            text = self._file_or(text)
            return self._import(text)
        except PlanChanged as err:
            return self._again(text, problem=str(err))
        except (BridgeError, ImproperlyConfigured) as err:
            return self._page(problem=str(err), text=text)

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        accounts = ChatwootAccount.objects.order_by("name").values("key", "name")
        context = {
            "may_import": may_import(self.request),
            "may_export": may_export(self.request),
            "accounts": accounts,
        }
        return {**super().get_context_data(**kwargs), **context}

    def _file_or(self, text: str) -> str:
        """Return the text of the file that was chosen, else the one that was typed."""
        file = self.request.FILES.get("file")
        if file is None:
            # A textarea's line ends are those of Windows.
            return text.replace("\r\n", "\n")
        if file.size is not None and file.size > MAX_BYTES:
            raise BadConfiguration(gettext("The file is larger than 1 MB."))
        try:
            return str(file.read().decode("utf-8-sig"))
        except UnicodeDecodeError as err:
            raise BadConfiguration(gettext("The file is no text in UTF-8.")) from err

    def _export(self) -> HttpResponse:
        if not may_export(self.request):
            raise PermissionDenied
        key = self.request.POST.get("account", "")
        try:
            account = ChatwootAccount.objects.filter(key=key).first() if key else None
            if key and account is None:
                return self._page(problem=gettext("This account is not there."))
            text = export(account=account)
        except (BridgeError, ImproperlyConfigured) as err:
            return self._page(problem=str(err))
        by = self.request.user.get_username()
        audit.record(AuditEntry.Verb.EXPORTED, actor=by, account=account)
        response = HttpResponse(text, content_type="application/yaml; charset=utf-8")
        name = f"bridge-{account.key}.yaml" if account else "bridge.yaml"
        response["Content-Disposition"] = f'attachment; filename="{name}"'
        return response

    def _import(self, text: str) -> HttpResponse:
        """Show the difference, or carry it out if it was confirmed."""
        if "confirmed" not in self.request.POST:
            return self._show(text)
        done = carry_out(
            read(text),
            also_addresses="also_addresses" in self.request.POST,
            fingerprint=self.request.POST.get("fingerprint", ""),
            by=self.request.user.get_username(),
        )
        return self._page(done=done, groups=_groups(done), to_enter=_to_enter(done))

    def _again(self, text: str, *, problem: str) -> HttpResponse:
        """Show the new difference; what changed here may even refuse the file now."""
        try:
            return self._show(text, problem=problem)
        except BridgeError as err:
            return self._page(problem=str(err), text=text)

    def _show(self, text: str, *, problem: str = "") -> HttpResponse:
        also_addresses = "also_addresses" in self.request.POST
        found = plan(read(text), also_addresses=also_addresses)
        return self._page(
            problem=problem,
            plan=found,
            groups=_groups(found),
            text=text,
            also_addresses=also_addresses,
        )

    def _page(self, **context: Any) -> HttpResponse:
        return self.render_to_response(self.get_context_data(**context))


def may_export(request: HttpRequest) -> bool:
    """Tell whether the person may look at everything that the file holds."""
    return request.user.has_perms(_permissions("view"))


def may_import(request: HttpRequest) -> bool:
    """Tell whether the person may make and change everything that a file may hold."""
    return request.user.has_perms([*_permissions("add"), *_permissions("change")])


def _permissions(action: str) -> list[str]:
    return [
        f"{model._meta.app_label}.{action}_{model._meta.model_name}"
        for model in MODELS.values()
    ]


def _groups(found: Plan) -> list[dict[str, object]]:
    """Return the steps section by section, changes first."""
    order = list(State)
    groups: list[dict[str, object]] = []
    for section, name in SECTION_NAMES.items():
        steps = [step for step in found.steps if step.section == section]
        steps.sort(key=lambda step: order.index(step.state))
        rows = [
            {
                "step": step,
                "badge": badge(STATE_NAMES[step.state], tone=TONES[step.state]),
            }
            for step in steps
        ]
        if rows:
            groups.append({"name": name, "rows": rows})
    return groups


def _to_enter(done: Plan) -> list[dict[str, str]]:
    return [
        {"url": admin_url(secret.row), "row": str(secret.row), "text": secret.text}
        for secret in done.secrets
    ]
