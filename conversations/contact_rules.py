"""For whom a bot answers: rules by label, attribute, phone, e-mail or contact. Pure.

One rule per line; `*` stands for any text and `?` for one character. What is no rule
matches nobody.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice

from django.utils.translation import gettext as _

from bridge_project.lib.types import JsonObject, JsonValue
from conversations.models import Bot

KINDS = ("label", "attribute", "phone", "email", "contact")
# A list is read for each message, and each rule is compared with each value.
MAX_RULES = 500
MAX_RULE_CHARS = 200
MAX_VALUE_CHARS = 500
MAX_VALUES = 100
_YES, _NO = "true", "false"


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One line. `name` is the attribute's; without a `pattern` any value will do."""

    kind: str
    pattern: str
    name: str = ""


@dataclass(frozen=True, kw_only=True)
class Person:
    """The customer, as far as rules ask."""

    contact_id: int | None = None
    phone: str = ""
    email: str = ""
    labels: tuple[str, ...] = ()
    # The conversation's, and the contact's.
    attributes: tuple[JsonObject, ...] = ()


def is_for(bot: Bot, person: Person) -> bool:
    """Tell whether a bot may answer somebody.

    Whom it is never for comes before whom it is only for; on trial, it is for testers,
    and without any for nobody.
    """
    if matches(rules_of(bot.ignore_rules), person):
        return False
    # A list of nothing but remarks leaves nobody out; one of mistakes everybody.
    if any(_entries(bot.allow_rules)) and not matches(
        rules_of(bot.allow_rules), person
    ):
        return False
    return not bot.test_only or matches(rules_of(bot.test_rules), person)


def problems(text: str) -> list[str]:
    """Say of each line that is no rule why not; for forms and imports."""
    return list(parse(text)[1])


# A handful of bots with three lists each, read for every message.
@lru_cache(maxsize=256)
def rules_of(text: str) -> tuple[Rule, ...]:
    """Return the rules of a list."""
    return parse(text)[0]


def parse(text: str) -> tuple[tuple[Rule, ...], tuple[str, ...]]:
    """Return the rules of a list, and what is wrong with its other lines.

    Blank lines and those that begin with `#` are left out.
    """
    rules: list[Rule] = []
    wrong: list[str] = []
    for number, entry in _entries(text):
        problem = _why_no_rule(entry)
        if not problem and len(rules) >= MAX_RULES:
            problem = _("there may be %(number)d rules at most") % {"number": MAX_RULES}
        if problem:
            wrong.append(
                _("Line %(line)d, “%(entry)s”: %(problem)s.")
                % {"line": number, "entry": entry[:60], "problem": problem}
            )
        else:
            rules.append(_rule(entry))
    return tuple(rules), tuple(wrong)


def _entries(text: str) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(text.splitlines(), start=1):
        entry = line.strip()
        if entry and not entry.startswith("#"):
            yield number, entry


def _why_no_rule(entry: str) -> str:
    kind, _colon, value = _parts(entry)
    if kind not in KINDS:
        return _("a rule begins with label:, attribute:, phone:, email: or contact:")
    if len(entry) > MAX_RULE_CHARS:
        return _("a rule has %(number)d characters at most") % {
            "number": MAX_RULE_CHARS
        }
    if not value:
        return _("nothing follows the colon")
    if kind == "attribute" and not value.partition("=")[0].strip():
        return _("the attribute's name is missing")
    if kind == "phone" and not _phone(value):
        return _("a phone number has digits, as in phone:+49*")
    if kind == "contact" and not (value.isascii() and value.isdigit()):
        return _("a contact is named by its number in Chatwoot, as in contact:17")
    return ""


def _rule(entry: str) -> Rule:
    kind, _colon, value = _parts(entry)
    if kind != "attribute":
        pattern = _phone(value) if kind == "phone" else value
        return Rule(kind=kind, pattern=pattern.casefold())
    name, _equals, pattern = value.partition("=")
    name, pattern = name.strip().casefold(), pattern.strip().casefold()
    return Rule(kind=kind, name=name, pattern=pattern)


def _parts(entry: str) -> tuple[str, str, str]:
    kind, colon, value = entry.partition(":")
    return kind.strip().lower(), colon, value.strip()


def matches(rules: Iterable[Rule], person: Person) -> bool:
    """Tell whether any of the rules is about this person."""
    return any(_is_about(rule, person) for rule in rules)


def _is_about(rule: Rule, person: Person) -> bool:
    """What a contact does not have, such as a phone number, matches no rule."""
    if rule.kind == "contact":
        return person.contact_id == int(rule.pattern)
    values = _values(rule, person)
    if rule.kind == "attribute" and not rule.pattern:
        # A box that is not ticked is as good as none.
        return any(value != _NO for value in values)
    return any(is_like(value, rule.pattern) for value in values)


def _values(rule: Rule, person: Person) -> Iterable[str]:
    if rule.kind == "label":
        return _folded(person.labels)
    if rule.kind == "phone":
        return _folded([_phone(person.phone)])
    if rule.kind == "email":
        return _folded([person.email])
    found = (
        text
        for attributes in person.attributes
        for name, value in attributes.items()
        if name.casefold() == rule.name
        for text in _texts(value)
    )
    return _folded(found)


def _folded(texts: Iterable[str]) -> Iterable[str]:
    """Leave out what is empty; nobody has values without end."""
    some = (text.strip()[:MAX_VALUE_CHARS].casefold() for text in texts)
    return islice((text for text in some if text), MAX_VALUES)


def _texts(value: JsonValue) -> Iterable[str]:
    """Return an attribute's value as people type it; a list has several."""
    if isinstance(value, list):
        return (text for item in value for text in _texts(item))
    if value is None or isinstance(value, dict):
        return ()
    if isinstance(value, bool):
        return (_YES if value else _NO,)
    return (str(value),)


def _phone(number: str) -> str:
    """Return a number, or a pattern of one, without what people put in between."""
    return "".join(sign for sign in number if sign.isdigit() or sign in "+*?")


def is_like(text: str, pattern: str) -> bool:
    """Compare with a pattern, in time that grows with both lengths and no faster.

    A star first stands for nothing; where the rest does not fit, the last star that was
    met takes one more character.
    """
    at = wanted = star_from = 0
    star = -1
    while at < len(text):
        sign = pattern[wanted] if wanted < len(pattern) else ""
        if sign == "*":
            star, star_from = wanted, at
            wanted += 1
        elif sign and sign in ("?", text[at]):
            at, wanted = at + 1, wanted + 1
        elif star >= 0:
            star_from += 1
            at, wanted = star_from, star + 1
        else:
            return False
    return not pattern[wanted:].strip("*")
