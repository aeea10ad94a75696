"""What operators do to conversations, from their list."""

from __future__ import annotations

from collections.abc import Callable

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.html import format_html
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from bridge_project.lib.admin_base import admin_link, admin_url
from conversations import erasure, jobs, pauses
from conversations.admin import confirm, paused
from conversations.admin.conversation_operations import ConversationOperations
from conversations.jobs.kinds import delete_in_dify, erase
from conversations.models import Conversation, DifyConversation

# A page of conversations rarely has more; what is left out can be asked for again.
MAX_MEMORIES = 500


class ConversationActions(ConversationOperations):
    """The actions of the list, which the buttons of the page do as well."""

    actions = ("pause_bot", "resume_bot", "delete_in_dify", "erase_contact")

    @admin.action(description=_("Pause the bot"), permissions=["act"])
    def pause_bot(self, request: HttpRequest, queryset: QuerySet[Conversation]) -> None:
        done, left = _switch(queryset, pauses.pause, by=request.user.get_username())
        text = ngettext(
            "The bot is silent in %(count)d conversation from now on.",
            "The bot is silent in %(count)d conversations from now on.",
            done,
        )
        self._tell(request, text, done=done, left=left)

    @admin.action(description=_("Let the bot speak again"), permissions=["act"])
    def resume_bot(
        self, request: HttpRequest, queryset: QuerySet[Conversation]
    ) -> None:
        done, left = _switch(queryset, pauses.resume, by=request.user.get_username())
        text = ngettext(
            "The bot may speak again in %(count)d conversation. It answers only while "
            "the status is “pending”: set that in Chatwoot if it is another one.",
            "The bot may speak again in %(count)d conversations. It answers only while "
            "the status is “pending”: set that in Chatwoot if it is another one.",
            done,
        )
        self._tell(request, text, done=done, left=left)
        still = len(paused.paused_among(queryset.all()))
        if still:
            text = ngettext(
                "In %(count)d conversation a label or an attribute in Chatwoot keeps "
                "the bot silent all the same; the conversation's page says which.",
                "In %(count)d conversations a label or an attribute in Chatwoot keeps "
                "the bot silent all the same; the conversation's page says which.",
                still,
            )
            self.message_user(request, text % {"count": still}, messages.WARNING)

    def _tell(self, request: HttpRequest, text: str, *, done: int, left: int) -> None:
        if done:
            self.message_user(request, text % {"count": done}, messages.SUCCESS)
        if left:
            same = ngettext(
                "%(count)d conversation was so already.",
                "%(count)d conversations were so already.",
                left,
            )
            self.message_user(request, same % {"count": left}, messages.INFO)

    @admin.action(description=_("Erase this contact…"), permissions=["erase"])
    def erase_contact(
        self, request: HttpRequest, queryset: QuerySet[Conversation]
    ) -> HttpResponse | None:
        """Erase all that is stored of the contacts, in all their conversations."""
        rows = list(queryset.exclude(chatwoot_contact_id=None)[: confirm.MAX_ROWS])
        if not rows:
            text = gettext("No contact is known of this conversation.")
            self.message_user(request, text, messages.ERROR)
            return None
        if not confirm.is_confirmed(request):
            return self._ask_to_erase(request, rows)
        by = request.user.get_username()
        contacts = dict.fromkeys(
            (row.account, row.chatwoot_contact_id or 0) for row in rows
        )
        if len(contacts) > 1:
            job = jobs.start("erase", items=erase.items_of(contacts), actor=by)
            return HttpResponseRedirect(admin_url(job))
        for account, contact_id in contacts:
            wish = erasure.request(account, contact_id, by=by)
            text = format_html(
                gettext(
                    "Contact {contact} is being erased: here within a minute, then in "
                    "Dify. The report says how far it is: {report}"
                ),
                contact=f"#{contact_id}",
                report=admin_link(wish, text=gettext("report")),
            )
            self.message_user(request, text, messages.SUCCESS)
        return None

    @admin.action(description=_("Delete in Dify…"), permissions=["forget"])
    def delete_in_dify(
        self, request: HttpRequest, queryset: QuerySet[Conversation]
    ) -> HttpResponse | None:
        """Have Dify forget all its conversations of these ones, each proven."""
        ids = list(queryset.values_list("pk", flat=True)[: confirm.MAX_ROWS])
        memories = list(
            DifyConversation.objects.filter(conversation__in=ids, deleted_at=None)
            .select_related("app", "conversation")
            .order_by("conversation", "pk")[:MAX_MEMORIES]
        )
        if not memories:
            text = gettext("Nothing to do: Dify has nothing of this that we know of.")
            self.message_user(request, text, messages.INFO)
            return None
        if not confirm.is_confirmed(request):
            return confirm.ask_to_delete_in_dify(
                request,
                self,
                lines=[f"{row.conversation}: {row} ({row.app})" for row in memories],
                selected=ids,
            )
        job = jobs.start(
            "delete_in_dify",
            items=delete_in_dify.items_of(memories),
            actor=request.user.get_username(),
        )
        return HttpResponseRedirect(admin_url(job))

    def _ask_to_erase(
        self, request: HttpRequest, rows: list[Conversation]
    ) -> HttpResponse:
        contacts = {
            (row.account_id, row.chatwoot_contact_id): (
                f"#{row.chatwoot_contact_id} {row.contact_name} ({row.account})"
            )
            for row in rows
        }
        return confirm.ask(
            request,
            self,
            action="erase_contact",
            title=gettext("Erase contacts"),
            text=gettext(
                "Everything that the bridge has stored of these contacts is deleted, "
                "in all their conversations, and their conversations in Dify, too. It "
                "cannot be undone. Delete the contacts in Chatwoot first: what it "
                "sends of them later begins anew."
            ),
            lines=list(contacts.values()),
            selected=[row.pk for row in rows],
            button=gettext("Erase"),
        )


def _switch(
    rows: QuerySet[Conversation], change: Callable[..., bool], *, by: str
) -> tuple[int, int]:
    """Pause or resume; return how many were changed and how many were so already."""
    changed = [change(row, by=by) for row in rows]
    return sum(changed), len(changed) - sum(changed)
