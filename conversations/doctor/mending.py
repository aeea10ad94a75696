"""What the doctor can mend by itself: settings in Chatwoot, and our own rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from django.db import transaction
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from bridge_project.lib.errors import ConfigurationError
from chatwoot_api.bot_payloads import AgentBotRow, Profile
from chatwoot_api.client import ChatwootClient
from chatwoot_api.models import ChatwootAccount
from conversations.doctor import bots, chatwoot
from conversations.doctor.addresses import our_agent_bot, own_address
from conversations.doctor.asking import Deadline
from conversations.doctor.line import Kind
from conversations.doctor.mapping import suggest
from conversations.models import Bot
from dify_api import app_info
from dify_api.models import DifyApp


@dataclass(frozen=True, kw_only=True)
class Mend:
    """A button: what it says, whom it is about, who may press it, what it does.

    `run` takes the number of the row and returns a sentence. It raises a BridgeError
    if it could not, and changes nothing if there is nothing to mend.
    """

    title: str | Promise
    kind: Kind
    permission: str
    run: Callable[[int], str]


def set_address(account_id: int) -> str:
    """Let the agent bot call our address."""
    account, client, row = _agent_bot(account_id)
    address = own_address(account, can_sign=bool(row.secret))
    if row.outgoing_url != address:
        client.update_agent_bot(row.id, outgoing_url=address)
    return _("The agent bot calls %(address)s now.") % {"address": own_address(account)}


def fetch_secret(account_id: int) -> str:
    """Take the agent bot's token and secret over from Chatwoot."""
    account, _client, row = _agent_bot(account_id)
    if keep_credentials(account, row):
        return _("Token and secret of the agent bot were taken over from Chatwoot.")
    return _("Token and secret were those of Chatwoot already.")


def keep_credentials(account: ChatwootAccount, row: AgentBotRow) -> bool:
    """Store an agent bot's token and secret; tells whether anything was new.

    The old secret still counts until the next one: events are on their way.
    """
    with transaction.atomic():
        stored = ChatwootAccount.objects.select_for_update(no_key=True).get(
            pk=account.pk
        )
        changed = []
        if row.access_token and row.access_token != stored.bot_token:
            stored.bot_token = row.access_token
            stored.forget_health()
            changed += ["bot_token", "health", "last_error", "last_error_at"]
            changed += ["next_probe_at", "admin_token_refused_at"]
        if row.secret and row.secret != stored.webhook_secret:
            stored.previous_webhook_secret = stored.webhook_secret
            stored.webhook_secret = row.secret
            changed += ["webhook_secret", "previous_webhook_secret"]
        if changed:
            stored.save(update_fields=[*changed, "updated_at"])
    account.refresh_from_db()
    return bool(changed)


def link_inboxes(account_id: int) -> str:
    """Link the inboxes that our bots name; never one that has another agent bot."""
    account, client, row = _agent_bot(account_id)
    seen = chatwoot.look(account, deadline=Deadline())
    linked: list[str] = []
    for bot in Bot.objects.filter(account=account).prefetch_related("inboxes"):
        free, _taken, _gone = bots.unlinked(bot, seen=seen)
        for inbox in free:
            client.set_agent_bot(inbox.id, bot_id=row.id)
            linked.append(inbox.name)
    if not linked:
        return _("There was no inbox to link.")
    return _("Linked: %s.") % ", ".join(dict.fromkeys(linked))


def join_teams(account_id: int) -> str:
    """Make the administrator token's owner a member of all teams."""
    account = ChatwootAccount.objects.get(pk=account_id)
    seen = chatwoot.look(account, deadline=Deadline())
    if not isinstance(seen.profile, Profile) or not isinstance(seen.teams, list):
        raise ConfigurationError(_("Chatwoot did not tell its teams and members."))
    client = _client(account)
    outside = [
        team
        for team in seen.teams
        if team.id in seen.members and seen.profile.id not in seen.members[team.id]
    ]
    for team in outside:
        client.add_team_members(team.id, [seen.profile.id])
    count = len(outside)
    return ngettext("Added to %d team.", "Added to %d teams.", count) % count


