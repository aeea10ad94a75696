"""OpenAI-compatible servers: where they are, and whether they answer."""

from __future__ import annotations

from http import HTTPStatus

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import ImproperlyConfigured
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_POST
from unfold.widgets import UnfoldAdminTextareaWidget

from bridge_project.lib.admin_base import NOTHING, BridgeAdmin, admin_url
from bridge_project.lib.errors import BridgeError, Unauthorized, UpstreamError
from bridge_project.lib.secret_fields import SecretAdminMixin, SecretFormMixin
from conversations.models import OpenAIServer
from conversations.openai_client import OpenAIClient

# Some servers know hundreds of models.
SHOWN_MODELS = 20


class OpenAIServerForm(SecretFormMixin, forms.ModelForm):  # type: ignore[misc,type-arg]
    """A server; its key is write-only."""

    secret_names = ("api_key",)
    sent_names = ("api_key",)

    class Meta:
        model = OpenAIServer
        fields = (
            "name",
            "base_url",
            "api_key",
            "timeout_s",
            "chat_model",
            "system_prompt",
            "history_messages",
            "transcription_model",
        )
        widgets = {  # noqa: RUF012 Django's way
            "system_prompt": UnfoldAdminTextareaWidget(attrs={"rows": 8})
        }


@admin.register(OpenAIServer)
class OpenAIServerAdmin(SecretAdminMixin, BridgeAdmin[OpenAIServer]):
    """“Ask the server” tells whether address, key and models fit."""

    form = OpenAIServerForm
    change_form_template = "admin/conversations/openaiserver/change_form.html"
    list_display = ("name", "base_url", "answers_by", "hears_by")
    search_fields = ("name", "base_url")
    actions = ("ask_selected",)
    fieldsets = (
        (None, {"fields": ("name", "base_url", "api_key", "timeout_s")}),
        (
            _("Answers"),
            {
                "description": _(
                    "For bots whose answers come from an OpenAI-compatible server."
                ),
                "fields": ("chat_model", "system_prompt", "history_messages"),
            },
        ),
        (
            _("Voice messages"),
            {
                "description": _(
                    "For bots that name this server for voice messages; they may be "
                    "Dify's."
                ),
                "fields": ("transcription_model",),
            },
        ),
    )

    @admin.display(description=_("model for answers"), ordering="chat_model")
    def answers_by(self, server: OpenAIServer) -> str:
        return server.chat_model or NOTHING

    @admin.display(description=_("model for voice"), ordering="transcription_model")
    def hears_by(self, server: OpenAIServer) -> str:
        return server.transcription_model or NOTHING

    @admin.action(description=_("Ask the server"), permissions=["change"])
    def ask_selected(
        self, request: HttpRequest, queryset: QuerySet[OpenAIServer]
    ) -> None:
        for server in queryset:
            self._ask(request, server)

    def get_urls(self) -> list[URLPattern]:
        own = path(
            "<int:server_id>/ask/",
            self.admin_site.admin_view(require_POST(self.ask_view)),
            name="conversations_openaiserver_ask",
        )
        return [own, *super().get_urls()]

    def ask_view(self, request: HttpRequest, server_id: int) -> HttpResponse:
        """Ask one server, outside any transaction: it may take its time."""
        server = self.get_object(request, str(server_id))
        if server is None:
            there = reverse("admin:conversations_openaiserver_changelist")
            return HttpResponseRedirect(there)
        if self.has_change_permission(request, server):
            self._ask(request, server)
        else:
            sentence = gettext("You may look at these servers, but not change them.")
            self.message_user(request, sentence, messages.ERROR)
        return HttpResponseRedirect(admin_url(server))

    def _ask(self, request: HttpRequest, server: OpenAIServer) -> None:
        try:
            names = OpenAIClient.of(server).models()
        except (BridgeError, ImproperlyConfigured) as err:
            self.message_user(request, _failure(server, err), messages.ERROR)
            return
        level, sentence = _found(server, names)
        self.message_user(request, sentence, level)

    def response_add(
        self,
        request: HttpRequest,
        obj: OpenAIServer,
        post_url_continue: str | None = None,
    ) -> HttpResponse:
        """Go on to the server's page, where the button is."""
        response = super().response_add(request, obj, post_url_continue)
        if set(request.POST) & {"_addanother", "_popup"}:
            return response
        sentence = gettext(
            "Now press “Ask the server”, to see whether address, key and models fit."
        )
        self.message_user(request, sentence, messages.INFO)
        return HttpResponseRedirect(admin_url(obj))


def _found(server: OpenAIServer, names: list[str]) -> tuple[int, str]:
    """Say which models there are, and which of the entered ones is none of them."""
    wanted = {server.chat_model, server.transcription_model} - {""}
    unknown = sorted(wanted - set(names))
    shown = ", ".join(names[:SHOWN_MODELS]) or NOTHING
    values = {"server": server, "models": shown, "unknown": ", ".join(unknown)}
    if unknown:
        # Some servers take names that they do not list.
        return messages.WARNING, gettext(
            "“%(server)s” answered, but does not list %(unknown)s. It lists: "
            "%(models)s. Check the name of the model."
        ) % values
    return messages.SUCCESS, gettext(
        "“%(server)s” answered. Its models: %(models)s."
    ) % values


def _failure(server: OpenAIServer, err: Exception) -> str:
    """Say what went wrong, what it means and what to do."""
    values = {"server": server, "error": err}
    if isinstance(err, Unauthorized) and err.status == HTTPStatus.UNAUTHORIZED:
        sentence = gettext(
            "“%(server)s” does not accept the key, so its bots hand their customers "
            "over. Enter another one below. (%(error)s)"
        )
    elif isinstance(err, UpstreamError) and err.status is None:
        sentence = gettext(
            "“%(server)s” could not be reached. Check the address, and whether this "
            "machine may connect to it. (%(error)s)"
        )
    else:
        sentence = gettext("“%(server)s” could not be asked. %(error)s")
    return sentence % values
