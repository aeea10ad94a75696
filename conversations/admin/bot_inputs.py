"""The inputs of a bot as rows of a form: a name in Dify, and where it comes from."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from django import forms
from django.forms.renderers import BaseRenderer
from django.template.loader import render_to_string
from django.utils.datastructures import MultiValueDict
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from unfold.widgets import CHECKBOX_CLASSES, INPUT_CLASSES

from bridge_project.lib.errors import BridgeError
from bridge_project.lib.types import JsonObject
from chatwoot_api.models import AttributeDefinition, ChatwootAccount
from conversations.context import is_source, known_sources
from dify_api.models import DifyApp
from dify_api.payloads import CHAT_MODES, InputField

# Empty rows below those that are there; the page makes more.
SPARE = 3
# More are no map that a person made.
MAX_ROWS = 200
_PATHS_OF = {
    AttributeDefinition.Model.CONVERSATION: "conversation.custom_attributes",
    AttributeDefinition.Model.CONTACT: "contact.custom_attributes",
}
# What the bridge has no values for.
_FILES = frozenset({"file", "file-list", "external_data_tool"})


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of the form; `declared` is what the app says of the name."""

    number: int
    name: str
    source: str = ""
    remove: bool = False
    declared: InputField | None = None
    # The customer's text comes here, whatever is mapped.
    is_question: bool = False

    @property
    def is_missing(self) -> bool:
        """Tell whether the app requires it, and nothing will be sent of our own."""
        is_required = self.declared is not None and self.declared.required
        return is_required and not (self.source or self.is_question)

    @property
    def has_default(self) -> bool:
        """Tell whether the app's own default then stands in."""
        return self.declared is not None and self.declared.default not in (None, "")

    @property
    def is_file(self) -> bool:
        """Tell whether it is of a kind that the bridge cannot fill in."""
        return self.declared is not None and self.declared.kind in _FILES


@dataclass(frozen=True, kw_only=True)
class Typed:
    """What the form brought: one row of it."""

    name: str
    source: str
    remove: bool


class InputRows(forms.Widget):
    """A table of rows; `app` and `account` say what is offered in it."""

    template = "admin/conversations/bot/inputs.html"
    app: DifyApp | None = None
    account: ChatwootAccount | None = None

    def render(
        self,
        name: str,
        value: Any,
        attrs: dict[str, Any] | None = None,
        renderer: BaseRenderer | None = None,
    ) -> SafeString:
        """Draw declared inputs first, then what else is mapped, then empty rows."""
        rows = list(self._rows(_typed(value)))
        context = {
            "name": name,
            "app": self.app,
            "declared": [row for row in rows if row.declared],
            "others": [row for row in rows if row.name and not row.declared],
            "spare": [row for row in rows if not row.name and not row.declared],
            "next_number": len(rows),
            "sources": known_sources(),
            "attributes": self._attributes(),
            "input_classes": " ".join(INPUT_CLASSES),
            "checkbox_classes": " ".join(CHECKBOX_CLASSES),
        }
        return render_to_string(self.template, context)

    def value_from_datadict(
        self, data: Mapping[str, Any], files: MultiValueDict[str, Any], name: str
    ) -> list[Typed]:
        """Collect the rows in their order, whatever numbers they have."""
        pattern = re.compile(rf"{re.escape(name)}-(\d{{1,4}})-name")
        numbers = sorted(
            int(found[1]) for key in data if (found := pattern.fullmatch(key))
        )
        return [
            Typed(
                name=str(data.get(f"{name}-{number}-name", "")).strip(),
                source=str(data.get(f"{name}-{number}-source", "")).strip(),
                remove=f"{name}-{number}-remove" in data,
            )
            for number in numbers
        ]

    def value_omitted_from_data(
        self, data: Mapping[str, Any], files: MultiValueDict[str, Any], name: str
    ) -> bool:
        """No rows is an empty map, not a field that was left out."""
        return False

    def id_for_label(self, id_: str) -> str:
        """Each row has labels of its own."""
        return ""

    def _rows(self, typed: list[Typed]) -> Iterator[Row]:
        declared = {field.variable: field for field in self._declared()}
        first = {row.name: row for row in reversed(typed)}
        number = 0
        for name, field in declared.items():
            given = first.get(name, Typed(name=name, source="", remove=False))
            yield Row(
                number=number,
                name=name,
                source=given.source,
                remove=given.remove,
                declared=field,
                is_question=name == self._query_input(),
            )
            number += 1
        for row in typed:
            # A name that stands there twice keeps its other rows, to be mended.
            is_shown = row.name in declared and row is first[row.name]
            if not is_shown and (row.name or row.source):
                yield Row(number=number, **vars(row))
                number += 1
        for _spare in range(SPARE):
            yield Row(number=number, name="")
            number += 1

    def _declared(self) -> tuple[InputField, ...]:
        try:
            return self.app.declared_inputs() if self.app else ()
        except BridgeError:
            return ()  # the app's own page says what cannot be read

    def _query_input(self) -> str:
        """Return the input that takes the question, whatever is mapped to it."""
        if self.app is None or self.app.mode in CHAT_MODES or not self.app.mode:
            return ""
        return self.app.query_input

    def _attributes(self) -> list[tuple[str, str]]:
        """Return paths and names of what the account's people defined."""
        if self.account is None or self.account.pk is None:
            return []
        rows = AttributeDefinition.objects.filter(account=self.account)
        return [
            (f"{_PATHS_OF[AttributeDefinition.Model(row.model)]}.{row.key}", str(label))
            for row in rows.order_by("model", "key")[:MAX_ROWS]
            if row.model in _PATHS_OF
            for label in [row.display_name or row.key]
        ]


