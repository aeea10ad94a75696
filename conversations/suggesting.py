"""An answer on request, for whoever asks over HTTP: nothing is posted in Chatwoot.

It is a question of the playground (`trials`): a worker asks, the app's places count,
numbers of conversation and contact are disguised, and Dify is told to forget the talk.
"""

from __future__ import annotations

import hmac
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from time import monotonic

from django.core.exceptions import ImproperlyConfigured
from django.utils import timezone

from bridge_project.lib.database import release_connection
from bridge_project.lib.errors import BridgeError
from bridge_project.lib.types import JsonObject, JsonValue
from chatwoot_api.models import ChatwootAccount
from conversations import answers, callback_tokens, tasks, trials
from conversations.answers import places
from conversations.models import Bot, Conversation, PipelineRun, Trial
from conversations.models.bot_settings import DIFY

# Most proxies and callers wait no longer.
TOTAL_S = 100.0
_LOOKS_EVERY_S = 0.2
_MAX_TOKEN_CHARS = 2000
_MAX_NUMBER = 2**63 - 1
_BUSY = frozenset({"no_place", "rate_limited"})


class NotSuggested(BridgeError):
    """There is no suggestion; the message says why, to whoever asked."""

    def __init__(self, message: str, *, code: str, status: int) -> None:
        super().__init__(message)
        self.code = code
        self.http_status = status


