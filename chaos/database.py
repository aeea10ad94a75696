"""PostgreSQL as the bridge leaves it: read by SQL, and its settings changed by SQL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, LiteralString

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from chaos.states import UNFINISHED, Event, Intent, Records, Turn

# One statement, so that work cannot hide between two of them.
_UNDONE = """
SELECT (SELECT count(*) FROM conversations_turn WHERE status = ANY(%(unfinished)s))
     + (SELECT count(*) FROM conversations_webhookevent
        WHERE status = 'received'
           OR (action IN ('answer', 'hand_over') AND turn_id IS NULL
               AND reason <> 'message_deleted'))
"""
_EVENTS = """
SELECT chatwoot_message_id AS message_id, status, action, reason, turn_id
FROM conversations_webhookevent
WHERE name = 'message_created' AND chatwoot_message_id = ANY(%s)
"""
_TURNS = """
SELECT t.id, c.chatwoot_conversation_id AS conversation_id, t.status, t.reason,
       t.last_message_id
FROM conversations_turn t JOIN conversations_conversation c ON c.id = t.conversation_id
WHERE c.chatwoot_conversation_id = ANY(%s)
"""
_INTENTS = """
SELECT turn_id, part, chatwoot_message_id AS message_id
FROM conversations_outgoingmessage WHERE turn_id = ANY(%s)
"""


class Database:
    """A connection for each question: the server is killed again and again."""

    def __init__(self, url: str) -> None:
        self._url = url

    def undone(self) -> int:
        """How many events and turns still owe something.

        Raises `psycopg.OperationalError` while the server is away.
        """
        rows = self._rows(_UNDONE, {"unfinished": list(UNFINISHED)})
        return int(next(iter(rows[0].values())))

    def events(self) -> int:
        """How many webhooks were stored."""
        return self._count("SELECT count(*) AS found FROM conversations_webhookevent")

    def running(self, *, conversation_ids: Sequence[int]) -> int:
        """How many Dify runs are under way in those conversations."""
        rows = self._rows(
            "SELECT count(*) AS found FROM conversations_pipelinerun r "
            "JOIN conversations_turn t ON t.id = r.turn_id "
            "JOIN conversations_conversation c ON c.id = t.conversation_id "
            "WHERE r.status = 'running' AND r.dify_task_id <> '' "
            "AND c.chatwoot_conversation_id = ANY(%s)",
            [list(conversation_ids)],
        )
        return int(rows[0]["found"])

    def records(
        self, *, conversation_ids: Sequence[int], message_ids: Sequence[int]
    ) -> Records:
        """Return what the bridge knows of those customers' messages."""
        events = self._rows(_EVENTS, [list(message_ids)])
        turns = self._rows(_TURNS, [list(conversation_ids)])
        intents = self._rows(_INTENTS, [[row["id"] for row in turns]])
        return Records(
            events=tuple(Event(**row) for row in events),
            turns={row["id"]: Turn(**row) for row in turns},
            intents=tuple(Intent(**row) for row in intents),
        )

    def set_bot(self, **values: object) -> None:
        """Change columns of every bot, as an operator would in the admin."""
        self._update("conversations_bot", values)

    def set_app(self, **values: object) -> None:
        """Change columns of every Dify app."""
        self._update("dify_api_difyapp", values)

    def forget_conversations(self) -> None:
        """Empty the history, as the sandbox has forgotten its conversations.

        It may give a conversation the number of one that it has forgotten.
        """
        with self._connect() as connection:
            connection.execute(
                "TRUNCATE conversations_webhookevent, conversations_turn, "
                "conversations_conversation CASCADE"
            )

    def forget_refusals(self) -> None:
        """Let every token count as untried, as saving it in the admin does."""
        untried: dict[str, object] = {"health": "unknown", "next_probe_at": None}
        self._update("dify_api_difyapp", untried)
        untried["admin_token_refused_at"] = None
        self._update("chatwoot_api_chatwootaccount", untried)

    def refused_keys(self) -> int:
        """How many Dify apps are not asked because Dify refuses their key."""
        return self._count(
            "SELECT count(*) AS found FROM dify_api_difyapp WHERE health = 'refused'"
        )

    def refused_tokens(self) -> int:
        """How many Chatwoot accounts have a token that is not used any more."""
        return self._count(
            "SELECT count(*) AS found FROM chatwoot_api_chatwootaccount "
            "WHERE health = 'refused' OR admin_token_refused_at IS NOT NULL"
        )

    def _count(self, query: LiteralString) -> int:
        return int(self._rows(query, [])[0]["found"])

    def _update(self, table: str, values: dict[str, object]) -> None:
        changes = sql.SQL(", ").join(
            sql.SQL("{} = {}").format(sql.Identifier(name), sql.Placeholder(name))
            for name in values
        )
        with self._connect() as connection:
            connection.execute(
                sql.SQL("UPDATE {} SET {}").format(sql.Identifier(table), changes),
                values,
            )

    def _rows(
        self,
        query: LiteralString | sql.Composed,
        values: Sequence[Any] | Mapping[str, Any],
    ) -> list[dict[str, Any]]:
        with self._connect() as connection:
            cursor = connection.cursor(row_factory=dict_row)
            return cursor.execute(query, values).fetchall()

    def _connect(self) -> psycopg.Connection:
        return psycopg.connect(self._url, connect_timeout=3, application_name="chaos")
