"""Answers of each kind from the played Dify to the played Chatwoot, over real HTTP."""

from __future__ import annotations

from typing import Any

import pytest

from bridge_project.lib.types import JsonObject
from conversations import pipeline
from conversations.models import Bot, Conversation, PipelineRun, Turn
from conversations.tests.factories import make_app, make_event, make_turn
from conversations.tests.sandbox_chatwoot import API, SandboxChatwoot

pytestmark = pytest.mark.django_db(transaction=True)

# The files of the played Dify's tools.
PICTURE_BYTES, REPORT_BYTES = 74, 72
PNG = {"file_type": "image", "file_size": PICTURE_BYTES}


class Talk:
    """A customer's message, answered by the played Dify."""

    def __init__(
        self, sandbox: SandboxChatwoot, sample: JsonObject, *, mode: str = "chat"
    ) -> None:
        self.sandbox, self._sample = sandbox, sample
        app = make_app(
            base_url=f"{sandbox.base_url}/v1",
            api_key=f"app-sandbox-{mode}",
            mode=mode,
            parameters={},
            parameters_read_at=None,
        )
        self.bot: Bot = sandbox.bot(
            dify_app=app, inputs={"chatwoot_conversation_id": "conversation.id"}
        )

    def ask(self, text: str, **about: Any) -> Turn:
        number = self.sandbox.start(message=text, **about.pop("started", {}))
        values = {"chatwoot_conversation_id": number, **about}
        conversation = Conversation.objects.create(
            account=self.bot.account,
            channel=values.pop("channel", "Channel::WebWidget"),
            status="pending",
            **values,
        )
        (last,) = self.sandbox.messages(number)
        turn = make_turn(conversation, self.bot, last_message_id=last["id"])
        payload = {**self._sample, "id": last["id"], "content": text}
        make_event(
            self.bot.account,
            payload,
            conversation=conversation,
            turn=turn,
            chatwoot_conversation_id=number,
            status="processed",
            action="answer",
        )
        pipeline.run(turn.pk)
        turn.refresh_from_db()
        assert (turn.status, turn.reason) == ("answered", "answered")
        return turn

    def answers(self, turn: Turn) -> list[Any]:
        number = turn.conversation.chatwoot_conversation_id
        return self.sandbox.messages(number)[1:]


@pytest.fixture
def sample(payload: Any) -> JsonObject:
    found: JsonObject = payload("message_created_incoming_text")
    return found


@pytest.mark.parametrize("mode", ["chat", "agent-chat", "advanced-chat", "workflow"])
def test_a_tools_picture_is_attached(
    sandbox: SandboxChatwoot, sample: JsonObject, mode: str
) -> None:
    talk = Talk(sandbox, sample, mode=mode)

    (answer,) = talk.answers(talk.ask("/file"))

    (attachment,) = answer["attachments"]
    assert {key: attachment[key] for key in PNG} == PNG
    assert "Hello" in answer["content"]


def test_markdowns_picture_and_link_are_attached(
    sandbox: SandboxChatwoot, sample: JsonObject
) -> None:
    talk = Talk(sandbox, sample)

    (answer,) = talk.answers(talk.ask("/picture"))

    assert answer["content"] == ("Here is your tent:\n\nThe details are in the report.")
    assert [item["file_size"] for item in answer["attachments"]] == [
        PICTURE_BYTES,
        REPORT_BYTES,
    ]


def test_choices_cards_and_forms_are_shown_as_such(
    sandbox: SandboxChatwoot, sample: JsonObject
) -> None:
    talk = Talk(sandbox, sample)

    told = [
        talk.answers(talk.ask(word))[0] for word in ("/buttons", "/cards", "/fields")
    ]

    assert [answer["content_type"] for answer in told] == [
        "input_select",
        "cards",
        "form",
    ]
    assert [answer["content"] for answer in told] == [
        "Is the parcel **damaged**?",
        "These would fit:",
        "Where shall we send it?",
    ]
    assert told[0]["content_attributes"]["items"] == [
        {"title": "Yes", "value": "Yes"},
        {"title": "No", "value": "It is not damaged"},
    ]
    assert told[2]["content_attributes"]["button_label"] == "Send"


def test_an_api_channel_gets_them_too(
    sandbox: SandboxChatwoot, sample: JsonObject
) -> None:
    talk = Talk(sandbox, sample)

    turn = talk.ask("/buttons", channel="Channel::Api", started={"inbox_id": API})

    assert [row["content_type"] for row in talk.answers(turn)] == ["input_select"]


def test_suggested_questions_come_after_the_answer(
    sandbox: SandboxChatwoot, sample: JsonObject
) -> None:
    talk = Talk(sandbox, sample)
    Bot.objects.filter(pk=talk.bot.pk).update(suggested_questions=True)

    turn = talk.ask("Where is it?")

    first, second = talk.answers(turn)
    assert first["content_type"] == "text"
    assert (second["content"], second["content_type"]) == (
        "You could ask:",
        "input_select",
    )
    titles = [item["title"] for item in second["content_attributes"]["items"]]
    assert titles == ["When will it arrive?", "Can I return it?", "Talk to a person"]
    assert PipelineRun.objects.get(turn=turn).suggestions == titles


def test_a_long_answer_comes_in_parts_and_the_sign_is_gone(
    sandbox: SandboxChatwoot, sample: JsonObject
) -> None:
    """A channel of which the sandbox has no inbox: the bridge goes by its mirror."""
    talk = Talk(sandbox, sample)

    turn = talk.ask("/long 2500", channel="Channel::Instagram")

    parts = [answer["content"] for answer in talk.answers(turn)]
    assert len(parts) == 3
    assert max(map(len, parts)) <= 1000
    assert " ".join(part.strip() for part in parts) == turn.runs.get().answer.strip()
    kinds = [
        call.rpartition("/")[2]
        for call in sandbox.calls()
        if call.startswith("POST") and call.endswith(("typing_status", "messages"))
    ]
    assert kinds == ["toggle_typing_status"] * 2 + ["messages"] * 3
    assert not sandbox.state(turn.conversation.chatwoot_conversation_id)["typing"]
