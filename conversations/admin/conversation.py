"""Conversations: what we last heard of each, with its turns and events."""

from __future__ import annotations

from collections.abc import Callable

from django.contrib import admin, messages
from django.contrib.admin.views.main import ChangeList
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from bridge_project.lib.admin_base import (
    NOTHING,
    StoryAdmin,
    admin_link,
    badge,
    json_block,
    list_url,
    moment,
)
from conversations import erasure, pauses
from conversations.admin import confirm, paused
from conversations.admin.base import (
    action_badge,
    chatwoot_link,
    conversation_badge,
    event_badge,
    number_in,
    time_to_answer,
    turn_badge,
)
from conversations.admin.story import CallbackView
from conversations.models import Callback, Conversation, Turn, WebhookEvent

LATEST = 20
LATEST_CALLBACKS = 10


@admin.register(Conversation)
class ConversationAdmin(StoryAdmin[Conversation]):
    """The mirror of Chatwoot's conversations."""

    list_display = (
        "number",
        "state",
        "bot_is",
        "contact",
        "inbox_name",
        "assignee",
        "customer_wrote",
        "bot_answered",
        "in_chatwoot",
    )
    list_filter = ("status", "paused", "inbox", "account", "updated_at")
    actions = ("pause_bot", "resume_bot", "erase_contact")
    ordering = ("-updated_at",)
    sortable_by = ()
    search_fields = ("contact_name",)
    search_help_text = _("Conversation number or contact's name")
    change_form_template = "admin/conversations/conversation/change_form.html"

    @admin.display(description=_("conversation"))
    def number(self, conversation: Conversation) -> str:
        return str(conversation)

    @admin.display(description=_("status"))
    def state(self, conversation: Conversation) -> SafeString:
        return conversation_badge(conversation)

    @admin.display(description=_("bot"))
    def bot_is(self, conversation: Conversation) -> SafeString:
        return _pause_badge(is_paused=getattr(conversation, "is_paused", False))

    @admin.display(description=_("contact"))
    def contact(self, conversation: Conversation) -> str:
        return _contact(conversation)

    @admin.display(description=_("inbox"))
    def inbox_name(self, conversation: Conversation) -> str:
        return str(conversation.inbox or NOTHING)

    @admin.display(description=_("assignee"))
    def assignee(self, conversation: Conversation) -> str:
        return _assignee(conversation)

    @admin.display(description=_("last customer message"))
    def customer_wrote(self, conversation: Conversation) -> SafeString:
        return moment(conversation.last_customer_message_at)

    @admin.display(description=_("last bot answer"))
    def bot_answered(self, conversation: Conversation) -> SafeString:
        return moment(conversation.last_bot_message_at)

    @admin.display(description=_("Chatwoot"))
    def in_chatwoot(self, conversation: Conversation) -> SafeString:
        return chatwoot_link(conversation)

    def has_act_permission(self, request: HttpRequest) -> bool:
        """The page is read-only for everybody, the actions are for those who may."""
        return request.user.has_perm("conversations.change_conversation")

    def has_erase_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("conversations.delete_conversation")

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
        for account, contact_id in dict.fromkeys(
            (row.account, row.chatwoot_contact_id or 0) for row in rows
        ):
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

    def get_queryset(self, request: HttpRequest) -> QuerySet[Conversation]:
        return super().get_queryset(request).select_related("account", "inbox")

    def get_changelist_instance(self, request: HttpRequest) -> ChangeList:
        """Note which rows of the page are paused."""
        changelist = super().get_changelist_instance(request)
        found = paused.paused_among(changelist.result_list)
        for row in changelist.result_list:
            row.is_paused = row.pk in found
        return changelist

    def get_search_results(
        self,
        request: HttpRequest,
        queryset: QuerySet[Conversation],
        search_term: str,
    ) -> tuple[QuerySet[Conversation], bool]:
        text = search_term.strip()
        if not text:
            return queryset, False
        found = Q(contact_name__icontains=text)
        number = number_in(text)
        if number is not None:
            found |= Q(chatwoot_conversation_id=number)
        return queryset.filter(found), False

    def story(self, row: Conversation) -> dict[str, object]:
        """Return the conversation as its page shows it."""
        return _story(row)


def _switch(
    rows: QuerySet[Conversation], change: Callable[..., bool], *, by: str
) -> tuple[int, int]:
    """Pause or resume; return how many were changed and how many were so already."""
    changed = [change(row, by=by) for row in rows]
    return sum(changed), len(changed) - sum(changed)


def _pause_badge(*, is_paused: bool) -> SafeString:
    if is_paused:
        return badge(gettext("paused"), tone="warn")
    return format_html("{}", NOTHING)


def _contact(conversation: Conversation) -> str:
    name, number = conversation.contact_name, conversation.chatwoot_contact_id
    if number is None:
        return name or NOTHING
    return f"{name} (#{number})" if name else f"#{number}"


def _assignee(conversation: Conversation) -> str:
    if conversation.chatwoot_assignee_id is None:
        return NOTHING
    name = conversation.assignee_name or f"#{conversation.chatwoot_assignee_id}"
    is_human = conversation.assignee_kind == "user"
    return name if is_human else gettext("%(name)s (bot)") % {"name": name}


def _story(conversation: Conversation) -> dict[str, object]:
    why_paused = paused.why_paused(conversation, bot=paused.bot_of(conversation))
    return {
        "conversation": conversation,
        "title": gettext("Conversation %(number)s") % {"number": conversation},
        "state": conversation_badge(conversation),
        "paused": _pause_badge(is_paused=True) if why_paused else "",
        "why_paused": why_paused,
        "contact": _contact(conversation),
        "assignee": _assignee(conversation),
        "inbox_link": admin_link(conversation.inbox),
        "account_link": admin_link(conversation.account),
        "chatwoot_link": chatwoot_link(conversation),
        "attributes": [
            (title, json_block(value))
            for title, value in (
                (gettext("Custom attributes"), conversation.custom_attributes),
                (
                    gettext("The contact's custom attributes"),
                    conversation.contact_custom_attributes,
                ),
                (gettext("Additional attributes"), conversation.additional_attributes),
            )
            if value
        ],
        "turns": _turns(conversation),
        "all_turns": list_url(Turn, conversation__id__exact=conversation.pk),
        "callbacks": [
            CallbackView(callback)
            for callback in conversation.callbacks.defer("calls").order_by("-pk")[
                :LATEST_CALLBACKS
            ]
        ],
        "events": _events(conversation),
        "all_events": list_url(WebhookEvent, conversation__id__exact=conversation.pk),
        "all_callbacks": list_url(Callback, conversation__id__exact=conversation.pk),
        "memories": [
            (memory, admin_link(memory))
            for memory in conversation.dify_conversations.select_related(
                "app"
            ).order_by("-pk")[:LATEST]
        ],
    }


def _turns(conversation: Conversation) -> list[dict[str, object]]:
    rows = conversation.turns.select_related("bot").order_by("-pk")[:LATEST]
    return [
        {
            "turn": turn,
            "link": admin_link(turn, text=gettext("Turn %(id)s") % {"id": turn.pk}),
            "state": turn_badge(turn),
            "bot": admin_link(turn.bot),
            "took": time_to_answer(turn),
        }
        for turn in rows
    ]


def _events(conversation: Conversation) -> list[dict[str, object]]:
    rows = conversation.events.defer("payload").order_by("-pk")[:LATEST]
    return [
        {
            "event": event,
            "link": admin_link(event, text=event.name),
            "state": event_badge(event),
            "decision": action_badge(event),
        }
        for event in rows
    ]
