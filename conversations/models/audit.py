"""Who changed what, when and why; rows are only ever added."""

from __future__ import annotations

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from chatwoot_api.models import ChatwootAccount
from conversations.models.conversation import Conversation


class AuditEntry(models.Model):
    """One change made by a person or by the bridge itself; written by `audit`."""

    class Verb(models.TextChoices):
        """What was done."""

        PAUSED = "paused", _("paused the bot")
        RESUMED = "resumed", _("let the bot speak again")
        ENDED_IDLE = "ended_idle", _("ended an idle conversation")
        DELETED_IN_DIFY = "deleted_in_dify", _("deleted a conversation in Dify")
        WANTED_DELETION = "wanted_deletion", _("wants a Dify conversation deleted")
        ERASED_CONTACT = "erased_contact", _("erased a contact")
        MADE_TOKEN = "made_token", _("made a callback token")
        ENDED_TOKEN = "ended_token", _("ended a callback token")
        REPLAYED = "replayed", _("had an event answered once more")
        ANSWERED_AGAIN = "answered_again", _("had the bot answer again")
        HANDED_OVER = "handed_over", _("handed a conversation to the humans")
        FORGOT_IN_DIFY = "forgot_in_dify", _("began a new Dify conversation")
        STARTED_JOB = "started_job", _("started a job")
        STOPPED_JOB = "stopped_job", _("stopped a job")
        PULLED = "pulled", _("read the settings from Chatwoot")
        PUSHED = "pushed", _("wrote settings to Chatwoot")
        SET_UP = "set_up", _("set up a bot")
        MENDED = "mended", _("had the doctor mend something")
        TRIED_BOT = "tried_bot", _("tried a bot in the playground")
        TESTED_ALERT = "tested_alert", _("tested an alert channel")
        EXPORTED = "exported", _("exported the configuration")
        IMPORTED = "imported", _("imported a configuration")
        MARKED_SEEN = "marked_seen", _("marked a warning as seen")
        SWITCHED_BOT = "switched_bot", _("switched a bot on or off")
        COPIED_BOT = "copied_bot", _("copied a bot")
        MADE_SECRET = "made_secret", _("made a signing secret")
        PRUNED = "pruned", _("deleted what was older than the retention")

    created_at = models.DateTimeField(_("time"), default=timezone.now)
    # A user's name, or "system".
    actor = models.CharField(_("who"), max_length=150)
    verb = models.CharField(_("did what"), max_length=40, choices=Verb)
    account = models.ForeignKey(
        ChatwootAccount,
        on_delete=models.CASCADE,
        null=True,
        blank=True,
        related_name="audit_entries",
        verbose_name=_("account"),
    )
    conversation = models.ForeignKey(
        Conversation,
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="audit_entries",
        verbose_name=_("conversation"),
    )
    # Ids, counts and reasons; never a text that somebody wrote.
    details = models.JSONField(_("details"), default=dict, blank=True)

    class Meta:
        verbose_name = _("audit entry")
        verbose_name_plural = _("audit entries")
        indexes = [models.Index(fields=["-created_at"], name="auditentry_time")]

    def __str__(self) -> str:
        return f"{self.get_verb_display()} {self.pk}"
