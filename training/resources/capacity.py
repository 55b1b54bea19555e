"""What this place offers to trainings: its cores, memory and devices, or less where settings or a container say so."""

from __future__ import annotations

import functools
import os
from collections.abc import Sequence
from pathlib import Path

from django.conf import settings

from aiplatform.gpus import GpuDevice, Gpus, open_gpus
from training.resources.amounts import Capacity
from training.usage import memory_limit_bytes

_PROC = Path("/proc")
_CGROUP = Path("/sys/fs/cgroup")
_V1_QUOTA, _V1_PERIOD = "cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us"


@functools.cache
def this_gpus() -> Gpus | None:
    """Return the devices of this machine, opened once a process."""
    return open_gpus()


def measure_capacity(
    *, gpus: Gpus | None = None, proc: Path = _PROC, cgroup: Path = _CGROUP, cpus: Sequence[int] | None = None
) -> Capacity:
    """Return what there is here, as far as settings allow."""
    cpus = tuple(sorted(os.sched_getaffinity(0) if cpus is None else cpus))
    quota = cpu_quota(cgroup)
    cores = min(float(len(cpus)), quota or float(len(cpus)))
    memory = memory_limit_bytes(proc=proc, cgroup=cgroup) or 0
    all_memory = memory_limit_bytes(proc=proc, cgroup=proc / "no-container") or 0
    return Capacity(
        cores=round(min(cores, settings.TRAINING_CORES or cores), 2),
        memory_bytes=min(memory, settings.TRAINING_MEMORY_BYTES or memory),
        cpus=cpus,
        gpus=choose_gpus(gpus.devices() if gpus else (), settings.TRAINING_GPUS),
        slots=max(1, settings.TRAINING_SLOTS),
        has_own_cores=quota is not None and quota < len(cpus),
        has_own_memory=memory < all_memory,
    )


def cpu_quota(cgroup: Path = _CGROUP) -> float | None:
    """Return how many cores' time the container may take; None if it has no limit."""
    try:
        quota, period = (cgroup / "cpu.max").read_text().split()
    except (OSError, ValueError):
        try:
            quota, period = (cgroup / _V1_QUOTA).read_text().strip(), (cgroup / _V1_PERIOD).read_text().strip()
        except OSError:
            return None
    return int(quota) / int(period) if quota not in ("max", "-1") else None


def choose_gpus(devices: Sequence[GpuDevice], wanted: Sequence[str]) -> tuple[GpuDevice, ...]:
    """Return the devices that TRAINING_GPUS names: all, none, or some by number or UUID."""
    if [*wanted] == ["all"]:
        return tuple(devices)
    return tuple(one for one in devices if str(one.index) in wanted or one.uuid in wanted)
