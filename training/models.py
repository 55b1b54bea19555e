"""Runs, their metrics, and the registry of models, versions and aliases.

A run's row is the truth about it: queue, processes and commands only act on what it says.
No row of another app is referred to; a deployment is known by the endpoint's name.
"""

from __future__ import annotations

import uuid
from typing import Any

from django.db import models
from django.utils import timezone

from training.states import (
    ACTIVE_STATES,
    ENDED_STATES,
    DeployState,
    ExitClass,
    RunState,
    SearchState,
    TrialState,
    VersionState,
)

SHORT_ID_LENGTH = 8


class Run(models.Model):
    """One training: what was ordered, where it stands, who holds it, how it ended."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)

    # What was ordered
    recipe = models.CharField(max_length=200)
    parameters = models.JSONField(default=dict, blank=True)
    data_uri = models.CharField("data", max_length=1000)
    target = models.CharField(max_length=200, blank=True, help_text="Column to predict, for tables")
    model_name = models.CharField("model", max_length=63)
    seed = models.BigIntegerField(default=0)
    deploy_endpoint = models.CharField(max_length=63, blank=True, help_text="Deploy there on success")
    requested_by = models.CharField(max_length=150, blank=True)
    reason = models.CharField(max_length=500, blank=True)
    notes = models.TextField(blank=True, help_text="What people write about it")
    idempotency_key = models.CharField(max_length=200, blank=True, help_text="The same order twice is one run")
    registers = models.BooleanField(default=True, help_text="False: a trial, which has no version")

    # What it asks of a machine; empty: the machine's default (training.resources.amounts.need_on)
    cores = models.FloatField(null=True, blank=True)
    memory_bytes = models.PositiveBigIntegerField(null=True, blank=True, help_text="A limit as well")
    gpus = models.PositiveIntegerField("GPUs", null=True, blank=True)
    gpu_memory_bytes = models.PositiveBigIntegerField("GPU memory", null=True, blank=True)
    memory_estimate_bytes = models.PositiveBigIntegerField(default=0, help_text="What runs like it took; 0: unknown")
    gpu_memory_estimate_bytes = models.PositiveBigIntegerField(default=0)
    priority = models.IntegerField(default=0)
    queued_at = models.DateTimeField(default=timezone.now)
    passed_at = models.DateTimeField(null=True, blank=True, help_text="When a smaller run was first let past it")

    # Where it stands
    state = models.CharField(max_length=12, choices=RunState.choices, default=RunState.QUEUED)
    progress = models.JSONField(default=dict, blank=True)
    attempt = models.PositiveIntegerField(default=0, help_text="Processes started so far")
    attempts_left = models.PositiveIntegerField(default=0)
    rung_at = models.DateTimeField(null=True, blank=True, help_text="When the queue's doorbell was last rung")

    # Who holds it
    fence = models.PositiveBigIntegerField(default=0, help_text="Only the process with this number may write")
    lease_expires_at = models.DateTimeField(null=True, blank=True)
    heartbeat_at = models.DateTimeField(null=True, blank=True)
    progress_at = models.DateTimeField(null=True, blank=True)
    deadline_at = models.DateTimeField(null=True, blank=True)
    launcher = models.CharField(max_length=100, blank=True)
    host = models.CharField(max_length=200, blank=True)
    pid = models.PositiveIntegerField(null=True, blank=True)
    process_started = models.CharField(
        max_length=40, blank=True, help_text="Tells a process from a later one of its id"
    )
    oom_kills_before = models.PositiveBigIntegerField(null=True, blank=True)

    # How it is being stopped, and how it ended
    cancel_requested_at = models.DateTimeField(null=True, blank=True)
    stop_reason = models.CharField(max_length=16, choices=ExitClass.choices, blank=True)
    stop_ordered_at = models.DateTimeField(null=True, blank=True)
    stop_signalled_at = models.DateTimeField(null=True, blank=True)
    exit_class = models.CharField(max_length=16, choices=ExitClass.choices, blank=True)
    exit_message = models.CharField(max_length=1000, blank=True)
    exit_traceback = models.TextField(blank=True)

    # Where its result comes from
    code_commit = models.CharField(max_length=64, blank=True)
    packages = models.JSONField(default=dict, blank=True)
    data_fingerprint = models.CharField(max_length=100, blank=True)

    # What became of the deployment it asked for
    deploy_state = models.CharField(max_length=12, choices=DeployState.choices, blank=True)
    deploy_error = models.CharField(max_length=1000, blank=True)
    deploy_attempts = models.PositiveIntegerField(default=0)
    deploy_next_at = models.DateTimeField(null=True, blank=True)

    created_at = models.DateTimeField(default=timezone.now, editable=False)
    started_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("-created_at",)
        indexes = [
            models.Index(fields=("state", "created_at"), name="training_run_state"),
            models.Index(fields=("model_name", "-created_at"), name="training_run_model"),
            models.Index(fields=("-created_at",), name="training_run_created"),
            models.Index(fields=("deploy_state", "deploy_next_at"), name="training_run_deploy"),
        ]
        constraints = [
            models.CheckConstraint(condition=models.Q(state__in=RunState.values), name="training_run_state_known"),
            models.UniqueConstraint(
                fields=("idempotency_key",), condition=~models.Q(idempotency_key=""), name="training_run_key_unique"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.short_id} {self.recipe} -> {self.model_name}"

    @property
    def short_id(self) -> str:
        """Return the first characters of the id, which people type."""
        return self.id.hex[:SHORT_ID_LENGTH]

    @property
    def tag_names(self) -> list[str]:
        """Return the tags in order; one query, unless they were fetched before."""
        return sorted(tag.name for tag in self.tags.all())

    @property
    def is_active(self) -> bool:
        """Say whether a process holds the run."""
        return self.state in ACTIVE_STATES

    @property
    def is_ended(self) -> bool:
        """Say whether the run has come to its end."""
        return self.state in ENDED_STATES

    @property
    def duration_s(self) -> float | None:
        """Return seconds from the first start to the end, or to now; None before the start."""
        if self.started_at is None:
            return None
        return ((self.ended_at or timezone.now()) - self.started_at).total_seconds()


class RunTag(models.Model):
    """A word by which people find runs again."""

    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="tags")
    name = models.CharField(max_length=40)

    class Meta:
        ordering = ("name",)
        constraints = [models.UniqueConstraint(fields=("run", "name"), name="training_tag_unique")]
        indexes = [models.Index(fields=("name",), name="training_tag_name")]

    def __str__(self) -> str:
        return self.name


class RunEvaluation(models.Model):
    """How a run's model did on its test rows, as far as it is not one number."""

    run = models.OneToOneField(Run, on_delete=models.CASCADE, related_name="evaluation", primary_key=True)
    labels = models.JSONField(default=list)
    confusion_matrix = models.JSONField(default=list, help_text="Counts; rows are true classes, columns predicted")
    metrics = models.JSONField(default=dict, help_text="On the test rows")

    def __str__(self) -> str:
        return f"evaluation of {self.run_id}"


