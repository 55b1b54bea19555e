"""What a launcher does: start a trainer somewhere, say whether it lives, stop it.

The lease in the database is the final word on a run; what a launcher knows only makes the answer
come sooner. A launcher that cannot know (the process is on another machine) says UNKNOWN.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, auto
from pathlib import Path
from typing import Protocol
from uuid import UUID

from training.resources.amounts import Ask, Capacity, Grant

MEMORY_EXIT_CODE = 77  # of a trainer that ended itself because it took more memory than it asked for
CPUS_VARIABLE = "TRAINER_CPUS"  # the cores that a trainer is bound to, as numbers with commas

# How a launcher on another machine tells the trainer what it is called there, and to write its log itself.
HOST_VARIABLE, NAME_VARIABLE, LOG_VARIABLE = "TRAINER_HOST", "TRAINER_NAME", "TRAINER_LOG"


class Liveness(Enum):
    """What a launcher knows of a process."""

    ALIVE = auto()
    DEAD = auto()
    UNKNOWN = auto()


@dataclass(frozen=True, kw_only=True)
class LaunchOrder:
    """What to start: one attempt at one run, with the fence that it holds, in so many processes (`workers`).

    `grant` is what it was granted of what it asks for; on a cluster each of its pods asks for that much.
    """

    run_id: UUID
    fence: int
    folder: Path
    grant: Grant | None = None
    ask: Ask = field(default_factory=Ask)
    workers: int = 1


@dataclass(frozen=True, kw_only=True)
class Handle:
    """Which process it is; `started` tells it from a later one that got the same id."""

    host: str
    pid: int
    started: str


@dataclass(frozen=True, kw_only=True)
class ProcessEnd:
    """How a process ended, as far as is known. A negative exit code is the signal's number.

    `peak_bytes` and `limit_bytes` are those of a limit of its own that it went over; 0: it was not one of its own.
    """

    exit_code: int | None
    is_out_of_memory: bool
    peak_bytes: int = 0
    limit_bytes: int = 0


class Launcher(Protocol):
    """Starts and stops trainers. Those of a launcher that `ends_with_platform` are stopped when the platform stops."""

    ends_with_platform: bool

    @property
    def place(self) -> str:
        """Return the name under which the ledger knows where trainers of this launcher run."""

    def measure_capacity(self) -> Capacity | None:
        """Return what there is for trainings; None where a scheduler of its own knows that."""

    def launch(self, order: LaunchOrder) -> Handle:
        """Start a trainer and return at once.

        Raises: OSError if it cannot be started.
        """

    def check(self, handle: Handle) -> Liveness:
        """Say whether a trainer lives."""

    def describe_wait(self, handle: Handle) -> str:
        """Say why a trainer that was ordered does not run yet; empty if it runs, or that is not known."""

    def stop(self, handle: Handle, *, force: bool) -> None:
        """Ask a trainer to stop, or end it with all its children; one that has ended is no error."""

    def describe_end(self, order: LaunchOrder, *, oom_kills_before: int | None) -> ProcessEnd:
        """Say how a trainer that is dead came to its end."""

    def count_oom_kills(self) -> int | None:
        """Return how often the system has killed for memory so far; None if that is not known."""
