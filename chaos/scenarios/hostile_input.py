"""8. Hostile input: the fuzz tests of webhook intake and of the stream collector."""

from __future__ import annotations

import os
import re
import subprocess
import sys

from chaos.world import World, say
from local_stack.data_dir import PROJECT_ROOT

TITLE = "hostile input"
TESTS = (
    "conversations/tests/test_hostile_input.py",
    "dify_api/tests/test_hostile_streams.py",
)
EXAMPLES = 10_000
PATIENCE_S = 1800


def run(world: World) -> None:
    """Run the tests in a process of their own, with databases of their own."""
    env = dict(os.environ)
    if not world.options.is_short:
        env["CHAOS_EXAMPLES"] = str(EXAMPLES)
    say(f"   {' and '.join(TESTS)}")
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *TESTS],
        check=False,
        cwd=PROJECT_ROOT,
        env=env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
    last = (ended.stdout.strip().splitlines() or ["nothing was said"])[-1]
    if ended.returncode != 0:
        say(ended.stdout + ended.stderr)
        raise RuntimeError(f"the tests of hostile input failed: {last}")
    world.remarks.append(re.sub(r"\s+in [\d.]+s.*|=", "", last).strip())
