"""Which of an app's inputs a bot can fill, and from where. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from conversations.models.bot import default_inputs
from dify_api.models import DifyApp
from dify_api.payloads import CHAT_MODES, InputField

# What the makers of flows also call what we know.
_OTHER_NAMES = {
    "account_id": "account.id",
    "customer_name": "contact.name",
    "user_name": "contact.name",
    "customer_id": "contact.id",
    "lang": "contact.language",
    "user_language": "contact.language",
    "locale": "contact.language",
    "inbox": "inbox.name",
    "team_name": "conversation.team",
    "assignee_name": "conversation.assignee",
    "additional_attributes": "conversation.additional_attributes",
    "bridge_url": "bridge.api_url",
}
# Dify refuses a run that lacks one of these, or takes nothing in its place.
_WITHOUT_STAND_IN = frozenset({"select", "file", "file-list"})
# A conversation token has some 110 characters, and may grow.
TOKEN_ROOM = 128


@dataclass(frozen=True, kw_only=True)
class Fit:
    """How a bot's inputs and an app's declarations go together; names of inputs."""

    missing: tuple[str, ...] = ()  # required, without any source
    refused: tuple[str, ...] = ()  # of these, those for which the run fails
    unknown: tuple[str, ...] = ()  # mapped by hand, but not declared
    fillable: tuple[str, ...] = ()  # declared and known to us, but not mapped
    too_short: tuple[str, ...] = ()  # too short for the conversation token


def known_source(name: str, *, attributes: Mapping[str, str]) -> str:
    """Return where an input of this name comes from, "" if we do not know.

    `attributes` are custom attributes, by key, as paths into the context.
    """
    return {**attributes, **_OTHER_NAMES, **default_inputs()}.get(name, "")


def suggest(
    declared: Iterable[InputField], *, attributes: Mapping[str, str]
) -> dict[str, str]:
    """Return a source for each declared input whose name we know."""
    return {
        field.variable: source
        for field in declared
        if (source := known_source(field.variable, attributes=attributes))
    }


def fit(
    inputs: Mapping[str, str], *, app: DifyApp, attributes: Mapping[str, str]
) -> Fit:
    """Compare a bot's mapping with what its app declares, as last read."""
    declared = app.declared_inputs()
    own = set() if app.mode in CHAT_MODES else {app.query_input}
    unmapped = [
        f for f in declared if f.variable not in inputs and f.variable not in own
    ]
    missing = [f for f in unmapped if f.required and f.default in (None, "")]
    known = suggest(unmapped, attributes=attributes)
    usual = default_inputs()
    return Fit(
        missing=_names(missing),
        refused=_names(f for f in missing if f.kind in _WITHOUT_STAND_IN),
        unknown=tuple(
            sorted(
                name
                for name, source in inputs.items()
                # The usual ones are mapped for any app that may want them.
                if usual.get(name) != source
                and name not in {field.variable for field in declared}
            )
        ),
        fillable=tuple(known),
        too_short=_too_short(inputs, declared=declared),
    )


def _too_short(
    inputs: Mapping[str, str], *, declared: Sequence[InputField]
) -> tuple[str, ...]:
    return _names(
        field
        for field in declared
        if inputs.get(field.variable) == "bridge.conversation_token"
        and field.max_length is not None
        and field.max_length < TOKEN_ROOM
    )


def _names(fields: Iterable[InputField]) -> tuple[str, ...]:
    return tuple(field.variable for field in fields)
