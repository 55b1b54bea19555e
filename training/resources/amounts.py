"""What a run asks for, what a machine has, who holds what: plain values, without a database.

Cores are counted in hundredths, so that sums of shares are exact enough to compare; memory in bytes; GPUs are
devices, and a device is one run's alone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from aiplatform.gpus import GpuDevice

LEAST_CORES = 0.01
_SLACK = 0.001  # of cores, for sums of hundredths


@dataclass(frozen=True, kw_only=True)
class Ask:
    """What was ordered; None: the machine's default (see `need_on`)."""

    cores: float | None = None
    memory_bytes: int | None = None
    gpus: int | None = None
    gpu_memory_bytes: int | None = None


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """What runs like it took at their peaks; 0: none is known."""

    memory_bytes: int = 0
    gpu_memory_bytes: int = 0


@dataclass(frozen=True, kw_only=True)
class Capacity:
    """What a place offers to trainings. `has_own_*`: what other containers of the machine hold is not taken from it.

    `limits` says by what runs are held to theirs.
    """

    cores: float
    memory_bytes: int
    cpus: tuple[int, ...] = ()
    gpus: tuple[GpuDevice, ...] = ()
    slots: int = 1
    has_own_cores: bool = False
    has_own_memory: bool = False
    limits: str = ""


@dataclass(frozen=True, kw_only=True)
class Need:
    """An ask on one machine. Memory that was only estimated (`is_memory_asked` False) is no limit."""

    cores: float
    memory_bytes: int
    is_memory_asked: bool
    gpus: int
    gpu_memory_bytes: int = 0


@dataclass(frozen=True, kw_only=True)
class Holder:
    """Who holds what on a machine. `gpus`: bytes by UUID, of a run the whole device whatever the number."""

    label: str
    is_run: bool
    cores: float = 0.0
    memory_bytes: int = 0
    cpus: tuple[int, ...] = ()
    gpus: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Grant:
    """What a run gets. `cpus` empty: any core; `gpu_uuids` None: there are no devices; `memory_limit_bytes` 0: none."""

    cores: float
    memory_bytes: int
    memory_limit_bytes: int = 0
    cpus: tuple[int, ...] = ()
    gpu_uuids: tuple[str, ...] | None = None
    gpu_memory_bytes: int = 0
    share: float = 0.0  # the greatest of its shares of the machine (Ghodsi et al., Dominant Resource Fairness, 2011)

    @property
    def threads(self) -> int:
        """Return how many threads are busy on so many cores."""
        return max(1, math.ceil(self.cores - _SLACK))


@dataclass(frozen=True, kw_only=True)
class HostState:
    """A place that trains and those who hold something there. A cluster's scheduler knows itself what is free."""

    name: str
    capacity: Capacity
    holders: tuple[Holder, ...] = ()
    is_cluster: bool = False

    @property
    def free_cores(self) -> float:
        """Return the cores that nobody holds; never less than none."""
        return max(0.0, round(self.capacity.cores - sum(one.cores for one in self.holders), 2))

    @property
    def free_memory_bytes(self) -> int:
        """Return the memory that nobody holds; never less than none."""
        return max(0, self.capacity.memory_bytes - sum(one.memory_bytes for one in self.holders))

    @property
    def has_runs(self) -> bool:
        """Say whether any run holds something here."""
        return any(one.is_run for one in self.holders)

    def free_gpus(self, gpu_memory_bytes: int) -> list[GpuDevice]:
        """Return the devices that no run holds, and that have so much memory left beside what others hold.

        A device on which others hold memory is nobody's while it is not known how much the run needs (0).
        """
        taken = {uuid for one in self.holders if one.is_run for uuid in one.gpus}
        found = []
        for device in self.capacity.gpus:
            held = max(device.used_bytes, sum(one.gpus.get(device.uuid, 0) for one in self.holders))
            is_shared = held > 0.05 * device.memory_bytes  # a driver keeps some of each device for itself
            left = device.memory_bytes - held
            if device.uuid not in taken and gpu_memory_bytes <= left and not (is_shared and not gpu_memory_bytes):
                found.append(device)
        return found


