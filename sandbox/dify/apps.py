"""The six Dify apps of the sandbox: one for each mode, with their input forms."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field

from sandbox.dify.versions import Version
from sandbox.json_types import Json, JsonList

MODES = ("chat", "agent-chat", "agent", "advanced-chat", "workflow", "completion")
AGENT_MODES = ("agent-chat", "agent")
FLOW_MODES = ("advanced-chat", "workflow")
CHAT_MODES = ("chat", "agent-chat", "agent", "advanced-chat")
LANGUAGES = ["en", "de", "fr", "es", "pt", "ru", "tr", "zh"]


def stable_uuid(text: str) -> str:
    """The same id for the same text in every sandbox."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"sandbox:{text}"))


@dataclass
class DifyApp:
    """One app = one key. ``max_active_requests`` 0 means no limit."""

    id: str
    key: str
    mode: str
    name: str
    form: JsonList
    workflow_id: str
    enabled: bool = True
    key_refused: bool = False
    published: bool = True
    file_upload: bool = True
    suggestions: bool = True
    speech_to_text: bool = True
    file_types: list[str] = field(
        default_factory=lambda: ["image", "document", "audio"]
    )
    file_extensions: list[str] = field(default_factory=list)
    max_files: int = 3
    max_active_requests: int = 0
    variables: list[Json] = field(default_factory=list)

    def fields(self) -> list[Json]:
        """The declared inputs, each with its type."""
        return [
            {"type": kind, **values}
            for item in self.form
            for kind, values in item.items()
        ]

    def info(self, version: Version) -> Json:
        shape: Json = {
            "name": self.name,
            "description": f"Sandbox app of mode {self.mode}",
            "tags": [],
        }
        if not version.is_old:
            shape |= {"mode": self.mode, "author_name": "sandbox"}
        return shape

    def parameters(self) -> Json:
        image = {
            "enabled": self.file_upload,
            "number_limits": self.max_files,
            "detail": "high",
            "transfer_methods": ["remote_url", "local_file"],
        }
        return {
            "opening_statement": "Hello! I am a sandbox.",
            "suggested_questions": [],
            "suggested_questions_after_answer": {"enabled": self.suggestions},
            "speech_to_text": {"enabled": self.speech_to_text},
            "text_to_speech": {"enabled": False, "language": "", "voice": ""},
            "retriever_resource": {"enabled": True},
            "annotation_reply": {"enabled": False},
            "more_like_this": {"enabled": False},
            "user_input_form": self.form,
            "sensitive_word_avoidance": {"enabled": False},
            "file_upload": {
                "enabled": self.file_upload,
                "allowed_file_types": self.file_types,
                "allowed_file_extensions": self.file_extensions,
                "allowed_file_upload_methods": ["local_file", "remote_url"],
                "number_limits": self.max_files,
                "image": image,
            },
            "system_parameters": {
                "image_file_size_limit": 10,
                "video_file_size_limit": 100,
                "audio_file_size_limit": 50,
                "file_size_limit": 15,
                "workflow_file_upload_limit": 10,
            },
        }

    def site(self) -> Json:
        return {
            "title": self.name,
            "chat_color_theme": None,
            "chat_color_theme_inverted": False,
            "icon_type": "emoji",
            "icon": "🤖",
            "icon_background": "#FFEAD5",
            "description": None,
            "copyright": None,
            "privacy_policy": None,
            "custom_disclaimer": "",
            "default_language": "en-US",
            "show_workflow_steps": True,
            "use_icon_as_answer_icon": False,
            "icon_url": None,
        }


def _input(
    kind: str,
    variable: str,
    *,
    required: bool = False,
    max_length: int | None = 48,
    options: list[str] | None = None,
) -> Json:
    return {
        kind: {
            "label": variable,
            "max_length": max_length,
            "options": options or [],
            "required": required,
            "type": kind,
            "variable": variable,
        }
    }


def default_form(mode: str) -> JsonList:
    """A required text, optional ones, a select, a number and a checkbox.

    Apps without a query of their own get the customer's words as input ``query``.
    """
    form = [
        _input("text-input", "chatwoot_conversation_id", required=True),
        _input("text-input", "status"),
        _input("text-input", "message_direction"),
        _input("text-input", "inbox_name", max_length=64),
        _input("text-input", "channel"),
        _input("text-input", "contact_name", max_length=48),
        _input("select", "language", options=LANGUAGES),
        _input("paragraph", "labels", max_length=None),
        _input("number", "message_count"),
        _input("checkbox", "returning_customer"),
        _input("text-input", "bridge_api_url", max_length=256),
        _input("text-input", "conversation_token", max_length=256),
    ]
    if mode in ("workflow", "completion"):
        form.append(_input("paragraph", "query", required=True, max_length=None))
    return form


def default_variables() -> list[Json]:
    """Conversation variables of the chatflow: name, type, first value."""
    rows = [
        ("last_query", "string", ""),
        ("turns", "number", 0),
        ("handoff", "boolean", False),
        ("ctx", "object", {}),
        ("tags", "array[string]", []),
    ]
    return [
        {
            "id": stable_uuid(f"variable:{name}"),
            "name": name,
            "type": kind,
            "value": value,
        }
        for name, kind, value in rows
    ]


def default_apps() -> dict[str, DifyApp]:
    """By key."""
    apps = [
        DifyApp(
            id=stable_uuid(f"app:{mode}"),
            key=f"app-sandbox-{mode}",
            mode=mode,
            name=f"Sandbox {mode}",
            form=default_form(mode),
            workflow_id=stable_uuid(f"workflow:{mode}"),
            variables=default_variables() if mode == "advanced-chat" else [],
        )
        for mode in MODES
    ]
    return {app.key: app for app in apps}
