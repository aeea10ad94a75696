"""What the bridge knows of an account's set-up: to be looked at, kept by `sync`."""

from __future__ import annotations

from typing import TypeVar

from django.contrib import admin
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from bridge_project.lib.admin_base import (
    NOTHING,
    ReadOnlyAdmin,
    admin_link,
    shortened,
)
from chatwoot_api.models import Agent, AttributeDefinition, Inbox, Label, Team

MirrorT = TypeVar("MirrorT", Agent, AttributeDefinition, Inbox, Label, Team)


class MirrorAdmin(ReadOnlyAdmin[MirrorT]):
    """A list whose rows say whose they are."""

    list_select_related = ("account",)

    @admin.display(description=_("account"), ordering="account__name")
    def account_link(self, row: MirrorT) -> SafeString:
        return admin_link(row.account)


class SettingAdmin(MirrorAdmin[MirrorT]):
    """A list of what has a page on which it is compared, edited and written."""

    list_before_template = "admin/chatwoot_api/wishes/link.html"
    # The word of the kind on that page.
    wish_kind = ""


@admin.register(Inbox)
class InboxAdmin(MirrorAdmin[Inbox]):
    """The inboxes that Chatwoot named, in a list or in webhooks."""

    list_display = ("label", "account_link", "kind", "chatwoot_inbox_id")
    list_filter = ("account",)
    ordering = ("account__name", "name", "pk")
    search_fields = ("name", "chatwoot_inbox_id")
    fields = ("label", "account_link", "kind", "chatwoot_inbox_id")

    @admin.display(description=_("name"), ordering="name")
    def label(self, inbox: Inbox) -> str:
        return str(inbox)

    @admin.display(description=_("channel"), ordering="channel")
    def kind(self, inbox: Inbox) -> str:
        return inbox.channel.removeprefix("Channel::")


@admin.register(Team)
class TeamAdmin(SettingAdmin[Team]):
    """The teams that a flow may assign."""

    wish_kind = "team"

    list_display = (
        "name",
        "account_link",
        "about",
        "allow_auto_assign",
        "chatwoot_team_id",
    )
    list_filter = ("account", "allow_auto_assign")
    ordering = ("account__name", "name", "pk")
    search_fields = ("name", "description", "chatwoot_team_id")
    fields = (
        "name",
        "account_link",
        "description",
        "allow_auto_assign",
        "chatwoot_team_id",
    )

    @admin.display(description=_("description"))
    def about(self, team: Team) -> str:
        return shortened(team.description)


@admin.register(Agent)
class AgentAdmin(MirrorAdmin[Agent]):
    """The agents that a flow may assign."""

    list_display = (
        "label",
        "account_link",
        "available_name",
        "email",
        "role",
        "chatwoot_agent_id",
    )
    list_filter = ("account", "role")
    ordering = ("account__name", "name", "pk")
    search_fields = ("name", "available_name", "email", "chatwoot_agent_id")
    fields = list_display

    @admin.display(description=_("name"), ordering="name")
    def label(self, agent: Agent) -> str:
        return str(agent)


@admin.register(Label)
class LabelAdmin(SettingAdmin[Label]):
    """The labels that the account defines."""

    wish_kind = "label"

    list_display = (
        "title",
        "account_link",
        "about",
        "color",
        "show_on_sidebar",
        "chatwoot_label_id",
    )
    list_filter = ("account",)
    ordering = ("account__name", "title", "pk")
    search_fields = ("title", "description", "chatwoot_label_id")
    fields = (
        "title",
        "account_link",
        "description",
        "color",
        "show_on_sidebar",
        "chatwoot_label_id",
    )

    @admin.display(description=_("description"))
    def about(self, label: Label) -> str:
        return shortened(label.description)


@admin.register(AttributeDefinition)
class AttributeDefinitionAdmin(SettingAdmin[AttributeDefinition]):
    """The attributes whose values are checked before a flow sets them."""

    wish_kind = "attribute"

    list_display = (
        "key",
        "account_link",
        "display_name",
        "belongs_to",
        "kind",
        "choices",
    )
    list_filter = ("account", "model", "display_type")
    ordering = ("account__name", "key", "pk")
    search_fields = ("key", "display_name", "description", "chatwoot_definition_id")
    fields = (
        "key",
        "account_link",
        "display_name",
        "belongs_to",
        "kind",
        "description",
        "all_choices",
        "regex_pattern",
        "regex_cue",
        "chatwoot_definition_id",
    )

    # Django shows nothing in the place of a word that a newer Chatwoot brought.
    @admin.display(description=_("of"), ordering="model")
    def belongs_to(self, definition: AttributeDefinition) -> str:
        return definition.get_model_display()

    @admin.display(description=_("type"), ordering="display_type")
    def kind(self, definition: AttributeDefinition) -> str:
        return definition.get_display_type_display()

    @admin.display(description=_("values"))
    def choices(self, definition: AttributeDefinition) -> str:
        return shortened(", ".join(definition.values)) or NOTHING

    @admin.display(description=_("values"))
    def all_choices(self, definition: AttributeDefinition) -> str:
        return ", ".join(definition.values) or NOTHING
