"""What Chatwoot's Liquid does to outgoing text before it is stored."""

from __future__ import annotations

import re

from liquid import Environment, Mode
from liquid.exceptions import LiquidError

from sandbox.chatwoot.records import Contact, Conversation
from sandbox.chatwoot.store import ChatwootStore
from sandbox.json_types import Json

_ENVIRONMENT = Environment(tolerance=Mode.STRICT)
_BACKTICKS = re.compile(r"`(.*?)`", re.DOTALL)
_RAW_OR_OUTPUT = re.compile(
    r"\{%-?\s*raw\s*-?%\}.*?\{%-?\s*endraw\s*-?%\}|\{\{-?(.*?)-?\}\}", re.DOTALL
)
_FIRST_FRAGMENT = re.compile(r"\"[^\"]*\"|'[^']*'|[A-Za-z_][\w.\-]*")


def render(text: str, *, store: ChatwootStore, conversation: Conversation) -> str:
    """``{{ contact.name }}`` filled in, unknown names empty, bad syntax untouched.

    Source: app/models/concerns/liquidable.rb of Chatwoot 4.15.1. Ruby's Liquid
    parses leniently where python-liquid is strict: ``{{ a b }}`` means ``{{ a }}``
    there, and an unknown filter is passed over. `_lenient` makes up for that.
    """
    drops = _drops(store=store, conversation=conversation)
    guarded = _BACKTICKS.sub(r"{% raw %}`\1`{% endraw %}", text)
    try:
        return _ENVIRONMENT.from_string(_lenient(guarded, drops=drops)).render(**drops)
    except LiquidError:
        return text


def _lenient(text: str, *, drops: Json) -> str:
    def rewrite(match: re.Match[str]) -> str:
        whole, markup = match.group(0), match.group(1)
        if markup is None:
            return whole
        try:
            _ENVIRONMENT.from_string(whole).render(**drops)
        except LiquidError:
            fragment = _FIRST_FRAGMENT.search(markup)
            return f"{{{{ {fragment.group(0)} }}}}" if fragment else ""
        return whole

    return _RAW_OR_OUTPUT.sub(rewrite, text)


def _drops(*, store: ChatwootStore, conversation: Conversation) -> Json:
    contact = store.contact_of(conversation)
    agent = store.agents.get(conversation.assignee_id or 0)
    return {
        "contact": _contact_drop(contact),
        "conversation": {
            "display_id": conversation.id,
            "contact_name": _titled(contact.name),
            "custom_attribute": conversation.custom_attributes,
        },
        "inbox": {"name": store.inbox_of(conversation).name},
        "account": {"name": store.account.name},
        "agent": {"name": agent.name, "available_name": agent.available_name}
        if agent
        else {},
    }


def _contact_drop(contact: Contact) -> Json:
    name = _titled(contact.name)
    first, _, last = name.partition(" ")
    return {
        "name": name,
        "first_name": first,
        "last_name": last,
        "email": contact.email,
        "phone_number": contact.phone_number,
        "custom_attribute": contact.custom_attributes,
    }


def _titled(name: str) -> str:
    return " ".join(part.capitalize() for part in name.split())
