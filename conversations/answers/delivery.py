"""Post an answer, in as many messages as its channel needs, each of them once."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from django.conf import settings
from django.utils import translation
from django.utils.translation import gettext as _

from bridge_project.lib.errors import Unauthorized, UpstreamRejected
from bridge_project.lib.types import JsonObject
from chatwoot_api.client import ChatwootClient
from chatwoot_api.message_calls import Upload
from conversations import posting
from conversations.answers import media, reading, shaping, splitting
from conversations.answers.answer import Answer, AnswerFile
from conversations.answers.channels import Channel, Shows, channel_of
from conversations.models import Bot, OutgoingMessage, PipelineRun, Turn
from conversations.rich import Rich

logger = logging.getLogger(__name__)

ANSWER = OutgoingMessage.Part.ANSWER
# Chatwoot takes 200 messages a minute and conversation, from everybody together.
MAX_MESSAGES = 40


# Raises when the turn is another worker's by now.
Keep = Callable[[], object]


def _nobody_asks() -> None:
    """Whoever posts has just made sure."""


@dataclass(frozen=True, kw_only=True)
class _Planned:
    """One message of an answer."""

    content: str
    rich: Rich | None = None
    files: tuple[AnswerFile, ...] = ()


def prepare(run: PipelineRun, *, turn: Turn, bot: Bot) -> Answer:
    """Read a run's answer and fetch its files: all that takes time before the post.

    What was odd about it is noted at the run.
    """
    answer = reading.read(run, bot=bot)
    if answer.files:
        with _in_language_of(bot):
            answer = media.fetched(answer, source=_source(turn, bot=bot))
    new = [note for note in answer.notes if note not in run.notes]
    if new:
        run.notes += new
        run.save(update_fields=["notes"])
    return answer


def deliver(
    turn: Turn,
    answer: Answer,
    *,
    private: bool,
    client: ChatwootClient,
    bot: Bot,
    keep: Keep = _nobody_asks,
) -> None:
    """Post the answer, unless it is posted; goes on where an earlier attempt stopped.

    All its messages are written down before the first is posted, so that an attempt
    that follows a crash posts the rest of just this answer. `keep` is called before
    each but the first, and raises when the turn is no longer ours. Raises as
    `posting.post_once` does.
    """
    rows = _begun(turn)
    if rows and posting.is_there(rows[0], client=client):
        _go_on(rows, turn=turn, client=client, bot=bot, keep=keep)
        return
    with _in_language_of(bot):
        planned = _plan(answer, turn=turn, private=private, bot=bot)
    rows = _written_down(planned, known=rows, turn=turn, private=private)
    for row, message in zip(rows, planned, strict=True):
        if row.number:
            keep()
        _post(row, files=_uploads(message.files), client=client, bot=bot)


def first_posted(turn: Turn, *, client: ChatwootClient) -> OutgoingMessage | None:
    """Return an answer's first message if the customer has it, None if not."""
    rows = _begun(turn)
    is_there = bool(rows) and posting.is_there(rows[0], client=client)
    return rows[0] if is_there else None


def post_rest(
    turn: Turn, *, client: ChatwootClient, bot: Bot, keep: Keep = _nobody_asks
) -> None:
    """Post what is left of an answer whose beginning the customer has.

    A human who has answered in between does not stop it: it was begun, and half an
    answer helps nobody.
    """
    _go_on(_begun(turn), turn=turn, client=client, bot=bot, keep=keep)


def _go_on(
    rows: Sequence[OutgoingMessage],
    *,
    turn: Turn,
    client: ChatwootClient,
    bot: Bot,
    keep: Keep,
) -> None:
    source = _source(turn, bot=bot)
    for row in rows:
        if posting.is_there(row, client=client):
            continue
        files, is_missing = _again(row, source=source)
        if is_missing:
            row.content = _without_file(row.content, bot=bot)
        keep()
        _post(row, files=files, client=client, bot=bot)


def _post(
    row: OutgoingMessage, *, files: Sequence[Upload], client: ChatwootClient, bot: Bot
) -> None:
    """Post a message; without its files if it is refused for them."""
    try:
        posting.post_planned(row, client=client, files=files)
    except UpstreamRejected as err:
        if not files or isinstance(err, Unauthorized):
            raise
        logger.warning("Turn %s: an answer goes without its files: %s", row.turn, err)
        row.content = _without_file(row.content, bot=bot)
        row.rich.pop("files", None)
        posting.post_planned(row, client=client)


def _without_file(content: str, *, bot: Bot) -> str:
    with _in_language_of(bot):
        line = f"({_('a file could not be attached')})"
    # An attempt before this one may have said so.
    if content.endswith(line):
        return content
    return "\n\n".join(filter(None, [content, line]))


