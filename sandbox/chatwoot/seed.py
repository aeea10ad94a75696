"""The account every sandbox starts with: fixed ids, so that tests can name them."""

from __future__ import annotations

from sandbox import times
from sandbox.chatwoot.records import (
    Account,
    Agent,
    AttributeDefinition,
    Bot,
    Inbox,
    Label,
    Team,
)
from sandbox.settings import Settings

# Public demo credentials: they open nothing but a sandbox.
BOT_TOKEN = "sandbox-bot-token"
ADMIN_TOKEN = "sandbox-admin-token"
WEBHOOK_SECRET = "sandbox-webhook-secret"
API_INBOX_SECRET = "sandbox-inbox-secret"

WEBSITE_INBOX_ID, API_INBOX_ID, PLAIN_INBOX_ID = 1, 2, 3


def account() -> Account:
    return Account(id=1, name="Sandbox Store")


def bots(settings: Settings) -> list[Bot]:
    if not settings.seeded_bot:
        return []
    return [
        Bot(
            id=1,
            name="Bridge bot",
            description="Answers through the Chatwoot–Dify bridge",
            outgoing_url=settings.webhook_url(),
            access_token=BOT_TOKEN,
            secret=WEBHOOK_SECRET,
        )
    ]


def agents() -> list[Agent]:
    people = [
        ("Ada Admin", "Ada", "administrator", ADMIN_TOKEN),
        ("Marta Keller", "Marta", "agent", "sandbox-agent-marta-token"),
        ("Jonas Weber", "Jonas", "agent", "sandbox-agent-jonas-token"),
    ]
    return [
        Agent(
            id=number,
            name=name,
            available_name=short,
            email=f"{name.lower().replace(' ', '.')}@sandbox.test",
            role=role,
            access_token=token,
        )
        for number, (name, short, role, token) in enumerate(people, start=1)
    ]


def inboxes(settings: Settings) -> list[Inbox]:
    web, api = "Channel::WebWidget", "Channel::Api"
    bot_id = 1 if settings.seeded_bot else None
    return [
        Inbox(id=WEBSITE_INBOX_ID, name="Website", channel=web, bot_id=bot_id),
        Inbox(
            id=API_INBOX_ID,
            name="API",
            channel=api,
            bot_id=bot_id,
            identifier="sbx-api",
            secret=API_INBOX_SECRET,
        ),
        Inbox(id=PLAIN_INBOX_ID, name="Website without bot", channel=web),
    ]


def teams() -> list[Team]:
    rows = [
        ("support", "First line", [2, 3]),
        ("sales", "Orders and offers", [2]),
        ("returns", "Handles returns", [3]),
    ]
    # Auto-assignment is on by default in Chatwoot and off here, so that a team
    # alone does not bring a human into a demo.
    return [
        Team(
            id=number,
            name=name,
            description=description,
            allow_auto_assign=False,
            created_at=times.now(),
            member_ids=list(members),
        )
        for number, (name, description, members) in enumerate(rows, start=1)
    ]


def labels() -> list[Label]:
    rows = [
        ("return", "Goods coming back", "#D97706"),
        ("vip", "Handle with care", "#7C3AED"),
        ("billing", "Money", "#0891B2"),
        ("bug", "Something is broken", "#DC2626"),
    ]
    return [
        Label(id=number, title=title, description=text, color=color)
        for number, (title, text, color) in enumerate(rows, start=1)
    ]


def attribute_definitions() -> list[AttributeDefinition]:
    on_conversation, on_contact = "conversation_attribute", "contact_attribute"
    rows: list[tuple[str, str, str, str, list[str]]] = [
        ("Order number", "order_number", "text", on_conversation, []),
        ("Topic", "topic", "list", on_conversation, ["Order", "Return", "Other"]),
        ("Support mode", "support_mode", "list", on_conversation, ["bot", "copilot"]),
        ("Language", "language", "text", on_conversation, []),
        ("Dify summary", "dify_summary", "text", on_conversation, []),
        ("Customer tier", "customer_tier", "list", on_contact, ["gold", "silver"]),
    ]
    return [
        AttributeDefinition(
            id=number,
            display_name=name,
            key=key,
            display_type=kind,
            model=model,
            created_at=times.now(),
            values=values,
        )
        for number, (name, key, kind, model, values) in enumerate(rows, start=1)
    ]
