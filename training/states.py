"""The states of a run, and the classes into which its end falls.

    queued -> starting -> running -> succeeded
      ^          |          |------> failed      (exit class says how)
      |          v          v
      '------ taken back  stopping -> cancelled, failed or queued again

`starting`, `running` and `stopping` are active: a process holds the run's lease. Only the holder of
the present fence may change an active run; whoever takes it back raises the fence.
"""

from __future__ import annotations

from django.db import models


class RunState(models.TextChoices):
    """Where a run stands."""

    QUEUED = "queued", "Queued"
    STARTING = "starting", "Starting"
    RUNNING = "running", "Running"
    STOPPING = "stopping", "Stopping"
    SUCCEEDED = "succeeded", "Succeeded"
    FAILED = "failed", "Failed"
    CANCELLED = "cancelled", "Cancelled"


class ExitClass(models.TextChoices):
    """Why a run ended other than well, or why it is being stopped."""

    NONE = "", "-"
    FAILED = "failed", "Failed"
    OUT_OF_MEMORY = "out_of_memory", "Out of memory"
    CANCELLED = "cancelled", "Cancelled"
    LOST = "lost", "Lost its process"
    STALLED = "stalled", "Stalled"
    TIMED_OUT = "timed_out", "Timed out"


class VersionState(models.TextChoices):
    """Whether a version's artifact is in its place."""

    PENDING = "pending", "Pending"
    READY = "ready", "Ready"


class SearchState(models.TextChoices):
    """Where a search stands."""

    RUNNING = "running", "Running"
    SUCCEEDED = "succeeded", "Succeeded"
    FAILED = "failed", "Failed"
    CANCELLED = "cancelled", "Cancelled"


class TrialState(models.TextChoices):
    """Where a trial stands; only a complete one has a final value."""

    RUNNING = "running", "Running"
    COMPLETE = "complete", "Complete"
    PRUNED = "pruned", "Given up"
    FAILED = "failed", "Failed"


class DeployState(models.TextChoices):
    """How far the deployment that a run asked for has come."""

    NONE = "", "-"
    PENDING = "pending", "Pending"
    DONE = "done", "Done"
    SUPERSEDED = "superseded", "Superseded by a newer version"


ACTIVE_STATES = (RunState.STARTING, RunState.RUNNING, RunState.STOPPING)
ENDED_STATES = (RunState.SUCCEEDED, RunState.FAILED, RunState.CANCELLED)
RESUMABLE_STATES = (RunState.FAILED, RunState.CANCELLED)
# The run may go on from its last checkpoint after these; after the others it would end the same way again.
RETRIED_CLASSES = (ExitClass.LOST, ExitClass.STALLED)
