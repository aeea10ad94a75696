"""The configuration travels from one bridge to another, and nothing secret with it."""

from __future__ import annotations

from collections.abc import Callable
from io import StringIO
from pathlib import Path

import pytest
from auditlog.models import LogEntry
from django.contrib.auth.models import Group, User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import CommandError, call_command
from django.http import HttpResponse
from django.test import Client
from django.urls import reverse

from access.roles import ADMINISTRATOR, AUDITOR, OPERATOR
from bridge_project.lib.errors import ConfigurationError
from chatwoot_api.models import ChatwootAccount, Inbox, Wish
from conversations.configuration.document import SECTIONS, BadConfiguration, read
from conversations.configuration.export import export
from conversations.configuration.history import TRACKED
from conversations.configuration.importing import (
    MODELS,
    Plan,
    PlanChanged,
    State,
    carry_out,
    plan,
)
from conversations.models import AlertChannel, AuditEntry, Bot, Retention
from conversations.tests.factories import make_account, make_app, make_bot
from dify_api.models import DifyApp

pytestmark = pytest.mark.django_db

SECRETS = ("the-bot-token", "the-admin-token", "a-webhook-secret", "app-the-dify-key")


def make_everything() -> Bot:
    account = make_account(key="main", base_url="https://me:pw@chat.test")
    app = make_app(name="Support", console_url="https://dify.test/app/1/workflow")
    bot = make_bot(
        account,
        dify_app=app,
        debounce_s=4,
        inputs={"z": "contact.name", "a": "conversation.custom_attributes.no"},
        failure_public_text="Entschuldigung…\nGleich kommt jemand.",
        speak_in_statuses=["pending", "open"],
    )
    for number, name in ((12, "Shop"), (7, "Сайт")):
        inbox = Inbox.objects.create(
            account=account, chatwoot_inbox_id=number, name=name
        )
        bot.inboxes.add(inbox)
    make_bot(account, name="Off", enabled=False, dify_app=None)
    Retention.objects.create(account=account, text_days=10)
    Wish.objects.create(
        account=account,
        kind="team",
        identity="sales",
        name="Sales",
        fields={"description": "no"},
        members=["a@x.test"],
    )
    AlertChannel.objects.create(
        name="Pager",
        kind="webhook",
        url="https://hooks.test/T0/secret-path",
        secret="channel-secret",
        causes=["refused_key"],
    )
    return bot


def clear() -> None:
    for model in (Bot, ChatwootAccount, DifyApp, AlertChannel):
        model.objects.all().delete()


def bring(text: str, *, also_addresses: bool = False) -> Plan:
    document = read(text)
    shown = plan(document, also_addresses=also_addresses)
    return carry_out(
        document,
        also_addresses=also_addresses,
        fingerprint=shown.fingerprint,
        by="anna",
    )


def states(found: Plan) -> dict[str, str]:
    return {f"{step.section}/{step.label}": step.state.value for step in found.steps}


def notes(found: Plan) -> list[str]:
    return [note for step in found.steps for note in step.notes]


def test_every_tracked_setting_is_in_the_file_or_left_out_on_purpose() -> None:
    known: dict[str, set[str]] = {
        "accounts": set(),
        "retention": set(),
        "dify_apps": set(),
        "openai_servers": set(),
        "bots": set(),
        "wishes": set(),
        "alert_channels": set(),
    }
    for section, model in MODELS.items():
        tracked = TRACKED[model]
        wanted = {*tracked.fields, *tracked.many} - known[section]
        if section == "wishes":
            wanted |= {"identity"}
        assert set(SECTIONS[section]) == wanted, section


def test_what_was_exported_and_imported_is_exported_the_same() -> None:
    make_everything()
    before = export()
    clear()
    bring(before)
    # The secrets are entered by hand, and the bot that waited for them is switched on.
    Bot.objects.filter(name="Nordbot").update(enabled=True)

    assert export() == before
    again = plan(read(before))
    assert again.changes == []


