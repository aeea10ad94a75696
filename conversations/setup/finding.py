"""Looks at what was entered: who it is, what it may do, and which field is wrong."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal, TypeVar

from django.core.exceptions import ImproperlyConfigured
from django.db import models
from django.utils.translation import gettext as _

from bridge_project.lib.errors import (
    BridgeError,
    NotFound,
    Unauthorized,
    UnexpectedReply,
    UpstreamError,
)
from bridge_project.lib.health import describe
from chatwoot_api.bot_payloads import AgentBotRow, Membership, Profile
from chatwoot_api.client import ChatwootClient
from chatwoot_api.models import ChatwootAccount
from chatwoot_api.refusals import Blocked, NotOpenToBots
from conversations.doctor.addresses import our_agent_bot
from conversations.doctor.asking import Deadline, ask
from dify_api.connection import DifyConnection
from dify_api.looking import AppLook, look
from dify_api.models import DifyApp

RowT = TypeVar("RowT", ChatwootAccount, DifyApp)

Field = Literal["chatwoot_url", "admin_token", "dify_url", "dify_key"]

# So many inboxes are offered; who has more links the others in Chatwoot.
MOST_INBOXES = 100
MOST_ROWS = 200


class FieldProblem(Exception):
    """What was entered into a field does not work; the sentence stands beside it."""

    def __init__(self, field: Field, sentence: str) -> None:
        super().__init__(sentence)
        self.field = field
        self.sentence = sentence


@dataclass(frozen=True, kw_only=True)
class ChatwootFinding:
    """Whose token it is, and the accounts that its owner administers."""

    profile: Profile
    accounts: tuple[Membership, ...]


@dataclass(frozen=True, kw_only=True)
class InboxChoice:
    """An inbox, and who answers in it now.

    `state`: ours, free, taken (by `bot_name`), or unknown, if Chatwoot did not say.
    """

    id: int
    name: str
    channel: str
    state: Literal["ours", "free", "taken", "unknown"]
    bot_name: str = ""


def find_chatwoot(
    url: str, *, token: str, account_id: int | None = None
) -> ChatwootFinding:
    """Return what the token opens; raises FieldProblem.

    With a number only that account counts: it was part of the address.
    """
    client = ChatwootClient(transient(url, token=token))
    try:
        profile = client.profile()
    except BridgeError as err:
        raise _chatwoot_problem(err, url=url) from err
    mine = [m for m in profile.accounts if account_id in (None, m.account_id)]
    if not mine:
        raise FieldProblem(
            "admin_token",
            _("%(name)s, whose token this is, is in no such account.")
            % {"name": profile.name},
        )
    able = tuple(m for m in mine if m.is_administrator)
    if not able:
        raise FieldProblem(
            "admin_token",
            _(
                "%(name)s, whose token this is, is no administrator of “%(account)s”, "
                "so no bot can be made with it. Use an administrator's token, or make "
                "that person one in Chatwoot under Settings → Agents."
            )
            % {"name": profile.name, "account": mine[0].name},
        )
    return ChatwootFinding(profile=profile, accounts=able)


def find_inboxes(account: ChatwootAccount) -> list[InboxChoice]:
    """Return the account's inboxes; ask only with an administrator's token.

    Raises a BridgeError. What could not be looked at in time is unknown.
    """
    client = ChatwootClient(account)
    rows = client.inboxes()[:MOST_INBOXES]
    ours = our_agent_bot(client.agent_bots(), account=account)
    deadline = Deadline(for_s=12.0)
    found = []
    for row in rows:
        choice = InboxChoice(
            id=row.id, name=row.name, channel=row.channel, state="unknown"
        )
        bot = ask(partial(client.inbox_agent_bot, row.id), deadline=deadline)
        found.append(_with_bot(choice, bot, ours=ours))
    return found


def _with_bot(
    choice: InboxChoice,
    bot: AgentBotRow | BridgeError | None,
    *,
    ours: AgentBotRow | None,
) -> InboxChoice:
    if isinstance(bot, BridgeError):
        return choice
    if bot is None:
        return replace(choice, state="free")
    if ours is not None and bot.id == ours.id:
        return replace(choice, state="ours")
    return replace(choice, state="taken", bot_name=bot.name)


def find_app(url: str, *, key: str) -> AppLook:
    """Return what the key opens; raises FieldProblem."""
    try:
        found = look(DifyConnection(base_url=url, api_key=key))
    except BridgeError as err:
        raise _dify_problem(err, url=url) from err
    if found.unreadable is not None:
        raise _unreadable(found.unreadable, name=found.info.name)
    return found


def transient(url: str, *, token: str, account_id: int = 0) -> ChatwootAccount:
    """Return an account that is not stored, to ask with."""
    return ChatwootAccount(base_url=url, account_id=account_id, admin_token=token)


def known_account(url: str, *, account_id: int | None = None) -> ChatwootAccount | None:
    """Return the stored account of a server, the newest if there are several."""
    wanted = ChatwootAccount(base_url=url).server_url()
    rows = ChatwootAccount.objects.order_by("-pk")
    if account_id is not None:
        rows = rows.filter(account_id=account_id)
    return next((a for a in _readable(rows) if a.server_url() == wanted), None)


def known_app(url: str, *, key: str = "", name: str = "") -> DifyApp | None:
    """Return the stored app of a server with this key.

    A key that Dify refuses may have been replaced: then the app's name counts. Without
    a key the newest app of the server.
    """
    wanted = DifyConnection(base_url=url, api_key="").api_url
    rows = _readable(DifyApp.objects.order_by("-pk"))
    here = [app for app in rows if app.connection().api_url == wanted]
    if not key:
        return next(iter(here), None)
    same_key = (app for app in here if app.api_key == key)
    renamed = (
        app
        for app in here
        if name and app.name == name and app.health == DifyApp.Health.REFUSED
    )
    return next(same_key, None) or next(renamed, None)


def _readable(rows: models.QuerySet[RowT]) -> list[RowT]:
    """Leave out the rows whose secrets no key decrypts; the others go on."""
    found: list[RowT] = []
    for pk in rows.values_list("pk", flat=True)[:MOST_ROWS]:
        with suppress(ImproperlyConfigured):
            found += rows.filter(pk=pk)
    return found


def _chatwoot_problem(err: BridgeError, *, url: str) -> FieldProblem:
    if isinstance(err, NotOpenToBots):
        return FieldProblem(
            "admin_token",
            _(
                "This is the token of an agent bot, which may set up nothing. Copy the "
                "access token from the profile settings of an administrator."
            ),
        )
    if isinstance(err, Unauthorized):
        return FieldProblem(
            "admin_token",
            _(
                "Chatwoot does not know this token. In Chatwoot click on your picture, "
                "then “Profile settings”; the access token is at the end of the page."
            ),
        )
    if isinstance(err, NotFound | UnexpectedReply | Blocked):
        return FieldProblem(
            "chatwoot_url",
            _(
                "Something answers at %(url)s, but not as Chatwoot does. Enter the "
                "address at which you open Chatwoot in the browser. If a login page or "
                "a proxy stands in front of it, let the bridge pass. (%(error)s)"
            )
            % {"url": url, "error": err},
        )
    return FieldProblem("chatwoot_url", _unreachable(err, url=url))


def _dify_problem(err: BridgeError, *, url: str) -> FieldProblem:
    if isinstance(err, Unauthorized):
        return FieldProblem(
            "dify_key",
            _(
                "Dify does not accept this key. In Dify open the app, then “API "
                "Access”, “API Key”; it begins with app-. A key of the knowledge base "
                "(dataset-…) is not one of an app. (%(error)s)"
            )
            % {"error": err},
        )
    if isinstance(err, UpstreamError) and (
        isinstance(err, NotFound | UnexpectedReply) or err.code == "wrong_address"
    ):
        return FieldProblem(
            "dify_url",
            _(
                "Something answers at %(url)s, but not as Dify's API does. Dify shows "
                "the address under “API Access”; it usually ends with /v1. (%(error)s)"
            )
            % {"url": url, "error": err},
        )
    return FieldProblem("dify_url", _unreachable(err, url=url))


def _unreadable(err: BridgeError, *, name: str) -> FieldProblem:
    if err.code == "app_unavailable":
        return FieldProblem(
            "dify_key",
            _(
                "The key is right, but the app “%(app)s” was never published, so it "
                "cannot answer. Press “Publish” in Dify and try again."
            )
            % {"app": name},
        )
    return FieldProblem(
        "dify_key",
        _("The key is right, but the settings of “%(app)s” cannot be read. %(error)s")
        % {"app": name, "error": describe(err)},
    )


def _unreachable(err: BridgeError, *, url: str) -> str:
    status = err.status if isinstance(err, UpstreamError) else None
    if status is not None and 300 <= status < 400:
        return _("%(url)s only redirects. %(error)s") % {"url": url, "error": err}
    if status is not None:
        return _("%(url)s answers with an error. %(error)s") % {
            "url": url,
            "error": describe(err),
        }
    return _(
        "Nothing answers at %(url)s. Check the spelling, http or https and the port, "
        "and whether this server may connect to it. (%(error)s)"
    ) % {"url": url, "error": err}
