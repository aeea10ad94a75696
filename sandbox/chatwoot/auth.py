"""Who calls the played REST API, and what a bot or an agent may not call."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.requests import Request

from sandbox.chatwoot import errors
from sandbox.chatwoot.records import Actor, Agent, Bot
from sandbox.chatwoot.store import ChatwootStore
from sandbox.settings import Settings

# The complete list of section 5.1, by endpoint name.
BOT_ENDPOINTS = frozenset(
    {
        "create_message",
        "create_conversation",
        "toggle_status",
        "toggle_priority",
        "assign",
        "update_conversation",
        "custom_attributes",
        "toggle_typing_status",
        "show_conversation",
        "list_labels",
        "set_labels",
    }
)


@dataclass(frozen=True)
class Caller:
    """The owner of the access token; exactly one of the two is set."""

    agent: Agent | None = None
    bot: Bot | None = None

    @property
    def is_admin(self) -> bool:
        return self.agent is not None and self.agent.role == "administrator"

    def actor(self) -> Actor:
        if self.bot is not None:
            return Actor(kind="AgentBot", id=self.bot.id, name=self.bot.name)
        assert self.agent is not None
        return Actor(kind="User", id=self.agent.id, name=self.agent.name)


def authenticate(
    request: Request,
    *,
    store: ChatwootStore,
    settings: Settings,
    endpoint: str,
    admin_only: bool,
) -> Caller:
    """The caller, or ApiError with the refusal Chatwoot gives; in its order."""
    headers = request.headers
    token = headers.get("api_access_token") or headers.get("api-access-token")
    if not token:
        raise errors.no_credentials()
    caller = Caller(
        agent=store.agent_with_token(token), bot=store.bot_with_token(token)
    )
    if _is_unknown(caller, settings=settings):
        raise errors.invalid_token()
    if caller.bot is not None and endpoint not in BOT_ENDPOINTS:
        raise errors.not_for_bots()
    if request.path_params["account_id"] != store.account.id:
        if caller.bot is not None:
            raise errors.bot_of_other_account()
        raise errors.not_your_account()
    if admin_only and not caller.is_admin:
        raise errors.not_authorized()
    return caller


def _is_unknown(caller: Caller, *, settings: Settings) -> bool:
    """Chatwoot says the same of a token that was revoked and of one that never was."""
    if caller.bot is not None:
        return settings.bot_token_refused
    return caller.agent is None or (caller.is_admin and settings.admin_token_refused)
