"""What Dify tells us, as frozen dataclasses; past these parsers no dict is indexed.

Shapes: reference/dify.md sections 1-3 (Dify 0.15 to 1.14). What an answer cannot do
without is read strictly and raises DifyUnexpectedReply; what only adds to it (prices,
file names) is read leniently, so that an odd price never costs a customer the answer.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum

from bridge_project.lib.types import JsonObject, JsonValue
from dify_api.reading import (
    as_object,
    clean_text,
    integer,
    malformed,
    nested,
    objects,
    price,
    required_text,
    scrub,
    text,
    texts,
)


class AppMode(StrEnum):
    """The values of `mode` in GET /info that the bridge can run."""

    CHAT = "chat"
    AGENT_CHAT = "agent-chat"
    AGENT = "agent"
    ADVANCED_CHAT = "advanced-chat"
    WORKFLOW = "workflow"
    COMPLETION = "completion"


CHAT_MODES = frozenset(
    {AppMode.CHAT, AppMode.AGENT_CHAT, AppMode.AGENT, AppMode.ADVANCED_CHAT}
)


class Outcome(StrEnum):
    """How a run ended that did not fail."""

    ANSWERED = "answered"
    STOPPED = "stopped"  # by us, by somebody else, or by Dify's own time limit
    PAUSED = "paused"  # waits for a Human Input form; the text is no answer


@dataclass(frozen=True, slots=True)
class AppInfo:
    """GET /info. `mode` is "" before Dify 1.0, which does not tell it."""

    name: str
    mode: str


@dataclass(frozen=True, slots=True)
class FileUpload:
    """What files the app takes, with a message or in an input of its own.

    `max_files` is 0 where none is told.
    """

    enabled: bool = False
    kinds: tuple[str, ...] = ()
    extensions: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()
    max_files: int = 0


@dataclass(frozen=True, slots=True)
class FileSizes:
    """How large a file may be, in MB; the server's settings, by the file's kind."""

    image_mb: int = 10
    audio_mb: int = 50
    video_mb: int = 100
    other_mb: int = 15

    def limit_mb(self, kind: str) -> int:
        """Return the limit of a kind of file."""
        limits = {
            "image": self.image_mb,
            "audio": self.audio_mb,
            "video": self.video_mb,
        }
        return limits.get(kind, self.other_mb)


@dataclass(frozen=True, slots=True)
class InputField:
    """One variable that the app declares; `kind` is Dify's type of it."""

    variable: str
    label: str
    kind: str
    required: bool = False
    max_length: int | None = None
    options: tuple[str, ...] = ()
    default: JsonValue = None
    # Of inputs that are files.
    files: FileUpload = FileUpload()


@dataclass(frozen=True, slots=True)
class AppParameters:
    """GET /parameters. `raw` is what we keep of the answer, to be parsed again."""

    inputs: tuple[InputField, ...] = ()
    file_upload: FileUpload = FileUpload()
    file_sizes: FileSizes = FileSizes()
    speech_to_text: bool = False
    opening_statement: str = ""
    moderated: bool = False  # answers may be replaced before they are sent
    raw: JsonObject = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Usage:
    """What a run cost, as far as Dify says."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    total_tokens: int = 0
    total_price: Decimal = Decimal(0)
    currency: str = ""


@dataclass(frozen=True, slots=True)
class StreamIds:
    """What a run is called; "" where not known (yet) or not used in the app's mode."""

    task_id: str = ""
    conversation_id: str = ""
    message_id: str = ""
    workflow_run_id: str = ""


@dataclass(frozen=True, slots=True)
class DifyFile:
    """A file of a reply. The URL is good for 300 s and may lack its host."""

    id: str
    url: str
    kind: str = ""
    filename: str = ""
    mime_type: str = ""
    size: int = 0


@dataclass(frozen=True, slots=True)
class AgentStep:
    """One thought of an agent; for the record, never for the customer."""

    position: int
    thought: str
    tool: str
    tool_input: str
    observation: str


@dataclass(frozen=True, slots=True)
class FormField:
    """A field of a Human Input form; `kind` is Dify's type of it."""

    name: str
    kind: str
    label: str = ""
    default: str = ""
    options: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PauseReason:
    """A Human Input form that a paused run waits for (Dify 1.13 and newer).

    Without `form_token` Dify has sent it by e-mail, and nobody else can answer it.
    """

    form_id: str
    node_title: str
    content: str
    form_token: str = field(repr=False)
    actions: tuple[tuple[str, str], ...]
    fields: tuple[FormField, ...] = ()
    expires_at: datetime | None = None
    display_in_ui: bool = True


