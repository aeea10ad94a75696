"""Reading foreign JSON: strictly what an answer needs, leniently all else."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal, InvalidOperation

from bridge_project.lib.types import JsonObject, JsonValue
from dify_api.failures import DifyUnexpectedReply

# Sums of such numbers still fit a bigint.
MAX_COUNT = 2**53


def malformed(what: str) -> DifyUnexpectedReply:
    """Return the error for a success whose body is not what was agreed."""
    return DifyUnexpectedReply(
        f"Dify answered success, but {clean_text(what)}. Is the address really that "
        "of a Dify API?",
        service="dify",
    )


def as_object(value: JsonValue, *, name: str) -> JsonObject:
    """Return `value` if it is an object; raises DifyUnexpectedReply."""
    if isinstance(value, dict):
        return value
    raise malformed(f"`{name}` is not an object")


def required_text(source: Mapping[str, JsonValue], key: str) -> str:
    """Return a string, "" for null or absent; raises DifyUnexpectedReply."""
    value = source.get(key)
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    raise malformed(f"`{key}` is not a text")


def text(source: Mapping[str, JsonValue], key: str) -> str:
    """Return a string as PostgreSQL can store it, "" for anything else."""
    value = source.get(key)
    return clean_text(value) if isinstance(value, str) else ""


def integer(source: Mapping[str, JsonValue], key: str) -> int:
    """Return a count, 0 for anything else, also for what no column could hold."""
    value = source.get(key)
    if isinstance(value, bool) or not isinstance(value, int):
        return 0
    return value if 0 <= value <= MAX_COUNT else 0


def objects(value: JsonValue) -> Iterator[JsonObject]:
    """Yield the objects of a list; nothing for anything else."""
    if isinstance(value, list):
        yield from (item for item in value if isinstance(item, dict))


def texts(value: JsonValue) -> tuple[str, ...]:
    """Return the strings of a list; () for anything else."""
    if not isinstance(value, list):
        return ()
    return tuple(item for item in value if isinstance(item, str))


def nested(source: Mapping[str, JsonValue], key: str) -> JsonObject:
    """Return an object, {} for anything else."""
    value = source.get(key)
    return value if isinstance(value, dict) else {}


def price(source: Mapping[str, JsonValue], key: str) -> Decimal:
    """Return a price; Dify sends them as strings ("0.0000132", "0E-7")."""
    value = source.get(key)
    if not isinstance(value, str | int | float):
        return Decimal(0)
    try:
        amount = Decimal(str(value))
    except InvalidOperation:
        return Decimal(0)
    # NaN, Infinity and 1E+999 are no prices, and no database column takes them.
    return amount if amount.is_finite() and amount.adjusted() < 9 else Decimal(0)


def scrub(value: JsonValue) -> JsonValue:
    """Return `value` without what PostgreSQL cannot store: NUL, lone surrogates."""
    if isinstance(value, str):
        return clean_text(value)
    if isinstance(value, list):
        return [scrub(item) for item in value]
    if isinstance(value, dict):
        return {clean_text(key): scrub(item) for key, item in value.items()}
    return value


def clean_text(value: str) -> str:
    """Return `value` without NUL; surrogate pairs are joined, lone ones replaced."""
    value = value.replace("\x00", "")
    try:
        value.encode()
    except UnicodeEncodeError:
        pairs = value.encode("utf-16", "surrogatepass")
        return pairs.decode("utf-16", "replace")
    return value
