"""Make the first account, Dify app and bot from environment variables.

For people who come from a bridge that was configured by its environment alone. It may
run at every start: it follows the environment until an operator changes a value in the
admin, and leaves that value alone from then on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from django.conf import settings
from django.db import transaction
from django.utils.crypto import salted_hmac

from bridge_project.lib.errors import ConfigurationError
from chatwoot_api.models import ChatwootAccount, new_webhook_token
from conversations.models import Bot, ConversationStatus, ReplyAs
from dify_api.models import DifyApp

DEFAULT_KEY = "main"


@dataclass
class Report:
    """What bootstrap did, in sentences, and what is to be shown once."""

    lines: list[str] = field(default_factory=list)


def bootstrap(env: Mapping[str, str]) -> Report:
    """Create or follow up the rows; raises ConfigurationError for half a setting."""
    report = Report()
    chatwoot, dify = _chatwoot_values(env), _dify_values(env)
    with transaction.atomic():
        account, is_new_account = _account(chatwoot, report=report)
        app, is_new_app = _app(dify, report=report)
        if account and app and (is_new_account or is_new_app):
            attribute = env.get("CHATWOOT_SUPPORT_MODE_ATTR", "").strip()
            _bot(account, app=app, support_mode_attribute=attribute, report=report)
    if not report.lines:
        report.lines.append("Nothing to do: no change in the environment.")
    return report


def _chatwoot_values(env: Mapping[str, str]) -> dict[str, str | int]:
    url = _first(env, "CHATWOOT_API_URL", "CHATWOOT_BASE_URL")
    number = env.get("CHATWOOT_ACCOUNT_ID", "").strip()
    token = _first(env, "CHATWOOT_API_KEY", "CHATWOOT_API_ACCESS_TOKEN")
    if not url:
        return {}
    if not number.isdigit():
        raise ConfigurationError(
            "CHATWOOT_API_URL is set; CHATWOOT_ACCOUNT_ID (a number) is needed with "
            "it, and CHATWOOT_API_KEY (the agent bot's token) to post answers."
        )
    return {
        "base_url": url.rstrip("/").removesuffix("/api/v1"),
        "account_id": int(number),
        "bot_token": token,
        "admin_token": env.get("CHATWOOT_ADMIN_API_KEY", "").strip(),
        "webhook_secret": env.get("CHATWOOT_WEBHOOK_SECRET", "").strip(),
        "webhook_token": env.get("CHATWOOT_WEBHOOK_TOKEN", "").strip(),
    }


def _dify_values(env: Mapping[str, str]) -> dict[str, str | int]:
    url, key = env.get("DIFY_API_URL", "").strip(), env.get("DIFY_API_KEY", "").strip()
    if bool(url) != bool(key):
        raise ConfigurationError("DIFY_API_URL and DIFY_API_KEY are needed together.")
    return {"base_url": url.rstrip("/"), "api_key": key} if url else {}


def _first(env: Mapping[str, str], *names: str) -> str:
    return next((v for name in names if (v := env.get(name, "").strip())), "")


def _account(
    values: dict[str, str | int], *, report: Report
) -> tuple[ChatwootAccount | None, bool]:
    account = ChatwootAccount.objects.exclude(bootstrapped={}).first()
    if not values or (account is None and ChatwootAccount.objects.exists()):
        return account, False
    is_new = account is None
    if account is None:
        account = ChatwootAccount(name="Chatwoot", key=DEFAULT_KEY)
    changed = _follow(account, values)
    if changed and not account.has_token:
        report.lines.append(
            "CHATWOOT_API_KEY is not set: webhooks are accepted, but nothing is posted "
            "in Chatwoot until a token is set here or entered at the account."
        )
    if not account.webhook_secret and not account.webhook_token:
        account.webhook_token = new_webhook_token()
        changed.append("webhook_token")
        report.lines.append(
            "Neither CHATWOOT_WEBHOOK_SECRET nor CHATWOOT_WEBHOOK_TOKEN is set, so a "
            "token was made. Enter this address at the agent bot in Chatwoot; it is "
            "not shown again:\n"
            f"  {webhook_url()}?token={account.webhook_token}"
        )
    if changed:
        account.save()
        report.lines.append(_sentence("Chatwoot account", is_new=is_new, of=changed))
    return account, is_new


def _app(
    values: dict[str, str | int], *, report: Report
) -> tuple[DifyApp | None, bool]:
    app = DifyApp.objects.exclude(bootstrapped={}).first()
    if not values or (app is None and DifyApp.objects.exists()):
        return app, False
    is_new = app is None
    if app is None:
        app = DifyApp(name="Dify")
    changed = _follow(app, values)
    if changed:
        # Another server or key may be another app.
        app.parameters_read_at = None
        app.save()
        report.lines.append(_sentence("Dify app", is_new=is_new, of=changed))
    return app, is_new


def _bot(
    account: ChatwootAccount,
    *,
    app: DifyApp,
    support_mode_attribute: str,
    report: Report,
) -> None:
    """Make the bot, once; where customers choose, they do so in open ones, too."""
    if Bot.objects.filter(account=account).exists():
        return
    bot = Bot(name="Bot", account=account, dify_app=app)
    report.lines.append("Bot: made, for all inboxes of the account.")
    if support_mode_attribute:
        bot.reply_as = ReplyAs.BY_SUPPORT_MODE
        bot.support_mode_attribute = support_mode_attribute[:100]
        bot.speak_in_statuses = [ConversationStatus.PENDING, ConversationStatus.OPEN]
        report.lines.append(
            f"It answers as the customer chose: by the attribute "
            f"“{bot.support_mode_attribute}”, in pending and open conversations."
        )
    bot.save()


def _follow(row: ChatwootAccount | DifyApp, values: dict[str, str | int]) -> list[str]:
    """Take over values unless an operator has changed them; return which."""
    changed = []
    for name, value in values.items():
        current = getattr(row, name)
        ours = row.bootstrapped.get(name)
        if row.pk and ours != _fingerprint(current):
            continue
        row.bootstrapped[name] = _fingerprint(value)
        if current != value:
            setattr(row, name, value)
            changed.append(name)
    if changed:
        # With another address or token it has to be found out anew.
        row.forget_health()
    return changed


def _fingerprint(value: str | int | None) -> str:
    return salted_hmac("bootstrap", str(value)).hexdigest()[:32]


def _sentence(what: str, *, is_new: bool, of: list[str]) -> str:
    return f"{what}: made." if is_new else f"{what}: changed {', '.join(of)}."


def webhook_url() -> str:
    """Return the address that Chatwoot's agent bot posts to."""
    return f"{settings.PUBLIC_URL}/api/v1/chatwoot-webhook"
