"""Ninety days of a busy bridge, and what its overview costs; see `bench.overview`."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Callable
from time import perf_counter

import django

django.setup()

from django.conf import settings  # noqa: E402 Django must be set up first
from django.contrib.auth.models import User  # noqa: E402
from django.db import connection, models  # noqa: E402
from django.test import Client  # noqa: E402
from django.urls import reverse  # noqa: E402
from django.utils import timezone  # noqa: E402

from chatwoot_api.models import ChatwootAccount, Inbox  # noqa: E402
from conversations import heartbeats  # noqa: E402
from conversations.admin import alarms  # noqa: E402
from conversations.models import (  # noqa: E402
    Bot,
    Conversation,
    Figure,
    PipelineRun,
    Turn,
    WebhookEvent,
)
from conversations.reports import figures  # noqa: E402
from conversations.reports.overview import PERIODS, overview  # noqa: E402
from dify_api.models import DifyApp  # noqa: E402

EVENTS, TURNS, CONVERSATIONS = 1_000_000, 300_000, 100_000
DAYS = 90
REPEATS = 7
NOW = timezone.now()
WORDS = (
    "ARRAY['where','is','my','order','refund','delivery','broken','thanks','hello',"
    "'invoice','address','change','cancel','size','colour','return','label','help']"
)


def main() -> None:
    """Fill, measure, print."""
    settings.ALLOWED_HOSTS.append("testserver")
    took = timed(fill)
    say(f"filled in {took:.0f} s")
    report("first roll-up, 31 days", timed(lambda: figures.roll_up(NOW)))
    say(f"{Figure.objects.count()} figures")
    whole = NOW.replace(minute=30)
    report("roll-up of 3 hours", timed(lambda: figures.roll_up(whole)))
    report("roll-up of 48 hours", timed(lambda: figures.roll_up(NOW.replace(minute=2))))
    report("alarms", median(lambda: alarms.alarms(timezone.now())))
    client = Client()
    client.force_login(User.objects.create_superuser("bench"))
    home = reverse("admin:index")
    for period in PERIODS:
        numbers = median(lambda p=period: overview(p, now=NOW))  # type: ignore[misc]
        report(f"numbers of {period.name}", numbers)
        visit(client, f"{home}?period={period.name}")


def fill() -> None:
    """Make accounts, bots and all rows, and let PostgreSQL look at them."""
    account = ChatwootAccount.objects.create(
        name="bench", key="bench", base_url="http://127.0.0.1:9", account_id=1
    )
    app = DifyApp.objects.create(
        name="bench", base_url="http://127.0.0.1:9", api_key="app-bench", mode="chat"
    )
    bots = [
        Bot.objects.create(name=f"bench {number}", account=account, dify_app=app).pk
        for number in range(3)
    ]
    inbox = Inbox.objects.create(account=account, chatwoot_inbox_id=1)
    heartbeats.note_worker("bench", started_at=NOW, now=NOW, details={})
    heartbeats.note_beat(now=NOW, by="bench")
    conversations = {
        "id": "n",
        "account_id": str(account.pk),
        "inbox_id": str(inbox.pk),
        "chatwoot_conversation_id": "n",
        "contact_name": "'customer ' || n",
        "status": "(ARRAY['pending','open','resolved','resolved'])[1 + n % 4]",
        "waiting_since": "CASE WHEN n % 2000 = 0 THEN %(now)s - n % 97 * "
        "interval '1 minute' END",
        "updated_at": f"%(now)s - interval '{DAYS} days' * "
        f"(1 - n::float8 / {CONVERSATIONS})",
    }
    insert(Conversation, conversations, count=CONVERSATIONS)
    moment = f"%(now)s - interval '{DAYS} days' * (1 - n::float8 / {{count}})"
    insert(Turn, turn_columns(bots, moment.format(count=TURNS)), count=TURNS)
    insert(PipelineRun, run_columns(app, moment.format(count=TURNS)), count=TURNS)
    insert(
        WebhookEvent,
        event_columns(account, moment.format(count=EVENTS)),
        count=EVENTS,
    )
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")


def turn_columns(bots: list[int], moment: str) -> dict[str, str]:
    """Four in five are answered, within seconds; the rest is handed over or skipped."""
    kinds = "ARRAY['answered:answered','answered:answered','answered:answered',"
    kinds += "'answered:answered_by_flow','handed_over:dify_failed',"
    kinds += "'handed_over:paused','skipped:human_has_taken_over']"
    return {
        "id": "n",
        "conversation_id": f"1 + n::bigint * 7919 % {CONVERSATIONS}",
        "bot_id": f"(ARRAY{bots})[1 + n % {len(bots)}]",
        "status": f"split_part(({kinds})[1 + n % 7], ':', 1)",
        "reason": f"split_part(({kinds})[1 + n % 7], ':', 2)",
        "last_message_id": "n",
        "created_at": moment,
        "finished_at": f"{moment} + (2 - 8 * ln(random())) * interval '1 second'",
    }


def run_columns(app: DifyApp, moment: str) -> dict[str, str]:
    """One run for each turn, with its price."""
    return {
        "turn_id": "n",
        "dify_app_id": str(app.pk),
        "status": "'succeeded'",
        "last_message_id": "n",
        "query": "'Where is my order?'",
        "answer": "repeat('It is on its way. ', 10)",
        "total_tokens": "200 + n % 900",
        "total_price": "0.0004 + n % 100 * 0.00001",
        "currency": "'USD'",
        "started_at": moment,
        "finished_at": f"{moment} + interval '5 seconds'",
    }


def event_columns(account: ChatwootAccount, moment: str) -> dict[str, str]:
    """Three in ten are customers' messages with a turn; the others only tell of it."""
    others = "ARRAY['typing','own_message','conversation_event','human_reply']"
    owed = "n % 10 < 3"
    message = f"n % 10 < 5 OR ({others})[1 + n % 4] = 'own_message'"
    text = f"array_to_string(ARRAY(SELECT ({WORDS})[1 + (n * k) % 18] "
    text += "FROM generate_series(1, 3 + n % 9) k), ' ') || ' nr' || n % 50000"
    payload = "jsonb_build_object('event', 'message_created', 'id', n, 'content', "
    payload += f"{text}, 'conversation', jsonb_build_object('id', n % 1000), 'sender', "
    payload += "jsonb_build_object('name', 'customer', 'about', repeat('x', 400)))"
    turn = "(n / 10) * 3 + n % 10 + 1"
    return {
        "account_id": str(account.pk),
        "delivery_key": "'delivery ' || n",
        "name": f"CASE WHEN {message} THEN 'message_created' "
        "ELSE 'conversation_updated' END",
        "chatwoot_conversation_id": f"1 + n::bigint * 7919 % {CONVERSATIONS}",
        "chatwoot_message_id": f"CASE WHEN {message} THEN n END",
        "payload": payload,
        "received_at": moment,
        "status": "'processed'",
        "action": f"CASE WHEN {owed} THEN 'answer' ELSE 'ignore' END",
        "reason": f"CASE WHEN {owed} THEN 'customer_message' WHEN n % 10 = 3 "
        f"THEN 'status_not_allowed' ELSE ({others})[1 + n % 4] END",
        "conversation_id": f"1 + n::bigint * 7919 % {CONVERSATIONS}",
        "turn_id": f"CASE WHEN {owed} AND {turn} <= {TURNS} THEN {turn} END",
        "processed_at": moment,
    }


