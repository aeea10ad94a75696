"""Teams, labels, attributes: as in Chatwoot, side by side with what is wanted."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils.functional import cached_property
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from bridge_project.lib.admin_base import admin_url, moment
from bridge_project.lib.types import JsonObject
from chatwoot_api import wish_files, wishes
from chatwoot_api.models import ChatwootAccount, Wish
from chatwoot_api.wishes import Row, State
from conversations import jobs
from conversations.admin import wish_words
from conversations.admin.page import AdminPage
from conversations.jobs.kinds import pull
from conversations.models import Job

ROWS_PER_PAGE = 100
# Who may change what is wanted here, and who may read and write Chatwoot with it.
MAY_WANT = "chatwoot_api.change_wish"
MAY_PUSH = "chatwoot_api.change_chatwootaccount"


class AccountPage(AdminPage):
    """A page about one account's teams, labels or attributes."""

    title = _("Teams, labels, attributes")
    permission_required: str | tuple[str, ...] = "chatwoot_api.view_wish"

    @cached_property
    def account(self) -> ChatwootAccount:
        return get_object_or_404(ChatwootAccount, pk=self.kwargs["account_id"])

    @cached_property
    def kind(self) -> str:
        """The chosen kind; teams, unless another one is."""
        given = self.kwargs.get("kind") or self.request.GET.get("kind", "")
        given = self.request.POST.get("kind", given)
        return given if given in wish_words.KINDS else str(Wish.Kind.TEAM)

    @property
    def user_name(self) -> str:
        return str(self.request.user.get_username())

    def back_url(self, *, state: str = "") -> str:
        return list_url(self.account, self.kind, state=state)

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        context = super().get_context_data(**kwargs)
        return {
            **context,
            "account": self.account,
            "kind": self.kind,
            "kind_words": wish_words.KINDS[self.kind],
            "back_url": self.back_url(),
        }


class WishesPage(AccountPage):
    """The comparison, from what was last read from Chatwoot."""

    template_name = "admin/chatwoot_api/wishes/list.html"

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if self.chosen is None:
            self.template_name = "admin/chatwoot_api/wishes/no_account.html"
            return self.render_to_response(AdminPage.get_context_data(self))
        return super().get(request, *args, **kwargs)

    @cached_property
    def accounts(self) -> list[ChatwootAccount]:
        return list(ChatwootAccount.objects.order_by("name", "pk")[:100])

    @cached_property
    def chosen(self) -> ChatwootAccount | None:
        """The account of the address, or the first one."""
        wanted = self.request.GET.get("account", "")
        known = (row for row in self.accounts if str(row.pk) == wanted)
        return next(known, self.accounts[0] if self.accounts else None)

    @cached_property
    def account(self) -> ChatwootAccount:
        return self.chosen or self.accounts[0]

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        rows = wishes.compare(self.account, self.kind)
        state = self.request.GET.get("state", "")
        shown = [row for row in rows if state in ("", row.state)]
        paginator = Paginator(shown, ROWS_PER_PAGE)
        page = paginator.get_page(self.request.GET.get("page"))
        user = self.request.user
        return {
            **super().get_context_data(**kwargs),
            "accounts": self.accounts,
            "tabs": [
                (words, list_url(self.account, kind), kind == self.kind)
                for kind, words in wish_words.KINDS.items()
            ],
            "states": self._states(rows, chosen=state),
            "state": state,
            "page": page,
            "rows": [_shown(row) for row in page],
            "total": len(rows),
            "unknown": sum(row.state == State.UNKNOWN_HERE for row in rows),
            "read_at": moment(self.account.mirrored_at),
            "is_read": self.account.mirrored_at is not None,
            "job": self._running_job(),
            "may_want": user.has_perm(MAY_WANT),
            "may_push": user.has_perm(MAY_PUSH),
        }

    def _states(
        self, rows: list[Row], *, chosen: str
    ) -> list[tuple[str, str, int, bool]]:
        """Return the filters: words, address, how many, whether it is chosen."""
        counts = dict.fromkeys(State, 0)
        for row in rows:
            counts[row.state] += 1
        every = (gettext("all"), self.back_url(), len(rows), chosen == "")
        return [
            every,
            *(
                (
                    str(state.label),
                    self.back_url(state=state),
                    count,
                    chosen == state,
                )
                for state, count in counts.items()
            ),
        ]

    def _running_job(self) -> tuple[str, str] | None:
        """Return words and address of a reading or writing that is not over."""
        job = (
            Job.objects.filter(
                account=self.account,
                kind__in=("pull", "push"),
                status__in=(Job.Status.WAITING, Job.Status.RUNNING),
            )
            .order_by("-pk")
            .first()
        )
        if job is None:
            return None
        if job.kind == "pull":
            return gettext("Chatwoot is being read."), admin_url(job)
        return gettext("Chatwoot is being written to."), admin_url(job)


