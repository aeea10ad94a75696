"""Conversations: their list, and the page that tells the whole story of one."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.contrib.humanize.templatetags.humanize import intcomma
from django.db.models import Q, QuerySet, Sum
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.timesince import timesince
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from bridge_project.lib.admin_base import (
    NOTHING,
    admin_link,
    badge,
    json_block,
    list_url,
    moment,
    outside_link,
)
from bridge_project.lib.words import listed, words_query
from chatwoot_api.models import ChatwootAccount
from conversations.admin import paused, timeline
from conversations.admin.base import (
    chatwoot_link,
    conversation_badge,
    number_in,
    price_in_words,
)
from conversations.admin.conversation_actions import ConversationActions
from conversations.admin.conversation_filters import (
    BotFilter,
    DropdownRelated,
    PausedFilter,
    WaitingFilter,
)
from conversations.models import (
    Callback,
    Conversation,
    DifyConversation,
    PipelineRun,
    Turn,
    WebhookEvent,
)
from conversations.models.conversation import CONTACT_WORDS

LATEST = 20


@admin.register(Conversation)
class ConversationAdmin(ConversationActions):
    """The mirror of Chatwoot's conversations."""

    list_display = (
        "number",
        "state",
        "waits",
        "bot_is",
        "contact",
        "inbox_name",
        "assignee",
        "customer_wrote",
        "bot_answered",
        "in_chatwoot",
    )
    list_filter = (
        WaitingFilter,
        "status",
        PausedFilter,
        BotFilter,
        ("inbox", DropdownRelated),
        "account",
        "updated_at",
    )
    ordering = ("-updated_at",)
    sortable_by = ()
    search_fields = ("contact_name",)
    search_help_text = _("Number of the conversation or contact, contact's name")
    change_form_template = "admin/conversations/conversation/change_form.html"

    @admin.display(description=_("conversation"))
    def number(self, conversation: Conversation) -> str:
        return str(conversation)

    @admin.display(description=_("status"))
    def state(self, conversation: Conversation) -> SafeString:
        return conversation_badge(conversation)

    @admin.display(description=_("waits for"))
    def waits(self, conversation: Conversation) -> SafeString | str:
        since = conversation.waiting_since
        return NOTHING if since is None else badge(timesince(since), tone="warn")

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
        """Search where an index helps: numbers, and words or their beginnings."""
        text = search_term.strip()
        if not text:
            return queryset, False
        query = words_query(text)
        if query is None:
            return queryset.none(), False
        found = Q(name_words=query)
        number = number_in(text)
        if number is not None:
            # Both indexes begin with the account, and there are few of those.
            accounts = list(ChatwootAccount.objects.values_list("pk", flat=True))
            found |= Q(account__in=accounts, chatwoot_conversation_id=number)
            found |= Q(account__in=accounts, chatwoot_contact_id=number)
        matching = queryset.alias(name_words=CONTACT_WORDS).filter(found)
        by = "updated_at"
        return listed(queryset, found=matching, request=request, by=by), False

    def get_ordering(self, request: HttpRequest) -> tuple[str, ...]:
        """Who waits longest comes first where only those who wait are shown."""
        if request.GET.get(WaitingFilter.parameter_name) == "yes":
            return ("waiting_since", "pk")
        return self.ordering

    def story_for(self, request: HttpRequest, row: Conversation) -> dict[str, object]:
        """Return also the part of the story that the address asks for."""
        page = timeline.page_of(row, before=request.GET.get("before", ""))
        return {**super().story_for(request, row), "page": page}

    def story(self, row: Conversation) -> dict[str, object]:
        """Return the conversation as its page shows it."""
        return _story(row)


def _pause_badge(*, is_paused: bool) -> SafeString:
    if is_paused:
        return badge(gettext("paused"), tone="warn")
    return format_html("{}", NOTHING)


def _waiting_badge(since: datetime | None) -> SafeString | str:
    if since is None:
        return ""
    text = gettext("waits for an answer: %(time)s") % {"time": timesince(since)}
    return badge(text, tone="warn")


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
    bot = paused.bot_of(conversation)
    why_paused = paused.why_paused(conversation, bot=bot)
    return {
        "conversation": conversation,
        "title": gettext("Conversation %(number)s") % {"number": conversation},
        "state": conversation_badge(conversation),
        "paused": _pause_badge(is_paused=True) if why_paused else "",
        "waits": _waiting_badge(conversation.waiting_since),
        "why_paused": why_paused,
        "contact": _contact(conversation),
        "assignee": _assignee(conversation),
        "bot_link": admin_link(bot),
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
        "all_turns": list_url(Turn, conversation__id__exact=conversation.pk),
        "all_events": list_url(WebhookEvent, conversation__id__exact=conversation.pk),
        "all_callbacks": list_url(Callback, conversation__id__exact=conversation.pk),
        "memories": list(_memories(conversation)),
        **_cost(conversation),
    }


def _memories(
    conversation: Conversation,
) -> Iterator[tuple[DifyConversation, SafeString, SafeString | str]]:
    rows = conversation.dify_conversations.select_related("app").order_by("-pk")
    for memory in rows[:LATEST]:
        log_url = memory.app.log_url()
        log = outside_link(log_url, text=_("log in Dify")) if log_url else ""
        yield memory, admin_link(memory), log


def _cost(conversation: Conversation) -> dict[str, str]:
    """Add up what the conversation's runs cost, each currency by itself."""
    rows = (
        PipelineRun.objects.filter(turn__conversation=conversation)
        .order_by()
        .values_list("currency")
        .annotate(tokens=Sum("total_tokens"), price=Sum("total_price"))
    )
    found = list(rows)
    prices = [price_in_words(price, currency) for currency, _, price in found if price]
    tokens = sum(tokens or 0 for _, tokens, _ in found)
    return {
        "tokens": intcomma(tokens) if tokens else NOTHING,
        "cost": " + ".join(prices) or NOTHING,
    }
