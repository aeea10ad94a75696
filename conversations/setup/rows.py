"""Finds or makes our own rows of a set-up: account, app and bot."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import transaction
from django.utils.text import slugify
from django.utils.translation import gettext as _
from django.utils.translation import override

from chatwoot_api.models import ChatwootAccount, Inbox, new_webhook_token
from conversations.doctor.bots import attributes_of
from conversations.doctor.mapping import suggest
from conversations.models import Bot
from conversations.setup.finding import known_account, known_app
from dify_api.models import DifyApp

if TYPE_CHECKING:
    from conversations.setup.carrying_out import Plan


def store_account(plan: Plan) -> tuple[ChatwootAccount, bool]:
    """Return the account and whether it is new; another token replaces the old one.

    Raises IntegrityError if it is there, but cannot be read.
    """
    account = known_account(plan.chatwoot_url, account_id=plan.account_id)
    if account is None:
        account = ChatwootAccount(
            name=plan.account_name or "Chatwoot",
            key=_free_key(plan.account_name),
            base_url=plan.chatwoot_url,
            account_id=plan.account_id,
            admin_token=plan.admin_token,
        )
        with transaction.atomic():
            account.save()
        return account, True
    if account.admin_token != plan.admin_token or account.admin_token_refused_at:
        account.admin_token = plan.admin_token
        account.forget_health()
        account.save()
    return account, False


def ensure_webhook_token(account: ChatwootAccount) -> None:
    """Make the token for a Chatwoot that cannot sign, if there is none."""
    if not account.webhook_token:
        account.webhook_token = new_webhook_token()
        account.save(update_fields=["webhook_token", "updated_at"])


def store_app(plan: Plan) -> tuple[DifyApp, bool]:
    """Return the app and whether it is new; a new key replaces a refused one."""
    app = known_app(plan.dify_url, key=plan.dify_key, name=plan.app_name)
    if app is None:
        name = plan.app_name or "Dify"
        app = DifyApp(name=name, base_url=plan.dify_url, api_key=plan.dify_key)
        app.save()
        return app, True
    if app.api_key != plan.dify_key:
        app.api_key = plan.dify_key
        app.forget_health()
        app.save()
    return app, False


def store_bot(
    plan: Plan, *, account: ChatwootAccount, app: DifyApp
) -> tuple[Bot, bool]:
    """Return the bot of account and app, and whether it is new.

    One that is there keeps all that was set at it; inboxes that were chosen now join
    those that it names. One that names none answers in all of them already.
    """
    inboxes = [
        Inbox.objects.remember(account, chatwoot_id=number, name="", channel="")
        for number in plan.inbox_ids
    ]
    with transaction.atomic():
        bot = bot_of(account, app)
        is_new = bot is None
        if bot is None:
            bot = _new_bot(plan, account=account, app=app)
        if is_new or bot.inboxes.exists():
            bot.inboxes.add(*inboxes)
    return bot, is_new


def bot_of(account: ChatwootAccount, app: DifyApp) -> Bot | None:
    """Return the bot that joins the two, the oldest of several."""
    return Bot.objects.filter(account=account, dify_app=app).order_by("pk").first()


def inbox_name(account: ChatwootAccount | None, number: int) -> str:
    """Return what an inbox is called, its number if we do not know."""
    rows = Inbox.objects.filter(account=account, chatwoot_inbox_id=number)
    return rows.values_list("name", flat=True).first() or str(number)


def _new_bot(plan: Plan, *, account: ChatwootAccount, app: DifyApp) -> Bot:
    declared = app.declared_inputs()
    with override(plan.language or None):
        public = _("Sorry, I cannot answer right now. A colleague will take over.")
        private = _("The bot could not answer: {cause}")
    return Bot.objects.create(
        name=plan.bot_name,
        account=account,
        dify_app=app,
        language=plan.language,
        inputs=suggest(declared, attributes=attributes_of(account)),
        failure_public_text=public,
        failure_private_text=private,
    )


def _free_key(name: str) -> str:
    """Return a key for the webhook address that no account has yet."""
    root = slugify(name)[:40] or "main"
    taken = set(ChatwootAccount.objects.values_list("key", flat=True))
    numbered = (f"{root}-{number}" for number in range(2, len(taken) + 3))
    return next(key for key in (root, *numbered) if key not in taken)
