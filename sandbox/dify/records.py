"""What the played Dify remembers: conversations, messages, files."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field

from sandbox import times
from sandbox.dify.apps import DifyApp, default_apps, stable_uuid
from sandbox.json_types import Json, JsonList

ROOT_MESSAGE_ID = "00000000-0000-0000-0000-000000000000"


def new_id() -> str:
    return str(uuid.uuid4())


@dataclass
class DifyMessage:
    id: str
    conversation_id: str
    query: str
    inputs: Json
    created_at: int
    answer: str = ""
    status: str = "normal"
    error: str | None = None
    feedback: str | None = None
    feedback_content: str = ""
    agent_thoughts: JsonList = field(default_factory=list)
    files: JsonList = field(default_factory=list)

    def shape(self, *, is_newest: bool) -> Json:
        row: Json = {
            "id": self.id,
            "conversation_id": self.conversation_id,
            "parent_message_id": ROOT_MESSAGE_ID,
            "inputs": self.inputs,
            "query": self.query,
            "answer": self.answer,
            "feedback": {"rating": self.feedback} if self.feedback else None,
            "retriever_resources": [],
            "created_at": self.created_at,
            "agent_thoughts": self.agent_thoughts,
            "message_files": self.files,
            "status": self.status,
            "error": self.error,
        }
        if is_newest:
            row["extra_contents"] = []
        return row


@dataclass
class DifyConversation:
    id: str
    app_id: str
    user: str
    name: str
    inputs: Json
    created_at: int
    updated_at: int
    messages: list[DifyMessage] = field(default_factory=list)
    variables: dict[str, object] = field(default_factory=dict)

    def shape(self) -> Json:
        return {
            "id": self.id,
            "name": self.name,
            "inputs": self.inputs,
            "status": "normal",
            "introduction": "Hello! I am a sandbox.",
            "created_at": self.created_at,
            "updated_at": self.updated_at,
        }


@dataclass
class UploadedFile:
    id: str
    app_id: str
    user: str
    name: str
    mime_type: str
    data: bytes
    created_at: int

    @property
    def extension(self) -> str:
        return self.name.rpartition(".")[2].lower() if "." in self.name else ""


class DifyStore:
    """Everything but the runs, which live in `runs.Runs`."""

    def __init__(self) -> None:
        self.apps = default_apps()
        self.conversations: dict[str, DifyConversation] = {}
        self.files: dict[str, UploadedFile] = {}
        self.busy_counts: dict[tuple[str, str], int] = {}

    def app_of_mode(self, mode: str) -> DifyApp | None:
        return next((app for app in self.apps.values() if app.mode == mode), None)

    def end_user_id(self, *, app: DifyApp, user: str) -> str:
        return stable_uuid(f"end-user:{app.id}:{user}")

    def find_conversation(
        self, conversation_id: str, *, app: DifyApp, user: str
    ) -> DifyConversation | None:
        """Only if app and user match: anything else does not exist."""
        row = self.conversations.get(conversation_id)
        if row is None or row.app_id != app.id or row.user != user:
            return None
        return row

    def find_message(
        self, message_id: str, *, app: DifyApp, user: str
    ) -> DifyMessage | None:
        for conversation in self.conversations.values():
            if conversation.app_id != app.id or conversation.user != user:
                continue
            for message in conversation.messages:
                if message.id == message_id:
                    return message
        return None

    def new_conversation(
        self, *, app: DifyApp, user: str, inputs: Json, query: str
    ) -> DifyConversation:
        moment = int(times.now())
        row = DifyConversation(
            id=new_id(),
            app_id=app.id,
            user=user,
            name=query[:20] or "New conversation",
            inputs=inputs,
            created_at=moment,
            updated_at=moment,
        )
        self.conversations[row.id] = row
        return row
