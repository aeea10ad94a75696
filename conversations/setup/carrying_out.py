"""Makes the bot, step by step; a step that was done before is not done again.

Nothing is one transaction: what Chatwoot has made stays made. So each step first looks
for what an earlier try has left, and a failure in the middle is gone on from there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import IntegrityError
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from bridge_project.lib.errors import BridgeError, ConfigurationError
from bridge_project.lib.health import describe
from chatwoot_api import sync
from chatwoot_api.bot_payloads import AgentBotRow
from chatwoot_api.client import ChatwootClient
from chatwoot_api.models import ChatwootAccount
from conversations import audit, doctor
from conversations.doctor import Line, State
from conversations.doctor.addresses import is_ours, our_agent_bot, own_address
from conversations.doctor.mending import keep_credentials
from conversations.models import AuditEntry, Bot
from conversations.setup import rows
from dify_api import app_info
from dify_api.models import DifyApp

ResultT = TypeVar("ResultT")


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Everything that was entered and chosen. `taken_over` names inboxes of others."""

    chatwoot_url: str
    account_id: int
    account_name: str
    admin_token: str = field(repr=False)
    dify_url: str
    dify_key: str = field(repr=False)
    app_name: str
    bot_name: str
    language: str = ""
    inbox_ids: tuple[int, ...] = ()
    taken_over: frozenset[int] = frozenset()


@dataclass(frozen=True, kw_only=True)
class Step:
    """One line of the report."""

    state: State
    text: str
    hint: str = ""


@dataclass
class Report:
    """What was done, what is left, and the rows that there are now."""

    steps: list[Step] = field(default_factory=list)
    left: list[Line] = field(default_factory=list)
    account: ChatwootAccount | None = None
    app: DifyApp | None = None
    bot: Bot | None = None

    @property
    def is_done(self) -> bool:
        """Tell whether every step was taken; warnings may remain."""
        return all(step.state is not State.FAILED for step in self.steps)

    def ok(self, text: str) -> None:
        self.steps.append(Step(state=State.OK, text=text))

    def warn(self, text: str, hint: str = "") -> None:
        self.steps.append(Step(state=State.WARNING, text=text, hint=hint))


class _Stopped(Exception):
    """A step failed on which the next ones build; its line is in the report."""


def carry_out(plan: Plan, *, actor: str) -> Report:
    """Make or repair everything; never raises for what Chatwoot or Dify do."""
    report = Report()
    try:
        _Setup(plan, report=report).run()
    except _Stopped:
        _remember(plan, report, actor=actor)
        return report
    report.left = [
        line
        for line in doctor.worst_first(doctor.examine(bot=report.bot))
        if line.state in (State.FAILED, State.WARNING)
    ]
    _remember(plan, report, actor=actor)
    return report


