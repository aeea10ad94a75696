"""Brings a file's configuration into this bridge: first as a plan, then for good.

Both do the same work in a transaction; a plan is rolled back. So nothing can happen
that was not shown, references between new things included. Nothing is ever deleted, and
no secret is written.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from enum import StrEnum
from hashlib import sha256

from django.core.exceptions import ValidationError
from django.db import IntegrityError, connection, transaction
from django.db.models import Model
from django.utils.translation import gettext, gettext_lazy

from bridge_project.lib.errors import BridgeError
from bridge_project.lib.types import JsonObject, JsonValue
from chatwoot_api.models import ChatwootAccount, Wish
from conversations import audit, providers
from conversations.configuration import inboxes
from conversations.configuration.document import (
    ADDRESSES,
    NAMED_BY,
    SECTIONS,
    BadConfiguration,
    Document,
    Item,
)
from conversations.configuration.export import entry_of
from conversations.configuration.values import (
    NAMED,
    FieldDiff,
    changed_fields,
    clean,
)
from conversations.models import (
    AlertChannel,
    AuditEntry,
    Bot,
    OpenAIServer,
    Retention,
)
from conversations.models.bot_settings import DIFY
from dify_api.models import DifyApp

MODELS: dict[str, type[Model]] = {
    "accounts": ChatwootAccount,
    "retention": Retention,
    "dify_apps": DifyApp,
    "openai_servers": OpenAIServer,
    "bots": Bot,
    "wishes": Wish,
    "alert_channels": AlertChannel,
}
# Two imports at once would make everything twice.
_LOCK = 7_262_019


class State(StrEnum):
    """What becomes of one thing."""

    NEW = "new"
    CHANGED = "changed"
    SAME = "same"
    ONLY_HERE = "only_here"


STATE_NAMES = {
    State.NEW: gettext_lazy("new"),
    State.CHANGED: gettext_lazy("changed"),
    State.SAME: gettext_lazy("the same"),
    State.ONLY_HERE: gettext_lazy("only here, stays"),
}


@dataclass(frozen=True, kw_only=True)
class Step:
    """One thing of the file or of this bridge, and what becomes of it."""

    section: str
    label: str
    state: State
    fields: tuple[FieldDiff, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def is_change(self) -> bool:
        """Tell whether anything is written."""
        return self.state in (State.NEW, State.CHANGED)


@dataclass(frozen=True, kw_only=True)
class Secret:
    """A secret that is to be entered by hand, and where."""

    row: Model
    text: str


@dataclass(kw_only=True)
class Plan:
    """Everything that an import does."""

    steps: list[Step] = field(default_factory=list)
    secrets: list[Secret] = field(default_factory=list)

    @property
    def changes(self) -> list[Step]:
        """Return the steps that write something."""
        return [step for step in self.steps if step.is_change]

    @property
    def fingerprint(self) -> str:
        """Return what is equal for equal plans alone."""
        said = [
            [step.section, step.label, step.state, repr(step.fields), step.notes]
            for step in self.steps
        ]
        return sha256(json.dumps(said).encode()).hexdigest()


class PlanChanged(BridgeError):
    """The configuration here has changed since the difference was shown; look again."""

    code = "plan_changed"


def plan(document: Document, *, also_addresses: bool = False) -> Plan:
    """Return what an import would do. Raises BadConfiguration; changes nothing."""
    with transaction.atomic():
        found = _Import(document, also_addresses=also_addresses, by="").run()
        transaction.set_rollback(True)
    return found


def carry_out(
    document: Document, *, also_addresses: bool, fingerprint: str, by: str
) -> Plan:
    """Do what was shown, all of it or nothing.

    Raises PlanChanged if it would not be the same any more, BadConfiguration.
    """
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
        done = _Import(document, also_addresses=also_addresses, by=by).run()
        if done.fingerprint != fingerprint:
            raise PlanChanged
        audit.record(
            AuditEntry.Verb.IMPORTED,
            actor=by,
            new=sum(step.state is State.NEW for step in done.steps),
            changed=sum(step.state is State.CHANGED for step in done.steps),
            addresses=also_addresses,
        )
    return done


class _Import:
    """One pass over a file, inside a transaction of the caller's."""

    def __init__(self, document: Document, *, also_addresses: bool, by: str) -> None:
        self._document = document
        self._also_addresses = also_addresses
        self._by = by
        self._plan = Plan()
        self._notes: list[str] = []

    def run(self) -> Plan:
        """Write everything and return what was done."""
        for section in SECTIONS:
            kept = [self._take(item) for item in self._document.of(section)]
            self._tell_of_others(section, kept=[row.pk for row in kept])
        return self._plan

    def _take(self, item: Item) -> Model:
        """Write one thing of the file; return its row."""
        self._notes = []
        row, is_new = self._row_for(item)
        before = {} if is_new else entry_of(item.section, row)
        after = self._wanted(item, row=row)
        left = frozenset() if is_new else self._left(item.section)
        if isinstance(row, Bot):
            self._hold_back(row, before=before, after=after)
        fields = changed_fields(type(row), before=before, after=after, left=left)
        apply = {f.name: after[f.name] for f in fields if f.applied}
        if is_new or apply:
            self._write(row, values=apply, item=item)
        state = State.NEW if is_new else State.CHANGED if fields else State.SAME
        self._plan.steps.append(
            Step(
                section=item.section,
                label=item.label,
                state=state if apply or is_new else State.SAME,
                fields=tuple(fields),
                notes=tuple(self._notes),
            )
        )
        self._plan.secrets += _missing_secrets(row)
        return row

    def _row_for(self, item: Item) -> tuple[Model, bool]:
        """Return the row that the thing's name finds, or a new one."""
        model = MODELS[item.section]
        names: dict[str, object] = {
            name: item.values[name] for name in NAMED_BY[item.section]
        }
        if "account" in names:
            names["account"] = self._account(item)
        found = list(model._default_manager.filter(**names)[:2])
        if len(found) > 1:
            raise BadConfiguration(
                f"Line {item.line}: more than one in “{item.section}” is called "
                f"“{item.label}” here. Rename one of them first."
            )
        return (found[0], False) if found else (model(**names), True)

    def _wanted(self, item: Item, *, row: Model) -> JsonObject:
        """Return the file's values as they would stand in a file of this bridge."""
        wanted: JsonObject = {}
        for name in SECTIONS[item.section]:
            if name not in item.values:
                continue
            if name == "inboxes":
                found, notes = inboxes.wanted(item, account=self._account(item))
                wanted[name] = found
                self._notes += notes
            elif name == "account":
                wanted[name] = item.values[name]
            elif name in NAMED:
                wanted[name] = self._known_name(item, field=name)
            else:
                wanted[name] = clean(row, name=name, item=item)
        return wanted

    def _left(self, section: str) -> frozenset[str]:
        """Return the fields that stay although they differ."""
        return frozenset() if self._also_addresses else ADDRESSES.get(section, _NONE)

    def _write(self, row: Model, *, values: JsonObject, item: Item) -> None:
        for name, value in values.items():
            if name in NAMED:
                found = NAMED[name].objects.get(name=value) if value else None
                setattr(row, name, found)
            elif name not in ("inboxes", "account"):
                setattr(row, name, value)
        if isinstance(row, Wish):
            row.changed_by = self._by
        if values.keys() & ADDRESSES.get(item.section, _NONE):
            self._forget_health(row, item=item)
        if row._state.adding:
            _want_complete(row, item=item)
        try:
            row.save()
        except IntegrityError as err:
            raise BadConfiguration(
                f"Line {item.line}: “{item.label}” cannot be stored, because something "
                "here has the same address or name."
            ) from err
        if isinstance(row, Bot) and "inboxes" in values:
            row.inboxes.set(inboxes.rows(row.account, values["inboxes"]))

    def _forget_health(self, row: Model, *, item: Item) -> None:
        """At another address it is another service: find everything out anew."""
        if isinstance(row, ChatwootAccount):
            twin = ChatwootAccount.objects.exclude(pk=row.pk).filter(
                base_url=row.base_url, account_id=row.account_id
            )
            for other in twin:
                raise BadConfiguration(
                    f"Line {item.line}: the account “{other.key}” has the same address "
                    f"and number as “{item.label}”. Give it this key, or change the "
                    "key in the file."
                )
            row.forget_health()
        elif isinstance(row, DifyApp):
            row.forget_health()
            row.lowered_limit, row.limit_changed_at = None, None
            row.parameters, row.parameters_read_at = {}, None
            row.server_version = ""

    def _account(self, item: Item) -> ChatwootAccount:
        key = item.values["account"]
        found = ChatwootAccount.objects.filter(key=key).first()
        if found is None:
            raise BadConfiguration(
                f"Line {item.line}: there is no account with the key “{key}”, neither "
                "in the file nor here."
            )
        return found

    def _known_name(self, item: Item, *, field: str) -> JsonValue:
        """Return the name of what a bot refers to, if it is here just once."""
        name = item.values[field]
        if name is None:
            return None
        model = NAMED[field]
        count = model.objects.filter(name=name).count() if name else 0
        if count != 1:
            kind = "Dify app" if model is DifyApp else "OpenAI-compatible server"
            what = f"no {kind}" if count == 0 else f"more than one {kind}"
            raise BadConfiguration(
                f"Line {item.line}: there is {what} called “{name}”, the one of "
                f"“{item.label}”."
            )
        return name

    def _hold_back(self, bot: Bot, *, before: JsonObject, after: JsonObject) -> None:
        """Leave a bot switched off while it could not answer."""
        is_on = after.get("enabled", before.get("enabled", True))
        if not is_on or before.get("enabled"):
            return
        if bot.account.bot_token and _can_be_asked({**before, **after}):
            return
        after["enabled"] = False
        self._notes.append(
            gettext(
                "Left switched off: a token or key that it needs is still to be "
                "entered."
            )
        )

    def _tell_of_others(self, section: str, *, kept: list[int]) -> None:
        """List what only this bridge has; it stays."""
        for row in MODELS[section]._default_manager.exclude(pk__in=kept).order_by("pk"):
            values = entry_of(section, row)
            label = " · ".join(str(values[name]) for name in NAMED_BY[section])
            self._plan.steps.append(
                Step(section=section, label=label, state=State.ONLY_HERE)
            )


