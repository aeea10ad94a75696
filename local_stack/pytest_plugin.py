"""Gives every test session servers and translations before the settings are read."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from local_stack.servers import ensure_for_tests, stop_for_tests
from local_stack.translations import compile_all


@pytest.hookimpl(wrapper=True)
def pytest_load_initial_conftests(args: list[str]) -> Iterator[None]:
    """A wrapper, since pytest-django reads the settings in this very hook."""
    if not {"-h", "--help", "-V", "--version"} & set(args):
        compile_all()
        os.environ.update(ensure_for_tests())
    yield


def pytest_unconfigure() -> None:
    stop_for_tests()
