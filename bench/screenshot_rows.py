"""A shop's busy month, for pictures of the admin; see `bench.screenshots`."""

from __future__ import annotations

from datetime import timedelta

from django.contrib.auth.models import Group, User
from django.db import connection, models
from django_celery_results.models import TaskResult

from bench import screenshot_copilot
from bench.overview_rows import NOW, insert
from chatwoot_api import sync, wish_files
from chatwoot_api.models import ChatwootAccount, Inbox
from conversations import callback_tokens
from conversations.models import (
    AlertChannel,
    AuditEntry,
    Bot,
    Callback,
    Conversation,
    DifyConversation,
    Erasure,
    Job,
    JobItem,
    OutgoingMessage,
    PipelineRun,
    Turn,
    UpstreamCall,
    WebhookEvent,
)
from conversations.reports import figures
from dify_api.models import DifyApp

MANY = 100_000
EVENTS = MANY * 3 // 2
DAYS = 31
# Rows that were there before keep their numbers.
FROM = 1000

_FIRST = ("Anna", "Ben", "Clara", "David", "Emma", "Farid", "Grace", "Hugo", "Iris")
_LAST = ("Miller", "Novak", "Olsen", "Patel", "Quinn", "Rossi", "Smith")
_QUESTIONS = (
    "Where is my order? It should have come on Tuesday.",
    "Can I change the delivery address of my order?",
    "The zip of the tent is broken. Can I get a refund?",
    "Do you have these boots in size 43?",
    "How do I send the jacket back? There was no label in the parcel.",
    "I was charged twice for the same invoice.",
    "Is the sleeping bag warm enough for minus five degrees?",
    "Thanks, that helped!",
    "Please cancel my order, I ordered the wrong colour.",
    "When will the blue backpack be available again?",
    "My discount code does not work.",
)
_ANSWERS = (
    "It left our warehouse yesterday and should reach you tomorrow before noon.",
    "Yes, until it is packed. Which address shall I enter?",
    "I am sorry about that. I have started a return; the label is in your inbox.",
    "Yes, size 43 is in stock: you would have them in two days.",
    "No problem: here is a new label. Print it and bring the parcel to any shop.",
)
# How turns end; the first of them most often.
_ENDS = (
    *["answered:answered"] * 15,
    "answered:answered_by_flow",
    "handed_over:handed_over_by_flow",
    "handed_over:dify_failed",
    "handed_over:took_too_long",
    "skipped:human_has_taken_over",
)
# What the other events are: nothing, or a message that is left to somebody else.
_OTHERS = (
    "own_message",
    "conversation_event",
    "human_reply",
    "typing",
    "own_message",
    "status_not_allowed",
    "private_note",
    "own_message",
    "paused",
    "activity",
    "contact_blocked",
)
_NAME = (
    f"(ARRAY{list(_FIRST)})[1 + n * 5 % {len(_FIRST)}] || ' ' || "
    f"(ARRAY{list(_LAST)})[1 + n * 3 % {len(_LAST)}]"
)


def fill() -> None:
    """Make all of it, and let PostgreSQL look at it."""
    account = ChatwootAccount.objects.get()
    sync.pull(account, now=NOW)
    bots = _bots(account)
    _people()
    _wishes(account)
    app = bots[0].dify_app
    if app is None:
        raise RuntimeError("the set-up has made no app")
    insert(Conversation, _conversations(account), count=MANY)
    insert(Turn, _turns(bots), count=MANY)
    insert(PipelineRun, _runs(app), count=MANY)
    insert(WebhookEvent, _events(account), count=EVENTS)
    insert(OutgoingMessage, _outgoing(), count=MANY)
    insert(UpstreamCall, _calls(), count=MANY)
    insert(Callback, _callbacks(account, bots[0]), count=MANY)
    insert(DifyConversation, _memories(app), count=MANY)
    insert(Job, _jobs(account), count=MANY)
    insert(AuditEntry, _audit(account), count=MANY)
    insert(TaskResult, _results(), count=MANY)
    screenshot_copilot.fill(first=FROM, many=MANY, forms=30)
    _go_on_counting()
    _extras(account, refused=DifyApp.objects.get(name="Wholesale"))
    figures.roll_up(NOW)


