"""The callback tokens of a bot: listed on its page, made and ended on their own."""

from __future__ import annotations

from django.conf import settings
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import F, Model
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from bridge_project.lib.admin_base import NOTHING, BridgeAdmin, admin_url, badge, moment
from conversations import callback_tokens
from conversations.admin import confirm
from conversations.models import Bot, CallbackToken

# What the operator chooses from, and how long the token is then still valid.
ENDS_AFTER_S = {"now": 0, "in_24_hours": 24 * 3600}
# The newest; who made more has long ended the others.
SHOWN = 20


class TokenPages(BridgeAdmin[Bot]):
    """Makes and ends tokens; whoever may only look sees how they begin."""

    @admin.display(description=_("callback tokens"))
    def tokens(self, bot: Bot) -> SafeString:
        """List the bot's tokens, with buttons for those who may change the bot."""
        if bot.pk is None:
            text = gettext("Save the bot first; then its page makes tokens.")
            return format_html("{}", text)
        may_change = getattr(bot, "may_be_changed", False)
        button = _button("make", bot.pk, text=gettext("Make a callback token…"))
        return format_html(
            "{}{}{}",
            _nobody_is_asked(),
            _table(bot, may_change=may_change),
            button if may_change else "",
        )

    def get_object(
        self, request: HttpRequest, object_id: str, from_field: str | None = None
    ) -> Bot | None:
        """Note at the bot what its own page may offer."""
        bot = super().get_object(request, object_id, from_field)
        if bot is not None:
            may_change = self.has_change_permission(request, bot)
            bot.may_be_changed = may_change  # type: ignore[attr-defined]
        return bot

    def has_delete_permission(
        self, request: HttpRequest, obj: Model | None = None
    ) -> bool:
        """Let tokens go with their bot; nothing else hangs on one for good."""
        return super(BridgeAdmin, self).has_delete_permission(request, obj)  # type: ignore[arg-type]

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        own = [
            path(
                "<int:bot_id>/callback-tokens/make/",
                wrap(self.make_token),
                name="conversations_bot_make_token",
            ),
            path(
                "<int:bot_id>/callback-tokens/<int:token_id>/end/",
                wrap(self.end_token),
                name="conversations_bot_end_token",
            ),
        ]
        return [*own, *super().get_urls()]

    def make_token(self, request: HttpRequest, bot_id: int) -> HttpResponse:
        """Ask, then make a token and show it: in this one answer and nowhere else."""
        bot = self._bot_to_change(request, bot_id)
        if request.method != "POST" or not confirm.is_confirmed(request):
            title = gettext("Make a callback token for “%(bot)s”") % {"bot": bot}
            return self._page(request, "make", bot=bot, title=title)
        token = callback_tokens.make(bot, by=request.user.get_username())
        title = gettext("The new callback token of “%(bot)s”") % {"bot": bot}
        response = self._page(request, "made", bot=bot, title=title, token=token)
        response["Cache-Control"] = "no-store"
        return response

    def end_token(
        self, request: HttpRequest, bot_id: int, token_id: int
    ) -> HttpResponse:
        """Ask when, then let the token end."""
        bot = self._bot_to_change(request, bot_id)
        rows = CallbackToken.objects.select_related("bot")
        token = get_object_or_404(rows, pk=token_id, bot=bot)
        after_s = ENDS_AFTER_S.get(request.POST.get("when", ""))
        if request.method != "POST" or after_s is None:
            title = gettext("End the token %(token)s") % {"token": token}
            return self._page(request, "end", bot=bot, title=title, token=token)
        by = request.user.get_username()
        ended = callback_tokens.end(token, now=timezone.now(), after_s=after_s, by=by)
        self.message_user(
            request,
            _what_ended(token, is_new=ended, is_now=after_s == 0),
            messages.SUCCESS if ended else messages.INFO,
        )
        return HttpResponseRedirect(admin_url(bot))

    def _bot_to_change(self, request: HttpRequest, bot_id: int) -> Bot:
        bot = self.get_object(request, str(bot_id))
        if bot is None:
            raise Http404
        if not self.has_change_permission(request, bot):
            raise PermissionDenied
        return bot

    def _page(
        self, request: HttpRequest, name: str, *, bot: Bot, **context: object
    ) -> HttpResponse:
        return TemplateResponse(
            request,
            f"admin/conversations/bot/token_{name}.html",
            {
                **self.admin_site.each_context(request),
                "opts": self.opts,
                "bot": bot,
                "back_url": admin_url(bot),
                **context,
            },
        )


def _what_ended(token: CallbackToken, *, is_new: bool, is_now: bool) -> str:
    if not is_new:
        return gettext("The token %(token)s ends no later anyway.") % {"token": token}
    if is_now:
        return gettext("The token %(token)s opens nothing any more.") % {"token": token}
    return gettext(
        "The token %(token)s works for another 24 hours. Put the new one into all "
        "flows until then."
    ) % {"token": token}


def _nobody_is_asked() -> SafeString:
    if settings.CALLBACK_AUTH != "none":
        return mark_safe("")
    text = gettext(
        "Nobody is asked for a token at present: CALLBACK_AUTH is “none”. Put tokens "
        "into all flows, then set CALLBACK_AUTH to “token” and restart the bridge."
    )
    return format_html('<div class="bridge-note bridge-note-warn">{}</div>', text)


def _table(bot: Bot, *, may_change: bool) -> SafeString:
    tokens = bot.callback_tokens.order_by(F("expires_at").desc(nulls_first=True), "-pk")
    rows = [_row(token, may_change=may_change) for token in tokens[:SHOWN]]
    if not rows:
        return format_html(
            '<p class="bridge-why">{}</p>',
            gettext("None yet. Without one, flows need the input conversation_token."),
        )
    titles = (
        gettext("Begins with"),
        gettext("Made"),
        gettext("Last used"),
        gettext("Valid until"),
        "",
    )
    head = format_html_join("", "<th>{}</th>", ((title,) for title in titles))
    cells = (
        '<tr><td class="bridge-time"><code>{}</code></td>'
        "<td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>"
    )
    return format_html(
        '<div class="bridge-scroll" tabindex="0"><table class="bridge-table">'
        "<thead><tr>{}</tr>"
        "</thead><tbody>{}</tbody></table></div>",
        head,
        format_html_join("", cells, rows),
    )


def _row(token: CallbackToken, *, may_change: bool) -> tuple[object, ...]:
    is_over = token.expires_at is not None and token.expires_at <= timezone.now()
    made = format_html(
        '{} <div class="bridge-aside">{}</div>',
        moment(token.created_at),
        token.created_by or NOTHING,
    )
    until = gettext("until it is ended")
    if token.expires_at is not None:
        until = moment(token.expires_at)
    button = ""
    if may_change and not is_over:
        button = _button("end", token.bot_id, token.pk, text=gettext("End…"))
    return (
        token,
        made,
        moment(token.last_used_at),
        badge(gettext("ended"), tone="calm") if is_over else until,
        button,
    )


def _button(name: str, *ids: int, text: str) -> SafeString:
    """Return a link that looks like a button: each leads to a page that asks first."""
    return format_html(
        '<a class="bg-white border border-base-200 cursor-pointer dark:bg-transparent '
        "dark:border-base-700 font-medium inline-flex px-3 py-1.5 rounded-default "
        'text-important whitespace-nowrap" href="{}">{}</a>',
        reverse(f"admin:conversations_bot_{name}_token", args=ids),
        text,
    )
