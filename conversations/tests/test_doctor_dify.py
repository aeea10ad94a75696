"""What the doctor sees of Dify's apps, of bots' inputs, and of the bridge itself."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.utils import timezone
from pytest_django import Settings

from chatwoot_api.models import AttributeDefinition
from conversations import heartbeats
from conversations.doctor import MENDS, About, Line, State, examine
from conversations.doctor.clocks import clock_line
from conversations.doctor.mapping import fit, suggest
from conversations.doctor.processes import lines as process_lines
from conversations.models import Bot, WebhookEvent
from conversations.models.bot import default_inputs
from conversations.tests.factories import make_account, make_app, make_bot
from conversations.tests.sandbox_chatwoot import SandboxChatwoot
from dify_api import app_info
from dify_api.models import DifyApp

pytestmark = pytest.mark.django_db


def form(*fields: tuple[str, str, dict[str, Any]]) -> dict[str, Any]:
    """What an app declares: kind, name, and the rest of each input."""
    items = [{kind: {"variable": name, **rest}} for kind, name, rest in fields]
    return {"user_input_form": items, "file_upload": {}}


@pytest.fixture
def app(sandbox: SandboxChatwoot) -> DifyApp:
    made = make_app(
        base_url=f"{sandbox.base_url}/v1", api_key="app-sandbox-chat", mode="chat"
    )
    app_info.refresh(made)
    return made


def dify(app: DifyApp) -> dict[str, Line]:
    return {x.check: x for x in examine(app=app) if x.topic == "dify"}


def states(lines: dict[str, Line]) -> dict[str, str]:
    return {c: x.state.value for c, x in lines.items() if x.state is not State.OK}


# --- Apps ------------------------------------------------------------------------


def test_has_nothing_to_say_of_a_good_app(app: DifyApp) -> None:
    lines = dify(app)

    assert states(lines) == {}
    assert lines["app_mode"].found == "chatbot"
    assert lines["app_files"].found == "The app takes up to 3: image, document, audio."
    assert lines["app_speech"].found == "The app can turn speech into text."


def test_tells_a_refused_key_and_remembers_it(
    sandbox: SandboxChatwoot, app: DifyApp
) -> None:
    sandbox.control("PATCH", "/dify/apps/chat", {"key_refused": True})

    assert states(dify(app)) == {"app_key": "failed"}
    app.refresh_from_db()
    assert app.health == DifyApp.Health.REFUSED

    sandbox.control("PATCH", "/dify/apps/chat", {"key_refused": False})
    assert states(dify(app)) == {}
    app.refresh_from_db()
    assert app.health == DifyApp.Health.OK


def test_tells_that_the_app_was_never_published(
    sandbox: SandboxChatwoot, app: DifyApp
) -> None:
    sandbox.control("PATCH", "/dify/apps/chat", {"published": False})

    line = dify(app)["app_published"]

    assert line.state is State.FAILED
    assert "press “Publish”" in line.remedy


def test_mends_what_it_knows_wrongly_of_an_app(app: DifyApp) -> None:
    DifyApp.objects.update(mode="workflow", parameters={"user_input_form": []})
    app.refresh_from_db()

    found = dify(app)

    assert states(found) == {"app_mode": "warning", "app_inputs": "warning"}
    assert {found[c].mend for c in states(found)} == {"read_app"}
    assert MENDS["read_app"].run(app.pk) == "Read: chatbot, 12 inputs."
    assert states(dify(app)) == {}


def test_tells_an_address_where_nobody_is(app: DifyApp) -> None:
    DifyApp.objects.update(base_url="http://127.0.0.1:9/v1")

    assert states(dify(app)) == {"app_reachable": "failed"}


# --- Inputs of bots --------------------------------------------------------------


def test_maps_names_that_we_know_and_custom_attributes() -> None:
    app = make_app(
        parameters=form(
            ("text-input", "language", {}),
            ("text-input", "customer_name", {}),
            ("text-input", "order_number", {}),
            ("text-input", "shoe_size", {}),
        )
    )
    attributes = {"order_number": "conversation.custom_attributes.order_number"}

    assert suggest(app.declared_inputs(), attributes=attributes) == {
        "language": "contact.language",
        "customer_name": "contact.name",
        "order_number": "conversation.custom_attributes.order_number",
    }


def test_compares_a_mapping_with_what_the_app_declares() -> None:
    app = make_app(
        parameters=form(
            ("text-input", "city", {"required": True}),
            ("select", "plan", {"required": True, "options": ["a"]}),
            ("text-input", "with_default", {"required": True, "default": "x"}),
            ("text-input", "channel", {}),
            ("text-input", "conversation_token", {"max_length": 48}),
        )
    )
    mapping = {
        "conversation_token": "bridge.conversation_token",
        "labels": "conversation.labels",
        "langauge": "contact.language",
    }

    found = fit(mapping, app=app, attributes={})

    assert found.missing == ("city", "plan")
    assert found.refused == ("plan",)
    # `labels` is one of the usual ones; a bot may have them for another app.
    assert found.unknown == ("langauge",)
    assert found.fillable == ("channel",)
    assert found.too_short == ("conversation_token",)


def test_the_usual_mapping_is_no_reason_to_complain() -> None:
    app = make_app(parameters=form(("text-input", "language", {})))

    assert fit(default_inputs(), app=app, attributes={}).unknown == ()


def test_a_workflow_must_declare_the_input_for_the_text() -> None:
    app = make_app(mode="workflow", parameters=form(("paragraph", "question", {})))
    bot = make_bot(make_account(base_url="http://127.0.0.1:9"), dify_app=app)

    line = next(x for x in _bot_lines(bot) if x.check == "query_input")
    assert line.state is State.FAILED
    assert "no input “query”" in line.found

    DifyApp.objects.update(query_input="question")
    line = next(x for x in _bot_lines(bot) if x.check == "query_input")
    assert line.state is State.OK


def test_tells_and_mends_what_a_bot_lacks() -> None:
    app = make_app(parameters=form(("text-input", "region", {"required": True})))
    bot = make_bot(
        make_account(base_url="http://127.0.0.1:9"), dify_app=app, inputs={"a": "b"}
    )
    AttributeDefinition.objects.create(
        account=bot.account,
        chatwoot_definition_id=1,
        key="region",
        model="contact_attribute",
        display_type="text",
    )

    found = {x.check: x for x in _bot_lines(bot)}
    assert found["inputs_required"].found == "Without a source: region."
    assert found["inputs_required"].mend == "map_inputs"
    assert found["inputs_unknown"].found == "a"

    assert MENDS["map_inputs"].run(bot.pk) == "Mapped: region."

    bot.refresh_from_db()
    assert bot.inputs == {"a": "b", "region": "contact.custom_attributes.region"}
    assert MENDS["map_inputs"].run(bot.pk) == "There was nothing to map."


@pytest.mark.parametrize(
    ("change", "state", "words"),
    [
        ({"dify_app": None}, State.FAILED, "no Dify app"),
        ({"enabled": False}, State.WARNING, "switched off"),
    ],
)
def test_tells_a_bot_that_cannot_answer(
    change: dict[str, Any], state: State, words: str
) -> None:
    bot = make_bot(make_account(base_url="http://127.0.0.1:9"), **change)

    line = next(x for x in _bot_lines(bot) if x.check == "bot_answers")

    assert line.state is state
    assert words in line.found


def _bot_lines(bot: Bot) -> list[Line]:
    return [x for x in examine(bot=bot) if x.topic == "bots"]


# --- The bridge itself -----------------------------------------------------------

ABOUT = About()


def processes(now: datetime | None = None) -> dict[str, Line]:
    found = process_lines(now or timezone.now(), about=ABOUT)
    return {line.check: line for line in found}


def test_tells_that_worker_and_beat_are_dead_or_alive() -> None:
    now = timezone.now()
    dead = processes(now)

    heartbeats.note_worker("w:1", started_at=now, now=now, details={})
    heartbeats.note_beat(now=now, by="w:1")
    alive = processes(now)

    assert (dead["worker"].state, dead["beat"].state) == (State.FAILED, State.WARNING)
    assert dead["beat"].found == "It was never seen."
    assert (alive["worker"].state, alive["beat"].state) == (State.OK, State.OK)
    later = processes(now + timedelta(hours=1))
    assert later["beat"].found == "Last seen 1\xa0hour ago."


@pytest.mark.parametrize(
    ("age_s", "state"), [(5, State.OK), (120, State.WARNING), (600, State.FAILED)]
)
def test_tells_how_long_the_oldest_event_waits(age_s: int, state: State) -> None:
    now = timezone.now()
    WebhookEvent.objects.create(
        account=make_account(),
        delivery_key="d",
        name="message_created",
        payload={},
        received_at=now - timedelta(seconds=age_s),
        status="received",
    )

    assert processes(now)["events_waiting"].state is state


def test_the_rest_is_well_in_a_test() -> None:
    found = processes()

    checks = ("turns_waiting", "redis", "database_clock", "migrations", "public_url")
    assert {found[c].state for c in checks} == {State.OK}


def test_redis_that_is_away_is_a_warning(settings: Settings) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:9/0"

    assert processes()["redis"].state is State.WARNING


def test_an_open_address_without_tls_is_a_warning(settings: Settings) -> None:
    settings.PUBLIC_URL = "http://bridge.example.com"

    assert processes()["public_url"].state is State.WARNING


def test_names_secrets_that_no_key_reads_and_goes_on(settings: Settings) -> None:
    account = make_account()
    assert processes()["secrets"].state is State.OK

    settings.FIELD_ENCRYPTION_KEYS = [Fernet.generate_key().decode()]
    line = processes()["secrets"]

    assert line.state is State.FAILED
    assert f"Chatwoot account {account.pk}: bot_token" in line.found
    found = examine()
    assert {x.state for x in found if x.about.kind == "account"} == {State.FAILED}
    assert {x.about.kind for x in found} == {"account", "bridge"}


@pytest.mark.parametrize(
    ("apart_s", "state"),
    [(0, State.OK), (-29, State.OK), (31, State.WARNING), (-301, State.FAILED)],
)
def test_compares_clocks(apart_s: int, state: State) -> None:
    ours = datetime(2026, 11, 22, 19, tzinfo=UTC)
    theirs = ours + timedelta(seconds=apart_s)

    line = clock_line("app_clock", theirs, ours=ours, about=ABOUT)

    assert line.state is state
    nothing = clock_line("app_clock", None, ours=ours, about=ABOUT)
    assert nothing.state is State.SKIPPED
