"""A turn whose bot asks a function of another project, from its claim to its end."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from bridge_project.lib.types import JsonObject
from conversations import pipeline
from conversations.leases import keeper
from conversations.models import (
    Bot,
    Conversation,
    OutgoingMessage,
    PipelineRun,
    Reason,
    Turn,
    WebhookEvent,
)
from conversations.providers import Said, calling, history
from conversations.tests import reply_functions
from conversations.tests.conftest import Platforms
from conversations.tests.factories import make_bot, make_event, message_payload

pytestmark = pytest.mark.django_db

QUESTION = "Does the warranty cover a torn seam?"


@pytest.fixture(autouse=True)
def _functions(settings: Any) -> Iterator[None]:
    names = [name for name in vars(reply_functions) if not name.startswith("_")]
    settings.REPLY_PROVIDERS = {
        name: f"conversations.tests.reply_functions.{name}" for name in names
    }
    settings.REPLY_PROVIDER_TIMEOUT_S = 20.0
    kept = (
        reply_functions.asked,
        reply_functions.told,
        reply_functions.meanwhile,
        reply_functions.closed,
    )
    for one in kept:
        one.clear()
    reply_functions.go_on.clear()
    yield
    reply_functions.go_on.set()
    calling._hanging.clear()


@pytest.fixture
def bot() -> Bot:
    return make_bot(dify_app=None, provider="plain")


@pytest.fixture
def ask(turn: Turn, bot: Bot) -> Callable[..., tuple[str, str]]:
    """Have one attempt of the turn made, by this provider."""
    event = WebhookEvent.objects.get(turn=turn)
    event.payload["content"] = QUESTION
    event.save()

    def run(provider: str) -> tuple[str, str]:
        Bot.objects.filter(pk=bot.pk).update(provider=provider)
        Turn.objects.filter(pk=turn.pk).update(next_attempt_at=timezone.now())
        pipeline.run(turn.pk)
        turn.refresh_from_db()
        return turn.status, turn.reason

    return run


def test_a_plain_function_answers(
    ask: Callable[..., tuple[str, str]], platforms: Platforms
) -> None:
    assert ask("plain") == ("answered", "answered")

    assert reply_functions.asked == [QUESTION]
    assert [post["content"] for post in platforms.posted] == [f"You said: {QUESTION}"]
    run = PipelineRun.objects.get()
    assert (run.provider, run.dify_app, run.status, run.outcome) == (
        "plain",
        None,
        "succeeded",
        "answered",
    )
    assert (run.query, run.inputs, run.answer) == (
        QUESTION,
        {},
        f"You said: {QUESTION}",
    )
    assert run.duration_ms is not None
    assert run.finished_at is not None


def test_a_function_that_wants_more_is_told_about_the_conversation(
    ask: Callable[..., tuple[str, str]],
    platforms: Platforms,
    turn: Turn,
    conversation: Conversation,
) -> None:
    Conversation.objects.filter(pk=conversation.pk).update(
        labels=["vip"],
        custom_attributes={"order": "A1"},
        contact_custom_attributes={"plan": "gold"},
        additional_attributes={"browser_language": "de"},
    )

    assert ask("rich") == ("answered", "answered")

    assert platforms.posted[0]["content"] == "Hello misty-harbor-412"
    (told,) = reply_functions.told
    assert (told.message, told.bot, told.kind) == (QUESTION, "Nordbot", "answer")
    assert (told.conversation_id, told.account_id) == (133, 2)
    assert (told.status, told.labels) == ("pending", ("vip",))
    assert told.custom_attributes == {"order": "A1"}
    assert told.contact_attributes == {"plan": "gold"}
    assert (told.inbox, told.channel) == ("Website support", "Channel::WebWidget")
    assert told.language == "de"
    assert told.inputs["language"] == "de"
    assert told.history == ()
    assert told.deadline <= timezone.now() + timedelta(seconds=20)
    run = PipelineRun.objects.get()
    assert (run.total_tokens, run.notes) == (17, ["found 3 passages"])
    # The token that opens the conversation is given, but not kept.
    assert str(told.inputs["conversation_token"]).startswith("bridge-conv-")
    assert run.inputs["conversation_token"] == "[secret]"


def test_an_object_that_is_called_may_want_more_too(
    ask: Callable[..., tuple[str, str]], platforms: Platforms
) -> None:
    assert ask("index") == ("answered", "answered")
    assert [one.message for one in reply_functions.told] == [QUESTION]


def test_pieces_make_one_answer(
    ask: Callable[..., tuple[str, str]], platforms: Platforms
) -> None:
    assert ask("streaming") == ("answered", "answered")
    (post,) = platforms.posted
    assert post["content"] == "The seam is covered, misty-harbor-412."
    assert PipelineRun.objects.get().first_text_ms is not None


def test_the_bridges_own_tokens_reach_no_customer(
    ask: Callable[..., tuple[str, str]], platforms: Platforms
) -> None:
    assert ask("repeats_the_token") == ("answered", "answered")
    assert platforms.posted[0]["content"] == "Your token is [secret]"


@pytest.mark.parametrize("silence", ["silent", "blank"])
def test_nothing_to_say_is_no_failure(
    ask: Callable[..., tuple[str, str]], platforms: Platforms, silence: str
) -> None:
    assert ask(silence) == ("skipped", "nothing_to_say")

    assert platforms.posted == []
    assert platforms.calls("POST", "toggle_status") == 0
    run = PipelineRun.objects.get()
    assert (run.status, run.outcome, run.answer) == ("succeeded", "nothing", "")


@pytest.mark.django_db(transaction=True)
def test_a_function_may_speak_by_itself_and_say_no_more(
    ask: Callable[..., tuple[str, str]], platforms: Platforms, turn: Turn
) -> None:
    """As a flow does by the callback API, with the token among the inputs."""
    spoke = lambda: Turn.objects.note_by_flow(turn.pk, spoke=True)  # noqa: E731
    reply_functions.meanwhile.append(spoke)

    assert ask("silent") == ("answered", "answered_by_flow")


def test_an_answer_that_is_there_is_not_asked_for_again(
    ask: Callable[..., tuple[str, str]], platforms: Platforms
) -> None:
    platforms.chatwoot_takes_messages(status=429)
    platforms.chatwoot_has_history()
    assert ask("plain")[0] == "retrying"
    platforms.chatwoot_takes_messages()

    assert ask("plain") == ("answered", "answered")

    assert reply_functions.asked == [QUESTION]
    assert PipelineRun.objects.count() == 1


def test_a_copilot_gets_a_note(
    ask: Callable[..., tuple[str, str]], platforms: Platforms, bot: Bot
) -> None:
    Bot.objects.filter(pk=bot.pk).update(reply_as="private_note")

    assert ask("plain") == ("answered", "answered")
    assert [post["private"] for post in platforms.posted] == [True]


def test_trouble_that_may_pass_is_waited_for(
    ask: Callable[..., tuple[str, str]], platforms: Platforms, turn: Turn
) -> None:
    assert ask("unreachable")[0] == "retrying"
    # The agents' note may tell it: what the exception said is for operators.
    assert "“unreachable” failed: ConnectionError." in turn.error
    assert "no route to the vector store" not in turn.error
    assert "no route to the vector store" in PipelineRun.objects.get().error
    run = PipelineRun.objects.get()
    assert (run.status, run.error_code) == ("failed", "provider_failed")

    turn.refresh_from_db()
    assert turn.handover_reason == ""
    turn.bot.account.refresh_from_db()  # type: ignore[union-attr]
    # It is nobody's fault at Chatwoot.
    assert turn.bot.account.last_error == ""  # type: ignore[union-attr]
    assert ask("plain") == ("answered", "answered")


def test_an_outage_of_theirs_is_none_of_chatwoots(
    ask: Callable[..., tuple[str, str]], platforms: Platforms, turn: Turn
) -> None:
    assert ask("unavailable")[0] == "retrying"
    account = turn.conversation.account
    account.refresh_from_db()
    assert account.last_error == ""


def test_trouble_that_does_not_pass_ends_with_the_humans(
    ask: Callable[..., tuple[str, str]], platforms: Platforms, turn: Turn
) -> None:
    for _attempt in range(6):
        ask("unreachable")
    assert turn.handover_reason == Reason.PROVIDER_FAILED
    assert ask("unreachable") == ("handed_over", "provider_failed")
    assert len(reply_functions.asked) == 6


@pytest.mark.parametrize(
    ("provider", "said", "recorded"),
    [
        (
            "broken",
            "“broken” failed: KeyError. Its text is in the run's record.",
            "“broken” failed: KeyError: 'index'",
        ),
        (
            "wrong",
            "“wrong”: It returned a value of type dict, and no text.",
            "“wrong”: It returned a value of type dict, and no text.",
        ),
    ],
)
def test_faults_are_handed_over_at_once(
    ask: Callable[..., tuple[str, str]],
    platforms: Platforms,
    turn: Turn,
    provider: str,
    said: str,
    recorded: str,
) -> None:
    assert ask(provider)[0] == "retrying"
    assert turn.handover_reason == Reason.PROVIDER_FAILED
    assert ask(provider) == ("handed_over", "provider_failed")

    line, note = platforms.posted
    assert str(line["content"]).startswith("Sorry, I cannot answer right now.")
    assert said in str(note["content"])
    assert note["private"] is True
    assert "'index'" not in str(note["content"])
    assert PipelineRun.objects.get().error == recorded


@pytest.mark.parametrize("provider", ["unheard_of", "asynchronous", "without_argument"])
def test_a_provider_that_cannot_be_asked_is_a_matter_of_settings(
    ask: Callable[..., tuple[str, str]],
    platforms: Platforms,
    turn: Turn,
    provider: str,
) -> None:
    ask(provider)
    assert turn.handover_reason == Reason.CONFIGURATION
    assert ask(provider) == ("handed_over", "configuration")
    assert not PipelineRun.objects.exists()


def test_does_not_wait_for_ever(
    ask: Callable[..., tuple[str, str]],
    platforms: Platforms,
    turn: Turn,
    settings: Any,
) -> None:
    settings.REPLY_PROVIDER_TIMEOUT_S = 0.2

    ask("hangs")

    assert turn.handover_reason == Reason.PROVIDER_FAILED
    assert turn.error == "“hangs”: It did not answer within 0 s."
    assert PipelineRun.objects.get().error_code == "provider_too_slow"


def test_does_not_pile_up_what_hangs(
    ask: Callable[..., tuple[str, str]],
    platforms: Platforms,
    turn: Turn,
    settings: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings.REPLY_PROVIDER_TIMEOUT_S = 0.2
    monkeypatch.setattr(calling, "MAX_HANGING", 1)
    ask("hangs")
    Turn.objects.filter(pk=turn.pk).update(handover_reason="", attempts=1)

    assert ask("hangs")[0] == "retrying"
    assert turn.handover_reason == ""
    assert "1 earlier calls of “hangs” hang in this worker" in turn.error
    assert reply_functions.asked == [QUESTION]


def test_ends_what_yields_once_nobody_waits(
    ask: Callable[..., tuple[str, str]], platforms: Platforms, settings: Any
) -> None:
    settings.REPLY_PROVIDER_TIMEOUT_S = 0.2
    ask("hangs_between_pieces")
    (left,) = calling._hanging["hangs_between_pieces"]

    reply_functions.go_on.set()

    assert left.done.wait(10)
    assert (left.text, reply_functions.closed) == ("one", ["generator"])


def test_hears_that_nobody_wants_the_answer(
    ask: Callable[..., tuple[str, str]],
    platforms: Platforms,
    turn: Turn,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(calling, "LOOK_EVERY_S", 0.05)
    really_start = threading.Thread.start

    def start(thread: threading.Thread) -> None:
        really_start(thread)
        if thread.name.startswith("provider-"):
            for watch in keeper._watches.values():
                watch.interrupt(Reason.HUMAN_HAS_TAKEN_OVER)

    monkeypatch.setattr(threading.Thread, "start", start)

    assert ask("hangs") == ("collecting", "")

    run = PipelineRun.objects.get()
    assert (run.status, run.error_code) == ("stopped", "human_has_taken_over")
    assert platforms.posted == []


def test_does_not_post_when_a_human_answered_meanwhile(
    ask: Callable[..., tuple[str, str]], platforms: Platforms
) -> None:
    human: JsonObject = {
        "id": 9050,
        "message_type": 1,
        "private": False,
        "sender": {"id": 1, "type": "user"},
    }
    reply_functions.meanwhile.append(lambda: platforms.chatwoot_shows(last=human))

    assert ask("plain") == ("skipped", "human_has_taken_over")
    assert platforms.posted == []


@pytest.mark.django_db(transaction=True)
def test_a_function_may_use_the_database(
    ask: Callable[..., tuple[str, str]], platforms: Platforms
) -> None:
    assert ask("with_database") == ("answered", "answered")
    assert platforms.posted[0]["content"] == "1 conversations"


def test_history_is_what_the_customer_saw(
    bot: Bot,
    conversation: Conversation,
    turn: Turn,
    payload: Callable[[str], JsonObject],
) -> None:
    sample = payload("message_created_incoming_text")

    def said(number: int, content: str, **overrides: Any) -> None:
        make_event(
            bot.account,
            message_payload(sample, id=number, content=content, **overrides),
            conversation=conversation,
        )

    said(8990, "before the end")
    make_event(
        bot.account,
        {**payload("conversation_resolved"), "id": 133},
        conversation=conversation,
    )
    said(8992, "Hello?")
    said(8992, "Hello?")
    said(8993, "Hi, how can I help?", message_type="outgoing")
    said(8994, "he sounds angry", message_type="outgoing", private=True)
    earlier = Turn.objects.create(
        conversation=conversation, bot=bot, last_message_id=8992, status="answered"
    )
    OutgoingMessage.objects.create(
        turn=earlier, part="answer", content="By mail.", chatwoot_message_id=8995
    )
    said(8996, "Thanks")
    said(9002, "later than the question")

    assert history.before(turn, most=20) == (
        Said("user", "Hello?"),
        Said("assistant", "Hi, how can I help?"),
        Said("assistant", "By mail."),
        Said("user", "Thanks"),
    )
    assert history.before(turn, most=1) == (Said("user", "Thanks"),)
    assert history.before(turn, most=0) == ()
    bot.new_dify_conversation_after_resolve = False
    turn.bot = bot
    assert history.before(turn, most=20)[0] == Said("user", "before the end")


def test_a_function_that_would_end_the_process_ends_nothing(
    ask: Callable[..., tuple[str, str]], platforms: Platforms
) -> None:
    status, reason = ask("ends_the_process")

    assert (status, reason) != ("running", "")
    run = PipelineRun.objects.get()
    assert (run.status, run.error_code) == ("failed", "provider_wrong_reply")
    assert "SystemExit" in run.error


def test_what_a_function_reports_never_costs_its_answer(
    ask: Callable[..., tuple[str, str]], platforms: Platforms
) -> None:
    assert ask("tells_nonsense") == ("answered", "answered")

    run = PipelineRun.objects.get()
    assert (run.total_tokens, run.currency) == (None, "")
    assert run.total_price == 0
