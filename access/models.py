"""What the roles were given so far."""

from __future__ import annotations

from django.db import models
from django.utils import timezone


class Grant(models.Model):
    """One permission that a role got once; written by `roles.grant`.

    It is not given a second time: what an administrator took from a group stays taken.
    """

    role = models.CharField(max_length=40)
    permission = models.CharField(max_length=200)
    granted_at = models.DateTimeField(default=timezone.now)

    class Meta:
        # Nobody is to see or change it in the admin.
        default_permissions = ()
        constraints = [
            models.UniqueConstraint(fields=["role", "permission"], name="grant_once")
        ]

    def __str__(self) -> str:
        return f"{self.role}: {self.permission}"
