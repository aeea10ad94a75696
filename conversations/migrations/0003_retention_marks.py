from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("conversations", "0002_reliability")]

    operations = [
        migrations.AddField(
            model_name="retention",
            name="payloads_done_until",
            field=models.DateTimeField(editable=False, null=True),
        ),
        migrations.AddField(
            model_name="retention",
            name="texts_done_until",
            field=models.DateTimeField(editable=False, null=True),
        ),
        migrations.AddField(
            model_name="retention",
            name="names_done_until",
            field=models.DateTimeField(editable=False, null=True),
        ),
        migrations.AlterField(
            model_name="difyconversation",
            name="end_reason",
            field=models.CharField(
                blank=True,
                choices=[
                    ("resolved", "the Chatwoot conversation was resolved"),
                    ("vanished", "Dify no longer knew it"),
                    ("gone", "the Chatwoot conversation was deleted"),
                    ("erased", "the contact was erased"),
                    ("by_operator", "an operator deleted it"),
                    ("unused", "it was not used any more"),
                ],
                max_length=20,
                verbose_name="ended because",
            ),
        ),
        migrations.AddIndex(
            model_name="difyconversation",
            index=models.Index(
                condition=models.Q(("delete_wanted_at", None)),
                fields=["last_used_at"],
                name="difyconversation_kept",
            ),
        ),
    ]
