"""Fixtures of the Dify side."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from dify_api.tests.scripted import Exchange, ScriptedServer


@pytest.fixture
def serve() -> Iterator[Callable[[Callable[[Exchange], None]], ScriptedServer]]:
    """Start servers that run a script for each request; stop them after the test."""
    servers: list[ScriptedServer] = []

    def start(script: Callable[[Exchange], None]) -> ScriptedServer:
        servers.append(ScriptedServer(script))
        return servers[-1]

    yield start
    for server in servers:
        server.close()
