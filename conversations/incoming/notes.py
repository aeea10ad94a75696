"""Tells the agents what was understood of a voice message, or that nothing was."""

from __future__ import annotations

import logging

from django.conf import settings
from django.utils import translation
from django.utils.translation import gettext

from bridge_project.lib.errors import BridgeError
from chatwoot_api.client import ChatwootClient
from conversations import posting
from conversations.incoming.fates import Fate, fate_of
from conversations.models import Bot, OutgoingMessage, Turn

logger = logging.getLogger(__name__)
PART = OutgoingMessage.Part.TRANSCRIPT


def post(turn: Turn, *, bot: Bot, client: ChatwootClient) -> None:
    """Post the notes that are not posted yet. One that fails costs nobody the answer.

    An earlier attempt's note is looked up, never posted twice on a guess.
    """
    fates = [fate for stored in turn.files.values() if (fate := fate_of(stored)).tells]
    if not fates:
        return
    begun = {
        row.number: row for row in OutgoingMessage.objects.filter(turn=turn, part=PART)
    }
    for fate in fates:
        row = begun.get(fate.number)
        try:
            if row is not None:
                row.turn = turn
                posting.post_planned(row, client=client)
                continue
            posting.post_once(
                turn,
                part=PART,
                number=fate.number,
                content=_text(fate, language=bot.language),
                private=True,
                client=client,
            )
        except BridgeError as err:
            logger.warning("Turn %s: no note about a voice message: %s", turn.pk, err)


def _text(fate: Fate, *, language: str) -> str:
    with translation.override(language or settings.LANGUAGE_CODE):
        if fate.text:
            head = gettext("What the voice message “%(name)s” says:")
            return f"{head % {'name': fate.name}}\n\n{fate.text}"
        if fate.is_sent:
            return gettext(
                "The voice message “%(name)s” could not be turned into text; the bot "
                "got the sound itself. Cause: %(cause)s"
            ) % {"name": fate.name, "cause": fate.cause}
        return gettext(
            "The voice message “%(name)s” could not be turned into text, so the bot "
            "does not know what it says. Please listen to it. Cause: %(cause)s"
        ) % {"name": fate.name, "cause": fate.cause}