def keep_pending_off(account_id: int) -> str:
    """Let Chatwoot open what a bot that cannot be reached has missed."""
    account = ChatwootAccount.objects.get(pk=account_id)
    client = _client(account)
    client.keep_pending_on_bot_failure(False)
    if client.account().keeps_pending_on_bot_failure:
        raise ConfigurationError(
            _(
                "Chatwoot took the request but kept the setting: this version does not "
                "let it be changed from outside. In Chatwoot's folder: docker compose "
                "exec rails bundle exec rails runner 'Account.find(%(number)d)."
                "update!(keep_pending_on_bot_failure: false)'"
            )
            % {"number": account.account_id}
        )
    return _("Chatwoot opens such conversations for the humans now.")


def read_app(app_id: int) -> str:
    """Read kind and inputs of an app from Dify."""
    app = DifyApp.objects.get(pk=app_id)
    app_info.refresh(app)
    count = len(app.declared_inputs())
    text = ngettext(
        "Read: %(kind)s, %(count)d input.", "Read: %(kind)s, %(count)d inputs.", count
    )
    return text % {"kind": app.get_mode_display(), "count": count}


def map_inputs(bot_id: int) -> str:
    """Map the declared inputs whose names we know; what is mapped stays as it is."""
    with transaction.atomic():
        bot = Bot.objects.select_for_update(no_key=True).get(pk=bot_id)
        app = bot.dify_app
        if app is None:
            raise ConfigurationError(_("The bot has no Dify app."))
        known = suggest(
            app.declared_inputs(), attributes=bots.attributes_of(bot.account)
        )
        new = {name: known[name] for name in known if name not in bot.inputs}
        bot.inputs = {**bot.inputs, **new}
        bot.save(update_fields=["inputs", "updated_at"])
    if not new:
        return _("There was nothing to map.")
    return _("Mapped: %s.") % ", ".join(sorted(new))


def _client(account: ChatwootAccount) -> ChatwootClient:
    return ChatwootClient(chatwoot.without_refusals(account))


def _agent_bot(
    account_id: int,
) -> tuple[ChatwootAccount, ChatwootClient, AgentBotRow]:
    """Return what most mends need; ConfigurationError if the agent bot is gone."""
    account = ChatwootAccount.objects.get(pk=account_id)
    client = _client(account)
    row = our_agent_bot(client.agent_bots(), account=account)
    if row is None:
        raise ConfigurationError(
            _("The agent bot is not in Chatwoot. Run the set-up again to make one.")
        )
    return account, client, row


_ACCOUNT = "chatwoot_api.change_chatwootaccount"

MENDS: Mapping[str, Mend] = {
    "set_address": Mend(
        title=gettext_lazy("Set our address in Chatwoot"),
        kind="account",
        permission=_ACCOUNT,
        run=set_address,
    ),
    "fetch_secret": Mend(
        title=gettext_lazy("Fetch token and secret"),
        kind="account",
        permission=_ACCOUNT,
        run=fetch_secret,
    ),
    "link_inboxes": Mend(
        title=gettext_lazy("Link the inboxes"),
        kind="account",
        permission=_ACCOUNT,
        run=link_inboxes,
    ),
    "join_teams": Mend(
        title=gettext_lazy("Add to the teams"),
        kind="account",
        permission=_ACCOUNT,
        run=join_teams,
    ),
    "keep_pending_off": Mend(
        title=gettext_lazy("Let Chatwoot open them"),
        kind="account",
        permission=_ACCOUNT,
        run=keep_pending_off,
    ),
    "read_app": Mend(
        title=gettext_lazy("Read from Dify"),
        kind="app",
        permission="dify_api.change_difyapp",
        run=read_app,
    ),
    "map_inputs": Mend(
        title=gettext_lazy("Map what we know"),
        kind="bot",
        permission="conversations.change_bot",
        run=map_inputs,
    ),
}
