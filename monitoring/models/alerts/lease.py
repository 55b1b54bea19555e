"""Who evaluates the rules now."""

from __future__ import annotations

from django.db import models


class Lease(models.Model):
    """One row a duty. `token` grows with every new holder: what an older one still writes is refused."""

    name = models.CharField(max_length=40, primary_key=True)
    holder = models.CharField(max_length=120)
    token = models.PositiveBigIntegerField(default=0)
    expires_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.name}: {self.holder} ({self.token})"
