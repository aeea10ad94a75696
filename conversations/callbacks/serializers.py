"""What the OpenAPI document says of bodies; nothing is validated with them.

Flows send texts where numbers are meant, and worse (reference/dify.md section 8), so
`dify_api.arguments` reads the values. The document is flat and without arrays, objects
and unions of its own, since Dify's import of a tool loses or breaks them (8b).
"""

from __future__ import annotations

from typing import ClassVar

from rest_framework import serializers

NOT_SET = "Empty, null or “None”: left as it is."


class _Text(serializers.CharField):
    """An argument that may be left out."""

    def __init__(self, help_text: str) -> None:
        super().__init__(required=False, allow_blank=True, help_text=help_text)


class _Flag(serializers.BooleanField):
    """A switch that is off unless it is said to be on."""

    def __init__(self, help_text: str) -> None:
        super().__init__(required=False, help_text=help_text)


STATUS = (
    "New status: open (a human takes over), pending (the bot's again), resolved or "
    f"snoozed. {NOT_SET}"
)
SNOOZED_UNTIL = (
    "Only with snoozed: until when, as ISO 8601 (2026-12-24T09:00:00+01:00) or Unix "
    "seconds. Empty: until the customer's next message."
)
PRIORITY = f"low, medium, high or urgent; “clear” takes the priority away. {NOT_SET}"
TEAM = (
    "Name or number of a team; capitals and spaces do not matter. “clear” takes the "
    f"team away. list_teams tells the names. {NOT_SET}"
)
AGENT = (
    "Name, e-mail or number of a human agent. “clear” takes the assignee away. "
    f"{NOT_SET}"
)
ATTRIBUTES = (
    'JSON text of an object, such as {"region": "Berlin"}. Merged into what is there; '
    f"list_attribute_definitions tells keys and allowed values. {NOT_SET}"
)
REMOVE = f"Keys to be removed, separated by commas. {NOT_SET}"
LABELS = "separated by commas; list_labels tells the names."


class SendMessageSimple(serializers.Serializer):  # type: ignore[type-arg]
    """Body of send_message_simple."""

    message = _Text("What to say; Markdown is shown as such.")
    is_private = _Flag("true: a note that only the agents see.")
    even_if_open = _Flag("true: also while a human has the conversation.")


class Labels(serializers.Serializer):  # type: ignore[type-arg]
    """Body of update_labels."""

    labels = _Text(f"Labels to add, {LABELS} {NOT_SET}")


class CustomAttributes(serializers.Serializer):  # type: ignore[type-arg]
    """Body of update_custom_attributes."""

    custom_attributes = _Text(ATTRIBUTES)
    custom_attributes_remove = _Text(REMOVE)


class Priority(serializers.Serializer):  # type: ignore[type-arg]
    """Body of set_priority."""

    priority = _Text(PRIORITY)


class TeamName(serializers.Serializer):  # type: ignore[type-arg]
    """Body of assign_team."""

    team = _Text(TEAM)


class Status(serializers.Serializer):  # type: ignore[type-arg]
    """Body of set_status."""

    status = _Text(STATUS)
    snoozed_until = _Text(SNOOZED_UNTIL)


class ConversationChange(serializers.Serializer):  # type: ignore[type-arg]
    """Body of update_conversation."""

    status = _Text(STATUS)
    snoozed_until = _Text(SNOOZED_UNTIL)
    priority = _Text(PRIORITY)
    team = _Text(TEAM)
    assignee = _Text(AGENT)
    labels_add = _Text(f"Labels to add, {LABELS} {NOT_SET}")
    labels_remove = _Text(f"Labels to take away, {LABELS} {NOT_SET}")
    labels_set = _Text(
        f"The labels that shall be there and no others, {LABELS} “clear”: none."
    )
    custom_attributes = _Text(f"Attributes of the conversation: {ATTRIBUTES}")
    custom_attributes_remove = _Text(REMOVE)
    contact_attributes = _Text(f"Attributes of the customer: {ATTRIBUTES}")
    contact_attributes_remove = _Text(REMOVE)
    note = _Text(f"A private note for the agents. {NOT_SET}")


