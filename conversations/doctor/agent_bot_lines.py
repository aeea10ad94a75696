"""What Chatwoot's agent bot and its inboxes mean for us. Pure, but for our own rows."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

from django.utils.translation import gettext as _

from chatwoot_api.bot_payloads import AgentBotRow
from conversations.doctor.addresses import is_ours, leads_here, own_address
from conversations.doctor.chatwoot import Seen
from conversations.doctor.line import About, Line, State, unseen


def agent_bot_lines(seen: Seen, *, about: About) -> Iterator[Line]:
    """Yield what is to be said of the agent bot, its address, secret and inboxes."""
    if not isinstance(seen.agent_bots, list):
        yield unseen("agent_bot", seen.agent_bots, about=about)
        return
    row = seen.agent_bot
    if row is None:
        yield Line(
            check="agent_bot",
            state=State.FAILED,
            found=_("None of the agent bots has our token or our address."),
            meaning=_("Chatwoot sends nothing to the bridge."),
            remedy=_("Run the set-up again; it makes the agent bot anew."),
            link=seen.settings_page("agent-bots"),
            about=about,
        )
        return
    yield _row_line(seen, row, about=about)
    yield _address(seen, row, about=about)
    yield _secret(seen, row, about=about)
    yield _inboxes(seen, row, about=about)


def _row_line(seen: Seen, row: AgentBotRow, *, about: About) -> Line:
    found = _("“%(name)s”, number %(number)d.") % {"name": row.name, "number": row.id}
    if row.access_token and row.access_token != seen.account.bot_token:
        return Line(
            check="agent_bot",
            state=State.FAILED,
            found=found,
            meaning=_(
                "It calls the bridge, but the bridge answers with the token of another "
                "bot, or of none."
            ),
            remedy=_("Fetch token and secret from Chatwoot."),
            mend="fetch_secret",
            about=about,
        )
    return Line(check="agent_bot", state=State.OK, found=found, about=about)


def _address(seen: Seen, row: AgentBotRow, *, about: About) -> Line:
    check, shown = "agent_bot_address", without_token(row.outgoing_url)
    if is_ours(row.outgoing_url, account=seen.account):
        return Line(check=check, state=State.OK, found=shown, about=about)
    wanted = without_token(own_address(seen.account))
    remedy = _("It should be %(address)s.") % {"address": wanted}
    if leads_here(row.outgoing_url, account=seen.account):
        return Line(
            check=check,
            state=State.WARNING,
            found=shown,
            meaning=_(
                "It ends as ours, but is at another place than PUBLIC_URL. That is "
                "right if Chatwoot knows the bridge by another name, such as that of "
                "its container."
            ),
            remedy=remedy,
            mend="set_address",
            about=about,
        )
    return Line(
        check=check,
        state=State.FAILED,
        found=shown or _("None."),
        meaning=_("The events of customers go elsewhere, and the bot is silent."),
        remedy=remedy,
        mend="set_address",
        about=about,
    )


def _secret(seen: Seen, row: AgentBotRow, *, about: About) -> Line:
    check, account = "agent_bot_secret", seen.account
    if not row.secret:
        has_token = bool(account.webhook_token)
        return Line(
            check=check,
            state=State.OK if has_token else State.WARNING,
            found=_("Chatwoot does not tell a secret."),
            meaning=_("Events are known by the webhook token in the address.")
            if has_token
            else _("Without a secret or a webhook token every event is refused."),
            remedy="" if has_token else _("Update Chatwoot, or run the set-up again."),
            about=about,
        )
    if row.secret in account.secrets():
        found = _("The same there and here.")
        return Line(check=check, state=State.OK, found=found, about=about)
    return Line(
        check=check,
        state=State.FAILED,
        found=_("Chatwoot signs with another secret than ours."),
        meaning=_(
            "Every event is refused with 401, and Chatwoot takes the conversation from "
            "the bot."
        ),
        remedy=_("Fetch the secret from Chatwoot."),
        mend="fetch_secret",
        about=about,
    )


def _inboxes(seen: Seen, row: AgentBotRow, *, about: About) -> Line:
    check = "inboxes"
    if not isinstance(seen.inboxes, list):
        return unseen(check, seen.inboxes, about=about)
    linked = [
        inbox.name or str(inbox.id)
        for inbox in seen.inboxes
        if (bot := seen.links.get(inbox.id)) is not None and bot.id == row.id
    ]
    if linked:
        found = ", ".join(linked)
        return Line(check=check, state=State.OK, found=found, about=about)
    return Line(
        check=check,
        state=State.FAILED,
        found=_("None."),
        meaning=_("No conversation comes to the bot."),
        remedy=_("Run the set-up again and choose inboxes, or link them in Chatwoot."),
        link=seen.settings_page("inboxes/list"),
        about=about,
    )


def without_token(url: str) -> str:
    """Return the address without what only Chatwoot is to know."""
    return url if not urlsplit(url).query else f"{url.partition('?')[0]}?token=…"