def insert(model: type[models.Model], columns: dict[str, str], *, count: int) -> None:
    """Make rows with one statement; columns that are not named get their default."""
    given: dict[str, object] = {"now": NOW}
    # Else the driver takes the remainder of a division for a parameter.
    columns = {name: value.replace(" % ", " %% ") for name, value in columns.items()}
    for field in model._meta.concrete_fields:
        name = str(field.column)
        if name in columns or field.null or field.primary_key:
            continue
        default = field.pre_save(model(), add=True)
        given[name] = field.get_db_prep_save(default, connection)
        columns[name] = f"%({name})s"
    table = model._meta.db_table
    names, values = ", ".join(columns), ", ".join(columns.values())
    rows = f"SELECT {values} FROM generate_series(1, {count}) n"  # noqa: S608 our own
    statement = f"INSERT INTO {table} ({names}) {rows}"
    with connection.cursor() as cursor:
        cursor.execute(statement, given)  # type: ignore[arg-type] # of all types
    say(f"{count} rows in {table}")


def visit(client: Client, url: str) -> None:
    """Measure a whole page, made in this process."""
    status = client.get(url).status_code
    if status != 200:
        raise RuntimeError(f"{url} answered {status}")
    report(f"page {url}", median(lambda: client.get(url)))


def timed(work: Callable[[], object]) -> float:
    """Return how long something takes, in seconds."""
    started = perf_counter()
    work()
    return perf_counter() - started


def median(work: Callable[[], object]) -> float:
    """Return how long something takes when it was done before, in seconds."""
    work()
    return statistics.median(timed(work) for _ in range(REPEATS))


def report(what: str, took_s: float) -> None:
    """Print a line of the table."""
    say(f"{what:<75} {took_s * 1000:>9.1f} ms")


def say(text: str) -> None:
    """Print at once: filling takes minutes."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
