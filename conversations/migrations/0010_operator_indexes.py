import django.contrib.postgres.search
import django.db.models.fields.json
from django.contrib.postgres.indexes import GinIndex
from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models
from django.db.models.functions import Left

# Of another app's table: from a turn to the results of its tasks. Their arguments are
# short; a column of any length could be too much for an index.
TASKS = "bridge_taskresult_args"


class Migration(migrations.Migration):
    # Webhooks go on while the large tables are read for them.
    atomic = False

    dependencies = [
        ("conversations", "0009_operator_tools"),
        ("django_celery_results", "0014_alter_taskresult_status"),
    ]

    operations = [
        AddIndexConcurrently(
            model_name="conversation",
            index=models.Index(
                condition=models.Q(("waiting_since__isnull", False)),
                fields=["waiting_since"],
                name="conversation_waiting",
            ),
        ),
        AddIndexConcurrently(
            model_name="conversation",
            index=GinIndex(
                django.contrib.postgres.search.SearchVector(
                    Left("contact_name", 200), config="simple"
                ),
                name="conversation_name_words",
            ),
        ),
        AddIndexConcurrently(
            model_name="pipelinerun",
            index=models.Index(
                condition=models.Q(("finished_at__isnull", False)),
                fields=["finished_at"],
                name="pipelinerun_finished",
            ),
        ),
        AddIndexConcurrently(
            model_name="turn",
            index=models.Index(
                condition=models.Q(("finished_at__isnull", False)),
                fields=["finished_at"],
                name="turn_finished",
            ),
        ),
        AddIndexConcurrently(
            model_name="webhookevent",
            index=GinIndex(
                django.contrib.postgres.search.SearchVector(
                    Left(
                        django.db.models.fields.json.KeyTextTransform(
                            "content", "payload"
                        ),
                        4000,
                    ),
                    config="simple",
                ),
                condition=models.Q(("chatwoot_message_id__isnull", False)),
                name="webhookevent_words",
            ),
        ),
        migrations.RunSQL(
            "CREATE INDEX CONCURRENTLY IF NOT EXISTS "
            f"{TASKS} ON django_celery_results_taskresult "
            "(left(task_args, 100), task_name)",
            f"DROP INDEX IF EXISTS {TASKS}",
        ),
    ]
