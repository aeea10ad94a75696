"""A whole turn with everything that hangs on it, as often as a test needs it."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

from django.utils import timezone
from django_celery_results.models import TaskResult

from bridge_project.lib.types import JsonObject
from chatwoot_api.models import (
    Agent,
    AttributeDefinition,
    ChatwootAccount,
    Label,
    Team,
)
from conversations.models import (
    AuditEntry,
    Bot,
    DifyConversation,
    Draft,
    Erasure,
    FlowForm,
    Job,
    JobItem,
    OutgoingMessage,
    PipelineRun,
    Turn,
    UpstreamCall,
    WebhookEvent,
)
from conversations.tests.factories import (
    make_callback,
    make_conversation,
    make_event,
    make_turn,
)

FIRST_CONVERSATION = 501


def make_turns_with_everything(
    bot: Bot, sample: JsonObject, *, count: int
) -> list[Turn]:
    """Return answered turns, each of a conversation of its own, numbered from 501."""
    return [
        _make_turn(bot, sample, number=FIRST_CONVERSATION + i) for i in range(count)
    ]


def _make_turn(bot: Bot, sample: JsonObject, *, number: int) -> Turn:
    now = timezone.now()
    conversation = make_conversation(bot, chatwoot_conversation_id=number)
    turn = make_turn(
        conversation,
        bot,
        status=Turn.Status.ANSWERED,
        reason="answered",
        created_at=now - timedelta(seconds=9),
        finished_at=now,
    )
    make_event(
        bot.account,
        sample,
        conversation=conversation,
        chatwoot_conversation_id=number,
        chatwoot_message_id=number * 10,
        turn=turn,
        status=WebhookEvent.Status.PROCESSED,
        action="answer",
        reason="customer_message",
    )
    run = PipelineRun.objects.create(
        turn=turn,
        dify_app=bot.dify_app,
        status=PipelineRun.Status.SUCCEEDED,
        last_message_id=number * 10,
        query="Where is my order?",
        inputs={"language": "de"},
        answer="It left the warehouse <today>.",
        notes=["The app refused its inputs; they were read anew."],
        total_tokens=812,
        total_price=Decimal("0.0012040"),
        currency="USD",
        duration_ms=4210,
        dify_conversation_id=f"dify-conversation-{number}",
    )
    FlowForm.objects.create(
        conversation=conversation,
        bot=bot,
        turn=turn,
        run=run,
        status=FlowForm.Status.ANSWERED,
        goes_to="agent",
        form_token="hit_secret-token",
        title="Approve refund",
        content="Refund <20> EUR?",
        actions=[{"id": "approve", "title": "Approve"}],
        answer={"action": "approve", "title": "Approve", "inputs": {"note": "fine"}},
        answered_by="anna",
        expires_at=now,
    )
    OutgoingMessage.objects.create(
        turn=turn,
        part=OutgoingMessage.Part.ANSWER,
        content="It left the warehouse <today>.",
        posted_at=now,
        chatwoot_message_id=number * 10 + 1,
    )
    UpstreamCall.objects.create(
        turn=turn,
        run=run,
        service="dify",
        method="POST",
        path="/v1/chat-messages",
        http_status=200,
        duration_ms=4210,
        response_excerpt="event: ping",
    )
    Draft.objects.create(
        turn=turn,
        conversation=conversation,
        bot=bot,
        last_message_id=number * 10,
        text="It left the warehouse <today>.",
        human_message_id=number * 10 + 2,
        human_text="It left our warehouse today.",
        replied_at=now,
        similarity=0.93,
        edit_rate=0.4,
    )
    make_callback(bot, conversation=conversation, turn=turn, run=run)
    assert bot.dify_app is not None
    DifyConversation.objects.create(
        conversation=conversation,
        app=bot.dify_app,
        dify_conversation_id=f"dify-conversation-{number}",
        dify_user="chatwoot-someone",
    )
    TaskResult.objects.create(
        task_id=f"task-{number}",
        task_name="conversations.tasks.run_turn",
        status="SUCCESS",
        task_args='"(1,)"',
        result='"answered"',
    )
    return turn


def make_reports(bot: Bot, *, count: int) -> None:
    """Make audit entries, erasures and jobs, numbered from 501 and 10501."""
    for number in range(FIRST_CONVERSATION, FIRST_CONVERSATION + count):
        AuditEntry.objects.create(
            actor="anna",
            verb=AuditEntry.Verb.PAUSED,
            account=bot.account,
            conversation=bot.account.conversations.get(chatwoot_conversation_id=number),
        )
        Erasure.objects.create(
            account=bot.account,
            chatwoot_contact_id=number + 10_000,
            status=Erasure.Status.DONE,
            requested_by="anna",
            counts={"conversations": 1, "turns": 3},
        )
        job = Job.objects.create(
            kind="delete_in_dify",
            actor="anna",
            account=bot.account,
            total=2,
            status=Job.Status.DONE,
        )
        for position, state in enumerate(("done", "failed")):
            JobItem.objects.create(
                job=job, position=position, title=f"#{number}", status=state
            )


def make_mirrors(account: ChatwootAccount, *, count: int) -> None:
    """Make teams, agents, labels and attribute definitions, numbered from 501."""
    for number in range(FIRST_CONVERSATION, FIRST_CONVERSATION + count):
        name = f"support-{number}"
        Team.objects.create(account=account, chatwoot_team_id=number, name=name)
        Agent.objects.create(account=account, chatwoot_agent_id=number, name=name)
        Label.objects.create(account=account, chatwoot_label_id=number, title=name)
        AttributeDefinition.objects.create(
            account=account,
            chatwoot_definition_id=number,
            key=name,
            model=AttributeDefinition.Model.CONVERSATION,
            display_type=AttributeDefinition.DisplayType.TEXT,
        )
