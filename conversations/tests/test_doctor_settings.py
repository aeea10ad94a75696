"""What the doctor says of a bot's settings: can its Dify and its Chatwoot do that?"""

from __future__ import annotations

from typing import Any

import pytest
from django.utils import timezone
from pytest_django import Settings

from chatwoot_api.models import AttributeDefinition, Inbox
from chatwoot_api.settings_payloads import read_inbox
from conversations.doctor import About, Line
from conversations.doctor.bot_options import lines
from conversations.doctor.chatwoot import Seen
from conversations.models import Bot, OpenAIServer
from conversations.tests.factories import make_account, make_app, make_bot
from conversations.tests.sandbox_chatwoot import SandboxChatwoot
from dify_api.looking import look
from dify_api.models import DifyApp

pytestmark = pytest.mark.django_db


def found(bot: Bot, *, greets: bool = False) -> dict[str, Line]:
    fresh = Bot.objects.get(pk=bot.pk)
    row = read_inbox({"id": 11, "name": "Website", "greeting_enabled": greets})
    assert row is not None
    seen = Seen(account=fresh.account, inboxes=[row])
    return {line.check: line for line in lines(fresh, seen=seen, about=About())}


def states(bot: Bot, **rest: bool) -> dict[str, str]:
    return {check: line.state.value for check, line in found(bot, **rest).items()}


def form(**said: Any) -> dict[str, Any]:
    """What an app says of itself."""
    return {"user_input_form": [], **said}


def app(**values: Any) -> DifyApp:
    return make_app(**values)


def test_a_plain_bot_has_one_line_about_voice() -> None:
    assert states(make_bot()) == {"voice": "ok"}


@pytest.mark.parametrize(
    ("version", "template", "state"),
    [
        ("0.15.3", "[{name}: {value}]", "ok"),
        ("0.15.3", "", "warning"),
        ("1.0.1", "", None),
        ("", "", None),
    ],
)
def test_an_old_server_keeps_the_first_inputs(
    version: str, template: str, state: str | None
) -> None:
    bot = make_bot(
        dify_app=app(server_version=version, mode="chat"), context_template=template
    )

    assert states(bot).get("old_inputs") == state


def test_a_workflow_has_no_conversation_that_could_keep_inputs() -> None:
    bot = make_bot(dify_app=app(server_version="0.15.3", mode="workflow"))

    assert "old_inputs" not in found(bot)


@pytest.mark.parametrize(
    ("mode", "version", "state", "words"),
    [
        ("advanced-chat", "1.14.2", "ok", "tier"),
        ("advanced-chat", "1.7.2", "warning", "But this is Dify 1.7.2."),
        ("chat", "1.14.2", "warning", "But the app is no chatflow."),
    ],
)
def test_variables_need_a_chatflow_and_dify_1_8(
    mode: str, version: str, state: str, words: str
) -> None:
    bot = make_bot(
        dify_app=app(mode=mode, server_version=version),
        conversation_variables={"tier": "contact.name"},
    )

    line = found(bot)["variables"]

    assert line.state.value == state
    assert words in line.found


@pytest.mark.parametrize(
    ("version", "state"), [("1.13.3", "warning"), ("1.14.2", "ok"), ("", "ok")]
)
def test_forms_need_dify_1_14(version: str, state: str) -> None:
    bot = make_bot(dify_app=app(server_version=version), forms_go_to="customer")

    assert states(bot)["flow_forms"] == state


def test_the_choice_needs_an_attribute_and_open_conversations() -> None:
    bot = make_bot(
        reply_as="by_support_mode", support_mode_attribute="support_mode, channel_wish"
    )

    unread = found(bot)
    bot.account.mirrored_at = timezone.now()
    bot.account.save(update_fields=["mirrored_at"])
    before = found(bot)
    AttributeDefinition.objects.create(
        account=bot.account,
        chatwoot_definition_id=1,
        key="channel_wish",
        model="contact_attribute",
    )
    Bot.objects.update(speak_in_statuses=["pending", "open"])
    after = found(bot)

    # Nothing is known of an account that was never read.
    assert "support_mode" not in unread
    assert "support_mode_statuses" in unread
    assert before["support_mode"].state.value == "warning"
    assert before["support_mode"].found == (
        "Chatwoot defines no attribute “support_mode, channel_wish”."
    )
    assert before["support_mode_statuses"].state.value == "warning"
    assert after["support_mode"].found == "channel_wish"
    assert after["support_mode"].state.value == "ok"
    assert "support_mode_statuses" not in after


