"""Brings the customer's files to Dify, and voice into the question, before it is put.

What became of each file is stored in `Turn.files` as soon as it is known, so another
attempt at the turn neither uploads nor transcribes again, and puts the same question.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from time import monotonic

from bridge_project.lib.errors import (
    BridgeError,
    Unauthorized,
    UpstreamError,
    UpstreamUnavailable,
)
from bridge_project.lib.multipart import SentFile
from bridge_project.lib.redact import cut, mask
from bridge_project.lib.types import JsonObject, JsonValue
from chatwoot_api.client import ChatwootClient
from chatwoot_api.payloads import Attachment, Message
from conversations import context, memory
from conversations.call_log import CallRecorder
from conversations.incoming import choosing, hearing, notes
from conversations.incoming.fates import Fate, fate_of, key_of
from conversations.incoming.fetching import Download
from conversations.leases import Watch
from conversations.models import Bot, Turn
from conversations.outcomes import LeaseLost
from dify_api import app_info
from dify_api.models import DifyApp
from dify_api.payloads import AppParameters, InputFile, parse_parameters
from dify_api.uploads import DifyFiles

# After so many attempts at a turn, the question is put without what cannot be had.
MAX_ATTEMPTS = 3
# Of one attempt: what is left then is for the next.
TOTAL_TIMEOUT_S = 180.0
# Of one turn; more are only mentioned.
MAX_FILES = 20


class FileNotReady(BridgeError):
    """A file of the customer's could not be had just now; it is tried again."""

    code = "file_not_ready"
    retryable = True


def bring(
    turn: Turn,
    *,
    messages: Sequence[Message],
    quotes: Mapping[int, str],
    bot: Bot,
    app: DifyApp | None,
    client: ChatwootClient,
    recorder: CallRecorder,
    watch: Watch,
) -> Files | None:
    """Make the messages' files ready for a run of `app`; None if there are none.

    Without an app voice alone is turned into text. Raises FileNotReady for what may
    work in a moment, and Unauthorized when Dify refuses the app's key.
    """
    attachments = [
        item
        for message in messages
        for item in message.attachments
        if item.file_type in choosing.FILE_TYPES and item.id and item.data_url
    ]
    if not attachments:
        return None
    files = Files(
        turn,
        messages=messages,
        quotes=quotes,
        attachments=attachments[:MAX_FILES],
        bot=bot,
        app=app,
        recorder=recorder,
        watch=watch,
    )
    files.make_ready(user=files.expected_user())
    if bot.transcript_notes:
        notes.post(turn, bot=bot, client=client)
    return files


