"""Why a run was stopped, in words that name the limit, its value and its setting."""

from __future__ import annotations

from django.conf import settings

from training.states import ExitClass

SHUTDOWN = "stopped in good order; goes on from its last checkpoint"


def stop_message(reason: ExitClass) -> str:
    """Return one line for people; NONE is the end of the platform, not of the run."""
    return {
        ExitClass.NONE: SHUTDOWN,
        ExitClass.CANCELLED: "cancelled",
        ExitClass.TIMED_OUT: f"took longer than TRAINING_WALL_CLOCK_S={settings.TRAINING_WALL_CLOCK_S:g} s",
        ExitClass.STALLED: f"made no progress for TRAINING_STALL_S={settings.TRAINING_STALL_S:g} s",
        ExitClass.LOST: f"gave no sign of life for TRAINING_LEASE_S={settings.TRAINING_LEASE_S:g} s",
    }.get(reason, reason.label)
