"""What the answers of a Chatwoot account mean. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from django.utils.translation import gettext as _

from bridge_project.lib.errors import BridgeError
from bridge_project.lib.health import describe
from chatwoot_api.bot_payloads import AccountFacts, Profile, ServerFacts
from chatwoot_api.refusals import NotOpenToBots, TokenName, TokenRefused
from conversations.doctor.agent_bot_lines import agent_bot_lines
from conversations.doctor.chatwoot import BOTS_READ_SINCE, SIGNS_SINCE, Seen
from conversations.doctor.clocks import clock_line
from conversations.doctor.line import About, Line, State, unseen


def lines(seen: Seen, *, about: About) -> Iterator[Line]:
    """Yield a line for each thing that was looked at."""
    yield _reachable(seen, about=about)
    if not seen.is_reachable:
        return
    yield _version(seen, about=about)
    clock = seen.server.clock if isinstance(seen.server, ServerFacts) else None
    yield clock_line("chatwoot_clock", clock, ours=seen.at, about=about)
    yield _bot_token(seen, about=about)
    yield _admin_token(seen, about=about)
    yield from agent_bot_lines(seen, about=about)
    yield _keep_pending(seen, about=about)
    yield _teams(seen, about=about)


def _reachable(seen: Seen, *, about: About) -> Line:
    address = seen.account.server_url()
    if isinstance(seen.server, ServerFacts):
        return Line(
            check="chatwoot_reachable",
            state=State.OK,
            found=_("%(address)s answers.") % {"address": address},
            about=about,
        )
    error = seen.server
    if not seen.is_reachable:
        return Line(
            check="chatwoot_reachable",
            state=State.FAILED,
            found=_said(error),
            meaning=_("Nothing can be read, and no answer reaches a customer."),
            remedy=_(
                "Check the address of the account, and whether this server may connect "
                "to %(address)s."
            )
            % {"address": address},
            about=about,
        )
    return Line(
        check="chatwoot_reachable",
        state=State.WARNING,
        found=_said(error),
        meaning=_("Something answers, but not as Chatwoot does at /api."),
        remedy=_(
            "Check that the address is Chatwoot's own, and that no proxy or login page "
            "stands in between. If the tokens below work, /api alone is blocked: then "
            "only the version stays unknown."
        ),
        about=about,
    )


def _version(seen: Seen, *, about: About) -> Line:
    server = seen.server if isinstance(seen.server, ServerFacts) else ServerFacts()
    number = server.number
    if number is None:
        return Line(
            check="chatwoot_version",
            state=State.WARNING,
            found=_("Chatwoot does not tell its version."),
            meaning=_("It is not known what this Chatwoot can do."),
            remedy=_(
                "The bridge wants 4.14.2 or newer; 4.13 is the oldest that signs."
            ),
            about=about,
        )
    if number < SIGNS_SINCE:
        has_token = bool(seen.account.webhook_token)
        return Line(
            check="chatwoot_version",
            state=State.WARNING if has_token else State.FAILED,
            found=server.version,
            meaning=_(
                "It cannot sign the events of agent bots (4.13.0 and newer can), and "
                "does not tell them of changed statuses."
            ),
            remedy=_("Update Chatwoot; until then use the webhook token (?token=…)."),
            about=about,
        )
    if number < BOTS_READ_SINCE:
        return Line(
            check="chatwoot_version",
            state=State.WARNING,
            found=server.version,
            meaning=_(
                "Bots may not read conversations before 4.14.2, so the bridge reads "
                "with the administrator token alone."
            ),
            remedy=_("Update Chatwoot to 4.14.2 or newer."),
            about=about,
        )
    return Line(
        check="chatwoot_version", state=State.OK, found=server.version, about=about
    )


def _bot_token(seen: Seen, *, about: About) -> Line:
    check = "bot_token"
    if not seen.account.bot_token:
        return Line(
            check=check,
            state=State.FAILED,
            found=_("There is none."),
            meaning=_("The bot cannot say anything."),
            remedy=_(
                "Press the button, or run the set-up again: both fetch it from "
                "Chatwoot."
            ),
            mend="fetch_secret" if seen.agent_bot else "",
            about=about,
        )
    trouble = _token_trouble(seen, "bot", about=about)
    if trouble is not None:
        return trouble
    if isinstance(seen.bot_owner, Profile):
        return Line(
            check=check,
            state=State.FAILED,
            found=_("It is the token of a person: %(name)s.")
            % {"name": seen.bot_owner.name or seen.bot_owner.id},
            meaning=_(
                "Answers would appear as that person's, and the bridge would take them "
                "for a human's and be silent."
            ),
            remedy=_("Enter the agent bot's own token, or press the button."),
            mend="fetch_secret" if seen.agent_bot else "",
            about=about,
        )
    return Line(
        check=check,
        state=State.OK,
        found=_("Chatwoot accepts it: it posts, sets statuses, labels and attributes."),
        about=about,
    )


def _admin_token(seen: Seen, *, about: About) -> Line:
    check = "admin_token"
    if not seen.account.admin_token:
        return Line(
            check=check,
            state=State.WARNING,
            found=_("There is none."),
            meaning=_(
                "The bridge cannot read the history of conversations, nor teams and "
                "attributes, and half of what the doctor looks at stays unknown."
            ),
            remedy=_(
                "In Chatwoot log in as an administrator, copy the access token from "
                "the profile settings, and enter it at the account."
            ),
            about=about,
        )
    trouble = _token_trouble(seen, "admin", about=about)
    if trouble is not None:
        return trouble
    if isinstance(seen.profile, NotOpenToBots):
        return Line(
            check=check,
            state=State.FAILED,
            found=_("It is the token of a bot."),
            meaning=_("A bot may not read history, teams or attributes."),
            remedy=_("Enter the access token of an administrator's profile."),
            about=about,
        )
    if not isinstance(seen.profile, Profile):
        return unseen(check, seen.profile, about=about)
    if not seen.is_administrator:
        return Line(
            check=check,
            state=State.FAILED,
            found=_("It is the token of %(name)s, who is no administrator here.")
            % {"name": seen.profile.name or seen.profile.id},
            meaning=_(
                "Such a token sees only the conversations of its own inboxes and "
                "teams, and may change no settings."
            ),
            remedy=_(
                "Make that person an administrator of the account, or enter the token "
                "of one."
            ),
            link=seen.settings_page("agents/list"),
            about=about,
        )
    return Line(
        check=check,
        state=State.OK,
        found=_("Chatwoot accepts it: %(name)s, administrator.")
        % {"name": seen.profile.name or seen.profile.id},
        about=about,
    )


def _token_trouble(seen: Seen, token: TokenName, *, about: About) -> Line | None:
    """Return what is wrong with a token itself, None if Chatwoot accepts it."""
    check = f"{token}_token"
    if seen.tokens is None:
        return unseen(check, None, about=about)
    if seen.tokens.states().get(token) == "ok":
        return None
    error = seen.tokens.errors.get(token)
    if not isinstance(error, TokenRefused):
        return unseen(check, error, about=about)
    remedies = {
        "bot": _(
            "Press the button, or copy the bot's token from Chatwoot (Settings → "
            "Bots) into the account."
        ),
        "admin": _(
            "In Chatwoot log in as an administrator of this account, copy the access "
            "token from the profile settings, and enter it at the account."
        ),
    }
    mends = {"bot": "fetch_secret" if seen.agent_bot else "", "admin": ""}
    meanings = {
        "bot": _("The bot cannot answer; customers are handed over to humans."),
        "admin": _(
            "The bot answers all the same, but history, teams and attributes cannot be "
            "read."
        ),
    }
    return Line(
        check=check,
        state=State.FAILED,
        found=_("Chatwoot refuses it."),
        meaning=meanings[token],
        remedy=remedies[token],
        mend=mends[token],
        about=about,
    )


def _keep_pending(seen: Seen, *, about: About) -> Line:
    check = "keep_pending"
    if not isinstance(seen.settings, AccountFacts):
        return unseen(check, seen.settings, about=about)
    keeps = seen.settings.keeps_pending_on_bot_failure
    if keeps is None:
        return Line(
            check=check,
            state=State.SKIPPED,
            found=_("This Chatwoot does not tell (keep_pending_on_bot_failure)."),
            about=about,
        )
    if keeps:
        return Line(
            check=check,
            state=State.WARNING,
            found=_("Conversations stay with the bot (keep_pending_on_bot_failure)."),
            meaning=_(
                "If an event does not reach the bridge, nobody sees the message: the "
                "customer waits until they write again."
            ),
            remedy=_("Switch it off; Chatwoot then opens the conversation for humans."),
            mend="keep_pending_off",
            about=about,
        )
    return Line(
        check=check,
        state=State.OK,
        found=_("Chatwoot opens the conversation for the humans."),
        about=about,
    )


def _teams(seen: Seen, *, about: About) -> Line:
    """An administrator reaches all teams; anybody else only the own ones."""
    check = "teams"
    if not isinstance(seen.teams, list) or not isinstance(seen.profile, Profile):
        error = seen.teams if isinstance(seen.teams, BridgeError) else None
        return unseen(check, error, about=about)
    profile = seen.profile
    outside = [
        team.name
        for team in seen.teams
        if team.id in seen.members and profile.id not in seen.members[team.id]
    ]
    names = ", ".join(outside)
    if not outside:
        return Line(
            check=check,
            state=State.OK,
            found=_("%(name)s is a member of all teams.") % {"name": profile.name},
            about=about,
        )
    values = {"name": profile.name, "teams": names}
    if seen.is_administrator:
        return Line(
            check=check,
            state=State.OK,
            found=_("%(name)s is no member of: %(teams)s.") % values,
            meaning=_(
                "Callbacks work all the same, since an administrator reaches every "
                "conversation. As a member that person may be assigned conversations, "
                "if the team assigns automatically."
            ),
            mend="join_teams",
            about=about,
        )
    return Line(
        check=check,
        state=State.WARNING,
        found=_("%(name)s is no member of: %(teams)s.") % values,
        meaning=_(
            "Once a flow gives a conversation to such a team, the bridge cannot read "
            "it any more."
        ),
        remedy=_("Enter an administrator's token, or add the person to the teams."),
        link=seen.settings_page("teams/list"),
        about=about,
    )


def _said(error: BridgeError | None) -> str:
    return describe(error) if error is not None else _("Nothing was asked.")
