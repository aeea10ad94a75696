"""The lists behind the overview: their rows, and what each filter and search costs.

What is rare is old here, so that a list that looks for it from the newest row on has to
read everything.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import django

django.setup()

from django.conf import settings  # noqa: E402 Django must be set up first
from django.contrib.auth.models import User  # noqa: E402
from django.db import connection  # noqa: E402
from django.test import Client  # noqa: E402
from django.urls import reverse  # noqa: E402
from django.utils import timezone  # noqa: E402
from django_celery_results.models import TaskResult  # noqa: E402

from bench import overview_rows as rows  # noqa: E402
from chatwoot_api.models import ChatwootAccount, Inbox  # noqa: E402
from conversations.models import (  # noqa: E402
    AuditEntry,
    Bot,
    Callback,
    Conversation,
    DifyConversation,
    OutgoingMessage,
    PipelineRun,
    Turn,
    UpstreamCall,
    WebhookEvent,
)
from dify_api.models import DifyApp  # noqa: E402

CALLS, OTHERS = 1_000_000, 300_000
# One conversation that never ends.
LONG = 4711
STATEMENTS = (
    # Of another account, bot and app there is next to nothing.
    "UPDATE {conversation} SET inbox_id = %(inbox)s, status = 'snoozed', "
    "labels = ARRAY['rare'] WHERE id = 7",
    "UPDATE {event} SET action = 'hand_over', reason = 'dify_failed', error = 'x', "
    "name = 'webwidget_triggered' WHERE id <= 20",
    # In every message of the first days, and never since.
    "UPDATE {event} SET payload = jsonb_set(payload, '{{content}}', "
    "to_jsonb(payload->>'content' || ' christmas')) WHERE id <= 60000",
    "UPDATE {turn} SET status = 'failed', reason = 'dify_failed', bot_id = %(bot)s "
    "WHERE id <= 20",
    "UPDATE {run} SET status = 'failed', dify_app_id = %(app)s WHERE id <= 20",
    # 5000 events and 1500 turns.
    "UPDATE {event} SET conversation_id = %(long)s WHERE id %% 200 = 3",
    "UPDATE {turn} SET conversation_id = %(long)s WHERE id %% 200 = 3",
)


def main() -> None:
    """Fill, measure, print; `bench.overview_rows` has made the other rows."""
    settings.ALLOWED_HOSTS.append("testserver")
    took = rows.timed(fill)
    rows.say(f"filled in {took:.0f} s")
    client = Client()
    client.force_login(User.objects.get(username="bench"))
    # There are more than a hundred of them.
    rows.REPEATS = 3
    for address in addresses():
        rows.visit(client, address)


def fill() -> None:
    """Make the rows that the overview itself does not need."""
    account = ChatwootAccount.objects.create(
        name="rare", key="rare", base_url="http://127.0.0.1:9", account_id=2
    )
    app = DifyApp.objects.create(
        name="rare", base_url="http://127.0.0.1:9", api_key="app-rare", mode="chat"
    )
    first = ChatwootAccount.objects.order_by("pk")[0]
    inbox = Inbox.objects.create(account=first, chatwoot_inbox_id=2)
    bot = Bot.objects.create(name="rare", account=first, dify_app=app)
    bot.pause_label, bot.pause_attribute = "rare", "silent"
    bot.save()
    bot.inboxes.add(inbox)
    moment = f"%(now)s - interval '{rows.DAYS} days' * (1 - n::float8 / {{count}})"
    others = moment.format(count=OTHERS)
    rows.insert(Callback, callback_columns(first, account, others), count=OTHERS)
    rows.insert(AuditEntry, audit_columns(first, account, others), count=OTHERS)
    rows.insert(TaskResult, task_columns(others), count=OTHERS)
    rows.insert(OutgoingMessage, post_columns(others), count=OTHERS)
    rows.insert(DifyConversation, memory_columns(app), count=rows.CONVERSATIONS)
    calls = moment.format(count=CALLS)
    rows.insert(UpstreamCall, call_columns(calls), count=CALLS)
    given = {"inbox": inbox.pk, "bot": bot.pk, "app": app.pk, "long": LONG}
    tables = {
        "conversation": Conversation._meta.db_table,
        "event": WebhookEvent._meta.db_table,
        "turn": Turn._meta.db_table,
        "run": PipelineRun._meta.db_table,
    }
    with connection.cursor() as cursor:
        for statement in STATEMENTS:
            cursor.execute(statement.format(**tables), given)
        cursor.execute("VACUUM ANALYZE")


def callback_columns(
    account: ChatwootAccount, other: ChatwootAccount, moment: str
) -> dict[str, str]:
    """Nearly all of them worked; the first ones did not."""
    return {
        "account_id": f"CASE WHEN n <= 20 THEN {other.pk} ELSE {account.pk} END",
        "bot_id": "CASE WHEN n > 20 THEN 1 + n % 3 END",
        "conversation_id": f"1 + n::bigint * 7919 % {rows.CONVERSATIONS}",
        "turn_id": "n",
        "run_id": "n",
        "caller": "'conversation_token'",
        "operation": "CASE WHEN n <= 20 THEN 'rate' ELSE "
        "(ARRAY['set_labels','set_priority','set_status'])[1 + n % 3] END",
        "status": "CASE WHEN n <= 20 THEN 'error' ELSE 'success' END",
        "code": "CASE WHEN n <= 20 THEN 'unknown_team' ELSE '' END",
        "mark": "gen_random_uuid()",
        "once_key": "NULL",
        "created_at": moment,
    }


def audit_columns(
    account: ChatwootAccount, other: ChatwootAccount, moment: str
) -> dict[str, str]:
    """Pauses mostly, by ten people."""
    return {
        "account_id": f"CASE WHEN n <= 20 THEN {other.pk} ELSE {account.pk} END",
        "conversation_id": f"1 + n::bigint * 7919 % {rows.CONVERSATIONS}",
        "actor": "CASE WHEN n <= 20 THEN 'rare' ELSE 'agent' || n % 10 END",
        "verb": "CASE WHEN n <= 20 THEN 'pruned' ELSE 'paused' END",
        "created_at": moment,
    }


def task_columns(moment: str) -> dict[str, str]:
    """A week of the tasks that beat starts."""
    return {
        "task_id": "gen_random_uuid()::text",
        "task_name": "CASE WHEN n <= 20 THEN 'conversations.jobs.task.run_job' ELSE "
        "'conversations.housekeeping.note_beat' END",
        "task_args": "'\"()\"'",
        "status": "CASE WHEN n <= 20 THEN 'FAILURE' ELSE 'SUCCESS' END",
        "date_created": moment,
        "date_done": moment,
    }


def post_columns(moment: str) -> dict[str, str]:
    """One answer for each turn."""
    return {
        "turn_id": "n",
        "part": "CASE WHEN n <= 20 THEN 'failure_note' ELSE 'answer' END",
        "mark": "gen_random_uuid()",
        "content": "repeat('It is on its way. ', 10)",
        "private": "n <= 20",
        "chatwoot_message_id": "n",
        "created_at": moment,
        "posted_at": moment,
    }


def memory_columns(app: DifyApp) -> dict[str, str]:
    """One Dify conversation for each conversation."""
    return {
        "conversation_id": "n",
        "app_id": f"CASE WHEN n <= 20 THEN {app.pk} ELSE {app.pk - 1} END",
        "dify_conversation_id": "gen_random_uuid()::text",
        "ended_at": "CASE WHEN n <= 20 THEN %(now)s END",
        "end_reason": "CASE WHEN n <= 20 THEN 'forgotten' ELSE '' END",
        "deleted_at": "CASE WHEN n <= 20 THEN %(now)s END",
    }


def call_columns(moment: str) -> dict[str, str]:
    """Three calls to Chatwoot for each to Dify."""
    return {
        "turn_id": f"1 + n % {rows.TURNS}",
        "service": "CASE WHEN n <= 20 THEN 'dify' ELSE 'chatwoot' END",
        "method": "'POST'",
        "path": "'/api/v1/accounts/1/conversations/' || n",
        "http_status": "CASE WHEN n <= 20 THEN 500 ELSE 200 END",
        "error_code": "CASE WHEN n <= 20 THEN 'dify_failed' ELSE '' END",
        "duration_ms": "n % 500",
        "created_at": moment,
    }


# The addresses of each list: none, one filter, the rare choices of each, searches.
_SEEN = (timezone.now() - timedelta(days=60)).date()
_RANGE = f"received_from={_SEEN:%Y-%m-%d}&received_to={_SEEN:%Y-%m-%d}"
_OLD = (timezone.now() - timedelta(days=80)).date()
LISTS: dict[str, tuple[str, ...]] = {
    "conversations_webhookevent": (
        "",
        "after={tenth}",
        "status__exact=processed",
        "status__exact=failed",
        "status__exact=received",
        "action__exact=ignore",
        "action__exact=hand_over",
        "action__exact=answer",
        "reason__exact=own_message",
        "reason__exact=dify_failed",
        "kind=message",
        "kind=widget",
        "kind=contact",
        "kind=other",
        "bot=1",
        "bot={rare_bot}",
        _RANGE,
        f"received_to={_OLD:%Y-%m-%d}",
        "account__id__exact=1",
        "account__id__exact=2",
        "conversation__id__exact={long}",
        "q=4711",
        "q=nr4711",
        "q=nr4",
        "q=nothingofthis",
        "q=order",
        "q=refund+invoice",
        "q=christmas",
        "q=order&bot={rare_bot}",
        "q=order&reason__exact=dify_failed",
        "q=order&" + _RANGE,
    ),
    "conversations_turn": (
        "",
        "status__exact=answered",
        "status__exact=failed",
        "status__exact=collecting",
        "reason__exact=answered",
        "reason__exact=dify_failed",
        "reason__exact=conversation_gone",
        "bot__id__exact=1",
        "bot__id__exact={rare_bot}",
        "created_at__gte={today}",
        "conversation__id__exact={long}",
        "q=4711",
    ),
    "conversations_conversation": (
        "",
        "waiting=yes",
        "status__exact=pending",
        "status__exact=snoozed",
        "silent=yes",
        "silent=here",
        "bot=1",
        "bot={rare_bot}",
        "inbox__id__exact=1",
        "inbox__id__exact=2",
        "account__id__exact=1",
        "account__id__exact=2",
        "updated_at__gte={today}",
        "q=4711",
        "q=customer",
        "q=customer+4711",
        "q=nobody",
    ),
    "conversations_pipelinerun": (
        "",
        "status__exact=succeeded",
        "status__exact=failed",
        "status__exact=running",
        "dify_app__id__exact=1",
        "dify_app__id__exact={rare_app}",
        "started_at__gte={today}",
        "q=4711",
        "q=no-such-message",
    ),
    "conversations_callback": (
        "",
        "status__exact=success",
        "status__exact=error",
        "status__exact=running",
        "look=refused",
        "operation=set_labels",
        "operation=rate",
        "bot__id__exact=1",
        "bot__id__exact={rare_bot}",
        "account__id__exact=2",
        "created_at__gte={today}",
        "conversation__id__exact={long}",
        "q=4711",
        "q=unknown_team",
    ),
    "conversations_auditentry": (
        "",
        "verb__exact=paused",
        "verb__exact=pruned",
        "account__id__exact=2",
        "created_at__gte={today}",
        "q=4711",
        "q=rare",
        "q=nobody",
    ),
    "django_celery_results_taskresult": (
        "",
        "status__exact=SUCCESS",
        "status__exact=FAILURE",
        "task=conversations.jobs.task.run_job",
        "date_done__gte={today}",
        "q=4711",
    ),
    "conversations_upstreamcall": (
        "",
        "service=chatwoot",
        "service=dify",
        "outcome=failed",
        "outcome=worked",
        "created_at__gte={today}",
        "q=4711",
    ),
    "conversations_outgoingmessage": (
        "",
        "part__exact=answer",
        "part__exact=failure_note",
        "private__exact=1",
        "created_at__gte={today}",
        "q=4711",
    ),
    "conversations_difyconversation": (
        "",
        "deletion=unproven",
        "deletion=failing",
        "deletion=proven",
        "ended_at__isempty=1",
        "ended_at__isempty=0",
        "end_reason__exact=forgotten",
        "app__id__exact={rare_app}",
        "last_used_at__gte={today}",
        "q=4711",
    ),
}


def addresses() -> Iterator[str]:
    """Return the address of each list, with each filter and search."""
    names = {
        "rare_bot": Bot.objects.get(name="rare").pk,
        "rare_app": DifyApp.objects.get(name="rare").pk,
        "long": LONG,
        "tenth": rows.EVENTS // 10,
        "today": f"{timezone.now():%Y-%m-%d}T00:00:00Z",
    }
    for name, questions in LISTS.items():
        address = reverse(f"admin:{name}_changelist")
        for question in questions:
            yield f"{address}?{question.format(**names)}"
    yield reverse("admin:conversations_conversation_change", args=[LONG])


if __name__ == "__main__":
    main()
