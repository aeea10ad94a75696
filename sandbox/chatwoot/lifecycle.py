"""What happens to conversations when something is saved: status, events, activity."""

from __future__ import annotations

from sandbox import times
from sandbox.chatwoot.activity import BOT_FAILURE_TEXT, SYSTEM, activity_texts
from sandbox.chatwoot.payloads import Payloads
from sandbox.chatwoot.records import (
    ACTIVITY,
    AccountWebhook,
    Actor,
    Contact,
    ContactInbox,
    Conversation,
    Inbox,
    Message,
)
from sandbox.chatwoot.store import ChatwootStore
from sandbox.chatwoot.webhooks import WebhookSender
from sandbox.json_types import Json, JsonList
from sandbox.settings import Settings
from sandbox.wire_log import WireLog

# Columns whose change makes a conversation_updated (section 2.4).
_TRACKED = frozenset(
    {
        "team_id",
        "assignee_id",
        "assignee_agent_bot_id",
        "status",
        "snoozed_until",
        "custom_attributes",
        "label_list",
        "waiting_since",
        "first_reply_created_at",
        "priority",
    }
)
_COLUMN_NAMES = {"assignee_bot_id": "assignee_agent_bot_id", "labels": "label_list"}
_MOMENTS = ("waiting_since", "first_reply_created_at", "snoozed_until")


