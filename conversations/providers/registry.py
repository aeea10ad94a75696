"""Which functions REPLY_PROVIDERS names, and whether each can be asked."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, get_type_hints

from django.conf import settings
from django.utils.module_loading import import_string
from django.utils.translation import gettext as _

from conversations.models import Bot
from conversations.models.bot_settings import DIFY, OPENAI
from conversations.providers.contract import Reply, ReplyContext

MAX_NAME_CHARS = 50  # as long as the column is


class NotAProvider(Exception):
    """What a setting names cannot be asked; the text says why."""


@dataclass(frozen=True)
class Registered:
    """A function of REPLY_PROVIDERS."""

    function: Callable[..., Reply]
    takes_context: bool


def registered() -> Mapping[str, str]:
    """Return the setting: name → dotted path of a function."""
    found: Mapping[str, str] = getattr(settings, "REPLY_PROVIDERS", {})
    return found


def find(name: str) -> Registered:
    """Return the function with this name. Raises NotAProvider."""
    path = registered().get(name)
    if path is None:
        raise NotAProvider(
            f"REPLY_PROVIDERS does not name “{name}”. Add it there, or choose another "
            "one at the bot."
        )
    return _load(path)


def problems() -> Iterator[tuple[str, str]]:
    """Yield the name of each entry that cannot be asked, and why."""
    for name, path in registered().items():
        if name in (DIFY, OPENAI):
            yield name, "the bridge itself answers to this name. Choose another one."
        elif not name or len(name) > MAX_NAME_CHARS:
            yield name, f"a name has 1 to {MAX_NAME_CHARS} characters."
        else:
            try:
                _load(path)
            except NotAProvider as err:
                yield name, str(err)


def choices() -> list[tuple[str, str]]:
    """Return what a bot's answers may come from, for a form."""
    functions = [
        (name, _("%(name)s (%(path)s)") % {"name": name, "path": path})
        for name, path in registered().items()
    ]
    return [(DIFY, "Dify"), (OPENAI, _("OpenAI-compatible server")), *functions]


def why_not_askable(bot: Bot) -> str:
    """Return what keeps the bot's provider from being asked, "" if nothing does.

    Of a Dify app the flow itself finds out.
    """
    if bot.provider == DIFY:
        return ""
    if bot.provider != OPENAI:
        try:
            find(bot.provider)
        except NotAProvider as err:
            return str(err)
        return ""
    if bot.openai_server is None:
        return _("No OpenAI-compatible server is chosen. Choose one at the bot.")
    if not bot.openai_server.chat_model:
        return _("The OpenAI-compatible server names no model. Enter one there.")
    return ""


@lru_cache(maxsize=128)
def _load(path: str) -> Registered:
    try:
        function = import_string(path)
    except Exception as err:
        # Whatever the module does when it is imported.
        raise NotAProvider(
            f"“{path}” cannot be imported ({type(err).__name__}: {err}). Is it the "
            "full path of a function, such as “myproject.rag.reply”?"
        ) from err
    if not callable(function) or inspect.isclass(function):
        raise NotAProvider(f"“{path}” is no function.")
    called = function if inspect.isroutine(function) else type(function).__call__
    if inspect.iscoroutinefunction(called) or inspect.isasyncgenfunction(called):
        raise NotAProvider(
            f"“{path}” is asynchronous. Wrap it with asgiref.sync.async_to_sync."
        )
    return Registered(function, takes_context=_takes_context(function, called=called))


def _takes_context(function: Callable[..., Any], *, called: Any) -> bool:
    """Tell whether the first argument is annotated with ReplyContext."""
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        return False  # written in C
    if not parameters:
        raise NotAProvider(
            f"“{function.__module__}.{function.__qualname__}” takes no argument; it "
            "needs one for the customer's message."
        )
    first = parameters[0]
    try:
        wanted = get_type_hints(called).get(first.name)
    except (NameError, TypeError):
        # One of the other annotations can only be read by a type checker.
        wanted = first.annotation
    if isinstance(wanted, str):
        return wanted.rpartition(".")[2] == ReplyContext.__name__
    return wanted is ReplyContext
