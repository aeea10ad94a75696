"""Servers of an earlier start that crashed: found by their pid file, and ended."""

from __future__ import annotations

import signal
from pathlib import Path

import psutil

PATIENCE_S = 15


def end_leftover(pid_file: Path, *, data: Path) -> bool:
    """End the server that the pid file names, if it is still alive and really ours.

    Ours means that its command line names the folder `data`; after a reboot the same
    number may belong to anybody. The pid file is removed. True if one was ended.
    """
    process = _running(pid_file, data=data)
    if process is not None:
        family = [process, *process.children(recursive=True)]
        # SIGINT is PostgreSQL's fast shutdown; Redis and supervisord know it too.
        process.send_signal(signal.SIGINT)
        _gone, alive = psutil.wait_procs(family, timeout=PATIENCE_S)
        for survivor in alive:
            survivor.kill()
        psutil.wait_procs(alive, timeout=PATIENCE_S)
    pid_file.unlink(missing_ok=True)
    return process is not None


def _running(pid_file: Path, *, data: Path) -> psutil.Process | None:
    try:
        process = psutil.Process(int(pid_file.read_text().split()[0]))
        if any(str(data) in part for part in process.cmdline()):
            return process
    except (OSError, ValueError, IndexError, psutil.Error):
        pass
    return None
