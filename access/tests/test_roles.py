from __future__ import annotations

from typing import Any

import pytest
from django.apps import apps
from django.contrib.auth.models import Group, Permission, User
from django.core.management import call_command
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.test import Client
from django.urls import reverse

from access.models import Grant
from access.roles import ADMINISTRATOR, AUDITOR, BRIDGE, OPERATOR, ROLES, grant

pytestmark = pytest.mark.django_db

SETTINGS = (
    "conversations.bot",
    "chatwoot_api.chatwootaccount",
    "dify_api.difyapp",
    "conversations.openaiserver",
)
ACTED_ON = (
    "conversations.job",
    "conversations.conversation",
    "conversations.turn",
    "conversations.webhookevent",
)
HISTORY = (
    "chatwoot_api.agent",
    "chatwoot_api.attributedefinition",
    "chatwoot_api.inbox",
    "chatwoot_api.label",
    "chatwoot_api.team",
    "conversations.callback",
    "conversations.callbacktoken",
    "conversations.difyconversation",
    "conversations.outgoingmessage",
    "conversations.pipelinerun",
    "conversations.upstreamcall",
    "django_celery_results.taskresult",
)
PEOPLE = ("auth.user", "auth.group")
ALL = ("view", "add", "change", "delete")
TOKEN = "the-bot-token-of-this-test"


def member(role: str) -> User:
    user = User.objects.create(username=role.lower(), is_staff=True)
    user.groups.add(Group.objects.get(name=role))
    return user


def logged_in(role: str) -> Client:
    client = Client()
    client.force_login(
        member(role), backend="django.contrib.auth.backends.ModelBackend"
    )
    return client


def account(**values: Any) -> Any:
    given = {
        "name": "Shop",
        "key": "shop",
        "base_url": "https://chat.example.com",
        "account_id": 1,
        "bot_token": TOKEN,
        "webhook_secret": "a-secret-of-this-test",
    }
    return apps.get_model("chatwoot_api.ChatwootAccount")._default_manager.create(
        **(given | values)
    )


def page(model: str, name: str, *args: object) -> str:
    return reverse(f"admin:{model.replace('.', '_')}_{name}", args=args)


def rights(user: User, model: str) -> tuple[str, ...]:
    app_label, name = model.split(".")
    return tuple(
        action for action in ALL if user.has_perm(f"{app_label}.{action}_{name}")
    )


@pytest.mark.parametrize(
    ("role", "setup", "acted_on", "history", "people"),
    [
        (ADMINISTRATOR, ALL, ALL, ALL, ALL),
        (OPERATOR, ("view",), ("view", "change"), ("view",), ()),
        (AUDITOR, ("view",), ("view",), ("view",), ("view",)),
    ],
)
def test_each_role_may_do_what_its_name_says(
    role: str,
    setup: tuple[str, ...],
    acted_on: tuple[str, ...],
    history: tuple[str, ...],
    people: tuple[str, ...],
) -> None:
    user = member(role)

    assert {m: rights(user, m) for m in (*SETTINGS, *ACTED_ON, *HISTORY, *PEOPLE)} == {
        **dict.fromkeys(SETTINGS, setup),
        **dict.fromkeys(ACTED_ON, acted_on),
        **dict.fromkeys(HISTORY, history),
        **dict.fromkeys(PEOPLE, people),
    }


def test_no_role_gets_at_sessions_logins_or_the_grants_themselves() -> None:
    foreign = Permission.objects.filter(group__name__in=ROLES).exclude(
        content_type__app_label__in=(*BRIDGE, "auth")
    )

    assert not foreign.exists()
    assert not Permission.objects.filter(content_type__app_label="access").exists()


def test_every_model_of_the_bridge_can_be_looked_at_by_all_roles() -> None:
    models = [m for label in BRIDGE for m in apps.get_app_config(label).get_models()]

    assert len(models) >= 12
    for role in ROLES:
        user = member(role)
        blind = [m for m in models if "view" not in rights(user, m._meta.label_lower)]
        assert blind == [], role


def test_only_administrators_change_what_is_not_listed_as_acted_on() -> None:
    models = [m for label in BRIDGE for m in apps.get_app_config(label).get_models()]
    operator = member(OPERATOR)

    changed = {
        m._meta.label_lower
        for m in models
        if rights(operator, m._meta.label_lower) != ("view",)
    }

    assert changed == set(ACTED_ON)


