"""Whether the bridge itself lives: workers, beat, queue, Redis, database, settings."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import connection, models
from django.db.migrations.executor import MigrationExecutor
from django.db.models import F
from django.db.models.functions import Cast
from django.utils.timesince import timesince
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from redis import Redis
from redis.exceptions import RedisError

from bridge_project.lib.encryption import decrypt
from bridge_project.lib.rotation import encrypted_fields
from conversations import heartbeats
from conversations.doctor.clocks import clock_line
from conversations.doctor.line import About, Line, State
from conversations.models import Turn, WebhookEvent

# A healthy worker takes up what is due within seconds.
WARN_AFTER = timedelta(minutes=1)
FAIL_AFTER = timedelta(minutes=5)
REDIS_WAIT_S = 2.0
# Of each kind of secret; there are as many as accounts, apps and channels.
MOST_SECRETS = 500


def lines(now: datetime, *, about: About) -> Iterator[Line]:
    """Yield a line for each thing that was looked at."""
    yield _worker(now, about=about)
    yield _beat(now, about=about)
    yield _events(now, about=about)
    yield _turns(now, about=about)
    yield _redis(about=about)
    yield clock_line("database_clock", _database_time(), ours=now, about=about)
    yield _migrations(about=about)
    yield _public_url(about=about)
    yield _secrets(about=about)


def _worker(now: datetime, *, about: About) -> Line:
    alive = heartbeats.workers(now)
    if alive:
        found = ngettext("%d is alive.", "%d are alive.", len(alive)) % len(alive)
        return Line(check="worker", state=State.OK, found=found, about=about)
    return Line(
        check="worker",
        state=State.FAILED,
        found=_("None is alive."),
        meaning=_("Events are stored, but nobody is answered until one runs."),
        remedy=_(
            "Start a worker. In Docker: docker compose up -d worker. Under make run: "
            "supervisorctl start worker, as printed at the start."
        ),
        about=about,
    )


def _beat(now: datetime, *, about: About) -> Line:
    if heartbeats.beat(now) is not None:
        return Line(check="beat", state=State.OK, found=_("It is alive."), about=about)
    last = heartbeats.last_beat()
    found = _("It was never seen.")
    if last is not None:
        found = _("Last seen %s ago.") % timesince(last.beat_at, now)
    return Line(
        check="beat",
        state=State.WARNING,
        found=found,
        meaning=_(
            "Customers are answered, but deletions, retention, mirrors, alerts and "
            "figures wait. Without Redis or a worker beat looks dead as well."
        ),
        remedy=_(
            "Start beat, exactly one. In Docker: docker compose up -d beat. Under make "
            "run: supervisorctl start beat."
        ),
        about=about,
    )


def _events(now: datetime, *, about: About) -> Line:
    rows = WebhookEvent.objects.filter(status=WebhookEvent.Status.RECEIVED)
    oldest = rows.order_by("received_at").values_list("received_at", flat=True).first()
    return _waiting("events_waiting", oldest, now=now, about=about)


def _turns(now: datetime, *, about: About) -> Line:
    rows = Turn.objects.runnable(now=now).order_by("next_attempt_at")
    oldest = rows.values_list("next_attempt_at", flat=True).first()
    return _waiting("turns_waiting", oldest, now=now, about=about)


def _waiting(
    check: str, since: datetime | None, *, now: datetime, about: About
) -> Line:
    age = now - since if since is not None else timedelta()
    if age < WARN_AFTER or since is None:
        text = _("None is waiting.") if since is None else _("Waits only now.")
        return Line(check=check, state=State.OK, found=text, about=about)
    return Line(
        check=check,
        state=State.FAILED if age > FAIL_AFTER else State.WARNING,
        found=_("Waits for %s.") % timesince(since, now),
        meaning=_("Customers wait: the workers do not keep up, or there is none."),
        remedy=_("Look at the workers and their log; start more of them."),
        about=about,
    )


def _redis(*, about: About) -> Line:
    client = Redis.from_url(
        settings.REDIS_URL,
        socket_connect_timeout=REDIS_WAIT_S,
        socket_timeout=REDIS_WAIT_S,
    )
    try:
        client.ping()
    except (RedisError, OSError) as err:
        return Line(
            check="redis",
            state=State.WARNING,
            found=str(err),
            meaning=_(
                "Nothing is lost and customers are answered, some seconds later; what "
                "beat does waits."
            ),
            remedy=_("Start Redis, or correct REDIS_URL."),
            about=about,
        )
    finally:
        client.close()
    return Line(check="redis", state=State.OK, found=_("It answers."), about=about)


def _database_time() -> datetime | None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        row = cursor.fetchone()
    return row[0] if row and isinstance(row[0], datetime) else None


def _migrations(*, about: About) -> Line:
    executor = MigrationExecutor(connection)
    plan = executor.migration_plan(executor.loader.graph.leaf_nodes())
    if not plan:
        found = _("Up to date.")
        return Line(check="migrations", state=State.OK, found=found, about=about)
    names = ", ".join(f"{step.app_label}.{step.name}" for step, _back in plan)
    return Line(
        check="migrations",
        state=State.FAILED,
        found=_("Not applied: %s.") % names,
        meaning=_("Pages and tasks that need the new columns fail."),
        remedy=_("Run manage.py migrate; it needs no stop."),
        about=about,
    )


def _public_url(*, about: About) -> Line:
    url = settings.PUBLIC_URL
    place = urlsplit(url)
    if place.scheme == "https" or place.hostname in ("localhost", "127.0.0.1", "::1"):
        return Line(check="public_url", state=State.OK, found=url, about=about)
    return Line(
        check="public_url",
        state=State.WARNING,
        found=url,
        meaning=_(
            "Passwords, customers' texts and tokens travel readable. Inside one closed "
            "network that may be all right."
        ),
        remedy=_("Put the bridge behind a proxy with TLS, and set PUBLIC_URL."),
        about=about,
    )


def _secrets(*, about: About) -> Line:
    """Try every stored secret; one that cannot be read stops its account or app."""
    count, unreadable = 0, []
    for model, name in encrypted_fields():
        for pk, stored in _stored(model, name=name):
            count += 1
            try:
                decrypt(stored)
            except ImproperlyConfigured:
                unreadable.append(f"{model._meta.verbose_name} {pk}: {name}")
    if not unreadable:
        text = ngettext("%d can be read.", "All %d can be read.", count) % count
        return Line(check="secrets", state=State.OK, found=text, about=about)
    return Line(
        check="secrets",
        state=State.FAILED,
        found=_("No key of FIELD_ENCRYPTION_KEYS reads: %s.") % ", ".join(unreadable),
        meaning=_("What needs them fails; other accounts and apps go on."),
        remedy=_(
            "Put the old key back into FIELD_ENCRYPTION_KEYS, or enter them anew."
        ),
        about=about,
    )


def _stored(model: type[models.Model], *, name: str) -> Iterator[tuple[Any, str]]:
    """Yield the ciphertexts: reading them as the field does would stop at the first."""
    rows = model._default_manager.annotate(_stored=Cast(F(name), models.TextField()))
    found = rows.exclude(_stored="").order_by("pk").values_list("pk", "_stored")
    yield from found[:MOST_SECRETS]