class EpochMetrics(models.Model):
    """What a run measured at the end of one epoch; a resumed run overwrites the epochs it repeats."""

    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="epochs")
    epoch = models.PositiveIntegerField()
    values = models.JSONField(default=dict)
    recorded_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ("epoch",)
        verbose_name_plural = "epoch metrics"
        constraints = [models.UniqueConstraint(fields=("run", "epoch"), name="training_epoch_unique")]

    def __str__(self) -> str:
        return f"epoch {self.epoch}"


class RunUsage(models.Model):
    """What a run's process took of its machine: a bounded series, and the last attempt's peak."""

    run = models.OneToOneField(Run, on_delete=models.CASCADE, related_name="usage", primary_key=True)
    points = models.JSONField(default=list, help_text="[time s, cores, memory bytes, GPU share, GPU bytes]")
    interval_s = models.FloatField(default=1.0)
    memory_peak_bytes = models.PositiveBigIntegerField(default=0)
    memory_limit_bytes = models.PositiveBigIntegerField(null=True, blank=True)
    gpu_peak_bytes = models.PositiveBigIntegerField(null=True, blank=True)
    cpu_seconds = models.FloatField(default=0, help_text="Of the last attempt, all its processes")
    measured_at = models.DateTimeField(default=timezone.now)

    class Meta:
        verbose_name_plural = "run usages"

    def __str__(self) -> str:
        return f"usage of {self.run_id}"


