"""Addresses of the callback API.

A slash at the end has been cut off by the middleware. Where a flow's variable was empty
the number is missing from the path; such a request is answered, too.
"""

from __future__ import annotations

from django.urls import URLPattern, path
from rest_framework.views import APIView

from conversations.callbacks import views

_ONE = "conversations/<str:conversation_id>"
_ABOUT_ONE: tuple[tuple[str, type[APIView]], ...] = (
    ("update-labels/<str:conversation_id>", views.UpdateLabels),
    ("update-custom-attributes/<str:conversation_id>", views.UpdateCustomAttributes),
    ("toggle-priority/<str:conversation_id>", views.TogglePriority),
    ("assign-team/<str:conversation_id>", views.AssignTeam),
    ("toggle-status/<str:conversation_id>", views.ToggleStatus),
    ("dialogue-info/<str:conversation_id>", views.DialogueInfo),
    # What the bridge before this one called it in a later version.
    ("conversation-info/<str:conversation_id>", views.ConversationInfo),
    (_ONE, views.ConversationState),
    (f"{_ONE}/messages", views.Messages),
    (f"{_ONE}/assign-agent", views.AssignAgent),
    (f"{_ONE}/unassign", views.Unassign),
    (f"{_ONE}/typing", views.Typing),
    (f"{_ONE}/contact", views.Contact),
)


def _without_number(route: str) -> str:
    return route.replace("<str:conversation_id>", "").removesuffix("/")


# What a flow may call, and the OpenAPI document tells.
flow_urlpatterns: list[URLPattern] = [
    path("send-chatwoot-message", views.SendChatwootMessage.as_view()),
    path("conversations", views.Conversations.as_view()),
    path("conversations/dify/<str:dify_id>", views.ByDifyId.as_view()),
    path("refresh-teams", views.RefreshTeams.as_view()),
    path("teams", views.Teams.as_view()),
    path("labels", views.Labels.as_view()),
    path("attribute-definitions", views.AttributeDefinitions.as_view()),
    *(
        path(route, view.as_view())
        for route, view in _ABOUT_ONE
        if view is not views.ConversationInfo
    ),
]
urlpatterns: list[URLPattern] = [
    path("conversations/dify", views.ByDifyId.as_view()),
    *flow_urlpatterns,
    path("health/test-conversation", views.TestConversation.as_view()),
    path("conversation-info/<str:conversation_id>", views.ConversationInfo.as_view()),
    *(
        path(_without_number(route), view.as_view())
        for route, view in _ABOUT_ONE
        if route != _ONE  # `Conversations` answers that
    ),
]
