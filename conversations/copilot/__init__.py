"""The bot as a help for agents: what they ask it in a private note."""

from __future__ import annotations

from conversations.copilot.help import app_for, ask

__all__ = ["app_for", "ask"]
