from django.db import migrations

INPUT, SOURCE = "conversation_token", "bridge.conversation_token"


def add(apps, schema_editor):
    """Give bots that know the address of the callbacks the token for them, too.

    Old code that runs beside takes an unknown source for no value.
    """
    bots = apps.get_model("conversations", "Bot").objects.using(
        schema_editor.connection.alias
    )
    for bot in bots.filter(inputs__has_key="bridge_api_url").exclude(
        inputs__has_key=INPUT
    ):
        bot.inputs[INPUT] = SOURCE
        bot.save(update_fields=["inputs"])


class Migration(migrations.Migration):
    dependencies = [
        ("conversations", "0007_callbacks"),
    ]

    operations = [
        migrations.RunPython(add, migrations.RunPython.noop, elidable=True),
    ]