class VariableRows(InputRows):
    """The same table; Dify tells nobody beforehand which variables a flow has."""

    template = "admin/conversations/bot/variables.html"


class InputsField(forms.Field):
    """A map of input names to sources; says what is wrong with another thing."""

    widget = InputRows
    default_error_messages = {
        "no_name": _(
            "The source “%(source)s” has no input. Name the input as Dify does, or "
            "remove the row."
        ),
        "twice": _("The input “%(name)s” stands there twice. Remove one of the rows."),
        "too_many": _("These are more than 200 inputs. Remove some."),
        "unknown": _(
            "“%(source)s”, the source of “%(name)s”, does not exist. There are: "
            "%(known)s; custom and additional attributes take a name behind them, such "
            "as contact.custom_attributes.region."
        ),
    }

    def clean(self, value: Any) -> JsonObject:
        """Return the map; rows without a source say that nothing is mapped."""
        rows = [row for row in _typed(value) if not row.remove]
        rows = [row for row in rows if row.source]
        errors = [*self._errors(rows)]
        if errors:
            raise forms.ValidationError(errors)
        return {row.name: row.source for row in rows}

    def has_changed(self, initial: Any, data: Any) -> bool:
        """Compare maps: offered rows that stay empty are no change."""
        before = {row.name: row.source for row in _typed(initial)}
        try:
            return self.clean(data) != before
        except forms.ValidationError:
            return True

    def _errors(self, rows: list[Typed]) -> Iterator[forms.ValidationError]:
        if len(rows) > MAX_ROWS:
            yield self._error("too_many")
            return
        seen: set[str] = set()
        for row in rows:
            if not row.name:
                yield self._error("no_name", source=row.source)
            elif row.name in seen:
                yield self._error("twice", name=row.name)
            elif not is_source(row.source):
                known = ", ".join(known_sources())
                yield self._error(
                    "unknown", name=row.name, source=row.source, known=known
                )
            seen.add(row.name)

    def _error(self, code: str, **values: str) -> forms.ValidationError:
        return forms.ValidationError(
            self.error_messages[code], code=code, params=values
        )


class VariablesField(InputsField):
    """A map of a chatflow's variables to sources."""

    widget = VariableRows
    default_error_messages = {
        "no_name": _(
            "The source “%(source)s” has no variable. Name the variable as the flow "
            "does, or remove the row."
        ),
        "twice": _(
            "The variable “%(name)s” stands there twice. Remove one of the rows."
        ),
        "too_many": _("These are more than 200 variables. Remove some."),
        "token": _(
            "“%(name)s” would change with each run: a conversation token is sent as an "
            "input only."
        ),
    }

    def _errors(self, rows: list[Typed]) -> Iterator[forms.ValidationError]:
        """Refuse the token as well: variables are kept in Dify for good."""
        yield from super()._errors(rows)
        for row in rows:
            if row.source == "bridge.conversation_token":
                yield self._error("token", name=row.name)


def _typed(value: Any) -> list[Typed]:
    """Return rows of what was typed, or of a stored map."""
    if isinstance(value, list):
        return [row for row in value if isinstance(row, Typed)]
    if not isinstance(value, dict):
        return []
    # PostgreSQL keeps no order of its own.
    return [
        Typed(name=name, source=_source(value[name]), remove=False)
        for name in sorted(value)
    ]


def _source(stored: object) -> str:
    return stored if isinstance(stored, str) else json.dumps(stored)
