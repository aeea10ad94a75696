"""Keeps the mirrors: what Chatwoot says is read first, then written all at once."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from itertools import islice
from typing import TypeVar

from django.core.exceptions import ImproperlyConfigured, ObjectDoesNotExist
from django.db import models, transaction

from bridge_project.lib.encryption import readable
from bridge_project.lib.errors import BridgeError, ConfigurationError, NotFound
from chatwoot_api.client import ChatwootClient
from chatwoot_api.models import (
    Agent,
    AttributeDefinition,
    ChatwootAccount,
    Inbox,
    Label,
    Team,
)
from chatwoot_api.refusals import NotPermitted
from chatwoot_api.settings_payloads import (
    AgentRow,
    DefinitionRow,
    InboxRow,
    LabelRow,
    TeamRow,
)

logger = logging.getLogger(__name__)

MirrorT = TypeVar("MirrorT", Agent, AttributeDefinition, Label, Team)

# Members cost a request for each team; what is beyond keeps those that were known.
MAX_TEAMS_WITH_MEMBERS = 200


def pull(
    account: ChatwootAccount, *, now: datetime, with_members: bool = False
) -> dict[str, int]:
    """Read an account's settings into the mirrors; returns how many of each there are.

    Rows that Chatwoot no longer has are deleted, except inboxes, on which history
    hangs. If anything cannot be read, nothing is written. Needs the administrator's
    token: ConfigurationError without one, UpstreamError if Chatwoot does not answer.
    Who is in which team stays as it was known, unless `with_members`: a waiting flow
    has no time for a request per team, and needs none of it.
    """
    if not readable(account.admin_token):
        raise ConfigurationError(
            f"“{account}” has no administrator token, and a bot may read neither teams "
            "nor agents. Enter one at the Chatwoot account."
        )
    client = client_of(account)
    teams, agents = client.teams(), client.agents()
    labels, definitions = client.account_labels(), client.attribute_definitions()
    inboxes = client.inboxes()
    members = _members(client, teams) if with_members else {}
    with transaction.atomic():
        mirrored_at = _locked(account)
        if mirrored_at is None or mirrored_at <= now:
            _write(Team, account, {row.id: _team(row) for row in teams})
            _write(Agent, account, {row.id: _agent(row) for row in agents})
            _write(Label, account, {row.id: _label(row) for row in labels})
            _write(
                AttributeDefinition,
                account,
                {row.id: _definition(row) for row in definitions},
            )
            _remember(inboxes, account=account)
            _remember_members(members, account=account)
            ChatwootAccount.objects.filter(pk=account.pk).update(mirrored_at=now)
            mirrored_at = now
    account.mirrored_at = mirrored_at
    return {
        "teams": len(teams),
        "agents": len(agents),
        "labels": len(labels),
        "attribute_definitions": len(definitions),
        "inboxes": len(inboxes),
    }


def pull_if_older(account: ChatwootAccount, *, than_s: float, now: datetime) -> bool:
    """Pull unless that was done within the last `than_s` seconds; tells if it was."""
    accounts = ChatwootAccount.objects.filter(pk=account.pk)
    mirrored_at = accounts.values_list("mirrored_at", flat=True).get()
    if mirrored_at is not None and mirrored_at > now - timedelta(seconds=than_s):
        account.mirrored_at = mirrored_at
        return False
    pull(account, now=now)
    return True


def pull_all(*, now: datetime) -> dict[str, int]:
    """Pull each account with an administrator token that is not known to be refused.

    One account's trouble is logged and is not the others'. What is no trouble of
    Chatwoot's or of the configuration is raised, but only at the end.
    """
    counts = {"read": 0, "failed": 0}
    unexpected: list[Exception] = []
    able = ChatwootAccount.objects.filter(admin_token_refused_at=None).order_by("pk")
    for pk in list(able.values_list("pk", flat=True)):
        try:
            account = ChatwootAccount.objects.get(pk=pk)
            if account.admin_token:
                pull(account, now=now, with_members=True)
                counts["read"] += 1
        except (
            BridgeError,
            ImproperlyConfigured,  # no key decrypts the token
            ObjectDoesNotExist,  # deleted meanwhile
            ValueError,  # the token has characters that no header may have
        ) as err:
            logger.warning("Chatwoot account %s could not be read: %s", pk, err)
            counts["failed"] += 1
        except Exception as err:
            logger.exception("Chatwoot account %s could not be read", pk)
            unexpected.append(err)
    if unexpected:
        raise unexpected[0]
    return counts


def client_of(account: ChatwootAccount) -> ChatwootClient:
    """Return a client that notes a refused token at the account."""
    row = ChatwootAccount.objects.filter(pk=account.pk)
    return ChatwootClient(account, on_refused=row.note_refusal)


def _locked(account: ChatwootAccount) -> datetime | None:
    """Let one pull write at a time; returns when what is there was read.

    An older answer must not overwrite a newer one.
    """
    rows = ChatwootAccount.objects.select_for_update(no_key=True).filter(pk=account.pk)
    return rows.values_list("mirrored_at", flat=True).get()


def _write(
    model: type[MirrorT], account: ChatwootAccount, rows: Mapping[int, MirrorT]
) -> None:
    """Make the mirror's rows those of Chatwoot, by its numbers."""
    number = _number_field(model)
    mirror: models.QuerySet[MirrorT] = model._default_manager.filter(account=account)
    mirror.exclude(**{f"{number}__in": list(rows)}).delete()
    for row in rows.values():
        row.account = account
    fixed = {"id", "account", number, "member_ids"}
    model._default_manager.bulk_create(
        rows.values(),
        update_conflicts=True,
        unique_fields=["account", number],
        update_fields=[f.name for f in model._meta.fields if f.name not in fixed],
    )


