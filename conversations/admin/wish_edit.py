"""Adds and edits what is wanted, and takes it from a file."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.core.files.uploadedfile import UploadedFile
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.utils.functional import cached_property
from django.utils.translation import gettext, ngettext

from bridge_project.lib.errors import BridgeError
from chatwoot_api import wish_files, wish_rules, wishes
from chatwoot_api.models import Wish
from chatwoot_api.seed_files import BadFile, Seed
from chatwoot_api.seeding import Existing
from conversations.admin import wish_words
from conversations.admin.wish_forms import FORMS, ImportForm, WishForm
from conversations.admin.wishes import MAY_WANT, AccountPage


class EditPage(AccountPage):
    """The form of one wanted thing, a new one without a number in the address."""

    permission_required = ("chatwoot_api.view_wish", MAY_WANT)
    template_name = "admin/chatwoot_api/wishes/edit.html"

    @cached_property
    def wish(self) -> Wish | None:
        if "wish_id" not in self.kwargs:
            return None
        rows = Wish.objects.filter(account=self.account, kind=self.kind)
        return get_object_or_404(rows, pk=self.kwargs["wish_id"])

    @cached_property
    def there(self) -> Existing | None:
        """What the mirror has of it."""
        if self.wish is None:
            return None
        rows = wishes.mirrored(self.account, self.kind)
        return next((row for row in rows if row.identity == self.wish.identity), None)

    def form(self, data: Any = None) -> WishForm:
        return FORMS[self.kind](
            data, account=self.account, wish=self.wish, there=self.there
        )

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        form = self.form(request.POST)
        if not form.is_valid():
            return self.render_to_response(self.get_context_data(form=form))
        wanted = form.wanted()
        wishes.want(self.account, self.kind, wanted, by=self.user_name)
        text = gettext(
            "“%(name)s” is wanted so from now on. Chatwoot has it only after “Compare "
            "and write to Chatwoot”."
        )
        messages.success(request, text % {"name": wanted.name})
        return HttpResponseRedirect(self.back_url())

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        context = super().get_context_data(**kwargs)
        return {
            **context,
            "form": context.get("form") or self.form(),
            "wish": self.wish,
            "there": list(wish_words.facts(self.there.fields)) if self.there else [],
        }


class ImportPage(AccountPage):
    """Shows what a file would change here, then changes it; Chatwoot is not asked."""

    permission_required = ("chatwoot_api.view_wish", MAY_WANT)
    template_name = "admin/chatwoot_api/wishes/import.html"

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        form = ImportForm(request.POST, request.FILES)
        if not form.is_valid():
            return self.render_to_response(self.get_context_data(form=form))
        text = form.cleaned_data["text"]
        try:
            if form.cleaned_data["file"] is not None:
                text = _text_of(form.cleaned_data["file"])
            seeds = wish_files.read(text, kind=self.kind)
        except BridgeError as err:
            form.add_error("text", str(err))
            return self.render_to_response(self.get_context_data(form=form))
        exact = form.cleaned_data["exact"]
        if "confirmed" in request.POST:
            count = wish_files.take(self.account, seeds, by=self.user_name, exact=exact)
            said = ngettext(
                "%(count)d change of what is wanted here. Chatwoot was not changed.",
                "%(count)d changes of what is wanted here. Chatwoot was not changed.",
                count,
            )
            messages.success(request, said % {"count": count})
            return HttpResponseRedirect(self.back_url())
        preview = wish_files.preview(self.account, seeds, exact=exact)
        return self.render_to_response(
            self.get_context_data(
                form=form,
                text=text,
                exact=exact,
                preview=preview,
                steps=[_shown(step) for step in preview.steps],
                objections=_objections(seeds),
            )
        )

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        context = super().get_context_data(**kwargs)
        form = context.get("form") or ImportForm(initial={"kind": self.kind})
        return {**context, "form": form}


def _text_of(file: UploadedFile[Any]) -> str:
    """Return what is in the file. Raises BadFile."""
    if (file.size or 0) > wish_files.MAX_CHARS * 4:
        raise BadFile(gettext("The file is too long to be one of teams or labels."))
    try:
        return str(file.read().decode("utf-8-sig"))
    except UnicodeDecodeError as err:
        text = gettext("The file is no text in UTF-8. Save it as such, and try again.")
        raise BadFile(text) from err


def _shown(step: wish_files.Step) -> dict[str, Any]:
    verbs = {
        "add": gettext("new"),
        "change": gettext("changed"),
        "forget": gettext("no longer wanted"),
    }
    return {
        "kind": Wish.Kind(step.kind).label,
        "name": step.wanted.name,
        "verb": verbs[step.verb],
        "lines": wish_words.lines(step.before, step.after),
    }


def _objections(seeds: dict[str, Seed]) -> list[str]:
    """Say what Chatwoot would refuse of a file."""
    return [
        gettext("Chatwoot would refuse %(name)s: %(field)s: %(sentence)s")
        % {
            "name": f"“{one.name}”",
            "field": wish_words.field_words(field),
            "sentence": sentence,
        }
        for kind, seed in seeds.items()
        for one in seed.wanted
        for field, sentence in wish_rules.objections(kind, one.fields)
    ]
