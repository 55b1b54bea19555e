"""Registered data sets and their versions, and what each run found in its data."""

from __future__ import annotations

from django.db import models
from django.utils import timezone


class Dataset(models.Model):
    """A name under which versions of a data set are kept. `last_version` only grows: a number is never reused."""

    name = models.CharField(max_length=63, unique=True)
    description = models.TextField(blank=True)
    last_version = models.PositiveIntegerField(default=0)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ("name",)
        verbose_name = "data set"

    def __str__(self) -> str:
        return self.name


class DatasetVersion(models.Model):
    """What a source held at one time: it never changes. The data itself stays where it is.

    `schema`: inputs (name, dtype, shape), labels with their counts, kind. `profile` is a DataProfile as JSON.
    """

    dataset = models.ForeignKey(Dataset, on_delete=models.PROTECT, related_name="versions")
    version = models.PositiveIntegerField()
    source_uri = models.CharField("source", max_length=1000)
    target = models.CharField(max_length=200, blank=True, help_text="Column to predict, for tables")
    fingerprint = models.CharField(max_length=100)
    kind = models.CharField(max_length=40)
    rows = models.PositiveBigIntegerField()
    size_bytes = models.PositiveBigIntegerField(help_text="Of the rows in memory, as they are learned from")
    schema = models.JSONField(default=dict)
    profile = models.JSONField(default=dict)
    report = models.JSONField(default=list, help_text="Rows, split and bad rows of each source")
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    created_by = models.CharField(max_length=150, blank=True)

    class Meta:
        ordering = ("dataset", "-version")
        verbose_name = "data set version"
        constraints = [models.UniqueConstraint(fields=("dataset", "version"), name="training_dataset_version_unique")]
        indexes = [models.Index(fields=("fingerprint",), name="training_dataset_fingerprint")]

    def __str__(self) -> str:
        return f"{self.dataset.name}@{self.version}"


class RunData(models.Model):
    """What a run found in its data: one entry a source, with rows by part, split and bad rows."""

    run = models.OneToOneField("training.Run", on_delete=models.CASCADE, related_name="data")
    sources = models.JSONField(default=list)
    versions = models.ManyToManyField(DatasetVersion, related_name="runs", blank=True)

    class Meta:
        verbose_name_plural = "run data"

    def __str__(self) -> str:
        return f"data of {self.run_id}"
