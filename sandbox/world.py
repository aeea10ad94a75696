"""Everything one sandbox process owns, in one object."""

from __future__ import annotations

from sandbox.chatwoot import seed
from sandbox.chatwoot.server import ChatwootServer
from sandbox.closing import Closing
from sandbox.dify.server import DifyServer
from sandbox.faults import Faults
from sandbox.json_types import Json
from sandbox.settings import Settings
from sandbox.visits import Visits
from sandbox.wire_log import WireLog


class World:
    """Chatwoot, Dify, the wire between, and what can be set."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.wire_log = WireLog()
        self.faults = Faults()
        self.chatwoot = ChatwootServer(settings=settings, wire_log=self.wire_log)
        self.closing = Closing()
        self.dify = DifyServer(settings, closing=self.closing, wire_log=self.wire_log)
        self.visits = Visits(chatwoot=self.chatwoot, dify=self.dify)

    def change_settings(self, changes: Json) -> None:
        """Apply settings; a new bridge address also moves the seeded bot's webhook."""
        before = self.settings.webhook_url()
        self.settings.update(changes)
        after = self.settings.webhook_url()
        for bot in self.chatwoot.store.bots.values():
            if bot.outgoing_url == before:
                bot.outgoing_url = after

    def set_secret(self, secret: str) -> None:
        """Let the seeded bot, if there is one, sign with this."""
        if 1 in self.chatwoot.store.bots:
            self.chatwoot.store.bots[1].secret = secret

    async def reset(self) -> None:
        """A fresh account and workspace; settings stay as they are."""
        self.faults.clear()
        self.visits.clear()
        await self.dify.reset()
        self.chatwoot.lifecycle.reset()
        self.set_secret(seed.WEBHOOK_SECRET)
        self.wire_log.clear()
        self.wire_log.publish({"type": "reset"})

    async def end_streams(self) -> None:
        """Let every open stream and every ordered wait come to its end."""
        self.closing.begin()
        self.wire_log.publish({"type": "closing"})
        await self.dify.runs.close()

    async def close(self) -> None:
        await self.end_streams()
        self.visits.clear()
        await self.dify.caller.close()
        await self.chatwoot.lifecycle.sender.close()
