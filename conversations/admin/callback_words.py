"""What a callback asked for, who called and how it ended, in words."""

from __future__ import annotations

from collections.abc import Mapping

from django.utils.functional import Promise
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from bridge_project.lib.admin_base import NOTHING
from conversations.models import Callback

# By the operationId of the API. One that is missing here is shown as it is.
OPERATIONS: Mapping[str, str | Promise] = {
    "send_message": _("send a message"),
    "send_message_simple": _("send a message (old form)"),
    "update_conversation": _("change the conversation"),
    "set_status": _("set the status"),
    "set_priority": _("set the priority"),
    "assign_team": _("assign a team"),
    "assign_agent": _("assign an agent"),
    "unassign": _("unassign"),
    "update_labels": _("add labels"),
    "update_custom_attributes": _("set attributes"),
    "update_contact": _("change the contact"),
    "set_typing": _("show “is typing”"),
    "start_conversation": _("start a conversation"),
    "refresh_teams": _("read the teams anew"),
    "get_conversation": _("read the conversation"),
    "dialogue_info": _("read the conversation (old form)"),
    "find_by_dify_id": _("find a conversation by Dify's number"),
    "list_messages": _("read the messages"),
    "get_contact": _("read the contact"),
    "list_teams": _("list the teams"),
    "list_labels": _("list the labels"),
    "list_attribute_definitions": _("list the attributes"),
}
ENDINGS: Mapping[str, str | Promise] = {
    Callback.Status.RUNNING: _(
        "It is being served. If it stays so for more than a minute, a restart cut it "
        "off; then look in Chatwoot whether it was done."
    ),
    Callback.Status.SUCCESS: _("It was done."),
    Callback.Status.SKIPPED: _(
        "What the flow passed on was not set, so there was nothing to do and Chatwoot "
        "was left alone. If that is unexpected, look at the variables of the node."
    ),
    Callback.Status.PARTIAL: _(
        "Some of it was done and some not; the answer says for each field what became "
        "of it."
    ),
    Callback.Status.ERROR: _(
        "It was not done. The flow was told why, in the sentence below; it can go on "
        "by itself, or its author has to look at the node."
    ),
}
# Endings that the status alone does not tell, see `ending`.
UNCHANGED = _("It was so already; nothing was changed.")
NEVER_BEGUN = _(
    "It was refused before anything began: nothing was changed, and its arguments "
    "were not kept. The sentence below says why; the flow's author has to look at the "
    "node."
)
CUT_OFF = _(
    "The process was stopped while it served the request, so it is not known how much "
    "of it was done; the flow got no answer. A repeat looks up whether its message was "
    "sent, and does not send it twice."
)
BROKEN = _(
    "A fault of the bridge itself ended it, and some of it may have been done. Look "
    "into the log of the web process."
)
# What happens in good order: a human came first. All other refusals are worth a look.
EXPECTED_REFUSALS = frozenset({"human_in_charge"})


def operation_words(operation: str) -> str:
    """Return what was asked for as a person says it."""
    return str(OPERATIONS.get(operation, operation)) or NOTHING


def is_cut_off(callback: Callback) -> bool:
    """Tell whether a restart ended the request: nobody was told anything."""
    return (
        callback.status == Callback.Status.ERROR
        and callback.code == "outcome_unknown"
        and callback.http_status is None
    )


def is_never_begun(callback: Callback) -> bool:
    """Tell whether it was refused before anything began; its answer is loaded."""
    is_refused = callback.status == Callback.Status.ERROR
    return is_refused and callback.http_status is not None and not callback.answer


def ending(callback: Callback, *, is_unchanged: bool) -> str:
    """Say how it ended, and what that means."""
    if is_unchanged:
        return str(UNCHANGED)
    if is_cut_off(callback):
        return str(CUT_OFF)
    if is_never_begun(callback):
        return str(NEVER_BEGUN)
    if callback.code == "internal_error":
        return str(BROKEN)
    return str(ENDINGS[callback.status])


def caller_words(callback: Callback) -> str:
    """Say who called, and how we know."""
    if callback.caller == Callback.Caller.NOBODY:
        return gettext(
            "Somebody who reaches the bridge's address called; nobody was asked for a "
            "token (CALLBACK_AUTH=none)."
        )
    bot = callback.bot or gettext("(deleted)")
    if callback.caller == Callback.Caller.CONVERSATION_TOKEN:
        return gettext(
            "A flow of the bot “%(bot)s” called with the conversation token of its "
            "run, which opens this one conversation only."
        ) % {"bot": bot}
    return gettext("A flow of the bot “%(bot)s” called with the bot's token.") % {
        "bot": bot
    }


def repeat_words(callback: Callback) -> str:
    """Say what a repeat of the request gets; "" where it is simply served again."""
    if callback.repeats:
        return ngettext(
            "The same request came again %(count)d time and got this same answer; "
            "nothing was done twice.",
            "The same request came again %(count)d times and got this same answer; "
            "nothing was done twice.",
            callback.repeats,
        ) % {"count": callback.repeats}
    if not callback.once_key:
        return ""
    if callback.once_key.startswith("key:"):
        return gettext(
            "It carried an Idempotency-Key: a repeat with the same key within a day "
            "gets this same answer, and nothing is done twice."
        )
    return gettext(
        "The same request of the same run within a minute gets this same answer, and "
        "nothing is done twice."
    )
