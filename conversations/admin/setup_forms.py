"""The forms of the set-up: addresses and tokens, then what to do with them."""

from __future__ import annotations

import re
from typing import Any

from django import forms
from django.conf import settings
from django.utils.translation import get_language
from django.utils.translation import gettext_lazy as _
from unfold.widgets import (
    UnfoldAdminPasswordWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextInputWidget,
)

from conversations.models import Bot
from conversations.setup import ServerAddress, read_address
from conversations.setup.addresses import NoAddress, read_api_address

_NO_ADDRESS = _(
    "This is no address of a server. Enter it as in the browser's address bar, such as "
    "%(example)s."
)
_TOKEN = re.compile(r"[\x21-\x7e]+")


def _secret_widget() -> UnfoldAdminPasswordWidget:
    # Never sent back; and no password manager offers the admin's own password.
    attrs = {"autocomplete": "new-password", "spellcheck": "false"}
    return UnfoldAdminPasswordWidget(attrs=attrs)


class TokenField(forms.CharField):
    """A token or key: printable characters without spaces; empty: the known one."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(required=False, widget=_secret_widget(), **kwargs)

    def clean(self, value: Any) -> str:
        """Refuse what no header may have, such as a whole line of a manual."""
        token = str(super().clean(value) or "").removeprefix("Bearer ").strip()
        if token and not _TOKEN.fullmatch(token):
            raise forms.ValidationError(
                _(
                    "This is no token: it has spaces or unusual characters. Copy it "
                    "alone."
                ),
                code="no_token",
            )
        return token


class ConnectForm(forms.Form):
    """Two addresses and two tokens."""

    chatwoot_url = forms.CharField(
        label=_("Chatwoot's address"),
        max_length=500,
        widget=UnfoldAdminTextInputWidget(
            attrs={"inputmode": "url", "placeholder": "https://chat.example.com"}
        ),
        help_text=_("As in the browser; the rest of the line does no harm."),
    )
    admin_token = TokenField(
        label=_("Access token of an administrator"),
        help_text=_(
            "In Chatwoot: your picture → Profile settings → Access token, at the end."
        ),
    )
    dify_url = forms.CharField(
        label=_("Address of Dify's API"),
        max_length=500,
        widget=UnfoldAdminTextInputWidget(
            attrs={"inputmode": "url", "placeholder": "https://api.dify.ai/v1"}
        ),
        help_text=_("Dify shows it under “API Access” of the app."),
    )
    dify_key = TokenField(
        label=_("API key of the Dify app"),
        help_text=_("In Dify: the app → API Access → API Key. It begins with app-."),
    )

    def clean_chatwoot_url(self) -> ServerAddress:
        """Return the server's address, and the account that was pasted with it."""
        try:
            return read_address(self.cleaned_data["chatwoot_url"])
        except NoAddress as err:
            raise self._no_address("https://chat.example.com") from err

    def clean_dify_url(self) -> str:
        """Return the address of the API."""
        try:
            return read_api_address(self.cleaned_data["dify_url"])
        except NoAddress as err:
            raise self._no_address("https://api.dify.ai/v1") from err

    def _no_address(self, example: str) -> forms.ValidationError:
        params = {"example": example}
        return forms.ValidationError(_NO_ADDRESS, code="no_address", params=params)


class ChoiceForm(forms.Form):
    """The bot's name and language; inboxes are check marks of their own."""

    bot_name = forms.CharField(
        label=_("Name of the bot"),
        max_length=100,
        widget=UnfoldAdminTextInputWidget(),
        help_text=_("Customers see it in Chatwoot, if the agent bot is made now."),
    )
    language = forms.ChoiceField(
        label=_("Language"),
        choices=settings.LANGUAGES,
        widget=UnfoldAdminSelectWidget(),
        help_text=_("Of the notes to the agents and of the apology to the customer."),
    )

    @staticmethod
    def usual_language() -> str:
        """Return the language of the page, if a bot can have it."""
        known = [code for code, _name in settings.LANGUAGES]
        code = (get_language() or "").partition("-")[0]
        return code if code in known else known[0]

    @staticmethod
    def usual_name(app_name: str) -> str:
        """Return a free name for a new bot: that of the app."""
        name = app_name.strip()[:90] or "Bot"
        taken = set(Bot.objects.values_list("name", flat=True)[:1000])
        if name not in taken:
            return name
        return next(f"{name} {n}" for n in range(2, 1003) if f"{name} {n}" not in taken)