@dataclass(frozen=True, slots=True)
class DifyReply:
    """What one run brought; `answer` is for the customer only if `is_answer`."""

    answer: str
    outcome: Outcome
    finished_by: str
    ids: StreamIds
    thinking: str = ""
    partial: bool = False  # some nodes failed and the flow handled it
    usage: Usage | None = None
    outputs: JsonObject = field(default_factory=dict)
    files: tuple[DifyFile, ...] = ()
    steps: tuple[AgentStep, ...] = ()
    pauses: tuple[PauseReason, ...] = ()
    first_event_ms: int | None = None
    first_text_ms: int | None = None
    duration_ms: int = 0

    @property
    def is_answer(self) -> bool:
        """Tell whether the run came to its end by itself; the text may be empty."""
        return self.outcome is Outcome.ANSWERED

    @property
    def paused(self) -> bool:
        """Tell whether the run waits for a human."""
        return self.outcome is Outcome.PAUSED


@dataclass(frozen=True, slots=True)
class StreamProgress:
    """Told to the caller while a run lives, so that it can renew its lease."""

    ids: StreamIds
    ids_changed: bool
    elapsed_ms: int


@dataclass(frozen=True, slots=True)
class StoredMessage:
    """What GET /messages holds of one turn."""

    id: str
    answer: str
    thinking: str
    status: str
    error: str
    files: tuple[DifyFile, ...] = ()

    @property
    def is_answer(self) -> bool:
        """Tell whether this can be posted.

        Dify 0.15 and 1.12 store an empty answer with status `normal` for a run whose
        client went away, 1.14 the whole one (recordings lifecycle/05 and 18).
        """
        return self.status == "normal" and bool(self.answer)


@dataclass(frozen=True, slots=True)
class StoredRun:
    """GET /workflows/run/:id; `answer` is chosen from the outputs as in a stream.

    `answer` is None where the outputs do not tell it.
    """

    id: str
    status: str
    answer: str | None
    thinking: str
    outputs: JsonObject
    error: str
    total_tokens: int
    files: tuple[DifyFile, ...] = ()
    # Older versions say `running` for ever once the client has gone away.
    may_be_stuck: bool = False

    @property
    def is_finished(self) -> bool:
        """Tell whether nothing more is to come."""
        return self.status not in {"running", "paused"}

    @property
    def is_answer(self) -> bool:
        """Tell whether the run succeeded."""
        return self.status in {"succeeded", "partial-succeeded"}


@dataclass(frozen=True, slots=True)
class InputFile:
    """A file to send along: uploaded before (`upload_file_id`) or fetched by Dify."""

    kind: str
    upload_file_id: str = ""
    url: str = ""

    def to_json(self) -> JsonObject:
        """Return an item of `files[]`, reference section 5."""
        if self.upload_file_id:
            return {
                "type": self.kind,
                "transfer_method": "local_file",
                "upload_file_id": self.upload_file_id,
            }
        return {"type": self.kind, "transfer_method": "remote_url", "url": self.url}


def parse_info(body: JsonValue) -> AppInfo:
    """Parse GET /info: `{name, description, tags, mode, author_name}`."""
    info = as_object(body, name="/info")
    if "name" not in info:
        raise malformed("/info has no `name`")
    return AppInfo(name=required_text(info, "name"), mode=required_text(info, "mode"))


def parse_parameters(body: JsonValue) -> AppParameters:
    """Parse GET /parameters, or what was kept of it."""
    parameters = as_object(body, name="/parameters")
    form = parameters.get("user_input_form")
    if not isinstance(form, list):
        raise malformed("/parameters has no list `user_input_form`")
    moderated = nested(parameters, "sensitive_word_avoidance").get("enabled") is True
    hears = nested(parameters, "speech_to_text").get("enabled") is True
    kept: JsonObject = {
        "user_input_form": form,
        "file_upload": nested(parameters, "file_upload"),
        "opening_statement": text(parameters, "opening_statement"),
        "sensitive_word_avoidance": {"enabled": moderated},
        "speech_to_text": {"enabled": hears},
        "suggested_questions_after_answer": nested(
            parameters, "suggested_questions_after_answer"
        ),
        "system_parameters": nested(parameters, "system_parameters"),
    }
    return AppParameters(
        inputs=tuple(_input_field(item) for item in form),
        file_upload=_file_upload(nested(parameters, "file_upload")),
        file_sizes=_file_sizes(nested(parameters, "system_parameters")),
        speech_to_text=hears,
        opening_statement=text(parameters, "opening_statement"),
        moderated=moderated,
        raw=as_object(scrub(kept), name="/parameters"),
    )


def _input_field(item: JsonValue) -> InputField:
    """Parse `{"<type>": {variable, label, required, …}}`."""
    entry = as_object(item, name="user_input_form[]")
    for kind, value in entry.items():
        declared = as_object(value, name=kind)
        variable = required_text(declared, "variable")
        return InputField(
            variable=variable,
            label=text(declared, "label") or variable,
            kind=kind,
            required=declared.get("required") is True,
            max_length=integer(declared, "max_length") or None,
            options=texts(declared.get("options")),
            default=declared.get("default"),
            files=_input_files(kind, declared),
        )
    raise malformed("`user_input_form` holds an empty object")


