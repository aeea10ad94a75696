"""Which Chatwoot account a command is about."""

from __future__ import annotations

from django.core.management.base import CommandError, CommandParser

from chatwoot_api.models import ChatwootAccount


def add_account_argument(parser: CommandParser, *, default: str) -> None:
    """Add `--account KEY`; `default` says what happens without it."""
    parser.add_argument(
        "--account",
        metavar="KEY",
        default="",
        help=(
            "The account's key, as at the end of its webhook address: …/KEY. The page "
            f"of the Chatwoot account in the admin shows it. Without it: {default}."
        ),
    )


def account_with(key: str) -> ChatwootAccount:
    """Return the account with this key."""
    account = ChatwootAccount.objects.filter(key=key).first()
    if account is None:
        raise CommandError(
            f"No Chatwoot account has the key “{key}”. Known keys: {_known_keys()}."
        )
    return account


def chosen_account(key: str) -> ChatwootAccount:
    """Return the account with this key, or the only one there is."""
    if key:
        return account_with(key)
    accounts = list(ChatwootAccount.objects.order_by("pk")[:2])
    if not accounts:
        raise CommandError(
            "There is no Chatwoot account yet. Make one in the admin, or with "
            "`manage.py bootstrap`."
        )
    if len(accounts) > 1:
        raise CommandError(
            "There is more than one Chatwoot account. Say which is meant with "
            f"--account KEY. Known keys: {_known_keys()}."
        )
    return accounts[0]


def _known_keys() -> str:
    keys = ChatwootAccount.objects.order_by("key").values_list("key", flat=True)
    return ", ".join(keys) or "none"
