"""Put every stored secret under the newest key, so that older keys can go."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from django.apps import apps
from django.core.exceptions import ImproperlyConfigured
from django.db import models, transaction
from django.db.models import F, Value
from django.db.models.functions import Cast

from bridge_project.lib.encryption import EncryptedTextField, renewed

BATCH_SIZE = 200


@dataclass
class Count:
    """What became of the values of one field."""

    renewed: int = 0
    current: int = 0
    # The keys of rows whose value no key decrypts.
    unreadable: list[Any] = field(default_factory=list)


def encrypted_fields() -> Iterator[tuple[type[models.Model], str]]:
    """Find all that is encrypted, in whichever app it is."""
    for model in apps.get_models():
        for candidate in model._meta.local_concrete_fields:
            if isinstance(candidate, EncryptedTextField):
                yield model, candidate.name


def rotate(
    model: type[models.Model], *, name: str, batch_size: int = BATCH_SIZE
) -> Count:
    """Encrypt a field's values with the first key; what has it already is left alone.

    Each batch is a transaction of its own that locks its rows: a token that somebody
    replaces meanwhile is not overwritten with the old one.
    """
    count = Count()
    last: Any = None
    while True:
        rows = model._default_manager.order_by("pk")
        if last is not None:
            rows = rows.filter(pk__gt=last)
        with transaction.atomic():
            batch = list(
                rows.select_for_update(of=("self",))
                .annotate(_stored=Cast(F(name), models.TextField()))
                .values_list("pk", "_stored")[:batch_size]
            )
            for pk, stored in batch:
                _renew(model, name, pk=pk, stored=stored or "", count=count)
        if len(batch) < batch_size:
            return count
        last = batch[-1][0]


def _renew(
    model: type[models.Model], name: str, *, pk: Any, stored: str, count: Count
) -> None:
    if not stored:
        return
    try:
        ciphertext = renewed(stored)
    except ImproperlyConfigured:
        count.unreadable.append(pk)
        return
    if ciphertext is None:
        count.current += 1
        return
    # As it is: the field itself would encrypt it once more.
    value = Value(ciphertext, output_field=models.TextField())
    model._default_manager.filter(pk=pk).update(**{name: value})
    count.renewed += 1
