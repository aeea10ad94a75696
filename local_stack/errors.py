"""The one exception whose message is shown to the person at the terminal."""

from __future__ import annotations


class LocalStackError(Exception):
    """Something that the person at the terminal can understand and repair.

    The message says what happened, what it means and what to do.
    """


class NotReady(Exception):
    """A server does not answer yet; it may in a moment. The message is its own."""
