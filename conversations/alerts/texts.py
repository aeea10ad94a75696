"""What an alert says, in the channel's language; no customer's name or words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from django.conf import settings
from django.urls import reverse
from django.utils.functional import Promise
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from conversations.models import Alert, AlertCause, AlertDelivery, Turn

REFUSED: Mapping[str, str | Promise] = {
    "dify": _(
        "Dify refuses the key of the app “%(name)s”. Its customers go to the humans. "
        "Enter a key that is valid. Who was handed over stays with the humans; “Answer "
        "again” on a conversation's page gives one back to the bot."
    ),
    "chatwoot_bot": _(
        "Chatwoot refuses the bot token of the account “%(name)s”. The bot cannot "
        "answer there. Enter a token that is valid."
    ),
    "chatwoot_admin": _(
        "Chatwoot refuses the administrator token of the account “%(name)s”. The "
        "bridge cannot read message histories, teams and attributes. Enter a token "
        "that is valid."
    ),
}
REFUSED_PAGES: Mapping[str, str] = {
    "dify": "admin:dify_api_difyapp_change",
    "chatwoot_bot": "admin:chatwoot_api_chatwootaccount_change",
    "chatwoot_admin": "admin:chatwoot_api_chatwootaccount_change",
}


@dataclass(frozen=True)
class Words:
    """A headline, what it means and what to do, and where."""

    title: str
    text: str
    url: str


def words_of(delivery: AlertDelivery) -> Words:
    """Return what a message says, in the language that is active."""
    alert = delivery.alert
    if alert is None:
        return Words(
            title=gettext("Test of the alert channel “%(name)s”")
            % {"name": delivery.channel},
            text=gettext("Nothing is wrong. Alerts of the bridge arrive here."),
            url=_absolute(reverse("admin:index")),
        )
    about = str(alert.get_cause_display())
    url = _absolute(page_of(alert))
    if delivery.kind == AlertDelivery.Kind.ENDED:
        title = gettext("Over: %(about)s") % {"about": about}
        return Words(title, _what_is_over(alert), url)
    return Words(gettext("Trouble: %(about)s") % {"about": about}, what(alert), url)


def what(alert: Alert) -> str:
    """Say what is wrong, what it means and what to do."""
    facts = alert.facts
    match alert.cause:
        case AlertCause.REFUSED_KEY:
            text: str = str(REFUSED[str(facts["kind"])]) % {"name": facts["name"]}
            return text
        case AlertCause.FAILING_RATE:
            return _failing(alert)
        case AlertCause.OLDEST_WAITING:
            return ngettext(
                "In conversation #%(number)s a customer has been waiting for "
                "%(minutes)s minute. Answer in Chatwoot, or look why the bot did not.",
                "In conversation #%(number)s a customer has been waiting for "
                "%(minutes)s minutes. Answer in Chatwoot, or look why the bot did not.",
                int(facts["minutes"]),
            ) % {"number": facts["number"], "minutes": facts["minutes"]}
        case _:
            return ngettext(
                "Dify has not proven the deletion of %(count)s conversation, which is "
                "wanted for %(hours)s hours. Its page says why.",
                "Dify has not proven the deletion of %(count)s conversations, the "
                "oldest of which is wanted for %(hours)s hours. Their pages say why.",
                int(facts["count"]),
            ) % {"count": facts["count"], "hours": facts["hours"]}


def page_of(alert: Alert) -> str:
    """Return the path of the page where somebody can do something about it."""
    facts = alert.facts
    match alert.cause:
        case AlertCause.REFUSED_KEY:
            return reverse(REFUSED_PAGES[str(facts["kind"])], args=[facts["id"]])
        case AlertCause.FAILING_RATE:
            failed = f"{Turn.Status.FAILED.value},{Turn.Status.HANDED_OVER.value}"
            turns = reverse("admin:conversations_turn_changelist")
            return f"{turns}?status__in={failed}"
        case AlertCause.OLDEST_WAITING:
            return reverse(
                "admin:conversations_conversation_change", args=[facts["conversation"]]
            )
        case _:
            memories = reverse("admin:conversations_difyconversation_changelist")
            return f"{memories}?deletion=unproven"


def _failing(alert: Alert) -> str:
    facts = alert.facts
    text = gettext(
        "%(failed)s of the %(ended)s turns of the last hour failed (%(percent)s %%). "
        "Those customers went to the humans. The turns' pages say why."
    ) % {name: facts[name] for name in ("failed", "ended", "percent")}
    bots = facts.get("bots")
    if not isinstance(bots, list) or not bots:
        return text
    named = gettext("Most of them: %(bots)s.") % {"bots": ", ".join(map(str, bots))}
    return f"{text} {named}"


def _what_is_over(alert: Alert) -> str:
    facts = alert.facts
    match alert.cause:
        case AlertCause.REFUSED_KEY:
            over = {
                "dify": gettext("Dify takes the key of the app “%(name)s” again."),
                "chatwoot_bot": gettext(
                    "Chatwoot takes the bot token of the account “%(name)s” again."
                ),
                "chatwoot_admin": gettext(
                    "Chatwoot takes the administrator token of the account “%(name)s” "
                    "again."
                ),
            }
            return over[str(facts["kind"])] % {"name": facts["name"]}
        case AlertCause.FAILING_RATE:
            return gettext("Turns succeed again.")
        case AlertCause.OLDEST_WAITING:
            return gettext("No customer waits that long any more.")
        case _:
            return gettext("Dify has proven the deletions that were overdue.")


def _absolute(path: str) -> str:
    return f"{settings.PUBLIC_URL}{path}"
