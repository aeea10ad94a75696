"""The page between the button of an action and what cannot be taken back."""

from __future__ import annotations

from collections.abc import Sequence

from django.contrib import admin
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse

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
