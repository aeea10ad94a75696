"""What the admin's own pages share: the frame, the permission, the way back."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib import admin
from django.contrib.auth.mixins import PermissionRequiredMixin
from django.http import HttpRequest
from django.utils.functional import Promise
from django.views.generic import TemplateView


class AdminPage(PermissionRequiredMixin, TemplateView):
    """A page inside the admin's frame, for those who have `permission_required`.

    Who is not logged in is sent to the login; who may not gets 403.
    """

    title: ClassVar[str | Promise] = ""

    def has_permission(self) -> bool:
        """Ask for the permission of somebody who may enter the admin at all."""
        return admin.site.has_permission(self.request) and super().has_permission()

    def handle_no_permission(self) -> Any:
        """Raise 403 only for people of the admin; others may log in as one."""
        self.raise_exception = admin.site.has_permission(self.request)
        return super().handle_no_permission()

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        context = super().get_context_data(**kwargs)
        return {**frame(self.request, title=self.title), **context}


def frame(request: HttpRequest, *, title: str | Promise) -> dict[str, Any]:
    """Return what the admin's own templates need."""
    return {**admin.site.each_context(request), "title": title, "subtitle": None}
