"""What inference remembers: the desired state, its history, and what each replica says.

No foreign key leaves the app, and none binds the history to its endpoint: the history outlives a
deleted endpoint, and a later endpoint of the same name counts its generations on from there.
"""

from __future__ import annotations

from typing import ClassVar

from django.db import models

from aiplatform.contracts.inference import ReplicaState

NAME_PATTERN = r"[a-z0-9][a-z0-9._-]{0,62}"


class Endpoint(models.Model):
    """The public name of a model, with the traffic that is wanted now.

    `traffic` is a list of `{"version": int, "weight": int}`; the weights are percents. `engine` is the
    one that is pinned; empty: as the setting ENGINE says.
    """

    name = models.CharField(max_length=63, unique=True)
    model = models.CharField(max_length=63)
    generation = models.PositiveIntegerField(default=0)
    traffic = models.JSONField(default=list)
    engine = models.CharField(max_length=32, blank=True)
    traffic_generation = models.PositiveIntegerField(default=0, help_text="Of the last order that concerned traffic")
    traffic_key = models.CharField(max_length=200, blank=True, help_text="The idempotency key of that order")
    shadow = models.PositiveIntegerField(null=True, blank=True, help_text="The version that gets copies of requests")
    is_off = models.BooleanField(default=False)
    off_reason = models.TextField(blank=True)
    is_frozen = models.BooleanField(default=False)
    frozen_reason = models.TextField(blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering: ClassVar = ["name"]

    def __str__(self) -> str:
        return self.name


class EndpointRevision(models.Model):
    """One change of an endpoint's desired state; never altered."""

    class Kind(models.TextChoices):
        """What the order was."""

        DEPLOY = "deploy", "Deploy"
        TRAFFIC = "traffic", "Traffic"
        ROLLBACK = "rollback", "Roll back"
        DELETE = "delete", "Delete"
        SHADOW = "shadow", "Shadow"
        SWITCH_OFF = "switch_off", "Switch off"
        SWITCH_ON = "switch_on", "Switch on"
        FREEZE = "freeze", "Freeze"
        UNFREEZE = "unfreeze", "Lift the freeze"

    endpoint = models.CharField(max_length=63, db_index=True)
    generation = models.PositiveIntegerField()
    kind = models.CharField(max_length=16, choices=Kind.choices)
    model = models.CharField(max_length=63)
    traffic = models.JSONField(default=list)
    engine = models.CharField(max_length=32, blank=True)
    restored_generation = models.PositiveIntegerField(
        null=True, blank=True, help_text="Of a rollback: the generation whose traffic came back"
    )
    is_step = models.BooleanField(default=False, help_text="A step of a rollout, to which nobody rolls back")
    actor = models.CharField(max_length=150, blank=True)
    reason = models.TextField(blank=True)
    idempotency_key = models.CharField(max_length=200, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering: ClassVar = ["endpoint", "-generation"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["endpoint", "generation"], name="one_revision_per_generation"),
            models.UniqueConstraint(
                fields=["endpoint", "idempotency_key"],
                condition=~models.Q(idempotency_key=""),
                name="one_revision_per_idempotency_key",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.endpoint} #{self.generation}"

    @property
    def is_target(self) -> bool:
        """Say whether a rollback may return to it."""
        return self.kind in _TRAFFIC_KINDS and not self.is_step


_TRAFFIC_KINDS = (EndpointRevision.Kind.DEPLOY, EndpointRevision.Kind.TRAFFIC, EndpointRevision.Kind.ROLLBACK)


class VersionFacts(models.Model):
    """What the registry and the manifest said of a version when it was first ordered.

    A version is immutable, so these stay true; a replica can load it, and a rollback can return
    to it, while training is away.
    """

    model = models.CharField(max_length=63)
    version = models.PositiveIntegerField()
    info = models.JSONField()  # training's ModelVersionInfo as plain values, without its aliases, which move
    image = models.JSONField(null=True, blank=True)  # ImageInput as plain values
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        verbose_name_plural = "version facts"
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["model", "version"], name="one_row_of_facts_per_version")
        ]

    def __str__(self) -> str:
        return f"{self.model} version {self.version}"


class Replay(models.Model):
    """Recorded requests that a serving process runs again. `requests` and `results` are packed messages."""

    key = models.CharField(max_length=200, unique=True)
    endpoint = models.CharField(max_length=63)
    versions = models.JSONField(default=list)
    requests = models.BinaryField()
    results = models.BinaryField(default=bytes)
    state = models.CharField(max_length=8, choices=[(s, s) for s in ("queued", "running", "done", "failed")])
    message = models.TextField(blank=True)
    replica = models.CharField(max_length=128, blank=True)
    attempts = models.PositiveIntegerField(default=0)
    claimed_until = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True, db_index=True)

    class Meta:
        indexes: ClassVar = [models.Index(fields=["state", "created_at"], name="replay_state")]

    def __str__(self) -> str:
        return f"{self.key} ({self.state})"


class ReplicaStatus(models.Model):
    """What one serving process last said of one version of an endpoint."""

    replica = models.CharField(max_length=128)
    endpoint = models.CharField(max_length=63, db_index=True)
    version = models.PositiveIntegerField()
    state = models.CharField(max_length=16, choices=[(s.value, s.value) for s in ReplicaState])
    message = models.TextField(blank=True)
    engine = models.CharField(max_length=64, blank=True)
    generation_seen = models.PositiveIntegerField(default=0)
    heartbeat_at = models.DateTimeField(db_index=True)

    class Meta:
        verbose_name_plural = "replica statuses"
        ordering: ClassVar = ["endpoint", "version", "replica"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["replica", "endpoint", "version"], name="one_status_per_replica_version")
        ]

    def __str__(self) -> str:
        return f"{self.replica}: {self.endpoint} version {self.version} {self.state}"
