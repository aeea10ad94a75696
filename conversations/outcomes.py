"""How an attempt at a turn can end other than with an answer."""

from __future__ import annotations

from bridge_project.lib.errors import BridgeError
from conversations.models import Reason

# Why a run is given up that is nobody's fault; what else interrupts one is a `Reason`.
NEW_MESSAGE = "new_message"
SHUTDOWN = "shutdown"
LEASE_LOST = "lease_lost"


class LeaseLost(BridgeError):
    """Another worker has taken the turn; this one must not go on."""

    code = LEASE_LOST


class Interrupted(BridgeError):
    """The run is no longer wanted."""

    code = "interrupted"

    def __init__(self, cause: str) -> None:
        super().__init__()
        self.cause = cause


class NoPlace(BridgeError):
    """The Dify app runs as many as it may; the turn waits for its place."""

    code = "no_place"

    def __init__(self, app_id: int) -> None:
        """`app_id` is the app in whose line the turn is to wait."""
        super().__init__()
        self.app_id = app_id


class AccountRefused(BridgeError):
    """Chatwoot refuses all tokens of the account; the turn waits for another one."""

    code = "account_refused"


class NoAnswer(BridgeError):
    """There is nothing that the customer can be told; the turn is for the humans."""

    code = "no_answer"

    def __init__(self, reason: Reason, *, error: str = "") -> None:
        """`error` says more than the reason does, for operators."""
        super().__init__(error)
        self.reason = reason
        self.error = error
