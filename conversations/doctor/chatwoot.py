"""Asks a Chatwoot account what it knows of us; reads settings and nothing else."""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial

from django.utils import timezone

from bridge_project.lib.errors import BridgeError, UpstreamUnavailable
from chatwoot_api import probe
from chatwoot_api.bot_payloads import AccountFacts, AgentBotRow, Profile, ServerFacts
from chatwoot_api.client import ChatwootClient
from chatwoot_api.models import ChatwootAccount
from chatwoot_api.probe import ProbeResult
from chatwoot_api.settings_payloads import InboxRow, TeamRow
from conversations.doctor.addresses import our_agent_bot
from conversations.doctor.asking import Deadline, ask

# So many are looked at one by one; who has more sees the first of them.
MOST = 60


@dataclass(kw_only=True)
class Seen:
    """What Chatwoot answered; an error where it did not, None where nobody asked.

    `links` and `members` have what could be looked at in time.
    """

    account: ChatwootAccount
    at: datetime = field(default_factory=timezone.now)
    server: ServerFacts | BridgeError | None = None
    tokens: ProbeResult | None = None
    bot_owner: Profile | BridgeError | None = None
    profile: Profile | BridgeError | None = None
    settings: AccountFacts | BridgeError | None = None
    agent_bots: list[AgentBotRow] | BridgeError | None = None
    inboxes: list[InboxRow] | BridgeError | None = None
    links: dict[int, AgentBotRow | None] = field(default_factory=dict)
    teams: list[TeamRow] | BridgeError | None = None
    members: dict[int, set[int]] = field(default_factory=dict)

    @property
    def is_reachable(self) -> bool:
        """Tell whether it made sense to ask anything else."""
        return not isinstance(self.server, UpstreamUnavailable)

    @property
    def agent_bot(self) -> AgentBotRow | None:
        """Return the agent bot of the bridge, if it is there."""
        if not isinstance(self.agent_bots, list):
            return None
        return our_agent_bot(self.agent_bots, account=self.account)

    @property
    def is_administrator(self) -> bool:
        """Tell whether the administrator token's owner is one, in this account."""
        if not isinstance(self.profile, Profile):
            return False
        membership = self.profile.membership(self.account.account_id)
        return membership is not None and membership.is_administrator

    @property
    def can_sign(self) -> bool:
        """Tell whether Chatwoot signs for agent bots; without news we believe so."""
        number = self.server.number if isinstance(self.server, ServerFacts) else None
        return number is None or number >= SIGNS_SINCE

    def settings_page(self, page: str) -> str:
        """Return the address of one of Chatwoot's settings pages for the account."""
        account = self.account
        root = f"{account.server_url()}/app/accounts/{account.account_id}"
        return f"{root}/settings/{page}"


SIGNS_SINCE = (4, 13, 0)
BOTS_READ_SINCE = (4, 14, 2)
REFUSES_PRIVATE_SINCE = (4, 14, 0)


def look(account: ChatwootAccount, *, deadline: Deadline) -> Seen:
    """Ask everything, one after the other; a server that is away is asked once."""
    seen = Seen(account=account)
    fresh = without_refusals(account)
    client = ChatwootClient(fresh)
    seen.server = ask(client.server_facts, deadline=deadline)
    seen.at = timezone.now()
    if not seen.is_reachable:
        return seen
    tokens = ask(lambda: probe.probe(fresh, only_refused=False), deadline=deadline)
    if isinstance(tokens, ProbeResult):
        seen.tokens = tokens
        # A token that works again is used again from now on.
        probe.store(account, tokens)
    if account.bot_token:
        seen.bot_owner = ask(_as_admin(fresh).profile, deadline=deadline)
    if account.admin_token and seen.tokens and seen.tokens.admin == "ok":
        _look_as_admin(seen, client, deadline=deadline)
    return seen


def without_refusals(account: ChatwootAccount) -> ChatwootAccount:
    """Return a copy whose tokens are tried, whatever was known of them."""
    fresh = copy(account)
    fresh.forget_health()
    return fresh


def _as_admin(account: ChatwootAccount) -> ChatwootClient:
    """Return a client that asks with the bot's token what only humans may ask."""
    disguised = copy(account)
    disguised.admin_token = account.bot_token
    return ChatwootClient(disguised)


def _look_as_admin(seen: Seen, client: ChatwootClient, *, deadline: Deadline) -> None:
    seen.profile = ask(client.profile, deadline=deadline)
    seen.settings = ask(client.account, deadline=deadline)
    seen.agent_bots = ask(client.agent_bots, deadline=deadline)
    seen.inboxes = ask(client.inboxes, deadline=deadline)
    if isinstance(seen.inboxes, list):
        for inbox in seen.inboxes[:MOST]:
            bot = ask(partial(client.inbox_agent_bot, inbox.id), deadline=deadline)
            if not isinstance(bot, BridgeError):
                seen.links[inbox.id] = bot
    seen.teams = ask(client.teams, deadline=deadline)
    if isinstance(seen.teams, list):
        for team in seen.teams[:MOST]:
            members = ask(partial(client.team_members, team.id), deadline=deadline)
            if not isinstance(members, BridgeError):
                seen.members[team.id] = {member.id for member in members}
