"""The groups Administrator, Operator and Auditor with their permissions."""

from __future__ import annotations

import django.utils.timezone
from django.apps.registry import Apps
from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

from access.roles import EVERYTHING, grant


def make_roles(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    for app_label in EVERYTHING:
        grant(apps, app_label=app_label, using=schema_editor.connection.alias)


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        ("auth", "0012_alter_user_first_name_max_length"),
        ("contenttypes", "0002_remove_content_type_name"),
        ("chatwoot_api", "0001_initial"),
        ("conversations", "0001_initial"),
        ("dify_api", "0001_initial"),
        ("django_celery_results", "0014_alter_taskresult_status"),
    ]

    operations = [
        migrations.CreateModel(
            name="Grant",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True,
                        primary_key=True,
                        serialize=False,
                        verbose_name="ID",
                    ),
                ),
                ("role", models.CharField(max_length=40)),
                ("permission", models.CharField(max_length=200)),
                (
                    "granted_at",
                    models.DateTimeField(default=django.utils.timezone.now),
                ),
            ],
            options={
                "default_permissions": (),
                "constraints": [
                    models.UniqueConstraint(
                        fields=("role", "permission"), name="grant_once"
                    )
                ],
            },
        ),
        # The groups stay when this is undone: people are in them.
        migrations.RunPython(make_roles, migrations.RunPython.noop),
    ]
