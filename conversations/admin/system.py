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
    admin_link,
    moment,
    shortened,
    text_block,
)
from conversations.admin.base import number_in
from conversations.admin.task_results import (
    TASK_WORDS,
    state_badge,
    subject_of,
    task_words,
    with_argument,
)

# The imports above registered them in Django's own look. The bridge makes no groups
# of tasks, so their list would be empty for ever.
for model in (User, Group, TaskResult, GroupResult):
    admin.site.unregister(model)

admin.site.index_title = _("Overview")


class TaskFilter(admin.SimpleListFilter):
    """Which task; the names that are known, since finding all would read the table."""

    title = _("task")
    parameter_name = "task"

    def lookups(
        self, request: HttpRequest, model_admin: admin.ModelAdmin[TaskResult]
    ) -> list[tuple[str, str]]:
        return [(name, str(words)) for name, words in TASK_WORDS.items()]

    def queryset(
        self, request: HttpRequest, queryset: QuerySet[TaskResult]
    ) -> QuerySet[TaskResult]:
        name = self.value()
        return queryset.filter(task_name=name) if name else queryset


@admin.register(User)
class UserAdmin(BridgeAdmin[User], DjangoUserAdmin):  # type: ignore[type-arg]
    """People who may log in here."""

    # Two boxes side by side are too wide for a window, and mute for screen readers.
    filter_horizontal = ()
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

    filter_horizontal = ()


@admin.register(TaskResult)
class TaskResultAdmin(ReadOnlyAdmin[TaskResult]):
    """What the workers did; for operators to read, no decision depends on it."""

    list_display = ("done", "task", "state", "arguments", "outcome", "worker")
    list_display_links = ("done", "task")
    list_filter = ("status", TaskFilter, "date_done")
    list_before_template = "admin/conversations/list_note.html"
    list_note = _(
        "What the workers did, for a week. Of events, turns, trials and jobs only "
        "failures are kept: their own pages tell the rest. What a worker found by "
        "itself in PostgreSQL, as while Redis is away, leaves no result here."
    )
    ordering = ("-id",)
    sortable_by = ()
    search_fields = ("task_id",)
    search_help_text = _("Task id, or the number of a turn, event or job")
    fields = (
        "task",
        "task_name",
        "state",
        "about",
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
        return task_words(row.task_name) or NOTHING

    @admin.display(description=_("state"))
    def state(self, row: TaskResult) -> SafeString:
        return state_badge(row)

    @admin.display(description=_("about"))
    def about(self, row: TaskResult) -> SafeString | str:
        """Link to the turn, event or job; trials are shown in the playground."""
        found = subject_of(row)
        if found is None or not admin.site.is_registered(type(found)):
            return NOTHING
        name = str(found._meta.verbose_name).capitalize()
        return admin_link(found, text=f"{name} {found.pk}")

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
        if not text:
            return queryset, False
        number = number_in(text)
        if number is not None:
            return with_argument([number], results=queryset), False
        return queryset.filter(task_id=text), False
