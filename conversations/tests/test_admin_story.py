"""What the pages say: why nothing happened, and a turn from question to answer."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone, translation
from django.utils.timezone import localtime

from bridge_project.lib.admin_base import admin_url, badge, list_url
from bridge_project.lib.types import JsonObject
from conversations.admin.base import (
    ACTION_TONES,
    CALLBACK_TONES,
    CONVERSATION_TONES,
    EVENT_TONES,
    RUN_TONES,
    TURN_TONES,
    elapsed,
    number_in,
    seconds,
)
from conversations.admin.event import why as why_event
from conversations.admin.explanations import EVENT_STATES, REASONS, TURN_STATES
from conversations.admin.story import RunView
from conversations.admin.turn import why as why_turn
from conversations.models import (
    Action,
    Callback,
    ConversationStatus,
    FlowForm,
    OutgoingMessage,
    PipelineRun,
    Reason,
    Turn,
    UpstreamCall,
    WebhookEvent,
)
from conversations.tests.admin_rows import make_turns_with_everything
from conversations.tests.factories import (
    app_of,
    make_bot,
    make_conversation,
    make_event,
    make_turn,
)


@pytest.fixture
def sample(payload: Callable[[str], JsonObject]) -> JsonObject:
    return payload("message_created_incoming_text_bot_owned")


def test_every_state_has_a_colour() -> None:
    assert set(EVENT_TONES) == set(WebhookEvent.Status)
    assert set(TURN_TONES) == set(Turn.Status)
    assert set(RUN_TONES) == set(PipelineRun.Status)
    assert set(ACTION_TONES) == set(Action)
    assert set(CALLBACK_TONES) == set(Callback.Status)
    assert set(CONVERSATION_TONES) == set(ConversationStatus)


@pytest.mark.usefixtures("translations")
def test_every_reason_and_state_is_explained_in_both_languages() -> None:
    assert set(REASONS) == set(Reason)
    assert set(EVENT_STATES) == set(WebhookEvent.Status)
    assert set(TURN_STATES) == set(Turn.Status)
    for explanations in (REASONS, EVENT_STATES, TURN_STATES):
        for name, explanation in explanations.items():
            english = str(explanation)
            with translation.override("ru"):
                assert str(explanation) != english, name


@pytest.mark.django_db
def test_turn_page_tells_everything(admin_client: Client, sample: JsonObject) -> None:
    (turn,) = make_turns_with_everything(make_bot(), sample, count=1)

    text = admin_client.get(admin_url(turn)).content.decode()

    for part in (
        "Hi, the tent I ordered arrived with a torn seam.",
        "Where is my order?",
        "It left the warehouse &lt;today&gt;.",
        "The app refused its inputs; they were read anew.",
        "&quot;language&quot;: &quot;de&quot;",
        "0.001204 USD",
        "4.2 s",
        "dify-conversation-501",
        "/v1/chat-messages",
        "event: ping",
        "https://chat.test/app/accounts/2/conversations/501",
        "The customer has an answer.",
    ):
        assert part in text, part
    assert "<today>" not in text


@pytest.mark.django_db
def test_turn_page_costs_the_same_for_many_rows(
    admin_client: Client, sample: JsonObject
) -> None:
    small, large = make_turns_with_everything(make_bot(), sample, count=2)
    for _number in range(5):
        for row in (
            *large.runs.all()[:1],
            *large.calls.all()[:1],
            *large.callbacks.all()[:1],
        ):
            row.pk = None
            row.save()
    costs = []
    for turn in (small, small, large):
        with CaptureQueriesContext(connection) as queries:
            admin_client.get(admin_url(turn))
        costs.append(len(queries))

    assert costs[1] == costs[2]


@pytest.mark.django_db
def test_event_page_says_why_the_bot_was_silent(
    admin_client: Client, sample: JsonObject
) -> None:
    event = make_event(
        make_bot().account,
        sample,
        status=WebhookEvent.Status.PROCESSED,
        action=Action.IGNORE,
        reason=Reason.STATUS_NOT_ALLOWED,
    )

    text = admin_client.get(admin_url(event)).content.decode()

    assert "Set the conversation to “pending” in Chatwoot" in text
    assert "Hi, the tent I ordered arrived with a torn seam." in text
    assert "&quot;message_type&quot;" in text


@pytest.mark.django_db
def test_event_page_survives_a_payload_that_cannot_be_read(
    admin_client: Client,
) -> None:
    event = make_event(make_bot().account, {"event": ["?"]}, name="?")

    response = admin_client.get(admin_url(event))

    assert response.status_code == 200
    assert response.context["message"] is None


def test_an_event_that_is_not_processed_explains_its_state() -> None:
    waiting = WebhookEvent(status=WebhookEvent.Status.RECEIVED)
    failed = WebhookEvent(status=WebhookEvent.Status.FAILED)

    assert "no worker is running" in why_event(waiting)
    assert "could not process this event" in why_event(failed)


def test_a_message_that_waits_for_its_turn_says_so() -> None:
    event = WebhookEvent(
        status=WebhookEvent.Status.PROCESSED,
        action=Action.ANSWER,
        reason=Reason.CUSTOMER_MESSAGE,
    )

    assert "gets its answer in the turn after that" in why_event(event)


def test_a_turn_explains_state_and_reason() -> None:
    turn = Turn(status=Turn.Status.SKIPPED, reason=Reason.HUMAN_HAS_TAKEN_OVER)
    answered = Turn(status=Turn.Status.ANSWERED, reason=Reason.ANSWERED)

    assert why_turn(turn) == [
        str(TURN_STATES[Turn.Status.SKIPPED]),
        str(REASONS[Reason.HUMAN_HAS_TAKEN_OVER]),
    ]
    assert why_turn(answered) == ["The customer has an answer."]


@pytest.mark.parametrize(
    ("kind", "reason", "sentence"),
    [
        ("answer", Reason.ASKED_FOR_FORM, str(REASONS[Reason.ASKED_FOR_FORM])),
        ("answer", Reason.SUGGESTED, str(REASONS[Reason.SUGGESTED])),
        ("greeting", Reason.GREETING, "The customer was greeted."),
    ],
)
def test_a_turn_that_ended_without_an_answer_claims_none(
    kind: str, reason: Reason, sentence: str
) -> None:
    turn = Turn(kind=kind, status=Turn.Status.ANSWERED, reason=reason)

    assert why_turn(turn) == [sentence]


@pytest.mark.django_db
def test_a_form_is_shown_without_its_placeholders(
    admin_client: Client, sample: JsonObject
) -> None:
    (turn,) = make_turns_with_everything(make_bot(), sample, count=1)
    form = turn.flow_forms.get()
    form.content = "Refund 20 EUR?\n\n{{#$output.note#}}"
    form.save()

    for url in (admin_url(form), admin_url(turn), list_url(FlowForm)):
        text = admin_client.get(url).content.decode()
        assert "Refund 20 EUR?" in text
        assert "$output" not in text


@pytest.mark.django_db
def test_what_an_agent_asked_is_not_called_a_customers_message(
    admin_client: Client,
) -> None:
    bot = make_bot()
    turn = make_turn(make_conversation(bot), bot, kind=Turn.Kind.HELP)

    text = admin_client.get(admin_url(turn)).content.decode()

    assert "What the agent asked" in text
    assert "Customer&#x27;s messages" not in text


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("attempted", "posted", "finished", "word"),
    [
        (True, True, True, "posted"),
        (True, False, True, "not known whether it arrived"),
        (False, False, True, "not posted"),
        (True, False, False, "being posted"),
    ],
)
def test_a_post_says_how_far_it_got(
    admin_client: Client, attempted: bool, posted: bool, finished: bool, word: str
) -> None:
    bot = make_bot()
    turn = make_turn(make_conversation(bot), bot)
    moment = turn.created_at
    turn.finished_at = moment if finished else None
    turn.save()
    post = OutgoingMessage.objects.create(
        turn=turn,
        part=OutgoingMessage.Part.ANSWER,
        content="Yes.",
        attempted_at=moment if attempted else None,
        posted_at=moment if posted else None,
    )

    text = admin_client.get(admin_url(post)).content.decode()

    assert f">{word}</span>" in text


@pytest.mark.django_db
def test_only_an_answer_has_a_time_to_answer(admin_client: Client) -> None:
    bot = make_bot()
    start = timezone.now()
    times = {"created_at": start, "finished_at": start + timedelta(seconds=7)}
    conversation = make_conversation(bot)
    answered = make_turn(conversation, bot, status="answered", reason="answered")
    given_up = make_turn(conversation, bot, status="handed_over", reason="paused")
    Turn.objects.update(**times)

    pages = [admin_client.get(admin_url(turn)).context for turn in (answered, given_up)]

    assert [page["time_to_answer"] for page in pages] == ["7.0 s", "–"]
    # The badge says “answered” already.
    assert [page["reason"] for page in pages] == [
        "",
        "the bot is paused in this conversation",
    ]


@pytest.mark.django_db
def test_a_collecting_turn_says_what_it_waits_for() -> None:
    bot = make_bot(debounce_s=20)
    turn = make_turn(make_conversation(bot), bot)
    until = timezone.now() + timedelta(seconds=20)

    for_a_worker = why_turn(turn)
    turn.next_attempt_at = until
    for_more = why_turn(turn)
    turn.queued_for = app_of(bot)
    for_a_place = why_turn(turn)

    assert for_a_worker == [str(TURN_STATES[Turn.Status.COLLECTING])]
    (sentence,) = for_more
    assert f"until {localtime(until):%H:%M:%S} for more messages" in sentence
    (sentence,) = for_a_place
    assert "a free place at the Dify app “Support flow”" in sentence


@pytest.mark.django_db
def test_a_run_that_failed_says_so_in_words(admin_client: Client) -> None:
    bot = make_bot()
    turn = make_turn(make_conversation(bot), bot)
    start = timezone.now()
    run = PipelineRun.objects.create(
        turn=turn,
        last_message_id=1,
        status="failed",
        error_code="worker_lost",
        error="Nobody knows.",
        started_at=start,
        finished_at=start + timedelta(seconds=12),
    )
    for code in ("run_aborted", "unauthorized"):
        UpstreamCall.objects.create(
            turn=turn, run=run, service="dify", error_code=code, duration_ms=5
        )

    response = admin_client.get(admin_url(run))
    page = response.content.decode()
    listed = admin_client.get(reverse("admin:conversations_pipelinerun_changelist"))

    assert response.context["run_view"].took == "12.0 s"
    assert "<strong>the worker died during the run</strong>" in page
    assert [call.error for call in response.context["calls"]] == [
        "",
        "key or token refused",
    ]
    stopped = response.context["calls"][0].status
    assert stopped == badge("stopped by the bridge", tone="calm")
    assert "the worker died during the run" in listed.content.decode()


@pytest.mark.usefixtures("translations")
def test_durations_read_well() -> None:
    turn = Turn()

    assert seconds(None) == "–"
    assert seconds(940) == "940 ms"
    assert seconds(4210) == "4.2 s"
    assert elapsed(turn.created_at, None) == "–"
    with translation.override("ru"):
        assert seconds(4210) == "4,2 с"


@pytest.mark.parametrize(
    ("text", "number"),
    [("133", 133), (" #133 ", 133), ("13a", None), ("", None), ("9" * 30, None)],
)
def test_number_in_a_search(text: str, number: int | None) -> None:
    assert number_in(text) == number


def test_a_free_run_costs_nothing_rather_than_a_dash() -> None:
    assert RunView(PipelineRun(pk=1, total_price=None)).cost == "–"


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("new_message", "the customer wrote again"),
        ("shutdown", "the worker was stopped; another one went on"),
        ("human_has_taken_over", "a human has answered since"),
    ],
)
def test_says_why_the_bridge_stopped_a_run(
    admin_client: Client, code: str, words: str
) -> None:
    bot = make_bot()
    turn = make_turn(make_conversation(bot), bot, queued_for=app_of(bot))
    PipelineRun.objects.create(
        turn=turn, last_message_id=1, status="stopped", error_code=code
    )

    page = admin_client.get(admin_url(turn)).content.decode()

    assert f"Stopped because: {words}" in page
    assert "Waits for a place at" in page
