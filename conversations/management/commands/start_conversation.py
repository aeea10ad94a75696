"""`manage.py start_conversation`: write to a customer first, as the bot."""

from __future__ import annotations

from time import monotonic
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from bridge_project.lib.types import JsonValue
from chatwoot_api.client import ChatwootClient
from chatwoot_api.management.accounts import add_account_argument, chosen_account
from chatwoot_api.models import ChatwootAccount
from conversations.actions import Outcome, start_conversation
from conversations.models import Bot

# Somebody waits at a terminal, and may wait longer than a flow.
PATIENCE_S = 120.0
_ARGUMENTS = (
    ("contact-id", "Chatwoot's number of the contact."),
    ("contact-identifier", "The contact's identifier in your own system."),
    ("contact-email", "The contact's e-mail address."),
    ("contact-phone", "The contact's phone number, such as +4930123456."),
    ("contact-name", "Name of the contact, if it has to be made."),
    ("inbox", "Name or number of the inbox; not needed if the bot has only one."),
    ("message", "What the bot says first."),
    ("status", "open, pending, resolved or snoozed."),
    ("team", "Name or number of the team."),
    ("priority", "low, medium, high or urgent."),
    ("labels", "Labels, with commas in between."),
    ("custom-attributes", 'Attributes as JSON, such as {"topic": "Order"}.'),
)


class Command(BaseCommand):
    """Does what `POST /api/v1/conversations` does; each run starts another one."""

    help = (
        "Start a conversation: find the contact by number, identifier, e-mail or "
        "phone, or make it, and let the bot say the first message."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """All of them as a flow would send them."""
        add_account_argument(parser, default="the only account")
        parser.add_argument(
            "--bot",
            metavar="NAME",
            default="",
            help="The bot in whose inboxes it starts; without it, any inbox.",
        )
        for name, text in _ARGUMENTS:
            parser.add_argument(f"--{name}", help=text)

    def handle(self, *args: Any, **options: Any) -> None:
        """Start it, and tell its number and what became of each wish."""
        account = chosen_account(options["account"])
        bot = _bot(options["bot"], account=account)
        names = [name.replace("-", "_") for name, _text in _ARGUMENTS]
        wanted: dict[str, JsonValue] = {
            name: options[name] for name in names if options[name] is not None
        }
        accounts = ChatwootAccount.objects.filter(pk=account.pk)
        outcomes = start_conversation(
            account,
            bot=bot,
            client=ChatwootClient(account, on_refused=accounts.note_refusal),
            wanted=wanted,
            until=monotonic() + PATIENCE_S,
        )
        self._report(outcomes)

    def _report(self, outcomes: list[Outcome]) -> None:
        started, *others = outcomes
        if not started.is_done:
            raise CommandError(started.message)
        number, url = started.extra["conversation_id"], started.extra["url"]
        for outcome in others:
            about = f": {outcome.message}" if outcome.message else ""
            self.stdout.write(f"{outcome.field}: {outcome.result}{about}")
        self.stdout.write(f"Conversation {number}: {url}")
        failed = [outcome.field for outcome in others if not outcome.is_done]
        if failed:
            raise CommandError(
                f"The conversation was started, but not everything was done: "
                f"{', '.join(failed)}. Do that in Chatwoot; running the command again "
                "would start another conversation."
            )


def _bot(name: str, *, account: ChatwootAccount) -> Bot | None:
    if not name:
        return None
    bots = list(Bot.objects.filter(account=account, name=name)[:2])
    if len(bots) == 1:
        return bots[0]
    known = ", ".join(
        Bot.objects.filter(account=account).values_list("name", flat=True)
    )
    if bots:
        raise CommandError(f"More than one bot of “{account}” is named “{name}”.")
    raise CommandError(
        f"No bot of “{account}” is named “{name}”. Known bots: {known or 'none'}."
    )
