"""The page of the drafts: what it counts, what it says, and that it stays cheap."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from conversations.admin import draft_numbers
from conversations.models import Bot, Conversation, Draft
from conversations.reports.drafts import PERIODS, Quality, period_of, report
from conversations.tests.factories import make_bot, make_conversation, make_turn

pytestmark = pytest.mark.django_db

LIST = "admin:conversations_draft_changelist"


def make_draft(conversation: Conversation, bot: Bot, **values: Any) -> Draft:
    turn = make_turn(conversation, bot, kind="draft", status="answered")
    texts = {"text": "It ships today.", "conversation": conversation}
    return Draft.objects.create(turn=turn, bot=bot, **{**texts, **values})


def make_answered(
    conversation: Conversation, bot: Bot, *, similarity: float, edit_rate: float
) -> Draft:
    return make_draft(
        conversation,
        bot,
        human_message_id=9110,
        human_text="It ships <now>.",
        replied_at=timezone.now(),
        similarity=similarity,
        edit_rate=edit_rate,
    )


def test_counts_what_humans_made_of_the_drafts(
    bot: Bot, conversation: Conversation
) -> None:
    other = make_bot(bot.account, name="Other", dify_app=None)
    for similarity, edit_rate in ((1.0, 0.0), (0.9, 0.1), (0.5, 0.8)):
        make_answered(conversation, bot, similarity=similarity, edit_rate=edit_rate)
    make_draft(conversation, bot)
    make_draft(conversation, other, human_message_id=0)
    make_draft(conversation, bot, created_at=timezone.now() - timedelta(days=40))

    found = report(period_of("30d"), now=timezone.now())

    total = found.total
    assert (total.drafts, total.answered, total.unchanged) == (5, 3, 2)
    assert total.similarity == 0.9
    assert total.edit_rate == pytest.approx(0.3)
    assert [(name, one.drafts) for name, one in found.bots] == [
        ("Nordbot", 4),
        ("Other", 1),
    ]
    of_bot = found.bots[0][1]
    assert (of_bot.answered_share, of_bot.unchanged_share) == (0.75, 2 / 3)
    assert len(found.points) == 30
    assert found.points[-1][1].drafts == 5
    assert sum(one.drafts for _at, one in found.points) == 5
    assert [(name, one.drafts) for _at, name, one in found.by_bot] == [
        ("Nordbot", 4),
        ("Other", 1),
    ]
    weeks = report(period_of("12w"), now=timezone.now(), bot_id=bot.pk)
    assert (weeks.total.drafts, len(weeks.points)) == (5, 12)


@pytest.mark.parametrize(
    ("total", "beginning"),
    [
        (Quality(), "Too few drafts were answered by a human yet"),
        (Quality(60, 49, 49, 1.0, 0.0), "Too few drafts were answered"),
        (Quality(60, 50, 40, 0.95, 0.1), "Humans sent 80 % of the drafts nearly"),
        (Quality(60, 50, 39, 0.95, 0.1), "Humans sent 78 % of the drafts nearly"),
    ],
)
def test_one_sentence_says_whether_to_let_the_bot_speak(
    total: Quality, beginning: str
) -> None:
    text = draft_numbers.advice(total)

    assert text.startswith(beginning)
    assert ("can be let speak" in text) is (total.unchanged == 40)


def test_shows_the_draft_beside_what_was_sent(
    admin_client: Client, bot: Bot, conversation: Conversation
) -> None:
    draft = make_answered(conversation, bot, similarity=0.93, edit_rate=0.25)

    page = admin_client.get(reverse(LIST)).content.decode()
    own = reverse("admin:conversations_draft_change", args=[draft.pk])
    story = admin_client.get(own).content.decode()

    for text in ("It ships today.", "It ships &lt;now&gt;.", "93 %", "25 %"):
        assert text in page
        assert text in story
    assert "sent nearly unchanged" in story


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ("", 4),
        ("period=7d", 3),
        ("outcome=unchanged", 1),
        ("outcome=changed", 1),
        ("outcome=unused", 1),
        ("outcome=waiting", 1),
        ("bot__id__exact=0", 0),
        ("bot__id__exact=999999999999999999999", 0),
        ("q=133", 4),
        ("q=134", 0),
        ("period=never", 4),
    ],
)
def test_filters(
    admin_client: Client,
    bot: Bot,
    conversation: Conversation,
    query: str,
    count: int,
) -> None:
    make_answered(conversation, bot, similarity=0.95, edit_rate=0.0)
    make_answered(conversation, bot, similarity=0.2, edit_rate=0.9)
    make_draft(conversation, bot, human_message_id=0)
    make_draft(conversation, bot, created_at=timezone.now() - timedelta(days=10))

    answer = admin_client.get(f"{reverse(LIST)}?{query}", follow=True)

    assert answer.status_code == 200
    if query not in ("bot__id__exact=999999999999999999999", "period=never"):
        assert len(answer.context["cl"].result_list) == count


@pytest.mark.parametrize("period", [one.name for one in PERIODS])
def test_costs_the_same_with_many_drafts(
    admin_client: Client, bot: Bot, conversation: Conversation, period: str
) -> None:
    url = f"{reverse(LIST)}?period={period}"
    make_answered(conversation, bot, similarity=0.95, edit_rate=0.0)
    admin_client.get(url)
    with CaptureQueriesContext(connection) as few:
        admin_client.get(url)
    other = make_bot(bot.account, name="Other", dify_app=None)
    for number in range(140, 150):
        talk = make_conversation(other, chatwoot_conversation_id=number)
        make_answered(talk, other, similarity=0.5, edit_rate=0.5)

    with CaptureQueriesContext(connection) as many:
        admin_client.get(url)

    assert len(many) == len(few)