def test_chatwoot_greets_as_well() -> None:
    bot = make_bot(
        greets="conversation",
        dify_app=app(parameters=form(opening_statement="Hello!")),
    )

    assert "greeting" not in found(bot)
    assert found(bot, greets=True)["greeting"].found == "Chatwoot greets, too: Website."
    other = Inbox.objects.create(account=bot.account, chatwoot_inbox_id=99)
    bot.inboxes.add(other)
    assert "greeting" not in found(bot, greets=True)


def test_there_may_be_nothing_to_greet_with() -> None:
    bot = make_bot(greets="widget")

    assert states(bot)["opening"] == "warning"


@pytest.mark.parametrize(
    ("greets", "admin_token", "state"),
    [
        ("widget", "", "warning"),
        ("widget", "the-admin-token", None),
        ("conversation", "", None),
    ],
)
def test_a_greeting_in_the_widget_needs_an_administrators_token(
    greets: str, admin_token: str, state: str | None
) -> None:
    bot = make_bot(make_account(admin_token=admin_token), greets=greets)

    assert states(bot).get("greeting_token") == state


def test_business_hours_cannot_be_read_without_an_administrators_token() -> None:
    bot = make_bot(make_account(admin_token=""), outside_hours="say")

    line = found(bot)["business_hours"]

    assert line.state.value == "warning"
    assert "need an administrator's token" in line.found


def test_business_hours_are_those_of_the_inbox() -> None:
    bot = make_bot(outside_hours="silent")
    inbox = Inbox.objects.create(
        account=bot.account, chatwoot_inbox_id=11, name="Website"
    )

    assert found(bot)["business_hours"].found == (
        "Inboxes without business hours: Website."
    )
    inbox.working_hours_enabled = True
    inbox.save()
    assert states(bot)["business_hours"] == "ok"


def test_a_provider_must_be_registered_and_have_its_server(settings: Settings) -> None:
    settings.REPLY_PROVIDERS = {}
    bot = make_bot(provider="rag", dify_app=None)

    assert "does not name “rag”" in found(bot)["bot_provider"].found
    Bot.objects.update(provider="openai")
    assert found(bot)["bot_provider"].state.value == "failed"
    server = OpenAIServer.objects.create(name="O", base_url="http://o", chat_model="m")
    Bot.objects.update(openai_server=server)
    assert states(bot) == {"bot_provider": "ok"}


def test_says_that_not_everybody_is_answered() -> None:
    bot = make_bot(shadow=True, test_only=True, test_rules="label:team")

    lines = found(bot)

    assert lines["bot_trial"].found == "A trial run: it writes notes only."
    assert (
        lines["bot_testers"].found == "Test only: it answers the testers, by 1 rules."
    )


def test_says_who_reads_voice_messages() -> None:
    heard = app(parameters=form(speech_to_text={"enabled": True}))
    server = OpenAIServer.objects.create(name="O", base_url="http://o")
    bot = make_bot(dify_app=heard)

    assert found(bot)["voice"].found == "Turned into text by the Dify app."
    Bot.objects.update(dify_app=make_app())
    assert "Not read" in found(bot)["voice"].found
    Bot.objects.update(transcriber=server)
    assert found(bot)["voice"].state.value == "warning"
    OpenAIServer.objects.update(transcription_model="whisper-1")
    assert found(bot)["voice"].found == "Turned into text by “O”."


def test_the_version_is_learnt_by_looking(sandbox: SandboxChatwoot) -> None:
    sandbox.set(dify_version="0.15")
    made = app(base_url=f"{sandbox.base_url}/v1", api_key="app-sandbox-chat")

    assert look(made.connection()).version == "0.15.3"
