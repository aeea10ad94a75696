"""Forms of what is wanted: one for each kind, with Chatwoot's own rules."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django import forms
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.widgets import (
    CHECKBOX_CLASSES,
    UnfoldAdminColorInputWidget,
    UnfoldAdminFileFieldWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
    UnfoldBooleanWidget,
)

from bridge_project.lib.types import JsonObject, JsonValue
from chatwoot_api import wish_rules, wishes
from chatwoot_api.models import Agent, AttributeDefinition, ChatwootAccount, Wish
from chatwoot_api.seed_files import MEMBERS, Wanted
from chatwoot_api.seeding import Existing
from chatwoot_api.team_members import mail_of

_YES_NO = [("", _("leave as it is in Chatwoot")), ("yes", _("yes")), ("no", _("no"))]
_DEFAULT_COLOUR = "#1f93ff"


class WishForm(forms.Form):
    """What is wanted of one thing; what is left empty stays as it is in Chatwoot."""

    kind = ""
    # The fields that identify it: fixed once it is wanted, since another name would
    # be another thing.
    naming: tuple[str, ...] = ()
    # Texts that are said only when they are filled, or were said before.
    texts: tuple[str, ...] = ()
    # Fields of yes, no, or nothing.
    switches: tuple[str, ...] = ()

    def __init__(
        self,
        *args: Any,
        account: ChatwootAccount,
        wish: Wish | None = None,
        there: Existing | None = None,
        **kwargs: Any,
    ) -> None:
        self.account, self.wish, self.there = account, wish, there
        kwargs.setdefault("initial", self.initial_of(wish.fields if wish else {}))
        super().__init__(*args, **kwargs)
        for name in self.naming:
            self.fields[name].disabled = wish is not None

    def initial_of(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        """Return what is wanted as the form shows it."""
        said = {True: "yes", False: "no"}
        return {
            **fields,
            **{name: said[fields[name]] for name in self.switches if name in fields},
        }

    def wanted_fields(self, data: Mapping[str, Any]) -> JsonObject:
        """Return what was filled in as Chatwoot's fields."""
        former = self.wish.fields if self.wish is not None else {}
        fields: JsonObject = {name: str(data[name]).strip() for name in self.naming}
        for name in self.texts:
            if data[name] or name in former:
                fields[name] = data[name]
        for name in self.switches:
            if data[name]:
                fields[name] = data[name] == "yes"
        return fields

    def clean(self) -> dict[str, Any]:
        """Ask Chatwoot's rules, and whether the same is wanted already."""
        data = super().clean() or {}
        if self.errors:
            return data
        fields = self.wanted_fields(data)
        for name, sentence in wish_rules.objections(self.kind, fields):
            self.add_error(name, sentence)
        if not self.errors:
            self._refuse_twins(wishes.WANTED[self.kind](dict(fields)))
        return data

    def wanted(self) -> Wanted:
        """Return what the valid form wants."""
        return wishes.WANTED[self.kind](self.wanted_fields(self.cleaned_data))

    def _refuse_twins(self, wanted: Wanted) -> None:
        if self.wish is not None:
            return
        twins = Wish.objects.filter(
            account=self.account, kind=self.kind, identity=wanted.identity
        )
        if twins.exists():
            text = gettext("This is wanted already. Edit it instead of adding it.")
            self.add_error(self.naming[0], text)


