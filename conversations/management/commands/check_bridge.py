"""`manage.py check_bridge`: what the doctor finds, for terminals and monitoring."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from conversations.doctor import MENDS, TOPICS, Line, State, groups, look

WORDS = {
    State.OK: "OK",
    State.WARNING: "WARN",
    State.FAILED: "FAIL",
    State.SKIPPED: "SKIP",
}


class Command(BaseCommand):
    """One line for each thing; exit code 1 if anything failed."""

    help = (
        "Look at Chatwoot, deliveries, Dify, bots and the bridge's own processes, and "
        "say what is wrong and how to mend it. Writes into no conversation. The exit "
        "code is 1 if anything failed; warnings do not count."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take what to look at, and how to say it."""
        parser.add_argument(
            "--only",
            choices=TOPICS,
            action="append",
            help="Only this topic; may be given several times.",
        )
        parser.add_argument("--account", type=int, help="Only this Chatwoot account.")
        parser.add_argument("--app", type=int, help="Only this Dify app.")
        parser.add_argument("--bot", type=int, help="Only what this bot needs.")
        parser.add_argument(
            "--json", action="store_true", help="A list of objects instead of lines."
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Look, say, and fail if something is wrong."""
        lines = _look(options)
        if options["json"]:
            text = json.dumps([_as_json(line) for line in lines], ensure_ascii=False)
            self.stdout.write(text)
        else:
            for line in lines:
                self._say(line)
        failed = sum(line.state is State.FAILED for line in lines)
        if not options["json"]:
            warned = sum(line.state is State.WARNING for line in lines)
            self.stdout.write(
                f"Done. {len(lines)} checks, {failed} failed, {warned} warnings."
            )
        if failed:
            sys.exit(1)

    def _say(self, line: Line) -> None:
        name = f"{line.about.name}: " if line.about.name else ""
        self.stdout.write(f"{WORDS[line.state]:<4} {name}{line.title}: {line.found}")
        if line.state in (State.WARNING, State.FAILED):
            for text in (line.meaning, line.remedy):
                if text:
                    self.stdout.write(f"       {text}")


def _look(options: dict[str, Any]) -> list[Line]:
    chosen = groups(account=options["account"], app=options["app"], bot=options["bot"])
    named = any(options[name] is not None for name in ("account", "app", "bot"))
    if named and len(chosen) == 1:
        msg = "There is no such account, app or bot."
        raise CommandError(msg)
    only = options["only"] or TOPICS
    needs = {"chatwoot": "account", "delivery": "account", "bots": "account"}
    kinds = {needs.get(topic, "app" if topic == "dify" else "bridge") for topic in only}
    return [
        line
        for group in chosen
        if group.kind in kinds
        for line in look(group, bot=options["bot"])
        if line.topic in only
    ]


def _as_json(line: Line) -> dict[str, Any]:
    return {
        "topic": line.topic,
        "check": line.check,
        "title": line.title,
        "state": line.state.value,
        "about": {
            "kind": line.about.kind,
            "id": line.about.pk or None,
            "name": line.about.name,
        },
        "found": line.found,
        "meaning": line.meaning,
        "remedy": line.remedy,
        "mend": str(MENDS[line.mend].title) if line.mend else "",
        "link": line.link,
    }
