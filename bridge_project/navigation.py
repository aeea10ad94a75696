"""The links of the admin's sidebar, each for those who may see its page."""

from __future__ import annotations

from typing import Any

from django.urls import reverse_lazy
from django.utils.text import capfirst
from django.utils.translation import gettext_lazy as _


def _page(title: Any, icon: str, model: str) -> dict[str, Any]:
    """Return a link of the sidebar, for those who may see the model's list."""
    app_label, name = model.split(".")
    return {
        # Some titles are names of models, which other languages begin small.
        "title": capfirst(title),
        "icon": icon,
        "link": reverse_lazy(f"admin:{app_label}_{name}_changelist"),
        "permission": lambda request: request.user.has_perm(f"{app_label}.view_{name}"),
    }


def _view(title: Any, icon: str, name: str, *, permission: str) -> dict[str, Any]:
    """Return a link of the sidebar to a page of our own, for those who may see it."""
    return {
        "title": title,
        "icon": icon,
        "link": reverse_lazy(f"bridge:{name}"),
        "permission": lambda request: request.user.has_perm(permission),
    }


SIDEBAR: list[dict[str, Any]] = [
    {
        "items": [
            {
                "title": _("Overview"),
                "icon": "home",
                "link": reverse_lazy("admin:index"),
            },
            _view(
                _("Set up a bot"),
                "rocket_launch",
                "setup",
                permission="conversations.add_bot",
            ),
            _view(
                _("Doctor"),
                "stethoscope",
                "doctor",
                permission="conversations.view_bot",
            ),
        ],
    },
    {
        "title": _("Work"),
        "items": [
            _page(_("Events"), "inbox", "conversations.webhookevent"),
            _page(_("Turns"), "contact_support", "conversations.turn"),
            _page(_("Conversations"), "forum", "conversations.conversation"),
            _page(_("Drafts"), "edit_note", "conversations.draft"),
            _page(_("Callbacks"), "call_received", "conversations.callback"),
            _page(_("Forms of flows"), "fact_check", "conversations.flowform"),
            _page(_("Jobs"), "checklist", "conversations.job"),
        ],
    },
    {
        "title": _("Setup"),
        "items": [
            _page(_("Bots"), "smart_toy", "conversations.bot"),
            _page(_("Chatwoot accounts"), "hub", "chatwoot_api.chatwootaccount"),
            _page(_("Inboxes"), "move_to_inbox", "chatwoot_api.inbox"),
            _page(_("Dify apps"), "psychology", "dify_api.difyapp"),
            _page(
                _("OpenAI-compatible servers"),
                "memory_alt",
                "conversations.openaiserver",
            ),
            _view(
                _("Teams, labels, attributes"),
                "rule_settings",
                "wishes",
                permission="chatwoot_api.view_wish",
            ),
            _page(
                _("Alert channels"),
                "notifications",
                "conversations.alertchannel",
            ),
            _view(
                _("Export and import"),
                "import_export",
                "configuration",
                permission="conversations.view_bot",
            ),
        ],
    },
    {
        "title": _("For engineers"),
        # Not collapsible: Unfold unfolds it for the mouse only.
        "items": [
            _page(_("Runs of Dify"), "bolt", "conversations.pipelinerun"),
            _page(_("Outgoing messages"), "send", "conversations.outgoingmessage"),
            _page(_("Upstream calls"), "http", "conversations.upstreamcall"),
            _page(
                _("Dify conversations"),
                "memory",
                "conversations.difyconversation",
            ),
            _page(_("Teams"), "groups", "chatwoot_api.team"),
            _page(_("Agents"), "support_agent", "chatwoot_api.agent"),
            _page(_("Labels"), "label", "chatwoot_api.label"),
            _page(
                _("Attribute definitions"),
                "tune",
                "chatwoot_api.attributedefinition",
            ),
            _view(
                _("Workers and queue"),
                "manufacturing",
                "celery",
                permission="django_celery_results.view_taskresult",
            ),
            _page(_("Task results"), "task", "django_celery_results.taskresult"),
        ],
    },
    {
        "title": _("Administration"),
        "items": [
            _page(_("Audit entries"), "history", "conversations.auditentry"),
            _page(
                _("Configuration changes"),
                "manage_history",
                "auditlog.logentry",
            ),
            _page(_("Alerts"), "notification_important", "conversations.alert"),
            _page(_("Retention"), "auto_delete", "conversations.retention"),
            _page(_("Erasures"), "person_off", "conversations.erasure"),
            _page(_("Users"), "person", "auth.user"),
            _page(_("Groups"), "group", "auth.group"),
        ],
    },
]
