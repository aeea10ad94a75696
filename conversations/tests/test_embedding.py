"""The three apps, installed into another Django project that answers by itself."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
import tomllib
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest
from cryptography.fernet import Fernet
from packaging.requirements import Requirement

from local_stack.data_dir import PROJECT_ROOT
from local_stack.testing import wait_until

PAYLOAD = "chatwoot_api/tests/payloads/message_created_incoming_text.json"
PACKAGES = ("conversations", "chatwoot_api", "dify_api", "bridge_project", "templates")
FILES = ("pyproject.toml", "setup.py", "README.md", "LICENSE")
DATABASE = "embedding"

# What an operator would enter in the admin, and then what Chatwoot sends.
SET_UP = """
from chatwoot_api.models import ChatwootAccount
from conversations.models import Bot
account = ChatwootAccount.objects.create(
    name="Shop", key="shop", base_url="{chatwoot}", account_id=2,
    bot_token="the-bot-token", webhook_secret="", webhook_token="the-webhook-token",
)
Bot.objects.create(name="Guide", account=account, provider="rag")
"""
DELIVER = """
import json, sys
from django.test import Client
answer = Client().post(
    "/api/v1/chatwoot-webhook?token=the-webhook-token",
    json.load(open("message.json")), content_type="application/json",
)
print(answer.status_code, answer.content.decode())
assert answer.status_code == 200
"""
TELL = """
import json
from django.test import Client
from conversations.models import Turn, PipelineRun
rows = list(Turn.objects.values("status", "reason"))
runs = list(PipelineRun.objects.values("provider", "status", "answer"))
refused = Client().post("/api/v1/toggle-status/133", {}, "application/json")
version = Client().get("/api/v1/openapi.json").json()["openapi"]
print(json.dumps([rows, runs, refused.status_code, refused.json(), version]))
"""


class FakeChatwoot(ThreadingHTTPServer):
    """Shows one pending conversation and takes messages."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.posted: list[tuple[str, Any, str]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    server: FakeChatwoot

    def do_GET(self) -> None:
        self._answer(
            {
                "id": 133,
                "status": "pending",
                "meta": {"sender": {"id": 640}, "channel": "Channel::WebWidget"},
                "last_non_activity_message": {"id": 9001, "message_type": 0},
            }
        )

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"] or 0))
        token = self.headers.get("api-access-token", "")
        self.server.posted.append((self.path, json.loads(body or "{}"), token))
        self._answer({"id": 9100 + len(self.server.posted)})

    def _answer(self, body: Any) -> None:
        text = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *args: Any) -> None:
        """Say nothing."""


@pytest.fixture
def chatwoot() -> Iterator[FakeChatwoot]:
    server = FakeChatwoot()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def database() -> Iterator[dict[str, str]]:
    """A database of its own on the test session's server, as libpq's variables."""
    info = psycopg.conninfo.conninfo_to_dict(os.environ["DATABASE_URL"])
    with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as connection:
        connection.execute(f"DROP DATABASE IF EXISTS {DATABASE} WITH (FORCE)")
        connection.execute(f"CREATE DATABASE {DATABASE}")
        yield {
            "PGHOST": str(info.get("host", "")),
            "PGPORT": str(info.get("port", "")),
            "PGUSER": str(info.get("user", "")),
            "PGPASSWORD": str(info.get("password") or ""),
            "PGDATABASE": DATABASE,
        }
        connection.execute(f"DROP DATABASE {DATABASE} WITH (FORCE)")


class Project:
    """The example in a folder of its own, which sees only what is installed."""

    def __init__(self, folder: Path, *, env: dict[str, str]) -> None:
        self.folder = folder
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("DJANGO_", "DATABASE_"))
        }
        self.env = {**kept, **env, "PYTHONDONTWRITEBYTECODE": "1"}

    def run(self, *arguments: str, code: str | None = None) -> str:
        """Run its manage.py; returns what it prints."""
        done = subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=self.folder,
            env=self.env,
            input=code,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


