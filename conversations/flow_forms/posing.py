"""Ask whoever is to fill in a form: the customer by a message, an agent by a note."""

from __future__ import annotations

from enum import StrEnum

from chatwoot_api.client import ChatwootClient
from conversations import answers, form_rows, posting
from conversations.answers import Answer
from conversations.flow_forms import wording
from conversations.models import Bot, FlowForm, OutgoingMessage, PipelineRun, Turn
from conversations.models.bot_settings import FormsGoTo
from conversations.rich import CHANNELS_WITH_ITEMS
from dify_api.payloads import Outcome


class Pose(StrEnum):
    """Of whom the form was asked."""

    CUSTOMER = "customer"
    AGENT = "agent"


def is_begun(turn: Turn, *, bot: Bot) -> bool:
    """Tell whether an earlier attempt came to a form: then its text is no answer."""
    if turn.is_first_attempt or not form_rows.are_asked(bot):
        return False
    return turn.flow_forms.exists()


def to_pose(turn: Turn, *, run: PipelineRun, bot: Bot) -> FlowForm | None:
    """Return the form that a run waits for, if somebody is to be asked."""
    if run.outcome != Outcome.PAUSED or not form_rows.are_asked(bot):
        return None
    return form_rows.made_by(turn)


def unclear(turn: Turn) -> FlowForm | None:
    """Return the form that is asked once more, since the answer was none."""
    form = turn.flow_form
    if form is None or form.status != FlowForm.Status.WAITING:
        return None
    return form


def pose(
    form: FlowForm,
    *,
    turn: Turn,
    bot: Bot,
    client: ChatwootClient,
    run: PipelineRun | None,
    answer: Answer | None = None,
    private: bool = False,
) -> Pose:
    """Post what the flow said before it paused, and then the question; each once.

    `run` is None where the form is asked once more; `answer` is what it said.
    `private`: a human speaks with the customer by now, so what the flow said is for
    the agents. Raises as posting does.
    """
    if run is not None and run.answer.strip():
        answers.deliver(
            turn,
            answer or answers.prepare(run, turn=turn, bot=bot),
            private=private,
            client=client,
            bot=bot,
        )
    if form.goes_to == FormsGoTo.AGENT:
        content, rich = wording.note(form, bot=bot), None
    else:
        word = wording.hint if run is None else wording.question
        shows_items = turn.conversation.channel in CHANNELS_WITH_ITEMS
        content, rich = word(form, bot=bot, shows_items=shows_items)
    posting.post_once(
        turn,
        part=OutgoingMessage.Part.FORM,
        content=content,
        private=form.goes_to == FormsGoTo.AGENT,
        client=client,
        rich=rich,
    )
    form_rows.note_asked(form, turn=turn)
    return Pose.AGENT if form.goes_to == FormsGoTo.AGENT else Pose.CUSTOMER
