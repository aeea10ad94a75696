"""Have stored messages answered once more: what would happen, and making it happen."""

from __future__ import annotations

from conversations.replay.doing import Result, replay, together
from conversations.replay.foresight import Foresight, foresee

__all__ = ["Foresight", "Result", "foresee", "replay", "together"]
