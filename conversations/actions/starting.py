"""Start a conversation: with whom, where, and what is said first."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from uuid import UUID, uuid4

from bridge_project.lib.errors import NotFound, OutcomeUnknown, UpstreamError
from bridge_project.lib.types import JsonObject, JsonValue
from chatwoot_api import names
from chatwoot_api.client import ChatwootClient
from chatwoot_api.models import ChatwootAccount, Inbox
from chatwoot_api.payloads import Contact
from conversations.actions import contacts, messages, mirrors
from conversations.actions.changes import change
from conversations.actions.failures import outcome_of
from conversations.actions.messages import Post
from conversations.actions.outcome import NotDone, Outcome, listed, not_set
from conversations.actions.retrying import repeating
from conversations.actions.target import Target
from conversations.models import Bot, Conversation
from dify_api.arguments import as_int, as_text

FIELD = "conversation"
# What is done to the new conversation, by the names that `change` knows.
STEPS = {
    "custom_attributes": "custom_attributes",
    "labels": "labels_add",
    "priority": "priority",
    "team": "team",
    "status": "status",
}
_CHECKS: Mapping[str, Callable[[str], str]] = {
    "identifier": contacts.identifier,
    "email": contacts.email,
    "phone": contacts.phone,
    "name": contacts.identifier,
}


@dataclass(frozen=True, kw_only=True)
class _Person:
    """Whom the conversation is to be with."""

    number: int | None
    identifier: str
    email: str
    phone: str
    name: str

    @property
    def is_named(self) -> bool:
        return bool(
            self.number or self.identifier or self.email or self.phone or self.name
        )


def start_conversation(
    account: ChatwootAccount,
    *,
    bot: Bot | None,
    client: ChatwootClient,
    wanted: Mapping[str, JsonValue],
    until: float,
    mark: UUID | None = None,
) -> list[Outcome]:
    """Start a conversation; the first outcome tells its number, or why there is none.

    `wanted` has, as a flow sends them: contact_id, contact_identifier, contact_email,
    contact_phone or contact_name, inbox, message, and status, team, priority, labels,
    custom_attributes. A contact that is not found is made, unless only its number is
    given. The other outcomes are the first message and each further field.
    """
    nowhere = Target(
        account=account,
        bot=bot,
        number=0,
        conversation=None,
        client=client,
        turn=None,
        until=until,
        mark=mark or uuid4(),
    )
    try:
        started, inbox = _started(nowhere, wanted)
    except NotFound:
        return [_no_account().outcome(FIELD)]
    except Exception as err:
        return [outcome_of(err, field=FIELD, target=nowhere)]
    number = int(str(started.extra["conversation_id"]))
    rows = Conversation.objects.filter(account=account, chatwoot_conversation_id=number)
    target = Target(
        account=account,
        bot=bot,
        number=number,
        conversation=rows.select_related("inbox").first(),
        client=client,
        turn=None,
        until=until,
        mark=nowhere.mark,
    )
    said = _first_message(wanted.get("message"), inbox=inbox, target=target)
    started = replace(started, message=_sentence(number, said=said))
    # Chatwoot makes it pending where a bot answers, so the status is set afterwards.
    steps = {to: wanted[name] for name, to in STEPS.items() if name in wanted}
    if "snoozed_until" in wanted:
        steps["snoozed_until"] = wanted["snoozed_until"]
    return [started, *said, *change(target, steps)]


def _sentence(number: int, *, said: list[Outcome]) -> str:
    """Tell that it was started, and if so, that nothing was said for sure."""
    if all(outcome.result in ("skipped", "refused") for outcome in said):
        return f"Conversation {number} was started; no message was sent."
    return f"Conversation {number} was started."


def _started(target: Target, wanted: Mapping[str, JsonValue]) -> tuple[Outcome, Inbox]:
    person = _person(wanted)
    inbox = _inbox(wanted.get("inbox"), person=person, target=target)
    if not person.is_named:
        raise _missing([_CONTACT])
    contact, is_new = _contact(person, target=target)
    number = _number(contact, inbox=inbox, target=target)
    extra: JsonObject = {
        "conversation_id": number,
        "url": target.account.conversation_url(number),
        "contact_id": contact.id,
        "contact_created": is_new,
        "inbox_id": inbox.chatwoot_inbox_id,
    }
    return Outcome(field=FIELD, result="applied", after=number, extra=extra), inbox


_CONTACT = (
    "a contact (contact_id, contact_identifier, contact_email, contact_phone or, for "
    "a new one, contact_name)"
)
_INBOX = "inbox (its name or number)"


def _no_account() -> NotDone:
    return NotDone(
        "Chatwoot says that there is no such account. An operator has to look at the "
        "Chatwoot account's number and address.",
        code="refused_by_chatwoot",
    )


def _missing(parts: list[str]) -> NotDone:
    return NotDone(
        f"To start a conversation the following is missing: {' and '.join(parts)}.",
        code="not_set",
    )


def _person(wanted: Mapping[str, JsonValue]) -> _Person:
    texts = {}
    for name, check in _CHECKS.items():
        text = as_text(wanted.get(f"contact_{name}"))
        texts[name] = "" if text is None else check(text)
    return _Person(number=as_int(wanted.get("contact_id")), **texts)


def _inbox(value: JsonValue, *, person: _Person, target: Target) -> Inbox:
    """Return the inbox that is meant: one of the bot's."""
    text = as_text(value)
    own = list(target.bot.inboxes.all()) if target.bot else []
    if text is None:
        if len(own) == 1:
            return own[0]
        raise _missing([_INBOX] if person.is_named else [_INBOX, _CONTACT])

    def look() -> Inbox | None:
        return names.pick(Inbox.objects.filter(account=target.account), text)

    try:
        # One of the bot's own comes first, should another have the same name.
        found = names.pick(own, text) or mirrors.found(look, target=target)
    except names.Ambiguous as err:
        raise NotDone(
            f"“{text[:80]}” may mean any of {listed(err.names)}. Send its number.",
            code="ambiguous_name",
            possible=err.names,
        ) from err
    allowed = own or list(Inbox.objects.filter(account=target.account))
    possible = mirrors.spelled(str(row) for row in allowed)
    if found is None:
        raise NotDone(
            f"There is no inbox “{text[:80]}”. Possible: {listed(possible)}.",
            code="inbox_not_found",
            possible=possible,
        )
    if own and found not in own:
        raise NotDone(
            f"This bot does not answer the inbox “{found}”. "
            f"Possible: {listed(possible)}.",
            code="not_this_bots_inbox",
            possible=possible,
        )
    return found


