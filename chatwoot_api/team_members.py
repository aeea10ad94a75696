"""Who is in a team: people say e-mail addresses, Chatwoot numbers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from bridge_project.lib.errors import BridgeError
from bridge_project.lib.types import JsonValue
from chatwoot_api.client import ChatwootClient
from chatwoot_api.models import Agent
from chatwoot_api.seed_files import MEMBERS, Wanted
from chatwoot_api.settings_payloads import AgentRow


class UnknownMember(BridgeError):
    """No agent of the account has the e-mail address."""

    code = "unknown_member"


def mail_of(agent: Agent | AgentRow) -> str:
    """Return an agent's address as it is compared."""
    return agent.email.strip().casefold()


def mails_of(agents: Iterable[Agent | AgentRow]) -> list[JsonValue]:
    """Return the addresses of agents, in a fixed order."""
    return list[JsonValue](sorted({mail_of(agent) for agent in agents} - {""}))


def unknown(one: Wanted, *, mails: frozenset[str]) -> list[str]:
    """Return the members that are wanted, but are no agents of the account."""
    wanted = one.fields.get(MEMBERS)
    members = wanted if isinstance(wanted, list) else []
    return [str(mail) for mail in members if str(mail) not in mails]


def only_known(
    wanted: Iterable[Wanted], *, agents: Iterable[AgentRow]
) -> tuple[list[Wanted], list[str]]:
    """Leave out members that are no agents; the second part are sentences on them."""
    mails = frozenset(map(mail_of, agents))
    kept: list[Wanted] = []
    notes: list[str] = []
    for one in wanted:
        strange = unknown(one, mails=mails)
        kept.append(without(one, mails=strange) if strange else one)
        notes += [
            f"Left out of team “{one.name}”: no agent of this account has the address "
            f"“{mail}”. Invite them in Chatwoot first."
            for mail in strange
        ]
    return kept, notes


def without(one: Wanted, *, mails: Sequence[str]) -> Wanted:
    """Return what is wanted without some of the members."""
    members = one.fields[MEMBERS]
    known: list[JsonValue] = [
        mail
        for mail in (members if isinstance(members, list) else [])
        if mail not in mails
    ]
    return replace(one, fields={**one.fields, MEMBERS: known})


def write(client: ChatwootClient, team_id: int, *, mails: Sequence[str]) -> None:
    """Make these agents the members of a team, and nobody else. Raises BridgeError."""
    numbers = {mail_of(agent): agent.id for agent in client.agents()}
    for mail in mails:
        if mail not in numbers:
            raise UnknownMember(
                f"No agent of this account has the address “{mail}”. Invite them in "
                "Chatwoot first."
            )
    if mails:
        client.set_team_members(team_id, [numbers[mail] for mail in mails])
        return
    # Chatwoot takes an empty list for none at all, so everybody is named.
    inside = [agent.id for agent in client.team_members(team_id)]
    if inside:
        client.remove_team_members(team_id, inside)
