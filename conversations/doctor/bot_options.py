"""Whether what is set at a bot can work: with its Dify, its Chatwoot, its provider.

A setting that is off has no line.
"""

from __future__ import annotations

from collections.abc import Iterator

from django.utils.translation import gettext as _

from bridge_project.lib.errors import BridgeError
from chatwoot_api.models import AttributeDefinition, Inbox
from chatwoot_api.settings_payloads import InboxRow
from conversations import contact_rules, providers
from conversations.doctor.chatwoot import Seen
from conversations.doctor.line import About, Line, State
from conversations.models import Bot, ConversationStatus, ReplyAs
from conversations.models.bot_settings import DIFY, FormsGoTo, Greets, OutsideHours
from dify_api import versions
from dify_api.models import DifyApp
from dify_api.payloads import CHAT_MODES, AppMode, AppParameters, parse_parameters


def lines(bot: Bot, *, seen: Seen, about: About) -> Iterator[Line]:
    """Yield a line for each setting that is on."""
    for check in (_provider, _trial, _choice, _hours):
        yield from check(bot, about)
    yield from _greeting(bot, seen=seen, about=about)
    if bot.provider == DIFY and bot.dify_app is not None:
        for look in (_old_inputs, _variables, _forms, _voice):
            yield from look(bot, bot.dify_app, about)


def _warning(check: str, found: str, *, about: About, **rest: str) -> Line:
    return Line(check=check, state=State.WARNING, found=found, about=about, **rest)


def _fine(check: str, found: str, *, about: About, **rest: str) -> Line:
    return Line(check=check, state=State.OK, found=found, about=about, **rest)


# --- Who answers, and whom ------------------------------------------------------------


def _provider(bot: Bot, about: About) -> Iterator[Line]:
    check = "bot_provider"
    if bot.provider == DIFY:
        return
    why_not = providers.why_not_askable(bot)
    if not why_not:
        name = dict(providers.choices()).get(bot.provider, bot.provider)
        yield _fine(check, name, about=about)
        return
    yield Line(
        check=check,
        state=State.FAILED,
        found=why_not,
        meaning=_("It hands every customer over to the humans."),
        remedy=_("Choose at the bot who answers, and give it what it needs."),
        about=about,
    )


def _trial(bot: Bot, about: About) -> Iterator[Line]:
    if bot.shadow:
        yield _warning(
            "bot_trial",
            _("A trial run: it writes notes only."),
            meaning=_("Customers get no answer from the bot; humans have to answer."),
            remedy=_("Switch “trial run” off at the bot once its drafts are good."),
            about=about,
        )
    if not bot.test_only:
        return
    testers = len(contact_rules.rules_of(bot.test_rules))
    yield _warning(
        "bot_testers",
        _("Test only: it answers the testers, by %d rules.") % testers
        if testers
        else _("Test only, and nobody is a tester."),
        meaning=_("All other customers are left to the humans."),
        remedy=_("Switch “test only” off at the bot once everybody may have it."),
        about=about,
    )


def _choice(bot: Bot, about: About) -> Iterator[Line]:
    if bot.reply_as != ReplyAs.BY_SUPPORT_MODE:
        return
    check, names = "support_mode", _names(bot.support_mode_attribute)
    defined = AttributeDefinition.objects.filter(account=bot.account, key__in=names)
    known = set(defined.values_list("key", flat=True))
    if known:
        yield _fine(check, ", ".join(sorted(known)), about=about)
    elif bot.account.mirrored_at is not None:  # else it was never asked
        yield _warning(
            check,
            _("Chatwoot defines no attribute “%s”.") % ", ".join(names),
            meaning=_("A form before the chat cannot ask for it: all get notes only."),
            remedy=_(
                "Define it in Chatwoot, or with manage.py seed_attributes "
                "examples/support_mode.yml; docs/support-mode.md shows the form. Then "
                "press “Read from Chatwoot” at the account."
            ),
            about=about,
        )
    if ConversationStatus.OPEN not in bot.speak_in_statuses:
        yield _warning(
            "support_mode_statuses",
            _("It does not speak in open conversations."),
            meaning=_(
                "In an inbox without an agent bot conversations begin open, and it is "
                "silent there."
            ),
            remedy=_("Choose “open” as well under “speaks in statuses”."),
            about=about,
        )


def _names(text: str) -> list[str]:
    """Return the names of attributes; several may stand there."""
    return text.replace(",", " ").replace(";", " ").split()


# --- Occasions ------------------------------------------------------------------------


def _hours(bot: Bot, about: About) -> Iterator[Line]:
    if bot.outside_hours == OutsideHours.ANSWER:
        return
    if not bot.account.admin_token:
        yield _warning(
            "business_hours",
            _("Business hours need an administrator's token, and there is none."),
            meaning=_(
                "Only with it the bridge can read them; until then the bot answers at "
                "any time."
            ),
            remedy=_("Enter an administrator's token at the account."),
            about=about,
        )
        return
    inboxes = bot.inboxes.all() or Inbox.objects.filter(account=bot.account)
    without = [str(inbox) for inbox in inboxes if not inbox.working_hours_enabled]
    if not without:
        found = bot.get_outside_hours_display()
        yield _fine("business_hours", found, about=about)
        return
    yield _warning(
        "business_hours",
        _("Inboxes without business hours: %s.") % ", ".join(sorted(without)),
        meaning=_("There the bot answers at any time."),
        remedy=_(
            "Set business hours at the inbox in Chatwoot; the bridge reads them once "
            "an hour, or with “Read from Chatwoot” at the account."
        ),
        about=about,
    )


