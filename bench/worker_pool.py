"""How many Dify streams does one worker process hold, and at what price?

`make bench-pool` or `python -m bench.worker_pool --pool threads --runs 500`. Starts
PostgreSQL (durable commits), Redis, one worker and a fake Chatwoot and Dify on this
machine, wakes the given number of turns at once and prints one line of JSON: when the
last answer had arrived, how many streams were open at most, the worker's CPU time and
memory (PSS).
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from urllib.request import urlopen

import psutil

from local_stack.data_dir import DataDir, free_port
from local_stack.servers import running

PATIENCE_S = 300


def main() -> None:
    """Parse the arguments, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pool", choices=["threads", "gevent"], default="threads")
    parser.add_argument("--runs", type=int, default=500)
    parser.add_argument("--seconds", type=float, default=10.0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        data = DataDir(Path(folder))
        data.prepare()
        with running(data, durable=True, say=lambda _: None) as urls:
            result = measure(options, urls)
    sys.stdout.write(json.dumps(result) + "\n")


def measure(options: argparse.Namespace, urls: dict[str, str]) -> dict[str, object]:
    """Run one worker against the fakes; `urls` are those of the servers."""
    port = free_port()
    env = {
        **os.environ,
        **urls,
        "FIELD_ENCRYPTION_KEYS": "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=",
        "DJANGO_SETTINGS_MODULE": "bridge_project.settings",
        "BENCH_UPSTREAM": f"http://127.0.0.1:{port}",
        "BENCH_RUNS": str(options.runs),
        "LOG_LEVEL": "WARNING",
    }
    python = sys.executable
    subprocess.run([python, "manage.py", "migrate", "-v0"], env=env, check=True)
    subprocess.run([python, "-m", "bench.turns", "make"], env=env, check=True)
    upstream = subprocess.Popen(
        [python, "-m", "bench.upstream", str(port), str(options.seconds)]
    )
    worker = subprocess.Popen(
        [
            *(python, *_door(options.pool), "-q", "-A", "bridge_project", "worker"),
            *("-P", options.pool, "-c", "1000", "--without-gossip"),
            *("--without-mingle", "--without-heartbeat"),
        ],
        env=env,
        stdout=subprocess.DEVNULL,
    )
    try:
        time.sleep(6)
        watched = psutil.Process(worker.pid)
        cpu_before = sum(watched.cpu_times()[:2])
        idle_mb = watched.memory_full_info().pss / 1e6
        started = time.monotonic()
        subprocess.run([python, "-m", "bench.turns", "wake"], env=env, check=True)
        peak_mb = _wait_for_all(port, runs=options.runs, watched=watched)
        took_s = time.monotonic() - started
        cpu_s = sum(watched.cpu_times()[:2]) - cpu_before
        stats = _stats(port)
        ended = subprocess.run(
            [python, "-m", "bench.turns", "count"],
            env=env,
            check=True,
            capture_output=True,
            text=True,
        ).stdout.strip()
    finally:
        for process in (worker, upstream):
            process.terminate()
            process.wait(timeout=30)
    return {
        "pool": options.pool,
        "runs": options.runs,
        "stream_s": options.seconds,
        "all_answered_after_s": round(took_s, 1),
        "most_streams_open": stats["most_open"],
        "messages_posted": stats["messages"],
        "turns": ended,
        "cpu_ms_per_turn": round(cpu_s / options.runs * 1000, 1),
        "idle_pss_mb": round(idle_mb),
        "peak_pss_mb": round(peak_mb),
    }


def _door(pool: str) -> list[str]:
    """How `make run` starts it, see local_stack/programs.py."""
    if pool == "gevent":
        return ["-m", "gevent.monkey", "--module", "celery"]
    return ["-m", "celery"]


def _wait_for_all(port: int, *, runs: int, watched: psutil.Process) -> float:
    """Return the highest memory seen until every answer was posted."""
    peak = 0.0
    deadline = time.monotonic() + PATIENCE_S
    while _stats(port)["messages"] < runs and time.monotonic() < deadline:
        peak = max(peak, watched.memory_full_info().pss / 1e6)
        time.sleep(0.25)
    return peak


def _stats(port: int) -> dict[str, int]:
    with urlopen(f"http://127.0.0.1:{port}/stats", timeout=30) as answer:
        stats: dict[str, int] = json.load(answer)
    return stats


if __name__ == "__main__":
    main()