def _begun(turn: Turn) -> list[OutgoingMessage]:
    if turn.is_first_attempt:
        return []
    rows = list(OutgoingMessage.objects.filter(turn=turn, part=ANSWER))
    for row in rows:
        row.turn = turn
    return sorted(rows, key=lambda row: row.number)


def _again(
    row: OutgoingMessage, *, source: media.Source
) -> tuple[tuple[Upload, ...], bool]:
    """Fetch a message's files once more; also tell whether one was not to be had."""
    found: list[Upload] = []
    wanted = row.rich.get("files")
    items = wanted if isinstance(wanted, list) else []
    for item in items:
        if not isinstance(item, dict):
            continue
        file = AnswerFile(url=str(item.get("url")), name=str(item.get("name")))
        got = media.fetch(file, source=source)
        if isinstance(got, AnswerFile) and got.upload is not None:
            found.append(got.upload)
    return tuple(found), len(found) < len(items)


def _plan(answer: Answer, *, turn: Turn, private: bool, bot: Bot) -> list[_Planned]:
    name = turn.conversation.channel
    channel, rich = channel_of(name, private=private), answer.choices
    text = answer.text
    is_shown = rich is not None and rich.is_shown(channel=name, private=private)
    if rich is not None and not is_shown:
        text = "\n\n".join(filter(None, [text.strip(), rich.as_lines()]))
    elif rich is not None and rich.content_type == "input_select" and not text.strip():
        text = _("Please choose:")
    texts = _texts(text, channel=channel, wanted=bot.split_answers)
    planned = [_Planned(content=part) for part in texts] or [_Planned(content="")]
    # Also where they are text: a customer may answer with a number.
    planned[-1] = _Planned(content=planned[-1].content, rich=rich)
    files = tuple(file for file in answer.files if file.upload is not None)
    return _with_files(planned, files, channel=channel)


def _texts(text: str, *, channel: Channel, wanted: bool) -> list[str]:
    """Return the messages for a text, in the channel's way."""
    wanted = wanted and channel.may_split
    fits = channel.size_of(text) <= channel.max_size
    is_short = len(text) <= splitting.SPLIT_FROM_CHARS
    if channel.shows is Shows.MARKDOWN and fits and (is_short or not wanted):
        return [text] if text.strip() else []
    texts = splitting.parts_of(
        shaping.blocks(text, shows=channel.shows),
        wanted=wanted,
        max_size=channel.max_size,
        size_of=channel.size_of,
    )
    if len(texts) > MAX_MESSAGES:
        texts = [*texts[: MAX_MESSAGES - 1], "…"]
    return texts


def _with_files(
    planned: list[_Planned], files: tuple[AnswerFile, ...], *, channel: Channel
) -> list[_Planned]:
    """Return the messages with files: below the text, but above buttons."""
    if not files:
        return planned
    last = planned[-1]
    if channel.one_file_each:
        alone = [_Planned(content="", files=(file,)) for file in files]
        return [*planned, *alone] if last.content else alone
    if last.rich is None:
        return [*planned[:-1], _Planned(content=last.content, files=files)]
    return [*planned[:-1], _Planned(content="", files=files), last]


def _written_down(
    planned: Sequence[_Planned],
    *,
    known: Sequence[OutgoingMessage],
    turn: Turn,
    private: bool,
) -> list[OutgoingMessage]:
    """Return the messages' rows, stored if there are several.

    Rows of an earlier attempt, of which Chatwoot surely has none, are written anew, but
    keep their marks: by them a message that arrives all the same would be found.
    """
    rows = []
    for number, message in enumerate(planned):
        row = known[number] if number < len(known) else OutgoingMessage(turn=turn)
        row.part, row.number, row.private = ANSWER, number, private
        row.content, row.rich = message.content, _details(message)
        if len(planned) > 1:
            row.rich["of"] = len(planned)
        rows.append(row)
    surplus = [row.pk for row in known[len(planned) :]]
    if surplus:
        turn.outgoing_messages.filter(pk__in=surplus).delete()
    if len(rows) > 1:
        OutgoingMessage.objects.bulk_update(
            rows[: len(known)], ["content", "rich", "private"]
        )
        OutgoingMessage.objects.bulk_create(rows[len(known) :])
    return rows


def _details(message: _Planned) -> JsonObject:
    details = posting.details_of(message.rich)
    if message.files:
        details["files"] = [
            {"name": file.upload.name, "url": file.url}
            for file in message.files
            if file.upload is not None
        ]
    return details


def _uploads(files: Sequence[AnswerFile]) -> tuple[Upload, ...]:
    return tuple(file.upload for file in files if file.upload is not None)


def _source(turn: Turn, *, bot: Bot) -> media.Source:
    conversation = turn.conversation
    return media.Source(
        account=conversation.account, app=bot.dify_app, channel=conversation.channel
    )


@contextmanager
def _in_language_of(bot: Bot) -> Iterator[None]:
    with translation.override(bot.language or settings.LANGUAGE_CODE):
        yield
