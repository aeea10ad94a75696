"""The data events of a run, key by key and version by version."""

from __future__ import annotations

from dataclasses import dataclass

from sandbox import times
from sandbox.dify.apps import DifyApp
from sandbox.dify.versions import Version
from sandbox.json_types import Json


@dataclass(frozen=True)
class Node:
    id: str
    node_id: str
    kind: str
    title: str
    index: int
    predecessor: str | None


@dataclass(frozen=True)
class RunIds:
    """The names that the events of one run carry."""

    task_id: str
    message_id: str
    conversation_id: str
    workflow_run_id: str
    created_at: int


class EventShapes:
    """Builds events of one run of ``app`` as ``version`` writes them."""

    def __init__(self, *, app: DifyApp, version: Version, ids: RunIds) -> None:
        self.app = app
        self.version = version
        self.ids = ids

    def head(self, event: str, *, with_task: bool = True) -> Json:
        """Fields that every data event of this kind of app has, in Dify's order."""
        if self.app.mode == "workflow":
            head: Json = {"event": event, "workflow_run_id": self.ids.workflow_run_id}
        else:
            head = {"event": event, "conversation_id": self.ids.conversation_id}
            if self.app.mode == "completion":
                del head["conversation_id"]
            head["message_id"] = self.ids.message_id
            head["created_at"] = self.ids.created_at
        if with_task:
            head["task_id"] = self.ids.task_id
        return head

    def flow(self, event: str, data: Json) -> Json:
        """A workflow event: chatflows carry the run id beside the message id."""
        head = self.head(event)
        return {**head, "workflow_run_id": self.ids.workflow_run_id, "data": data}

    # Text.

    def message(self, answer: str, *, selector: list[str] | None = None) -> Json:
        return {
            **self.head("message"),
            "id": self.ids.message_id,
            "answer": answer,
            "from_variable_selector": selector,
        }

    def agent_message(self, answer: str) -> Json:
        head = self.head("agent_message")
        return {**head, "id": self.ids.message_id, "answer": answer}

    def file_message(self, answer: str) -> Json:
        """The trap: once there is a file, chat apps send text as message_file."""
        head = self.head("message_file")
        return {**head, "id": self.ids.message_id, "answer": answer}

    def message_file(self, *, file_id: str, url: str) -> Json:
        file = {"id": file_id, "type": "image", "belongs_to": "assistant", "url": url}
        return {**self.head("message_file"), **file}

    def agent_thought(self, thought: Json) -> Json:
        return {**self.head("agent_thought"), **thought}

    def text_chunk(self, text: str) -> Json:
        selector = ["llm", "text"]
        return self.flow(
            "text_chunk", {"text": text, "from_variable_selector": selector}
        )

    def message_replace(self, answer: str) -> Json:
        head = self.head("message_replace")
        return {**head, "answer": answer, "reason": "output_moderation"}

    def message_end(self, *, metadata: Json, files: object) -> Json:
        head = self.head("message_end")
        ending = {"id": self.ids.message_id, "metadata": metadata, "files": files}
        return {**head, **ending}

    def error(self, *, code: str, status: int, message: str) -> Json:
        head = self.head("error", with_task=False)
        return {**head, "code": code, "status": status, "message": message}

    # Workflow.

    def workflow_started(self, *, inputs: Json) -> Json:
        data: Json = {
            "id": self.ids.workflow_run_id,
            "workflow_id": self.app.workflow_id,
        }
        if self.version.is_old:
            data["sequence_number"] = 1
        data |= {"inputs": inputs, "created_at": int(times.now())}
        if self.version.runs_in_celery:
            data["reason"] = "initial"
        return self.flow("workflow_started", data)

    def workflow_finished(
        self,
        *,
        status: str,
        outputs: Json | None,
        error: str | None,
        usage: tuple[float, int, int],
        created_by: Json,
    ) -> Json:
        elapsed_s, total_tokens, total_steps = usage
        data: Json = {
            "id": self.ids.workflow_run_id,
            "workflow_id": self.app.workflow_id,
        }
        if self.version.is_old:
            data["sequence_number"] = 1
        data |= {
            "status": status,
            "outputs": outputs,
            "error": error,
            "elapsed_time": elapsed_s,
            "total_tokens": total_tokens,
            "total_steps": total_steps,
            "created_by": created_by,
            "created_at": self.ids.created_at,
            "finished_at": int(times.now()),
            "exceptions_count": 1
            if status == "failed" and not self.version.is_old
            else 0,
            "files": [],
        }
        return self.flow("workflow_finished", data)

    def node_started(self, node: Node) -> Json:
        data = self._node(node) | {"inputs": None}
        if not self.version.is_old:
            data["inputs_truncated"] = False
        data |= {"created_at": int(times.now()), "extras": {}}
        return self.flow("node_started", data | self._position(started=True))

    def node_finished(
        self,
        node: Node,
        *,
        inputs: Json | None,
        outputs: Json | None,
        elapsed_s: float,
        error: str | None = None,
        execution: Json | None = None,
        process: Json | None = None,
    ) -> Json:
        old = self.version.is_old
        data = self._node(node) | {"inputs": inputs}
        if not old:
            data["inputs_truncated"] = False
        data["process_data"] = process or (None if old else {})
        if not old:
            data["process_data_truncated"] = False
        data["outputs"] = outputs
        if not old:
            data["outputs_truncated"] = False
        data |= {
            "status": "failed" if error else "succeeded",
            "error": error,
            "elapsed_time": elapsed_s,
            "execution_metadata": execution,
            "created_at": self.ids.created_at,
            "finished_at": int(times.now()),
            "files": [],
        }
        return self.flow("node_finished", data | self._position(started=False))

    def _node(self, node: Node) -> Json:
        old = self.version.is_old
        return {
            "id": node.id,
            "node_id": node.node_id,
            "node_type": node.kind,
            "title": node.title,
            "index": node.index if old else 1,
            "predecessor_node_id": node.predecessor if old else None,
        }

    def _position(self, *, started: bool) -> Json:
        if not self.version.is_old:
            position: Json = {"iteration_id": None, "loop_id": None}
            return position | {"agent_strategy": None} if started else position
        position = {
            "parallel_id": None,
            "parallel_start_node_id": None,
            "parent_parallel_id": None,
            "parent_parallel_start_node_id": None,
            "iteration_id": None,
        }
        return position | {"parallel_run_id": None} if started else position


def usage_metadata(
    *, version: Version, prompt_tokens: int, completion_tokens: int, elapsed_s: float
) -> Json:
    """``metadata`` of message_end and of blocking answers; prices are strings."""
    prompt_price = prompt_tokens * 0.00000015
    completion_price = completion_tokens * 0.0000006
    usage: Json = {
        "prompt_tokens": prompt_tokens,
        "prompt_unit_price": "0.15",
        "prompt_price_unit": "0.000001",
        "prompt_price": f"{prompt_price:.7f}",
        "completion_tokens": completion_tokens,
        "completion_unit_price": "0.60",
        "completion_price_unit": "0.000001",
        "completion_price": f"{completion_price:.7f}",
        "total_tokens": prompt_tokens + completion_tokens,
        "total_price": f"{prompt_price + completion_price:.7f}",
        "currency": "USD",
        "latency": elapsed_s,
    }
    if version.is_old:
        return {"usage": usage}
    usage |= {
        "time_to_first_token": round(elapsed_s / 4, 3),
        "time_to_generate": elapsed_s,
    }
    return {"annotation_reply": None, "retriever_resources": [], "usage": usage}
