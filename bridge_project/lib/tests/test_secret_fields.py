"""A stored secret can be kept, replaced or removed, and is never drawn."""

from __future__ import annotations

import pytest
from django import forms
from django.http import QueryDict

from bridge_project.lib.secret_fields import SecretField, SecretInput, SecretInputData

STORED = "the-stored-secret"


def make_field(*, stored: str = STORED, required: bool = False) -> SecretField:
    field = SecretField(required=required)
    field.hold(stored)
    return field


def drawn(field: SecretField) -> str:
    widget = field.widget
    assert isinstance(widget, SecretInput)
    return widget.render("token", STORED, {"id": "id_token"})


@pytest.mark.parametrize(
    ("typed", "remove", "result", "changed"),
    [
        ("", False, STORED, False),
        ("a-new-one", False, "a-new-one", True),
        (STORED, False, STORED, False),
        ("", True, "", True),
    ],
)
def test_what_is_stored_after_saving(
    typed: str, remove: bool, result: str, changed: bool
) -> None:
    wish = SecretInputData(typed=typed, remove=remove)
    field = make_field()

    assert field.clean(wish) == result
    assert field.has_changed(None, wish) is changed


def test_typing_and_removing_at_once_is_refused() -> None:
    with pytest.raises(forms.ValidationError, match="not both"):
        make_field().clean(SecretInputData(typed="a-new-one", remove=True))


@pytest.mark.parametrize("wish", [SecretInputData(), SecretInputData(remove=True)])
def test_a_required_secret_must_be_there(wish: SecretInputData) -> None:
    with pytest.raises(forms.ValidationError, match="required"):
        make_field(stored="", required=True).clean(wish)


def test_the_box_never_shows_a_value() -> None:
    html = drawn(make_field())

    assert STORED not in html
    assert "value=" not in html
    assert "set, leave empty to keep it" in html
    assert 'name="token_remove"' in html


def test_an_empty_box_offers_nothing_to_remove() -> None:
    assert "_remove" not in drawn(make_field(stored=""))
    assert "_remove" not in drawn(make_field(required=True))


def test_spaces_around_a_pasted_secret_are_dropped() -> None:
    data = QueryDict("token=%20pasted%0A&token_remove=on")

    read = SecretInput().value_from_datadict(data, data, "token")

    assert read == SecretInputData(typed="pasted", remove=True)
