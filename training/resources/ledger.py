"""Reads the ledger: what each place has and who holds what there, from the rows as they are now.

A run's lease counts while the run is active under the lease's fence. So whatever takes a run from its process (its
end, a lost process, a lease that ran out) frees what it held, in the same UPDATE and with nothing to clean up.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.utils import timezone

from training.models import ResourceHost, ResourceLease, Run, RunUsage, ServingHolding
from training.resources.amounts import Ask, Capacity, Estimate, Holder, HostState, need_on
from training.resources.hosts import capacity_of, list_hosts
from training.states import ACTIVE_STATES


@dataclass(frozen=True, kw_only=True)
class HeldLease:
    """A lease that counts, with its run and what was last measured of it."""

    lease: ResourceLease
    run: Run
    usage: RunUsage | None

    @property
    def memory_bytes(self) -> int:
        """Return what it holds: what was granted, or what it took if that is more."""
        return max(self.lease.memory_bytes, self.peak_bytes)

    @property
    def peak_bytes(self) -> int:
        """Return the most memory that this attempt has taken."""
        usage = self.usage
        is_of_this_attempt = usage is not None and usage.measured_at >= self.lease.granted_at
        return usage.memory_peak_bytes if usage is not None and is_of_this_attempt else 0


@dataclass(frozen=True, kw_only=True)
class Ledger:
    """The ledger at one moment."""

    now: datetime
    hosts: tuple[ResourceHost, ...]
    leases: tuple[HeldLease, ...]
    holdings: tuple[ServingHolding, ...]

    def states(self) -> list[HostState]:
        """Return each place with those who hold something there."""
        return [self.state_of(host) for host in self.hosts]

    def state_of(self, host: ResourceHost) -> HostState:
        """Return a place with those who hold something there."""
        capacity = capacity_of(host)
        holders = [
            *(found for held in self.leases if (found := _run_holder(held, host, capacity))),
            *_serving_holders(self.holdings, host),
        ]
        return HostState(name=host.name, capacity=capacity, holders=tuple(holders), is_cluster=host.is_cluster)


def read_ledger(now: datetime | None = None) -> Ledger:
    """Return the ledger as it is now, of the places that have been heard of lately."""
    now = now or timezone.now()
    hosts = list_hosts(now)
    return Ledger(
        now=now,
        hosts=tuple(hosts),
        leases=tuple(_held_leases(hosts)),
        holdings=tuple(ServingHolding.objects.filter(expires_at__gt=now)),
    )


def ask_of(run: Run) -> Ask:
    """Return what a run was ordered with."""
    return Ask(cores=run.cores, memory_bytes=run.memory_bytes, gpus=run.gpus, gpu_memory_bytes=run.gpu_memory_bytes)


def estimate_of(run: Run) -> Estimate:
    """Return what runs like it took."""
    return Estimate(memory_bytes=run.memory_estimate_bytes, gpu_memory_bytes=run.gpu_memory_estimate_bytes)


def _held_leases(hosts: Sequence[ResourceHost]) -> Iterable[HeldLease]:
    active = list(Run.objects.filter(state__in=ACTIVE_STATES).select_related("usage"))
    leases = ResourceLease.objects.filter(released_at=None, run__in=[run.pk for run in active])
    found = {(lease.run_id, lease.fence): lease for lease in leases}
    by_name = {host.name: host for host in hosts}
    for run in active:
        lease = found.get((run.pk, run.fence)) or _unwritten_lease(run, by_name.get(run.host))
        if lease is not None:
            yield HeldLease(lease=lease, run=run, usage=getattr(run, "usage", None))


def _unwritten_lease(run: Run, host: ResourceHost | None) -> ResourceLease | None:
    """Return what a run without a lease holds: it was started before there was a ledger, and has the default."""
    if host is None:
        return None
    need = need_on(ask_of(run), estimate_of(run), capacity_of(host))
    return ResourceLease(
        run=run, fence=run.fence, attempt=run.attempt, host=host.name, machine=host.machine, cores=need.cores,
        memory_bytes=need.memory_bytes, granted_at=run.started_at or run.created_at, requester=run.requested_by,
    )  # fmt: skip


def _run_holder(held: HeldLease, host: ResourceHost, capacity: Capacity) -> Holder | None:
    """Return what a run holds of a place; devices are taken wherever the run is, cores and memory may be its own."""
    lease = held.lease
    is_here = lease.host == host.name
    is_beside = bool(host.machine) and lease.machine == host.machine
    devices = set(lease.gpus) & {gpu.uuid for gpu in capacity.gpus}
    if not is_here and not is_beside and not devices:
        return None
    counts_cores = is_here or (is_beside and not host.has_own_cores)
    counts_memory = is_here or (is_beside and not host.has_own_memory)
    return Holder(
        label=f"run {held.run.short_id}",
        is_run=is_here or counts_cores or bool(devices),
        cores=lease.cores if counts_cores else 0.0,
        memory_bytes=held.memory_bytes if counts_memory else 0,
        cpus=tuple(lease.cpus) if counts_cores else (),
        gpus=dict.fromkeys(sorted(devices), lease.gpu_memory_bytes),
    )


def _serving_holders(holdings: Sequence[ServingHolding], host: ResourceHost) -> Iterable[Holder]:
    for one in holdings:
        if one.machine != host.machine:
            continue
        counts_memory = one.host == host.name or not host.has_own_memory
        if counts_memory or one.gpus:
            yield Holder(
                label=f"endpoint '{one.endpoint}' version {one.version}" if one.endpoint else "a serving process",
                is_run=False,
                memory_bytes=one.memory_bytes if counts_memory else 0,
                gpus=one.gpus,
            )
