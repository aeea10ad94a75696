"""What operators do to one conversation, from its page: buttons, and “Answer again”."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.contrib import messages
from django.core.exceptions import ImproperlyConfigured, PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.translation import gettext
from django.views.decorators.http import require_POST

from bridge_project.lib.admin_base import StoryAdmin, admin_url
from bridge_project.lib.errors import BridgeError
from bridge_project.lib.health import describe
from conversations import interventions, tasks
from conversations.admin import paused
from conversations.admin.event_replay import ForesightView
from conversations.models import Conversation, ConversationStatus, DifyConversation

logger = logging.getLogger(__name__)

# Each operation is a method of the same name, for those with the permission.
PERMISSIONS: Mapping[str, str] = {
    "pause_bot": "act",
    "resume_bot": "act",
    "hand_over": "act",
    "new_dify_conversation": "act",
    "delete_in_dify": "forget",
    "erase_contact": "erase",
}


@dataclass(frozen=True)
class Operation:
    """A button: what it is called, and where it goes; `asks` first with a page."""

    title: str
    url: str
    icon: str
    asks: bool = False


class ConversationOperations(StoryAdmin[Conversation]):
    """The buttons above the story, each for those who may press it."""

    def has_act_permission(self, request: HttpRequest) -> bool:
        """The page is read-only for everybody, the actions are for those who may."""
        return request.user.has_perm("conversations.change_conversation")

    def has_erase_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("conversations.delete_conversation")

    def has_forget_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("conversations.change_difyconversation")

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view
        return [
            path(
                "<int:conversation_id>/answer/",
                view(self.answer_view),
                name="conversations_conversation_answer",
            ),
            path(
                "<int:conversation_id>/do/<slug:operation>/",
                view(require_POST(self.operate_view)),
                name="conversations_conversation_do",
            ),
            *super().get_urls(),
        ]

    def story_for(self, request: HttpRequest, row: Conversation) -> dict[str, object]:
        """Add the buttons for whoever looks at the page."""
        operations = self._operations(request, row)
        return {**super().story_for(request, row), "operations": operations}

    def _operations(self, request: HttpRequest, row: Conversation) -> list[Operation]:
        found = []
        if self.has_act_permission(request):
            found += self._of_operators(row)
        in_dify = DifyConversation.objects.filter(conversation=row, deleted_at=None)
        if self.has_forget_permission(request) and in_dify.exists():
            title = gettext("Delete in Dify…")
            found.append(_button(row, "delete_in_dify", title, "delete"))
        if self.has_erase_permission(request) and row.chatwoot_contact_id:
            found.append(
                _button(
                    row,
                    "erase_contact",
                    gettext("Erase this contact…"),
                    "person_remove",
                )
            )
        return found

    def _of_operators(self, row: Conversation) -> list[Operation]:
        answer = reverse("admin:conversations_conversation_answer", args=[row.pk])
        found = [Operation(gettext("Answer again…"), answer, "replay", asks=True)]
        if row.paused:
            title = gettext("Let the bot speak again")
            found.append(_button(row, "resume_bot", title, "play_arrow"))
        else:
            title = gettext("Pause the bot")
            found.append(_button(row, "pause_bot", title, "pause"))
        if row.status != ConversationStatus.OPEN:
            title = gettext("Hand over to the humans")
            found.append(_button(row, "hand_over", title, "support_agent"))
        if row.dify_conversations.filter(ended_at=None).exists():
            title = gettext("Start a new Dify conversation")
            found.append(_button(row, "new_dify_conversation", title, "restart_alt"))
        return found

    # --- One button ------------------------------------------------------------------

    def operate_view(
        self, request: HttpRequest, conversation_id: int, operation: str
    ) -> HttpResponse:
        """Do what a button says, and come back to the page."""
        row = self._get(request, conversation_id)
        if operation not in PERMISSIONS:
            raise Http404
        if not getattr(self, f"has_{PERMISSIONS[operation]}_permission")(request):
            raise PermissionDenied
        rows = self.get_queryset(request).filter(pk=row.pk)
        answer: HttpResponse | None = getattr(self, operation)(request, rows)
        return answer or HttpResponseRedirect(admin_url(row))

    def hand_over(
        self, request: HttpRequest, queryset: QuerySet[Conversation]
    ) -> HttpResponse | None:
        """Give it to the humans, in Chatwoot."""
        row, by = queryset.get(), request.user.get_username()
        try:
            text = interventions.hand_over(row, by=by)
        except (BridgeError, ImproperlyConfigured) as err:
            self.message_user(request, in_words(err), messages.ERROR)
        else:
            self.message_user(request, text, messages.SUCCESS)
        return None

    def new_dify_conversation(
        self, request: HttpRequest, queryset: QuerySet[Conversation]
    ) -> HttpResponse | None:
        """Let the next message begin a new one."""
        row, by = queryset.get(), request.user.get_username()
        try:
            interventions.new_dify_conversation(row, by=by)
        except BridgeError as err:
            self.message_user(request, in_words(err), messages.ERROR)
        else:
            text = gettext(
                "The customer's next message begins a new Dify conversation, without "
                "the memory of this one."
            )
            self.message_user(request, text, messages.SUCCESS)
        return None

    # --- Answer again -----------------------------------------------------------------

    def answer_view(self, request: HttpRequest, conversation_id: int) -> HttpResponse:
        """Show what would be answered, then have it answered."""
        row = self._get(request, conversation_id)
        if not self.has_act_permission(request):
            raise PermissionDenied
        if request.method == "POST":
            return self._answer(request, row)
        context = {
            **self.admin_site.each_context(request),
            **_plan(row),
            "opts": self.model._meta,
            "title": gettext("Answer again in conversation %(number)s")
            % {"number": row},
            "subtitle": None,
            "original": row,
            "back_url": admin_url(row),
        }
        template = "admin/conversations/conversation/answer.html"
        return TemplateResponse(request, template, context)

    def _answer(self, request: HttpRequest, row: Conversation) -> HttpResponse:
        try:
            result = interventions.answer_again(
                row,
                by=request.user.get_username(),
                give_back="give_back" in request.POST,
                force="force" in request.POST,
            )
        except (BridgeError, ImproperlyConfigured) as err:
            self.message_user(request, in_words(err), messages.ERROR)
            return HttpResponseRedirect(request.path)
        if result.turn is None:
            self.message_user(request, result.text, messages.WARNING)
            return HttpResponseRedirect(admin_url(row))
        tasks.wake_turn(result.turn.pk)
        self.message_user(request, result.text, messages.SUCCESS)
        return HttpResponseRedirect(admin_url(result.turn))

    def _get(self, request: HttpRequest, conversation_id: int) -> Conversation:
        row = self.get_object(request, str(conversation_id))
        if row is None:
            raise Http404
        return row


def in_words(err: BridgeError | ImproperlyConfigured) -> str:
    """Say what went wrong in a sentence, with what the platform said."""
    if isinstance(err, interventions.Refused):
        return err.message
    if isinstance(err, BridgeError):
        return gettext("It did not work: %(error)s") % {"error": describe(err)}
    logger.warning("A secret cannot be read: %s", err)
    return gettext(
        "It did not work: a token of the account cannot be read with the keys that the "
        "bridge has. Enter it anew at the Chatwoot account."
    )


def _button(row: Conversation, name: str, title: str, icon: str) -> Operation:
    url = reverse("admin:conversations_conversation_do", args=[row.pk, name])
    return Operation(title, url, icon)


def _plan(row: Conversation) -> dict[str, Any]:
    """Return what would be answered, and which ticks the operator is offered."""
    bot = paused.bot_of(row)
    gives_back = bot is not None and row.status not in bot.speak_in_statuses
    events, seen = interventions.foresee_answer(row, give_back=gives_back)
    is_answered = not events
    if is_answered:
        events, seen = interventions.foresee_answer(
            row, give_back=gives_back, force=True
        )
    return {
        "rows": [
            ForesightView(event, found)
            for event, found in zip(events, seen, strict=True)
        ],
        "is_answered": is_answered,
        "gives_back": gives_back,
        "offers_force": is_answered or any(found.needs_force for found in seen),
        "may_answer": any(found.would_do or found.needs_force for found in seen),
    }
