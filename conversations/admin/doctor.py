"""The doctor's page: it opens at once, and its lines come group by group."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.core.exceptions import ImproperlyConfigured, PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from bridge_project.lib.encryption import secrets_needed
from bridge_project.lib.errors import BridgeError
from bridge_project.lib.health import describe
from chatwoot_api.models import ChatwootAccount
from conversations import audit
from conversations.admin.doctor_words import page_of, report_lines, state_badge
from conversations.admin.page import AdminPage
from conversations.doctor import (
    MENDS,
    TOPICS,
    Group,
    Line,
    Mend,
    groups,
    look,
    worst,
    worst_first,
)
from conversations.models import AuditEntry, Bot
from dify_api.models import DifyApp

TOPIC_TITLES = {
    "chatwoot": _("Chatwoot"),
    "delivery": _("Events from Chatwoot"),
    "dify": _("Dify"),
    "bots": _("Bots"),
    "processes": _("The bridge itself"),
}
KIND_TITLES = {
    "account": _("Chatwoot account"),
    "app": _("Dify app"),
    "bridge": _("The bridge itself"),
}
_ROWS = {"account": ChatwootAccount, "app": DifyApp, "bot": Bot}


class DoctorPage(AdminPage):
    """Which groups there are; their lines are fetched one by one."""

    title = _("Doctor")
    permission_required = "conversations.view_bot"
    template_name = "admin/conversations/doctor/page.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        chosen = {name: _number(self.request, name) for name in _ROWS}
        found = groups(**chosen)
        return {
            **super().get_context_data(**kwargs),
            "groups": [_shown(group, bot=chosen["bot"]) for group in found],
            "is_empty": len(found) == 1,
            "is_narrowed": any(number is not None for number in chosen.values()),
            "may_set_up": self.request.user.has_perm("conversations.add_bot"),
        }


class DoctorLines(AdminPage):
    """One group's lines: a part of the page, not a page."""

    permission_required = "conversations.view_bot"
    template_name = "admin/conversations/doctor/lines.html"

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Look at the group now; it may take some seconds."""
        group, bot = _group(request), _number(request, "bot")
        response = render(
            request, self.template_name, lines_context(request, group, bot=bot)
        )
        response["Cache-Control"] = "no-store"
        return response


class DoctorMend(AdminPage):
    """Presses one of the doctor's buttons, then looks again."""

    permission_required = "conversations.view_bot"
    template_name = "admin/conversations/doctor/lines.html"
    http_method_names = ("post",)

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Mend, record it, and show the group or the whole page."""
        group, bot = _group(request), _number(request, "bot")
        key, number = str(kwargs["key"]), int(kwargs["pk"])
        mend = _mend(request, key)
        row = _ROWS[mend.kind]._default_manager.filter(pk=number).only("pk").first()
        if row is None:
            raise Http404
        is_done, sentence = _press(mend, number)
        account = number if mend.kind == "account" else None
        audit.record(
            AuditEntry.Verb.MENDED,
            actor=request.user.get_username(),
            account=account,
            mend=key,
            of=mend.kind,
            number=number,
            done=is_done,
        )
        if request.headers.get("HX-Request"):
            context = lines_context(request, group, bot=bot)
            notice = {"notice": sentence, "notice_is_good": is_done}
            return render(request, self.template_name, {**context, **notice})
        level = messages.SUCCESS if is_done else messages.ERROR
        messages.add_message(request, level, sentence)
        return HttpResponseRedirect(reverse("bridge:doctor") + _query(group, bot=bot))


def lines_context(
    request: HttpRequest, group: Group, *, bot: int | None
) -> dict[str, Any]:
    """Look at a group, and return what its part of the page shows."""
    with secrets_needed():
        lines = look(group, bot=bot)
    topics = [
        (TOPIC_TITLES[topic], report_lines(worst_first(found), user=request.user))
        for topic in TOPICS
        if (found := [line for line in lines if line.topic == topic])
    ]
    return {
        "group": _shown(group, bot=bot),
        "topics": topics,
        "badge": state_badge(worst(lines)),
        "summary": _summary(lines),
    }


def _summary(lines: list[Line]) -> str:
    counts = {state: sum(x.state.value == state for x in lines) for state in _COUNTED}
    parts = [text % counts[state] for state, text in _COUNTED.items() if counts[state]]
    return ", ".join(str(part) for part in parts)


_COUNTED = {
    "failed": _("%d failed"),
    "warning": _("%d to look at"),
    "ok": _("%d ok"),
    "skipped": _("%d not looked at"),
}


def _shown(group: Group, *, bot: int | None) -> dict[str, Any]:
    return {
        "key": group.key,
        "kind": KIND_TITLES[group.kind],
        "name": group.name,
        "url": page_of(group.about()),
        "lines_url": reverse("bridge:doctor-lines") + _query(group, bot=bot),
        "query": _query(group, bot=bot),
    }


def _query(group: Group, *, bot: int | None) -> str:
    only = f"&bot={bot}" if bot is not None else ""
    return f"?{group.kind}={group.pk}{only}" if group.pk or only else "?bridge=0"


def _group(request: HttpRequest) -> Group:
    """Return the group that a part of the page stands for."""
    account, app = _number(request, "account"), _number(request, "app")
    found = groups(account=account, app=app) if account or app else groups()[-1:]
    if (account or app) and len(found) == 1:
        raise Http404
    return found[0]


def _mend(request: HttpRequest, key: str) -> Mend:
    mend = MENDS.get(key)
    if mend is None:
        raise Http404
    if not request.user.has_perm(mend.permission):
        raise PermissionDenied
    return mend


def _press(mend: Mend, number: int) -> tuple[bool, str]:
    try:
        with secrets_needed():
            return True, mend.run(number)
    except BridgeError as err:
        said = describe(err)
    except (ImproperlyConfigured, ValueError) as err:
        said = str(err)
    return False, gettext("“%(mend)s” did not work. %(error)s") % {
        "mend": mend.title,
        "error": said,
    }


def _number(request: HttpRequest, name: str) -> int | None:
    text = request.GET.get(name, "")
    usable = text.isascii() and text.isdigit() and len(text) < 19
    return int(text) if usable else None