@dataclass(frozen=True, kw_only=True)
class Caller:
    """Whose bots may be asked: one bot's, by its token, or those of accounts."""

    name: str
    bot: Bot | None = None
    account_ids: tuple[int, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What is asked; `bot` is a name or number, "" leaves the choice to the bridge."""

    message: str
    bot: str = ""
    inputs: Mapping[str, str] = field(default_factory=dict)
    conversation_id: int | None = None


@dataclass(frozen=True, kw_only=True)
class Suggestion:
    """What the bot would say."""

    text: str
    bot: Bot
    conversation_id: int | None


def caller_of(*, authorization: str, token: str) -> Caller:
    """Return who asks. Raises NotSuggested with 401.

    A callback token of a bot as bearer, or an account's webhook token as `?token=`. A
    flow's conversation token is neither: a flow that asks its own bot would not end.
    """
    scheme, _space, bearer = authorization.strip().partition(" ")
    if scheme.lower() == "bearer":
        now = timezone.now()
        found = callback_tokens.find(bearer.strip()[:_MAX_TOKEN_CHARS], now=now)
        if found is not None:
            return Caller(name=f"copilot · {found.prefix}…", bot=found.bot)
    elif token:
        accounts = _accounts_of(token)
        if accounts:
            return Caller(name="copilot", account_ids=accounts)
    raise NotSuggested(
        "Send `Authorization: Bearer TOKEN` with a callback token of the bot (its page "
        "in the admin makes one), or append ?token= with the account's webhook token.",
        code="not_authenticated",
        status=401,
    )


def _accounts_of(token: str) -> tuple[int, ...]:
    given, found = token[:_MAX_TOKEN_CHARS].encode("utf-8", "replace"), []
    for pk in ChatwootAccount.objects.values_list("pk", flat=True):
        try:
            account = ChatwootAccount.objects.filter(pk=pk).first()
        except ImproperlyConfigured:
            continue  # no key reads its secrets; the others go on
        expected = account.webhook_token.encode() if account else b""
        if expected and hmac.compare_digest(expected, given):
            found.append(pk)
    return tuple(found)


def read(body: JsonValue) -> Wish:
    """Return what a request's JSON asks for. Raises NotSuggested with 400."""
    if not isinstance(body, dict):
        raise _malformed('Send a JSON object: {"message": "…"}.')
    message = body.get("message")
    if not isinstance(message, str) or not message.strip():
        raise _malformed("“message” is missing: the text to answer.")
    if len(message) > trials.MAX_QUESTION_CHARS:
        count = trials.MAX_QUESTION_CHARS
        raise _malformed(f"“message” is longer than {count} characters.")
    return Wish(
        message=message,
        bot=_name(body.get("bot")),
        inputs=_inputs(body.get("inputs")),
        conversation_id=_number(body.get("conversation_id")),
    )


def suggest(
    wish: Wish,
    *,
    caller: Caller,
    wake: Callable[[int], object] = tasks.wake_trial,
    total_s: float = TOTAL_S,
) -> Suggestion:
    """Ask the bot and return its answer. Raises NotSuggested.

    `wake` has a worker run the question. No database connection is held meanwhile, and
    what is not done after `total_s` is stopped.
    """
    bot, conversation = _choose(wish, caller=caller)
    try:
        trial = trials.ask(
            bot,
            wish.message,
            actor=caller.name,
            conversation=conversation,
            inputs=wish.inputs,
            # Who asks means a real customer, or none: a made-up name would be said.
            invents=False,
        )
    except trials.CannotAsk as err:
        raise NotSuggested(str(err), code="cannot_ask", status=409) from err
    wake(trial.pk)
    try:
        ended = _await(trial, until=monotonic() + total_s)
    finally:
        trials.end(trial.talk, now=timezone.now())
    if ended is None:
        raise NotSuggested(
            f"There was no answer within {total_s:.0f} seconds. Is a worker running, "
            "and is Dify not too busy? Ask again later.",
            code="took_too_long",
            status=504,
        )
    text = _as_note(ended.answer, bot=bot)
    if ended.status != Trial.Status.ANSWERED or not text:
        raise _why_not(ended)
    return Suggestion(text=text, bot=bot, conversation_id=wish.conversation_id)


def _as_note(said: str, *, bot: Bot) -> str:
    """Return what a note for agents would say: text, with choices as lines.

    Files stay with Dify; addresses that only it understands are left out.
    """
    answer = answers.read(PipelineRun(answer=said), bot=bot)
    text = places.replaced(answer.text, _instead_of_file)
    text = text.strip() or places.replaced(answer.text, lambda place: place.label)
    lines = answer.choices.as_lines() if answer.choices else ""
    return "\n\n".join(filter(None, [text.strip(), lines]))


def _instead_of_file(place: places.Place) -> str | None:
    """Return the file's name, "" for a picture without one; None keeps an address."""
    if not place.url.startswith("/"):
        return None
    return place.file_name if place.is_image else place.label


def _await(trial: Trial, *, until: float) -> Trial | None:
    """Return the trial once it is over, None if that takes too long."""
    while True:
        found = Trial.objects.get(pk=trial.pk)
        release_connection()
        if found.is_over:
            return found
        if monotonic() >= until:
            return None
        time.sleep(_LOOKS_EVERY_S)


def _why_not(trial: Trial) -> NotSuggested:
    code = str(trial.inputs.get("error_code") or "empty_answer")
    if code == "configuration":
        return NotSuggested(trial.error, code=code, status=409)
    if code in _BUSY:
        text = "The Dify app is busy with customers. Ask again in a minute."
        return NotSuggested(text, code=code, status=503)
    text = f"Dify gave no answer ({code})."
    return NotSuggested(f"{text} {trial.error}".strip(), code=code, status=502)


# --- Which bot --------------------------------------------------------------------


def _choose(wish: Wish, *, caller: Caller) -> tuple[Bot, Conversation | None]:
    candidates = _bots_of(caller)
    named = _named(wish.bot, candidates=candidates, caller=caller) if wish.bot else None
    accounts = {bot.account_id for bot in ([named] if named else candidates)}
    conversation = None
    if wish.conversation_id is not None:
        conversation = _conversation(wish.conversation_id, accounts=accounts)
    bot = named or _by_itself(candidates, conversation=conversation)
    if bot is None:
        raise NotSuggested(
            "No bot is there to ask. Make one in the admin, and choose its Dify app.",
            code="no_bot",
            status=404,
        )
    if bot.provider != DIFY:
        raise NotSuggested(
            f"The answers of the bot “{bot}” do not come from Dify. Suggestions on "
            "request are made by Dify apps alone; name another bot.",
            code="not_dify",
            status=409,
        )
    if bot.dify_app is None:
        raise NotSuggested(
            f"The bot “{bot}” has no Dify app. Choose one at the bot.",
            code="bot_has_no_app",
            status=409,
        )
    return bot, conversation


def _bots_of(caller: Caller) -> list[Bot]:
    rows = Bot.objects.select_related("account", "dify_app").order_by("-enabled", "pk")
    if caller.bot is not None:
        return list(rows.filter(pk=caller.bot.pk))
    return list(rows.filter(account__in=caller.account_ids))


def _named(name: str, *, candidates: list[Bot], caller: Caller) -> Bot:
    """Find it by its number or name; two of one name cannot be told apart."""
    same = [bot for bot in candidates if name in (str(bot.pk), bot.name)]
    same = same or [x for x in candidates if x.name.casefold() == name.casefold()]
    if len(same) == 1:
        return same[0]
    if same:
        raise _malformed(f"Several bots are called “{name}”. Send the bot's number.")
    if caller.bot is not None:
        raise NotSuggested(
            f"The token is that of the bot “{caller.bot}”, and asks no other.",
            code="other_bot",
            status=403,
        )
    raise NotSuggested(f"There is no bot “{name}”.", code="no_bot", status=404)


def _conversation(number: int, *, accounts: set[int]) -> Conversation:
    rows = Conversation.objects.select_related("account", "inbox")
    found = list(rows.filter(account__in=accounts, chatwoot_conversation_id=number)[:2])
    if len(found) == 1:
        return found[0]
    if found:
        raise _malformed("Several accounts have such a conversation. Name a “bot”.")
    raise NotSuggested(
        f"The bridge knows no conversation {number}. Leave “conversation_id” out to "
        "ask without one.",
        code="no_conversation",
        status=404,
    )


def _by_itself(
    candidates: list[Bot], *, conversation: Conversation | None
) -> Bot | None:
    """Take the bot of the conversation's inbox, else the first that can answer."""
    if conversation is not None:
        candidates = [x for x in candidates if x.account_id == conversation.account_id]
        if conversation.inbox is not None:
            own = Bot.objects.for_inbox(conversation.inbox)
            known = {bot.pk: bot for bot in candidates}
            if own is not None and own.pk in known:
                return known[own.pk]
    able = [x for x in candidates if x.provider == DIFY and x.dify_app is not None]
    return next(iter(able or candidates), None)


# --- Reading ----------------------------------------------------------------------


def _name(value: JsonValue) -> str:
    if value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise _malformed("“bot” must be a bot's name or number.")
    return str(value).strip()


def _number(value: JsonValue) -> int | None:
    if value is None or value == "":
        return None
    if isinstance(value, str) and value.isascii() and value.isdigit():
        value = int(value[:20])
    is_number = isinstance(value, int) and not isinstance(value, bool)
    if not is_number or not 0 < int(str(value)) <= _MAX_NUMBER:
        raise _malformed("“conversation_id” must be the conversation's number.")
    return int(str(value))


def _inputs(value: JsonValue) -> dict[str, str]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise _malformed("“inputs” must be an object of names and values.")
    return {name: _input(name, item) for name, item in value.items()}


def _input(name: str, value: JsonValue) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int | float):
        return str(value)
    raise _malformed(f"The input “{name}” must be a text, a number, true or false.")


def _malformed(message: str) -> NotSuggested:
    return NotSuggested(message, code="malformed", status=400)


def told(suggestion: Suggestion) -> JsonObject:
    """Return the answer's JSON."""
    return {
        "suggestion": suggestion.text,
        "bot": suggestion.bot.name,
        "conversation_id": suggestion.conversation_id,
    }
