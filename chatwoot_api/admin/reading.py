"""“Read from Chatwoot”: the button and the action at an account, and what they say."""

from __future__ import annotations

from django.contrib import admin, messages
from django.core.exceptions import ImproperlyConfigured
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_POST

from bridge_project.lib.admin_base import BridgeAdmin, admin_url, list_url, moment
from bridge_project.lib.errors import (
    BridgeError,
    ConfigurationError,
    Unauthorized,
    UpstreamError,
    UpstreamRejected,
)
from chatwoot_api import sync
from chatwoot_api.models import (
    Agent,
    AttributeDefinition,
    ChatwootAccount,
    Inbox,
    Label,
    Team,
)

MIRRORS: tuple[type[Model], ...] = (Team, Agent, Label, AttributeDefinition, Inbox)


class ReadingMixin(BridgeAdmin[ChatwootAccount]):
    """Reads an account's teams, agents, labels, attributes and inboxes at once."""

    @admin.display(description=_("read from Chatwoot"), ordering="mirrored_at")
    def read_at(self, account: ChatwootAccount) -> SafeString:
        return moment(account.mirrored_at)

    @admin.display(description=_("known"))
    def mirrored(self, account: ChatwootAccount) -> SafeString | str:
        """Show how many of each there are, with ways to the lists."""
        if account.mirrored_at is None:
            return gettext("Not read yet.")
        rows = (
            (
                list_url(model, account__id__exact=account.pk),
                model._meta.verbose_name_plural,
                model._default_manager.filter(account=account).count(),
            )
            for model in MIRRORS
        )
        items = format_html_join(
            "", '<li><a class="text-link" href="{}">{}</a>: {}', rows
        )
        return format_html("<ul>{}</ul>", items)

    @admin.action(description=_("Read from Chatwoot"), permissions=["change"])
    def read_selected(
        self, request: HttpRequest, queryset: QuerySet[ChatwootAccount]
    ) -> None:
        for account in queryset:
            self._read(request, account)

    def get_urls(self) -> list[URLPattern]:
        own = path(
            "<int:account_id>/read-from-chatwoot/",
            self.admin_site.admin_view(require_POST(self.read_view)),
            name="chatwoot_api_chatwootaccount_read",
        )
        return [own, *super().get_urls()]

    def read_view(self, request: HttpRequest, account_id: int) -> HttpResponse:
        """Read one account, outside any transaction: Chatwoot may take its time."""
        account = self.get_object(request, str(account_id))
        if account is None:
            url = reverse("admin:chatwoot_api_chatwootaccount_changelist")
            return HttpResponseRedirect(url)
        if not self.has_change_permission(request, account):
            self.message_user(
                request,
                gettext("You may look at Chatwoot accounts, but not change them."),
                messages.ERROR,
            )
        else:
            self._read(request, account)
        return HttpResponseRedirect(admin_url(account))

    def _read(self, request: HttpRequest, account: ChatwootAccount) -> None:
        try:
            counts = sync.pull(account, now=timezone.now())
        except BridgeError as err:
            self.message_user(request, _failure(account, err), messages.ERROR)
            return
        except ImproperlyConfigured as err:  # no key reads the token
            self.message_user(request, str(err), messages.ERROR)
            return
        text = gettext("“%(account)s” was read: %(counts)s.")
        said = {"account": account, "counts": ", ".join(_counted(counts))}
        self.message_user(request, text % said, messages.SUCCESS)


def _counted(counts: dict[str, int]) -> list[str]:
    sentences = (
        ngettext("%d team", "%d teams", counts["teams"]),
        ngettext("%d agent", "%d agents", counts["agents"]),
        ngettext("%d label", "%d labels", counts["labels"]),
        ngettext("%d attribute", "%d attributes", counts["attribute_definitions"]),
        ngettext("%d inbox", "%d inboxes", counts["inboxes"]),
    )
    return [text % n for text, n in zip(sentences, counts.values(), strict=True)]


def _failure(account: ChatwootAccount, err: BridgeError) -> str:
    """Say what went wrong, what it means and what to do."""
    values = {"account": account, "error": err}
    if isinstance(err, ConfigurationError):
        text = gettext(
            "“%(account)s” has no administrator token, and a bot may read neither "
            "teams nor agents. Enter the access token of an administrator's profile "
            "below, save, and try again."
        )
    elif isinstance(err, Unauthorized):
        text = gettext(
            "“%(account)s”: Chatwoot does not accept the administrator token, so "
            "nothing was read, and what was known stays. Enter a new one. (%(error)s)"
        )
    elif isinstance(err, UpstreamRejected):
        text = gettext(
            "“%(account)s”: Chatwoot does not let the owner of the administrator "
            "token read this, or address and account number are wrong. Nothing was "
            "read, and what was known stays. (%(error)s)"
        )
    elif isinstance(err, UpstreamError) and err.retryable:
        text = gettext(
            "“%(account)s”: Chatwoot could not be reached, or is overloaded. Nothing "
            "was read, and what was known stays. Try again later. (%(error)s)"
        )
    else:
        text = gettext("“%(account)s” could not be read. %(error)s")
    return text % values
