"""What the person at the terminal reads: our own lines and the processes' logs."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterable
from io import BufferedReader
from pathlib import Path

POLL_S = 0.2
NAME_WIDTH = 9
COLOURS = (36, 32, 33, 35, 34, 96, 92, 93)

_started_in_terminal = os.isatty(1)
_writing = threading.Lock()


def say(text: str) -> None:
    """Write the text as a line (or lines) of its own. A dead terminal is no error."""
    with _writing:
        try:
            sys.stdout.write(f"{text}\n")
            sys.stdout.flush()
        except OSError:
            return


def is_gone() -> bool:
    """Whether the terminal in which we were started has been closed."""
    return _started_in_terminal and not os.isatty(1)


def step(text: str) -> None:
    """Say what is being done now."""
    say(f"==> {text}")


def prefixed(name: str, line: str, *, colour: int = 0) -> str:
    """A log line with the name of its process in front."""
    label = f"{name:<{NAME_WIDTH}} |"
    if colour and sys.stdout.isatty() and not os.environ.get("NO_COLOR"):
        label = f"\x1b[{colour}m{label}\x1b[0m"
    return f"{label} {line.rstrip()}"


def tail(path: Path, *, lines: int) -> str:
    """The last lines of a log file, for an error message."""
    try:
        return "\n".join(path.read_text(errors="replace").splitlines()[-lines:])
    except OSError:
        return "(no log)"


class LogFollower:
    """Repeats on the terminal what processes write to their rotated log files."""

    def __init__(self, names: Iterable[str], *, logs: Path) -> None:
        self._files = [
            _FollowedFile(name, logs / f"{name}.log", colour=COLOURS[i % len(COLOURS)])
            for i, name in enumerate(names)
        ]
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Show what is still unread and stop."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()
        for file in self._files:
            file.close()

    def _run(self) -> None:
        while not self._stopping.wait(POLL_S):
            self._show_news()
        self._show_news()

    def _show_news(self) -> None:
        for file in self._files:
            for line in file.news():
                say(line)


class _FollowedFile:
    """One log file, read from its present end on, across rotations."""

    def __init__(self, name: str, path: Path, *, colour: int) -> None:
        self._name = name
        self._path = path
        self._colour = colour
        self._rest = b""
        self._handle: BufferedReader | None = self._open()
        if self._handle is not None:
            self._handle.seek(0, os.SEEK_END)

    def news(self) -> list[str]:
        """The complete lines written since the last call, with their prefix."""
        text = self._rest + self._read()
        if self._is_rotated():
            self._handle = self._open()
            text += self._read()
        *lines, self._rest = text.split(b"\n")
        return [
            prefixed(self._name, line.decode(errors="replace"), colour=self._colour)
            for line in lines
        ]

    def close(self) -> None:
        if self._handle is not None:
            self._handle.close()

    def _open(self) -> BufferedReader | None:
        try:
            return self._path.open("rb")
        except FileNotFoundError:
            return None

    def _read(self) -> bytes:
        return b"" if self._handle is None else self._handle.read()

    def _is_rotated(self) -> bool:
        try:
            now = self._path.stat().st_ino
        except FileNotFoundError:
            return False
        if self._handle is None:
            return True
        if os.fstat(self._handle.fileno()).st_ino == now:
            return False
        self.close()
        return True
