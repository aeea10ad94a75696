from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from local_stack import environment
from local_stack.data_dir import DataDir
from local_stack.environment import Addresses
from local_stack.errors import LocalStackError

PLACES = Addresses(web_host="127.0.0.1", web_port=8001, sandbox_port=8011)
URLS = {"DATABASE_URL": "postgres://x", "REDIS_URL": "redis://y"}
CLEARED = (
    "BOOTSTRAP",
    "CHATWOOT_API_URL",
    "CHATWOOT_BASE_URL",
    "CHATWOOT_ACCOUNT_ID",
    "CHATWOOT_API_KEY",
    "CHATWOOT_ADMIN_API_KEY",
    "CHATWOOT_WEBHOOK_SECRET",
    "DIFY_API_URL",
    "DIFY_API_KEY",
    "SECRET_KEY",
    "FIELD_ENCRYPTION_KEYS",
    "PUBLIC_URL",
    "STATIC_ROOT",
    "WEB_BIND",
    "WEB_PORT",
    "SANDBOX_PORT",
)


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in CLEARED:
        monkeypatch.delenv(name, raising=False)


def _made(folder: Path) -> dict[str, str]:
    return environment.for_processes(DataDir(folder), urls=URLS, places=PLACES)


def test_sandbox_is_served_when_nothing_else_is_given(tmp_path: Path) -> None:
    made = _made(tmp_path)

    assert environment.needs_sandbox()
    assert {
        name: made[name] for name in made if name.startswith(("CHATW", "DIFY"))
    } == {
        "CHATWOOT_API_URL": "http://127.0.0.1:8011",
        "CHATWOOT_ACCOUNT_ID": "1",
        "CHATWOOT_API_KEY": "sandbox-bot-token",
        "CHATWOOT_ADMIN_API_KEY": "sandbox-admin-token",
        "CHATWOOT_WEBHOOK_SECRET": "sandbox-webhook-secret",
        "DIFY_API_URL": "http://127.0.0.1:8011/v1",
        "DIFY_API_KEY": "app-sandbox-chat",
    }
    assert made["SANDBOX_BRIDGE_URL"] == made["PUBLIC_URL"] == "http://127.0.0.1:8001"
    assert made["DATABASE_URL"] == "postgres://x"


@pytest.mark.parametrize("name", ["CHATWOOT_API_URL", "CHATWOOT_BASE_URL"])
def test_real_chatwoot_keeps_its_credentials_beside_the_sandbox_as_dify(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, "https://chatwoot.example.com")
    monkeypatch.setenv("CHATWOOT_API_KEY", "real")

    made = _made(tmp_path)

    assert environment.needs_sandbox()
    assert made[name] == "https://chatwoot.example.com"
    assert made["CHATWOOT_API_KEY"] == "real"
    assert "CHATWOOT_WEBHOOK_SECRET" not in made
    assert made["DIFY_API_KEY"] == "app-sandbox-chat"


def test_no_sandbox_when_both_servers_are_real(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CHATWOOT_API_URL", "https://chatwoot.example.com")
    monkeypatch.setenv("DIFY_API_URL", "https://dify.example.com/v1")

    assert not environment.needs_sandbox()


def test_key_of_an_unfilled_env_file_does_not_reach_the_sandbox(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DIFY_API_URL", "")
    monkeypatch.setenv("DIFY_API_KEY", "left over")

    assert _made(tmp_path)["DIFY_API_KEY"] == "app-sandbox-chat"


def test_keys_are_made_once(tmp_path: Path) -> None:
    first, second = _made(tmp_path), _made(tmp_path)

    assert len(first["SECRET_KEY"]) == 64
    key = Fernet(first["FIELD_ENCRYPTION_KEYS"])
    assert key.decrypt(key.encrypt(b"token")) == b"token"
    for name in ("SECRET_KEY", "FIELD_ENCRYPTION_KEYS"):
        assert first[name] == second[name]


def test_given_key_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_KEY", "mine")

    assert _made(tmp_path)["SECRET_KEY"] == "mine"


def test_env_file_fills_in_what_the_environment_lacks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / ".env"
    file.write_text("WEB_PORT=8123\nSANDBOX_PORT=8124\n")
    monkeypatch.setenv("WEB_PORT", "8200")
    # Undone after the test, whatever the file sets.
    monkeypatch.setenv("SANDBOX_PORT", "")
    monkeypatch.delenv("SANDBOX_PORT")

    environment.read_env_file(file)

    assert environment.addresses() == Addresses(
        web_host="127.0.0.1", web_port=8200, sandbox_port=8124
    )


@pytest.mark.parametrize("text", ["http", "0", "65536", "-1"])
def test_nonsense_port_is_refused(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("WEB_PORT", text)

    with pytest.raises(LocalStackError, match="WEB_PORT is '.*', which is no port"):
        environment.addresses()


def test_web_on_all_interfaces_is_reached_by_loopback() -> None:
    places = Addresses(web_host="0.0.0.0", web_port=8001, sandbox_port=8011)

    assert places.web == "http://127.0.0.1:8001"


def test_nothing_is_made_and_the_sandbox_has_no_bot_when_that_is_for_the_admin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert environment.makes_first_bot()
    assert "SANDBOX_SEEDED_BOT" not in _made(tmp_path)

    monkeypatch.setenv("BOOTSTRAP", "false")
    made = _made(tmp_path)

    assert not environment.makes_first_bot()
    assert made["SANDBOX_SEEDED_BOT"] == "false"
    assert [n for n in made if n.startswith(("CHATW", "DIFY")) and made[n]] == []


def test_refuses_nonsense_about_the_first_bot(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOOTSTRAP", "maybe")

    with pytest.raises(LocalStackError, match="BOOTSTRAP is 'maybe'"):
        environment.makes_first_bot()
