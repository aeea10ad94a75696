"""Lists for flows to choose from: teams, labels and attributes, from the mirrors."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from django.db.models import Model
from django.utils import timezone

from bridge_project.lib.errors import BridgeError, ConfigurationError
from bridge_project.lib.types import JsonObject
from chatwoot_api import sync
from chatwoot_api.client import ChatwootClient
from chatwoot_api.models import AttributeDefinition, ChatwootAccount, Label, Team
from conversations.callbacks import answers
from conversations.callbacks.answers import Answer
from conversations.callbacks.serving import AccountOperation, Perform
from conversations.models import Bot
from dify_api.arguments import Misread, as_bool

RowT = TypeVar("RowT", bound=Model)
_OF: dict[str, str] = {
    AttributeDefinition.Model.CONVERSATION: "conversation",
    AttributeDefinition.Model.CONTACT: "contact",
}


def _team(row: Team) -> JsonObject:
    return {
        "id": row.chatwoot_team_id,
        "name": row.name,
        "description": row.description,
    }


def _label(row: Label) -> JsonObject:
    return {"title": row.title, "description": row.description, "color": row.color}


def _attribute(row: AttributeDefinition) -> JsonObject:
    return {
        "key": row.key,
        "name": row.display_name,
        "of": _OF.get(row.model, row.model),
        "type": row.display_type,
        "values": list(row.values),
        "description": row.description,
    }


def _listing(
    kind: str,
    *,
    model: type[RowT],
    order: tuple[str, ...],
    described: Callable[[RowT], JsonObject],
) -> Perform:
    """Return what lists a mirror; rows are named by the last of what sorts them."""

    def perform(
        account: ChatwootAccount,
        bot: Bot | None,
        client: ChatwootClient,
        wanted: JsonObject,
    ) -> Answer:
        trouble = _made_ready(account, wanted)
        if trouble is not None:
            return trouble
        rows = model._default_manager.filter(account=account).order_by(*order)
        found = [described(row) for row in rows]
        names = ", ".join(str(one[order[-1]]) for one in found)
        return Answer(body={"status": "success", "names": names, kind: [*found]})

    return perform


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
TEAMS = AccountOperation(
    name="list_teams",
    perform=_listing("teams", model=Team, order=("name",), described=_team),
    fields=("refresh",),
)
LABELS = AccountOperation(
    name="list_labels",
    perform=_listing("labels", model=Label, order=("title",), described=_label),
    fields=("refresh",),
)
ATTRIBUTES = AccountOperation(
    name="list_attribute_definitions",
    perform=_listing(
        "attributes",
        model=AttributeDefinition,
        order=("model", "key"),
        described=_attribute,
    ),
    fields=("refresh",),
)
