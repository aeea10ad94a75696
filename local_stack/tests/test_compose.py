from __future__ import annotations

import os
import re
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from local_stack.data_dir import PROJECT_ROOT

FILLED_IN = {
    "POSTGRES_PASSWORD": "pw",
    "SECRET_KEY": "sk",
    "FIELD_ENCRYPTION_KEYS": "fk",
}
LONG_RUNNING = ["beat", "postgres", "redis", "web", "worker"]
OURS = ["beat", "migrate", "web", "worker"]


def _config(**variables: str) -> subprocess.CompletedProcess[str]:
    """The compose file as a compose program reads it, all variables filled in."""
    return subprocess.run(
        [
            *(str(Path(sys.executable).parent / "podman-compose"), "--podman-path"),
            *(sys.executable, "--file", "docker-compose.yml", "config"),
        ],
        cwd=PROJECT_ROOT,
        env={"PATH": os.environ["PATH"], **variables},
        capture_output=True,
        text=True,
        check=False,
    )


@cache
def _services() -> dict[str, Any]:
    result = _config(**FILLED_IN)
    assert result.returncode == 0, result.stderr
    services: dict[str, Any] = yaml.safe_load(result.stdout)["services"]
    return services


def test_services_are_those_of_the_design() -> None:
    assert sorted(_services()) == sorted([*LONG_RUNNING, "migrate"])


def test_only_the_web_port_is_published_and_only_to_this_machine() -> None:
    published = {
        name: service["ports"]
        for name, service in _services().items()
        if "ports" in service
    }

    assert published == {"web": ["127.0.0.1:8000:8000"]}


@pytest.mark.parametrize("name", LONG_RUNNING)
def test_long_running_service_is_watched_and_restarted(name: str) -> None:
    service = _services()[name]

    assert service["restart"] == "unless-stopped"
    assert service["healthcheck"]["test"]
    assert service["logging"]["options"]["max-size"] == "10m"


def test_migrate_runs_once_and_before_the_processes() -> None:
    services = _services()

    assert services["migrate"]["restart"] == "no"
    assert services["migrate"]["command"][-1] == (
        "python manage.py migrate --noinput && python manage.py bootstrap"
        " && python manage.py check --database default"
    )
    assert services["migrate"]["depends_on"] == {
        "postgres": {"condition": "service_healthy"}
    }
    for name in ("web", "worker", "beat"):
        assert services[name]["depends_on"] == {
            "postgres": {"condition": "service_healthy"},
            "redis": {"condition": "service_healthy"},
            "migrate": {"condition": "service_completed_successfully"},
        }


def test_images_have_an_exact_version() -> None:
    images = {name: service["image"] for name, service in _services().items()}
    ours = {images.pop(name) for name in OURS}

    assert ours == {"chatwoot-dify-bridge:local"}
    assert sorted(images) == ["postgres", "redis"]
    for image in images.values():
        assert re.fullmatch(r"[a-z]+:\d+\.\d+(\.\d+)?-[a-z]+", image)
    assert images["postgres"].startswith("postgres:18.")


def test_data_survives_a_new_container() -> None:
    services = _services()

    assert services["postgres"]["volumes"] == ["postgres-data:/var/lib/postgresql"]
    assert services["redis"]["volumes"] == ["redis-data:/data"]
    command = " ".join(services["redis"]["command"])
    assert "--appendonly yes" in command
    assert "--maxmemory-policy noeviction" in command


@pytest.mark.parametrize("name", OURS)
def test_our_containers_have_no_rights_to_spare(name: str) -> None:
    service = _services()[name]

    assert service["read_only"] is True
    assert service["init"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["environment"]["DATABASE_URL"] == (
        "postgres://bridge:pw@postgres:5432/bridge"
    )
    assert service["environment"]["REDIS_URL"] == "redis://redis:6379/0"


@pytest.mark.parametrize("name", ["postgres", "redis"])
def test_servers_are_on_the_inner_network_only(name: str) -> None:
    assert _services()[name]["networks"] == ["data"]


@pytest.mark.parametrize("name", sorted(FILLED_IN))
def test_missing_key_is_refused_with_the_command_that_makes_one(name: str) -> None:
    others = {key: value for key, value in FILLED_IN.items() if key != name}

    result = _config(**others)

    assert result.returncode != 0
    assert "Make one with the command - openssl rand" in result.stderr
    assert name in result.stderr


def test_worker_may_hand_back_its_runs() -> None:
    assert _services()["worker"]["stop_grace_period"] == "20s"


def test_image_has_the_runtime_requirements_only_and_no_root() -> None:
    text = (PROJECT_ROOT / "Dockerfile").read_text()
    stages = re.findall(r"^FROM (\S+)", text, re.MULTILINE)

    assert len(stages) == 2
    assert all(re.fullmatch(r"python:3\.11\.\d+-slim", stage) for stage in stages)
    assert "dev.txt" not in text
    assert re.findall(r"^USER (.+)$", text, re.MULTILINE) == ["10001:10001"]


@pytest.mark.parametrize(
    "path", ["sandbox", "local_stack", "**/tests", "requirements/dev.txt", ".*"]
)
def test_image_leaves_out(path: str) -> None:
    lines = (PROJECT_ROOT / ".dockerignore").read_text().splitlines()

    assert path in lines
