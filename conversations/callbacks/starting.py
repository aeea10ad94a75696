"""Start a conversation with a customer, by a flow."""

from __future__ import annotations

import time

from bridge_project.lib.types import JsonObject
from chatwoot_api.client import ChatwootClient
from chatwoot_api.models import ChatwootAccount
from conversations.actions.starting import start_conversation
from conversations.callbacks import answers
from conversations.callbacks.answers import Answer
from conversations.callbacks.serving import WORK_S, AccountOperation
from conversations.models import Bot

FIELDS = (
    "contact_id",
    "contact_identifier",
    "contact_email",
    "contact_phone",
    "contact_name",
    "inbox",
    "message",
    "status",
    "snoozed_until",
    "team",
    "priority",
    "labels",
    "custom_attributes",
)


def _start(
    account: ChatwootAccount,
    bot: Bot | None,
    client: ChatwootClient,
    wanted: JsonObject,
) -> Answer:
    started, *steps = start_conversation(
        account,
        bot=bot,
        client=client,
        wanted=wanted,
        until=time.monotonic() + WORK_S,
    )
    if started.result not in answers.GOOD:
        return answers.of_one(started, number=None)
    number = int(str(started.after))
    answer = answers.of_several(steps, number=number)
    # The conversation is there, whatever became of the rest.
    status = "success" if answer.body["status"] == "success" else "partial"
    text = started.message
    if steps:
        text = f"{text} {answer.body['message']}"
    body: JsonObject = {
        **answer.body,
        **started.extra,
        "status": status,
        "message": text.strip(),
    }
    body.pop("skipped", None)
    return Answer(body=body, before=answer.before, after=answer.after)


START_CONVERSATION = AccountOperation(
    name="start_conversation",
    perform=_start,
    fields=FIELDS,
    changes=True,
    open_to_claims=False,
)
