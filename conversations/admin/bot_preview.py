"""Rows and preview of a bot's inputs: the fragments that its page fetches."""

from __future__ import annotations

from django.contrib import admin
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import Http404, HttpRequest, HttpResponse, QueryDict
from django.template.loader import render_to_string
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_POST

from bridge_project.lib.admin_base import BridgeAdmin
from bridge_project.lib.errors import BridgeError
from bridge_project.lib.types import JsonObject
from conversations.admin.bot_form import BotForm
from conversations.context import (
    fitted_inputs,
    messages_of,
    question,
    wanted_inputs,
)
from conversations.conversation_tokens import PLAYGROUND
from conversations.decisions import replies_as, situation_of
from conversations.models import Bot, Conversation, ReplyAs, Turn, WebhookEvent
from dify_api.inputs import ShapedInputs
from dify_api.models import DifyApp

# A value longer than this is cut on the page; Dify gets all of it.
MAX_CHARS = 500
_PREVIEW = "admin/conversations/bot/preview.html"


class PreviewPages(BridgeAdmin[Bot]):
    """What the inputs would be right now, with rows that may be unsaved."""

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        own = [
            path(
                "inputs/",
                wrap(require_POST(self.rows_view)),
                name="conversations_bot_inputs",
            ),
            path(
                "<int:bot_id>/inputs/preview/",
                wrap(require_POST(self.preview_view)),
                name="conversations_bot_preview",
            ),
        ]
        return [*own, *super().get_urls()]

    @admin.display(description=_("preview"))
    def preview(self, bot: Bot) -> SafeString:
        """Draw the box that asks for a conversation."""
        if bot.pk is None:
            return format_html("{}", gettext("Save the bot first."))
        return render_to_string(
            "admin/conversations/bot/preview_box.html", {"bot": bot}
        )

    def rows_view(self, request: HttpRequest) -> HttpResponse:
        """Return the rows as typed, with the inputs of the app that was chosen."""
        if not (
            self.has_add_permission(request) or self.has_change_permission(request)
        ):
            raise PermissionDenied
        form = self._form(request.POST)
        return HttpResponse(str(form["inputs"]))

    def preview_view(self, request: HttpRequest, bot_id: int) -> HttpResponse:
        """Return what a conversation's inputs would be now, or what is in the way."""
        bot = self.get_object(request, str(bot_id))
        if bot is None:
            raise Http404
        may_read = request.user.has_perm("conversations.view_conversation")
        if not may_read or not self.has_view_or_change_permission(request, bot):
            raise PermissionDenied
        try:
            if self.has_change_permission(request, bot):
                self._take_unsaved(bot, request.POST)
            context = self._preview_of(bot, number=request.POST.get("preview_of", ""))
        except ValidationError as err:
            context = {"problems": err.messages}
        except BridgeError as err:
            context = {"problems": [str(err)]}
        return TemplateResponse(request, _PREVIEW, {"bot": bot, **context})

    def _form(self, data: QueryDict, instance: Bot | None = None) -> BotForm:
        return BotForm(data=data, instance=instance)

    def _take_unsaved(self, bot: Bot, data: QueryDict) -> None:
        """Put the typed rows and the chosen app into `bot`, which is not saved."""
        form = self._form(data)
        if not any(key.startswith("inputs-") for key in data):
            return
        for name in ("inputs", "conversation_variables"):
            field = form.fields[name]
            typed = field.widget.value_from_datadict(data, form.files, name)
            setattr(bot, name, field.clean(typed))
        chosen = data.get("dify_app", "")
        if chosen.isdecimal():
            bot.dify_app = DifyApp.objects.filter(pk=chosen).first()

    def _preview_of(self, bot: Bot, *, number: str) -> dict[str, object]:
        """Return the context of the fragment. Raises ValidationError, BridgeError."""
        conversation = _conversation(bot, number=number)
        if bot.dify_app is None:
            raise ValidationError(
                gettext("The bot has no Dify app, so there is nobody to tell anything.")
            )
        asked = _last_question(conversation)
        shaped = fitted_inputs(
            conversation, bot=bot, app=bot.dify_app, question=asked, token=PLAYGROUND
        )
        wanted = wanted_inputs(
            bot.inputs, conversation=conversation, question=asked, token=PLAYGROUND
        )
        return {
            "conversation": conversation,
            "asked": asked,
            "how": _how(bot, conversation),
            "rows": _rows(bot, wanted=wanted, shaped=shaped),
            "variables": _variables(bot, conversation, asked=asked),
            "missing": shaped.missing,
            "notes": shaped.notes,
        }