def test_no_secret_is_in_the_file() -> None:
    make_everything()

    text = export()

    for secret in (*SECRETS, "channel-secret", "secret-path", "me:pw"):
        assert secret not in text
    assert "https://chat.test" in text
    assert "Сайт" in text


def test_a_file_of_one_account_holds_what_it_needs() -> None:
    make_everything()
    other = make_account(key="lab", name="Lab", account_id=9)
    make_bot(other, name="Labbot", dify_app=make_app(name="Other app"))

    document = read(export(account=other))

    assert [item.label for item in document.items] == [
        "lab",
        "Other app",
        "lab · Labbot",
    ]


def test_two_things_of_one_name_are_not_exported() -> None:
    make_app(name="Twin")
    make_app(name="Twin")

    with pytest.raises(ConfigurationError, match="more than one is called “Twin”"):
        export()


def test_into_an_empty_bridge_bots_come_switched_off_and_secrets_are_asked_for() -> (
    None
):
    make_everything()
    text = export()
    clear()

    done = bring(text)

    assert set(states(done).values()) == {"new"}
    assert len(done.steps) == 7
    assert not Bot.objects.filter(enabled=True).exists()
    assert [(str(s.row), s.text) for s in done.secrets] == [
        ("Nordlicht Outdoor", "the bot token"),
        ("Nordlicht Outdoor", "the webhook secret"),
        ("Nordlicht Outdoor", "the administrator token, if there is one"),
        ("Support", "the API key"),
        ("Pager", "the webhook address"),
        ("Pager", "the signing secret"),
    ]
    assert sum("Left switched off" in note for note in notes(done)) == 1
    assert AuditEntry.objects.get().details == {
        "new": 7,
        "changed": 0,
        "addresses": False,
    }


def test_the_difference_is_shown_and_nothing_is_done_yet() -> None:
    bot = make_everything()
    text = export().replace("debounce_s: 4", "debounce_s: 9")
    text = text.replace("z: contact.name", "z: inbox.name")
    history = LogEntry.objects.count()

    found = plan(read(text))

    (step,) = found.changes
    assert (step.label, step.state) == ("main · Nordbot", State.CHANGED)
    assert [(f.name, f.before, f.after) for f in step.fields] == [
        ("debounce_s", "4", "9"),
        ("inputs", "z: contact.name", "z: inbox.name"),
    ]
    bot.refresh_from_db()
    assert bot.debounce_s == 4
    assert LogEntry.objects.count() == history


def test_changes_are_made_and_secrets_and_others_stay() -> None:
    bot = make_everything()
    text = export().replace("debounce_s: 4", "debounce_s: 9")
    make_account(key="only-here", account_id=77)

    done = bring(text)

    bot.refresh_from_db()
    assert (bot.debounce_s, bot.enabled) == (9, True)
    assert bot.account.bot_token == "the-bot-token"
    assert bot.dify_app is not None
    assert bot.dify_app.api_key == "app-the-dify-key-000"
    assert states(done)["accounts/only-here"] == "only_here"
    assert ChatwootAccount.objects.filter(key="only-here").exists()
    assert AlertChannel.objects.get().url == "https://hooks.test/T0/secret-path"


def test_addresses_are_taken_over_only_if_that_is_asked_for() -> None:
    bot = make_everything()
    app = DifyApp.objects.get()
    DifyApp.objects.update(health="failing", base_url="https://dify.production")
    text = export().replace("https://dify.production", "https://dify.staging")

    left = bring(text)
    app.refresh_from_db()
    assert app.base_url == "https://dify.production"
    (field,) = next(s for s in left.steps if s.label == "Support").fields
    assert (field.name, field.applied) == ("base_url", False)
    assert states(left)["dify_apps/Support"] == "same"

    bring(text, also_addresses=True)
    app.refresh_from_db()
    assert (app.base_url, app.health, app.parameters) == (
        "https://dify.staging",
        "unknown",
        {},
    )
    assert bot.account.bot_token == "the-bot-token"


