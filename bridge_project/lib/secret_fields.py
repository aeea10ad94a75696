"""Write-only form fields: a stored secret can be replaced or removed, never read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from django import forms
from django.db.models import Model
from django.forms.renderers import BaseRenderer
from django.utils.datastructures import MultiValueDict
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.widgets import CHECKBOX_CLASSES, INPUT_CLASSES


@dataclass(frozen=True, slots=True)
class SecretInputData:
    """What the operator asked for: a new value, its removal, or neither."""

    typed: str = ""
    remove: bool = False


class SecretInput(forms.Widget):
    """An always empty password box; it says whether a value is stored, not which.

    What was typed is not shown again either, when another field has an error.
    """

    is_set = False
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
            gettext("set, leave empty to keep it") if self.is_set else gettext("empty"),
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
            self.widget.is_set = bool(stored)
            self.widget.may_be_removed = not self.required

    def clean(self, value: Any) -> str:
        """Return what is to be stored."""
        wish = value if isinstance(value, SecretInputData) else SecretInputData()
        if wish.typed and wish.remove:
            raise forms.ValidationError(self.error_messages["both"], code="both")
        result = "" if wish.remove else wish.typed or self.stored
        if self.required and not result:
            raise forms.ValidationError(
                self.error_messages["required"], code="required"
            )
        return result

    def has_changed(self, initial: Any, data: Any) -> bool:
        """Tell whether saving changes the stored value."""
        wish = data if isinstance(data, SecretInputData) else SecretInputData()
        return bool(wish.remove and self.stored) or (
            bool(wish.typed) and wish.typed != self.stored
        )


class SecretFormMixin:
    """Makes the model form's `secret_names` write-only; goes before ModelForm."""

    secret_names: ClassVar[tuple[str, ...]] = ()
    fields: dict[str, forms.Field]
    initial: dict[str, Any]
    instance: Model

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name in self.secret_names:
            plain = self.fields[name]
            secret = SecretField(
                label=plain.label, help_text=plain.help_text, required=plain.required
            )
            # Nothing that draws the form gets to see the value.
            self.initial.pop(name, None)
            secret.hold(getattr(self.instance, name) or "")
            self.fields[name] = secret