def _bots(account: ChatwootAccount) -> list[Bot]:
    """Add two bots to that of the set-up; the key of the last one is refused."""
    first = Bot.objects.select_related("dify_app").get()
    if first.dify_app is None:
        raise RuntimeError("the set-up has made no app")
    bots = [first]
    free = Inbox.objects.exclude(bots=first).order_by("pk")
    for name, key, inbox in zip(
        ("Returns desk", "Wholesale"),
        ("app-sandbox-agent-chat", "app-revoked-by-somebody"),
        free,
        strict=False,
    ):
        app = DifyApp.objects.create(
            name=name, base_url=first.dify_app.base_url, api_key=key, mode="agent-chat"
        )
        bot = Bot.objects.create(name=name, account=account, dify_app=app)
        bot.inboxes.set([inbox])
        bots.append(bot)
    refused = DifyApp.objects.filter(name="Wholesale")
    refused.mark_refused("Dify does not accept the key: Access token is invalid (401).")
    callback_tokens.make(first, by="admin")
    return bots


def _people() -> None:
    for name, role in (("olga", "Operator"), ("arthur", "Auditor")):
        user = User.objects.create_user(name, password="a-shop", is_staff=True)
        user.groups.add(Group.objects.get(name=role))


def _wishes(account: ChatwootAccount) -> None:
    """Want teams, labels and attributes that partly differ from Chatwoot's."""
    for kind, text in (
        (
            "team",
            "[{name: support, description: 'First line, weekdays 8 to 20'},"
            " {name: sales}, {name: wholesale, description: Shops and clubs}]",
        ),
        (
            "label",
            "[{title: vip, description: Handle with care, color: '#7C3AED'},"
            " {title: billing, color: '#0891B2'}]",
        ),
        ("attribute", "[{key: region, name: Region, values: [Berlin, Hamburg]}]"),
    ):
        wish_files.take(account, wish_files.read(text, kind=kind), by="admin")


# --- Columns: all rows of one number belong together ---------------------------------


def _moment(count: int) -> str:
    """Return a time within the month; nights are quieter than days."""
    age = f"({DAYS} * (1 - n::float8 / {count}))"
    days = f"greatest({age} - 0.11 * sin(6.2832 * {age}), 0.0002 * ({count} - n))"
    return f"(%(now)s - interval '1 day' * {days})"


def _array(values: tuple[str, ...]) -> str:
    return "ARRAY[" + ", ".join("'" + v.replace("'", "''") + "'" for v in values) + "]"


def _pick(values: tuple[str, ...], number: str = "n") -> str:
    return f"({_array(values)})[1 + ({number}) % {len(values)}]"


def _waits(yes: str, no: str) -> str:
    return f"CASE WHEN n > {MANY - 40} AND n % 6 = 0 THEN {yes} ELSE {no} END"


def _conversations(account: ChatwootAccount) -> dict[str, str]:
    inbox = Inbox.objects.filter(account=account).order_by("pk")[0]
    moment = _moment(MANY)
    return {
        "id": f"{FROM} + n",
        "account_id": str(account.pk),
        "inbox_id": str(inbox.pk),
        "channel": f"'{inbox.channel}'",
        "chatwoot_conversation_id": f"{FROM} + n",
        "chatwoot_contact_id": f"{FROM} + n",
        "contact_name": _NAME,
        "status": _waits("'open'", _pick(("resolved", "open", "pending", "resolved"))),
        "priority": _pick(("", "", "", "high", "", "urgent")),
        "labels": "CASE WHEN n % 9 = 0 THEN ARRAY['vip'] WHEN n % 4 = 0 THEN "
        "ARRAY['billing'] ELSE ARRAY[]::text[] END",
        "last_customer_message_id": f"{MANY} + n",
        "last_customer_message_at": moment,
        "last_bot_message_at": f"{moment} + interval '4 seconds'",
        "waiting_since": _waits(f"{moment} - interval '17 minutes'", "NULL"),
        "paused": "n % 997 = 0",
        "created_at": moment,
        "updated_at": moment,
    }