def test_a_bot_that_is_on_stays_on_and_one_that_lacks_a_key_is_not_switched_on() -> (
    None
):
    bot = make_everything()
    bot.enabled = False
    bot.save()
    DifyApp.objects.update(api_key="")
    text = export().replace(
        "name: Nordbot\n  enabled: false", "name: Nordbot\n  enabled: true"
    )

    done = bring(text)

    bot.refresh_from_db()
    assert bot.enabled is False
    assert states(done)["bots/main · Nordbot"] == "same"
    app = DifyApp.objects.get()
    app.api_key = "app-new"
    app.save()
    bring(text)
    bot.refresh_from_db()
    assert bot.enabled is True


@pytest.mark.parametrize(
    ("here", "expected", "words"),
    [
        ([(7, "Сайт")], 7, None),
        ([(31, "Сайт")], 31, "has the number 31 here"),
        ([(7, "Lab")], 7, "is called “Lab” here"),
        ([(7, "Lab"), (31, "Сайт")], 31, "has the number 31 here"),
        ([], 7, "is not known here yet"),
    ],
)
def test_inboxes_are_found_by_name_where_numbers_differ(
    here: list[tuple[int, str]], expected: int, words: str | None
) -> None:
    bot = make_everything()
    bot.inboxes.remove(bot.inboxes.get(chatwoot_inbox_id=12))
    text = export()
    Inbox.objects.all().delete()
    for number, name in here:
        Inbox.objects.create(account=bot.account, chatwoot_inbox_id=number, name=name)

    done = bring(text)

    assert bot.inboxes.get().chatwoot_inbox_id == expected
    assert words is None or words in " ".join(notes(done))


def test_what_changed_meanwhile_is_shown_again() -> None:
    bot = make_everything()
    document = read(export().replace("debounce_s: 4", "debounce_s: 9"))
    shown = plan(document)
    bot.debounce_s = 5
    bot.save()

    with pytest.raises(PlanChanged):
        carry_out(
            document, also_addresses=False, fingerprint=shown.fingerprint, by="anna"
        )

    bot.refresh_from_db()
    assert bot.debounce_s == 5
    assert not AuditEntry.objects.exists()


GOOD = """version: 1
accounts:
- key: main
  name: Main
  base_url: https://chat.test
  account_id: 2
"""

BOT = f"{GOOD}bots:\n- account: main\n  name: B\n  "


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "The file is empty."),
        ("[1", "this is no YAML"),
        ("- 1", "Line 1: The file must be a mapping."),
        ("accounts: []", "The file has no “version”"),
        ("version: 2", "Line 1: the file has the version 2"),
        ("version: 1\nthings: []", "Line 2: there is no section “things”"),
        ("version: 1\nbots: {}", "Line 2: “bots” must be a list."),
        ("version: 1\nbots:\n- x", "Line 3: An entry of “bots” must be a mapping."),
        (
            "version: 1\naccounts:\n- name: X",
            "Line 3: an entry of “accounts” needs a text as “key”.",
        ),
        (f"{GOOD}  bot_token: x", "Line 7: “accounts” have no field “bot_token”"),
        (f"{GOOD}  name: Other", "Line 7: “name” stands there twice."),
        (
            f"{GOOD}- key: main",
            "Line 7: “main” stands in “accounts” twice, the first time in line 3.",
        ),
        ("version: 1\nx: &a [1]\nbots: *a", "Line 3: aliases (*) are not taken."),
        (
            f"{GOOD}retention:\n- account: other",
            "Line 8: there is no account with the key “other”",
        ),
        (f"{BOT}dify_app: X", "Line 8: there is no Dify app called “X”"),
        (
            f"{BOT}debounce_s: 99",
            "Line 8: “debounce_s” of “main · B”: Ensure this value is less",
        ),
        (f"{BOT}debounce_s: soon", "must be an integer"),
        (f"{BOT}reply_as: no", "“reply_as” of “main · B”: must be a text. YAML takes"),
        (
            f"{BOT}inputs: {{x: contact.tongue}}",
            "“contact.tongue”, the source of “x”, does not exist",
        ),
        (f"{BOT}inboxes: [7]", "must be a list of inboxes"),
        (f"{BOT}speak_in_statuses: []", "“speak_in_statuses” of “main · B”"),
        (f'{BOT}failure_public_text: "\\0"', "is neither a plain text"),
        (f"{BOT}failure_public_text: 2026-01-01", "is neither a plain text"),
        ("version: 1\ndify_apps:\n- name: A", "is new here and needs “base_url”"),
        (
            GOOD + GOOD.partition("accounts:\n")[2].replace("key: main", "key: two"),
            "Line 7: the account “main” has the same address",
        ),
        ("version: 1\nbots: " + "[" * 100_000, "Line 2: this is nested too deeply."),
    ],
)
def test_a_bad_file_says_where_and_changes_nothing(text: str, words: str) -> None:
    with pytest.raises(BadConfiguration) as caught:
        plan(read(text))

    assert words in str(caught.value)
    for model in MODELS.values():
        assert not model._default_manager.exists()