def _file_upload(source: JsonObject) -> FileUpload:
    """Parse the form of flows, or that of chat apps (`{"image": {…}}`)."""
    image = nested(source, "image")
    if "enabled" not in source:
        return FileUpload(
            enabled=image.get("enabled") is True,
            kinds=("image",),
            methods=texts(image.get("transfer_methods")),
            max_files=integer(image, "number_limits"),
        )
    return FileUpload(
        enabled=source.get("enabled") is True,
        kinds=texts(source.get("allowed_file_types")),
        extensions=texts(source.get("allowed_file_extensions")),
        methods=texts(source.get("allowed_file_upload_methods")),
        max_files=integer(source, "number_limits"),
    )


# How many files an input takes that tells no number (Dify's own default).
_FILES_OF_A_LIST = 5
FILE_INPUTS = frozenset({"file", "file-list"})


def _input_files(kind: str, source: JsonObject) -> FileUpload:
    """Parse what an input takes that is a file, or a list of files."""
    if kind not in FILE_INPUTS:
        return FileUpload()
    several = integer(source, "max_length") or _FILES_OF_A_LIST
    return FileUpload(
        enabled=True,
        kinds=texts(source.get("allowed_file_types")),
        extensions=texts(source.get("allowed_file_extensions")),
        methods=texts(source.get("allowed_file_upload_methods")),
        max_files=1 if kind == "file" else several,
    )


def _file_sizes(source: JsonObject) -> FileSizes:
    """Parse `system_parameters`; a limit that is not told is Dify's default."""
    usual = FileSizes()
    return FileSizes(
        image_mb=integer(source, "image_file_size_limit") or usual.image_mb,
        audio_mb=integer(source, "audio_file_size_limit") or usual.audio_mb,
        video_mb=integer(source, "video_file_size_limit") or usual.video_mb,
        other_mb=integer(source, "file_size_limit") or usual.other_mb,
    )


def parse_usage(source: JsonObject) -> Usage | None:
    """Parse `metadata.usage` of message_end; None when there is none."""
    if not source:
        return None
    prompt = integer(source, "prompt_tokens")
    completion = integer(source, "completion_tokens")
    return Usage(
        prompt_tokens=prompt,
        completion_tokens=completion,
        # Agents of 0.15 report parts, but a total of 0 (recording llm/07).
        total_tokens=integer(source, "total_tokens") or prompt + completion,
        total_price=price(source, "total_price"),
        currency=text(source, "currency")[:8],
    )


def parse_file(source: JsonObject) -> DifyFile | None:
    """Parse an item of `files`, or a `message_file` event; None without a URL."""
    url = text(source, "url") or text(source, "remote_url")
    if not url:
        return None
    return DifyFile(
        id=text(source, "related_id") or text(source, "id"),
        url=url,
        kind=text(source, "type"),
        filename=clean_text(text(source, "filename")),
        mime_type=text(source, "mime_type"),
        size=max(integer(source, "size"), 0),
    )


def parse_pause(source: JsonObject) -> PauseReason:
    """Parse `data` of human_input_required, or one of `reasons` of workflow_paused.

    Shapes: docs.dify.ai/en/api-reference/guides/human-input-flow.
    """
    actions = objects(source.get("actions") or source.get("user_actions"))
    defaults = nested(source, "resolved_default_values")
    return PauseReason(
        form_id=text(source, "form_id"),
        node_title=clean_text(text(source, "node_title")),
        content=clean_text(text(source, "form_content")),
        form_token=text(source, "form_token"),
        actions=tuple(
            (text(item, "id"), clean_text(text(item, "title")) or text(item, "id"))
            for item in actions
        ),
        fields=tuple(
            _form_field(item, defaults=defaults)
            for item in objects(source.get("inputs"))
            if text(item, "output_variable_name")
        ),
        expires_at=_moment(integer(source, "expiration_time")),
        display_in_ui=source.get("display_in_ui") is not False,
    )


def _form_field(source: JsonObject, *, defaults: JsonObject) -> FormField:
    """A default that depends on the run stands among the resolved ones."""
    name = text(source, "output_variable_name")
    default = text(defaults, name) or text(nested(source, "default"), "value")
    return FormField(
        name=name,
        kind=text(source, "type"),
        label=clean_text(text(source, "label")),
        default=clean_text(default),
        options=texts(nested(source, "option_source").get("value")),
    )


def _moment(seconds: int) -> datetime | None:
    """Read Unix seconds; 0 and what no calendar has are no time."""
    if seconds <= 0:
        return None
    try:
        return datetime.fromtimestamp(seconds, tz=UTC)
    except (ValueError, OverflowError, OSError):
        return None