def test_migrate_repeats_without_a_change_and_keeps_what_was_done_by_hand() -> None:
    operators = Group.objects.get(name=OPERATOR)
    added = Permission.objects.get(codename="change_bot")
    taken = Permission.objects.get(codename="change_turn")
    operators.permissions.add(added)
    operators.permissions.remove(taken)
    before = set(operators.permissions.all())
    grants = Grant.objects.count()

    call_command("migrate", verbosity=0)

    assert set(operators.permissions.all()) == before
    assert Grant.objects.count() == grants


def test_a_model_that_appears_later_is_granted_once() -> None:
    label = "conversations.view_turn"
    permission = Permission.objects.get(codename="view_turn")
    Grant.objects.filter(permission=label).delete()
    permission.group_set.clear()

    grant(apps, app_label="conversations", using="default")

    granted = permission.group_set.values_list("name", flat=True)
    assert sorted(granted) == sorted(ROLES)
    assert Grant.objects.filter(permission=label).count() == len(ROLES)


def test_a_role_that_was_deleted_stays_deleted() -> None:
    Group.objects.get(name=AUDITOR).delete()

    call_command("migrate", verbosity=0)

    assert not Group.objects.filter(name=AUDITOR).exists()


@pytest.mark.django_db(transaction=True)
def test_the_migration_goes_back_and_forth() -> None:
    latest = MigrationExecutor(connection).loader.graph.leaf_nodes()
    try:
        call_command("migrate", "access", "zero", verbosity=0)
        assert "access_grant" not in connection.introspection.table_names()
        Group.objects.all().delete()
    finally:
        MigrationExecutor(connection).migrate(latest)

    names = Group.objects.values_list("name", flat=True)
    assert sorted(names) == sorted(ROLES)


@pytest.mark.parametrize("role", [OPERATOR, AUDITOR])
def test_settings_open_without_a_form_to_save_and_without_secrets(role: str) -> None:
    shop = account()
    client = logged_in(role)
    url = page("chatwoot_api.chatwootaccount", "change", shop.pk)

    text = client.get(url).content.decode()

    assert 'name="_save"' not in text
    assert TOKEN not in text
    assert "a-secret-of-this-test" not in text
    assert client.post(url, {"bot_token": "another"}).status_code == 403
    shop.refresh_from_db()
    assert shop.bot_token == TOKEN


@pytest.mark.parametrize("role", [OPERATOR, AUDITOR])
@pytest.mark.parametrize("model", SETTINGS)
def test_settings_cannot_be_added(role: str, *, model: str) -> None:
    client = logged_in(role)

    codes = [client.get(page(model, "add")).status_code]
    codes.append(client.post(page(model, "add"), {"name": "Mine"}).status_code)

    assert codes == [403, 403]


@pytest.mark.parametrize("role", [OPERATOR, AUDITOR])
@pytest.mark.parametrize(
    ("model", "action", "field"),
    [("conversations.bot", "switch_off", "enabled")],
)
def test_an_action_on_settings_does_nothing(
    role: str, *, model: str, action: str, field: str
) -> None:
    bots: Any = apps.get_model(model)._default_manager
    bot = bots.create(name="Helper", account=account())
    client = logged_in(role)

    client.post(
        page(model, "changelist"), {"action": action, "_selected_action": bot.pk}
    )

    bot.refresh_from_db()
    assert getattr(bot, field) is True


@pytest.mark.parametrize(
    ("role", "may"), [(ADMINISTRATOR, True), (OPERATOR, True), (AUDITOR, False)]
)
def test_only_those_who_act_can_pause_the_bot(role: str, *, may: bool) -> None:
    conversations: Any = apps.get_model("conversations.Conversation")._default_manager
    row = conversations.create(account=account(), chatwoot_conversation_id=1)
    url = page("conversations.conversation", "changelist")
    client = logged_in(role)

    offered = 'value="pause_bot"' in client.get(url).content.decode()
    client.post(url, {"action": "pause_bot", "_selected_action": row.pk})

    row.refresh_from_db()
    assert (offered, row.paused) == (may, may)


