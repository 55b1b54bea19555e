"""Tokens and the audit log: what the gateway keeps in the database.

Neither is read on the way of a prediction; `identities.py` holds the tokens in memory.
"""

from __future__ import annotations

from typing import Any

from django.db import models
from django.utils import timezone
from knox.models import AbstractAuthToken, AuthTokenManager

from aiplatform.identity import Identity, Scope


class Token(AbstractAuthToken):  # type: ignore[misc]
    """A caller's key. Only its SHA-512 digest is kept; the secret is shown once, when it is made.

    knox brings `digest`, `token_key` (the first 15 characters, to recognise it by), `user`,
    `created` and `expiry`. A revoked token keeps its row, for the audit log.
    """

    id = models.BigAutoField(primary_key=True)
    digest = models.CharField(max_length=128, unique=True, editable=False)
    name = models.CharField(max_length=100, help_text="What it is for, for example the program that uses it")
    scopes = models.JSONField(default=list, help_text="Some of predict, train, monitor, admin")
    predict_rate = models.CharField(
        max_length=32, blank=True, help_text="For example 100/min; empty: RATE_LIMIT_PREDICT"
    )
    api_rate = models.CharField(max_length=32, blank=True, help_text="For example 100/min; empty: RATE_LIMIT_API")
    revoked_at = models.DateTimeField(null=True, blank=True, editable=False)
    last_used_at = models.DateTimeField(null=True, blank=True, editable=False)

    objects = AuthTokenManager()

    class Meta:
        ordering = ("-created",)

    def __str__(self) -> str:
        return f"{self.name} ({self.token_key}…)"

    @property
    def state(self) -> str:
        """Return 'usable', 'revoked' or 'expired'."""
        if self.revoked_at is not None:
            return "revoked"
        return "expired" if self.expiry is not None and self.expiry <= timezone.now() else "usable"

    @property
    def is_usable(self) -> bool:
        """Say whether it opens anything now, as far as the token itself goes."""
        return self.state == "usable"

    @property
    def identity(self) -> Identity:
        """Return who a request with this token is from."""
        scopes = frozenset(Scope(scope) for scope in self.scopes)
        return Identity(username=self.user.get_username(), scopes=scopes, token_id=str(self.pk))


class AuditRecord(models.Model):
    """One change: who did what to which object, and how it ended. Never edited, only aged out."""

    time = models.DateTimeField(default=timezone.now, db_index=True)
    actor = models.CharField(max_length=200, help_text="User name, or how the caller was known")
    token_id = models.CharField(max_length=32, blank=True)
    action = models.CharField(max_length=64, help_text="For example POST or token.create")
    object = models.CharField(max_length=500, help_text="For example the path, or token:3")
    before = models.JSONField(null=True, blank=True)
    after = models.JSONField(null=True, blank=True)
    http_status = models.PositiveSmallIntegerField(null=True, blank=True)
    request_id = models.CharField(max_length=128, blank=True)

    class Meta:
        ordering = ("-time", "-id")

    def __str__(self) -> str:
        return f"{self.time:%Y-%m-%d %H:%M:%S} {self.actor} {self.action} {self.object}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Write a new record; a written one does not change."""
        if not self._state.adding:
            raise TypeError("an audit record does not change")
        super().save(*args, **kwargs)
