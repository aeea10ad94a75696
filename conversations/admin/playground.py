"""The playground: talk to a bot's Dify app, and see all that leads to its answers."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.functional import cached_property
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from bridge_project.lib.admin_base import admin_link, admin_url
from conversations import tasks, trials
from conversations.admin.page import AdminPage
from conversations.admin.playground_form import QuestionForm, initial_of
from conversations.admin.trial_view import TrialView
from conversations.models import Bot, Conversation, Trial
from conversations.models.bot_settings import DIFY

# The newest; the talk is in Dify, whatever is shown here.
QUESTIONS_SHOWN = 50
TALKS_SHOWN = 10
LOOKED_THROUGH = 200
# htmx ends its polling at this status.
STOP_POLLING = 286


class PlaygroundPage(AdminPage):
    """Everybody who sees the bot may read; asking costs money, like a turn.

    So it needs what an operator has: to change turns.
    """

    title = _("Playground")
    permission_required = "conversations.view_bot"
    template_name = "admin/conversations/playground/page.html"

    @cached_property
    def bot(self) -> Bot:
        """The bot that is tried."""
        rows = Bot.objects.select_related("account", "dify_app")
        return get_object_or_404(rows, pk=self.kwargs["bot_id"])

    @property
    def asks_dify(self) -> bool:
        """Tell whether there is a Dify app to try."""
        return self.bot.provider == DIFY and self.bot.dify_app is not None

    @property
    def may_ask(self) -> bool:
        """Tell whether the user may spend tokens."""
        return self.request.user.has_perm("conversations.change_turn")

    @property
    def may_look(self) -> bool:
        """Tell whether the user may see the values of conversations."""
        return self.request.user.has_perm("conversations.view_conversation")

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if "trial" in request.GET:
            return self._one(request, request.GET["trial"])
        return super().get(request, *args, **kwargs)

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Ask, stop or end; each needs more than to look."""
        if not self.may_ask:
            raise PermissionDenied
        do = {"ask": self._ask, "stop": self._stop, "end": self._end}
        wanted = do.get(request.POST.get("do", ""))
        if wanted is None:
            raise Http404
        return wanted(request)

    # --- What can be done -------------------------------------------------------------

    def _ask(self, request: HttpRequest) -> HttpResponse:
        form = self._form(request.POST)
        talk = _uuid(request.POST.get("talk", ""))
        if form.is_valid():
            try:
                trial = trials.ask(
                    self.bot,
                    form.cleaned_data["question"],
                    actor=request.user.get_username(),
                    talk=talk,
                    conversation=form.chosen,
                    inputs=form.typed,
                )
            except trials.CannotAsk as err:
                form.add_error("question", err.message)
            else:
                tasks.wake_trial(trial.pk)
                return HttpResponseRedirect(self._address(trial.talk))
        return self.render_to_response(self.get_context_data(form=form, talk_id=talk))

    def _stop(self, request: HttpRequest) -> HttpResponse:
        trial = self._trial(request.POST.get("trial", ""))
        if trial is None:
            raise Http404
        if trials.stop(trial, now=timezone.now()):
            messages.success(request, gettext("Stopped. Dify is told so, too."))
        return HttpResponseRedirect(self._address(trial.talk))

    def _end(self, request: HttpRequest) -> HttpResponse:
        talk = _uuid(request.POST.get("talk", ""))
        if talk is None or not self._questions(talk):
            raise Http404
        trials.end(talk, now=timezone.now())
        text = gettext(
            "The talk is ended. Dify is asked to forget it within the next minutes."
        )
        messages.success(request, text)
        return HttpResponseRedirect(self._address(None))

    # --- What is shown ----------------------------------------------------------------

    def _one(self, request: HttpRequest, pk: str) -> HttpResponse:
        """Answer the polling of a question that has no answer yet."""
        trial = self._trial(pk)
        if trial is None:
            return HttpResponse(
                gettext("This question is no longer stored."), status=STOP_POLLING
            )
        context = {
            "view": TrialView(trial),
            "may_ask": self.may_ask,
            "address": self._address(trial.talk),
        }
        template = "admin/conversations/playground/trial.html"
        response = TemplateResponse(request, template, context)
        response["Cache-Control"] = "no-store"
        return response

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        talk = kwargs.pop("talk_id", None) or _uuid(self.request.GET.get("talk", ""))
        questions = self._questions(talk) if talk else []
        if talk and not questions:
            talk = None
        is_ended = talk is not None and trials.is_ended(talk)
        is_own = all(one.actor == self.request.user.get_username() for one in questions)
        form = kwargs.pop("form", None) or self._form(
            None, initial=self._initial(questions)
        )
        may_go_on = self.may_ask and is_own and not is_ended
        if may_go_on and self.asks_dify:
            form.show_mapped(self._mapped(questions))
        return super().get_context_data(
            **kwargs,
            bot=self.bot,
            bot_url=admin_url(self.bot),
            app_link=admin_link(self.bot.dify_app),
            talk=talk,
            views=[TrialView(one) for one in questions],
            form=form,
            may_ask=self.may_ask,
            may_go_on=may_go_on and self.asks_dify,
            is_ended=is_ended,
            is_own=is_own,
            fixed=sorted(trials.fixed_inputs(self.bot)),
            address=self._address(talk),
            talks=self._talks(),
            subtitle=str(self.bot),
        )

    def _form(
        self, data: Any, *, initial: dict[str, str] | None = None
    ) -> QuestionForm:
        return QuestionForm(data, initial=initial, bot=self.bot, may_look=self.may_look)

    def _initial(self, questions: list[Trial]) -> dict[str, str]:
        """Go on with the values of the last question; else with those in the link."""
        if not questions:
            number = self.request.GET.get("conversation", "")
            return initial_of({}, conversation=number)
        about = questions[-1].inputs
        chosen = self._conversation(questions)
        number = str(chosen.chatwoot_conversation_id) if chosen else ""
        return initial_of(about.get("given", {}), conversation=number)

    def _conversation(self, questions: list[Trial]) -> Conversation | None:
        pk = questions[-1].inputs.get("conversation_id") if questions else None
        rows = Conversation.objects.select_related("account", "inbox")
        return rows.filter(pk=pk).first() if pk is not None else None

    def _mapped(self, questions: list[Trial]) -> dict[str, Any]:
        """Return what is sent where nothing is typed."""
        app = self.bot.dify_app
        if app is None:
            return {}
        lender = self._conversation(questions) if self.may_look else None
        subject = trials.subject_of(self.bot, conversation=lender)
        shaped = trials.fitted(subject, bot=self.bot, app=app, question="", given={})
        return shaped.inputs

    def _questions(self, talk: UUID) -> list[Trial]:
        rows = Trial.objects.filter(bot=self.bot, talk=talk).order_by("-pk")
        return list(reversed(rows[:QUESTIONS_SHOWN]))

    def _talks(self) -> list[dict[str, Any]]:
        """Return the newest talks with this bot, each by its last question."""
        rows = Trial.objects.filter(bot=self.bot).order_by("-pk")
        rows = rows.only("talk", "question", "actor", "created_at")
        found: dict[UUID, Trial] = {}
        for trial in rows[:LOOKED_THROUGH]:
            found.setdefault(trial.talk, trial)
        return [
            {"trial": trial, "url": self._address(talk)}
            for talk, trial in list(found.items())[:TALKS_SHOWN]
        ]

    def _trial(self, pk: str) -> Trial | None:
        if not pk.isdecimal() or len(pk) > 18:
            return None
        return Trial.objects.filter(bot=self.bot, pk=int(pk)).first()

    def _address(self, talk: UUID | None) -> str:
        address = reverse("bridge:playground", args=[self.bot.pk])
        return f"{address}?talk={talk}" if talk else address


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
