"""Whether a bot has what it needs: inboxes, an app, and values for its inputs."""

from __future__ import annotations

from collections.abc import Iterator

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from bridge_project.lib.errors import BridgeError
from chatwoot_api.models import AttributeDefinition, ChatwootAccount
from chatwoot_api.settings_payloads import InboxRow
from conversations.doctor import bot_options
from conversations.doctor.chatwoot import Seen
from conversations.doctor.line import About, Line, State, unseen
from conversations.doctor.mapping import Fit, fit
from conversations.models import Bot
from conversations.models.bot_settings import DIFY
from dify_api.models import DifyApp
from dify_api.payloads import CHAT_MODES


def attributes_of(account: ChatwootAccount) -> dict[str, str]:
    """Return the custom attributes that Chatwoot defines as sources, by their keys.

    One that conversations and contacts both have is that of the conversation.
    """
    sources = {
        AttributeDefinition.Model.CONTACT: "contact.custom_attributes",
        AttributeDefinition.Model.CONVERSATION: "conversation.custom_attributes",
    }
    found: dict[str, str] = {}
    for model, source in sources.items():
        rows = AttributeDefinition.objects.filter(account=account, model=model)
        found |= {key: f"{source}.{key}" for key in rows.values_list("key", flat=True)}
    return found


def lines(bot: Bot, *, seen: Seen, about: About) -> Iterator[Line]:
    """Yield a line for each thing; `seen` is what its account answered."""
    app = bot.dify_app
    if bot.provider == DIFY or not bot.enabled:
        yield _answers(bot, about=about)
    yield _inboxes(bot, seen=seen, about=about)
    yield from bot_options.lines(bot, seen=seen, about=about)
    if bot.provider != DIFY or app is None or app.parameters_read_at is None:
        return
    try:
        found = fit(bot.inputs, app=app, attributes=attributes_of(bot.account))
    except BridgeError as err:
        yield unseen("inputs_required", err, about=about)
        return
    yield _required(found, about=about)
    yield _unknown(found, about=about)
    yield _fillable(found, about=about)
    yield _room(found, about=about)
    if app.mode not in CHAT_MODES:
        yield _query(app, about=about)


def _answers(bot: Bot, *, about: About) -> Line:
    check = "bot_answers"
    if bot.dify_app is None and bot.provider == DIFY:
        return Line(
            check=check,
            state=State.FAILED,
            found=_("It has no Dify app."),
            meaning=_("It hands every customer over to the humans."),
            remedy=_("Choose a Dify app at the bot."),
            about=about,
        )
    if not bot.enabled:
        return Line(
            check=check,
            state=State.WARNING,
            found=_("It is switched off."),
            meaning=_("It hands every customer over to the humans."),
            remedy=_("Switch it on at its page."),
            about=about,
        )
    if bot.dify_app is None or bot.dify_app.parameters_read_at is None:
        return Line(
            check=check,
            state=State.WARNING,
            found=_("The inputs of its app were never read."),
            meaning=_("The first run reads them; until then nothing is known."),
            remedy=_("Read the Dify app."),
            about=about,
        )
    found = _("Switched on, answers with “%(app)s”.") % {"app": bot.dify_app.name}
    return Line(check=check, state=State.OK, found=found, about=about)


def unlinked(
    bot: Bot, *, seen: Seen
) -> tuple[list[InboxRow], list[InboxRow], list[str]]:
    """Return the bot's inboxes without an agent bot, with another one, and those gone.

    Only inboxes that the bot names: one for all inboxes says nothing of a single one.
    """
    wanted = {inbox.chatwoot_inbox_id: inbox.name for inbox in bot.inboxes.all()}
    row, inboxes = seen.agent_bot, seen.inboxes
    if row is None or not isinstance(inboxes, list):
        return [], [], []
    there = {inbox.id: inbox for inbox in inboxes}
    known = [there[number] for number in wanted if number in there]
    free = [i for i in known if seen.links.get(i.id, row) is None]
    taken = [i for i in known if (other := seen.links.get(i.id)) and other.id != row.id]
    return free, taken, [name for number, name in wanted.items() if number not in there]


