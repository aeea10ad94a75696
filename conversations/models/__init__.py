"""The flow's tables; each file owns one."""

from __future__ import annotations

from conversations.models.action_lock import ActionLock
from conversations.models.alert import (
    Alert,
    AlertCause,
    AlertChannel,
    AlertDelivery,
    Seen,
)
from conversations.models.audit import AuditEntry
from conversations.models.bot import (
    Bot,
    DeletePolicy,
    IdleAction,
    OnNewMessage,
    ReplyAs,
    UnknownNames,
)
from conversations.models.bot_settings import FormsGoTo, Greets, OutsideHours
from conversations.models.call import UpstreamCall
from conversations.models.callback import Callback
from conversations.models.callback_token import CallbackToken
from conversations.models.conversation import Conversation, ConversationStatus
from conversations.models.dify_conversation import DifyConversation
from conversations.models.draft import Draft
from conversations.models.erasure import Erasure
from conversations.models.event import WebhookEvent
from conversations.models.figure import Figure
from conversations.models.flow_form import FlowForm
from conversations.models.greeting import Greeting
from conversations.models.heartbeat import Heartbeat
from conversations.models.job import Job, JobItem
from conversations.models.openai_server import OpenAIServer
from conversations.models.outgoing import OutgoingMessage
from conversations.models.reasons import Action, Reason
from conversations.models.retention import Retention
from conversations.models.run import PipelineRun
from conversations.models.trial import Trial
from conversations.models.turn import Turn

__all__ = [
    "OutsideHours",
    "OpenAIServer",
    "Greets",
    "Greeting",
    "FormsGoTo",
    "FlowForm",
    "Draft",
    "Action",
    "ActionLock",
    "Alert",
    "AlertCause",
    "AlertChannel",
    "AlertDelivery",
    "AuditEntry",
    "Bot",
    "Callback",
    "CallbackToken",
    "Conversation",
    "ConversationStatus",
    "DeletePolicy",
    "DifyConversation",
    "Erasure",
    "Figure",
    "Heartbeat",
    "IdleAction",
    "Job",
    "JobItem",
    "OnNewMessage",
    "OutgoingMessage",
    "PipelineRun",
    "Reason",
    "ReplyAs",
    "Retention",
    "Seen",
    "Trial",
    "Turn",
    "UnknownNames",
    "UpstreamCall",
    "WebhookEvent",
]
