"""Alerts by e-mail: plain text to one address."""

from __future__ import annotations

from smtplib import SMTPException, SMTPResponseException

from django.conf import settings
from django.core.mail import send_mail
from django.utils.translation import gettext

from bridge_project.lib.database import release_connection
from conversations.alerts.texts import Words
from conversations.alerts.webhook import NotDelivered
from conversations.models import AlertDelivery

# What stands in for a mail server until EMAIL_URL names one.
ONLY_LOGGED = "django.core.mail.backends.console.EmailBackend"


def send(delivery: AlertDelivery, *, words: Words) -> None:
    """Send a message; raises NotDelivered unless a mail server takes it."""
    if settings.EMAIL_BACKEND == ONLY_LOGGED:
        raise NotDelivered(
            gettext("No mail server is set: set EMAIL_URL and restart the bridge.")
        )
    release_connection()
    try:
        send_mail(
            subject=words.title,
            message=f"{words.text}\n\n{words.url}\n",
            from_email=None,
            recipient_list=[delivery.channel.email],
        )
    except (SMTPException, OSError, ValueError) as err:
        raise NotDelivered(_why(err)) from err


def _why(err: Exception) -> str:
    """Say what the mail server said; its own words may name more than is to be told."""
    if isinstance(err, SMTPResponseException):
        return gettext("The mail server refused the message (%(code)s).") % {
            "code": err.smtp_code
        }
    if isinstance(err, SMTPException):
        return gettext(
            "The mail server refused the message. Is the address right, and EMAIL_FROM?"
        )
    return gettext("The mail server could not be reached. Look at EMAIL_URL.")