def _contact(person: _Person, *, target: Target) -> tuple[Contact, bool]:
    """Return the contact, and whether it was made just now."""
    client = target.client
    if person.number is not None:
        number = person.number
        try:
            return repeating(lambda: client.show_contact(number), target=target), False
        except NotFound as err:
            raise NotDone(
                f"Chatwoot has no contact {number}.", code="contact_not_found"
            ) from err
    if person.identifier or person.email or person.phone:
        found = repeating(
            lambda: client.find_contact(
                identifier=person.identifier,
                email=person.email,
                phone_number=person.phone,
            ),
            target=target,
        )
        if found is not None:
            return found, False
    made = repeating(
        lambda: client.create_contact(
            name=person.name,
            email=person.email,
            phone_number=person.phone,
            identifier=person.identifier,
        ),
        target=target,
        worth_it=_was_never_sent,
    )
    return made, True


def _was_never_sent(err: BaseException) -> bool:
    """Tell whether the same request can be repeated without doing it twice."""
    return (
        isinstance(err, UpstreamError) and err.retryable and err.status in (None, 429)
    )


def _number(contact: Contact, *, inbox: Inbox, target: Target) -> int:
    try:
        return repeating(
            lambda: target.client.create_conversation(
                inbox_id=inbox.chatwoot_inbox_id, contact_id=contact.id
            ),
            target=target,
            worth_it=_was_never_sent,
        )
    except NotFound as err:
        raise NotDone(
            f"Chatwoot no longer has the inbox “{inbox}” or the contact {contact.id}.",
            code="inbox_not_found",
        ) from err
    except OutcomeUnknown as err:
        raise NotDone(
            "The connection to Chatwoot was lost: the conversation may or may not "
            "have been started. Look before you start it again.",
            code="outcome_unknown",
            result="failed",
        ) from err


def _first_message(value: JsonValue, *, inbox: Inbox, target: Target) -> list[Outcome]:
    """Post the first message as the bot; an unset one is left out."""
    try:
        content = as_text(value)
        if content is None:
            return [] if value is None else [not_set(messages.FIELD)]
        messages.check_length(content)
        post = Post(content=content, private=False)
        return [messages.said(post, channel=inbox.channel, target=target)]
    except Exception as err:
        return [outcome_of(err, field=messages.FIELD, target=target)]
