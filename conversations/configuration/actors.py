"""Who changes the configuration: the request's user, or whoever a task works for.

In the place of auditlog's own middleware, which looks for the user of each request: a
webhook with a cookie would read the session, and all threads would take turns at the
signals.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from auditlog.models import LogEntry
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse

# Looked at only when there is something to write down.
_who: ContextVar[Callable[[], User | None] | None] = ContextVar("who", default=None)


class NameActors:
    """Middleware, after the one that knows the user: changes are the user's."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Remember whom to ask for the user as long as the request lasts."""
        mark = _who.set(lambda: _user_of(request))
        try:
            return self.get_response(request)
        finally:
            _who.reset(mark)


@contextmanager
def changes_by(name: str) -> Iterator[None]:
    """Have changes written down as those of the user called so, outside of requests.

    A name that no user has leaves them the bridge's own.
    """
    mark = _who.set(lambda: User.objects.filter(username=name).first())
    try:
        yield
    finally:
        _who.reset(mark)


def name_actor(sender: type[LogEntry], instance: LogEntry, **_rest: object) -> None:
    """Put the actor into a new entry; a receiver of `pre_save`."""
    ask = _who.get()
    if ask is not None and instance.actor_id is None:
        instance.actor = ask()


def _user_of(request: HttpRequest) -> User | None:
    user = getattr(request, "user", None)
    is_known = user is not None and user.is_authenticated
    # A lazy object is no `User` for the foreign key's own check; its row is.
    return User.objects.filter(pk=user.pk).first() if is_known and user else None