def _can_be_asked(values: JsonObject) -> bool:
    """Tell whether whoever is to answer for a bot has what it needs."""
    if values.get("provider", DIFY) == DIFY:
        app = DifyApp.objects.filter(name=values.get("dify_app")).first()
        return app is not None and bool(app.api_key)
    server = OpenAIServer.objects.filter(name=values.get("openai_server")).first()
    bot = Bot(provider=str(values["provider"]), openai_server=server)
    return not providers.why_not_askable(bot)


_NONE: frozenset[str] = frozenset()
_SECRETS = {"api_key", "bot_token", "admin_token", "secret"}


def _want_complete(row: Model, *, item: Item) -> None:
    """Refuse a new thing that lacks what it cannot be without, but for secrets."""
    try:
        row.clean_fields(exclude=_SECRETS)
    except ValidationError as err:
        name, problems = next(iter(err.message_dict.items()))
        raise BadConfiguration(
            f"Line {item.line}: “{item.label}” is new here and needs “{name}”: "
            f"{' '.join(problems)}"
        ) from err


def _missing_secrets(row: Model) -> list[Secret]:
    """Return the secrets without which a thing does not work."""
    missing: list[str] = []
    if isinstance(row, ChatwootAccount):
        if not row.bot_token:
            missing.append(gettext("the bot token"))
        if not (row.secrets() or row.webhook_token or row.allow_unsigned):
            missing.append(gettext("the webhook secret"))
        if not row.admin_token:
            missing.append(gettext("the administrator token, if there is one"))
    elif isinstance(row, DifyApp) and not row.api_key:
        missing.append(gettext("the API key"))
    elif isinstance(row, OpenAIServer) and not row.api_key:
        missing.append(gettext("the API key, if the server wants one"))
    elif isinstance(row, AlertChannel) and row.kind == AlertChannel.Kind.WEBHOOK:
        if not row.url:
            missing.append(gettext("the webhook address"))
        if not row.secret:
            missing.append(gettext("the signing secret"))
    return [Secret(row=row, text=text) for text in missing]
