"""What does not fit together in a bot's settings, and in which words it is refused."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from django.utils.translation import gettext as _

from conversations import contact_rules, providers
from conversations.models import Bot, ReplyAs
from conversations.models.bot_settings import OPENAI, FormsGoTo, OutsideHours
from conversations.support_mode import Choice, chosen

# A field of the form, and what is wrong with it.
Problem = tuple[str, str]
Values = Mapping[str, Any]
RULES = ("ignore_rules", "allow_rules", "test_rules")
# Texts with one entry per line: blank lines are nobody's entry.
LISTS = (
    "support_mode_bot_values",
    "support_mode_human_values",
    "reset_words",
    *RULES,
)


def problems(values: Values) -> Iterator[Problem]:
    """Yield what is wrong with settings that are fine one by one. Pure."""
    for check in _CHECKS:
        yield from check(values)


def _provider(values: Values) -> Iterator[Problem]:
    bot = Bot(provider=values["provider"], openai_server=values["openai_server"])
    why_not = providers.why_not_askable(bot)
    if why_not:
        yield "openai_server" if bot.provider == OPENAI else "provider", why_not


def _choice(values: Values) -> Iterator[Problem]:
    key, bot_words = "choice", values["support_mode_bot_values"]
    bot = Bot(support_mode_attribute=key, support_mode_bot_values=bot_words)
    human_words = values["support_mode_human_values"].splitlines()
    both = [word for word in human_words if chosen(bot, {key: word}) is Choice.BOT]
    if both:
        text = _("In both lists: %s. Leave each value in one of them.")
        yield "support_mode_human_values", text % ", ".join(both)
    if values["reply_as"] != ReplyAs.BY_SUPPORT_MODE:
        return
    if not values["support_mode_attribute"]:
        text = _("Answers go as the customer chose, so name the attribute.")
        yield "support_mode_attribute", text
    if not bot_words.strip():
        text = _(
            "Without any value that means the bot, it would never answer a customer. "
            "Enter at least one."
        )
        yield "support_mode_bot_values", text


def _rules(values: Values) -> Iterator[Problem]:
    for name in RULES:
        for problem in contact_rules.problems(values[name]):
            yield name, problem
    if values["test_only"] and not contact_rules.rules_of(values["test_rules"]):
        text = _("“Test only” needs a tester, or the bot answers nobody. Enter a rule.")
        yield "test_rules", text


def _texts(values: Values) -> Iterator[Problem]:
    says_so = values["outside_hours"] == OutsideHours.SAY
    if says_so and not values["outside_hours_text"].strip():
        text = _("Enter what the bot says outside business hours.")
        yield "outside_hours_text", text
    template = values["context_template"].strip()
    if template and "{value}" not in template:
        text = _("Put {value} where the changed value is to stand.")
        yield "context_template", text


def _forms(values: Values) -> Iterator[Problem]:
    if values["forms_go_to"] == FormsGoTo.HAND_OVER:
        return
    if values["form_reminder_minutes"] >= values["form_minutes"]:
        text = _("The time for a form is over by then. Enter less, or 0 for none.")
        yield "form_reminder_minutes", text


_CHECKS: tuple[Callable[[Values], Iterator[Problem]], ...] = (
    _provider,
    _choice,
    _rules,
    _texts,
    _forms,
)


def without_blank_lines(text: str) -> str:
    """Return a list as it is stored."""
    return "\n".join(line.strip() for line in text.splitlines() if line.strip())
