"""Each role at each address of the admin: what opens, what is refused, what is shown.

An address that is not in the table fails the tests: whoever adds one says who may.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

import pytest
import responses
from django.contrib import admin
from django.contrib.auth.models import Group, User
from django.db.models import Model
from django.http import HttpRequest
from django.test import Client
from django.urls import resolve, reverse

from access.roles import ADMINISTRATOR, AUDITOR, OPERATOR
from bridge_project.lib.types import JsonObject
from chatwoot_api.models import ChatwootAccount
from conversations.models import AlertChannel, Bot, OpenAIServer, Retention
from conversations.tests.admin_addresses import (
    Address,
    addresses,
    everything,
    make_rows,
)
from conversations.tests.conftest import Queue
from dify_api.models import DifyApp

# Some 170 addresses each.
pytestmark = [pytest.mark.django_db, pytest.mark.timeout(240)]

# Somebody who may enter the admin, and nothing more.
GUEST = "guest"
WHO = (ADMINISTRATOR, OPERATOR, AUDITOR, GUEST)

# What each of them gets when the address is opened.
ALL = (200, 200, 200, 200)
SEE = (200, 200, 200, 403)
ACT = (200, 200, 403, 403)
SET = (200, 403, 403, 403)
PEOPLE = (200, 403, 200, 403)
NONE = (403, 403, 403, 403)
# It is there for a button.
POST = (405, 405, 405, 405)

SETTINGS: set[type[Model]] = {
    AlertChannel,
    Bot,
    ChatwootAccount,
    DifyApp,
    Group,
    OpenAIServer,
    Retention,
    User,
}
OPENED = {
    "index": ALL,
    "search": ALL,
    "jsi18n": ALL,
    "login": (302, 302, 302, 302),
    "password_change": ALL,
    "password_change_done": ALL,
    "app_list": (200, 200, 200, 404),
    # It wants to know of what, and nothing has a page outside.
    "autocomplete": NONE,
    "view_on_site": (404, 404, 404, 404),
    # Entries of what they may not see are none for them: it leads to the home page.
    "auditlog_logentry_history": (200, 200, 200, 302),
    "auth_user_password_change": SET,
    "conversations_alertchannel_test": POST,
    "conversations_bot_duplicate": POST,
    "conversations_bot_end_token": SET,
    "conversations_bot_inputs": POST,
    "conversations_bot_make_token": SET,
    "conversations_bot_preview": POST,
    "conversations_conversation_answer": ACT,
    "conversations_conversation_do pause_bot": POST,
    "conversations_conversation_do resume_bot": POST,
    "conversations_conversation_do hand_over": POST,
    "conversations_conversation_do new_dify_conversation": POST,
    "conversations_conversation_do delete_in_dify": POST,
    "conversations_conversation_do erase_contact": POST,
    "conversations_job_progress": SEE,
    "conversations_job_stop": POST,
    "conversations_webhookevent_foresee": SEE,
    "conversations_webhookevent_replay": POST,
    "chatwoot_api_chatwootaccount_read": POST,
    "dify_api_difyapp_read": POST,
    "conversations_openaiserver_ask": POST,
    "bridge:setup": SET,
    "bridge:doctor": SEE,
    "bridge:doctor-lines": SEE,
    "bridge:doctor-mend": (405, 405, 405, 403),
    "bridge:celery": SEE,
    "bridge:celery-state": SEE,
    "bridge:celery-answers": SEE,
    "bridge:wishes": SEE,
    "bridge:wishes-pull": (405, 403, 403, 403),
    "bridge:wishes-push": SET,
    "bridge:wishes-import": SET,
    "bridge:wishes-export": SEE,
    "bridge:wishes-adopt": SET,
    "bridge:wish-add": SET,
    "bridge:wish-edit": SET,
    "bridge:wish-forget": SET,
    "bridge:playground": SEE,
    "bridge:seen": POST,
    "bridge:configuration": SEE,
}
# What may be pressed on all pages together.
OF_EVERYBODY = {"logout", "set_language", "password_change"}
BUTTONS: dict[str, set[str]] = {
    OPERATOR: {
        "action",
        "conversations_conversation_answer",
        "conversations_conversation_do hand_over",
        "conversations_conversation_do new_dify_conversation",
        "conversations_conversation_do pause_bot",
        "conversations_job_stop",
        "conversations_webhookevent_replay",
        "bridge:configuration",
        "bridge:playground",
    },
    # It exports the settings, without secrets.
    AUDITOR: {"bridge:configuration"},
    GUEST: set(),
}
ACTIONS = {OPERATOR: {"pause_bot", "resume_bot", "replay_events"}, AUDITOR: set()}
# What answers all the same when something is sent to it: pages that only show, one's
# own password, and two that lead back to a page with a sentence.
HARMLESS = {
    "index",
    "search",
    "login",
    "password_change",
    "chatwoot_api_chatwootaccount_read",
    "dify_api_difyapp_read",
    "conversations_openaiserver_ask",
}
MAY_LOOK = {AUDITOR: {"app_list", "conversations_bot_preview"}, GUEST: set()}


def opened(address: Address) -> tuple[int, ...]:
    """Return what the four get there."""
    model, view = address.model, address.view
    if model is None or address.name in OPENED:
        return OPENED[address.name]
    if view == "add":
        return SET if model in SETTINGS else NONE
    if view == "delete":
        # An account that has a history stays.
        return SET if model in SETTINGS - {ChatwootAccount} else NONE
    return PEOPLE if model in (User, Group) else SEE


@pytest.fixture
def _rows(
    payload: Callable[[str], JsonObject], wire: responses.RequestsMock, queue: Queue
) -> None:
    """Rows for each page, and platforms that are away."""
    make_rows(payload("message_created_incoming_text_bot_owned"))
    for method in ("GET", "POST", "PATCH", "PUT", "DELETE"):
        wire.add(method, re.compile(".*"), status=503)


def member(who: str) -> User:
    user = User.objects.create(username=who.lower(), is_staff=True)
    if who != GUEST:
        user.groups.add(Group.objects.get(name=who))
    return user


def logged_in(who: str) -> Client:
    client = Client()
    backend = "django.contrib.auth.backends.ModelBackend"
    client.force_login(member(who), backend=backend)
    return client


def asked() -> list[Address]:
    return [one for one in addresses() if one.name != "logout"]


@pytest.mark.usefixtures("_rows")
@pytest.mark.parametrize("who", WHO)
def test_each_role_opens_what_is_its_own_and_is_offered_no_more(who: str) -> None:
    client, number = logged_in(who), WHO.index(who)
    every = asked()
    expected = {one.name: opened(one)[number] for one in every}
    found: dict[str, int] = {}
    dead_links: list[str] = []
    buttons: set[str] = set()
    for one in every:
        response = client.get(one.url)
        found[one.name] = response.status_code
        if response.status_code == 200:
            text = response.content.decode()
            dead_links += [
                f"{one.name}: {path}"
                for path in links(text)
                if expected.get(named(path)) in (403, 404)
            ]
            buttons |= {named(path or one.url) for path in forms(text)}

    assert found == expected
    assert dead_links == []
    if who != ADMINISTRATOR:
        assert buttons - OF_EVERYBODY == BUTTONS[who]


def links(text: str) -> set[str]:
    """Return where the page leads inside the admin."""
    hrefs = re.findall(r'href="(/admin/[^"#]*)', text)
    return {urlsplit(href).path for href in hrefs}


def forms(text: str) -> Iterator[str]:
    """Yield where the page's forms go; "" is the page itself.

    Lists and pages of rows always stand in a form of Unfold's: what counts of these is
    the choice of actions, and the button that saves.
    """
    for tag in re.findall(r"<form\b[^>]*>", text):
        if 'method="post"' not in tag:
            continue
        if 'id="changelist-form"' in tag:
            yield from re.findall(r'<select name="(action)"', text)
        elif "x-bind:action" in tag:
            yield from re.findall(r'name="(_save)"', text)
        else:
            action = re.search(r'[^-:]action="([^"]*)"', tag)
            yield action[1] if action else ""


def named(path: str) -> str:
    """Return an address's name as in the table; what is none, as it is."""
    if not path.startswith("/"):
        return path
    match = resolve(path)
    name = match.url_name or ""
    if "operation" in match.kwargs:
        return f"{name} {match.kwargs['operation']}"
    return f"bridge:{name}" if match.namespace == "bridge" else name


