"""Set up a bot: one page, from two addresses and two tokens to the first answer."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.urls import NoReverseMatch, reverse
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from bridge_project.lib.admin_base import admin_url
from bridge_project.lib.errors import BridgeError
from bridge_project.lib.health import describe
from chatwoot_api.models import ChatwootAccount
from conversations.admin.doctor_words import report_lines
from conversations.admin.page import AdminPage
from conversations.admin.setup_forms import ChoiceForm, ConnectForm
from conversations.admin.setup_memory import Memory, forget, recall, remember
from conversations.setup import (
    FieldProblem,
    InboxChoice,
    Plan,
    Report,
    bot_of,
    carry_out,
    find_app,
    find_chatwoot,
    find_inboxes,
    known_account,
    known_app,
)
from dify_api.models import DifyApp

# Where visitors write; the first of them is offered.
_USUAL_CHANNELS = ("Channel::WebWidget", "Channel::Api")
_MOST_INBOXES = 200


class SetupPage(AdminPage):
    """Connect, choose, done; each step is a POST that shows the next one."""

    title = _("Set up a bot")
    permission_required = (
        "conversations.add_bot",
        "chatwoot_api.add_chatwootaccount",
        "dify_api.add_difyapp",
    )
    template_name = "admin/conversations/setup/page.html"

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Show the first step, with the addresses that are known."""
        form = ConnectForm(initial=_known_addresses(recall(request)))
        return self._show(connect=form)

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Take a step; one whose predecessors were forgotten begins anew."""
        memory = recall(request)
        step = request.POST.get("step", "connect")
        if step == "account" and memory.accounts:
            return self._choose_account(memory)
        if step == "finish" and memory.is_complete:
            return self._finish(memory)
        if step != "connect":
            sentence = gettext("That took too long, or the login was another one.")
            messages.warning(request, sentence)
            return self.get(request)
        return self._connect(memory)

    # --- Addresses and tokens -----------------------------------------------------

    def _connect(self, memory: Memory) -> HttpResponse:
        form = ConnectForm(self.request.POST)
        if not form.is_valid():
            return self._show(connect=form)
        entered = _entered(form, memory=memory)
        remember(self.request, entered)
        wanted = form.cleaned_data["chatwoot_url"].account_id
        found = _find(form, entered, account_id=wanted)
        if found is None:
            return self._show(connect=form)
        remember(self.request, found)
        if found.account_id is None:
            return self._show(memory=found)
        return self._choose(found)

    def _choose_account(self, memory: Memory) -> HttpResponse:
        number = self.request.POST.get("account", "")
        if number not in {str(pk) for pk, _name in memory.accounts}:
            return self._show(memory=memory)
        chosen = replace(memory, account_id=int(number))
        remember(self.request, chosen)
        return self._choose(chosen)

    # --- Inboxes, name, language --------------------------------------------------

    def _choose(
        self, memory: Memory, *, form: ChoiceForm | None = None, problem: str = ""
    ) -> HttpResponse:
        try:
            inboxes = find_inboxes(memory.account())
        except BridgeError as err:
            connect = ConnectForm(initial=_known_addresses(memory))
            messages.error(self.request, describe(err))
            return self._show(connect=connect)
        if form is None:
            form = ChoiceForm(initial=_usual(memory))
        chosen, taken = _numbers(self.request, "inbox"), _numbers(self.request, "take")
        if "inbox" not in self.request.POST and not problem:
            chosen = _usual_inboxes(inboxes)
        return self._show(
            memory=memory,
            choice=form,
            inboxes=[(one, one.id in chosen, one.id in taken) for one in inboxes],
            problem=problem,
        )

    # --- Doing it -----------------------------------------------------------------

    def _finish(self, memory: Memory) -> HttpResponse:
        form = ChoiceForm(self.request.POST)
        chosen = sorted(_numbers(self.request, "inbox"))
        if not chosen:
            form.is_valid()
            sentence = gettext("Choose at least one inbox, or nobody reaches the bot.")
            return self._choose(memory, form=form, problem=sentence)
        if not form.is_valid():
            return self._choose(memory, form=form)
        plan = _plan(memory, form, inbox_ids=chosen, request=self.request)
        report = carry_out(plan, actor=self.request.user.get_username())
        if report.is_done:
            forget(self.request)
        return self._show(report=report, plan=plan)

    def _show(self, **context: Any) -> HttpResponse:
        report: Report | None = context.get("report")
        if report is not None:
            context["links"] = list(_links(report))
            context["left"] = report_lines(report.left, user=self.request.user)
        context.setdefault("step", _step_of(context))
        return self.render_to_response(self.get_context_data(**context))


def _step_of(context: dict[str, Any]) -> int:
    if "report" in context:
        return 3
    return 1 if "connect" in context else 2


def _entered(form: ConnectForm, *, memory: Memory) -> Memory:
    """Return what is to be tried: an empty field means what is known already."""
    chatwoot_url = form.cleaned_data["chatwoot_url"].url
    dify_url = form.cleaned_data["dify_url"]
    token, key = form.cleaned_data["admin_token"], form.cleaned_data["dify_key"]
    if not token and memory.chatwoot_url == chatwoot_url:
        token = memory.admin_token
    if not token and (account := known_account(chatwoot_url)) is not None:
        token = account.admin_token
    if not key and memory.dify_url == dify_url:
        key = memory.dify_key
    if not key and (app := known_app(dify_url)) is not None:
        key = app.api_key
    return Memory(
        chatwoot_url=chatwoot_url, admin_token=token, dify_url=dify_url, dify_key=key
    )


def _find(
    form: ConnectForm, entered: Memory, *, account_id: int | None
) -> Memory | None:
    """Ask both platforms; what is wrong is put at its field, both at once."""
    found = entered
    if not entered.admin_token:
        form.add_error("admin_token", gettext("Enter the token."))
    else:
        try:
            chatwoot = find_chatwoot(
                entered.chatwoot_url, token=entered.admin_token, account_id=account_id
            )
            accounts = [(m.account_id, m.name) for m in chatwoot.accounts]
            only = accounts[0][0] if len(accounts) == 1 else None
            found = replace(
                found,
                accounts=accounts,
                account_id=only,
                profile_name=chatwoot.profile.name,
            )
        except FieldProblem as problem:
            form.add_error(problem.field, problem.sentence)
    if not entered.dify_key:
        form.add_error("dify_key", gettext("Enter the key."))
    else:
        try:
            app = find_app(entered.dify_url, key=entered.dify_key)
            found = replace(found, app_name=app.info.name, app_mode=app.info.mode)
        except FieldProblem as problem:
            form.add_error(problem.field, problem.sentence)
    return None if form.errors else found


def _known_addresses(memory: Memory) -> dict[str, str]:
    """Return what to begin with: what was entered, what is stored, or the usual."""
    account = ChatwootAccount.objects.order_by("-pk").values_list("base_url", flat=True)
    app = DifyApp.objects.order_by("-pk").values_list("base_url", flat=True)
    return {
        "chatwoot_url": memory.chatwoot_url or account.first() or "",
        "dify_url": memory.dify_url or app.first() or "https://api.dify.ai/v1",
    }


def _usual(memory: Memory) -> dict[str, str]:
    """Return name and language of the bot that is there already, or of a new one."""
    account = known_account(memory.chatwoot_url, account_id=memory.account_id)
    app = known_app(memory.dify_url, key=memory.dify_key, name=memory.app_name)
    bot = None
    if account is not None and app is not None:
        bot = bot_of(account, app)
    usual = ChoiceForm.usual_language()
    if bot is not None:
        return {"bot_name": bot.name, "language": bot.language or usual}
    return {"bot_name": ChoiceForm.usual_name(memory.app_name), "language": usual}


def _usual_inboxes(inboxes: list[InboxChoice]) -> set[int]:
    """Return those that are linked already; else one that is free, for a beginning."""
    ours = {one.id for one in inboxes if one.state == "ours"}
    if ours:
        return ours
    free = [one for one in inboxes if one.state == "free"]
    usual = [one for one in free if one.channel in _USUAL_CHANNELS]
    return {one.id for one in (usual or free)[:1]}


def _numbers(request: HttpRequest, name: str) -> set[int]:
    values = request.POST.getlist(name)[:_MOST_INBOXES]
    return {int(v) for v in values if v.isascii() and v.isdigit() and len(v) < 19}


def _plan(
    memory: Memory, form: ChoiceForm, *, inbox_ids: list[int], request: HttpRequest
) -> Plan:
    return Plan(
        chatwoot_url=memory.chatwoot_url,
        account_id=memory.account_id or 0,
        account_name=memory.account_name,
        admin_token=memory.admin_token,
        dify_url=memory.dify_url,
        dify_key=memory.dify_key,
        app_name=memory.app_name,
        bot_name=form.cleaned_data["bot_name"],
        language=form.cleaned_data["language"],
        inbox_ids=tuple(inbox_ids),
        taken_over=frozenset(_numbers(request, "take")),
    )


def _links(report: Report) -> list[tuple[str, str]]:
    """Return where to go on, of what there is."""
    found = []
    if report.bot is not None:
        found.append((gettext("Page of the bot"), admin_url(report.bot)))
        try:
            url = reverse("bridge:playground", args=[report.bot.pk])
            found.append((gettext("Talk to it in the playground"), url))
        except NoReverseMatch:
            pass
        url = f"{reverse('bridge:doctor')}?bot={report.bot.pk}"
        found.append((gettext("Ask the doctor"), url))
    return found
