"""The index page: what needs a person, then the numbers of a day, a week or a month."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseBadRequest
from django.shortcuts import redirect
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.views.decorators.http import require_POST

from bridge_project.lib.admin_base import list_url
from chatwoot_api.models import ChatwootAccount
from conversations import audit, waiting
from conversations.admin import home_numbers
from conversations.admin.alarms import CAN_BE_SEEN, alarms
from conversations.admin.base import chatwoot_link, conversation_link, elapsed
from conversations.models import AuditEntry, Bot, Conversation, Seen
from conversations.reports.overview import overview, period_of
from dify_api.models import DifyApp

# The bot answers most within seconds; who waits longer is shown.
SHOWN_AFTER = timedelta(minutes=1)
SHOWN_CUSTOMERS = 10
# More than this need not be counted: the page says "100+".
MANY_CUSTOMERS = 100


@dataclass(frozen=True)
class Waiting:
    """A customer who waits, and where to answer."""

    page: SafeString
    name: str
    where: str
    age: str
    chatwoot: SafeString


def add_numbers(request: HttpRequest, context: dict[str, object]) -> dict[str, object]:
    """Extend the context of the index page (UNFOLD's DASHBOARD_CALLBACK)."""
    if not request.user.has_perm("conversations.view_turn"):
        return context
    now = timezone.now()
    period = period_of(request.GET.get("period", ""))
    may_see_names = request.user.has_perm("conversations.view_conversation")
    return {
        **context,
        "now": now.isoformat(),
        "alarms": alarms(now),
        "may_mark_seen": request.user.has_perm("conversations.change_webhookevent"),
        "steps": list(_first_steps()),
        "waiting": list(_waiting(now)) if may_see_names else [],
        "waiting_count": _waiting_count(now) if may_see_names else "",
        **home_numbers.shown(overview(period, now=now)),
    }


@require_POST
def mark_seen(request: HttpRequest) -> HttpResponse:
    """Hide what an alarm has told up to the moment when its page was made."""
    if not request.user.has_perm("conversations.change_webhookevent"):
        raise PermissionDenied
    warning = request.POST.get("warning", "")
    shown_at = _moment(request.POST.get("shown_at", ""))
    if warning not in CAN_BE_SEEN or shown_at is None:
        return HttpResponseBadRequest()
    by = request.user.get_username()
    Seen.objects.update_or_create(
        warning=warning,
        defaults={"seen_at": min(shown_at, timezone.now()), "seen_by": by},
    )
    audit.record(AuditEntry.Verb.MARKED_SEEN, actor=by, warning=warning)
    messages.success(
        request, gettext("Marked as seen. What comes anew is shown again.")
    )
    return redirect("admin:index")


def _moment(text: str) -> datetime | None:
    try:
        moment = parse_datetime(text)
    except ValueError:
        return None
    return moment if moment is None or moment.tzinfo else None


def _first_steps() -> Iterator[tuple[str, str]]:
    """What is left to do before the first answer."""
    if not ChatwootAccount.objects.exists():
        yield gettext("Add your Chatwoot account."), list_url(ChatwootAccount)
    if not DifyApp.objects.exists():
        yield gettext("Add the Dify app that answers."), list_url(DifyApp)
    if not Bot.objects.filter(enabled=True).exists():
        yield gettext("Make a bot that joins the two."), list_url(Bot)


def _waiting(now: datetime) -> Iterator[Waiting]:
    for conversation in waiting.customers(now - SHOWN_AFTER, limit=SHOWN_CUSTOMERS):
        yield Waiting(
            page=conversation_link(conversation),
            name=conversation.contact_name,
            where=_where(conversation),
            age=elapsed(conversation.waiting_since, now),
            chatwoot=chatwoot_link(conversation),
        )


def _where(conversation: Conversation) -> str:
    inbox = conversation.inbox
    account = str(conversation.account)
    return f"{account} · {inbox}" if inbox else account


def _waiting_count(now: datetime) -> str:
    count = waiting.count(MANY_CUSTOMERS + 1, since=now - SHOWN_AFTER)
    return f"{MANY_CUSTOMERS}+" if count > MANY_CUSTOMERS else str(count)