def test_a_file_of_megabytes_is_refused_unread() -> None:
    with pytest.raises(BadConfiguration, match="larger than 1 MB"):
        read("#" * (1024 * 1024 + 1))


def run(*arguments: str) -> str:
    out = StringIO()
    call_command(*arguments, stdout=out)
    return out.getvalue()


def test_the_commands_show_first_and_then_do(tmp_path: Path) -> None:
    bot = make_everything()
    path = tmp_path / "bridge.yaml"
    assert "Done!" in run("export_configuration", "--file", str(path))
    assert run("export_configuration") == path.read_text()
    path.write_text(path.read_text().replace("debounce_s: 4", "debounce_s: 9"))

    shown = run("import_configuration", str(path))
    dry = run("import_configuration", str(path), "--yes", "--dry-run")

    for text in (shown, dry):
        assert "bots: main · Nordbot: changed\n    debounce_s: 4 → 9\n" in text
        assert "Nothing was changed." in text
    bot.refresh_from_db()
    assert bot.debounce_s == 4
    assert "Done! 0 made, 1 changed." in run("import_configuration", str(path), "--yes")
    bot.refresh_from_db()
    assert bot.debounce_s == 9
    verbs = AuditEntry.objects.order_by("pk").values_list("verb", "actor")
    assert list(verbs) == [("exported", "system")] * 2 + [("imported", "system")]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("export_configuration", "--account", "nobody"), "no account with the key"),
        (("import_configuration", "no-such-file.yaml"), "cannot be read"),
    ],
)
def test_the_commands_say_what_is_wrong(arguments: list[str], words: str) -> None:
    with pytest.raises(CommandError, match=words):
        run(*arguments)


@pytest.fixture
def page() -> str:
    return reverse("bridge:configuration")


def client_as(role: str) -> Client:
    user = User.objects.create(username=role.lower(), is_staff=True)
    user.groups.add(Group.objects.get(name=role))
    client = Client()
    client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    return client


def test_the_page_gives_the_file(admin_client: Client, page: str) -> None:
    make_everything()

    whole = admin_client.post(page, {"export": "yes"})
    one = admin_client.post(page, {"export": "yes", "account": "main"})

    assert whole.content.decode() == export()
    assert whole.headers["Content-Disposition"] == 'attachment; filename="bridge.yaml"'
    assert "alert_channels: []" in one.content.decode()
    assert "bridge-main.yaml" in one.headers["Content-Disposition"]
    entries = AuditEntry.objects.filter(verb="exported").order_by("pk")
    assert [(e.actor, e.account_id) for e in entries] == [
        ("admin", None),
        ("admin", ChatwootAccount.objects.get().pk),
    ]


