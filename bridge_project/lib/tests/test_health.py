"""A refused token is tried by one probe a minute, and by nobody else."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from bridge_project.lib.health import PROBE_EVERY_S, Health
from chatwoot_api.models import ChatwootAccount
from dify_api.models import DifyApp

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
EVERY = timedelta(seconds=PROBE_EVERY_S)


def make_app(**own: Any) -> DifyApp:
    return DifyApp.objects.create(
        **{"name": "Shop", "base_url": "http://dify.test", "api_key": "k", **own}
    )


def test_refused_token_is_probed_a_minute_later() -> None:
    app = make_app()
    before = timezone.now()

    assert DifyApp.objects.all().mark_refused("401") == 1

    app.refresh_from_db()
    assert app.next_probe_at is not None
    assert before + EVERY <= app.next_probe_at <= timezone.now() + EVERY
    assert not DifyApp.objects.to_probe(timezone.now()).exists()
    assert DifyApp.objects.to_probe(app.next_probe_at).get() == app


def test_call_that_works_ends_the_probing() -> None:
    app = make_app(health=Health.REFUSED, next_probe_at=NOW)

    assert DifyApp.objects.all().mark_ok() == 1

    app.refresh_from_db()
    assert (app.health, app.next_probe_at) == (Health.OK, None)


def test_other_failures_leave_the_probe_alone() -> None:
    app = make_app(health=Health.REFUSED, next_probe_at=NOW)

    assert DifyApp.objects.all().mark_failing("502") == 0

    app.refresh_from_db()
    assert (app.health, app.next_probe_at) == (Health.REFUSED, NOW)


@pytest.mark.parametrize(
    ("health", "next_probe_at", "is_due"),
    [
        (Health.REFUSED, None, True),  # refused before there were probes
        (Health.REFUSED, NOW, True),
        (Health.REFUSED, NOW - EVERY, True),
        (Health.REFUSED, NOW + timedelta(microseconds=1), False),
        (Health.FAILING, NOW, False),
        (Health.UNKNOWN, None, False),
        (Health.OK, None, False),
    ],
)
def test_only_what_is_refused_and_due_is_probed(
    health: Health, next_probe_at: datetime | None, is_due: bool
) -> None:
    app = make_app(health=health, next_probe_at=next_probe_at)

    assert DifyApp.objects.to_probe(NOW).exists() is is_due
    assert DifyApp.objects.all().claim_probe(app.pk, NOW) is is_due


def test_of_two_workers_one_probes() -> None:
    app = make_app(health=Health.REFUSED, next_probe_at=NOW)
    other = make_app(name="Other", health=Health.REFUSED, next_probe_at=NOW)
    rows = DifyApp.objects.all()

    assert [rows.claim_probe(app.pk, NOW) for _ in range(2)] == [True, False]
    assert not rows.claim_probe(app.pk, NOW + EVERY - timedelta(seconds=1))
    assert rows.claim_probe(app.pk, NOW + EVERY)
    other.refresh_from_db()
    assert other.next_probe_at == NOW


def test_accounts_are_probed_as_apps_are() -> None:
    account = ChatwootAccount.objects.create(
        name="Lab", base_url="http://chatwoot.test", account_id=1, bot_token="t"
    )
    rows = ChatwootAccount.objects.all()

    rows.mark_refused("401")

    account.refresh_from_db()
    assert account.next_probe_at is not None
    assert rows.claim_probe(account.pk, account.next_probe_at)
