"""One part of an answer may be several messages now.

The indexes are made without keeping anybody from writing.
"""

from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models

TABLE = "conversations_outgoingmessage"
NAME = "outgoingmessage_once_each"


class Migration(migrations.Migration):
    atomic = False

    dependencies = [
        ("conversations", "0015_rich_and_copilot"),
    ]

    operations = [
        migrations.SeparateDatabaseAndState(
            database_operations=[
                migrations.RunSQL(
                    sql=(
                        f"CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS {NAME} "
                        f"ON {TABLE} (turn_id, part, number)"
                    ),
                    reverse_sql=f"ALTER TABLE {TABLE} DROP CONSTRAINT {NAME}",
                ),
                migrations.RunSQL(
                    sql=f"ALTER TABLE {TABLE} ADD CONSTRAINT {NAME} UNIQUE USING INDEX {NAME}",
                    reverse_sql=migrations.RunSQL.noop,
                ),
            ],
            state_operations=[
                migrations.AddConstraint(
                    model_name="outgoingmessage",
                    constraint=models.UniqueConstraint(
                        fields=("turn", "part", "number"), name=NAME
                    ),
                ),
            ],
        ),
        migrations.RemoveConstraint(
            model_name="outgoingmessage",
            name="outgoingmessage_once",
        ),
        AddIndexConcurrently(
            model_name="turn",
            index=models.Index(
                condition=models.Q(flow_form__isnull=False),
                fields=["flow_form"],
                name="turn_flow_form",
            ),
        ),
        AddIndexConcurrently(
            model_name="webhookevent",
            index=models.Index(
                condition=models.Q(("action", ""), ("reason", "feedback")),
                fields=["id"],
                name="webhookevent_feedback",
            ),
        ),
    ]
