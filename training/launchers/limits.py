"""What a trainer is held to on this machine: told by its launcher, put in force by itself before it starts anything.

Where a cgroup is delegated to the platform the kernel holds memory, cores and processes (cgroups.py). Elsewhere cores
are bound, threads counted, and memory is looked at (training/memory_guard.py). In both no core is dumped: it would be
as large as the run's memory.
"""

from __future__ import annotations

import contextlib
import json
import resource
from dataclasses import asdict, dataclass
from pathlib import Path
from uuid import UUID

from training.launchers.cgroups import PREFIX, GroupLimits, make_group
from training.resources.amounts import Grant

LIMITS_VARIABLE = "TRAINER_LIMITS"  # for the trainer, as JSON
CGROUP, WATCHED = "cgroup", "watched"
_PROCESSES, _PROCESSES_OF_A_CORE = 4096, 256  # processes and threads: far above any training, far below the machine's


@dataclass(frozen=True, kw_only=True)
class InForce:
    """By what a trainer is held: `by` is cgroup or watched; `why_not` says why a group could not be had."""

    by: str = WATCHED
    memory_bytes: int = 0
    why_not: str = ""

    @property
    def is_memory_held(self) -> bool:
        """Say whether the kernel itself holds the memory."""
        return self.by == CGROUP and self.memory_bytes > 0


def group_of(folder: Path, run_id: UUID, fence: int) -> Path:
    """Return the group of one attempt."""
    return folder / f"{PREFIX}{run_id}-{fence}"


def encode_limits(group: Path, grant: Grant, *, all_cores: float) -> str:
    """Return what a trainer is told of its group; a grant of all cores sets no share of them."""
    limits = GroupLimits(
        memory_bytes=grant.memory_limit_bytes,
        cores=grant.cores if grant.cores < all_cores else 0.0,
        processes=max(_PROCESSES, round(_PROCESSES_OF_A_CORE * grant.cores)),
    )
    return json.dumps({"group": str(group), **asdict(limits)})


def put_in_force(text: str) -> InForce:
    """Hold this process to what its launcher said; empty: to nothing but that it dumps no core."""
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if not text:
        return InForce()
    told = json.loads(text)
    group = Path(told.pop("group"))
    limits = GroupLimits(**told)
    try:
        make_group(group, limits)
    except OSError as error:
        return InForce(why_not=f"{group} could not be made ({error.strerror or error}); memory is looked at instead")
    return InForce(by=CGROUP, memory_bytes=limits.memory_bytes)