class Lifecycle:
    """Saves changes the way Rails callbacks would, and publishes their events."""

    def __init__(self, *, settings: Settings, wire_log: WireLog) -> None:
        self.settings = settings
        self.wire_log = wire_log
        self.store = ChatwootStore(settings)
        self.payloads = Payloads(self.store, base_url=settings.base_url())
        self.sender = WebhookSender(
            settings=settings, wire_log=wire_log, on_bot_failure=self.open_for_failure
        )

    def reset(self) -> None:
        self.sender.forget_queue()
        self.store = ChatwootStore(self.settings)
        self.payloads = Payloads(self.store, base_url=self.settings.base_url())

    # Publishing.

    def publish_message(
        self, event: str, *, message: Message, conversation: Conversation
    ) -> None:
        payloads = self.payloads
        if message.message_type != ACTIVITY:
            self.sender.publish(
                event,
                build=lambda: payloads.message_event(
                    event, message=message, conversation=conversation
                ),
                store=self.store,
                inbox=self.store.inbox_of(conversation),
                conversation=conversation,
            )
        self.show(conversation)

    def publish_conversation(
        self,
        event: str,
        *,
        conversation: Conversation,
        changes: JsonList | None = None,
        with_changes: bool = False,
    ) -> None:
        payloads = self.payloads

        def build() -> Json:
            if with_changes:
                return payloads.changed_event(
                    event, conversation=conversation, changes=changes
                )
            return payloads.conversation_event(event, conversation=conversation)

        self.sender.publish(
            event,
            build=build,
            store=self.store,
            inbox=self.store.inbox_of(conversation),
            conversation=conversation,
        )

    def publish_contact(
        self, event: str, *, contact: Contact, changes: JsonList | None = None
    ) -> None:
        payloads = self.payloads
        self.sender.publish(
            event,
            build=lambda: payloads.contact_event(
                event, contact=contact, changes=changes
            ),
            store=self.store,
        )

    def publish_widget_opened(self, contact_inbox: ContactInbox, *, info: Json) -> None:
        inbox = self.store.inboxes[contact_inbox.inbox_id]
        current = next(
            (
                row
                for row in self.store.conversations_of_contact(contact_inbox.contact_id)
                if row.contact_inbox_id == contact_inbox.id
            ),
            None,
        )
        payloads = self.payloads
        self.sender.publish(
            "webwidget_triggered",
            build=lambda: payloads.webwidget_triggered(
                contact_inbox, current=current, info=info
            ),
            store=self.store,
            inbox=inbox,
            conversation=current,
        )

    def show(self, conversation: Conversation) -> None:
        """Tell open pages that there is something new to draw."""
        self.wire_log.publish({"type": "conversation", "id": conversation.id})

    # Saving.

    def save(
        self,
        conversation: Conversation,
        *,
        actor: Actor,
        changes: Json,
        activity: str | None = None,
    ) -> bool:
        """Write ``changes`` and publish what follows; False if none differ."""
        before = {name: getattr(conversation, name) for name in changes}
        changed = {n: v for n, v in changes.items() if before[n] != v}
        if not changed:
            return False
        updated_before = conversation.updated_at
        for name, value in changed.items():
            setattr(conversation, name, value)
        conversation.updated_at = times.now()
        rows = _changed_attributes(
            before=before,
            changed=changed,
            updated=(updated_before, conversation.updated_at),
        )
        if "status" in changed:
            self._publish_status(conversation)
        texts = (
            [activity]
            if activity
            else activity_texts(self.store, actor=actor, before=before, changed=changed)
        )
        for text in texts:
            self.add_activity(conversation, text=text)
        if any(next(iter(row)) in _TRACKED for row in rows):
            self.publish_conversation(
                "conversation_updated",
                conversation=conversation,
                changes=rows,
                with_changes=True,
            )
        self.show(conversation)
        return True

    def _publish_status(self, conversation: Conversation) -> None:
        if conversation.status == "resolved":
            # update_column in Chatwoot: no event of its own
            conversation.waiting_since = None
        if conversation.status in ("open", "resolved"):
            event = (
                "conversation_opened"
                if conversation.status == "open"
                else "conversation_resolved"
            )
            self.publish_conversation(event, conversation=conversation)
        # The status change is read after it was cleared: changed_attributes is null.
        self.publish_conversation(
            "conversation_status_changed", conversation=conversation, with_changes=True
        )

    def set_status(
        self,
        conversation: Conversation,
        *,
        status: str,
        actor: Actor,
        snoozed_until: float | None = None,
    ) -> None:
        changes: Json = {
            "status": status,
            "snoozed_until": snoozed_until if status == "snoozed" else None,
        }
        self.save(conversation, actor=actor, changes=changes)

    def hand_off(self, conversation: Conversation, *, actor: Actor) -> None:
        """The bot gives the conversation to humans: pending → open."""
        if conversation.waiting_since is None:
            self.save(conversation, actor=actor, changes={"waiting_since": times.now()})
        self.set_status(conversation, status="open", actor=actor)

    def open_for_failure(self, conversation_id: int) -> None:
        """The bot's webhook failed for good: humans take over (section 3)."""
        conversation = self.store.conversations.get(conversation_id)
        if conversation is None or conversation.status != "pending":
            return
        if self.settings.keep_pending_on_bot_failure:
            return
        self.save(
            conversation,
            actor=SYSTEM,
            changes={"status": "open"},
            activity=BOT_FAILURE_TEXT,
        )

    def assign_agent(
        self, conversation: Conversation, *, agent_id: int | None, actor: Actor
    ) -> None:
        changes: Json = {"assignee_id": agent_id, "assignee_bot_id": None}
        self.save(conversation, actor=actor, changes=changes)

    def assign_bot(
        self, conversation: Conversation, *, bot_id: int, actor: Actor
    ) -> None:
        changes: Json = {"assignee_id": None, "assignee_bot_id": bot_id}
        self.save(conversation, actor=actor, changes=changes)

    def assign_team(
        self, conversation: Conversation, *, team_id: int | None, actor: Actor
    ) -> None:
        """Sets the team; its side effects on the assignee are part of the same save."""
        changes: Json = {"team_id": team_id}
        team = self.store.teams.get(team_id) if team_id else None
        if team is not None:
            assignee_id = conversation.assignee_id
            if assignee_id is not None and assignee_id not in team.member_ids:
                assignee_id = None
            if assignee_id is None and team.allow_auto_assign:
                assignee_id = self._online_member(team.member_ids)
            changes["assignee_id"] = assignee_id
        self.save(conversation, actor=actor, changes=changes)

    def _online_member(self, member_ids: list[int]) -> int | None:
        for agent_id in member_ids:
            if self.store.agents[agent_id].availability_status == "online":
                return agent_id
        return None

    # Creating.

    def active_bot_inbox(self, inbox: Inbox) -> bool:
        return self.store.active_bot(inbox) is not None

    def create_conversation(
        self, contact_inbox: ContactInbox, *, status: str, values: Json
    ) -> Conversation:
        """A bot inbox starts pending whatever was asked for; blocked ones resolved."""
        inbox = self.store.inboxes[contact_inbox.inbox_id]
        contact = self.store.contacts[contact_inbox.contact_id]
        if contact.blocked:
            status = "resolved"
        elif self.active_bot_inbox(inbox):
            status = "pending"
        moment = times.now()
        conversation = Conversation(
            id=self.store.next_conversation_id(),
            inbox_id=inbox.id,
            contact_id=contact.id,
            contact_inbox_id=contact_inbox.id,
            created_at=moment,
            updated_at=moment,
            last_activity_at=moment,
            status=status,
            waiting_since=moment,
            **values,
        )
        self.store.conversations[conversation.id] = conversation
        self.publish_conversation("conversation_created", conversation=conversation)
        self.show(conversation)
        return conversation

    # Activity lines: never sent as webhooks, but visible in lists.

    def add_activity(self, conversation: Conversation, *, text: str) -> None:
        moment = times.now()
        message = Message(
            id=self.store.next_message_id(),
            conversation_id=conversation.id,
            inbox_id=conversation.inbox_id,
            message_type=ACTIVITY,
            content=text,
            created_at=moment,
            updated_at=moment,
        )
        self.store.add_message(message, conversation=conversation)
        conversation.last_activity_at = moment

    def new_webhook(
        self, *, name: str, url: str, subscriptions: list[str], secret: str
    ) -> AccountWebhook:
        webhook = AccountWebhook(
            id=self.store.next_id("webhook"),
            name=name,
            url=url,
            subscriptions=subscriptions,
            secret=secret,
        )
        self.store.webhooks[webhook.id] = webhook
        return webhook


def _changed_attributes(
    *, before: Json, changed: Json, updated: tuple[float, float]
) -> JsonList:
    """Rails' previous_changes as Chatwoot sends them: one-key objects."""
    rows: JsonList = []
    for name, value in changed.items():
        column = _COLUMN_NAMES.get(name, name)
        old, new = before[name], value
        if name in _MOMENTS:
            old, new = times.iso(old), times.iso(new)
        rows.append({column: {"previous_value": old, "current_value": new}})
        if name == "labels":
            joined = {
                "previous_value": ", ".join(old),
                "current_value": ", ".join(new),
            }
            rows.append({"cached_label_list": joined})
    moments = {
        "previous_value": times.iso(updated[0]),
        "current_value": times.iso(updated[1]),
    }
    return [*rows, {"updated_at": moments}]
