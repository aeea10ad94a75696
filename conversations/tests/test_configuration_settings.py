"""A bot's further settings travel as well: by names, in plain numbers, checked."""

from __future__ import annotations

from decimal import Decimal

import pytest

from bridge_project.lib import history
from conversations.configuration.document import BadConfiguration, read
from conversations.configuration.export import export
from conversations.configuration.importing import plan
from conversations.models import Bot, OpenAIServer
from conversations.tests.factories import make_account, make_app, make_bot
from conversations.tests.test_configuration_files import bring, clear, notes
from dify_api.models import DifyApp

pytestmark = pytest.mark.django_db


def make_server(**overrides: str) -> OpenAIServer:
    values = {
        "name": "Ollama",
        "base_url": "https://me:pw@ollama.test/v1",
        "api_key": "sk-the-openai-key",
        "chat_model": "llama3",
    }
    return OpenAIServer.objects.create(**{**values, **overrides})


@pytest.fixture
def bot() -> Bot:
    server = make_server()
    account = make_account(key="main")
    make_bot(
        account,
        name="Writer",
        provider="openai",
        openai_server=server,
        dify_app=None,
    )
    return make_bot(
        account,
        dify_app=make_app(name="Support"),
        command_app=make_app(name="Helper"),
        transcriber=server,
        reply_as="by_support_mode",
        conversation_variables={"tier": "contact.custom_attributes.tier"},
        max_cost_per_day=Decimal("2.5"),
        allow_rules="label:vip\nemail:*@example.com",
        reset_words="",
    )


@pytest.mark.usefixtures("bot")
def test_all_of_it_comes_back_as_it_was() -> None:
    before = export()
    clear()
    OpenAIServer.objects.all().delete()
    done = bring(before)
    # Dify's key is entered by hand; a server may want none.
    assert [(str(s.row), s.text) for s in done.secrets][-3:] == [
        ("Helper", "the API key"),
        ("Support", "the API key"),
        ("Ollama", "the API key, if the server wants one"),
    ]
    Bot.objects.update(enabled=True)

    assert export() == before
    found = Bot.objects.get(name="Nordbot")
    assert str(found.command_app) == "Helper"
    assert str(found.transcriber) == "Ollama"
    assert found.max_cost_per_day == Decimal("2.5")
    assert found.allow_rules == "label:vip\nemail:*@example.com"
    assert plan(read(before)).changes == []


@pytest.mark.usefixtures("bot")
def test_keys_and_logins_of_servers_stay_here() -> None:
    text = export()

    assert "base_url: https://ollama.test/v1" in text
    assert "max_cost_per_day: '2.5'" in text
    for secret in ("sk-the-openai-key", "me:pw"):
        assert secret not in text


def test_a_file_of_one_account_has_the_apps_and_servers_that_it_needs(bot: Bot) -> None:
    make_server(name="Elsewhere")
    other = make_account(key="lab", account_id=9)
    make_bot(other, name="Labbot", dify_app=make_app(name="Other app"))

    mine = read(export(account=bot.account))

    labels = [item.label for item in mine.items]
    assert labels == [
        "main",
        "Helper",
        "Support",
        "Ollama",
        "main · Nordbot",
        "main · Writer",
    ]


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ("ignore_rules: ''", "ignore_rules: planet:mars", "a rule begins with"),
        ("tier: contact.custom_attributes.tier", "tier: x.y", "“x.y”, the source of"),
        ("transcriber: Ollama", "transcriber: Gone", "no OpenAI-compatible server"),
        ("command_app: Helper", "command_app: Gone", "no Dify app called “Gone”"),
        ("forms_go_to: hand_over", "forms_go_to: nobody", "“forms_go_to”"),
        ("max_cost_per_day: '2.5'", "max_cost_per_day: -1", "“max_cost_per_day”"),
    ],
)
@pytest.mark.usefixtures("bot")
def test_what_cannot_be_is_refused(before: str, after: str, words: str) -> None:
    text = export()
    assert before in text

    with pytest.raises(BadConfiguration, match=words):
        plan(read(text.replace(before, after, 1)))


@pytest.mark.usefixtures("bot")
def test_numbers_may_stand_without_quotation_marks() -> None:
    text = export().replace("max_cost_per_day: '2.5'", "max_cost_per_day: 0.1")

    bring(text)

    assert Bot.objects.get(name="Nordbot").max_cost_per_day == Decimal("0.1")


@pytest.mark.usefixtures("bot")
def test_a_bot_is_left_off_while_nobody_could_answer_for_it() -> None:
    text = export()
    Bot.objects.update(enabled=False)
    OpenAIServer.objects.update(chat_model="")
    broken = text.replace("chat_model: llama3", "chat_model: ''")

    found = plan(read(broken))

    assert sum("Left switched off" in note for note in notes(found)) == 1
    assert sum("Left switched off" in note for note in notes(plan(read(text)))) == 0


def test_the_history_names_what_was_chosen(bot: Bot) -> None:
    bot.transcriber = make_server(name="Whisper")
    bot.command_app = DifyApp.objects.get(name="Support")
    bot.shadow = True
    bot.save()

    newest = history.newest_of(bot)[0]

    told = {field.label: (field.before, field.after) for field in newest.fields}
    assert told == {
        "Trial run: notes only": ("no", "yes"),
        "Dify app for such notes": ("Helper", "Support"),
        "Server for voice messages": ("Ollama", "Whisper"),
    }


def test_a_key_is_no_part_of_the_history() -> None:
    server = make_server()
    server.api_key = "sk-another-key"
    server.save()

    newest = history.newest_of(server)[0]

    assert [(field.label, field.after) for field in newest.fields] == [
        ("API key", "set anew")
    ]