def _greeting(bot: Bot, *, seen: Seen, about: About) -> Iterator[Line]:
    if bot.greets == Greets.NEVER:
        return
    if bot.greets == Greets.WIDGET and not bot.account.admin_token:
        yield _warning(
            "greeting_token",
            _("A greeting in the widget needs an administrator's token."),
            meaning=_("Nobody who opens the widget is greeted."),
            remedy=_(
                "Enter an administrator's token at the account, or greet “when a "
                "conversation starts”."
            ),
            about=about,
        )
    rows: list[InboxRow] = seen.inboxes if isinstance(seen.inboxes, list) else []
    wanted = {inbox.chatwoot_inbox_id for inbox in bot.inboxes.all()}
    both = [row.name for row in rows if row.greets and (row.id in wanted or not wanted)]
    if both:
        yield _warning(
            "greeting",
            _("Chatwoot greets, too: %s.") % ", ".join(both),
            meaning=_("Customers are greeted twice."),
            remedy=_("Switch the greeting off at the inbox in Chatwoot, or here."),
            link=seen.settings_page("inboxes/list"),
            about=about,
        )
    app = bot.dify_app
    parameters = _parameters(app) if app is not None else None
    if parameters is not None and not parameters.opening_statement.strip():
        yield _warning(
            "opening",
            _("The Dify app has no opening statement."),
            meaning=_("There is nothing to greet with."),
            remedy=_("Write one in Dify, under the app's features, and publish it."),
            link=app.console_url if app else "",
            about=about,
        )


# --- What the Dify server can do ------------------------------------------------------


def _old_inputs(bot: Bot, app: DifyApp, about: About) -> Iterator[Line]:
    check, version = "old_inputs", app.server_version
    if app.mode not in CHAT_MODES or not versions.freezes_inputs(version):
        return
    found = _("Dify %s keeps the inputs of a conversation's first message.") % version
    if bot.context_template.strip():
        meaning = _("What has changed since is put in front of the question.")
        yield _fine(check, found, meaning=meaning, about=about)
        return
    yield _warning(
        check,
        found,
        meaning=_("What has changed since does not reach the app."),
        remedy=_(
            "Update Dify to 1.0 or newer, or fill in “changed values for old Dify "
            "versions” at the bot."
        ),
        about=about,
    )


def _variables(bot: Bot, app: DifyApp, about: About) -> Iterator[Line]:
    check = "variables"
    if not bot.conversation_variables:
        return
    names = ", ".join(sorted(bot.conversation_variables))
    if app.mode and app.mode != AppMode.ADVANCED_CHAT:
        yield _warning(
            check,
            _("Mapped: %s. But the app is no chatflow.") % names,
            meaning=_("Only chatflows have conversation variables; none are set."),
            remedy=_("Remove them at the bot, or choose a chatflow."),
            about=about,
        )
    elif not versions.sets_variables(app.server_version):
        yield _warning(
            check,
            _("Mapped: %(names)s. But this is Dify %(version)s.")
            % {"names": names, "version": app.server_version},
            meaning=_("Before Dify 1.8 they cannot be set from outside."),
            remedy=_("Update Dify, or pass the values as inputs."),
            about=about,
        )
    else:
        yield _fine(check, names, about=about)


def _forms(bot: Bot, app: DifyApp, about: About) -> Iterator[Line]:
    if bot.forms_go_to == FormsGoTo.HAND_OVER:
        return
    check, version = "flow_forms", app.server_version
    if not versions.is_older(version, versions.FORMS):
        yield _fine(check, bot.get_forms_go_to_display(), about=about)
        return
    yield _warning(
        check,
        _("Forms of a flow need Dify 1.14, and this is %s.") % version,
        meaning=_("A flow that pauses for a form is handed over to the humans."),
        remedy=_("Update Dify, or choose “hand the conversation over” at the bot."),
        about=about,
    )


def _voice(bot: Bot, app: DifyApp, about: About) -> Iterator[Line]:
    """Say how voice messages are read; not to read them is no fault."""
    check, server = "voice", bot.transcriber
    parameters = _parameters(app)
    if parameters is not None and parameters.speech_to_text:
        yield _fine(check, _("Turned into text by the Dify app."), about=about)
    elif server is None:
        yield _fine(
            check,
            _(
                "Not read: the app turns no speech into text, and the bot has no "
                "server for it."
            ),
            meaning=_("The question says that there was a voice message."),
            about=about,
        )
    elif not server.transcription_model:
        yield _warning(
            check,
            _("The server “%s” names no model for voice.") % server,
            meaning=_("Voice messages are only mentioned in the question."),
            remedy=_("Enter its model for voice, such as whisper-1."),
            about=about,
        )
    else:
        found = _("Turned into text by “%s”.") % server
        yield _fine(check, found, about=about)


def _parameters(app: DifyApp) -> AppParameters | None:
    """Return what the app last said of itself; None if that is not known."""
    try:
        return parse_parameters(app.parameters) if app.parameters else None
    except BridgeError:
        return None
