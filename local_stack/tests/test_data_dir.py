from __future__ import annotations

import socket
from pathlib import Path

import pytest

from local_stack.data_dir import (
    HOST,
    PROJECT_ROOT,
    DataDir,
    free_port,
    local_dir,
    port_is_free,
)
from local_stack.errors import LocalStackError


def test_secret_is_made_once_and_readable_for_its_owner_only(tmp_path: Path) -> None:
    first = DataDir(tmp_path).secret("SECRET_KEY")

    assert DataDir(tmp_path).secret("SECRET_KEY") == first
    assert DataDir(tmp_path).secret("OTHER") != first
    assert (tmp_path / "secrets.json").stat().st_mode & 0o777 == 0o600


def test_port_is_remembered_while_it_is_free(tmp_path: Path) -> None:
    port = DataDir(tmp_path).port("postgres")

    assert DataDir(tmp_path).port("postgres") == port
    assert DataDir(tmp_path).last_port("postgres") == port


def test_another_port_is_chosen_when_the_remembered_one_is_taken(
    tmp_path: Path,
) -> None:
    port = DataDir(tmp_path).port("redis")
    with socket.create_server((HOST, port)):
        assert not port_is_free(port)
        other = DataDir(tmp_path).port("redis")

    assert other != port
    assert DataDir(tmp_path).last_port("redis") == other


def test_lock_belongs_to_one_at_a_time(tmp_path: Path) -> None:
    with DataDir(tmp_path).lock() as first, DataDir(tmp_path).lock() as second:
        assert (first, second) == (True, False)
    with DataDir(tmp_path).lock() as third:
        assert third


def test_unusable_folder_says_what_to_do(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.touch()

    with pytest.raises(LocalStackError, match="Give another one with LOCAL_DIR"):
        DataDir(blocked / "data").prepare()


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("", PROJECT_ROOT / ".local"),
        ("other", PROJECT_ROOT / "other"),
        ("/elsewhere/data", Path("/elsewhere/data")),
    ],
)
def test_local_dir_is_taken_from_the_project_root(
    monkeypatch: pytest.MonkeyPatch, given: str, expected: Path
) -> None:
    monkeypatch.setenv("LOCAL_DIR", given)

    assert local_dir() == expected


def test_free_port_is_outside_the_range_of_outgoing_connections() -> None:
    assert 20_000 <= free_port() <= 32_000
