"""How many callbacks a web process serves at once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from threading import BoundedSemaphore

from django.conf import settings

from conversations.callbacks.errors import Refused

# A request with files holds them several times over, up to 160 MB.
FILES_AT_ONCE = 3


class Busy(Refused):
    """Told with HTTP 200: a flow can read it and ask again."""

    status_code = 200
    default_code = "busy"


@contextmanager
def taken(kind: str = "callback") -> Iterator[bool]:
    """Take a place while the block lasts; tells whether there was one.

    A webhook must find a free thread within Chatwoot's 5 s, however slowly Chatwoot
    answers callbacks, or flows send their bodies, at the same time.
    """
    places = _places(kind)
    has_place = places.acquire(blocking=False)
    try:
        yield has_place
    finally:
        if has_place:
            places.release()


def refuse() -> Busy:
    """Return the answer for whom there was no place."""
    return Busy(
        "The bridge serves as many callbacks as it can at this moment. Ask again in "
        "some seconds."
    )


@cache
def _places(kind: str) -> BoundedSemaphore:
    many = FILES_AT_ONCE if kind == "files" else settings.CALLBACKS_AT_ONCE
    return BoundedSemaphore(many)
