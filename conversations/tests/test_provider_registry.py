"""What REPLY_PROVIDERS may name, and how mistakes are told."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.checks import run_checks
from django.test import Client
from django.urls import reverse

from conversations import trials
from conversations.models import OpenAIServer
from conversations.providers import choices, problems, why_not_askable
from conversations.tests.factories import make_bot
from dify_api.models import DifyApp

FUNCTIONS = "conversations.tests.reply_functions"


def complaints(settings: Any, **entries: str) -> list[str]:
    settings.REPLY_PROVIDERS = entries
    return [str(one.msg) for one in run_checks() if str(one.id) == "conversations.E004"]


def test_good_entries_pass_the_check(settings: Any) -> None:
    entries = {"a": f"{FUNCTIONS}.plain", "b": f"{FUNCTIONS}.index"}
    assert complaints(settings, **entries) == []
    assert choices()[2:] == [
        ("a", f"a ({FUNCTIONS}.plain)"),
        ("b", f"b ({FUNCTIONS}.index)"),
    ]


@pytest.mark.parametrize(
    ("path", "said"),
    [
        (f"{FUNCTIONS}.nothing_there", "cannot be imported (ImportError"),
        ("no_such_package.reply", "cannot be imported (ModuleNotFoundError"),
        ("reply", "cannot be imported (ImportError"),
        (f"{FUNCTIONS}.Index", "is no function"),
        (f"{FUNCTIONS}.asked", "is no function"),
        (f"{FUNCTIONS}.asynchronous", "is asynchronous"),
        (f"{FUNCTIONS}.without_argument", "takes no argument"),
    ],
)
def test_a_bad_path_is_told(settings: Any, path: str, said: str) -> None:
    (complaint,) = complaints(settings, rag=path)
    assert complaint.startswith("REPLY_PROVIDERS, “rag”: ")
    assert said in complaint


@pytest.mark.parametrize("name", ["dify", "openai", "x" * 51])
def test_a_bad_name_is_told(settings: Any, name: str) -> None:
    assert len(complaints(settings, **{name: f"{FUNCTIONS}.plain"})) == 1


def test_problems_are_none_without_entries(settings: Any) -> None:
    settings.REPLY_PROVIDERS = {}
    assert list(problems()) == []


@pytest.mark.django_db
def test_a_bots_provider_is_asked_or_it_is_said_why_not(settings: Any) -> None:
    settings.REPLY_PROVIDERS = {"rag": f"{FUNCTIONS}.plain"}
    server = OpenAIServer.objects.create(name="Own", base_url="https://llm.test/v1")
    bot = make_bot(provider="rag")
    assert why_not_askable(bot) == ""
    bot.provider = "another"
    assert why_not_askable(bot).startswith("REPLY_PROVIDERS does not name “another”")
    bot.provider = "openai"
    assert why_not_askable(bot).startswith("No OpenAI-compatible server is chosen")
    bot.openai_server = server
    assert why_not_askable(bot).startswith("The OpenAI-compatible server names no")
    server.chat_model = "llama3.2"
    assert why_not_askable(bot) == ""
    bot.provider = "dify"
    assert why_not_askable(bot) == ""


@pytest.mark.django_db
def test_the_playground_says_whom_it_tries(admin_client: Client) -> None:
    bot = make_bot(provider="rag")
    assert DifyApp.objects.count() == 1

    with pytest.raises(trials.CannotAsk, match="only tries Dify apps"):
        trials.ask(bot, "Hello?", actor="anna")
    page = admin_client.get(reverse("bridge:playground", args=[bot.pk]))
    text = page.content.decode()
    assert "The playground only tries Dify apps" in text
    assert 'name="question"' not in text
