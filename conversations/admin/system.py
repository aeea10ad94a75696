"""Users, groups and Celery's task results, in the look of everything else."""

from __future__ import annotations

import django_celery_results.admin  # noqa: F401 registers what is replaced below
from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin as DjangoGroupAdmin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group, User
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from django_celery_results.models import GroupResult, TaskResult
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from bridge_project.lib.admin_base import (
    NOTHING,
    BridgeAdmin,
    ReadOnlyAdmin,
    badge,
    moment,
    shortened,
    text_block,
)

# The imports above registered them in Django's own look. The bridge makes no groups
# of tasks, so their list would be empty for ever.
for model in (User, Group, TaskResult, GroupResult):
    admin.site.unregister(model)

admin.site.index_title = _("Overview")

TASK_TONES = {
    "SUCCESS": "good",
    "FAILURE": "bad",
    "RETRY": "warn",
    "REVOKED": "warn",
    "STARTED": "busy",
    "PENDING": "busy",
    "RECEIVED": "busy",
}
TASK_STATES = {
    "SUCCESS": _("succeeded"),
    "FAILURE": _("failed"),
    "RETRY": _("will be tried again"),
    "REVOKED": _("cancelled"),
    "STARTED": _("running"),
    "PENDING": _("waiting"),
    "RECEIVED": _("waiting"),
}


@admin.register(User)
class UserAdmin(BridgeAdmin[User], DjangoUserAdmin):  # type: ignore[type-arg]
    """People who may log in here."""

    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm
    # Unfold's, which are empty, hide Django's. Everybody logs in with a password, so
    # the choice to have none is left out.
    add_fieldsets = ((None, {"fields": ("username", "password1", "password2")}),)

    def get_readonly_fields(
        self, request: HttpRequest, obj: User | None = None
    ) -> list[str]:
        """Keep those who manage people from making themselves all-powerful."""
        fields = [str(name) for name in super().get_readonly_fields(request, obj)]
        if not _is_superuser(request.user):
            fields += ["is_superuser", "user_permissions"]
        return fields

    def has_change_permission(
        self, request: HttpRequest, obj: User | None = None
    ) -> bool:
        """Leave superusers and their passwords to superusers."""
        return super().has_change_permission(request, obj) and (
            not _is_superuser(obj) or _is_superuser(request.user)
        )

    def has_delete_permission(
        self, request: HttpRequest, obj: Model | None = None
    ) -> bool:
        return super().has_delete_permission(request, obj) and (
            not _is_superuser(obj) or _is_superuser(request.user)
        )


def _is_superuser(person: object) -> bool:
    return bool(getattr(person, "is_superuser", False))


@admin.register(Group)
class GroupAdmin(BridgeAdmin[Group], DjangoGroupAdmin):
    """Sets of permissions."""


@admin.register(TaskResult)
class TaskResultAdmin(ReadOnlyAdmin[TaskResult]):
    """What the workers did; for operators to read, no decision depends on it."""

    list_display = ("done", "task", "state", "arguments", "outcome", "worker")
    list_display_links = ("done", "task")
    list_filter = ("status", "date_done")
    ordering = ("-id",)
    sortable_by = ()
    search_fields = ("task_id",)
    search_help_text = _("Task id")
    fields = (
        "task",
        "state",
        "arguments",
        "whole_outcome",
        "error",
        "worker",
        "task_id",
        "date_created",
        "date_started",
        "date_done",
    )

    @admin.display(description=_("finished"))
    def done(self, row: TaskResult) -> SafeString:
        return moment(row.date_done)

    @admin.display(description=_("task"))
    def task(self, row: TaskResult) -> str:
        return str(row.task_name or "").rpartition(".")[2] or NOTHING

    @admin.display(description=_("state"))
    def state(self, row: TaskResult) -> SafeString:
        status = str(row.status)
        return badge(
            TASK_STATES.get(status, status), tone=TASK_TONES.get(status, "calm")
        )

    @admin.display(description=_("arguments"))
    def arguments(self, row: TaskResult) -> str:
        return shortened(str(row.task_args or "").strip('"')) or NOTHING

    @admin.display(description=_("result"))
    def outcome(self, row: TaskResult) -> str:
        return shortened(str(row.result or ""), max_chars=60) or NOTHING

    @admin.display(description=_("result"))
    def whole_outcome(self, row: TaskResult) -> SafeString:
        return text_block(str(row.result or ""))

    @admin.display(description=_("error"))
    def error(self, row: TaskResult) -> SafeString:
        return text_block(str(row.traceback or ""))

    def get_search_results(
        self,
        request: HttpRequest,
        queryset: QuerySet[TaskResult],
        search_term: str,
    ) -> tuple[QuerySet[TaskResult], bool]:
        text = search_term.strip()
        return (queryset.filter(task_id=text) if text else queryset), False