def _turns(bots: list[Bot]) -> dict[str, str]:
    end = f"CASE WHEN n % 4999 = 0 THEN 'failed:chatwoot_failed' ELSE {_pick(_ENDS)} "
    end += "END"
    moment = _moment(MANY)
    took = "(2 - 4 * ln(0.02 + random())) * interval '1 second'"
    return {
        "id": f"{FROM} + n",
        "conversation_id": f"{FROM} + n",
        "bot_id": f"(ARRAY{[bot.pk for bot in bots]})[1 + (n % 7 % 3)]",
        "status": f"split_part({end}, ':', 1)",
        "reason": f"split_part({end}, ':', 2)",
        "attempts": "CASE WHEN n % 20 = 17 THEN 4 ELSE 1 END",
        "last_message_id": f"{MANY} + n",
        "created_at": moment,
        "started_at": moment,
        "finished_at": f"{moment} + {took}",
    }


def _runs(app: DifyApp) -> dict[str, str]:
    failed = "n % 20 = 17"
    moment = _moment(MANY)
    return {
        "id": f"{FROM} + n",
        "turn_id": f"{FROM} + n",
        "dify_app_id": str(app.pk),
        "status": f"CASE WHEN {failed} THEN 'failed' ELSE 'succeeded' END",
        "last_message_id": f"{MANY} + n",
        "query": _pick(_QUESTIONS),
        "answer": f"CASE WHEN {failed} THEN '' ELSE {_pick(_ANSWERS)} END",
        "error": f"CASE WHEN {failed} THEN 'Dify: the model is overloaded.' ELSE '' "
        "END",
        "error_code": f"CASE WHEN {failed} THEN 'dify_provider_error' ELSE '' END",
        "inputs": "jsonb_build_object('language', 'en', 'inbox_name', 'Website')",
        "dify_conversation_id": "md5('dify ' || n)",
        "total_tokens": "200 + n % 900",
        "total_price": "0.0004 + n % 100 * 0.00001",
        "currency": "'USD'",
        "first_text_ms": "600 + n % 900",
        "duration_ms": "1800 + n % 4700",
        "started_at": moment,
        "finished_at": f"{moment} + interval '5 seconds'",
    }


