"""The playground's page: who may do what, what is shown, and that it stays there."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth.models import Group, User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from conversations import trials
from conversations.models import AuditEntry, Bot, DifyConversation, Trial
from conversations.tests.conftest import Queue
from conversations.tests.factories import (
    app_of,
    make_account,
    make_bot,
    make_conversation,
)

pytestmark = pytest.mark.django_db

FORM = [
    {"text-input": {"variable": "language", "label": "Language", "max_length": 20}},
    {"select": {"variable": "tone", "label": "Tone", "options": ["kind", "short"]}},
    {"text-input": {"variable": "conversation_token", "label": "T", "max_length": 256}},
]


@pytest.fixture
def bot(bot: Bot) -> Bot:
    app = app_of(bot)
    app.parameters = {"user_input_form": FORM, "file_upload": {}}
    app.save()
    return bot


def page_of(bot: Bot, *, talk: object = "", **query: object) -> str:
    more = "&".join(f"{name}={value}" for name, value in query.items())
    address = reverse("bridge:playground", args=[bot.pk])
    return f"{address}?talk={talk}&{more}"


def client_of(role: str) -> Client:
    user = User.objects.create_user(role, is_staff=True)
    user.groups.add(Group.objects.get(name=role))
    client = Client()
    client.force_login(user)
    return client


def ask(client: Client, bot: Bot, question: str = "Hello?", **more: Any) -> Any:
    data = {"do": "ask", "question": question, **more}
    return client.post(page_of(bot), data)


def without_token(text: str) -> str:
    """The token of a form is another one each time."""
    return re.sub(r'(csrfmiddlewaretoken" value=")[^"]+', r"\1", text.strip())


@pytest.mark.usefixtures("queue")
def test_a_question_is_stored_and_a_worker_woken(
    admin_client: Client, bot: Bot, queue: Queue
) -> None:
    answer = ask(admin_client, bot, "Line 1\nLine 2")

    trial = Trial.objects.get()
    assert answer.status_code == 302
    assert answer["Location"].endswith(f"/playground/{bot.pk}/?talk={trial.talk}")
    assert (trial.bot, trial.actor, trial.status) == (bot, "admin", "waiting")
    assert trial.question == "Line 1\nLine 2"
    assert trial.inputs["given"] == {}
    assert queue.tasks() == [("run_trial", [trial.pk])]


@pytest.mark.usefixtures("queue")
def test_a_follow_up_joins_the_talk(admin_client: Client, bot: Bot) -> None:
    ask(admin_client, bot)
    first = Trial.objects.get()
    Trial.objects.update(status="answered")

    ask(admin_client, bot, "And now?", talk=str(first.talk))

    assert {trial.talk for trial in Trial.objects.all()} == {first.talk}
    assert Trial.objects.count() == 2


@pytest.mark.usefixtures("queue")
def test_typed_inputs_and_a_chosen_conversation_go_along(
    admin_client: Client, bot: Bot
) -> None:
    conversation = make_conversation(bot)

    ask(
        admin_client,
        bot,
        conversation="#133",
        **{"input:language": "ru", "input:tone": "", "input:conversation_token": "x"},
    )

    trial = Trial.objects.get()
    assert trial.inputs["given"] == {"language": "ru"}
    assert trial.inputs["conversation_id"] == conversation.pk
    [entry] = AuditEntry.objects.all()
    assert entry.conversation == conversation
    assert "Hello" not in str(entry.details)
    shown = admin_client.get(page_of(bot, talk=trial.talk)).content.decode()
    assert 'value="133"' in shown
    assert 'value="ru"' in shown


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        ({"question": " "}, "This field is required."),
        ({"conversation": "999"}, "No conversation with this number is stored here."),
        ({"conversation": "Anna"}, "No conversation with this number is stored here."),
        ({"input:tone": "rude"}, "Select a valid choice."),
    ],
)
def test_what_cannot_be_asked_is_said(
    admin_client: Client, bot: Bot, data: dict[str, str], sentence: str
) -> None:
    answer = ask(admin_client, bot, **{"question": "Hello?", **data})

    assert answer.status_code == 200
    assert sentence in answer.content.decode()
    assert not Trial.objects.exists()


def test_a_conversation_of_another_account_is_not_found(
    admin_client: Client, bot: Bot
) -> None:
    other = make_bot(make_account(account_id=3))
    make_conversation(other, chatwoot_conversation_id=77)

    answer = ask(admin_client, bot, conversation="77")

    assert "No conversation with this number" in answer.content.decode()
    assert not Trial.objects.exists()


@pytest.mark.usefixtures("queue")
def test_a_second_question_at_once_is_refused_in_a_sentence(
    admin_client: Client, bot: Bot
) -> None:
    ask(admin_client, bot)

    answer = ask(admin_client, bot, talk=str(Trial.objects.get().talk))

    assert "The last question has no answer yet." in answer.content.decode()
    assert Trial.objects.count() == 1


@pytest.mark.usefixtures("queue")
def test_the_page_shows_a_running_question_that_asks_for_itself(
    admin_client: Client, bot: Bot
) -> None:
    trial = trials.ask(bot, "Hello?", actor="admin")
    now = timezone.now()
    Trial.objects.update(
        status="running",
        lease=uuid4(),
        lease_expires_at=now + timedelta(minutes=1),
        answer="Half of the ans",
        events=[{"at_ms": 900, "event": "message", "text": "Half", "count": 3}],
    )

    whole = admin_client.get(page_of(bot, talk=trial.talk)).content.decode()
    part = admin_client.get(page_of(bot, talk=trial.talk, trial=trial.pk))

    text = part.content.decode()
    assert without_token(text) in without_token(whole)
    assert "Half of the ans" in text
    assert "×3" in text
    assert 'hx-trigger="every 1s"' in text
    Trial.objects.update(status="answered", answer="All of it", duration_ms=1500)
    over = admin_client.get(page_of(bot, talk=trial.talk, trial=trial.pk))
    assert "All of it" in over.content.decode()
    assert "1.5 s" in over.content.decode()
    assert "hx-trigger" not in over.content.decode()


def test_polling_ends_when_the_question_was_forgotten(
    admin_client: Client, bot: Bot
) -> None:
    for pk in ("5", "x", "9" * 30):
        assert admin_client.get(page_of(bot, trial=pk)).status_code == 286


def test_a_failure_is_told_in_words(admin_client: Client, bot: Bot) -> None:
    trial = trials.ask(bot, "Hello?", actor="admin")
    Trial.objects.update(
        status="failed",
        error="Dify refuses the key.",
        inputs={"error_code": "unauthorized"},
    )

    text = admin_client.get(page_of(bot, talk=trial.talk)).content.decode()

    assert "Key or token refused" in text
    assert "Dify refuses the key." in text


def test_what_the_app_says_is_text_and_no_markup(
    admin_client: Client, bot: Bot
) -> None:
    trial = trials.ask(bot, "<b>Hello</b>", actor="admin")
    bad = "<script>alert(1)</script>"
    Trial.objects.update(
        status="answered",
        answer=bad,
        thinking=bad,
        events=[{"at_ms": 1, "event": bad, "text": bad, "count": 1}],
        inputs={
            "sent": {"a": bad},
            "notes": [bad],
            "steps": [{"tool": bad, "thought": bad, "input": bad, "result": bad}],
        },
    )

    text = admin_client.get(page_of(bot, talk=trial.talk)).content.decode()

    assert bad not in text
    assert "<b>Hello" not in text
    assert "&lt;script&gt;alert(1)" in text


def test_stop_ends_the_question(admin_client: Client, bot: Bot) -> None:
    trial = trials.ask(bot, "Hello?", actor="admin")

    answer = admin_client.post(page_of(bot), {"do": "stop", "trial": trial.pk})

    assert answer.status_code == 302
    trial.refresh_from_db()
    assert trial.status == "stopped"


def test_the_end_of_a_talk_wants_it_deleted_in_dify(
    admin_client: Client, bot: Bot
) -> None:
    trial = trials.ask(bot, "Hello?", actor="admin")
    memory = DifyConversation.objects.create(
        app=app_of(bot), dify_conversation_id="d-1", dify_user=trial.dify_user
    )
    Trial.objects.update(status="answered", dify_conversation=memory)

    answer = admin_client.post(page_of(bot), {"do": "end", "talk": str(trial.talk)})

    assert answer.status_code == 302
    memory.refresh_from_db()
    assert memory.delete_wanted_at is not None
    text = admin_client.get(page_of(bot, talk=trial.talk)).content.decode()
    assert "This talk is ended" in text
    assert 'name="question"' not in text


def test_a_talk_of_somebody_else_is_read_only(admin_client: Client, bot: Bot) -> None:
    trial = trials.ask(bot, "Hello from Olga", actor="olga")

    text = admin_client.get(page_of(bot, talk=trial.talk)).content.decode()

    assert "Hello from Olga" in text
    assert 'name="question"' not in text


@pytest.mark.usefixtures("queue")
@pytest.mark.parametrize(
    ("role", "may"), [("Administrator", True), ("Operator", True), ("Auditor", False)]
)
def test_who_may_ask(bot: Bot, *, role: str, may: bool) -> None:
    client = client_of(role)
    trial = trials.ask(bot, "Hello?", actor="olga")

    shown = client.get(page_of(bot))
    codes = [
        ask(client, bot).status_code,
        client.post(page_of(bot), {"do": "stop", "trial": trial.pk}).status_code,
        client.post(page_of(bot), {"do": "end", "talk": str(trial.talk)}).status_code,
    ]

    assert shown.status_code == 200
    assert ('name="question"' in shown.content.decode()) is may
    assert codes == ([302] * 3 if may else [403] * 3)
    assert Trial.objects.count() == (2 if may else 1)
    trial.refresh_from_db()
    assert trial.status == ("stopped" if may else "waiting")


def test_who_may_see_no_bot_sees_no_playground(bot: Bot) -> None:
    client = Client()
    client.force_login(User.objects.create_user("nobody", is_staff=True))

    assert client.get(page_of(bot)).status_code == 403
    assert Client().get(page_of(bot)).status_code == 302


def test_a_bot_without_an_app_says_so(admin_client: Client) -> None:
    bot = make_bot(dify_app=None)

    text = admin_client.get(page_of(bot)).content.decode()

    assert "The bot has no Dify app" in text
    assert 'name="question"' not in text


def test_unknown_bots_talks_and_orders_are_404(admin_client: Client, bot: Bot) -> None:
    assert admin_client.get(page_of(Bot(pk=999))).status_code == 404
    for data in ({"do": "buy"}, {"do": "stop"}, {"do": "end", "talk": str(uuid4())}):
        assert admin_client.post(page_of(bot), data).status_code == 404
    assert admin_client.get(page_of(bot, talk="nonsense")).status_code == 200


@pytest.mark.usefixtures("translations")
def test_it_speaks_russian(admin_client: Client, bot: Bot) -> None:
    trial = trials.ask(bot, "Hello?", actor="admin")

    answer = admin_client.get(
        page_of(bot, talk=trial.talk), headers={"accept-language": "ru"}
    )

    assert answer.status_code == 200


def test_a_long_list_of_talks_is_bounded(
    admin_client: Client, bot: Bot, django_assert_max_num_queries: Any
) -> None:
    for _number in range(30):
        trials.ask(bot, "Hello?", actor="admin")

    with django_assert_max_num_queries(15):
        text = admin_client.get(page_of(bot)).content.decode()

    assert text.count("?talk=") == 10
