"""What the admin says of an account's tokens: what is, what it means, what to do."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from django.contrib import messages
from django.utils.functional import Promise
from django.utils.timezone import localtime
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from bridge_project.lib.errors import UpstreamError
from chatwoot_api.models import ChatwootAccount, Health
from chatwoot_api.probe import ProbeResult
from chatwoot_api.refusals import TokenName

_BOT_HOW_TO = _(
    "In Chatwoot open Settings → Bots, copy the bot's access token, and enter it here "
    "as the bot token. The bridge itself tries the old one once a minute, in case it "
    "is accepted again."
)
_ADMIN_HOW_TO = _(
    "In Chatwoot log in as an administrator of this account, copy the access token "
    "from the profile settings, and enter it here as the administrator token. The "
    "bridge itself tries the old one once a minute, in case it is accepted again."
)
_NO_TOKEN = _(
    "This account has no token. Webhooks are accepted and customers' messages are "
    "noted, but the bridge posts nothing: neither answers nor notes, and pending "
    "conversations stay as they are. Enter the bot's access token (in Chatwoot: "
    "Settings → Bots); it works for the next message."
)
_CANNOT_ANSWER = _(
    "The bot cannot answer; customers who write are handed over to humans, with the "
    "administrator token."
)
_CANNOT_HAND_OVER = _(
    "The bot cannot answer, and without an administrator token that works the bridge "
    "cannot hand customers over either: look after the pending conversations in "
    "Chatwoot yourself."
)
_CANNOT_READ = _(
    "The bot answers all the same, but the bridge cannot read the history of "
    "conversations: it sees human replies by webhook only, and after a lost connection "
    "it hands over instead of looking whether its answer arrived."
)


def token_trouble(account: ChatwootAccount) -> Iterator[str]:
    """Yield a paragraph for each token that Chatwoot refuses, or if there is none."""
    if not account.has_token:
        yield str(_NO_TOKEN)
        return
    admin_works = bool(account.admin_token) and not account.admin_token_refused_at
    if account.health == Health.REFUSED:
        meaning = _CANNOT_ANSWER if admin_works else _CANNOT_HAND_OVER
        since = _since(account.last_error_at, token="bot")
        yield f"{since} {meaning} {_BOT_HOW_TO}"
    if account.admin_token_refused_at is not None:
        since = _since(account.admin_token_refused_at, token="admin")
        if account.health == Health.REFUSED:
            yield f"{since} {_ADMIN_HOW_TO}"
        else:
            yield f"{since} {_CANNOT_READ} {_ADMIN_HOW_TO}"


def check_report(
    account: ChatwootAccount, result: ProbeResult
) -> Iterator[tuple[int, str]]:
    """Yield level and sentence for each token after a check."""
    yield _token_report(account, result, token="bot")
    yield _token_report(account, result, token="admin")


def _token_report(
    account: ChatwootAccount, result: ProbeResult, *, token: TokenName
) -> tuple[int, str]:
    values = {"account": account, "token": _NAMES[token]}
    state = result.states().get(token)
    if state is None:
        text = gettext("“%(account)s”: no %(token)s is entered.")
        return messages.WARNING, text % values
    if state == "ok":
        text = gettext("“%(account)s”: Chatwoot accepts the %(token)s.")
        return messages.SUCCESS, text % values
    if state == "refused":
        text = gettext("“%(account)s”: Chatwoot does not accept the %(token)s.")
        how_to = _BOT_HOW_TO if token == "bot" else _ADMIN_HOW_TO
        return messages.ERROR, f"{text % values} {how_to}"
    err = result.errors[token]
    if isinstance(err, UpstreamError) and err.status is None:
        text = gettext(
            "“%(account)s”: Chatwoot could not be reached, so nothing is known of the "
            "%(token)s. Check the address, and whether this server may connect to it. "
            "(%(error)s)"
        )
    else:
        text = gettext(
            "“%(account)s”: the answer tells nothing of the %(token)s. Check whether "
            "the address is Chatwoot's, and no proxy or login page stands in between. "
            "(%(error)s)"
        )
    return messages.WARNING, text % {**values, "error": err}


def _since(at: datetime | None, *, token: TokenName) -> str:
    values = {
        "token": _NAMES[token],
        "at": localtime(at).strftime("%Y-%m-%d %H:%M") if at else "",
    }
    if at is None:
        return gettext("Chatwoot refuses the %(token)s.") % values
    return gettext("Chatwoot refuses the %(token)s since %(at)s.") % values


_NAMES: dict[TokenName, str | Promise] = {
    "bot": _("bot token"),
    "admin": _("administrator token"),
}
