"""The typing sign: shown to the customer during a run, and surely gone after it.

Chatwoot never hides it by itself, but its website chat does so after 30 seconds, and
other channels sooner; so it is shown again while a run lasts. One thread does that for
all runs of a process.
"""

from __future__ import annotations

import logging
import threading
from time import monotonic

from chatwoot_api.client import ChatwootClient
from conversations.decisions import replies_as, situation_of
from conversations.models import Bot, ReplyAs, Turn

logger = logging.getLogger(__name__)

REFRESH_AFTER_S = 20.0
LOOK_EVERY_S = 1.0


class Typing:
    """The sign in one conversation; one that fails costs nobody the answer."""

    def __init__(self, turn: Turn, *, bot: Bot, client: ChatwootClient) -> None:
        situation = situation_of(turn.conversation)
        self._number = turn.conversation.chatwoot_conversation_id
        self._client, self._account = client, bot.account
        # Who gets a note, or has a human, is not waiting for the bot.
        self._wanted = replies_as(bot, situation, kind=turn.kind) == ReplyAs.MESSAGE
        # Showing it once more must not come after hiding it.
        self._lock = threading.Lock()
        self._shown_at = 0.0
        self.is_shown = False

    def show_once(self) -> None:
        """Show it to the customer; another one, in another process, will hide it."""
        self._set(on=True)

    def show(self) -> None:
        """Show it to the customer, and go on showing it until it is hidden."""
        self._set(on=True)
        if self.is_shown:
            refresher.add(self)

    def hide(self) -> None:
        """Take it away, if it was shown."""
        refresher.remove(self)
        if self.is_shown:
            self._set(on=False)

    def is_due(self, *, now: float, after_s: float) -> bool:
        """Tell whether the customer is about to lose sight of it."""
        return self.is_shown and now - self._shown_at >= after_s

    def show_again(self, *, client: ChatwootClient) -> None:
        """Show it once more, unless it was hidden meanwhile."""
        with self._lock:
            if self.is_shown:
                self._shown_at = monotonic()
                client.show_typing(self._number, on=True)

    def client_of_its_own(self) -> ChatwootClient:
        """Return a client for another thread; its calls are not the run's."""
        return ChatwootClient(self._account)

    def _set(self, *, on: bool) -> None:
        if self._wanted and self._client.can_speak:
            with self._lock:
                self.is_shown, self._shown_at = on, monotonic()
                self._client.show_typing(self._number, on=on)


class Refresher:
    """Shows signs again for as long as there are any."""

    def __init__(
        self, *, every_s: float = LOOK_EVERY_S, after_s: float = REFRESH_AFTER_S
    ) -> None:
        self._every_s, self._after_s = every_s, after_s
        self._signs: set[Typing] = set()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def add(self, sign: Typing) -> None:
        """Take care of a sign."""
        with self._lock:
            self._signs.add(sign)
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._while_any, daemon=True)
                self._thread.start()

    def remove(self, sign: Typing) -> None:
        """Let go of a sign."""
        with self._lock:
            self._signs.discard(sign)

    def _while_any(self) -> None:
        pause = threading.Event()
        while True:
            pause.wait(self._every_s)
            with self._lock:
                if not self._signs:
                    self._thread = None
                    return
                signs = list(self._signs)
            for sign in signs:
                if sign.is_due(now=monotonic(), after_s=self._after_s):
                    self._show_again(sign)

    def _show_again(self, sign: Typing) -> None:
        try:
            with sign.client_of_its_own() as client:
                sign.show_again(client=client)
        except Exception as err:  # the thread must outlive every fault
            logger.warning("The typing sign could not be shown again: %s", err)


refresher = Refresher()
