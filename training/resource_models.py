"""The ledger's rows: places that train, what each attempt at a run holds there, and what serving says that it holds."""

from __future__ import annotations

from django.db import models
from django.utils import timezone


class ResourceHost(models.Model):
    """A place that starts trainings, with what it offers; it says so itself, every few seconds."""

    name = models.CharField(max_length=200, unique=True)
    machine = models.CharField(max_length=64, help_text="The same for all containers of one machine")
    is_cluster = models.BooleanField(default=False, help_text="A cluster's scheduler knows what is free there")
    cores = models.FloatField(default=0)
    memory_bytes = models.PositiveBigIntegerField(default=0)
    cpus = models.JSONField(default=list, help_text="Numbers of the cores that processes may be bound to")
    gpus = models.JSONField(default=list, help_text="Index, UUID, name, bytes and used bytes of each device")
    slots = models.PositiveIntegerField(default=1)
    has_own_cores = models.BooleanField(default=False)
    has_own_memory = models.BooleanField(default=False)
    limits = models.CharField(max_length=200, blank=True, help_text="By what runs are held to their limits")
    seen_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ("name",)
        verbose_name = "machine"

    def __str__(self) -> str:
        return self.name.partition("/")[0]


class ResourceLease(models.Model):
    """What one attempt at a run holds, or held. It counts while the run is active under the same fence, no longer."""

    run = models.ForeignKey("training.Run", on_delete=models.CASCADE, related_name="leases")
    fence = models.PositiveBigIntegerField()
    attempt = models.PositiveIntegerField()
    host = models.CharField(max_length=200)
    machine = models.CharField(max_length=64, blank=True)
    requester = models.CharField(max_length=150, blank=True)
    cores = models.FloatField()
    cpus = models.JSONField(default=list)
    memory_bytes = models.PositiveBigIntegerField()
    memory_limit_bytes = models.PositiveBigIntegerField(default=0, help_text="0: it was estimated, and is no limit")
    limits = models.CharField(max_length=20, blank=True, help_text="By what the run is held: cgroup, or watched")
    gpus = models.JSONField(default=list, help_text="UUIDs of the devices that are this run's alone")
    gpu_memory_bytes = models.PositiveBigIntegerField(default=0)
    share = models.FloatField(default=0, help_text="The greatest of its shares of the machine")
    granted_at = models.DateTimeField(default=timezone.now)
    released_at = models.DateTimeField(null=True, blank=True)
    cpu_seconds = models.FloatField(default=0)
    memory_peak_bytes = models.PositiveBigIntegerField(default=0)
    gpu_peak_bytes = models.PositiveBigIntegerField(null=True, blank=True)

    class Meta:
        ordering = ("-granted_at",)
        constraints = [models.UniqueConstraint(fields=("run", "fence"), name="training_lease_unique")]
        indexes = [models.Index(fields=("released_at",), name="training_lease_released")]

    def __str__(self) -> str:
        return f"lease of {self.run_id}, attempt {self.attempt}"


class ServingHolding(models.Model):
    """What a serving process holds for one version of an endpoint; version 0: the process itself. It expires."""

    replica = models.CharField(max_length=200)
    host = models.CharField(max_length=200)
    machine = models.CharField(max_length=64)
    endpoint = models.CharField(max_length=63, blank=True)
    model = models.CharField(max_length=63, blank=True)
    version = models.PositiveIntegerField(default=0)
    memory_bytes = models.PositiveBigIntegerField(default=0)
    memory_peak_bytes = models.PositiveBigIntegerField(default=0)
    gpus = models.JSONField(default=dict, help_text="Bytes by the device's UUID")
    reported_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField()

    class Meta:
        ordering = ("host", "replica", "endpoint", "version")
        constraints = [
            models.UniqueConstraint(fields=("replica", "endpoint", "version"), name="training_holding_unique")
        ]
        indexes = [models.Index(fields=("expires_at",), name="training_holding_expires")]

    def __str__(self) -> str:
        return f"{self.endpoint or 'process'} {self.version or ''} in {self.replica}"
