"""What the customer sent besides text: files for Dify, and voice turned into text."""

from __future__ import annotations

from conversations.incoming.bringing import Files, bring

__all__ = ["Files", "bring"]