def _conversation(bot: Bot, *, number: str) -> Conversation:
    """Return the conversation of that number, or the newest one."""
    rows = Conversation.objects.filter(account=bot.account_id).select_related("inbox")
    text = number.strip().removeprefix("#")
    if not text:
        found = rows.order_by("-updated_at").first()
        if found is None:
            raise ValidationError(gettext("There is no conversation yet to try it on."))
        return found
    # Longer ones are no number of PostgreSQL's.
    if text.isdecimal() and len(text) <= 18:
        found = rows.filter(chatwoot_conversation_id=int(text)).first()
        if found is not None:
            return found
    raise ValidationError(
        gettext(
            "The bridge knows no conversation %(number)s of this bot's account. Enter "
            "the number that agents see in Chatwoot."
        )
        % {"number": text[:30]}
    )


def _last_question(conversation: Conversation) -> str:
    """Return what the customer wrote last; "" once it was pruned."""
    event = WebhookEvent.objects.filter(
        account=conversation.account_id,
        chatwoot_message_id=conversation.last_customer_message_id,
    ).first()
    try:
        return question(messages_of([event])) if event else ""
    except BridgeError:
        return ""


def _rows(
    bot: Bot, *, wanted: JsonObject, shaped: ShapedInputs
) -> list[dict[str, object]]:
    """Return a row for each input that is declared or mapped."""
    app = bot.dify_app
    declared = [field.variable for field in app.declared_inputs()] if app else []
    names = [*declared, *(name for name in sorted(bot.inputs) if name not in declared)]
    return [
        {
            "name": name,
            "source": bot.inputs.get(name, ""),
            "value": _shown(wanted.get(name)),
            "sent": _shown(shaped.inputs.get(name)),
            "is_sent": name in shaped.inputs,
            "is_missing": name in shaped.missing,
            "is_declared": name in declared,
        }
        for name in names
    ]


def _variables(
    bot: Bot, conversation: Conversation, *, asked: str
) -> list[dict[str, object]]:
    """Return a row for each mapped conversation variable."""
    mapped = bot.conversation_variables
    values = wanted_inputs(mapped, conversation=conversation, question=asked)
    return [
        {"name": name, "source": mapped[name], "value": _shown(values.get(name))}
        for name in sorted(mapped)
    ]


def _how(bot: Bot, conversation: Conversation) -> str:
    """Say in which form an answer would come there, and why."""
    situation = situation_of(conversation)
    form = replies_as(bot, situation, kind=Turn.Kind.ANSWER)
    is_note = form == ReplyAs.PRIVATE_NOTE
    if bot.shadow:
        return gettext("On this trial run the answer would be a note for the agents.")
    if bot.reply_as != ReplyAs.BY_SUPPORT_MODE:
        return (
            gettext("The answer would be a note for the agents.")
            if is_note
            else gettext("The answer would be a message to the customer.")
        )
    if is_note:
        return gettext(
            "The customer chose a human, or nothing: the answer would be a note for "
            "the agents."
        )
    return gettext(
        "The customer chose the bot: the answer would be a message to the customer."
    )


def _shown(value: object) -> str:
    if value is None:
        return ""
    if value == PLAYGROUND:
        return gettext("(made anew for each run)")
    text = value if isinstance(value, str) else str(value)
    return text if len(text) <= MAX_CHARS else text[:MAX_CHARS] + "…"
