"""All kinds of jobs by name; each module beside this one owns one of them."""

from __future__ import annotations

from conversations.jobs.contract import Kind
from conversations.jobs.kinds import delete_in_dify, erase, pull, push, replay

_ALL: tuple[Kind, ...] = (
    delete_in_dify.KIND,
    erase.KIND,
    pull.KIND,
    push.KIND,
    replay.KIND,
)

KINDS = {kind.name: kind for kind in _ALL}
