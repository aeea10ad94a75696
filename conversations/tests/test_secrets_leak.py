"""Everything that a run logged, stored and showed is searched for the secrets it used.

The sandbox's tokens are public; they stand for an operator's, which are not.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest
import redis
import requests
from psycopg import sql

from local_stack.environment import SANDBOX_CHATWOOT, SANDBOX_DIFY
from local_stack.testing import RunningStack, running_stack, wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

PASSWORD = "the-admin-password-of-this-test"
PHRASE = "There is no such token:"
GUESSED_TOKEN = "a-token-that-somebody-guessed"
# The tokens with which flows call the bridge.
CALLBACK_TOKEN = re.compile(r"bridge-(?:bot|conv)-[\w.-]{20,}")


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    with running_stack(
        tmp_path_factory.mktemp("leak") / "data",
        env={
            "DJANGO_SUPERUSER_USERNAME": "admin",
            "DJANGO_SUPERUSER_PASSWORD": PASSWORD,
            "LOG_LEVEL": "DEBUG",
        },
    ) as running:
        yield running


def order(
    stack: RunningStack, path: str, body: object, *, method: str = "POST"
) -> None:
    url = f"{stack.sandbox}/_sandbox/{path}"
    requests.request(method, url, json=body, timeout=10).raise_for_status()


def ask(stack: RunningStack, text: str) -> None:
    base = f"{stack.sandbox}/_sandbox/conversations"
    made = requests.post(base, json={"name": "Anna"}, timeout=10).json()
    order(stack, f"conversations/{made['id']}/customer-messages", {"content": text})


@contextmanager
def listening(stack: RunningStack) -> Iterator[list[str]]:
    """Get Chatwoot's webhooks as they are, with the customers' own tokens in them."""
    bodies: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers["Content-Length"])
            bodies.append(self.rfile.read(length).decode())
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        order(
            stack,
            "webhooks",
            {
                "url": f"http://127.0.0.1:{server.server_port}/",
                "subscriptions": ["message_created", "conversation_created"],
                "secret": "somebody-elses",
            },
        )
        yield bodies
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def tell_the_flow_its_token(stack: RunningStack) -> None:
    """Put the conversation's token into an input that the sandbox's app declares.

    The sandbox's Dify says in its answers which inputs it got.
    """
    with psycopg.connect(stack.database_url) as database:
        database.execute(
            "UPDATE conversations_bot SET inputs = inputs || "
            """'{"bridge_api_url": "bridge.conversation_token"}'"""
        )


def unfinished(stack: RunningStack) -> int:
    with psycopg.connect(stack.database_url) as database:
        row = database.execute(
            "SELECT (SELECT count(*) FROM conversations_turn WHERE status IN "
            "('collecting', 'running', 'unknown')) "
            "+ (SELECT count(*) FROM conversations_webhookevent "
            "WHERE status = 'received')"
        ).fetchone()
    assert row is not None
    return int(row[0])


def turns(stack: RunningStack) -> int:
    with psycopg.connect(stack.database_url) as database:
        row = database.execute("SELECT count(*) FROM conversations_turn").fetchone()
    assert row is not None
    return int(row[0])


def settle(stack: RunningStack, *, count: int) -> None:
    wait_until(
        lambda: turns(stack) >= count and unfinished(stack) == 0,
        patience_s=90,
        what=f"{count} turns to come to rest",
    )


def good_and_bad_turns(stack: RunningStack) -> None:
    """Turns that succeed and fail, and services that quote our tokens back."""
    bot = SANDBOX_CHATWOOT["CHATWOOT_API_KEY"]
    admin = SANDBOX_CHATWOOT["CHATWOOT_ADMIN_API_KEY"]
    key = SANDBOX_DIFY["DIFY_API_KEY"]
    texts = ["Where is my order?", "/fail", "/quota", "/http 502", "/error"]
    for text in texts:
        ask(stack, text)
    settle(stack, count=len(texts))
    refuse(stack, "/v1/(chat-messages|info|parameters)", quoting=key)
    refuse(stack, "/api/v1/accounts/", quoting=f"{bot}, {admin}")


def refuse(stack: RunningStack, path: str, *, quoting: str) -> None:
    """Have a service refuse what it is asked for the next customer, and say why."""
    service = "chatwoot" if "accounts" in path else "dify"
    body = {"code": "unauthorized", "message": f"{PHRASE} {quoting}", "status": 401}
    fault = {"kind": "status", "status": 401, "method": "*", "path": path, "times": 3}
    order(stack, "faults", {**fault, "body": json.dumps(body)})
    ask(stack, "Is anybody there?")
    wait_until(
        lambda: was_refused(stack, service=service),
        patience_s=90,
        what=f"{service}'s refusal to be stored",
    )
    order(stack, "faults", {}, method="DELETE")


def was_refused(stack: RunningStack, *, service: str) -> bool:
    with psycopg.connect(stack.database_url) as database:
        row = database.execute(
            "SELECT 1 FROM conversations_upstreamcall "
            "WHERE service = %s AND response_excerpt LIKE %s LIMIT 1",
            [service, f"%{PHRASE}%"],
        ).fetchone()
    return row is not None


def refused_requests(stack: RunningStack) -> None:
    """Somebody knocks: with a guessed token, without a proof, with no JSON."""
    address = f"{stack.web}/api/v1/chatwoot-webhook"
    codes = [
        requests.post(
            f"{address}?token={GUESSED_TOKEN}", json={"event": "x"}, timeout=10
        ).status_code,
        requests.post(address, json={"event": "x"}, timeout=10).status_code,
        requests.get(f"{address}?token={GUESSED_TOKEN}", timeout=10).status_code,
    ]
    assert codes == [401, 401, 405]


def log_in(stack: RunningStack) -> requests.Session:
    """Once under a wrong name, then under the right one."""
    browser = requests.Session()
    login = f"{stack.web}/admin/login/"
    for username in ("nobody", "admin"):
        browser.get(login, timeout=10)
        answer = browser.post(
            login,
            data={
                "username": username,
                "password": PASSWORD,
                "csrfmiddlewaretoken": browser.cookies["csrftoken"],
                "next": "/admin/",
            },
            headers={"Referer": login},
            timeout=10,
        )
    assert answer.url == f"{stack.web}/admin/"
    return browser


def pages(stack: RunningStack, browser: requests.Session) -> dict[str, str]:
    """Every list, every way to add, and pages of the newest rows of each list."""
    seen: dict[str, str] = {}

    def read(path: str) -> str:
        answer = browser.get(f"{stack.web}{path}", timeout=20)
        assert answer.status_code == 200, path
        seen[path] = answer.text
        return answer.text

    lists = set(re.findall(r'href="(/admin/\w+/\w+/)"', read("/admin/")))
    for path in sorted(lists):
        text = read(path)
        if f'href="{path}add/' in text:
            read(f"{path}add/")
        rows = dict.fromkeys(re.findall(rf'href="({path}[^/"]+/)change/', text))
        for row in list(rows)[:10]:
            read(f"{row}change/")
            read(f"{row}history/")
    return seen


def stored(stack: RunningStack) -> Iterator[tuple[str, str]]:
    with psycopg.connect(stack.database_url) as database:
        tables = database.execute(
            "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
        ).fetchall()
        for (table,) in tables:
            rows = database.execute(
                sql.SQL("SELECT t::text FROM {} t").format(sql.Identifier(table))
            )
            yield f"table {table}", "\n".join(row[0] for row in rows)


def remembered(stack: RunningStack) -> Iterator[tuple[str, str]]:
    with redis.Redis.from_url(stack.redis_url, decode_responses=True) as server:
        for key in server.scan_iter():
            kind = server.type(key)
            if kind == "string":
                value: object = server.get(key)
            elif kind == "hash":
                value = server.hgetall(key)
            elif kind == "list":
                value = server.lrange(key, 0, -1)
            elif kind == "zset":
                value = server.zrange(key, 0, -1)
            else:
                value = server.smembers(key)
            yield f"Redis {key}", f"{key} {value}"


def secrets_of(stack: RunningStack, bodies: list[str]) -> dict[str, str]:
    """Return the name of each secret under its value."""
    kept = json.loads((stack.local_dir / "secrets.json").read_text())
    found = {
        **{value: name for name, value in kept.items()},
        str(urlsplit(stack.database_url).password): "password of PostgreSQL",
        str(urlsplit(stack.redis_url).password): "password of Redis",
        GUESSED_TOKEN: "a guessed token",
        SANDBOX_DIFY["DIFY_API_KEY"]: "DIFY_API_KEY",
        **{
            value: name
            for name, value in SANDBOX_CHATWOOT.items()
            if name != "CHATWOOT_ACCOUNT_ID"
        },
    }
    tokens = {t for b in bodies for t in re.findall(r'"pubsub_token":\s*"([^"]+)"', b)}
    assert tokens, "the webhooks carry none, so nothing would be proven"
    return found | dict.fromkeys(tokens, "pubsub_token")


def leaks(where: str, text: str, secrets: dict[str, str]) -> list[str]:
    return [f"{name} in {where}" for value, name in secrets.items() if value in text]


def log_files(folder: Path) -> Iterator[tuple[str, str]]:
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            yield f"log {path.name}", path.read_text(errors="replace")


def test_no_secret_is_logged_stored_or_shown(stack: RunningStack) -> None:
    tell_the_flow_its_token(stack)
    with listening(stack) as bodies:
        good_and_bad_turns(stack)
        refused_requests(stack)
        shown = pages(stack, log_in(stack))
        secrets = secrets_of(stack, bodies)

    places = [
        *log_files(stack.logs),
        *stored(stack),
        *remembered(stack),
        *((f"page {path}", text) for path, text in shown.items()),
    ]
    everywhere = secrets | {PASSWORD: "password of the admin"}
    found = [leak for where, text in places for leak in leaks(where, text, everywhere)]
    found += leaks("the terminal", stack.output, secrets)
    found += [f"callback token in {w}" for w, t in places if CALLBACK_TOKEN.search(t)]

    assert found == []
    # The summary at the end of the start tells it once, and nothing else does.
    assert stack.output.count(PASSWORD) == 1
    assert len(shown) > 40
    # What was quoted was kept, without the tokens.
    kept = "".join(text for where, text in places if where.startswith("table"))
    for proof in ("Where is my order?", f"{PHRASE} [secret]", "unauthorized"):
        assert proof in kept, proof
    assert re.search(r"bridge_api_url\W+\[secret\]", kept), "no token was sent"
