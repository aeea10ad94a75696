from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

from local_stack.data_dir import HOST, PROJECT_ROOT, DataDir, free_port
from local_stack.environment import Addresses
from local_stack.run import summary
from local_stack.steps import AdminLogin

PLACES = Addresses(web_host="127.0.0.1", web_port=8001, sandbox_port=8011)


def _run(folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    ports = {"WEB_PORT": str(free_port()), "SANDBOX_PORT": str(free_port())}
    return subprocess.run(
        [sys.executable, "-m", "local_stack", "run"],
        cwd=PROJECT_ROOT,
        env={**os.environ, "LOCAL_DIR": str(folder), **ports, **variables},
        capture_output=True,
        text=True,
        check=False,
    )


def test_second_run_on_the_same_data_is_refused(tmp_path: Path) -> None:
    with DataDir(tmp_path).lock():
        ended = _run(tmp_path)

    assert ended.returncode == 1
    assert f"running already with the data in {tmp_path}" in ended.stdout
    assert f"(process {os.getpid()})" in ended.stdout
    assert ended.stderr == ""


def test_occupied_port_is_named_and_nothing_started(tmp_path: Path) -> None:
    port = free_port()
    with socket.create_server((HOST, port)):
        ended = _run(tmp_path, WEB_PORT=str(port))

    assert ended.returncode == 1
    assert f"Port {port} is in use by another program" in ended.stdout
    assert not (tmp_path / "postgres").exists()


def test_summary_has_every_address_and_the_login(tmp_path: Path) -> None:
    text = summary(
        PLACES,
        AdminLogin("admin", "s3cret"),
        folder=DataDir(tmp_path),
        with_sandbox=True,
    )

    for part in (
        "http://127.0.0.1:8011/",
        "http://127.0.0.1:8001/admin/",
        "s3cret",
        "http://127.0.0.1:8001/api/v1/chatwoot-webhook",
        f"{tmp_path}/logs/",
    ):
        assert part in text


def test_summary_does_not_show_a_password_that_no_longer_works(
    tmp_path: Path,
) -> None:
    text = summary(
        PLACES, AdminLogin("admin", None), folder=DataDir(tmp_path), with_sandbox=False
    )

    assert "(the one that was set in the admin)" in text
    assert "Chat page" not in text
