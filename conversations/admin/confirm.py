"""The page between the button of an action and what cannot be taken back."""

from __future__ import annotations

from collections.abc import Sequence

from django.contrib import admin
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.translation import gettext

from bridge_project.lib.admin_base import list_url

# More are not looked through before the button is pressed.
MAX_ROWS = 100


def is_confirmed(request: HttpRequest) -> bool:
    """Tell whether the page was shown and its button pressed."""
    return "confirmed" in request.POST


def ask(
    request: HttpRequest,
    model_admin: admin.ModelAdmin,  # type: ignore[type-arg] # of any model
    *,
    action: str,
    title: str,
    text: str,
    lines: Sequence[str],
    selected: Sequence[int],
    button: str,
) -> HttpResponse:
    """Show what is about to happen, and to what; the button repeats the action."""
    context = {
        **model_admin.admin_site.each_context(request),
        "opts": model_admin.model._meta,
        "title": title,
        "text": text,
        "lines": lines,
        "selected": selected,
        "action": action,
        "action_checkbox_name": ACTION_CHECKBOX_NAME,
        "button": button,
        "back_url": list_url(model_admin.model),
    }
    return TemplateResponse(request, "admin/conversations/confirm_action.html", context)


def ask_to_delete_in_dify(
    request: HttpRequest,
    model_admin: admin.ModelAdmin,  # type: ignore[type-arg] # of any model
    *,
    lines: Sequence[str],
    selected: Sequence[int],
) -> HttpResponse:
    """Show which Dify conversations are about to be deleted; for `delete_in_dify`."""
    return ask(
        request,
        model_admin,
        action="delete_in_dify",
        title=gettext("Delete in Dify"),
        text=gettext(
            "Dify forgets these conversations for good; it cannot be undone. Where "
            "one is in use, the customer's next message starts a new one."
        ),
        lines=lines,
        selected=selected,
        button=gettext("Delete in Dify"),
    )