class Search(models.Model):
    """A search for good parameters: what was ordered, what it wants, who advances it just now."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    recipe = models.CharField(max_length=200)
    parameters = models.JSONField(default=dict, blank=True, help_text="The same in all trials")
    data_uri = models.CharField("data", max_length=1000)
    target = models.CharField(max_length=200, blank=True)
    model_name = models.CharField("model", max_length=63)
    seed = models.BigIntegerField(default=0)
    requested_by = models.CharField(max_length=150, blank=True)

    space = models.JSONField(default=list)
    resources = models.JSONField(default=dict, blank=True, help_text="What each trial asks of a machine")
    metric = models.CharField(max_length=100)
    is_minimized = models.BooleanField(default=True)
    sampler = models.CharField(max_length=20)
    pruner = models.CharField(max_length=20)
    trials_wanted = models.PositiveIntegerField()
    parallel = models.PositiveIntegerField(default=1)

    state = models.CharField(max_length=10, choices=SearchState.choices, default=SearchState.RUNNING)
    message = models.CharField(max_length=1000, blank=True)
    importances = models.JSONField(default=dict, blank=True)
    fence = models.PositiveBigIntegerField(default=0)
    lease_expires_at = models.DateTimeField(null=True, blank=True, help_text="Who advances it has until then")
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("-created_at",)
        verbose_name_plural = "searches"
        indexes = [models.Index(fields=("state",), name="training_search_state")]

    def __str__(self) -> str:
        return f"{self.short_id} {self.recipe}"

    @property
    def short_id(self) -> str:
        """Return the first characters of the id, which people type."""
        return self.id.hex[:SHORT_ID_LENGTH]


class Trial(models.Model):
    """One choice of parameters of a search, and the run that tries it."""

    search = models.ForeignKey(Search, on_delete=models.CASCADE, related_name="trials")
    number = models.PositiveIntegerField()
    values = models.JSONField(default=dict)
    run = models.OneToOneField(Run, on_delete=models.SET_NULL, related_name="trial", null=True, blank=True)
    state = models.CharField(max_length=8, choices=TrialState.choices, default=TrialState.RUNNING)
    value = models.FloatField(null=True, blank=True)
    last_epoch = models.PositiveIntegerField(default=0, help_text="The pruner has looked so far")
    notes = models.JSONField(default=dict, blank=True, help_text="The pruner's own")

    class Meta:
        ordering = ("number",)
        constraints = [models.UniqueConstraint(fields=("search", "number"), name="training_trial_unique")]

    def __str__(self) -> str:
        return f"trial {self.number}"


class TrainingSchedule(models.Model):
    """Trains again as a run did, at times of a cron line or when there is new data; the queue's own schedule rings."""

    name = models.CharField(max_length=63, unique=True)
    like = models.ForeignKey(Run, on_delete=models.PROTECT, related_name="schedules", help_text="What is repeated")
    data_uri = models.CharField("data", max_length=1000)
    deploy_endpoint = models.CharField(max_length=63, blank=True)
    cron = models.CharField(max_length=100, blank=True, help_text="Minute, hour, day, month, weekday; UTC")
    watch_minutes = models.PositiveIntegerField(default=0, help_text="Look for new data so often; 0: it is not watched")
    is_enabled = models.BooleanField(default=True)
    data_mark = models.CharField(max_length=64, blank=True, help_text="Of the data that was trained on last")
    last_run = models.ForeignKey(Run, on_delete=models.SET_NULL, related_name="+", null=True, blank=True)
    last_fired_at = models.DateTimeField(null=True, blank=True)
    last_outcome = models.CharField(max_length=1000, blank=True)
    created_by = models.CharField(max_length=150, blank=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ("name",)

    def __str__(self) -> str:
        return self.name


class RegisteredModel(models.Model):
    """A name under which versions are kept. `last_version` only grows: a number is never reused."""

    name = models.CharField(max_length=63, unique=True)
    description = models.TextField(blank=True)
    last_version = models.PositiveIntegerField(default=0)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ("name",)
        verbose_name = "model"

    def __str__(self) -> str:
        return self.name


class ModelVersion(models.Model):
    """An immutable version; pending until its artifact is in its place, and invisible until then."""

    model = models.ForeignKey(RegisteredModel, on_delete=models.PROTECT, related_name="versions")
    version = models.PositiveIntegerField()
    state = models.CharField(max_length=8, choices=VersionState.choices, default=VersionState.PENDING)
    run = models.OneToOneField(
        Run, on_delete=models.PROTECT, related_name="version", null=True, blank=True, help_text="None: imported"
    )
    artifact_uri = models.CharField(max_length=1000)
    artifact_digest = models.CharField(max_length=80, blank=True)
    framework = models.CharField(max_length=40, blank=True)
    task = models.CharField(max_length=60, blank=True)
    manifest = models.JSONField(default=dict, blank=True)
    metrics = models.JSONField(default=dict, blank=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ("model", "-version")
        constraints = [models.UniqueConstraint(fields=("model", "version"), name="training_version_unique")]
        indexes = [models.Index(fields=("state", "-created_at"), name="training_version_state")]

    def __str__(self) -> str:
        return f"{self.model.name} {self.version}"

    @property
    def labels(self) -> tuple[str, ...]:
        """Return the class labels in the order of the probabilities."""
        return tuple(self.manifest.get("labels") or ())

    @property
    def lineage(self) -> dict[str, Any]:
        """Return the manifest's lineage as plain values."""
        return dict(self.manifest.get("lineage") or {})


class Alias(models.Model):
    """A movable name for one version of a model."""

    model = models.ForeignKey(RegisteredModel, on_delete=models.CASCADE, related_name="aliases")
    name = models.CharField(max_length=63)
    version = models.ForeignKey(ModelVersion, on_delete=models.PROTECT, related_name="aliases")
    changed_at = models.DateTimeField(auto_now=True)
    changed_by = models.CharField(max_length=150, blank=True)

    class Meta:
        ordering = ("name",)
        verbose_name_plural = "aliases"
        constraints = [models.UniqueConstraint(fields=("model", "name"), name="training_alias_unique")]

    def __str__(self) -> str:
        return self.name


from training.dataset_models import Dataset as Dataset  # noqa: E402  (Django looks for models in this module)
from training.dataset_models import DatasetVersion as DatasetVersion  # noqa: E402
from training.dataset_models import RunData as RunData  # noqa: E402
from training.resource_models import ResourceHost as ResourceHost  # noqa: E402
from training.resource_models import ResourceLease as ResourceLease  # noqa: E402
from training.resource_models import ServingHolding as ServingHolding  # noqa: E402