@pytest.mark.parametrize("role", [OPERATOR, AUDITOR])
def test_only_administrators_can_erase_a_contact(role: str) -> None:
    conversations: Any = apps.get_model("conversations.Conversation")._default_manager
    row = conversations.create(
        account=account(), chatwoot_conversation_id=1, chatwoot_contact_id=7
    )
    url = page("conversations.conversation", "changelist")
    order = {"action": "erase_contact", "_selected_action": row.pk, "confirmed": "yes"}

    logged_in(role).post(url, order)

    erasures = apps.get_model("conversations.Erasure")._default_manager
    assert (conversations.count(), erasures.count()) == (1, 0)


def test_pages_of_people_are_closed_to_operators_and_read_only_for_auditors() -> None:
    boss = User.objects.create_superuser("boss", password="a long enough password")
    operator, auditor = logged_in(OPERATOR), logged_in(AUDITOR)
    url = page("auth.user", "change", boss.pk)

    assert operator.get(page("auth.user", "changelist")).status_code == 403
    assert operator.get(url).status_code == 403
    seen = auditor.get(url)
    assert seen.status_code == 200
    assert boss.password not in seen.content.decode()
    assert auditor.post(url, {"username": "mine"}).status_code == 403
    assert auditor.get(page("auth.group", "add")).status_code == 403


def saved(model: str, pk: object) -> Any:
    return apps.get_model(model)._default_manager.get(pk=pk)


def test_an_administrator_cannot_become_all_powerful() -> None:
    boss = User.objects.create_superuser("boss", password="a long enough password")
    client = logged_in(ADMINISTRATOR)
    myself = User.objects.get(username="administrator")
    own = page("auth.user", "change", myself.pk)

    client.post(
        own,
        {
            "username": "administrator",
            "is_active": "on",
            "is_staff": "on",
            "is_superuser": "on",
            "user_permissions": [str(Permission.objects.all()[0].pk)],
            "groups": [str(group.pk) for group in myself.groups.all()],
            "date_joined_0": "2026-01-01",
            "date_joined_1": "00:00:00",
            "email": "changed@example.com",
        },
    )
    codes = [
        client.post(page("auth.user", name, boss.pk), {"post": "yes"}).status_code
        for name in ("change", "delete")
    ]
    password = reverse("admin:auth_user_password_change", args=[boss.pk])
    codes.append(
        client.post(password, {"password1": "x", "password2": "x"}).status_code
    )

    assert codes == [403, 403, 403]
    myself.refresh_from_db()
    assert myself.email == "changed@example.com"
    assert myself.is_superuser is False
    assert not myself.user_permissions.exists()


def test_an_administrator_configures() -> None:
    shop = account()
    client = logged_in(ADMINISTRATOR)
    url = page("chatwoot_api.chatwootaccount", "change", shop.pk)

    response = client.post(
        url,
        {
            "name": "Shop",
            "key": "shop",
            "base_url": "https://chat.example.com",
            "account_id": "1",
            "bot_token": "another-token",
        },
    )

    assert response.status_code == 302
    changed = saved("chatwoot_api.chatwootaccount", shop.pk)
    assert changed.bot_token == "another-token"
    assert changed.webhook_secret == "a-secret-of-this-test"


def test_an_administrator_adds_a_colleague() -> None:
    client = logged_in(ADMINISTRATOR)
    password = "a long enough password"
    form = client.get(page("auth.user", "add")).content.decode()
    for name in ("username", "password1", "password2"):
        assert f'name="{name}"' in form, name

    added = client.post(
        page("auth.user", "add"),
        {"username": "olga", "password1": password, "password2": password},
    )

    olga = User.objects.get(username="olga")
    change = page("auth.user", "change", olga.pk)
    assert added["Location"] == change
    assert olga.check_password(password)
    client.post(
        change,
        {
            "username": "olga",
            "is_active": "on",
            "is_staff": "on",
            "groups": [str(Group.objects.get(name=OPERATOR).pk)],
            "date_joined_0": "2026-01-01",
            "date_joined_1": "00:00:00",
        },
    )
    olga.refresh_from_db()
    assert olga.is_staff
    assert [group.name for group in olga.groups.all()] == [OPERATOR]