def _events(account: ChatwootAccount) -> dict[str, str]:
    """Two of three are customers' messages with a turn; see `_OTHERS` for the rest."""
    owed, other = "n % 3 <> 2", _pick(_OTHERS, "n / 3")
    row = f"{FROM} + (n - 1) / 3 * 2 + CASE WHEN n % 3 = 0 THEN 2 ELSE 1 END"
    text = f"CASE WHEN {other} = 'own_message' AND NOT ({owed}) "
    text += f"THEN {_pick(_ANSWERS)} ELSE {_pick(_QUESTIONS)} END"
    incoming = f"{owed} OR {other} IN ('status_not_allowed', 'paused', "
    incoming += "'contact_blocked')"
    message = f"({incoming} OR {other} IN ('own_message', 'human_reply', "
    message += "'private_note', 'activity'))"
    payload = (
        "jsonb_build_object('event', 'message_created', 'id', "
        f"{MANY * 10} + n, 'message_type', CASE WHEN {incoming} THEN 'incoming' ELSE "
        f"'outgoing' END, 'content', {text}, 'private', {other} = 'private_note', "
        "'sender', jsonb_build_object('type', 'contact', 'name', "
        f"{_NAME}), 'conversation', jsonb_build_object('id', {row}, 'status', "
        "'open', 'channel', 'Channel::WebWidget'), 'inbox', jsonb_build_object('id', "
        "1, 'name', 'Website'))"
    )
    moment = _moment(EVENTS)
    failed = "n % 39999 = 1"
    return {
        "id": f"{FROM} + n",
        "account_id": str(account.pk),
        "delivery_key": "'delivery ' || n",
        "name": f"CASE WHEN {message} THEN 'message_created' WHEN {other} = 'typing' "
        "THEN 'conversation_typing_on' ELSE 'conversation_updated' END",
        "chatwoot_conversation_id": row,
        "chatwoot_message_id": f"CASE WHEN {message} THEN {MANY * 10} + n END",
        "payload": payload,
        "received_at": moment,
        "status": f"CASE WHEN {failed} THEN 'failed' ELSE 'processed' END",
        "error": f"CASE WHEN {failed} THEN 'The database was away.' ELSE '' END",
        "action": f"CASE WHEN {failed} THEN '' WHEN {owed} THEN 'answer' "
        "ELSE 'ignore' END",
        "reason": f"CASE WHEN {failed} THEN '' WHEN {owed} THEN 'customer_message' "
        f"ELSE {other} END",
        "conversation_id": row,
        "turn_id": f"CASE WHEN {owed} AND NOT ({failed}) THEN {row} END",
        "processed_at": moment,
    }


def _outgoing() -> dict[str, str]:
    moment = _moment(MANY)
    return {
        "id": f"{FROM} + n",
        "turn_id": f"{FROM} + n",
        "part": "'answer'",
        "mark": "gen_random_uuid()",
        "content": _pick(_ANSWERS),
        "chatwoot_message_id": f"{MANY * 10} + n",
        "created_at": moment,
        "posted_at": moment,
    }


def _calls() -> dict[str, str]:
    return {
        "id": f"{FROM} + n",
        "turn_id": f"{FROM} + n",
        "run_id": f"{FROM} + n",
        "service": "'dify'",
        "method": "'POST'",
        "path": "'/v1/chat-messages'",
        "http_status": "CASE WHEN n % 20 = 17 THEN 400 ELSE 200 END",
        "duration_ms": "1800 + n % 4700",
        "created_at": _moment(MANY),
    }


def _callbacks(account: ChatwootAccount, bot: Bot) -> dict[str, str]:
    return {
        "id": f"{FROM} + n",
        "account_id": str(account.pk),
        "bot_id": str(bot.pk),
        "conversation_id": f"{FROM} + n",
        "turn_id": f"{FROM} + n",
        "run_id": f"{FROM} + n",
        "caller": "'conversation_token'",
        "operation": _pick(
            ("update_labels", "assign_team", "update_custom_attributes")
        ),
        "arguments": '\'{"labels": ["billing"]}\'::jsonb',
        "before": "'{\"labels\": []}'::jsonb",
        "after": '\'{"labels": ["billing"]}\'::jsonb',
        "status": _pick(("success", "success", "success", "skipped", "error")),
        "http_status": "200",
        "duration_ms": "40 + n % 200",
        "created_at": _moment(MANY),
    }


def _memories(app: DifyApp) -> dict[str, str]:
    return {
        "id": f"{FROM} + n",
        "conversation_id": f"{FROM} + n",
        "app_id": str(app.pk),
        "dify_conversation_id": "md5('dify ' || n)",
        "dify_user": "'chatwoot-' || md5('contact ' || n)",
        "started_at": _moment(MANY),
        "last_used_at": _moment(MANY),
    }


