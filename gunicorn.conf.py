"""How gunicorn serves the bridge, under `make run` and in the image."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from pathlib import Path

PR_SET_PDEATHSIG = 1  # linux/prctl.h

wsgi_app = "bridge_project.wsgi"
# In the image the command line says 0.0.0.0:8000; there these two are the host's.
bind = (
    f"{os.environ.get('WEB_BIND') or '127.0.0.1'}:{os.environ.get('WEB_PORT') or 8000}"
)

# Chatwoot gives up after 5 s: without a database, or with one that is locked or slow, a
# webhook is answered 500 before that, and Chatwoot repeats it: one wait for a
# connection and two statements take less. More than it needs, since the admin's lists
# are slower. Read by the settings, which are loaded after this file.
os.environ.setdefault("DB_POOL_TIMEOUT_S", "1")
os.environ.setdefault("DB_LOCK_TIMEOUT_MS", "1500")
os.environ.setdefault("DB_STATEMENT_TIMEOUT_MS", "1800")

# Threads: a webhook is one INSERT and an admin page a few queries. A callback of a flow
# waits for Chatwoot, without a connection to PostgreSQL; CALLBACKS_AT_ONCE of them at
# most, and the other threads are left to webhooks, which Chatwoot gives 5 s.
worker_class = "gthread"
workers = int(os.environ.get("WEB_WORKERS") or 1)
threads = int(os.environ.get("WEB_THREADS") or 96)
callbacks = max(1, threads // 2, threads - 16)
os.environ.setdefault("CALLBACKS_AT_ONCE", str(callbacks))
# A suggestion holds a thread as well, for as long as Dify thinks.
left = threads - int(os.environ["CALLBACKS_AT_ONCE"])
os.environ.setdefault("SUGGESTIONS_AT_ONCE", str(max(1, left // 2)))

# Of a whole worker that answers its master no more; single requests have limits of
# their own.
timeout = 30
# Whoever stops it waits ten seconds before they kill it.
graceful_timeout = 8
# Longer than the usual 60 s of a proxy in front: the proxy closes first.
keepalive = 75

# The heartbeat file; on a disk it can block the worker.
worker_tmp_dir = "/dev/shm" if Path("/dev/shm").is_dir() else None
# Nobody controls it by a socket, and a read-only container has no place for one.
control_socket_disable = True
errorlog = "-"


def post_fork(server: object, worker: object) -> None:
    """End with the master, also when it was killed.

    An orphaned worker would keep the port: the new master could not listen, and who
    connects to the old one waits in vain.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
