"""How gunicorn serves the bridge, under `make run` and in the image."""

from __future__ import annotations

import os
from pathlib import Path

wsgi_app = "bridge_project.wsgi"
# In the image the command line says 0.0.0.0:8000; there these two are the host's.
bind = (
    f"{os.environ.get('WEB_BIND') or '127.0.0.1'}:{os.environ.get('WEB_PORT') or 8000}"
)

# Chatwoot gives up after 5 s: without a database a webhook is answered 500 before that,
# and Chatwoot repeats it. Read by the settings, which are loaded after this file.
os.environ.setdefault("DB_POOL_TIMEOUT_S", "2")

# Threads: a webhook is one INSERT and an admin page a few queries, all of it waiting
# for PostgreSQL. As many as the pool has connections (DB_POOL_MAX_SIZE).
worker_class = "gthread"
workers = int(os.environ.get("WEB_WORKERS") or 1)
threads = int(os.environ.get("WEB_THREADS") or 10)

# Chatwoot gives up after 5 s, so nothing useful takes longer than this.
timeout = 30
graceful_timeout = 20
# Longer than the usual 60 s of a proxy in front: the proxy closes first.
keepalive = 75

# The heartbeat file; on a disk it can block the worker.
worker_tmp_dir = "/dev/shm" if Path("/dev/shm").is_dir() else None
# Nobody controls it by a socket, and a read-only container has no place for one.
control_socket_disable = True
errorlog = "-"
