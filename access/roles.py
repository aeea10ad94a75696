"""The three roles of the admin: groups of Django, and what each is given."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from auditlog.context import disable_auditlog
from django.apps import AppConfig
from django.apps import apps as registry
from django.apps.registry import Apps
from django.contrib.auth.management import create_permissions

ADMINISTRATOR = "Administrator"
OPERATOR = "Operator"
AUDITOR = "Auditor"
ROLES = (ADMINISTRATOR, OPERATOR, AUDITOR)

# The apps whose pages the bridge has; `auth` are its users and groups.
BRIDGE = (
    "conversations",
    "chatwoot_api",
    "dify_api",
    "django_celery_results",
    "auditlog",
)
EVERYTHING = (*BRIDGE, "auth")
# What an operator acts on. A model that appears later is only looked at until it
# stands here: settings must not become an operator's by accident.
ACTED_ON = frozenset(
    {
        "conversations.conversation",
        "conversations.job",
        "conversations.turn",
        "conversations.webhookevent",
    }
)


def permissions_of(role: str, *, model: str) -> tuple[str, ...]:
    """Return what of view, add, change, delete a role may with a model ("app.name")."""
    app_label = model.partition(".")[0]
    if app_label not in EVERYTHING or model == "auth.permission":
        return ()
    if role == ADMINISTRATOR:
        return ("view", "add", "change", "delete")
    if role == AUDITOR:
        return ("view",)
    if app_label == "auth":
        return ()
    return ("view", "change") if model in ACTED_ON else ("view",)


def grant_after_migrate(
    app_config: AppConfig, using: str, apps: Apps = registry, **_kwargs: object
) -> None:
    """Give the roles what has appeared with a migration; a `post_migrate` receiver.

    `flush` sends the signal, too, but without the apps.
    """
    if app_config.label in EVERYTHING:
        # What a migration brings is nobody's change, and the table of changes may not
        # be there yet.
        with disable_auditlog():
            grant(apps, app_label=app_config.label, using=using)


def grant(apps: Apps, *, app_label: str, using: str) -> None:
    """Make the roles' groups and give them an app's permissions, each of them once.

    Repeats harmlessly. What was added to a group by hand stays, what was taken away
    stays away, and so does a group that was deleted or renamed.
    """
    try:
        history = apps.get_model("access", "Grant").objects.using(using)
        groups = apps.get_model("auth", "Group").objects.using(using)
        config = apps.get_app_config(app_label)
    except LookupError:
        return  # a migration back to before these tables
    _ensure_permissions(config, apps=apps, using=using)
    for role in ROLES:
        given = set(history.filter(role=role).values_list("permission", flat=True))
        if given and not groups.filter(name=role).exists():
            continue
        group, _made = groups.get_or_create(name=role)
        missing = [
            found
            for found in _wanted(role, config, apps=apps, using=using)
            if _label(found) not in given
        ]
        group.permissions.add(*missing)
        history.bulk_create(
            [history.model(role=role, permission=_label(found)) for found in missing]
        )


def _ensure_permissions(config: AppConfig, *, apps: Apps, using: str) -> None:
    """Make the permission rows, which Django itself makes only after all migrations."""
    module = getattr(config, "models_module", None)
    # The apps of a migration's state have no modules; without one Django does nothing.
    config.models_module = module or True  # type: ignore[assignment]
    create_permissions(config, verbosity=0, using=using, apps=apps)
    config.models_module = module


def _wanted(role: str, config: AppConfig, *, apps: Apps, using: str) -> Iterator[Any]:
    rows = apps.get_model("auth", "Permission").objects.using(using)
    names = [
        f"{action}_{model._meta.model_name}"
        for model in config.get_models()
        for action in permissions_of(role, model=model._meta.label_lower)
    ]
    found: Iterable[Any] = rows.filter(
        content_type__app_label=config.label, codename__in=names
    ).select_related("content_type")
    yield from found


def _label(permission: Any) -> str:
    return f"{permission.content_type.app_label}.{permission.codename}"