class AdoptPage(AccountPage):
    """Takes what Chatwoot has as wanted; asks before it overwrites something."""

    permission_required = ("chatwoot_api.view_wish", MAY_WANT)
    template_name = "admin/chatwoot_api/wishes/confirm.html"

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        identity = request.POST.get("identity", "")
        chosen = {identity} if identity else None
        count = wishes.adopt(
            self.account, self.kind, by=self.user_name, identities=chosen
        )
        text = ngettext(
            "%(count)d is wanted now as Chatwoot has it.",
            "%(count)d are wanted now as Chatwoot has them.",
            count,
        )
        if count:
            messages.success(request, text % {"count": count})
        else:
            messages.info(
                request,
                gettext("Chatwoot has nothing that is not wanted here already."),
            )
        return HttpResponseRedirect(self.back_url())

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        identity = self.request.GET.get("identity", "")
        rows = wishes.compare(self.account, self.kind)
        row = next((row for row in rows if row.identity == identity), None)
        context = super().get_context_data(**kwargs)
        return {
            **context,
            "text": gettext(
                "What is wanted here is overwritten with what Chatwoot has. Nothing "
                "is changed in Chatwoot."
            ),
            "name": row.name if row else identity,
            # What is wanted is what is overwritten.
            "lines": [
                wish_words.Line(
                    field=wish_words.field_words(one.field),
                    before=wish_words.value_words(one.wanted, field=one.field),
                    after=wish_words.value_words(one.there, field=one.field),
                )
                for one in (row.differences if row else ())
            ],
            "identity": identity,
            "button": gettext("Take it as in Chatwoot"),
        }


class ForgetPage(AccountPage):
    """Lets go of something wanted; Chatwoot keeps what it has."""

    permission_required = ("chatwoot_api.view_wish", MAY_WANT)
    template_name = "admin/chatwoot_api/wishes/confirm.html"

    @cached_property
    def wish(self) -> Wish:
        rows = Wish.objects.filter(account=self.account, kind=self.kind)
        return get_object_or_404(rows, pk=self.kwargs["wish_id"])

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        name = str(self.wish)
        self.wish.delete()
        text = gettext("“%(name)s” is no longer wanted here. Chatwoot was not changed.")
        messages.success(request, text % {"name": name})
        return HttpResponseRedirect(self.back_url())

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return {
            **super().get_context_data(**kwargs),
            "text": gettext(
                "What is wanted here of it is deleted. If Chatwoot has it, it stays "
                "there, and is “unknown here” from then on."
            ),
            "name": str(self.wish),
            "lines": wish_words.lines(wanted_fields(self.wish), {}),
            "button": gettext("Forget it"),
        }


class PullPage(AccountPage):
    """Orders the reading of Chatwoot; its page shows how far that is."""

    permission_required = ("chatwoot_api.view_wish", MAY_PUSH)
    http_method_names = ["post"]

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        job = jobs.start(
            "pull", items=pull.items(), actor=self.user_name, account=self.account
        )
        return HttpResponseRedirect(admin_url(job))


class ExportPage(AccountPage):
    """Gives what is wanted as a file, the same as those of the seed commands."""

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        is_all = request.GET.get("kind") == "all"
        kinds = list(wish_words.KINDS) if is_all else [self.kind]
        text = wish_files.export(self.account, kinds)
        if not text:
            messages.info(
                request, gettext("Nothing is wanted yet, so there is nothing to save.")
            )
            return HttpResponseRedirect(self.back_url())
        name = "chatwoot" if is_all else wish_files.LISTS[self.kind]
        response = HttpResponse(text, content_type="application/yaml; charset=utf-8")
        response["Content-Disposition"] = (
            f'attachment; filename="{name}-{self.account.key}.yaml"'
        )
        return response


def list_url(account: ChatwootAccount, kind: str, *, state: str = "") -> str:
    """Return the address of the comparison."""
    query = {"account": account.pk, "kind": kind, **({"state": state} if state else {})}
    return f"{reverse('bridge:wishes')}?{urlencode(query)}"


def wanted_fields(wish: Wish) -> JsonObject:
    """Return what is wanted, members included."""
    return dict(wishes.wanted_of(wish).fields)


def _shown(row: Row) -> dict[str, Any]:
    there = row.there.fields if row.there is not None else {}
    wanted = wanted_fields(row.wish) if row.wish is not None else {}
    return {
        "name": row.name,
        "identity": row.identity,
        "wish": row.wish,
        "badge": wish_words.state_badge(row.state),
        "is_unknown": row.state == State.UNKNOWN_HERE,
        "differs": row.state == State.DIFFERS,
        "is_there": row.there is not None,
        "color": wanted.get("color") or there.get("color") or "",
        "there": list(wish_words.facts(there)),
        "wanted": list(wish_words.facts(wanted)),
        "differences": [
            wish_words.Line(
                field=wish_words.field_words(one.field),
                before=wish_words.value_words(one.there, field=one.field),
                after=wish_words.value_words(one.wanted, field=one.field),
            )
            for one in row.differences
        ],
        "strangers": ", ".join(row.strangers),
    }
