"""Rows for measurements: `python -m bench.turns make | wake | count`."""

from __future__ import annotations

import os
import sys
import time
from collections import Counter

import django

django.setup()

from django.utils import timezone  # noqa: E402 Django must be set up first

from chatwoot_api.models import ChatwootAccount, Inbox  # noqa: E402
from conversations import tasks  # noqa: E402
from conversations.models import Bot, Conversation, Turn, WebhookEvent  # noqa: E402
from dify_api.models import DifyApp  # noqa: E402

UPSTREAM = os.environ["BENCH_UPSTREAM"]
RUNS = int(os.environ["BENCH_RUNS"])


def make() -> None:
    """Make a bot and as many conversations, each with a turn that is due."""
    account = ChatwootAccount.objects.create(
        name="bench", key="bench", base_url=UPSTREAM, account_id=1, bot_token="b"
    )
    app = DifyApp.objects.create(
        name="bench",
        base_url=UPSTREAM,
        api_key="app-bench",
        mode="chat",
        parameters={"user_input_form": [], "file_upload": {}},
        parameters_read_at=timezone.now(),
        max_concurrent_runs=1000,
    )
    bot = Bot.objects.create(name="bench", account=account, dify_app=app)
    inbox = Inbox.objects.create(account=account, chatwoot_inbox_id=1)
    for number in range(1, RUNS + 1):
        conversation = Conversation.objects.create(
            account=account,
            inbox=inbox,
            chatwoot_conversation_id=number,
            chatwoot_contact_id=number,
            status="pending",
            channel="Channel::Api",
        )
        turn = Turn.objects.create(
            conversation=conversation, bot=bot, last_message_id=number
        )
        WebhookEvent.objects.create(
            account=account,
            delivery_key=str(number),
            name="message_created",
            chatwoot_conversation_id=number,
            chatwoot_message_id=number,
            payload={
                "event": "message_created",
                "id": number,
                "message_type": "incoming",
                "content": "Where is my order?",
                "conversation": {"id": number},
            },
            received_at=timezone.now(),
            status="processed",
            action="answer",
            conversation=conversation,
            turn=turn,
        )


def wake() -> None:
    """Wake all turns, as 200 customers a second would."""
    for turn_id in Turn.objects.values_list("pk", flat=True):
        tasks.wake_turn(turn_id)


def count() -> None:
    """Print how the turns ended, once the last of them is written."""
    for _ in range(100):
        ends = Counter(Turn.objects.values_list("status", flat=True))
        if ends["answered"] == RUNS:
            break
        time.sleep(0.1)
    sys.stdout.write(str(dict(ends)))


if __name__ == "__main__":
    {"make": make, "wake": wake, "count": count}[sys.argv[1]]()