def _jobs(account: ChatwootAccount) -> dict[str, str]:
    moment = _moment(MANY)
    return {
        "id": f"{FROM} + n",
        "kind": _pick(("replay", "delete_in_dify", "replay", "pull", "push")),
        "status": _pick(("done", "done", "done", "done", "stopped", "failed")),
        "actor": _pick(("admin", "olga", "olga")),
        "account_id": str(account.pk),
        "total": "0",
        "error": "CASE WHEN n % 6 = 5 THEN 'Chatwoot does not answer.' ELSE '' END",
        "created_at": moment,
        "started_at": moment,
        "finished_at": f"{moment} + interval '20 seconds'",
    }


def _audit(account: ChatwootAccount) -> dict[str, str]:
    return {
        "id": f"{FROM} + n",
        "actor": _pick(("olga", "admin", "system")),
        "verb": _pick(("replayed", "paused", "resumed", "handed_over")),
        "account_id": str(account.pk),
        "conversation_id": f"{FROM} + n",
        "created_at": _moment(MANY),
    }


def _results() -> dict[str, str]:
    return {
        "task_id": "'task ' || n",
        "task_name": "'conversations.tasks.run_turn'",
        "task_args": f"'\"(' || {FROM} + n || ',)\"'",
        "status": "'FAILURE'",
        "result": '\'{"exc_type": "OperationalError"}\'',
        "worker": "'celery@bridge-1'",
        "date_created": _moment(MANY),
        "date_done": _moment(MANY),
    }


# --- A few rows of what there are few -------------------------------------------------


def _extras(account: ChatwootAccount, *, refused: DifyApp) -> None:
    """A job that is under way, an overdue deletion, an erasure, somebody to tell."""
    job = Job.objects.create(
        kind="delete_in_dify",
        actor="olga",
        account=account,
        status=Job.Status.RUNNING,
        total=120,
        started_at=NOW,
        lease="7a3b4bd0-6d0b-4a3c-9f0e-3c1f3d2a9b11",
        # No worker is to take it: it is for the picture.
        lease_expires_at=NOW + timedelta(days=1),
    )
    for number in range(1, 121):
        state = "waiting" if number > 47 else "failed" if number == 31 else "done"
        outcome = {
            "waiting": "",
            "done": "Dify has deleted it; reading it back says so.",
            "failed": "Dify does not accept the key of “Wholesale”.",
        }
        JobItem.objects.create(
            job=job,
            position=number,
            title=f"Conversation #{MANY + FROM - number}",
            status=state,
            outcome=outcome[state],
        )
    since = NOW - timedelta(hours=30)
    for number in range(1, 4):
        DifyConversation.objects.create(
            app=refused,
            dify_conversation_id=f"5d1d2c9e-0000-4000-8000-00000000000{number}",
            dify_user="chatwoot-somebody",
            started_at=since,
            last_used_at=since,
            ended_at=since,
            end_reason="by_operator",
            delete_wanted_at=since,
            next_delete_at=NOW + timedelta(minutes=20),
            delete_attempts=9,
            delete_error="Dify does not accept the key.",
        )
    Erasure.objects.create(
        account=account,
        chatwoot_contact_id=999,
        requested_by="admin",
        status=Erasure.Status.DONE,
        counts={"conversations": 2, "turns": 5, "events": 31},
        erased_here_at=since,
        finished_at=since,
    )
    AlertChannel.objects.create(
        name="Support leads",
        kind=AlertChannel.Kind.EMAIL,
        email="support-leads@shop.example",
    )


def _go_on_counting() -> None:
    """Let what happens afterwards be newer than these rows."""
    kinds: tuple[type[models.Model], ...] = (
        *(Conversation, Turn, PipelineRun, WebhookEvent, OutgoingMessage),
        *(UpstreamCall, Callback, DifyConversation, Job, AuditEntry),
    )
    with connection.cursor() as cursor:
        for kind in kinds:
            table = kind._meta.db_table
            newest = f"SELECT max(id) FROM {table}"  # noqa: S608 our own
            cursor.execute(
                f"SELECT setval(pg_get_serial_sequence(%s, 'id'), ({newest}))", [table]
            )
        cursor.execute("VACUUM ANALYZE")
