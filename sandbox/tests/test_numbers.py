"""A new start of the process is no repetition of the last one."""

from __future__ import annotations

from sandbox.chatwoot.store import ChatwootStore
from sandbox.settings import Settings, from_environment


def test_tests_count_from_one() -> None:
    store = ChatwootStore(Settings())

    assert (store.next_conversation_id(), store.next_message_id()) == (1, 1001)


def test_a_process_counts_on_from_the_clock() -> None:
    store = ChatwootStore(from_environment({}))
    conversation, message = store.next_conversation_id(), store.next_message_id()

    # Seconds since 2026, and a thousand messages for each of them.
    assert conversation > 20_000_000
    assert message // 1000 >= conversation
    assert store.next_conversation_id() == conversation + 1
