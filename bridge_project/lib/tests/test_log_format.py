"""Log lines without secrets."""

from __future__ import annotations

import logging
from io import StringIO
from typing import Any

from django.conf import settings
from django.utils.module_loading import import_string

TOKEN = "bridge-bot-" + "k" * 40


def test_tokens_are_masked_in_messages_and_tracebacks() -> None:
    config: Any = settings.LOGGING
    form = dict(config["formatters"]["line"])
    formatter = import_string(form.pop("()"))(form["format"])
    out = StringIO()
    handler = logging.StreamHandler(out)
    handler.setFormatter(formatter)
    logger = logging.getLogger("bridge.masking")
    logger.propagate = False
    logger.addHandler(handler)

    logger.warning("Bad Request: %s", f"/api/v1/toggle-status/{TOKEN}")
    try:
        raise ValueError(f"INSERT … {TOKEN}")
    except ValueError:
        logger.exception("It failed")

    lines = out.getvalue()
    assert "Bad Request: /api/v1/toggle-status/[secret]" in lines
    assert "ValueError: INSERT … [secret]" in lines
    assert TOKEN not in lines
