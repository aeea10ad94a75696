"""How long the overview takes with a million events behind it.

`python -m bench.overview` starts PostgreSQL and Redis of its own on this machine, fills
them with ninety days of a busy bridge, rolls the figures up and measures the numbers
and the page of each period, then every list with every filter and search, and the page
of a conversation with five thousand events. Prints one table.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from local_stack.data_dir import DataDir
from local_stack.servers import running


def main() -> None:
    """Start the servers; the rest needs their addresses before Django is set up."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        data = DataDir(Path(folder))
        data.prepare()
        with running(data, durable=False, say=lambda _: None) as urls:
            env = {
                **os.environ,
                **urls,
                "FIELD_ENCRYPTION_KEYS": "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=",
                "DJANGO_SETTINGS_MODULE": "bridge_project.settings",
                "LOG_LEVEL": "WARNING",
            }
            python = sys.executable
            subprocess.run([python, "manage.py", "migrate", "-v0"], env=env, check=True)
            for part in ("bench.overview_rows", "bench.overview_lists"):
                subprocess.run([python, "-m", part], env=env, check=True)


if __name__ == "__main__":
    main()
