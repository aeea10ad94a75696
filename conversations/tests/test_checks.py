"""The checks say when callbacks are open to anybody, or set to nonsense."""

from __future__ import annotations

from io import StringIO

import pytest
from django.core.management import call_command
from django.core.management.base import SystemCheckError
from pytest_django import Settings

from conversations.checks import callers_are_known


def test_with_tokens_there_is_nothing_to_say(settings: Settings) -> None:
    settings.CALLBACK_AUTH = "token"

    assert callers_are_known(None) == []


def test_without_tokens_the_start_warns_and_goes_on(settings: Settings) -> None:
    settings.CALLBACK_AUTH = "none"
    shown = StringIO()

    call_command("check", stderr=shown)

    text = shown.getvalue()
    assert "(conversations.W001) Callbacks need no token (CALLBACK_AUTH=none)" in text
    assert "set CALLBACK_AUTH=token" in text


@pytest.mark.parametrize("value", ["", "None", "off", "tokens"])
def test_a_value_that_means_nothing_is_refused(
    settings: Settings, *, value: str
) -> None:
    settings.CALLBACK_AUTH = value

    with pytest.raises(SystemCheckError, match=r"conversations\.E003"):
        call_command("check")
