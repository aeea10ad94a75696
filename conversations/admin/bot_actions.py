"""What is done to whole bots: switched on and off, copied; from their list and page."""

from __future__ import annotations

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_POST

from bridge_project.lib.admin_base import BridgeAdmin, admin_url
from conversations import audit
from conversations.admin import confirm
from conversations.models import AuditEntry, Bot

MAX_NAME_CHARS = 100


class BotActions(BridgeAdmin[Bot]):
    """Each action says what it did and is recorded with its user."""

    @admin.action(description=_("Switch on"), permissions=["change"])
    def switch_on(self, request: HttpRequest, queryset: QuerySet[Bot]) -> None:
        by = request.user.get_username()
        changed = [bot for bot in queryset if switch(bot, enabled=True, by=by)]
        sentence = ngettext(
            "%(count)d bot was switched on. It answers from the next message on.",
            "%(count)d bots were switched on. They answer from the next message on.",
            len(changed),
        )
        self.message_user(request, sentence % {"count": len(changed)}, messages.SUCCESS)
        for bot in changed:
            self.warn_of_rivals(request, bot)

    @admin.action(description=_("Switch off…"), permissions=["change"])
    def switch_off(
        self, request: HttpRequest, queryset: QuerySet[Bot]
    ) -> HttpResponse | None:
        """Say first what becomes of the customers."""
        if not confirm.is_confirmed(request):
            return self._ask_whether_off(request, queryset)
        by = request.user.get_username()
        changed = sum(switch(bot, enabled=False, by=by) for bot in queryset)
        sentence = ngettext(
            "%(count)d bot was switched off. All messages are left to the humans.",
            "%(count)d bots were switched off. All messages are left to the humans.",
            changed,
        )
        self.message_user(request, sentence % {"count": changed}, messages.SUCCESS)
        return None

    @admin.action(description=_("Duplicate"), permissions=["add"])
    def duplicate(self, request: HttpRequest, queryset: QuerySet[Bot]) -> None:
        by = request.user.get_username()
        for bot in queryset:
            self._say_copied(request, copy(bot, by=by))

    def get_urls(self) -> list[URLPattern]:
        own = path(
            "<int:bot_id>/duplicate/",
            self.admin_site.admin_view(require_POST(self.duplicate_view)),
            name="conversations_bot_duplicate",
        )
        return [own, *super().get_urls()]

    def duplicate_view(self, request: HttpRequest, bot_id: int) -> HttpResponse:
        """Copy one bot and go on to the copy."""
        bot = self.get_object(request, str(bot_id))
        if bot is None:
            raise Http404
        if not self.has_add_permission(request):
            raise PermissionDenied
        made = copy(bot, by=request.user.get_username())
        self._say_copied(request, made)
        return HttpResponseRedirect(admin_url(made))

    def warn_of_rivals(self, request: HttpRequest, bot: Bot) -> None:
        """Warn of other bots on the same inboxes, which are no error."""
        for rival in bot.rivals():
            self.message_user(
                request,
                gettext(
                    "“%(rival)s” is switched on for some of the same inboxes. Only the "
                    "older of the two answers there. Leave each inbox to one bot."
                )
                % {"rival": rival},
                messages.WARNING,
            )

    def _say_copied(self, request: HttpRequest, made: Bot) -> None:
        self.message_user(
            request,
            gettext(
                "“%(name)s” was made, switched off and with the same inboxes. Change "
                "what shall be different, then switch it on and the other one off."
            )
            % {"name": made},
            messages.SUCCESS,
        )

    def _ask_whether_off(
        self, request: HttpRequest, queryset: QuerySet[Bot]
    ) -> HttpResponse:
        bots = list(queryset[: confirm.MAX_ROWS])
        return confirm.ask(
            request,
            self,
            action="switch_off",
            title=gettext("Switch bots off"),
            text=gettext(
                "From now on these bots answer nobody. Conversations that Chatwoot "
                "gives them are opened for the humans, and so are those that wait for "
                "an answer at this moment. Memories in Dify stay, and switching a bot "
                "on again makes it answer from the next message on."
            ),
            lines=[f"{bot.name} · {bot.account}" for bot in bots],
            selected=[bot.pk for bot in bots],
            button=gettext("Switch off"),
        )


def switch(bot: Bot, *, enabled: bool, by: str) -> bool:
    """Switch a bot and record who did; False if it was so already."""
    if bot.enabled == enabled:
        return False
    bot.enabled = enabled
    with transaction.atomic():
        # `save`, not `update`: the change has a history.
        bot.save(update_fields=["enabled", "updated_at"])
        record_switch(bot, by=by)
    return True


def record_switch(bot: Bot, *, by: str) -> None:
    """Record that somebody switched the bot to what it is now."""
    audit.record(
        AuditEntry.Verb.SWITCHED_BOT,
        actor=by,
        account=bot.account_id,
        bot=bot.pk,
        enabled=bot.enabled,
    )


def copy(bot: Bot, *, by: str) -> Bot:
    """Return a new bot with the same settings, switched off, without the tokens.

    It names the same inboxes: with none it would stand for all of the account, and a
    bot that is switched off opens the conversations of inboxes that nobody else has.
    """
    inboxes = list(bot.inboxes.all())
    fields = {
        field.attname: getattr(bot, field.attname)
        for field in bot._meta.concrete_fields
        if field.name not in ("id", "created_at", "updated_at")
    }
    name = gettext("Copy of %(name)s") % {"name": bot.name}
    with transaction.atomic():
        made = Bot(**{**fields, "name": name[:MAX_NAME_CHARS], "enabled": False})
        made.save()
        made.inboxes.set(inboxes)
        audit.record(
            AuditEntry.Verb.COPIED_BOT,
            actor=by,
            account=bot.account_id,
            bot=bot.pk,
            copy=made.pk,
        )
    return made
