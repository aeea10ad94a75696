"""What an account is set up with: teams, agents, labels, attributes, inboxes.

With the administrator's token: a bot may see none of them, and an agent's may change
none (reference/chatwoot.md sections 5.2 and 5.6).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from bridge_project.lib.types import JsonObject, JsonValue
from chatwoot_api.api import SHORT_TIMEOUT_S, ChatwootApi
from chatwoot_api.lenient import id_at, object_at
from chatwoot_api.settings_payloads import (
    AgentRow,
    DefinitionRow,
    InboxRow,
    LabelRow,
    TeamRow,
    read_agent,
    read_definition,
    read_inbox,
    read_label,
    read_team,
)

RowT = TypeVar("RowT")


class SettingsCalls(ChatwootApi):
    """The calls about an account's settings; `fields` are Chatwoot's own."""

    def teams(self) -> list[TeamRow]:
        """Return all teams."""
        return self._list("teams", read_team)

    def agents(self) -> list[AgentRow]:
        """Return all agents, administrators among them."""
        return self._list("agents", read_agent)

    def account_labels(self) -> list[LabelRow]:
        """Return the labels that the account defines."""
        return self._list("labels", read_label)

    def attribute_definitions(self) -> list[DefinitionRow]:
        """Return the custom attributes of conversations, contacts and all else."""
        return self._list("custom_attribute_definitions", read_definition)

    def inboxes(self) -> list[InboxRow]:
        """Return all inboxes."""
        return self._list("inboxes", read_inbox)

    def inbox_ids(self) -> set[int]:
        """Return the numbers of the account's inboxes."""
        return {inbox.id for inbox in self.inboxes()}

    def create_team(self, fields: JsonObject) -> TeamRow:
        """Make a team; its name is stored in lower case, and must be new."""
        return self._create("teams", fields, read=read_team)

    def update_team(self, team_id: int, fields: JsonObject) -> TeamRow:
        """Change a team."""
        return self._update("teams", team_id, fields, read=read_team)

    def delete_team(self, team_id: int) -> None:
        """Delete a team; its conversations have none then."""
        self._delete("teams", team_id)

    def team_members(self, team_id: int) -> list[AgentRow]:
        """Return the agents of a team."""
        return self._list(f"teams/{team_id}/team_members", read_agent)

    def set_team_members(self, team_id: int, agent_ids: Sequence[int]) -> None:
        """Make these agents, at least one, the members of a team, and nobody else.

        An unknown number is refused with 401 "Invalid User IDs" (section 5.6).
        """
        self._members("PATCH", team_id, agent_ids)

    def remove_team_members(self, team_id: int, agent_ids: Sequence[int]) -> None:
        """Take these agents out of a team."""
        self._members("DELETE", team_id, agent_ids)

    def conversations_with(
        self, *, team_id: int | None = None, label: str = ""
    ) -> int | None:
        """Count the conversations of a team or with a label, in whatever status.

        None if Chatwoot answers without a count (section 5.4).
        """
        chosen = {"labels[]": label} if label else {"team_id": str(team_id)}
        path = f"{self._root}/conversations/meta"
        params = {"status": "all", "assignee_type": "all", **chosen}
        reply = self._ask(
            ("admin",), "GET", path, params=params, timeout_s=SHORT_TIMEOUT_S
        )
        meta = object_at(reply, "meta") if isinstance(reply, dict) else {}
        return id_at(meta, "all_count")

    def create_label(self, fields: JsonObject) -> LabelRow:
        """Make a label; its title has no spaces, is stored in lower case, is new."""
        return self._create("labels", fields, read=read_label)

    def update_label(self, label_id: int, fields: JsonObject) -> LabelRow:
        """Change a label."""
        return self._update("labels", label_id, fields, read=read_label)

    def delete_label(self, label_id: int) -> None:
        """Delete a label."""
        self._delete("labels", label_id)

    def create_definition(self, fields: JsonObject) -> DefinitionRow:
        """Make a custom attribute; type and model by name, the key new in its model."""
        return self._create(
            "custom_attribute_definitions", fields, read=read_definition
        )

    def update_definition(
        self, definition_id: int, fields: JsonObject
    ) -> DefinitionRow:
        """Change a custom attribute; a list's values are replaced."""
        return self._update(
            "custom_attribute_definitions", definition_id, fields, read=read_definition
        )

    def delete_definition(self, definition_id: int) -> None:
        """Delete a custom attribute; the values stay where they are set."""
        self._delete("custom_attribute_definitions", definition_id)

    def _members(self, method: str, team_id: int, agent_ids: Sequence[int]) -> None:
        path = f"{self._root}/teams/{team_id}/team_members"
        body: JsonObject = {"user_ids": list(agent_ids)}
        self._ask(("admin",), method, path, json=body, timeout_s=SHORT_TIMEOUT_S)

    def _list(
        self, endpoint: str, read: Callable[[JsonObject], RowT | None]
    ) -> list[RowT]:
        """Read a list; what has no number is no row."""
        path = f"{self._root}/{endpoint}"
        reply = self._ask(("admin",), "GET", path, timeout_s=SHORT_TIMEOUT_S)
        found = (read(row) for row in self._objects(reply, path=path))
        return [row for row in found if row is not None]

    def _create(
        self,
        endpoint: str,
        fields: JsonObject,
        *,
        read: Callable[[JsonObject], RowT | None],
    ) -> RowT:
        path = f"{self._root}/{endpoint}"
        reply = self._ask(
            ("admin",),
            "POST",
            path,
            json=fields,
            repeat_safe=False,
            timeout_s=SHORT_TIMEOUT_S,
        )
        return self._row("POST", path, reply, read=read)

    def _update(
        self,
        endpoint: str,
        number: int,
        fields: JsonObject,
        *,
        read: Callable[[JsonObject], RowT | None],
    ) -> RowT:
        path = f"{self._root}/{endpoint}/{number}"
        reply = self._ask(
            ("admin",), "PATCH", path, json=fields, timeout_s=SHORT_TIMEOUT_S
        )
        return self._row("PATCH", path, reply, read=read)

    def _delete(self, endpoint: str, number: int) -> None:
        path = f"{self._root}/{endpoint}/{number}"
        self._ask(("admin",), "DELETE", path, timeout_s=SHORT_TIMEOUT_S)

    def _row(
        self,
        method: str,
        path: str,
        reply: JsonValue,
        *,
        read: Callable[[JsonObject], RowT | None],
    ) -> RowT:
        row = read(reply) if isinstance(reply, dict) else None
        if row is None:
            raise self._unexpected(method, path)
        return row
