"""Puts the checks together: which groups there are, and what each of them finds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError
from django.utils import timezone
from django.utils.translation import gettext as _

from bridge_project.lib.errors import BridgeError, ConfigurationError, Unauthorized
from bridge_project.lib.health import describe
from chatwoot_api.bot_payloads import ServerFacts
from chatwoot_api.models import ChatwootAccount
from conversations.doctor import (
    bots,
    chatwoot,
    chatwoot_lines,
    delivery,
    delivery_lines,
    dify,
    processes,
)
from conversations.doctor.asking import Deadline, ask
from conversations.doctor.line import About, Kind, Line, State
from conversations.models import Bot
from dify_api.looking import AppLook
from dify_api.looking import look as look_at_app
from dify_api.models import DifyApp

# More are looked at one by one, from their own pages.
MOST_GROUPS = 50


@dataclass(frozen=True, kw_only=True)
class Group:
    """What is looked at in one go: an account with its bots, an app, or ourselves."""

    kind: Kind
    pk: int = 0
    name: str = ""

    @property
    def key(self) -> str:
        return f"{self.kind}-{self.pk}"

    def about(self) -> About:
        return About(kind=self.kind, pk=self.pk, name=self.name)


BRIDGE = Group(kind="bridge")


def groups(
    *, account: int | None = None, app: int | None = None, bot: int | None = None
) -> list[Group]:
    """Return what is to be looked at; everything, if nothing is named.

    Reads names only: a row whose secrets no key decrypts must not hide the others.
    """
    accounts = ChatwootAccount.objects.order_by("name", "pk")
    apps = DifyApp.objects.order_by("name", "pk")
    if bot is not None:
        accounts, apps = accounts.filter(bots=bot), apps.filter(bots=bot)
    elif account is not None or app is not None:
        accounts = accounts.filter(pk=account) if account else accounts.none()
        apps = apps.filter(pk=app) if app else apps.none()
    found = [
        Group(kind="account", pk=pk, name=name)
        for pk, name in accounts.values_list("pk", "name")[:MOST_GROUPS]
    ]
    found += [
        Group(kind="app", pk=pk, name=name)
        for pk, name in apps.values_list("pk", "name")[:MOST_GROUPS]
    ]
    return [*found, BRIDGE]


def examine(
    account: ChatwootAccount | None = None,
    app: DifyApp | None = None,
    bot: Bot | None = None,
) -> list[Line]:
    """Look at one account, app or bot and at the bridge itself; at all without any.

    A bot stands for its account, its app and itself. Calls Chatwoot, Dify and our own
    webhook, never inside a transaction; changes nothing but what is known of tokens.
    """
    chosen = groups(
        account=account.pk if account else None,
        app=app.pk if app else None,
        bot=bot.pk if bot else None,
    )
    only = bot.pk if bot else None
    return [line for group in chosen for line in look(group, bot=only)]


def look(group: Group, *, bot: int | None = None) -> list[Line]:
    """Return a group's lines, of its bots only those of `bot` if one is named."""
    about = group.about()
    try:
        if group.kind == "account":
            return list(_account(group.pk, about=about, bot=bot))
        if group.kind == "app":
            return list(_app(group.pk, about=about))
        return list(processes.lines(timezone.now(), about=about))
    except (ImproperlyConfigured, DatabaseError) as err:
        return [_failed(err, about=about)]


def _account(pk: int, *, about: About, bot: int | None) -> Iterator[Line]:
    account = ChatwootAccount.objects.filter(pk=pk).first()
    if account is None:
        return
    seen = chatwoot.look(account, deadline=Deadline())
    yield from chatwoot_lines.lines(seen, about=about)
    version = seen.server.number if isinstance(seen.server, ServerFacts) else None
    yield from delivery_lines.lines(
        delivery.look(account), version=version, now=timezone.now(), about=about
    )
    rows = Bot.objects.filter(account=pk).order_by("name", "pk")
    if bot is not None:
        rows = rows.filter(pk=bot)
    named = ("account", "dify_app", "openai_server", "transcriber")
    rows = rows.select_related(*named).prefetch_related("inboxes")
    for row in rows:
        of_bot = About(kind="bot", pk=row.pk, name=row.name)
        yield from bots.lines(row, seen=seen, about=of_bot)


def _app(pk: int, *, about: About) -> Iterator[Line]:
    app = DifyApp.objects.filter(pk=pk).first()
    if app is None:
        return
    answer = ask(lambda: look_at_app(app.connection()), deadline=Deadline())
    _note(app, answer)
    if isinstance(answer, AppLook) and answer.version:
        DifyApp.objects.filter(pk=app.pk).update(server_version=answer.version)
    yield from dify.lines(answer, app=app, now=timezone.now(), about=about)


def _note(app: DifyApp, answer: object) -> None:
    """Remember what was learnt of the key, as every call does."""
    row = DifyApp.objects.filter(pk=app.pk)
    if isinstance(answer, Unauthorized):
        row.usable().mark_refused(describe(answer))
    elif not isinstance(answer, BridgeError):
        row.filter(health=DifyApp.Health.REFUSED).mark_ok()


def _failed(err: Exception, *, about: About) -> Line:
    """Say why a whole group could not be looked at."""
    if isinstance(err, ImproperlyConfigured):
        return replace(
            _line(about),
            found=str(err),
            meaning=_("What needs the secret fails; other accounts and apps go on."),
        )
    return replace(
        _line(about),
        check="migrations",
        found=str(ConfigurationError(str(err))),
        meaning=_("The database did not answer as it should."),
        remedy=_("Run manage.py migrate, and look at the log of the web process."),
    )


def _line(about: About) -> Line:
    return Line(check="secrets", state=State.FAILED, found="", about=about)
