"""What the control API answers to a wish it cannot fulfil."""

from __future__ import annotations


class ControlError(Exception):
    """The text tells the person or the test what to send instead."""

    def __init__(self, message: str, *, status: int = 400) -> None:
        super().__init__(message)
        self.status = status
