"""What is wanted as files, the same as those of the seed commands, and back."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

import yaml
from django.db import transaction

from bridge_project.lib.types import JsonObject, JsonValue
from chatwoot_api import seed_files, wishes
from chatwoot_api.models import ChatwootAccount, Wish
from chatwoot_api.seed_files import MEMBERS, BadFile, Seed, Wanted
from chatwoot_api.seeding import is_same

MAX_CHARS = 1_000_000
READERS: Mapping[str, Callable[[JsonValue], Seed]] = {
    Wish.Kind.TEAM: seed_files.read_teams,
    Wish.Kind.LABEL: seed_files.read_labels,
    Wish.Kind.ATTRIBUTE: seed_files.read_attributes,
}
# The names of a file's lists, and the words for Chatwoot's fields, in their order.
LISTS: Mapping[str, str] = {kind: f"{kind}s" for kind in READERS}
_WORDS: Mapping[str, Mapping[str, str]] = {
    Wish.Kind.TEAM: {
        "name": "name",
        "description": "description",
        "allow_auto_assign": "allow_auto_assign",
    },
    Wish.Kind.LABEL: {
        "title": "title",
        "description": "description",
        "color": "color",
        "show_on_sidebar": "show_on_sidebar",
    },
    Wish.Kind.ATTRIBUTE: {
        "attribute_key": "key",
        "attribute_display_name": "name",
        "attribute_model": "model",
        "attribute_display_type": "type",
        "attribute_description": "description",
        "attribute_values": "values",
        "regex_pattern": "regex_pattern",
        "regex_cue": "regex_cue",
    },
}


@dataclass(frozen=True, kw_only=True)
class Step:
    """What a file changes of what is wanted here; `before` is what it was."""

    kind: str
    verb: str
    wanted: Wanted
    before: JsonObject
    after: JsonObject


@dataclass(frozen=True, kw_only=True)
class Preview:
    """What a file would change here, and what of it was not understood."""

    steps: tuple[Step, ...]
    unchanged: int
    notes: tuple[str, ...]


def read(text: str, *, kind: str = "") -> dict[str, Seed]:
    """Return what a text of YAML or JSON wants, by kind. Raises BadFile.

    `kind` is that of a bare list; a file that names its lists needs none.
    """
    if len(text) > MAX_CHARS:
        raise BadFile("The file is too long to be one of teams, labels or attributes.")
    looks_json = text.lstrip().startswith(("{", "["))
    try:
        data = seed_files.parse(text, name="The text", is_json=looks_json)
    except BadFile:
        if not looks_json:
            raise
        data = seed_files.parse(text, name="The text")  # YAML may begin so, too
    if isinstance(data, dict):
        named = [one for one, word in LISTS.items() if data.get(word)]
        if named:
            return {one: READERS[one](data) for one in named}
        raise BadFile(
            "The text has none of the lists “teams”, “labels” and “attributes”, or "
            "only empty ones."
        )
    if kind not in READERS:
        raise BadFile(
            "The text is a bare list. Say whether these are teams, labels or "
            "attributes."
        )
    return {kind: READERS[kind](data)}


def preview(
    account: ChatwootAccount, seeds: Mapping[str, Seed], *, exact: bool = False
) -> Preview:
    """Say what the file changes here; with `exact`, what it does not name goes."""
    steps: list[Step] = []
    unchanged = 0
    for kind, seed in seeds.items():
        rows = Wish.objects.filter(account=account, kind=kind).order_by("name")
        former = {row.identity: wishes.wanted_of(row) for row in rows}
        for one in seed.wanted:
            before = former.pop(one.identity, None)
            step = _step(kind, one, before=before)
            unchanged += step is None
            steps.extend([] if step is None else [step])
        if exact:
            steps += [
                Step(kind=kind, verb="forget", wanted=one, before=one.fields, after={})
                for one in former.values()
            ]
    notes = tuple(note for seed in seeds.values() for note in seed.notes)
    return Preview(steps=tuple(steps), unchanged=unchanged, notes=notes)


def take(
    account: ChatwootAccount,
    seeds: Mapping[str, Seed],
    *,
    by: str,
    exact: bool = False,
) -> int:
    """Want what the file says; returns how many things that changed here."""
    with transaction.atomic():
        steps = preview(account, seeds, exact=exact).steps
        for step in steps:
            if step.verb == "forget":
                rows = Wish.objects.filter(account=account, kind=step.kind)
                rows.filter(identity=step.wanted.identity).delete()
            else:
                wishes.want(account, step.kind, step.wanted, by=by, keep=True)
    return len(steps)


def export(account: ChatwootAccount, kinds: Collection[str]) -> str:
    """Return a file of what is wanted; kinds of which nothing is wanted are left out.

    One kind alone is a bare list, as in the examples; "" if there is nothing.
    """
    lists: dict[str, list[JsonObject]] = {}
    rows = Wish.objects.filter(account=account, kind__in=kinds).order_by("name")
    for row in rows:
        lists.setdefault(row.kind, []).append(_entry(row))
    if not lists:
        return ""
    ordered = {LISTS[kind]: lists[kind] for kind in READERS if kind in lists}
    content: object = next(iter(ordered.values())) if len(kinds) == 1 else ordered
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=88)


def _step(kind: str, one: Wanted, *, before: Wanted | None) -> Step | None:
    if before is None:
        return Step(kind=kind, verb="add", wanted=one, before={}, after=one.fields)
    after = {
        name: value
        for name, value in one.fields.items()
        if name not in before.fields
        or not is_same(before.fields[name], value, field=name)
    }
    if not after:
        return None
    known = {name: before.fields.get(name) for name in after}
    return Step(kind=kind, verb="change", wanted=one, before=known, after=after)


def _entry(row: Wish) -> JsonObject:
    entry: JsonObject = {
        word: row.fields[name]
        for name, word in _WORDS[row.kind].items()
        if name in row.fields
    }
    if "model" in entry:
        entry["model"] = str(entry["model"]).removesuffix("_attribute")
    if row.members is not None:
        entry[MEMBERS] = row.members
    return entry
