"""Lists for flows to choose from: teams, labels and attributes, from the mirrors."""

from __future__ import annotations

from django.utils import timezone

from bridge_project.lib.errors import BridgeError, ConfigurationError
from bridge_project.lib.types import JsonObject
from chatwoot_api import sync
from chatwoot_api.client import ChatwootClient
from chatwoot_api.models import AttributeDefinition, ChatwootAccount
from conversations.callbacks import answers
from conversations.callbacks.answers import Answer
from conversations.callbacks.serving import AccountOperation
from conversations.models import Bot
from dify_api.arguments import Misread, as_bool

_OF: dict[str, str] = {
    AttributeDefinition.Model.CONVERSATION: "conversation",
    AttributeDefinition.Model.CONTACT: "contact",
}


def _teams(
    account: ChatwootAccount,
    bot: Bot | None,
    client: ChatwootClient,
    wanted: JsonObject,
) -> Answer:
    trouble = _made_ready(account, wanted)
    rows: list[JsonObject] = [
        {"id": row.chatwoot_team_id, "name": row.name, "description": row.description}
        for row in account.teams.order_by("name")
    ]
    return trouble or _listed("teams", rows, names=[str(row["name"]) for row in rows])


def _labels(
    account: ChatwootAccount,
    bot: Bot | None,
    client: ChatwootClient,
    wanted: JsonObject,
) -> Answer:
    trouble = _made_ready(account, wanted)
    rows: list[JsonObject] = [
        {"title": row.title, "description": row.description, "color": row.color}
        for row in account.labels.order_by("title")
    ]
    return trouble or _listed("labels", rows, names=[str(row["title"]) for row in rows])


def _attributes(
    account: ChatwootAccount,
    bot: Bot | None,
    client: ChatwootClient,
    wanted: JsonObject,
) -> Answer:
    trouble = _made_ready(account, wanted)
    rows: list[JsonObject] = [
        {
            "key": row.key,
            "name": row.display_name,
            "of": _OF.get(row.model, row.model),
            "type": row.display_type,
            "values": list(row.values),
            "description": row.description,
        }
        for row in account.attribute_definitions.order_by("model", "key")
    ]
    return trouble or _listed(
        "attributes", rows, names=[str(row["key"]) for row in rows]
    )


def _refresh_teams(
    account: ChatwootAccount,
    bot: Bot | None,
    client: ChatwootClient,
    wanted: JsonObject,
) -> Answer:
    trouble = _pulled(account)
    if trouble is not None:
        return trouble
    return Answer(
        body={
            "status": "success",
            "teams": account.teams.count(),
            "cache_enabled": True,
        }
    )


def _listed(kind: str, rows: list[JsonObject], *, names: list[str]) -> Answer:
    return Answer(
        body={"status": "success", "names": ", ".join(names), kind: list(rows)}
    )


def _made_ready(account: ChatwootAccount, wanted: JsonObject) -> Answer | None:
    """Read the lists from Chatwoot if that is wanted, or was never done."""
    try:
        refresh = as_bool(wanted.get("refresh"))
    except Misread as err:
        return answers.refusal("misread", err.message)
    return _pulled(account) if refresh or account.mirrored_at is None else None


def _pulled(account: ChatwootAccount) -> Answer | None:
    try:
        sync.pull(account, now=timezone.now())
    except ConfigurationError as err:
        return answers.refusal("no_admin_token", err.message)
    except BridgeError as err:
        code = "chatwoot_unavailable" if err.retryable else "refused_by_chatwoot"
        return answers.refusal(
            code, f"The lists could not be read from Chatwoot: {err.message}"
        )
    return None


REFRESH_TEAMS = AccountOperation(name="refresh_teams", perform=_refresh_teams)
TEAMS = AccountOperation(name="list_teams", perform=_teams, fields=("refresh",))
LABELS = AccountOperation(name="list_labels", perform=_labels, fields=("refresh",))
ATTRIBUTES = AccountOperation(
    name="list_attribute_definitions", perform=_attributes, fields=("refresh",)
)
