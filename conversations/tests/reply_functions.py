"""Reply providers as other projects write them; what they were asked is kept."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any, cast

import requests

from bridge_project.lib.errors import UpstreamUnavailable
from conversations.models import Conversation
from conversations.providers import ReplyContext

asked: list[str] = []
told: list[ReplyContext] = []
# What a function that waits waits for; tests set it so that no thread stays behind.
go_on = threading.Event()
# Happens after the question and before the answer.
meanwhile: list[Callable[[], object]] = []
closed: list[str] = []


def plain(message: str) -> str | None:
    asked.append(message)
    for happen in meanwhile:
        happen()
    return f"You said: {message}"


def silent(message: str) -> str | None:
    asked.append(message)
    for happen in meanwhile:
        happen()
    return None


def blank(message: str) -> str:
    return " \n"


def rich(context: ReplyContext) -> str:
    told.append(context)
    context.report.total_tokens = 17
    context.report.notes.append("found 3 passages")
    return f"Hello {context.contact_name}"


def streaming(context: ReplyContext) -> Iterator[str]:
    yield "The seam "
    yield ""
    yield f"is covered, {context.contact_name}."


def with_database(message: str) -> str:
    return f"{Conversation.objects.count()} conversations"


def repeats_the_token(context: ReplyContext) -> str:
    return f"Your token is {context.inputs['conversation_token']}"


def broken(message: str) -> str:
    raise KeyError("index")


def unreachable(message: str) -> str:
    asked.append(message)
    raise requests.ConnectionError("no route to the vector store")


def unavailable(message: str) -> str:
    raise UpstreamUnavailable("The vector store is busy.", service="chatwoot")


def wrong(message: str) -> object:
    return {"answer": "text"}


def hangs(message: str) -> str:
    asked.append(message)
    go_on.wait(30)
    return "too late"


def hangs_between_pieces(message: str) -> Iterator[str]:
    try:
        yield "one"
        go_on.wait(30)
        yield "two"
        yield "three"
    finally:
        closed.append("generator")


class Index:
    """A provider that is loaded once."""

    def __call__(self, context: ReplyContext) -> str:
        told.append(context)
        return "from the index"


index = Index()


async def asynchronous(message: str) -> str:
    return message


def without_argument() -> str:
    return ""


def ends_the_process(message: str) -> str:
    raise SystemExit(3)


def tells_nonsense(context: ReplyContext) -> str:
    report = cast(Any, context.report)
    report.total_tokens, report.total_price = "many", float("nan")
    report.currency = report.notes = None
    return "Hello"
