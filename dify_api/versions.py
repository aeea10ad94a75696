"""What the version of a Dify server says of its abilities. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping

MAX_CHARS = 40
# Before, a conversation's first inputs were used in all its turns (reference/dify.md
# section 7); PUT of variables works since 1.8 (section 4), and forms are told by the
# API since 1.14 (section 3).
FRESH_INPUTS = (1, 0)
SETTABLE_VARIABLES = (1, 8)
FORMS = (1, 14)


def told_by(headers: Mapping[str, str]) -> str:
    """Return the version in an answer's headers; "" where a proxy takes it away."""
    return headers.get("X-Version", "")[:MAX_CHARS]


def is_older(version: str, than: tuple[int, int]) -> bool:
    """Tell whether it surely is older; one that is not known counts as new."""
    found = re.match(r"(\d+)\.(\d+)", version)
    return found is not None and (int(found[1]), int(found[2])) < than


def freezes_inputs(version: str) -> bool:
    """Tell whether a conversation keeps the inputs of its first message."""
    return is_older(version, FRESH_INPUTS)


def sets_variables(version: str) -> bool:
    """Tell whether conversation variables can be set from outside."""
    return not is_older(version, SETTABLE_VARIABLES)
