"""What saving a bot tells its operator: does it fit to what its Dify app is now?"""

from __future__ import annotations

from collections.abc import Iterator

from django.contrib import messages
from django.core.exceptions import ImproperlyConfigured
from django.utils.translation import gettext

from bridge_project.lib.errors import BridgeError, Unauthorized
from conversations.conversation_tokens import PLAYGROUND
from conversations.models import Bot
from conversations.models.bot import default_inputs
from conversations.models.bot_settings import DIFY
from dify_api import app_info
from dify_api.models import DifyApp
from dify_api.payloads import CHAT_MODES, InputField

# Somebody waits for the page.
READ_TIMEOUT_S = 4.0
_FILES = frozenset({"file", "file-list", "external_data_tool"})
Advice = tuple[int, str]


def ask_dify(bot: Bot) -> list[Advice]:
    """Read the bot's app anew and return what does not fit, as levels and sentences.

    Never inside a transaction: Dify may take seconds. What it does not answer is a
    warning; the bot is saved all the same.
    """
    app = bot.dify_app
    if bot.provider != DIFY:
        return []
    if app is None:
        text = gettext(
            "The bot has no Dify app: all its conversations go to the humans. Choose "
            "one."
        )
        return [(messages.WARNING, text)]
    if app.health == DifyApp.Health.REFUSED:
        return [(messages.WARNING, _refused(app))]
    mode_before = app.mode
    try:
        app_info.refresh(app, read_timeout_s=READ_TIMEOUT_S)
        return list(advice(bot, app=app, mode_before=mode_before))
    except Unauthorized:
        return [(messages.WARNING, _refused(app))]
    except (BridgeError, ImproperlyConfigured) as err:
        text = gettext(
            "Saved, but “%(app)s” could not be asked whether the inputs fit: %(error)s"
        )
        return [(messages.WARNING, text % {"app": app, "error": err})]


def advice(bot: Bot, *, app: DifyApp, mode_before: str) -> Iterator[Advice]:
    """Return what does not fit between a bot and what its app declares. Pure."""
    fields = app.declared_inputs()
    question = "" if app.mode in CHAT_MODES else app.query_input
    names = {field.variable for field in fields}
    if mode_before and mode_before != app.mode:
        text = gettext("“%(app)s” has become another kind of app in Dify: %(kind)s.")
        yield (
            messages.WARNING,
            text % {"app": app, "kind": app.get_mode_display()},
        )
    if question and question not in names:
        text = gettext(
            "“%(app)s” declares no input “%(name)s”, so it would never see the "
            "customer's text. Declare it in Dify, or set “query input” at the Dify app."
        )
        yield messages.WARNING, text % {"app": app, "name": question}
    for field in fields:
        if field.variable != question:
            yield from _about(field, source=bot.inputs.get(field.variable, ""))
    yield from _undeclared(bot, app=app, names=names)


def _about(field: InputField, *, source: str) -> Iterator[Advice]:
    name = {"name": field.variable}
    if field.kind in _FILES:
        if field.required:
            text = gettext(
                "The app requires the input “%(name)s”, a file, which the bridge "
                "cannot fill in: all customers go to the humans. Make it optional in "
                "Dify."
            )
            yield messages.WARNING, text % name
        return
    if field.required and not source and field.default in (None, ""):
        text = gettext(
            "The app requires the input “%(name)s”, but nothing is mapped to it. Map "
            "it, or make it optional in Dify."
        )
        yield messages.WARNING, text % name
    is_token = source == "bridge.conversation_token"
    if is_token and field.max_length and field.max_length < len(PLAYGROUND):
        text = gettext(
            "The input “%(name)s” is too short for a conversation token, so none is "
            "sent. Set its maximum length in Dify to 256."
        )
        yield messages.WARNING, text % name


def _undeclared(bot: Bot, *, app: DifyApp, names: set[str]) -> Iterator[Advice]:
    """Name what somebody mapped by hand; the map of a new bot holds more than any app
    declares.
    """
    usual = default_inputs()
    extra = sorted(
        name
        for name, source in bot.inputs.items()
        if name not in names and usual.get(name) != source
    )
    if extra:
        text = gettext(
            "“%(app)s” does not declare %(names)s, so nothing is sent there. Declare "
            "it in Dify and publish the app, if the flow is to know it."
        )
        yield messages.INFO, text % {"app": app, "names": ", ".join(extra)}


def _refused(app: DifyApp) -> str:
    text = gettext(
        "Saved, but Dify refuses the key of “%(app)s”: customers go to the humans. "
        "Enter a new key at the Dify app."
    )
    return text % {"app": app}