def need_on(ask: Ask, estimate: Estimate, capacity: Capacity) -> Need:
    """Return what an ask comes to on a machine.

    Without a word a run gets one of `slots` equal shares of cores and devices (at least one device, where there are
    any), and as much memory as runs like it took, or half its share where none is known: it is charged with what
    it takes as soon as that is measured.
    """
    cores = ask.cores
    if cores is None:
        cores = max(LEAST_CORES, math.floor(100 * capacity.cores / capacity.slots) / 100)
    memory = ask.memory_bytes
    if memory is None:
        memory = min(estimate.memory_bytes or capacity.memory_bytes // capacity.slots // 2, capacity.memory_bytes)
    gpus = ask.gpus
    if gpus is None:
        gpus = max(1, len(capacity.gpus) // capacity.slots) if capacity.gpus else 0
    gpu_memory = ask.gpu_memory_bytes if ask.gpu_memory_bytes is not None else estimate.gpu_memory_bytes
    return Need(
        cores=cores,
        memory_bytes=memory,
        is_memory_asked=ask.memory_bytes is not None,
        gpus=gpus,
        gpu_memory_bytes=gpu_memory if gpus else 0,
    )


def can_ever_fit(need: Need, capacity: Capacity) -> bool:
    """Say whether a machine that nobody used would do."""
    devices = [one for one in capacity.gpus if need.gpu_memory_bytes <= one.memory_bytes]
    return (
        need.cores <= capacity.cores + _SLACK
        and need.memory_bytes <= capacity.memory_bytes
        and need.gpus <= len(devices)
    )


def fits(need: Need, host: HostState) -> bool:
    """Say whether there is room now.

    An estimate alone keeps no run from a machine on which no other run is: it would wait for ever for what serving
    holds. What was asked for does wait.
    """
    if host.is_cluster:
        return sum(one.is_run for one in host.holders) < host.capacity.slots
    has_memory = need.memory_bytes <= host.free_memory_bytes or not (need.is_memory_asked or host.has_runs)
    return (
        need.cores <= host.free_cores + _SLACK
        and has_memory
        and need.gpus <= len(host.free_gpus(need.gpu_memory_bytes))
    )


def grant_on(need: Need, host: HostState) -> Grant:
    """Return which cores and devices a run gets that fits: the cores that fewest runs share, the emptiest devices."""
    if host.is_cluster:
        return Grant(cores=need.cores, memory_bytes=need.memory_bytes, share=1 / host.capacity.slots)
    devices = sorted(host.free_gpus(need.gpu_memory_bytes), key=lambda one: (one.used_bytes, one.index))
    return Grant(
        cores=need.cores,
        memory_bytes=need.memory_bytes,
        memory_limit_bytes=need.memory_bytes if need.is_memory_asked else 0,
        cpus=_choose_cpus(need.cores, host),
        gpu_uuids=tuple(one.uuid for one in devices[: need.gpus]) if host.capacity.gpus else None,
        gpu_memory_bytes=need.gpu_memory_bytes,
        share=_dominant_share(need, host.capacity),
    )


def with_holder(host: HostState, label: str, grant: Grant) -> HostState:
    """Return the machine as it is once a run has its grant."""
    more = Holder(
        label=label,
        is_run=True,
        cores=grant.cores,
        memory_bytes=grant.memory_bytes,
        cpus=grant.cpus,
        gpus=dict.fromkeys(grant.gpu_uuids or (), grant.gpu_memory_bytes),
    )
    return HostState(name=host.name, capacity=host.capacity, holders=(*host.holders, more), is_cluster=host.is_cluster)


def _choose_cpus(cores: float, host: HostState) -> tuple[int, ...]:
    """Return the cores to bind to; none for a share of a core, and for the whole machine."""
    wanted = round(cores)
    if abs(cores - wanted) > _SLACK or not 0 < wanted < len(host.capacity.cpus):
        return ()
    load = dict.fromkeys(host.capacity.cpus, 0.0)
    for one in host.holders:
        for cpu in one.cpus:
            load[cpu] = load.get(cpu, 0.0) + one.cores / len(one.cpus)
    chosen = sorted(host.capacity.cpus, key=lambda cpu: (load[cpu], cpu))[:wanted]
    return tuple(sorted(chosen))


def _dominant_share(need: Need, capacity: Capacity) -> float:
    shares = [need.cores / capacity.cores] if capacity.cores else [1.0]
    if capacity.memory_bytes:
        shares.append(need.memory_bytes / capacity.memory_bytes)
    if capacity.gpus:
        shares.append(need.gpus / len(capacity.gpus))
    return round(min(1.0, max(shares)), 4)