class Message(serializers.Serializer):  # type: ignore[type-arg]
    """Body of send_message."""

    content = _Text("What to say; Markdown is shown as such.")
    private = _Flag("true: a note that only the agents see.")
    reply_to = _Text("Number of the message that this one replies to.")
    content_type = _Text(
        "text (default), input_select (buttons), cards, form or article. All but text "
        "need items."
    )
    items = _Text(
        "JSON text of a list. Buttons: the texts, separated by commas, or "
        '[{"title": "Yes", "value": "yes"}]. Cards: [{"title", "description", '
        '"media_url", "actions": [{"type": "link", "text", "uri"}]}]. Form: [{"name", '
        '"label", "type": "text"}]. Articles: [{"title", "description", "link"}].'
    )
    attachment_urls = _Text(
        "Public addresses of files to be attached, separated by commas."
    )
    even_if_open = _Flag(
        "true: also while a human has the conversation. Else a public message is "
        "refused then."
    )


class NewConversation(serializers.Serializer):  # type: ignore[type-arg]
    """Body of start_conversation."""

    inbox = _Text("Name or number of the inbox that it is started in.")
    contact_id = _Text("The customer's number in Chatwoot, if it is known.")
    contact_identifier = _Text("The customer's number in your own system.")
    contact_email = _Text("E-mail address by which the customer is found, or made.")
    contact_phone = _Text("Phone number with country, such as +4930123456.")
    contact_name = _Text("Name of the customer, if a new one has to be made.")
    message = _Text("First message to the customer.")
    status = _Text(STATUS)
    snoozed_until = _Text(SNOOZED_UNTIL)
    team = _Text(TEAM)
    priority = _Text(PRIORITY)
    labels = _Text(f"Labels, {LABELS}")
    custom_attributes = _Text(ATTRIBUTES)


class AgentName(serializers.Serializer):  # type: ignore[type-arg]
    """Body of assign_agent."""

    agent = _Text(AGENT)


class Unassign(serializers.Serializer):  # type: ignore[type-arg]
    """Body of unassign."""

    what = _Text("agent, team or both.")


class Typing(serializers.Serializer):  # type: ignore[type-arg]
    """Body of set_typing."""

    typing = _Flag("true shows the customer that somebody is typing, false hides it.")
    private = _Flag("true: only the agents see it.")


class ContactChange(serializers.Serializer):  # type: ignore[type-arg]
    """Body of update_contact."""

    name = _Text(f"New name. {NOT_SET}")
    email = _Text(f"New e-mail address. {NOT_SET}")
    phone_number = _Text(f"New phone number, such as +4930123456. {NOT_SET}")
    identifier = _Text(f"The customer's number in your own system. {NOT_SET}")
    custom_attributes = _Text(ATTRIBUTES)
    custom_attributes_remove = _Text(REMOVE)


class Answer(serializers.Serializer):  # type: ignore[type-arg]
    """What every operation answers; each adds keys of its own."""

    STATUSES: ClassVar = ("success", "partial", "error")

    status = serializers.ChoiceField(
        choices=STATUSES,
        help_text="error: it was not done, see code and message. partial: see fields.",
    )
    message = serializers.CharField(required=False, help_text="A sentence about it.")
    code = serializers.CharField(
        required=False, help_text="What is wrong, for a flow to branch on."
    )


class Dialogue(serializers.Serializer):  # type: ignore[type-arg]
    """What the bridge before this one answered about a conversation."""

    status = serializers.CharField(
        help_text="Status of the conversation; or error, or success with skipped."
    )
    conversation_id = serializers.IntegerField(required=False, allow_null=True)
    chatwoot_conversation_id = serializers.IntegerField(required=False)
    dify_conversation_id = serializers.CharField(required=False, allow_null=True)
    assignee_id = serializers.IntegerField(required=False, allow_null=True)
    message = serializers.CharField(required=False)
    code = serializers.CharField(required=False)


class Refusal(serializers.Serializer):  # type: ignore[type-arg]
    """What a request gets that was not understood, or not allowed."""

    status = serializers.ChoiceField(choices=("error",))
    code = serializers.CharField()
    message = serializers.CharField()
