"""Drafts, forms of flows and voice, for pictures of the admin."""

from __future__ import annotations

from datetime import timedelta

from bench.overview_rows import NOW
from conversations.drafts.comparison import compared
from conversations.models import Bot, Draft, FlowForm, OpenAIServer, PipelineRun, Turn

# What humans sent in place of a draft, by what it began with.
_SENT = {
    "It left": "It left our warehouse yesterday and should reach you tomorrow.",
    "Yes, until": "Yes, until it is packed. Which address shall I enter?",
    "I am sorry": "I am sorry! I have sent you a new tent. Please keep the broken one.",
    "Yes, size": "Yes, size 43 is in stock: you would have them in two days.",
    "No problem": "No problem: here is a new label. Print it and bring it back.",
}
_FORMS = (
    ("Approve refund", "Refund 89 EUR for the tent with the broken zip?", "customer"),
    ("Release order", "The order is above 500 EUR. May it be sent?", "agent"),
    ("Choose a shop", "Where would you like to pick the boots up?", "customer"),
)
# One of so many turns; no divisor of what the rows repeat after.
_STEP = 151
# Each of so many conversations was resolved without a reply.
_UNUSED = 12


def fill(*, first: int, many: int, forms: int) -> None:
    """Change some answered turns of the month into what the pictures need."""
    bots = list(Bot.objects.order_by("pk"))
    chosen = range(first + many, first, -_STEP)
    answered = Turn.objects.filter(
        pk__in=list(chosen), status=Turn.Status.ANSWERED, reason="answered"
    )
    rows = list(answered.select_related("conversation").order_by("-pk"))
    # Forms are few, and all of the last days.
    _forms(rows[1 : 2 * forms : 2], bot=bots[0])
    _drafts([*rows[: 2 * forms : 2], *rows[2 * forms :]], bot=bots[1])


def _drafts(turns: list[Turn], *, bot: Bot) -> None:
    """Let these have been drafts; the newest have no reply yet."""
    runs = {run.turn_id: run for run in PipelineRun.objects.filter(turn__in=turns)}
    Turn.objects.filter(pk__in=[turn.pk for turn in turns]).update(
        kind=Turn.Kind.DRAFT, bot=bot, reason="suggested", replied_as="private_note"
    )
    made = []
    for number, turn in enumerate(turns):
        at = turn.finished_at or NOW
        draft = Draft(
            turn=turn,
            conversation=turn.conversation,
            bot=bot,
            last_message_id=turn.last_message_id,
            text=runs[turn.pk].answer,
            created_at=at,
        )
        if number % _UNUSED == 0 and number:
            draft.human_message_id = 0
        elif number > 1:
            sent = next(
                text for start, text in _SENT.items() if draft.text.startswith(start)
            )
            found = compared(draft.text, sent)
            draft.human_message_id, draft.human_text = turn.pk, sent
            draft.replied_at = at + timedelta(minutes=3)
            draft.similarity, draft.edit_rate = found.similarity, found.edit_rate
        made.append(draft)
    Draft.objects.bulk_create(made)


def _forms(turns: list[Turn], *, bot: Bot) -> None:
    """Let the runs of these have paused for a form; the newest still waits."""
    runs = {run.turn_id: run for run in PipelineRun.objects.filter(turn__in=turns)}
    Turn.objects.filter(pk__in=runs).update(reason="asked_for_form", bot=bot)
    made = []
    for number, turn in enumerate(turns):
        title, content, goes_to = _FORMS[number % len(_FORMS)]
        at = turn.finished_at or NOW
        state = "waiting" if number == 0 else "expired" if number == 4 else "answered"
        made.append(
            FlowForm(
                conversation=turn.conversation,
                bot=bot,
                turn=turn,
                run=runs[turn.pk],
                status=state,
                goes_to=goes_to,
                title=title,
                content=content,
                actions=[
                    {"id": "yes", "title": "Yes"},
                    {"id": "no", "title": "No"},
                ],
                answer={"action": "yes", "title": "Yes"} if state == "answered" else {},
                answered_by=("customer" if goes_to == "customer" else "Marta Keller")
                if state == "answered"
                else "",
                created_at=at,
                # No worker is to end the one that waits: it is for the picture.
                expires_at=at + timedelta(days=3 if state == "waiting" else 0),
                finished_at=None if state == "waiting" else at + timedelta(minutes=2),
            )
        )
    # The list is by number.
    FlowForm.objects.bulk_create(reversed(made))


def open_up() -> None:
    """Let a bot hear by the sandbox, offer suggested questions, and have limits."""
    bot = Bot.objects.select_related("dify_app").earliest("pk")
    if bot.dify_app is None:
        raise RuntimeError("the set-up has made no app")
    server = OpenAIServer.objects.create(
        name="Speech to text",
        base_url=bot.dify_app.base_url.replace("/v1", "/openai/v1"),
        api_key="sandbox-openai-key",
        transcription_model="whisper-1",
        chat_model="llama3.2",
        system_prompt="You answer customers of an outdoor shop, briefly and kindly.",
    )
    bot.transcriber, bot.suggested_questions = server, True
    bot.max_answers_per_hour = 30
    bot.allow_rules, bot.ignore_rules = "", "label:press\nemail:*@supplier.example"
    bot.save()
