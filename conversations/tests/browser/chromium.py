"""The Chromium of this machine; CI must have one, elsewhere tests do without."""

from __future__ import annotations

import os
import shutil

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
MISSING = "no Chromium on this machine: apt install chromium (or set CHROMIUM)"


def find() -> str:
    """Return its path; skips the test where there is none, and fails in CI."""
    given = os.environ.get("CHROMIUM", "")
    found = shutil.which(given) if given else _installed()
    if found is not None:
        return found
    if os.environ.get("CI"):
        pytest.fail(MISSING, pytrace=False)
    pytest.skip(MISSING)


def _installed() -> str | None:
    return next(filter(None, map(shutil.which, NAMES)), None)


def arguments() -> list[str]:
    """Chromium refuses to run as root inside of its sandbox."""
    arguments = ["--disable-dev-shm-usage"]
    return [*arguments, "--no-sandbox"] if os.geteuid() == 0 else arguments
