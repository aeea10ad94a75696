"""Rolls what happened up into `Figure`, by the hour, and reads it again.

Each measure has one SELECT. The roll-up stores what it returns; hours that are still
under way are read with the same SELECT, so that the overview is never behind.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from django.db import connection, transaction
from django.db.models import Max
from django.utils import timezone

from conversations.models import Figure, Reason

HOUR = timedelta(hours=1)
# Recomputed each time: an event may be decided a little later than it came.
RECENT = timedelta(hours=3)
# And once an hour, for what waited longer while no worker was there.
ONCE_AN_HOUR = timedelta(hours=48)
# After an outage what is missing is filled in, so far back.
FURTHEST = timedelta(days=31)
# An hour that ended just now may not have been rolled up to its end yet.
GRACE = timedelta(minutes=10)

# Times to answer are counted in buckets that grow by 10 %: the middle of a bucket is
# less than 5 % away from any time in it. The first one begins at a tenth of a second.
FIRST_BUCKET_S = 0.1
GROWTH = 1.1

# Why a customer's message is answered, handed over or left alone.
CUSTOMERS = (
    Reason.CUSTOMER_MESSAGE,
    Reason.DRAFT_WANTED,
    Reason.NO_BOT_FOR_INBOX,
    Reason.BOT_DISABLED,
    Reason.BOT_HAS_NO_APP,
    Reason.CONTACT_BLOCKED,
    Reason.STATUS_NOT_ALLOWED,
    Reason.HUMAN_HAS_TAKEN_OVER,
    Reason.HUMAN_IS_ASSIGNED,
    Reason.PAUSED,
    Reason.MESSAGE_DELETED,
    Reason.EMPTY_MESSAGE,
    Reason.TOO_OLD,
    Reason.RESET,
    Reason.NOT_FOR_CONTACT,
)

Parameter = str | float | datetime | list[str]

# hour, bot_id, key, amount of what happened from `since` to `until`.
SELECTS: dict[Figure.Measure, str] = {
    Figure.Measure.RECEIVED: """
        SELECT date_trunc('hour', event.received_at, 'UTC') AS hour, turn.bot_id,
               event.reason AS key, count(*)::numeric AS amount
        FROM conversations_webhookevent event
        LEFT JOIN conversations_turn turn ON turn.id = event.turn_id
        WHERE event.received_at >= %(since)s AND event.received_at < %(until)s
          AND event.name = 'message_created' AND event.reason = ANY(%(customers)s)
        GROUP BY 1, 2, 3""",
    # Without a turn it is not known whose it was.
    Figure.Measure.SKIPPED: """
        SELECT date_trunc('hour', received_at, 'UTC') AS hour, NULL::bigint AS bot_id,
               reason AS key, count(*)::numeric AS amount
        FROM conversations_webhookevent
        WHERE received_at >= %(since)s AND received_at < %(until)s
          AND action = 'ignore'
        GROUP BY 1, 3""",
    Figure.Measure.TURN: """
        SELECT date_trunc('hour', finished_at, 'UTC') AS hour, bot_id,
               status || ':' || reason AS key, count(*)::numeric AS amount
        FROM conversations_turn
        WHERE finished_at >= %(since)s AND finished_at < %(until)s
          AND kind = 'answer'
        GROUP BY 1, 2, 3""",
    Figure.Measure.LATENCY: """
        SELECT date_trunc('hour', finished_at, 'UTC') AS hour, bot_id,
               floor(ln(greatest(extract(epoch FROM finished_at - created_at)
                                 / %(first_bucket_s)s, 1)) / ln(%(growth)s)
                    )::int::text AS key,
               count(*)::numeric AS amount
        FROM conversations_turn
        WHERE finished_at >= %(since)s AND finished_at < %(until)s
          AND status = 'answered' AND kind = 'answer' AND reason <> 'suggested'
        GROUP BY 1, 2, 3""",
    Figure.Measure.TOKENS: """
        SELECT date_trunc('hour', run.finished_at, 'UTC') AS hour, turn.bot_id,
               '' AS key, sum(run.total_tokens)::numeric AS amount
        FROM conversations_pipelinerun run
        JOIN conversations_turn turn ON turn.id = run.turn_id
        WHERE run.finished_at >= %(since)s AND run.finished_at < %(until)s
          AND run.total_tokens > 0
        GROUP BY 1, 2""",
    Figure.Measure.COST: """
        SELECT date_trunc('hour', run.finished_at, 'UTC') AS hour, turn.bot_id,
               run.currency AS key, sum(run.total_price) AS amount
        FROM conversations_pipelinerun run
        JOIN conversations_turn turn ON turn.id = run.turn_id
        WHERE run.finished_at >= %(since)s AND run.finished_at < %(until)s
          AND run.total_price > 0
        GROUP BY 1, 2, 3""",
}

# An hour is replaced by what sums up to at least as much, so that what retention or an
# erasure has taken away meanwhile is not missing in the figures. What a later look
# counts under another bot is taken away where it stood first.
STORE = """
    WITH fresh AS ({select}),
    better AS (
        SELECT fresh.hour FROM fresh
        LEFT JOIN (
            SELECT hour, sum(amount) AS amount FROM conversations_figure
            WHERE hour >= %(since)s AND hour < %(until)s AND measure = %(measure)s
            GROUP BY hour
        ) known ON known.hour = fresh.hour
        GROUP BY fresh.hour, known.amount
        HAVING sum(fresh.amount) >= coalesce(known.amount, 0)
    ),
    moved AS (
        DELETE FROM conversations_figure known USING better
        WHERE known.hour = better.hour AND known.measure = %(measure)s
          AND known.hour >= %(since)s AND known.hour < %(until)s
          AND NOT EXISTS (
              SELECT FROM fresh WHERE fresh.hour = known.hour AND fresh.key = known.key
              -- With IS NOT DISTINCT FROM it would be a loop within a loop.
              AND coalesce(fresh.bot_id, 0) = coalesce(known.bot_id, 0)
          )
    )
    INSERT INTO conversations_figure AS known (hour, bot_id, measure, key, amount)
    SELECT fresh.hour, fresh.bot_id, %(measure)s, fresh.key, fresh.amount
    FROM fresh JOIN better ON better.hour = fresh.hour
    ON CONFLICT (hour, measure, key, bot_id) DO UPDATE SET amount = EXCLUDED.amount
    WHERE known.amount <> EXCLUDED.amount"""

# Of what each unit of time (%(unit)s) brought, whole hours and those under way.
READ = """
    SELECT date_trunc(%(unit)s, hour, %(zone)s), bot_id, measure, key, sum(amount)
    FROM (
        SELECT hour, bot_id, measure, key, amount FROM conversations_figure
        WHERE hour >= %(from)s AND hour < %(since)s
        {live}
    ) figures
    GROUP BY 1, 2, 3, 4"""

LIVE = """
        UNION ALL
        SELECT hour, bot_id, '{measure}', key, amount FROM ({select}) {measure}"""


@dataclass(frozen=True, slots=True)
class Amount:
    """One number of an hour or a day."""

    at: datetime
    bot_id: int | None
    measure: str
    key: str
    amount: Decimal


def roll_up(now: datetime) -> dict[str, int]:
    """Store the figures of the recent hours, and of those that are missing.

    Returns how many rows were written. Harmless to repeat; of two that run at the same
    time one does nothing.
    """
    written = 0
    for since, until in _stretches(now):
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SELECT pg_try_advisory_xact_lock(hashtext('figures'))")
            if cursor.fetchone() != (True,):
                break
            for measure, select in SELECTS.items():
                parameters = _parameters(since=since, until=until)
                parameters["measure"] = measure.value
                cursor.execute(STORE.format(select=select), parameters)
                written += cursor.rowcount
    return {"written": written}


def read(*, since: datetime, now: datetime, unit: str) -> Iterator[Amount]:
    """Return all numbers from `since` on, by local "hour" or "day"."""
    live = max(start_of_hour(now - GRACE), since)
    parts = [
        LIVE.format(measure=measure.value, select=select)
        for measure, select in SELECTS.items()
    ]
    parameters: dict[str, Parameter] = {
        **_parameters(since=live, until=now + HOUR),
        "from": since,
        "unit": unit,
        # Hours are those of UTC: somewhere a local one begins at half past.
        "zone": timezone.get_current_timezone_name() if unit == "day" else "UTC",
    }
    with connection.cursor() as cursor:
        cursor.execute(READ.format(live="".join(parts)), parameters)
        rows = cursor.fetchall()
    return (Amount(*row) for row in rows)


def bucket_s(key: str) -> float:
    """Return the time in the middle of a bucket, in seconds."""
    return FIRST_BUCKET_S * math.pow(GROWTH, int(key) + 0.5)


def start_of_hour(moment: datetime) -> datetime:
    """Return the beginning of the hour; hours are those of UTC."""
    return moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0)


def _stretches(now: datetime) -> Iterator[tuple[datetime, datetime]]:
    """Yield what is to be computed in pieces of a day, the oldest first.

    An interrupted roll-up so goes on where it stopped: at the newest hour it knows.
    """
    is_first_of_hour = now.minute < 5
    since = now - (ONCE_AN_HOUR if is_first_of_hour else RECENT)
    newest = Figure.objects.aggregate(newest=Max("hour"))["newest"]
    since = min(since, newest) if newest else now - FURTHEST
    begin = start_of_hour(max(since, now - FURTHEST))
    end = start_of_hour(now) + HOUR
    while begin < end:
        until = min(begin + timedelta(days=1), end)
        yield begin, until
        begin = until


def _parameters(*, since: datetime, until: datetime) -> dict[str, Parameter]:
    return {
        "since": since,
        "until": until,
        "customers": list(map(str, CUSTOMERS)),
        "first_bucket_s": FIRST_BUCKET_S,
        "growth": GROWTH,
    }
