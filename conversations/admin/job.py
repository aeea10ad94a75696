"""Jobs: the long work that operators started, its progress and its report."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Exists, F, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_GET, require_POST

from bridge_project.lib.admin_base import (
    StoryAdmin,
    admin_link,
    admin_url,
    badge,
    moment,
)
from conversations import jobs
from conversations.admin import job_report
from conversations.admin.base import elapsed, number_in
from conversations.jobs.kinds import KINDS
from conversations.models import AuditEntry, Job, JobItem
from conversations.models.job import UNFINISHED

TONES = {
    Job.Status.WAITING: "busy",
    Job.Status.RUNNING: "busy",
    Job.Status.DONE: "good",
    Job.Status.STOPPED: "warn",
    Job.Status.FAILED: "bad",
}
# To store a hundred thousand items takes some seconds.
AUDIT_WITHIN = timedelta(minutes=2)
_ITEMS = JobItem.objects.filter(job=OuterRef("pk")).order_by()
# Items are done in their order, so the first that waits says how far the job is: one
# look into the index, however many items there are.
_FIRST_LEFT = (
    _ITEMS.filter(status=JobItem.Status.WAITING)
    .order_by("position")
    .values("position")[:1]
)


class KindFilter(admin.SimpleListFilter):
    """What was to be done; the names of kinds that are known."""

    title = _("what")
    parameter_name = "kind"

    def lookups(
        self, request: HttpRequest, model_admin: admin.ModelAdmin[Job]
    ) -> list[tuple[str, str]]:
        return [(name, str(kind.title)) for name, kind in sorted(KINDS.items())]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Job]) -> QuerySet[Job]:
        kind = self.value()
        return queryset.filter(kind=kind) if kind else queryset


@admin.register(Job)
class JobAdmin(StoryAdmin[Job]):
    """What was ordered, how far it is, what came of it."""

    list_display = ("ordered", "what", "state", "progress", "actor", "account", "took")
    list_display_links = ("ordered", "what")
    list_filter = ("status", KindFilter, "created_at", "account")
    ordering = ("-id",)
    sortable_by = ()
    search_fields = ("actor",)
    search_help_text = _("Who ordered it, or a job's number")
    list_before_template = "admin/conversations/list_note.html"
    list_note = _(
        "Long work that somebody ordered here: it goes on in the workers when this "
        "page is closed, and its report is kept for 90 days."
    )
    change_form_template = "admin/conversations/job/change_form.html"

    @admin.display(description=_("ordered"))
    def ordered(self, job: Job) -> SafeString:
        return moment(job.created_at)

    @admin.display(description=_("what"))
    def what(self, job: Job) -> str:
        return kind_title(job)

    @admin.display(description=_("state"))
    def state(self, job: Job) -> SafeString:
        return job_badge(job)

    @admin.display(description=_("progress"))
    def progress(self, job: Job) -> str:
        return _so_far(job)

    @admin.display(description=_("took"))
    def took(self, job: Job) -> str:
        return _took(job)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Job]:
        failed = _ITEMS.filter(status=JobItem.Status.FAILED)
        return (
            super()
            .get_queryset(request)
            .select_related("account")
            .annotate(
                finished_items=Coalesce(Subquery(_FIRST_LEFT), F("total")),
                has_failures=Exists(failed),
            )
        )

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Job], search_term: str
    ) -> tuple[QuerySet[Job], bool]:
        text = search_term.strip()
        if not text:
            return queryset, False
        number = number_in(text)
        if number is not None:
            return queryset.filter(pk=number), False
        return queryset.filter(actor__iexact=text), False

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        return [
            path(
                "<int:job_id>/progress/",
                wrap(self.progress_view),
                name="conversations_job_progress",
            ),
            path(
                "<int:job_id>/stop/",
                wrap(self.stop_view),
                name="conversations_job_stop",
            ),
            *super().get_urls(),
        ]

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, object] | None = None,
    ) -> HttpResponse:
        """Show the progress, and the page of the report that the address names."""
        job = self.get_object(request, object_id)
        extra = dict(extra_context or {})
        if job is not None:
            extra |= _report(job, request.GET)
            extra["may_stop"] = _may_stop(request) and is_unfinished(job)
        return super().change_view(request, object_id, form_url, extra)

    def story(self, row: Job) -> dict[str, object]:
        """Return the job as its page shows it."""
        return {
            **_facts(row),
            "title": gettext("Job %(id)s: %(what)s")
            % {"id": row.pk, "what": kind_title(row)},
            "account_link": admin_link(row.account) if row.account_id else "",
            "what": kind_title(row),
            "audit_links": [
                admin_link(entry, text=entry.get_verb_display())
                for entry in _audit_of(row)
            ],
        }

    @method_decorator(require_GET)
    def progress_view(self, request: HttpRequest, job_id: int) -> HttpResponse:
        """Return the part of the page that changes; a job that is over, all of it."""
        job = self._job(request, job_id)
        if not self.has_view_permission(request, job):
            raise PermissionDenied
        response = TemplateResponse(
            request, "admin/conversations/job/progress.html", _facts(job)
        )
        if not is_unfinished(job):
            response["HX-Refresh"] = "true"
        return response

    @method_decorator(require_POST)
    def stop_view(self, request: HttpRequest, job_id: int) -> HttpResponse:
        """Have the job stopped."""
        if not _may_stop(request):
            raise PermissionDenied
        job = self._job(request, job_id)
        if jobs.stop(job, by=request.user.get_username()):
            messages.success(
                request,
                gettext(
                    "The job stops: what is being done at this moment is still "
                    "finished, the rest is left as it is."
                ),
            )
        else:
            messages.info(request, gettext("The job has ended or is stopping already."))
        return redirect(admin_url(job))

    def _job(self, request: HttpRequest, job_id: int) -> Job:
        job = self.get_queryset(request).filter(pk=job_id).first()
        if job is None:
            raise Http404
        return job


def kind_title(job: Job) -> str:
    """Return what the job does; its bare name, if this version does not know it."""
    kind = KINDS.get(job.kind)
    return job.kind if kind is None else str(kind.title)


def is_unfinished(job: Job) -> bool:
    """Tell whether the job still goes on."""
    return job.status in UNFINISHED


def job_badge(job: Job) -> SafeString:
    """Return the state as a label: with failures it is not quite done."""
    if job.stop_wanted_at is not None and is_unfinished(job):
        return badge(_("stopping"), tone="warn")
    if job.status == Job.Status.DONE and getattr(job, "has_failures", False):
        return badge(_("done, with failures"), tone="warn")
    return badge(job.get_status_display(), tone=TONES[Job.Status(job.status)])


def _audit_of(job: Job) -> list[AuditEntry]:
    """Return who started the job and who stopped it.

    By the index of their time: they were recorded with what they tell of.
    """
    near = Q()
    for at in (job.created_at, job.stop_wanted_at):
        if at is not None:
            near |= Q(created_at__gte=at, created_at__lt=at + AUDIT_WITHIN)
    entries = AuditEntry.objects.filter(
        near,
        verb__in=(AuditEntry.Verb.STARTED_JOB, AuditEntry.Verb.STOPPED_JOB),
        details__job=job.pk,
    )
    return list(entries.order_by("created_at"))


def _may_stop(request: HttpRequest) -> bool:
    return request.user.has_perm("conversations.change_job")


def _finished(job: Job) -> int:
    count: int = getattr(job, "finished_items", 0)
    return count


def _so_far(job: Job) -> str:
    return gettext("%(done)s of %(total)s") % {
        "done": _finished(job),
        "total": job.total,
    }


def _took(job: Job) -> str:
    return elapsed(job.started_at, job.finished_at or timezone.now())


def _facts(job: Job) -> dict[str, object]:
    """Return what changes while the job goes on."""
    counted = job_report.counts(job)
    percent = 100 if not job.total else _finished(job) * 100 // job.total
    return {
        "job": job,
        "state": job_badge(job),
        "is_unfinished": is_unfinished(job),
        "so_far": _so_far(job),
        "percent": percent,
        "took": _took(job) if job.started_at else "",
        "sentence": _sentence(job),
        "counts": [
            (_item_badge(status), count) for status, count in counted.items() if count
        ],
        "progress_url": reverse("admin:conversations_job_progress", args=[job.pk]),
    }


def _item_badge(status: str) -> SafeString:
    known = JobItem.Status(status)
    return badge(known.label, tone=job_report.TONES[known])


def _sentence(job: Job) -> str:
    """Say what the state means."""
    if job.stop_wanted_at is not None and is_unfinished(job):
        return gettext("It stops as soon as the item that is being done is finished.")
    return {
        Job.Status.WAITING: gettext(
            "It waits for a worker, which takes it within seconds. If it stays so, no "
            "worker is alive: see “Workers and queue”."
        ),
        Job.Status.RUNNING: gettext(
            "It goes on when this page is closed, and when a worker is restarted."
        ),
        Job.Status.DONE: gettext("Everything was gone through."),
        Job.Status.STOPPED: gettext(
            "It was stopped. What was done stays done; the rest was not begun."
        ),
        Job.Status.FAILED: gettext("It could not go on."),
    }[Job.Status(job.status)]


def _report(job: Job, asked: Any) -> dict[str, object]:
    """Return a page of the report; `asked` is the address's query."""
    status = str(asked.get("show", ""))
    if status not in JobItem.Status.values:
        status = ""
    page = job_report.page(job, status=status, after=str(asked.get("after", "")))
    shown = {"show": status} if status else {}
    return {
        "items": [(item, _item_badge(item.status)) for item in page.items],
        "first_url": "?" + urlencode(shown) if asked.get("after") else "",
        "next_url": (
            "?" + urlencode({**shown, "after": page.next_key}) if page.next_key else ""
        ),
        "choices": [
            ("?", gettext("all"), job.total, not status),
            *(
                (f"?show={one}", str(JobItem.Status(one).label), count, status == one)
                for one, count in job_report.counts(job).items()
                if count
            ),
        ],
    }
