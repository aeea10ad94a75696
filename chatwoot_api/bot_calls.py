"""Who answers in an account: agent bots, their inboxes, and who may change them.

All with the administrator's token (reference/chatwoot.md sections 5.2 and 5.6), but for
the version, which Chatwoot tells everybody.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from requests import Response

from bridge_project.lib.types import JsonObject
from chatwoot_api.api import SHORT_TIMEOUT_S, ChatwootApi
from chatwoot_api.bot_payloads import (
    AccountFacts,
    AgentBotRow,
    Profile,
    ServerFacts,
    read_account,
    read_agent_bot,
    read_profile,
)
from chatwoot_api.lenient import object_at, text_at


class BotCalls(ChatwootApi):
    """The calls about agent bots and about the tokens themselves."""

    def server_facts(self) -> ServerFacts:
        """Return version and clock; needs no token.

        `GET /api` answers `{version, timestamp, queue_services, data_services}`
        (app/controllers/api_controller.rb). Another address than Chatwoot's raises
        NotFound, UnexpectedReply, or whatever it answers.
        """
        response = self.send(
            "GET",
            "/api",
            headers={"Accept": "application/json"},
            repeat_safe=True,
            timeout_s=SHORT_TIMEOUT_S,
        )
        try:
            body = response.json()
        except ValueError:
            body = None
        if not isinstance(body, dict) or "version" not in body:
            raise self._unexpected("GET", "/api")
        return ServerFacts(version=text_at(body, "version")[:40], clock=_date(response))

    def profile(self) -> Profile:
        """Return the owner of the administrator's token, whatever the role.

        Raises NotOpenToBots if the token is a bot's, TokenRefused if it is nobody's.
        """
        path = "/api/v1/profile"
        reply = self._ask(("admin",), "GET", path, timeout_s=SHORT_TIMEOUT_S)
        profile = read_profile(reply) if isinstance(reply, dict) else None
        if profile is None:
            raise self._unexpected("GET", path)
        return profile

    def account(self) -> AccountFacts:
        """Return the account's name and settings."""
        reply = self._ask(("admin",), "GET", self._root, timeout_s=SHORT_TIMEOUT_S)
        if not isinstance(reply, dict):
            raise self._unexpected("GET", self._root)
        return read_account(reply)

    def keep_pending_on_bot_failure(self, keep: bool, /) -> None:
        """Set whether a conversation stays with a bot that could not be reached.

        Versions that do not know the setting answer success all the same.
        """
        self._ask(
            ("admin",),
            "PATCH",
            self._root,
            json={"keep_pending_on_bot_failure": keep},
            timeout_s=SHORT_TIMEOUT_S,
        )

    def agent_bots(self) -> list[AgentBotRow]:
        """Return the account's agent bots, and those of the installation."""
        path = f"{self._root}/agent_bots"
        reply = self._ask(("admin",), "GET", path, timeout_s=SHORT_TIMEOUT_S)
        found = (read_agent_bot(row) for row in self._objects(reply, path=path))
        return [row for row in found if row is not None]

    def create_agent_bot(
        self, *, name: str, description: str, outgoing_url: str
    ) -> AgentBotRow:
        """Make a bot that is told of events by webhook."""
        fields: JsonObject = {
            "name": name,
            "description": description,
            "outgoing_url": outgoing_url,
            "bot_type": "webhook",
        }
        return self._agent_bot("POST", f"{self._root}/agent_bots", fields=fields)

    def update_agent_bot(self, bot_id: int, *, outgoing_url: str) -> AgentBotRow:
        """Let a bot be told of events at another address."""
        path = f"{self._root}/agent_bots/{bot_id}"
        return self._agent_bot("PATCH", path, fields={"outgoing_url": outgoing_url})

    def reset_agent_bot_secret(self, bot_id: int) -> AgentBotRow:
        """Make Chatwoot sign with a new secret from now on."""
        path = f"{self._root}/agent_bots/{bot_id}/reset_secret"
        return self._agent_bot("POST", path, fields={})

    def inbox_agent_bot(self, inbox_id: int) -> AgentBotRow | None:
        """Return the bot that is linked to an inbox, None if there is none."""
        path = f"{self._root}/inboxes/{inbox_id}/agent_bot"
        reply = self._ask(("admin",), "GET", path, timeout_s=SHORT_TIMEOUT_S)
        if not isinstance(reply, dict):
            raise self._unexpected("GET", path)
        return read_agent_bot(object_at(reply, "agent_bot"))

    def set_agent_bot(self, inbox_id: int, *, bot_id: int | None) -> None:
        """Link an inbox to a bot, in place of another one; None links it to none."""
        self._ask(
            ("admin",),
            "POST",
            f"{self._root}/inboxes/{inbox_id}/set_agent_bot",
            json={"agent_bot": bot_id},
            timeout_s=SHORT_TIMEOUT_S,
        )

    def add_team_members(self, team_id: int, agent_ids: Sequence[int]) -> None:
        """Add agents to a team; who is a member already stays one."""
        self._ask(
            ("admin",),
            "POST",
            f"{self._root}/teams/{team_id}/team_members",
            json={"user_ids": list(agent_ids)},
            timeout_s=SHORT_TIMEOUT_S,
        )

    def _agent_bot(self, method: str, path: str, *, fields: JsonObject) -> AgentBotRow:
        reply = self._ask(
            ("admin",),
            method,
            path,
            json=fields,
            repeat_safe=method != "POST",
            timeout_s=SHORT_TIMEOUT_S,
        )
        row = read_agent_bot(reply) if isinstance(reply, dict) else None
        if row is None:
            raise self._unexpected(method, path)
        return row


def _date(response: Response) -> datetime | None:
    """Return the `Date` header; proxies and tests may leave it out."""
    try:
        read = parsedate_to_datetime(response.headers.get("Date", ""))
    except ValueError:
        return None
    return read if read.tzinfo else read.replace(tzinfo=UTC)