class Files:
    """The files of a turn's messages."""

    def __init__(
        self,
        turn: Turn,
        *,
        messages: Sequence[Message],
        quotes: Mapping[int, str],
        attachments: Sequence[Attachment],
        bot: Bot,
        app: DifyApp | None,
        recorder: CallRecorder,
        watch: Watch,
    ) -> None:
        self._turn = turn
        self._messages = messages
        self._quotes = quotes
        self._attachments = attachments
        self._bot = bot
        self._app = app
        self._recorder = recorder
        self._watch = watch

    # --- For whoever asks -----------------------------------------------------------

    def question(self) -> str:
        """Return the question, in which each file is told, or is with it."""
        return context.question(
            self._messages, files=self._turn.files, quotes=self._quotes
        )

    def with_message(self) -> tuple[InputFile, ...]:
        """Return what goes as `files` of a run."""
        return tuple(fate.as_input() for fate in self._sent() if not fate.variable)

    def inputs(self) -> JsonObject:
        """Return what goes as inputs of a run, by their names."""
        lists: dict[str, list[JsonValue]] = {}
        found: JsonObject = {}
        for fate in self._sent():
            if not fate.variable:
                continue
            file = fate.as_input().to_json()
            several = lists.setdefault(fate.variable, [])
            several.append(file)
            found[fate.variable] = several if fate.is_list else file
        return found

    def sent(self) -> list[JsonValue]:
        """Return all that goes with a run, as its row keeps it."""
        return [fate.as_input().to_json() for fate in self._sent()]

    def make_ready(self, *, user: str) -> None:
        """Do what is left to be done for a run of this user; no call if nothing is.

        An upload is good for its user alone (recording files/12 of Dify 1.14).
        """
        waiting = [
            item
            for item in self._attachments
            if not self._fate(item).is_settled(app=self._app_id, user=user)
        ]
        if not waiting:
            return
        parameters = self._parameters()
        ends_at = monotonic() + TOTAL_TIMEOUT_S
        last_error: UpstreamError | None = None
        for item in waiting:
            self._watch.check()
            if monotonic() > ends_at:
                error = self._put_off(item)
            else:
                error = self._settle(item, parameters=parameters, user=user)
            last_error = error or last_error
        if last_error is not None:
            raise FileNotReady(f"{FileNotReady.__doc__} {last_error}") from last_error

    def give_up(self, problem: str, *, cause: str) -> None:
        """Go on without the files: Dify does not take them after all."""
        for item in self._attachments:
            fate = self._fate(item)
            if fate.is_sent:
                gone = replace(fate, upload_file_id="", problem=problem)
                self._keep(item, replace(gone, cause=cut(mask(cause))))

    def expected_user(self) -> str:
        """Return the user of the run to come, as far as it can be known."""
        conversation = self._turn.conversation
        known = memory.current(conversation, app=self._app) if self._app else None
        return known.dify_user if known else self._bot.dify_user(conversation)

    # --- One file -------------------------------------------------------------------

    def _put_off(self, item: Attachment) -> UpstreamError | None:
        """Leave a file for the next attempt, if there is one."""
        late = UpstreamUnavailable("The files took too long.", service="outside")
        if not self._is_last:
            return late
        fate = Fate(name=choosing.name_of(item), app=self._app_id)
        self._keep(item, _failed(fate, late))
        return None

    def _settle(
        self, item: Attachment, *, parameters: AppParameters | None, user: str
    ) -> UpstreamError | None:
        """Do one file; return the error after which it is worth another attempt."""
        former = self._fate(item)
        fate = Fate(
            number=former.number or self._next_number(),
            name=choosing.name_of(item),
            app=self._app_id,
        )
        try:
            fate = self._done(item, fate, parameters=parameters, user=user)
        except Unauthorized as err:
            if err.service != "dify":
                fate = _failed(fate, err)
            else:
                DifyApp.objects.filter(pk=self._app_id).note(err)
                raise
        except UpstreamError as err:
            if err.retryable and not self._is_last:
                return err
            fate = _failed(fate, err)
        self._keep(item, fate)
        return None

    def _done(
        self,
        item: Attachment,
        fate: Fate,
        *,
        parameters: AppParameters | None,
        user: str,
    ) -> Fate:
        sizes = parameters.file_sizes if parameters else AppParameters().file_sizes
        download = Download(
            item,
            account=self._bot.account,
            max_bytes=choosing.limit_bytes(item, sizes=sizes),
            watch=self._watch,
        )
        with download:
            unheard = ""
            if item.file_type == "audio":
                heard = self._hear(item, download, parameters=parameters, user=user)
                if heard.text:
                    return replace(
                        fate,
                        text=heard.text,
                        heard_by=heard.by,
                        tells=heard.was_tried,
                    )
                unheard = heard.cause
                fate = replace(fate, tells=heard.was_tried)
            choice = self._choose(item, parameters=parameters)
            if choice.problem:
                problem = hearing.NOT_UNDERSTOOD if fate.tells else unheard
                return replace(
                    fate, problem=problem or choice.problem, cause=cut(mask(unheard))
                )
            sent = SentFile(
                name=fate.name,
                content=download.content(),
                content_type=choosing.content_type_of(
                    item, claimed=download.content_type
                ),
            )
            return replace(
                fate,
                user=user,
                kind=choice.kind,
                variable=choice.variable,
                is_list=choice.is_list,
                cause=cut(mask(unheard)) if fate.tells else "",
                upload_file_id=self._upload(sent, user=user),
            )

    def _hear(
        self,
        item: Attachment,
        download: Download,
        *,
        parameters: AppParameters | None,
        user: str,
    ) -> hearing.Heard:
        ears = hearing.ears_of(
            self._bot,
            app=self._app,
            parameters=parameters,
            user=user,
            call_log=self._recorder,
        )
        heard = hearing.hear(item, ears=ears, download=download)
        if heard.may_pass is not None and not self._is_last:
            raise heard.may_pass
        return heard

    def _choose(
        self, item: Attachment, *, parameters: AppParameters | None
    ) -> choosing.Choice:
        if self._app is None or parameters is None:
            return choosing.Choice(problem="this assistant takes no files")
        others = [other for other in self._attachments if other.id != item.id]
        return choosing.choose(
            item,
            places=choosing.places_of(parameters, mode=self._app.mode),
            taken=[
                fate.variable for other in others if (fate := self._fate(other)).is_sent
            ],
            sizes=parameters.file_sizes,
        )

    def _upload(self, file: SentFile, *, user: str) -> str:
        if self._app is None:
            raise ValueError("There is no app to upload a file to.")
        with DifyFiles(self._app.connection(), call_log=self._recorder) as dify:
            return dify.upload(file, user=user)

    # --- What is known ----------------------------------------------------------------

    @property
    def _is_last(self) -> bool:
        """Tell whether this attempt makes do with what there is."""
        return self._turn.attempts >= MAX_ATTEMPTS

    @property
    def _app_id(self) -> int:
        return self._app.pk if self._app else 0

    def _parameters(self) -> AppParameters | None:
        """Return what the app takes; old news are better than none."""
        app = self._app
        if app is None:
            return None
        if not app_info.is_fresh(app):
            try:
                app_info.refresh(app, call_log=self._recorder)
            except UpstreamError:
                if app.parameters_read_at is None:
                    raise
        return parse_parameters(app.parameters) if app.parameters else None

    def _fate(self, item: Attachment) -> Fate:
        return fate_of(self._turn.files.get(key_of(item)))

    def _sent(self) -> Iterable[Fate]:
        fates = [self._fate(item) for item in self._attachments]
        return [fate for fate in fates if fate.is_sent and fate.app == self._app_id]

    def _next_number(self) -> int:
        """Return the number of a file among those of the turn, for its note."""
        return 1 + max(
            (fate_of(stored).number for stored in self._turn.files.values()), default=0
        )

    def _keep(self, item: Attachment, fate: Fate) -> None:
        """Store it at once: a worker that dies now need not begin anew."""
        turn = self._turn
        turn.files = {**turn.files, key_of(item): fate.to_json()}
        held = Turn.objects.filter(pk=turn.pk, lease=turn.lease)
        if not held.update(files=turn.files):
            raise LeaseLost


def _failed(fate: Fate, err: UpstreamError) -> Fate:
    """Say in words what failed; the details are for agents and operators."""
    problem = "it could not be fetched"
    if err.code == "too_large":
        problem = "it is too large"
    elif err.service == "dify":
        problem = "Dify refused it" if not err.retryable else "Dify did not take it"
    return replace(fate, problem=problem, cause=cut(mask(str(err))))