def install(tmp_path: Path) -> Path:
    """Install the apps from a copy, since a build leaves files behind."""
    source, target = tmp_path / "source", tmp_path / "installed"
    for name in PACKAGES:
        ignored = shutil.ignore_patterns("__pycache__", "tests")
        shutil.copytree(PROJECT_ROOT / name, source / name, ignore=ignored)
    for name in FILES:
        shutil.copy(PROJECT_ROOT / name, source / name)
    subprocess.run(
        [
            *(sys.executable, "-m", "pip", "install", "--quiet", "--no-deps"),
            *("--no-build-isolation", "--no-index", "--disable-pip-version-check"),
            *("--no-compile", "--target", str(target), str(source)),
        ],
        check=True,
        timeout=240,
    )
    return target


@pytest.mark.e2e
@pytest.mark.timeout(400)
def test_another_project_answers_by_its_own_function(
    tmp_path: Path, database: dict[str, str], chatwoot: FakeChatwoot
) -> None:
    installed = install(tmp_path)
    assert not list(installed.rglob("tests"))
    # The project's own settings, logins and pages stay where they are.
    assert not (installed / "bridge_project" / "settings.py").exists()
    folder = tmp_path / "shop"
    shutil.copytree(
        PROJECT_ROOT / "examples" / "embedding",
        folder,
        ignore=shutil.ignore_patterns("__pycache__"),
    )
    message = json.loads((PROJECT_ROOT / PAYLOAD).read_text())
    del message["created_at"]
    message["content"] = "Does the warranty cover a torn seam?"
    message["conversation"]["status"] = "pending"
    (folder / "message.json").write_text(json.dumps(message))
    redis = urlsplit(os.environ["REDIS_URL"])._replace(path="/7").geturl()
    env = {
        **database,
        "PYTHONPATH": str(installed),
        "FIELD_ENCRYPTION_KEYS": Fernet.generate_key().decode(),
        "REDIS_URL": redis,
    }
    project = Project(folder, env=env)
    project.run("check", "--fail-level", "WARNING")
    project.run("migrate", "--verbosity", "0")
    project.run("shell", "-v", "0", code=SET_UP.format(chatwoot=chatwoot.url))
    project.run("shell", "-v", "0", code=DELIVER)
    answers = _have_it_worked(project, chatwoot)

    assert [answer["content"] for answer in answers] == [
        "Seams are covered by the warranty for five years."
    ]
    turns, runs, status, body, version = json.loads(
        project.run("shell", "-v", "0", code=TELL)
    )
    assert turns == [{"status": "answered", "reason": "answered"}]
    assert runs == [
        {
            "provider": "rag",
            "status": "succeeded",
            "answer": "Seams are covered by the warranty for five years.",
        }
    ]
    # The callback API refuses strangers in its own words, whatever the project's DRF.
    assert (status, body["code"], version) == (401, "not_authenticated", "3.0.3")


def _have_it_worked(project: Project, chatwoot: FakeChatwoot) -> list[Any]:
    """Run the project's worker until the answer is posted; returns all messages."""
    program = [sys.executable, "-m", "celery", "--app", "shop", "worker"]
    worker = subprocess.Popen(
        [*program, "--pool", "threads", "--concurrency", "2", "--loglevel", "warning"],
        cwd=project.folder,
        env=project.env,
    )
    try:
        wait_until(lambda: bool(_messages(chatwoot)), patience_s=90, what="the answer")
    finally:
        # It ends what it has begun.
        worker.terminate()
        worker.wait(60)
    return _messages(chatwoot)


def _messages(chatwoot: FakeChatwoot) -> list[Any]:
    return [body for path, body, _ in chatwoot.posted if path.endswith("/messages")]


def test_what_is_installed_along_is_what_is_tested() -> None:
    """Each pinned version is one that the package allows, and none is forgotten."""
    project = tomllib.loads((PROJECT_ROOT / "pyproject.toml").read_text())["project"]
    allowed = {
        requirement.name.lower(): requirement
        for requirement in map(Requirement, project["dependencies"])
    }
    lines = (PROJECT_ROOT / "requirements" / "base.txt").read_text().splitlines()
    pinned = {
        requirement.name.lower(): requirement
        for line in lines
        if (text := line.partition("#")[0].strip())
        for requirement in [Requirement(text)]
    }
    assert set(allowed) <= set(pinned)
    # These only serve the bridge as a product.
    product = {"django-axes", "django-environ", "gevent", "gunicorn", "whitenoise"}
    assert set(pinned) - set(allowed) == product
    for name, requirement in allowed.items():
        version = str(pinned[name].specifier).removeprefix("==")
        assert requirement.specifier.contains(version), name
