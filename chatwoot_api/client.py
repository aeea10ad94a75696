"""Chatwoot's application API, one method per endpoint that the bridge uses."""

from __future__ import annotations

from chatwoot_api.api import SHORT_TIMEOUT_S
from chatwoot_api.bot_calls import BotCalls
from chatwoot_api.contact_calls import ContactCalls
from chatwoot_api.conversation_calls import ConversationCalls
from chatwoot_api.message_calls import Upload
from chatwoot_api.settings_calls import SettingsCalls

__all__ = ["SHORT_TIMEOUT_S", "ChatwootClient", "Upload"]


class ChatwootClient(ConversationCalls, ContactCalls, SettingsCalls, BotCalls):
    """The calls of one account."""
