"""Outgoing messages: what the bridge posted in Chatwoot."""

from __future__ import annotations

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils.html import format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from bridge_project.lib.admin_base import (
    NOTHING,
    ReadOnlyAdmin,
    moment,
    shortened,
    text_block,
)
from conversations.admin import posted_words
from conversations.admin.base import (
    chatwoot_link,
    conversation_link,
    number_in,
    turn_link,
    turns_of_number,
)
from conversations.admin.story import post_badge
from conversations.models import OutgoingMessage


@admin.register(OutgoingMessage)
class OutgoingMessageAdmin(ReadOnlyAdmin[OutgoingMessage]):
    """What the bridge said, and whether it is known to have arrived."""

    list_display = (
        "created",
        "part",
        "state",
        "beginning",
        "private",
        "conversation",
        "of_turn",
    )
    list_filter = ("part", "private", "created_at")
    ordering = ("-id",)
    sortable_by = ()
    search_fields = ("mark",)
    search_help_text = _("Conversation or message number, mark")
    fields = (
        "state",
        "part_of_answer",
        "private",
        "whole_content",
        "besides",
        "of_turn",
        "conversation",
        "in_chatwoot",
        "chatwoot_message_id",
        "mark",
        "created_at",
        "posted_at",
    )

    @admin.display(description=_("created"))
    def created(self, post: OutgoingMessage) -> SafeString:
        return moment(post.created_at)

    @admin.display(description=_("state"))
    def state(self, post: OutgoingMessage) -> SafeString:
        return post_badge(post, is_over=post.turn.finished_at is not None)

    @admin.display(description=_("content"))
    def beginning(self, post: OutgoingMessage) -> str:
        return shortened(post.content)

    @admin.display(description=_("content"))
    def whole_content(self, post: OutgoingMessage) -> SafeString:
        return text_block(post.content)

    @admin.display(description=_("part"))
    def part_of_answer(self, post: OutgoingMessage) -> str:
        return posted_words.part(post)

    @admin.display(description=_("besides the text"))
    def besides(self, post: OutgoingMessage) -> SafeString:
        return format_html_join(
            "", "<div>{}</div>", [[x] for x in posted_words.beside(post)]
        ) or (SafeString(NOTHING))

    @admin.display(description=_("conversation"))
    def conversation(self, post: OutgoingMessage) -> SafeString:
        return conversation_link(post.turn.conversation)

    @admin.display(description=_("Chatwoot"))
    def in_chatwoot(self, post: OutgoingMessage) -> SafeString:
        return chatwoot_link(post.turn.conversation)

    @admin.display(description=_("turn"))
    def of_turn(self, post: OutgoingMessage) -> SafeString:
        return turn_link(post.turn)

    def get_queryset(self, request: HttpRequest) -> QuerySet[OutgoingMessage]:
        return (
            super().get_queryset(request).select_related("turn__conversation__account")
        )

    def get_search_results(
        self,
        request: HttpRequest,
        queryset: QuerySet[OutgoingMessage],
        search_term: str,
    ) -> tuple[QuerySet[OutgoingMessage], bool]:
        text = search_term.strip()
        if not text:
            return queryset, False
        number = number_in(text)
        if number is not None:
            turns = turns_of_number(number)
            return queryset.filter(
                Q(chatwoot_message_id=number) | Q(turn__in=turns)
            ), False
        # A mark is a UUID; anything else in its place would be an error.
        is_mark = len(text.replace("-", "")) == 32 and set(text.lower()) <= set(
            "0123456789abcdef-"
        )
        return (queryset.filter(mark=text) if is_mark else queryset.none()), False