class TeamForm(WishForm):
    """A team and, if wanted, who is in it."""

    kind = Wish.Kind.TEAM
    naming = ("name",)
    texts = ("description",)
    switches = ("allow_auto_assign",)

    name = forms.CharField(
        label=_("Name"),
        max_length=240,
        widget=UnfoldAdminTextInputWidget(),
        help_text=_("Chatwoot stores it in lower case."),
    )
    description = forms.CharField(
        label=_("Description"), required=False, widget=UnfoldAdminTextInputWidget()
    )
    allow_auto_assign = forms.ChoiceField(
        label=_("Assigns by itself"),
        choices=_YES_NO,
        required=False,
        widget=UnfoldAdminSelectWidget(),
        help_text=_(
            "With “yes”, Chatwoot assigns a member who is online along with the team."
        ),
    )
    say_members = forms.BooleanField(
        label=_("Say here who is in the team"),
        required=False,
        widget=UnfoldBooleanWidget(),
        help_text=_("Without it, whoever is in the team in Chatwoot stays in it."),
    )
    members = forms.MultipleChoiceField(
        label=_("Members"),
        required=False,
        widget=forms.CheckboxSelectMultiple(
            attrs={"class": " ".join(CHECKBOX_CLASSES)}
        ),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        wanted = list(self.wish.members or []) if self.wish else []
        inside = self._inside()
        self.fields["members"].choices = _agents(  # type: ignore[attr-defined]
            self.account, wanted=wanted, inside=inside
        )
        said = self.wish is not None and self.wish.members is not None
        self.initial["say_members"] = said
        self.initial["members"] = wanted if said else inside

    def clean_name(self) -> str:
        return str(self.cleaned_data["name"]).strip().lower()

    def wanted_fields(self, data: Mapping[str, Any]) -> JsonObject:
        fields = super().wanted_fields(data)
        if data["say_members"]:
            fields[MEMBERS] = list[JsonValue](data["members"])
        return fields

    def _inside(self) -> list[str]:
        members = self.there.fields.get(MEMBERS) if self.there is not None else None
        return [str(mail) for mail in members] if isinstance(members, list) else []


class LabelForm(WishForm):
    """A label."""

    kind = Wish.Kind.LABEL
    naming = ("title",)
    texts = ("description",)
    switches = ("show_on_sidebar",)

    title = forms.CharField(
        label=_("Title"),
        max_length=240,
        widget=UnfoldAdminTextInputWidget(),
        help_text=_("No spaces; Chatwoot stores it in lower case."),
    )
    description = forms.CharField(
        label=_("Description"), required=False, widget=UnfoldAdminTextInputWidget()
    )
    color = forms.CharField(
        label=_("Colour"),
        widget=UnfoldAdminColorInputWidget(attrs={"type": "color"}),
    )
    show_on_sidebar = forms.ChoiceField(
        label=_("In the sidebar"),
        choices=_YES_NO,
        required=False,
        widget=UnfoldAdminSelectWidget(),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        there = self.there.fields.get("color") if self.there is not None else ""
        self.initial.setdefault("color", there or _DEFAULT_COLOUR)

    def clean_title(self) -> str:
        return str(self.cleaned_data["title"]).strip().lower()

    def wanted_fields(self, data: Mapping[str, Any]) -> JsonObject:
        return {**super().wanted_fields(data), "color": data["color"]}


class AttributeForm(WishForm):
    """A custom attribute's definition."""

    kind = Wish.Kind.ATTRIBUTE
    naming = ("attribute_key", "attribute_model")
    texts = (
        "attribute_display_name",
        "attribute_description",
        "regex_pattern",
        "regex_cue",
    )

    attribute_key = forms.CharField(
        label=_("Key"),
        max_length=240,
        widget=UnfoldAdminTextInputWidget(),
        help_text=_("What flows write. It cannot be changed later."),
    )
    attribute_model = forms.ChoiceField(
        label=_("Attribute of"),
        choices=AttributeDefinition.Model.choices,
        widget=UnfoldAdminSelectWidget(),
    )
    attribute_display_name = forms.CharField(
        label=_("Name"),
        required=False,
        widget=UnfoldAdminTextInputWidget(),
        help_text=_("What agents see. Empty: made from the key."),
    )
    attribute_display_type = forms.ChoiceField(
        label=_("Type"),
        choices=AttributeDefinition.DisplayType.choices,
        widget=UnfoldAdminSelectWidget(),
    )
    attribute_description = forms.CharField(
        label=_("Description"), required=False, widget=UnfoldAdminTextInputWidget()
    )
    attribute_values = forms.CharField(
        label=_("Values"),
        required=False,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 8}),
        help_text=_("Of a list: one in each line. They replace those in Chatwoot."),
    )
    regex_pattern = forms.CharField(
        label=_("Pattern"),
        required=False,
        widget=UnfoldAdminTextInputWidget(),
        help_text=_("Of a text: a regular expression that values have to match."),
    )
    regex_cue = forms.CharField(
        label=_("Hint about the pattern"),
        required=False,
        widget=UnfoldAdminTextInputWidget(),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        there = self.there.fields if self.there is not None else {}
        known = there.get("attribute_display_type") or "text"
        self.initial.setdefault("attribute_display_type", known)
        self.initial.setdefault("attribute_model", "conversation_attribute")

    def initial_of(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        values = fields.get("attribute_values") or []
        return {**super().initial_of(fields), "attribute_values": "\n".join(values)}

    def clean(self) -> dict[str, Any]:
        data = super().clean()
        filled = bool(_lines(data.get("attribute_values") or ""))
        if filled and data.get("attribute_display_type") != "list":
            text = gettext("Only a list has values. Choose the type “list”.")
            self.add_error("attribute_display_type", text)
        return data

    def wanted_fields(self, data: Mapping[str, Any]) -> JsonObject:
        kind = data["attribute_display_type"]
        fields: JsonObject = {
            **super().wanted_fields(data),
            "attribute_display_type": kind,
        }
        if kind == "list":
            lines = _lines(data["attribute_values"])
            fields["attribute_values"] = list[JsonValue](lines)
        return fields


class ImportForm(forms.Form):
    """A file or a text that says what is wanted."""

    text = forms.CharField(
        label=_("YAML or JSON"),
        required=False,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 14, "spellcheck": "false"}),
    )
    file = forms.FileField(
        label=_("Or a file"),
        required=False,
        widget=UnfoldAdminFileFieldWidget(),
    )
    kind = forms.ChoiceField(
        label=_("A bare list is one of"),
        choices=[
            (Wish.Kind.TEAM, _("teams")),
            (Wish.Kind.LABEL, _("labels")),
            (Wish.Kind.ATTRIBUTE, _("attributes")),
        ],
        widget=UnfoldAdminSelectWidget(),
        help_text=_("A file with teams:, labels: or attributes: says so itself."),
    )
    exact = forms.BooleanField(
        label=_("Forget here what the file does not name"),
        required=False,
        widget=UnfoldBooleanWidget(),
        help_text=_("Of the kinds that the file has. Chatwoot is not asked for this."),
    )


FORMS: Mapping[str, type[WishForm]] = {
    form.kind: form for form in (TeamForm, LabelForm, AttributeForm)
}


def _agents(
    account: ChatwootAccount, *, wanted: list[str], inside: list[str]
) -> list[tuple[str, str]]:
    """Return the agents to choose from, and who is wanted without being one."""
    choices: dict[str, str] = {}
    for agent in Agent.objects.filter(account=account).order_by("name", "pk"):
        mail = mail_of(agent)
        if mail:
            name = f"{agent.name} · {mail}" if agent.name else mail
            in_it = gettext("in the team in Chatwoot")
            choices[mail] = f"{name} ({in_it})" if mail in inside else name
    for mail in wanted:
        unknown = gettext("no agent of this account")
        choices.setdefault(mail, f"{mail} ({unknown})")
    return list(choices.items())


def _lines(text: str) -> list[str]:
    lines = (line.strip() for line in text.splitlines())
    return list(dict.fromkeys(line for line in lines if line))
