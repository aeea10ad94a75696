"""From the environment of the old bridge to rows, and never over an operator."""

from __future__ import annotations

import pytest
from django.core.management import CommandError, call_command

from bridge_project.lib.errors import ConfigurationError
from chatwoot_api.models import ChatwootAccount
from conversations.bootstrap import bootstrap
from conversations.models import Bot
from conversations.tests.factories import make_account
from dify_api.models import DifyApp

pytestmark = pytest.mark.django_db

ENV = {
    "CHATWOOT_API_URL": "https://chat.example.com/api/v1/",
    "CHATWOOT_ACCOUNT_ID": "3",
    "CHATWOOT_API_KEY": "bot-token",
    "CHATWOOT_ADMIN_API_KEY": "admin-token",
    "CHATWOOT_WEBHOOK_SECRET": "secret",
    "DIFY_API_URL": "https://dify.example.com/v1",
    "DIFY_API_KEY": "app-key",
}


def test_makes_account_app_and_bot() -> None:
    report = bootstrap(ENV)

    account, app = ChatwootAccount.objects.get(), DifyApp.objects.get()
    assert account.server_url() == "https://chat.example.com"
    assert (account.account_id, account.bot_token, account.admin_token) == (
        3,
        "bot-token",
        "admin-token",
    )
    assert (account.webhook_secret, account.webhook_token) == ("secret", "")
    assert (app.base_url, app.api_key) == ("https://dify.example.com/v1", "app-key")
    bot = Bot.objects.get()
    assert (bot.account, bot.dify_app, bot.enabled) == (account, app, True)
    assert report.lines == [
        "Chatwoot account: made.",
        "Dify app: made.",
        "Bot: made, for all inboxes of the account.",
    ]


def test_repeats_harmlessly() -> None:
    bootstrap(ENV)

    report = bootstrap(ENV)

    assert report.lines == ["Nothing to do: no change in the environment."]
    assert [m.objects.count() for m in (ChatwootAccount, DifyApp, Bot)] == [1, 1, 1]


def test_follows_the_environment() -> None:
    bootstrap({**ENV, "CHATWOOT_API_KEY": "mistyped"})
    ChatwootAccount.objects.all().mark_refused("401")

    report = bootstrap(ENV)

    account = ChatwootAccount.objects.get()
    assert (account.bot_token, account.health) == ("bot-token", "unknown")
    assert report.lines == ["Chatwoot account: changed bot_token."]


def test_never_overwrites_what_an_operator_changed() -> None:
    bootstrap(ENV)
    account = ChatwootAccount.objects.get()
    account.bot_token, account.base_url = "from-the-admin", "https://moved.example.com"
    account.save()

    bootstrap({**ENV, "CHATWOOT_API_KEY": "from-the-environment"})

    account.refresh_from_db()
    assert account.bot_token == "from-the-admin"
    assert account.base_url == "https://moved.example.com"


def test_does_not_bring_back_a_bot_that_was_deleted() -> None:
    bootstrap(ENV)
    Bot.objects.all().delete()

    bootstrap(ENV)

    assert not Bot.objects.exists()


def test_leaves_accounts_alone_that_were_made_in_the_admin() -> None:
    made = make_account()

    bootstrap(ENV)

    assert ChatwootAccount.objects.get() == made


def test_takes_the_other_names_of_the_same_settings() -> None:
    bootstrap(
        {
            "CHATWOOT_BASE_URL": "https://chat.example.com",
            "CHATWOOT_ACCOUNT_ID": "3",
            "CHATWOOT_API_ACCESS_TOKEN": "bot-token",
        }
    )

    assert ChatwootAccount.objects.get().bot_token == "bot-token"
    assert not DifyApp.objects.exists()


def test_makes_a_token_when_webhooks_would_be_refused() -> None:
    report = bootstrap({**ENV, "CHATWOOT_WEBHOOK_SECRET": ""})

    token = ChatwootAccount.objects.get().webhook_token
    assert len(token) >= 32
    assert f"/api/v1/chatwoot-webhook?token={token}" in report.lines[0]
    again = bootstrap({**ENV, "CHATWOOT_WEBHOOK_SECRET": ""})
    assert ChatwootAccount.objects.get().webhook_token == token
    assert token not in "".join(again.lines)


@pytest.mark.parametrize(
    ("missing", "named"),
    [
        ("CHATWOOT_ACCOUNT_ID", "CHATWOOT_ACCOUNT_ID"),
        ("DIFY_API_KEY", "DIFY_API_KEY"),
        ("DIFY_API_URL", "DIFY_API_URL"),
    ],
)
def test_refuses_half_a_setting(missing: str, named: str) -> None:
    with pytest.raises(ConfigurationError, match=named):
        bootstrap({**ENV, missing: ""})

    assert not ChatwootAccount.objects.exists()
    assert not DifyApp.objects.exists()


def test_without_a_token_the_account_only_listens() -> None:
    report = bootstrap({**ENV, "CHATWOOT_API_KEY": "", "CHATWOOT_ADMIN_API_KEY": ""})

    assert not ChatwootAccount.objects.get().has_token
    assert Bot.objects.count() == 1
    assert report.lines[0] == (
        "CHATWOOT_API_KEY is not set: webhooks are accepted, but nothing is posted in "
        "Chatwoot until a token is set here or entered at the account."
    )
    # A token that is set later is followed.
    bootstrap({**ENV, "CHATWOOT_ADMIN_API_KEY": ""})
    assert ChatwootAccount.objects.get().bot_token == "bot-token"


def test_the_attribute_of_a_form_makes_a_bot_by_choice() -> None:
    report = bootstrap({**ENV, "CHATWOOT_SUPPORT_MODE_ATTR": " preferred_channel "})

    bot = Bot.objects.get()
    assert (bot.reply_as, bot.support_mode_attribute) == (
        "by_support_mode",
        "preferred_channel",
    )
    assert bot.speak_in_statuses == ["pending", "open"]
    assert report.lines[-1] == (
        "It answers as the customer chose: by the attribute “preferred_channel”, in "
        "pending and open conversations."
    )


def test_without_the_attribute_the_bot_answers_in_pending_alone() -> None:
    bootstrap(ENV)

    bot = Bot.objects.get()
    assert (bot.reply_as, bot.speak_in_statuses) == ("message", ["pending"])


def test_the_command_reports(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in ENV.items():
        monkeypatch.setenv(name, value)

    call_command("bootstrap")

    assert "Bot: made" in capsys.readouterr().out


def test_the_command_fails_with_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {**ENV, "CHATWOOT_ACCOUNT_ID": "three"}.items():
        monkeypatch.setenv(name, value)

    with pytest.raises(CommandError, match="a number"):
        call_command("bootstrap")
