"""The mirror of Chatwoot's custom attribute definitions."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.utils.translation import gettext_lazy as _

from chatwoot_api.models.account import ChatwootAccount


class AttributeDefinition(models.Model):
    """What values a custom attribute may have; written by `sync`."""

    class Model(models.TextChoices):
        """What carries the attribute; Chatwoot's own names."""

        CONVERSATION = "conversation_attribute", _("conversation")
        CONTACT = "contact_attribute", _("contact")

    class DisplayType(models.TextChoices):
        """Chatwoot's own names; it checks values against none of them."""

        TEXT = "text", _("text")
        NUMBER = "number", _("number")
        CURRENCY = "currency", _("currency")
        PERCENT = "percent", _("percent")
        LINK = "link", _("link")
        DATE = "date", _("date")
        LIST = "list", _("list")
        CHECKBOX = "checkbox", _("checkbox")

    account = models.ForeignKey(
        ChatwootAccount,
        on_delete=models.CASCADE,
        related_name="attribute_definitions",
        verbose_name=_("account"),
    )
    chatwoot_definition_id = models.PositiveBigIntegerField(_("number in Chatwoot"))
    key = models.CharField(_("key"), max_length=255)
    display_name = models.CharField(_("name"), max_length=255, blank=True)
    # A newer Chatwoot may know more of both; such a definition checks nothing.
    model = models.CharField(_("of"), max_length=40, choices=Model)
    display_type = models.CharField(_("type"), max_length=20, choices=DisplayType)
    description = models.TextField(_("description"), blank=True)
    values = ArrayField(
        models.TextField(),
        default=list,
        blank=True,
        verbose_name=_("values"),
        help_text=_("Of a list: what may be chosen."),
    )
    regex_pattern = models.TextField(_("pattern"), blank=True)
    regex_cue = models.TextField(_("hint about the pattern"), blank=True)

    class Meta:
        verbose_name = _("attribute definition")
        verbose_name_plural = _("attribute definitions")
        constraints = [
            models.UniqueConstraint(
                fields=["account", "chatwoot_definition_id"],
                name="attributedefinition_number",
            )
        ]

    def __str__(self) -> str:
        return self.key
