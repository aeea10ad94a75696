"""What a log line, a traceback or a failed assertion prints holds no secret."""

from __future__ import annotations

import pickle
import traceback
from collections.abc import Iterator

import pytest
import responses
from django.forms import ModelForm

from bridge_project.lib.errors import UpstreamError
from bridge_project.lib.secret_fields import SecretInputData
from chatwoot_api.admin.account import ChatwootAccountForm
from chatwoot_api.client import ChatwootClient
from chatwoot_api.models import ChatwootAccount
from chatwoot_api.webhooks import Proof
from conversations.tests.factories import CHATWOOT, DIFY, make_account, make_app
from dify_api.admin import DifyAppForm
from dify_api.client import DifyClient
from dify_api.models import DifyApp

pytestmark = pytest.mark.django_db

BOT, ADMIN, HOOK, TOKEN = "b0t-token", "adm1n-token", "h00k-secret", "url-t0ken"
KEY = "k3y-of-the-app"
ALL = (BOT, ADMIN, HOOK, TOKEN, KEY)


@pytest.fixture
def account() -> ChatwootAccount:
    return make_account(
        bot_token=BOT, admin_token=ADMIN, webhook_secret=HOOK, webhook_token=TOKEN
    )


@pytest.fixture
def app() -> DifyApp:
    return make_app(api_key=KEY)


def leaked(*things: object) -> list[str]:
    texts = [f"{thing!r} {thing!s}" for thing in things]
    return [secret for secret in ALL for text in texts if secret in text]


def test_rows_clients_and_connections_print_no_secret(
    account: ChatwootAccount, app: DifyApp
) -> None:
    chatwoot, dify = ChatwootClient(account), DifyClient(app.connection())

    assert leaked(account, app, app.connection(), chatwoot, dify) == []
    assert leaked(ChatwootAccount.objects.all(), DifyApp.objects.all()) == []


def test_what_a_request_or_a_form_brought_is_not_printed(
    account: ChatwootAccount, app: DifyApp
) -> None:
    proof = Proof(signature="sha256=1", timestamp="1", token=TOKEN)
    forms: list[ModelForm[ChatwootAccount] | ModelForm[DifyApp]] = [
        ChatwootAccountForm(instance=account),
        DifyAppForm(instance=app),
    ]

    assert leaked(proof, SecretInputData(typed=KEY)) == []
    # str() of a form is its HTML.
    assert leaked(*forms) == []


def failures(account: ChatwootAccount, app: DifyApp) -> Iterator[UpstreamError]:
    """Errors of services that quote our tokens back in each way that they can."""
    tokens, key = f"Bad token {BOT} or {ADMIN}", f"Bad key {KEY}"
    for status in (302, 400, 401, 404, 429, 500, 502):
        with responses.RequestsMock() as wire:
            wire.get(
                f"{CHATWOOT}/api/v1/accounts/2/conversations/1",
                body=tokens,
                status=status,
            )
            wire.get(f"{DIFY}/v1/info", body=key, status=status)
            with pytest.raises(UpstreamError) as chatwoot:
                ChatwootClient(account).show_conversation(1)
            with pytest.raises(UpstreamError) as dify:
                DifyClient(app.connection()).info()
        yield chatwoot.value
        yield dify.value


def test_errors_hold_no_secret_even_if_a_service_quotes_it(
    account: ChatwootAccount, app: DifyApp
) -> None:
    seen = 0
    for error in failures(account, app):
        seen += 1
        assert leaked(error, error.message, error.excerpt, vars(error)) == []
        assert leaked("".join(traceback.format_exception(error))) == []
        assert leaked(pickle.dumps(vars(error))) == []
    assert seen == 14