def test_the_page_shows_the_difference_and_then_imports(
    admin_client: Client, page: str
) -> None:
    bot = make_everything()
    text = export().replace("debounce_s: 4", "debounce_s: 9")
    file = SimpleUploadedFile("bridge.yaml", text.encode())

    shown = admin_client.post(page, {"file": file, "text": ""})

    body = shown.content.decode()
    assert "1 thing would be made or changed." in body
    bot.refresh_from_db()
    assert bot.debounce_s == 4
    confirmation = {
        "text": shown.context["text"],
        "fingerprint": shown.context["plan"].fingerprint,
        "confirmed": "yes",
    }
    done = admin_client.post(page, confirmation)
    assert "1 thing was made or changed." in done.content.decode()
    bot.refresh_from_db()
    assert bot.debounce_s == 9
    entry = LogEntry.objects.get_for_object(bot).latest("pk")
    assert entry.actor is not None
    assert (entry.actor.username, entry.changes) == ("admin", {"debounce_s": [4, 9]})
    # A second press finds that nothing is as it was shown any more.
    again = admin_client.post(page, confirmation)
    assert "has changed since the difference was shown" in again.content.decode()


def test_an_import_into_an_empty_bridge_says_what_to_enter(
    admin_client: Client, page: str
) -> None:
    make_everything()
    text = export()
    clear()
    shown = admin_client.post(page, {"text": text.replace("\n", "\r\n")})
    done = admin_client.post(
        page,
        {
            "text": shown.context["text"],
            "fingerprint": shown.context["plan"].fingerprint,
            "confirmed": "yes",
        },
    )

    body = done.content.decode()
    assert "Still to be entered by hand" in body
    assert (
        reverse("admin:dify_api_difyapp_change", args=[DifyApp.objects.get().pk])
        in body
    )
    assert "the API key" in body


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"\xff\xfe", "The file is no text in UTF-8."),
        (b"version: 2", "the file has the version 2"),
        (b"#" * (1024 * 1024 + 1), "The file is larger than 1 MB."),
    ],
)
def test_the_page_says_what_is_wrong_with_a_file(
    admin_client: Client, page: str, content: bytes, words: str
) -> None:
    answer = admin_client.post(page, {"file": SimpleUploadedFile("x.yaml", content)})

    assert answer.status_code == 200
    assert words in answer.content.decode()


@pytest.mark.parametrize(
    ("role", "exports", "imports"),
    [(ADMINISTRATOR, 200, 200), (OPERATOR, 200, 403), (AUDITOR, 200, 403)],
)
def test_everybody_exports_and_administrators_import(
    page: str, role: str, exports: int, imports: int
) -> None:
    client = client_as(role)

    assert client.get(page).status_code == 200
    assert client.post(page, {"export": "yes"}).status_code == exports
    assert client.post(page, {"text": GOOD}).status_code == imports
    confirmed = {"text": GOOD, "confirmed": "yes", "fingerprint": "x"}
    assert client.post(page, confirmed).status_code == imports
    assert not ChatwootAccount.objects.exists()
    text = client.get(page).content.decode()
    assert ('name="file"' in text) is (imports == 200)


def test_the_page_takes_nothing_without_its_token(
    admin_user: User, page: str, client: Client
) -> None:
    forging = Client(enforce_csrf_checks=True)
    forging.force_login(admin_user, backend="django.contrib.auth.backends.ModelBackend")

    assert forging.post(page, {"text": GOOD}).status_code == 403
    assert client.post(page, {"text": GOOD}).status_code == 302


def test_a_secret_that_cannot_be_read_is_a_sentence(
    admin_client: Client,
    page: str,
    settings: object,
    payload: Callable[[str], object],
) -> None:
    make_everything()
    settings.FIELD_ENCRYPTION_KEYS = [  # type: ignore[attr-defined]
        "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="
    ]

    answer: HttpResponse = admin_client.post(page, {"export": "yes"})  # type: ignore[assignment]

    assert "A stored secret cannot be read" in answer.content.decode()
