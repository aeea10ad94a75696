"""The provider “openai”: any server with OpenAI's `POST /chat/completions`."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from bridge_project.lib.types import JsonObject
from conversations.models import OpenAIServer
from conversations.openai_client import OpenAIClient
from conversations.providers.contract import ReplyContext


def reply_of(
    server: OpenAIServer, *, client: OpenAIClient
) -> Callable[[ReplyContext], Iterator[str]]:
    """Return the provider that asks this server's model."""

    def reply(about: ReplyContext) -> Iterator[str]:
        chat = client.chat(messages_for(server, about=about), model=server.chat_model)
        try:
            yield from chat
        finally:
            chat.close()
            about.report.total_tokens = chat.total_tokens
            about.report.thinking = chat.thinking
            about.report.notes += chat.notes

    return reply


def messages_for(server: OpenAIServer, *, about: ReplyContext) -> list[JsonObject]:
    """Return the instructions, what was said, and the question."""
    messages: list[JsonObject] = []
    if server.system_prompt.strip():
        messages.append({"role": "system", "content": server.system_prompt})
    messages += [{"role": one.role, "content": one.text} for one in about.history]
    return [*messages, {"role": "user", "content": about.message}]
