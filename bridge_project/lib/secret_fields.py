"""Write-only form fields: a stored secret can be replaced or removed, never read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import urlsplit

from django import forms
from django.contrib import admin
from django.db.models import Model
from django.forms.renderers import BaseRenderer
from django.http import HttpRequest
from django.utils.datastructures import MultiValueDict
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.widgets import CHECKBOX_CLASSES, INPUT_CLASSES

from bridge_project.lib.encryption import Unreadable


@dataclass(frozen=True, slots=True)
class SecretInputData:
    """What the operator asked for: a new value, its removal, or neither."""

    typed: str = field(default="", repr=False)
    remove: bool = False


class SecretInput(forms.Widget):
    """An always empty password box; it says whether a value is stored, not which.

    What was typed is not shown again either, when another field has an error.
    """

    is_set = False
    is_readable = True
    may_be_removed = True

    def render(
        self,
        name: str,
        value: Any,
        attrs: dict[str, Any] | None = None,
        renderer: BaseRenderer | None = None,
    ) -> SafeString:
        """Draw the box; `value` is left aside on purpose."""
        element_id = str((attrs or {}).get("id", f"id_{name}"))
        box = format_html(
            '<input type="password" name="{}" id="{}" class="{}" placeholder="{}" '
            'autocomplete="new-password" spellcheck="false">',
            name,
            element_id,
            " ".join(INPUT_CLASSES),
            self._state(),
        )
        if not self.is_set or not self.may_be_removed:
            return box
        return format_html(
            '{}<label class="bridge-remove" for="{}_remove"><input type="checkbox" '
            'name="{}_remove" id="{}_remove" class="{}"> {}</label>',
            box,
            element_id,
            name,
            element_id,
            " ".join(CHECKBOX_CLASSES),
            gettext("Remove the stored value"),
        )

    def _state(self) -> str:
        if not self.is_readable:
            return gettext("no key reads it: put the key back, or enter it anew")
        return (
            gettext("set, leave empty to keep it") if self.is_set else gettext("empty")
        )

    def value_from_datadict(
        self, data: Mapping[str, Any], files: MultiValueDict[str, Any], name: str
    ) -> SecretInputData:
        """Read the box and the check mark beside it."""
        return SecretInputData(
            typed=str(data.get(name, "")).strip(), remove=f"{name}_remove" in data
        )


class SecretField(forms.Field):
    """Keeps the stored value unless a new one is typed or its removal is asked for."""

    widget = SecretInput
    default_error_messages: ClassVar[dict[str, Any]] = {
        "both": _("Either type a new value or remove the stored one, not both."),
    }
    stored = ""

    def hold(self, stored: str) -> None:
        """Take the stored value, which `clean` returns if nothing is to change."""
        self.stored = stored
        if isinstance(self.widget, SecretInput):
            self.widget.is_readable = not isinstance(stored, Unreadable)
            self.widget.is_set = bool(stored) or not self.widget.is_readable
            self.widget.may_be_removed = not self.required

    def clean(self, value: Any) -> str:
        """Return what is to be stored."""
        wish = value if isinstance(value, SecretInputData) else SecretInputData()
        if wish.typed and wish.remove:
            raise forms.ValidationError(self.error_messages["both"], code="both")
        result = "" if wish.remove else wish.typed or self.stored
        if self.required and not result and not isinstance(result, Unreadable):
            raise forms.ValidationError(
                self.error_messages["required"], code="required"
            )
        return result

    def has_changed(self, initial: Any, data: Any) -> bool:
        """Tell whether saving changes the stored value."""
        wish = data if isinstance(data, SecretInputData) else SecretInputData()
        is_stored = bool(self.stored) or isinstance(self.stored, Unreadable)
        return (wish.remove and is_stored) or (
            bool(wish.typed) and wish.typed != self.stored
        )


class SecretFormMixin:
    """Makes the model form's `secret_names` write-only; goes before ModelForm."""

    secret_names: ClassVar[tuple[str, ...]] = ()
    # Those that are sent to the server of `base_url`.
    sent_names: ClassVar[tuple[str, ...]] = ()
    fields: dict[str, forms.Field]
    initial: dict[str, Any]
    instance: Model

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name in self.secret_names:
            # Nothing that draws the form gets to see the value.
            self.initial.pop(name, None)
            plain = self.fields.get(name)
            if plain is None:
                continue  # the page of somebody who may only look
            secret = SecretField(
                label=plain.label, help_text=plain.help_text, required=plain.required
            )
            # Not `or ""`: what no key reads is empty, too, and must be kept.
            secret.hold(getattr(self.instance, name))
            self.fields[name] = secret

    def clean(self) -> dict[str, Any] | None:
        """Refuse to send a stored secret to another server than it was entered for.

        Else whoever may change the address could have the secret sent to himself.
        """
        cleaned: dict[str, Any] | None = super().clean()  # type: ignore[misc]
        values: dict[str, Any] = self.cleaned_data  # type: ignore[attr-defined]
        before = urlsplit(str(self.initial.get("base_url") or "")).hostname
        after = urlsplit(str(values.get("base_url") or "")).hostname
        if self.instance.pk is None or after is None or before in (None, after):
            return cleaned
        for name in self.sent_names:
            stored = getattr(self.instance, name)
            is_kept = name in values and values[name] == stored
            if is_kept and (stored or isinstance(stored, Unreadable)):
                self.add_error(name, self._elsewhere(after))  # type: ignore[attr-defined]
        return cleaned

    def _elsewhere(self, host: str) -> forms.ValidationError:
        text = gettext(
            "The address leads to another server now (%(host)s), and what is stored "
            "here is not sent there. Enter the one of that server, or remove this one."
        )
        return forms.ValidationError(text, code="elsewhere", params={"host": host})


if TYPE_CHECKING:
    _Admin = admin.ModelAdmin[Any]
else:
    _Admin = object


class SecretAdminMixin(_Admin):
    """Keeps secrets from those who may look but not change; goes before the admin.

    For them Django draws every field of the page as text, past form and widget.
    """

    def get_fieldsets(self, request: HttpRequest, obj: Model | None = None) -> Any:
        """Put "set" or "empty" in the place of each secret."""
        fieldsets = super().get_fieldsets(request, obj)
        if self.has_change_permission(request, obj):
            return fieldsets
        names = getattr(self.form, "secret_names", ())
        return [
            (
                title,
                {
                    **options,
                    "fields": [
                        _state_of(self.model, str(field)) if field in names else field
                        for field in options["fields"]
                    ],
                },
            )
            for title, options in fieldsets
        ]


def _state_of(model: type[Model], name: str) -> Callable[[Model], str]:
    """Return a read-only field that tells whether the secret is set."""

    def state(row: Model) -> str:
        value = getattr(row, name)
        is_set = bool(value) or isinstance(value, Unreadable)
        return gettext("set") if is_set else gettext("empty")

    state.__name__ = f"{name}_state"
    label = model._meta.get_field(name).verbose_name  # type: ignore[union-attr]
    return admin.display(description=label)(state)
