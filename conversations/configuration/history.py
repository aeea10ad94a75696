"""Which fields of the configuration have a history; django-auditlog writes it.

A field that is named nowhere here has none: what is new must not leak by default.
"""

from __future__ import annotations

from dataclasses import dataclass

from auditlog.models import LogEntry
from auditlog.registry import auditlog
from django.contrib.auth.models import Group, User
from django.db.models import Model
from django.db.models.signals import pre_save

from chatwoot_api.models import ChatwootAccount, Wish
from conversations.configuration import actors
from conversations.models import AlertChannel, Bot, OpenAIServer, Retention
from dify_api.models import DifyApp

# Stands in the place of a secret: that there is one is all that is told.
SET = "set"


@dataclass(frozen=True, kw_only=True)
class Tracked:
    """What is kept of a model's changes; of `secrets` only that they changed."""

    fields: tuple[str, ...]
    secrets: tuple[str, ...] = ()
    many: tuple[str, ...] = ()
    # Written by the bridge as it works, or saying nothing about a setting.
    noise: tuple[str, ...] = ()


TRACKED: dict[type[Model], Tracked] = {
    Bot: Tracked(
        fields=(
            "name",
            "enabled",
            "account",
            "dify_app",
            "reply_as",
            "speak_in_statuses",
            "debounce_s",
            "on_new_message",
            "yields_to_assignee",
            "pause_attribute",
            "pause_label",
            "inputs",
            "new_dify_conversation_after_resolve",
            "max_message_age_s",
            "max_turn_minutes",
            "idle_hours",
            "idle_action",
            "dify_delete_policy",
            "dify_delete_after_days",
            "unknown_names",
            "strict_statuses",
            "failure_public_text",
            "failure_private_text",
            "language",
            "provider",
            "openai_server",
            "support_mode_attribute",
            "support_mode_bot_values",
            "support_mode_human_values",
            "draft_notes",
            "shadow",
            "command_word",
            "command_app",
            "dify_feedback",
            "transcriber",
            "transcript_notes",
            "split_answers",
            "suggested_questions",
            "forms_go_to",
            "form_minutes",
            "form_reminder_minutes",
            "greets",
            "outside_hours",
            "outside_hours_text",
            "reset_words",
            "reset_text",
            "conversation_variables",
            "context_template",
            "max_answers_per_hour",
            "max_tokens_per_day",
            "max_cost_per_day",
            "ceiling_text",
            "allow_rules",
            "ignore_rules",
            "test_only",
            "test_rules",
        ),
        many=("inboxes",),
        noise=("id", "created_at", "updated_at"),
    ),
    ChatwootAccount: Tracked(
        fields=("name", "key", "base_url", "account_id", "allow_unsigned"),
        secrets=(
            "bot_token",
            "admin_token",
            "webhook_secret",
            "previous_webhook_secret",
            "account_webhook_secret",
            "webhook_token",
        ),
        noise=(
            "id",
            "namespace",
            "health",
            "last_error",
            "last_error_at",
            "next_probe_at",
            "admin_token_refused_at",
            "mirrored_at",
            "bootstrapped",
            "created_at",
            "updated_at",
        ),
    ),
    DifyApp: Tracked(
        fields=(
            "name",
            "base_url",
            "console_url",
            "mode",
            "answer_output",
            "query_input",
            "first_event_timeout_s",
            "idle_timeout_s",
            "total_timeout_s",
            "max_concurrent_runs",
        ),
        secrets=("api_key",),
        noise=(
            "id",
            "health",
            "last_error",
            "last_error_at",
            "next_probe_at",
            "lowered_limit",
            "limit_changed_at",
            "parameters",
            "parameters_read_at",
            "server_version",
            "bootstrapped",
            "created_at",
            "updated_at",
        ),
    ),
    OpenAIServer: Tracked(
        fields=(
            "name",
            "base_url",
            "chat_model",
            "system_prompt",
            "transcription_model",
            "history_messages",
            "timeout_s",
        ),
        secrets=("api_key",),
        noise=("id", "created_at", "updated_at"),
    ),
    AlertChannel: Tracked(
        fields=(
            "name",
            "enabled",
            "kind",
            "email",
            "causes",
            "language",
            "failing_percent",
            "waiting_minutes",
            "deletion_hours",
        ),
        # Addresses of webhooks often open what they lead to.
        secrets=("secret", "url"),
        noise=("id", "created_at", "updated_at"),
    ),
    Retention: Tracked(
        fields=("account", "payload_days", "text_days", "history_days"),
        noise=(
            "id",
            "payloads_done_until",
            "texts_done_until",
            "names_done_until",
            "updated_at",
        ),
    ),
    Wish: Tracked(
        fields=("account", "kind", "name", "fields", "members"),
        noise=("id", "identity", "changed_by", "created_at", "updated_at"),
    ),
    User: Tracked(
        fields=(
            "username",
            "first_name",
            "last_name",
            "email",
            "is_active",
            "is_staff",
            "is_superuser",
        ),
        secrets=("password",),
        many=("groups", "user_permissions"),
        noise=("id", "last_login", "date_joined"),
    ),
    Group: Tracked(fields=("name",), many=("permissions",), noise=("id",)),
}


def register() -> None:
    """Have the changes of these models written down; `apps.ready` calls it."""
    for model, tracked in TRACKED.items():
        auditlog.register(
            model,
            include_fields=[*tracked.fields, *tracked.secrets],
            mask_fields=list(tracked.secrets),
            mask_callable=f"{__name__}.masked",
            m2m_fields=list(tracked.many),
        )
    pre_save.connect(
        actors.name_actor, sender=LogEntry, dispatch_uid="configuration_actor"
    )


def masked(value: str) -> str:
    """Return that there is a secret, in its place; auditlog calls it with texts."""
    return "" if value in ("", "None") else SET