def _number_field(model: type[models.Model]) -> str:
    return next(f.name for f in model._meta.fields if f.name.startswith("chatwoot_"))


def _remember(rows: Iterable[InboxRow], *, account: ChatwootAccount) -> None:
    """Keep names, channels and hours; webhooks have made rows as well."""
    for row in rows:
        inbox = Inbox.objects.remember(
            account, chatwoot_id=row.id, name=row.name, channel=row.channel
        )
        inbox.keep_hours(
            enabled=row.working_hours_enabled,
            days=list(row.working_hours),
            timezone=row.timezone,
        )


def _members(client: ChatwootClient, teams: Iterable[TeamRow]) -> dict[int, list[int]]:
    """Ask who is in each team; left out is what is gone by now, or not shown to us."""
    members: dict[int, list[int]] = {}
    for row in islice(teams, MAX_TEAMS_WITH_MEMBERS):
        with suppress(NotFound, NotPermitted):
            agents = client.team_members(row.id)
            members[row.id] = sorted({agent.id for agent in agents})
    return members


def _remember_members(
    members: Mapping[int, list[int]], *, account: ChatwootAccount
) -> None:
    rows = list(
        Team.objects.filter(account=account, chatwoot_team_id__in=list(members))
    )
    for row in rows:
        row.member_ids = members[row.chatwoot_team_id]
    Team.objects.bulk_update(rows, ["member_ids"])


def _team(row: TeamRow) -> Team:
    return Team(
        chatwoot_team_id=row.id,
        name=row.name,
        description=row.description,
        allow_auto_assign=row.allow_auto_assign,
    )


def _agent(row: AgentRow) -> Agent:
    return Agent(
        chatwoot_agent_id=row.id,
        name=row.name,
        available_name=row.available_name,
        email=row.email,
        role=row.role,
    )


def _label(row: LabelRow) -> Label:
    return Label(
        chatwoot_label_id=row.id,
        title=row.title,
        description=row.description,
        color=row.color,
        show_on_sidebar=row.show_on_sidebar,
    )


def _definition(row: DefinitionRow) -> AttributeDefinition:
    return AttributeDefinition(
        chatwoot_definition_id=row.id,
        key=row.key,
        display_name=row.display_name,
        model=row.model,
        display_type=row.display_type,
        description=row.description,
        values=list(row.values),
        regex_pattern=row.regex_pattern,
        regex_cue=row.regex_cue,
    )
