"""What Chatwoot defines, by the mirrors; asked anew when a name is not known."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

from django.utils import timezone

from bridge_project.lib.errors import BridgeError
from chatwoot_api import sync
from conversations.actions.target import Target

# Who asks for a name that is not there makes us ask Chatwoot no more often than this.
ASK_AGAIN_AFTER_S = 60.0

T = TypeVar("T")


def found(look: Callable[[], T | None], *, target: Target) -> T | None:
    """Return what `look` finds in the mirrors, asking Chatwoot once if it is nothing.

    Raises BridgeError if Chatwoot could not be asked and nothing was ever mirrored:
    then nobody knows whether there is such a name.
    """
    row, account = look(), target.account
    if row is not None:
        return row
    try:
        sync.pull_if_older(account, than_s=ASK_AGAIN_AFTER_S, now=timezone.now())
    except BridgeError:
        if account.mirrored_at is None:
            raise
        return None
    # Also if it was not pulled now: another callback may just have done so.
    return look()


def made_meanwhile(look: Callable[[], T | None], *, target: Target) -> T | None:
    """Return what `look` finds after Chatwoot refused to make it a second time."""
    sync.pull(target.account, now=timezone.now())
    return look()


def spelled(names: Iterable[str]) -> list[str]:
    """Return names in the order of the alphabet, for a list of what is possible."""
    return sorted({name for name in names if name}, key=str.casefold)