@pytest.mark.usefixtures("_rows")
def test_who_is_not_logged_in_is_sent_to_the_login() -> None:
    client, login = Client(), reverse("admin:login")
    every = [one for one in asked() if one.name != "login"]

    sent_on = {
        (method, one.name)
        for one in every
        for method in ("get", "post")
        if getattr(client, method)(one.url).headers.get("Location", "").split("?")[0]
        == login
    }

    assert sent_on == {(way, one.name) for one in every for way in ("get", "post")}


@pytest.mark.usefixtures("_rows")
@pytest.mark.parametrize("who", [AUDITOR, GUEST])
def test_who_may_not_act_changes_nothing_anywhere(
    who: str, wire: responses.RequestsMock, queue: Queue
) -> None:
    client, every = logged_in(who), asked()
    before = everything()
    data = {"post": "yes", "confirmed": "yes", "force": "yes", "name": "Mine"}

    taken = {
        one.name
        for one in every
        # Lists are sent their actions, in the next test.
        if one.view not in ("changelist", "history")
        and client.post(one.url, data).status_code not in (403, 404, 405)
    }

    assert taken == HARMLESS | MAY_LOOK[who]
    assert everything() == before
    assert queue.tasks() == []
    assert len(wire.calls) == 0


@pytest.mark.usefixtures("_rows")
@pytest.mark.parametrize("who", [OPERATOR, AUDITOR])
def test_an_action_is_for_those_who_are_offered_it(
    who: str, wire: responses.RequestsMock, queue: Queue
) -> None:
    client, boss = logged_in(who), User.objects.create_superuser("boss")
    before = everything()
    offered: set[str] = set()
    for one in asked():
        if one.view != "changelist" or one.model is None:
            continue
        text = client.get(one.url).content.decode() if allowed(one, who) else ""
        keys = [
            str(pk) for pk in one.model._default_manager.values_list("pk", flat=True)
        ]
        for action in actions(one.model, boss):
            if f'<option value="{action}"' in text:
                offered.add(action)
            else:
                data = {"action": action, "_selected_action": keys, "confirmed": "yes"}
                client.post(one.url, data)

    assert offered == ACTIONS[who]
    assert everything() == before
    assert queue.tasks() == []
    assert len(wire.calls) == 0


def allowed(address: Address, who: str) -> bool:
    return opened(address)[WHO.index(who)] == 200


def actions(model: type[Model], user: User) -> list[str]:
    request = HttpRequest()
    request.user = user
    return list(admin.site._registry[model].get_actions(request))