def _inboxes(bot: Bot, *, seen: Seen, about: About) -> Line:
    check = "bot_inboxes"
    if seen.agent_bot is None or not isinstance(seen.inboxes, list):
        error = seen.inboxes if isinstance(seen.inboxes, BridgeError) else None
        return unseen(check, error, about=about)
    rivals = bot.rivals()
    if rivals:
        return Line(
            check=check,
            state=State.WARNING,
            found=_("Another bot is switched on for the same inboxes: %s.")
            % ", ".join(rival.name for rival in rivals),
            meaning=_("Only the oldest of them answers there."),
            remedy=_("Leave each inbox to one bot, or switch the others off."),
            about=about,
        )
    named = [inbox.name for inbox in bot.inboxes.all()]
    if not named:
        found = _("All inboxes of the account.")
        return Line(check=check, state=State.OK, found=found, about=about)
    free, taken, gone = unlinked(bot, seen=seen)
    if not free and not taken and not gone:
        found = ", ".join(named)
        return Line(check=check, state=State.OK, found=found, about=about)
    parts = [
        (_("Without an agent bot: %s."), [i.name for i in free]),
        (_("With another agent bot: %s."), [i.name for i in taken]),
        (_("Not in Chatwoot any more: %s."), gone),
    ]
    return Line(
        check=check,
        state=State.FAILED if free or taken else State.WARNING,
        found=" ".join(text % ", ".join(names) for text, names in parts if names),
        meaning=_("Conversations of these inboxes do not come to the bot."),
        remedy=_(
            "Link the inbox; one that has another agent bot is taken over by the "
            "set-up, if you say so there."
        ),
        mend="link_inboxes" if free else "",
        link=seen.settings_page("inboxes/list"),
        about=about,
    )


def _required(found: Fit, *, about: About) -> Line:
    check = "inputs_required"
    if not found.missing:
        text = _("Each has a source, or a default.")
        return Line(check=check, state=State.OK, found=text, about=about)
    refused = ", ".join(found.refused)
    return Line(
        check=check,
        state=State.FAILED if refused else State.WARNING,
        found=_("Without a source: %s.") % ", ".join(found.missing),
        meaning=_("Dify refuses every run that lacks %s.") % refused
        if refused
        else _("They are sent empty."),
        remedy=_(
            "Map them at the bot, or give them a default or make them optional in Dify."
        ),
        mend="map_inputs" if set(found.missing) & set(found.fillable) else "",
        about=about,
    )


def _unknown(found: Fit, *, about: About) -> Line:
    check = "inputs_unknown"
    if not found.unknown:
        return Line(check=check, state=State.OK, found=_("None."), about=about)
    return Line(
        check=check,
        state=State.WARNING,
        found=", ".join(found.unknown),
        meaning=_("Their values are never sent. Is a name misspelt?"),
        remedy=_("Declare them in Dify and publish the app, or remove them here."),
        about=about,
    )


def _fillable(found: Fit, *, about: About) -> Line:
    check = "inputs_known"
    if not found.fillable:
        return Line(check=check, state=State.OK, found=_("None is left."), about=about)
    return Line(
        check=check,
        state=State.WARNING,
        found=", ".join(found.fillable),
        meaning=_("The app declares them, and we know what they mean."),
        remedy=_("Map them."),
        mend="map_inputs",
        about=about,
    )


def _room(found: Fit, *, about: About) -> Line:
    check = "inputs_room"
    if not found.too_short:
        return Line(check=check, state=State.OK, found=_("Enough."), about=about)
    text = ngettext("Too short: %s.", "Too short: %s.", len(found.too_short))
    return Line(
        check=check,
        state=State.FAILED,
        found=text % ", ".join(found.too_short),
        meaning=_("The token is left out, so the flow cannot call the bridge."),
        remedy=_("Set the input's maximum length in Dify to 256."),
        about=about,
    )


def _query(app: DifyApp, *, about: About) -> Line:
    check = "query_input"
    if app.query_input in {field.variable for field in app.declared_inputs()}:
        return Line(check=check, state=State.OK, found=app.query_input, about=about)
    return Line(
        check=check,
        state=State.FAILED,
        found=_("The app declares no input “%s”.") % app.query_input,
        meaning=_("What the customer writes does not reach the app."),
        remedy=_("Declare it in Dify, or enter another “query input” at the Dify app."),
        about=about,
    )
