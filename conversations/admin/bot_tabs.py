"""The tabs of a bot's page: which settings stand together, each with its sentence."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.utils.translation import gettext_lazy as _

if TYPE_CHECKING:
    from django.contrib.admin.options import _FieldOpts
    from django.utils.functional import _StrPromise

    Tab = tuple[_StrPromise, _FieldOpts]


def _tab(title: _StrPromise, description: _StrPromise, *fields: str) -> Tab:
    return (title, {"classes": ["tab"], "description": description, "fields": fields})


TABS: tuple[Tab, ...] = (
    _tab(
        _("Who answers"),
        _(
            "Answers come from a Dify app unless something else is chosen, and go to "
            "the customer or, as notes, to the agents."
        ),
        "name",
        "enabled",
        "account",
        "inboxes",
        "provider",
        "dify_app",
        "openai_server",
        "reply_as",
        "created_at",
        "updated_at",
    ),
    _tab(
        _("The customer's choice"),
        _(
            "For “as the customer chose”: a form before the chat asks for bot or "
            "human. With the bot the answer is a message to the customer, with a human "
            "it is a note for the agents. docs/support-mode.md shows the form's set-up."
        ),
        "support_mode_attribute",
        "support_mode_bot_values",
        "support_mode_human_values",
    ),
    _tab(
        _("When"),
        _(
            "A human who answers the customer always stops the bot. Setting "
            "the conversation to “pending” gives it back. Single conversations "
            "are paused in the list of conversations."
        ),
        "speak_in_statuses",
        "debounce_s",
        "on_new_message",
        "yields_to_assignee",
        "pause_label",
        "pause_attribute",
        "idle_hours",
        "idle_action",
    ),
    _tab(
        _("Copilot"),
        _(
            "What the bot does for the agents while humans answer: drafts, help on "
            "demand, and a trial run that shows how well it would do."
        ),
        "shadow",
        "draft_notes",
        "command_word",
        "command_app",
        "dify_feedback",
    ),
    _tab(
        _("Messages"),
        _(
            "What goes in and out besides plain text: voice, long answers, questions "
            "to choose from, and the forms of a flow."
        ),
        "transcriber",
        "transcript_notes",
        "split_answers",
        "suggested_questions",
        "forms_go_to",
        "form_minutes",
        "form_reminder_minutes",
    ),
    _tab(
        _("Inputs"),
        _(
            "Before each answer the bridge fills in the inputs that the Dify "
            "app declares. Saving reads the declaration anew."
        ),
        "inputs",
        "preview",
        "conversation_variables",
        "context_template",
        "new_dify_conversation_after_resolve",
    ),
    _tab(
        _("Texts"),
        _(
            "What the bot says by itself: at the beginning, outside business hours, "
            "when the customer starts over, and when it cannot answer. Then it says "
            "one line to the customer after its last attempt, leaves a note for the "
            "agents and sets the conversation to open."
        ),
        "greets",
        "outside_hours",
        "outside_hours_text",
        "reset_words",
        "reset_text",
        "failure_public_text",
        "failure_private_text",
        "language",
    ),
    _tab(
        _("Limits"),
        _(
            "For whom the bot answers, how much, and how long it may take. Those whom "
            "it does not answer get humans. How long Dify may take and how many runs "
            "there may be at once is set at the Dify app."
        ),
        "allow_rules",
        "ignore_rules",
        "test_only",
        "test_rules",
        "max_answers_per_hour",
        "max_tokens_per_day",
        "max_cost_per_day",
        "ceiling_text",
        "max_turn_minutes",
        "max_message_age_s",
        "limits_of_app",
    ),
    _tab(
        _("Privacy"),
        _(
            "Deleting is repeated until Dify has proven that it no longer "
            "knows the conversation. The list of Dify conversations shows "
            "what is still to be proven."
        ),
        "dify_delete_policy",
        "dify_delete_after_days",
    ),
    _tab(
        _("What its flows may do"),
        _(
            "Flows call the bridge to set statuses, teams, labels and "
            "attributes, and to write messages, in the conversations of this "
            "bot's inboxes."
        ),
        "unknown_names",
        "strict_statuses",
        "tokens",
    ),
)
# All that the form holds: what the tabs name and no property of the page shows.
SHOWN_ONLY = frozenset(
    {"tokens", "preview", "limits_of_app", "created_at", "updated_at"}
)
FIELDS: tuple[str, ...] = tuple(
    name
    for _title, options in TABS
    for name in options["fields"]
    if isinstance(name, str) and name not in SHOWN_ONLY
)
