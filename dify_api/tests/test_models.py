"""Rows of Dify apps."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext

from dify_api.connection import DifyConnection
from dify_api.models import SLOW_DOWN_EVERY, SPEED_UP_EVERY, DifyApp
from dify_api.payloads import AppMode, parse_parameters
from dify_api.tests import recorded

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


def make_app(**own: object) -> DifyApp:
    values = {"name": "Shop", "base_url": "http://dify.test/v1", "api_key": "app-1"}
    return DifyApp.objects.create(**{**values, **own})


def test_connection_has_all_that_the_client_needs() -> None:
    app = make_app(
        mode="workflow",
        answer_output="label",
        first_event_timeout_s=30,
        idle_timeout_s=40,
        total_timeout_s=50,
    )

    assert app.connection() == DifyConnection(
        base_url="http://dify.test/v1",
        api_key="app-1",
        mode="workflow",
        first_event_timeout_s=30.0,
        idle_timeout_s=40.0,
        total_timeout_s=50.0,
        answer_output="label",
    )


def test_key_is_encrypted_at_rest() -> None:
    app = make_app(api_key="app-secret")

    with connection.cursor() as cursor:
        cursor.execute("SELECT api_key FROM dify_api_difyapp WHERE id = %s", [app.pk])
        (stored,) = cursor.fetchone()

    assert "app-secret" not in stored
    assert DifyApp.objects.get().api_key == "app-secret"


def test_declared_inputs_are_those_last_read() -> None:
    app = make_app()
    assert app.declared_inputs() == ()

    read = parse_parameters(recorded.body("1.14.2/meta/08_parameters_inputs"))
    app.parameters = read.raw
    app.save()

    assert DifyApp.objects.get().declared_inputs() == read.inputs


def test_modes_are_those_that_can_be_run() -> None:
    assert set(DifyApp.Mode.values) == {mode.value for mode in AppMode}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("base_url", "dify.test"),
        ("base_url", "http://dify.test/v1?x=1"),
        ("total_timeout_s", 1801),
        ("total_timeout_s", 9),
        ("first_event_timeout_s", 4),
        ("idle_timeout_s", 10),
        ("mode", "rag"),
        ("max_concurrent_runs", 0),
        ("max_concurrent_runs", 1001),
    ],
)
def test_wrong_settings_are_refused(name: str, value: object) -> None:
    app = make_app()
    setattr(app, name, value)

    with pytest.raises(ValidationError) as caught:
        app.full_clean()
    assert list(caught.value.message_dict) == [name]


def test_total_limit_is_kept_by_the_database_too() -> None:
    """Tasks are delivered again after the visibility timeout, see the settings."""
    app = make_app()

    with pytest.raises(IntegrityError), transaction.atomic():
        DifyApp.objects.filter(pk=app.pk).update(total_timeout_s=1801)


def test_refused_key_stays_refused_until_a_call_works() -> None:
    app = make_app()
    row = DifyApp.objects.filter(pk=app.pk)

    assert row.mark_refused("401") == 1
    assert row.mark_failing("502") == 0
    app.refresh_from_db()
    assert (app.health, app.last_error) == ("refused", "401")
    assert app.last_error_at is not None
    assert not DifyApp.objects.usable().exists()

    assert row.mark_ok() == 1
    assert DifyApp.objects.usable().get() == app


def test_good_news_are_written_once() -> None:
    row = DifyApp.objects.filter(pk=make_app().pk)

    assert row.mark_ok() == 1
    assert row.mark_ok() == 0


def test_marking_tells_when(settings: object) -> None:
    app = make_app()
    before = datetime.now(UTC)

    DifyApp.objects.filter(pk=app.pk).mark_failing("down")

    app.refresh_from_db()
    assert app.health == DifyApp.Health.FAILING
    assert app.last_error_at is not None
    assert app.last_error_at >= before
    assert app.updated_at >= before


def limited(app: DifyApp) -> tuple[int | None, int]:
    app.refresh_from_db()
    return app.lowered_limit, app.current_limit


def test_overload_halves_the_runs_at_once() -> None:
    app = make_app(max_concurrent_runs=9)
    rows = DifyApp.objects.filter(pk=app.pk)

    seen = []
    for number in range(5):
        assert rows.slow_down(NOW + number * SLOW_DOWN_EVERY) == 1
        seen.append(limited(app))

    assert seen == [(4, 4), (2, 2), (1, 1), (1, 1), (1, 1)]


def test_many_refusals_of_one_overload_count_once() -> None:
    app = make_app(max_concurrent_runs=8)
    rows = DifyApp.objects.filter(pk=app.pk)

    moments = [NOW, NOW, NOW + SLOW_DOWN_EVERY - timedelta(microseconds=1)]

    assert [rows.slow_down(moment) for moment in moments] == [1, 0, 0]
    assert limited(app) == (4, 4)


def test_successes_raise_the_limit_until_nothing_is_lowered() -> None:
    app = make_app(max_concurrent_runs=4, lowered_limit=2, limit_changed_at=NOW)
    rows = DifyApp.objects.filter(pk=app.pk)

    assert rows.speed_up(NOW + SPEED_UP_EVERY - timedelta(microseconds=1)) == 0
    assert rows.speed_up(NOW + SPEED_UP_EVERY) == 1
    assert limited(app) == (3, 3)
    assert rows.speed_up(NOW + SPEED_UP_EVERY) == 0
    assert rows.speed_up(NOW + 2 * SPEED_UP_EVERY) == 1
    assert limited(app) == (None, 4)
    assert rows.speed_up(NOW + 3 * SPEED_UP_EVERY) == 0


def test_limit_that_an_operator_sets_below_the_lowered_one_counts() -> None:
    app = make_app(max_concurrent_runs=3, lowered_limit=6)
    rows = DifyApp.objects.filter(pk=app.pk)
    assert app.current_limit == 3

    assert rows.slow_down(NOW) == 1
    assert limited(app) == (1, 1)

    rows.update(lowered_limit=6, limit_changed_at=None)
    assert rows.speed_up(NOW) == 1
    assert limited(app) == (None, 3)


def test_limits_of_other_apps_stay() -> None:
    app, other = make_app(), make_app(name="Other")

    DifyApp.objects.filter(pk=app.pk).slow_down(NOW)

    assert limited(app) == (4, 4)
    assert limited(other) == (None, 8)


def test_changing_a_limit_is_one_statement() -> None:
    rows = DifyApp.objects.filter(pk=make_app().pk)

    with CaptureQueriesContext(connection) as queries:
        rows.slow_down(NOW)
        rows.speed_up(NOW + SPEED_UP_EVERY)

    assert len(queries) == 2


def test_app_is_called_by_its_name() -> None:
    assert str(DifyApp(name="Shop")) == "Shop"
