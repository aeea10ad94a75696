"""Compares with Chatwoot itself, shows the difference, and orders what is ticked."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.core import signing
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.translation import gettext, ngettext

from bridge_project.lib.admin_base import admin_url
from bridge_project.lib.errors import BridgeError
from chatwoot_api import pushing, seeding, sync, wishes
from chatwoot_api.client import ChatwootClient
from chatwoot_api.models import Wish
from chatwoot_api.seeding import Change
from conversations import jobs
from conversations.admin import wish_words
from conversations.admin.wishes import MAY_PUSH, AccountPage
from conversations.jobs.kinds import push

# One page has no more; what is left is shown when it is compared again.
MAX_CHANGES = 500
# Of how many deletions Chatwoot is asked what they would touch.
MAX_COUNTED = 10
SHOWN_FOR_S = 3600
_SALT = "wishes-push"


class PushPage(AccountPage):
    """What is shown is signed into the page, so that it is what gets written."""

    permission_required = ("chatwoot_api.view_wish", MAY_PUSH)
    template_name = "admin/chatwoot_api/wishes/push.html"

    @property
    def salt(self) -> str:
        """Bind a comparison to its account and to who has seen it."""
        return f"{_SALT}:{self.account.pk}:{self.request.user.pk}"

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        try:
            shown = signing.loads(
                request.POST.get("shown", ""), salt=self.salt, max_age=SHOWN_FOR_S
            )
        except signing.BadSignature:
            return self._again(gettext("The comparison is too old. Here is a new one."))
        ticked = set(request.POST.getlist("change"))
        chosen = [
            (kind, pushing.from_json(change))
            for number, (kind, change) in enumerate(shown)
            if str(number) in ticked
        ]
        if not chosen:
            return self._again(gettext("Nothing was ticked, so nothing is written."))
        deletes = any(change.verb == "delete" for _kind, change in chosen)
        if deletes and "really" not in request.POST:
            return self._again(
                gettext(
                    "Nothing was written: deleting needs the check mark beside the "
                    "button as well."
                )
            )
        job = jobs.start(
            "push",
            items=push.items_of(chosen),
            actor=self.user_name,
            account=self.account,
        )
        return HttpResponseRedirect(admin_url(job))

    def _again(self, sentence: str) -> HttpResponse:
        messages.warning(self.request, sentence)
        return HttpResponseRedirect(self.request.get_full_path())

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        context = super().get_context_data(**kwargs)
        is_one = self.request.GET.get("kind") in wish_words.KINDS
        kinds = [self.kind] if is_one else list(wish_words.KINDS)
        try:
            client = sync.client_of(self.account)
            plans = [
                wishes.plan(client, self.account, kind, prune=True) for kind in kinds
            ]
        except (BridgeError, ImproperlyConfigured) as err:
            said = seeding.sentence(err) if isinstance(err, BridgeError) else str(err)
            text = gettext(
                "Chatwoot could not be asked, so nothing was compared, and nothing is "
                "changed: %(error)s"
            )
            return {**context, "is_one": is_one, "failure": text % {"error": said}}
        every = [(plan.kind.word, change) for plan in plans for change in plan.changes]
        # First what is wanted; what only Chatwoot has is deleted only if ticked.
        every.sort(key=lambda one: one[1].verb == "delete")
        changes = every[:MAX_CHANGES]
        return {
            **context,
            "is_one": is_one,
            "writes": self._shown(changes, deletes=False),
            "deletions": self._deletions(changes, client=client),
            "unchanged": sum(plan.unchanged for plan in plans),
            "left": len(every) - len(changes),
            "notes": [note for plan in plans for note in plan.notes],
            "shown": signing.dumps(
                [(kind, pushing.to_json(change)) for kind, change in changes],
                salt=self.salt,
                compress=True,
            ),
        }

    def _shown(
        self, changes: list[tuple[str, Change]], *, deletes: bool
    ) -> list[dict[str, Any]]:
        verbs = {
            "create": gettext("make"),
            "update": gettext("change"),
            "delete": gettext("delete"),
        }
        return [
            {
                "number": number,
                "kind": Wish.Kind(kind).label,
                "name": change.name,
                "verb": verbs[change.verb],
                "is_new": change.verb == "create",
                "lines": wish_words.lines(change.before, change.fields),
                "change": change,
            }
            for number, (kind, change) in enumerate(changes)
            if (change.verb == "delete") == deletes
        ]

    def _deletions(
        self, changes: list[tuple[str, Change]], *, client: ChatwootClient
    ) -> list[dict[str, Any]]:
        """Say what each deletion would touch."""
        shown = self._shown(changes, deletes=True)
        for counted, row in enumerate(shown):
            kind, change = changes[row["number"]]
            count = (
                _conversations(client, kind, change) if counted < MAX_COUNTED else None
            )
            row["effect"] = _effect(kind, count)
            row["is_used"] = bool(count)
        return shown


def _conversations(client: ChatwootClient, kind: str, change: Change) -> int | None:
    """Ask how many conversations there are; None if that cannot be known."""
    try:
        if kind == Wish.Kind.TEAM:
            return client.conversations_with(team_id=change.number)
        if kind == Wish.Kind.LABEL:
            return client.conversations_with(label=change.name)
    except BridgeError:
        return None
    return None


def _effect(kind: str, count: int | None) -> str:
    if kind == Wish.Kind.ATTRIBUTE:
        return gettext(
            "Values stay at conversations and contacts, but agents no longer see them."
        )
    if count == 0:
        return gettext("No conversation uses it.")
    if kind == Wish.Kind.TEAM:
        if count is None:
            return gettext("Its conversations will have no team.")
        text = ngettext(
            "%(count)d conversation will have no team.",
            "%(count)d conversations will have no team.",
            count,
        )
        return text % {"count": count}
    if count is None:
        return gettext("Conversations may still carry it, without colour.")
    text = ngettext(
        "%(count)d conversation carries it.",
        "%(count)d conversations carry it.",
        count,
    )
    return text % {"count": count}
