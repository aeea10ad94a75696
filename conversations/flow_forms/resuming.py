"""Bring the answer to a form to its paused run, and follow the run from there on."""

from __future__ import annotations

from contextlib import suppress

from bridge_project.lib.errors import ConfigurationError
from conversations import answering
from conversations.call_log import CallRecorder
from conversations.leases import Watch
from conversations.models import Bot, FlowForm, PipelineRun, Reason, Turn
from conversations.outcomes import NoAnswer
from dify_api.failures import DifyNotFound
from dify_api.human_input import (
    FormExpired,
    FormTaken,
    HumanInputClient,
    NoFormApi,
    not_yet,
    still_waits,
)
from dify_api.models import DifyApp
from dify_api.payloads import DifyReply, StreamIds
from dify_api.stream import OnProgress, ShouldStop


def is_answered(turn: Turn) -> bool:
    """Tell whether a turn brings an answer to a form, and is no question by itself."""
    return _has_answer(turn) and _is_by(turn)


def is_answered_otherwise(turn: Turn) -> bool:
    """Tell whether a turn is about a form that got its answer by another message.

    What the turn brought was none; the answer came before it could say so, and has a
    turn of its own.
    """
    return _has_answer(turn) and not _is_by(turn)


def _has_answer(turn: Turn) -> bool:
    form = turn.flow_form
    return form is not None and form.status == FlowForm.Status.ANSWERED


def _is_by(turn: Turn) -> bool:
    form = turn.flow_form
    event = form.answer.get("event") if form else None
    # Forgotten with the texts: then it was this one's.
    return event is None or turn.events.filter(pk=event).exists()


def resume(
    turn: Turn, *, question: str, bot: Bot, recorder: CallRecorder, watch: Watch
) -> PipelineRun:
    """Return a run that says what the flow said after the form was answered.

    Repeating it is harmless: Dify takes one answer, and then says that it has it.
    Raises what `answering.answer_for` raises, and NoAnswer where the form's time was
    over.
    """
    form = turn.flow_form
    app = form.run.dify_app if form else None
    if form is None or app is None:
        raise ConfigurationError(
            "The Dify app whose flow waited for the form is not set up any more."
        )
    done = turn.runs.filter(status=PipelineRun.Status.SUCCEEDED).order_by("pk").last()
    if done is not None:
        return done
    try:
        return answering.go_on(
            turn,
            question=question,
            former=form.run,
            bot=bot,
            app=app,
            recorder=recorder,
            watch=watch,
            go_on=_Submission(form, app=app, recorder=recorder),
        )
    except FormExpired as err:
        raise NoAnswer(
            Reason.FORM_UNANSWERED,
            error="The answer came, but the form's time in Dify was over.",
        ) from err
    except NoFormApi as err:
        raise NoAnswer(
            Reason.DIFY_PAUSED,
            error="Dify did not take the answer to the form: it is older than 1.14, or "
            f"does not know the form any more. {err}",
        ) from err


class _Submission:
    """Submits the answer, and reads what follows; called with the run's row stored."""

    def __init__(self, form: FlowForm, *, app: DifyApp, recorder: CallRecorder) -> None:
        self._form = form
        self._client = HumanInputClient(
            app.connection(), form_token=form.form_token, call_log=recorder
        )

    def __call__(
        self, ids: StreamIds, user: str, on_progress: OnProgress, stop: ShouldStop
    ) -> DifyReply:
        form, client = self._form, self._client
        inputs = form.answer.get("inputs")
        # It has ours if an earlier attempt was cut off, or somebody's in Dify itself.
        with suppress(FormTaken):
            client.submit(
                action=str(form.answer.get("action") or ""),
                inputs=inputs if isinstance(inputs, dict) else {},
                user=user,
            )
        try:
            reply = client.follow(
                ids, user=user, on_progress=on_progress, should_stop=stop
            )
        except DifyNotFound as err:
            raise NoFormApi(
                "Dify does not know the run that waited for the form.",
                service="dify",
                status=err.status,
                excerpt=err.excerpt,
            ) from err
        if still_waits(reply, form_id=form.form_id):
            raise not_yet(ids)
        return client.whole(reply, user=user, said_before=form.run.answer)