class _Setup:
    """The steps, in their order; the bot is there before Chatwoot sends anything."""

    def __init__(self, plan: Plan, *, report: Report) -> None:
        self.plan = plan
        self.report = report

    def run(self) -> None:
        account = self._try(_("Chatwoot account"), self._account)
        client = ChatwootClient(account)
        app = self._try(_("Dify app"), self._app)
        agent_bot = self._try(
            _("Agent bot in Chatwoot"), lambda: self._agent_bot(account, client=client)
        )
        self._mirrors(account)
        self._try(_("Bot"), lambda: self._bot(account, app=app))
        for inbox_id in self.plan.inbox_ids:
            self._try(
                _("Inbox %d") % inbox_id,
                partial(self._link, inbox_id, client=client, to=agent_bot),
            )

    def _try(self, what: str, step: Callable[[], ResultT]) -> ResultT:
        try:
            return step()
        except (BridgeError, ImproperlyConfigured) as err:
            said = describe(err) if isinstance(err, BridgeError) else str(err)
            hint = _(
                "What was made so far is kept. Once the cause is gone, press the "
                "button again: it goes on from here."
            )
            text = f"{what}: {said}"
            self.report.steps.append(Step(state=State.FAILED, text=text, hint=hint))
            raise _Stopped from err

    def _account(self) -> ChatwootAccount:
        try:
            account, is_new = rows.store_account(self.plan)
        except IntegrityError as err:
            raise ConfigurationError(
                _(
                    "There is such an account already, but no key of "
                    "FIELD_ENCRYPTION_KEYS reads its tokens. Put the old key back."
                )
            ) from err
        self.report.account = account
        text = (
            _("Chatwoot account “%s” was made.")
            if is_new
            else _("Chatwoot account “%s” was there already.")
        )
        self.report.ok(text % account.name)
        return account

    def _agent_bot(
        self, account: ChatwootAccount, *, client: ChatwootClient
    ) -> AgentBotRow:
        row = our_agent_bot(client.agent_bots(), account=account)
        if row is None:
            row = self._new_agent_bot(account, client=client)
        elif is_ours(row.outgoing_url, account=account):
            text = _("Agent bot “%s” was in Chatwoot already, with our address.")
            self.report.ok(text % row.name)
        else:
            row = client.update_agent_bot(row.id, outgoing_url=own_address(account))
            self.report.ok(_("Agent bot “%s” calls our address now.") % row.name)
        if not row.secret:
            row = self._with_token(account, row, client=client)
        keep_credentials(account, row)
        if not account.bot_token:
            raise ConfigurationError(
                _("Chatwoot did not tell the agent bot's token. Enter it by hand.")
            )
        return row

    def _new_agent_bot(
        self, account: ChatwootAccount, *, client: ChatwootClient
    ) -> AgentBotRow:
        row = client.create_agent_bot(
            name=self.plan.bot_name,
            description=_("Answers through the Chatwoot–Dify bridge"),
            outgoing_url=own_address(account),
        )
        self.report.ok(_("Agent bot “%s” was made in Chatwoot.") % row.name)
        return row

    def _with_token(
        self, account: ChatwootAccount, row: AgentBotRow, *, client: ChatwootClient
    ) -> AgentBotRow:
        """Let a Chatwoot that cannot sign prove itself by a token in the address."""
        rows.ensure_webhook_token(account)
        address = own_address(account, can_sign=False)
        if row.outgoing_url != address:
            row = client.update_agent_bot(row.id, outgoing_url=address)
        self.report.warn(
            _("This Chatwoot cannot sign; its events bring a token instead."),
            _("Update Chatwoot to 4.13 or newer when you can."),
        )
        return row

    def _app(self) -> DifyApp:
        app, is_new = rows.store_app(self.plan)
        app_info.refresh(app)
        self.report.app = app
        values = {"app": app.name, "kind": app.get_mode_display()}
        text = (
            _("Dify app “%(app)s” was made: %(kind)s.")
            if is_new
            else _("Dify app “%(app)s” was there already: %(kind)s.")
        )
        self.report.ok(text % values)
        return app

    def _mirrors(self, account: ChatwootAccount) -> None:
        """Read teams and attributes; the bot can do without them for now."""
        try:
            sync.pull(account, now=timezone.now())
        except BridgeError as err:
            self.report.warn(
                _("Teams, labels and attributes could not be read: %s") % err,
                _("Press “Read from Chatwoot” at the account later."),
            )

    def _bot(self, account: ChatwootAccount, *, app: DifyApp) -> None:
        bot, is_new = rows.store_bot(self.plan, account=account, app=app)
        self.report.bot = bot
        if is_new:
            count = len(bot.inputs)
            text = ngettext(
                "Bot “%(bot)s” was made; %(count)d input is filled.",
                "Bot “%(bot)s” was made; %(count)d inputs are filled.",
                count,
            )
            self.report.ok(text % {"bot": bot.name, "count": count})
            return
        self.report.ok(_("Bot “%s” was there already.") % bot.name)

    def _link(self, inbox_id: int, *, client: ChatwootClient, to: AgentBotRow) -> None:
        current = client.inbox_agent_bot(inbox_id)
        name = rows.inbox_name(self.report.account, inbox_id)
        if current is not None and current.id == to.id:
            self.report.ok(_("Inbox “%s” was linked already.") % name)
            return
        if current is not None and inbox_id not in self.plan.taken_over:
            self.report.warn(
                _("Inbox “%(inbox)s” was left to “%(bot)s”.")
                % {"inbox": name, "bot": current.name},
                _("Tick “take over” to give it to this bot."),
            )
            return
        client.set_agent_bot(inbox_id, bot_id=to.id)
        self.report.ok(_("Inbox “%s” was linked to the agent bot.") % name)


def _remember(plan: Plan, report: Report, *, actor: str) -> None:
    if report.account is None:
        return
    audit.record(
        AuditEntry.Verb.SET_UP,
        actor=actor,
        account=report.account,
        bot=report.bot.pk if report.bot else None,
        app=report.app.pk if report.app else None,
        inboxes=list(plan.inbox_ids),
        done=report.is_done,
        public_url=settings.PUBLIC_URL,
    )
