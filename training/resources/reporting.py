"""The ledger as records: who has what, who holds what, who waits why; for commands, the API, pages and metrics."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from training.launchers.limits import CGROUP, WATCHED
from training.models import ResourceHost, Run
from training.resources.amounts import HostState
from training.resources.granting import decide_queue, find_decision, used_shares
from training.resources.ledger import HeldLease, Ledger, read_ledger
from training.resources.queueing import Decision
from training.resources.wording import cores_text, memory_text
from training.states import RunState


def resource_record() -> dict[str, Any]:
    """Return the whole ledger as plain values: machines with their holders, the queue, and what was used lately."""
    ledger = read_ledger()
    decisions = decide_queue(ledger)
    runs = Run.objects.in_bulk([decision.run_id for decision in decisions])
    return {
        "hosts": [_host_record(ledger, host) for host in ledger.hosts],
        "waiting": [_waiting_record(one, runs[one.run_id]) for one in decisions if one.run_id in runs],
        "used": [
            {"requester": name, "machine_seconds": round(used, 1)}
            for name, used in sorted(used_shares(ledger.now).items(), key=lambda item: -item[1])
        ],
    }


def waiting_reasons() -> dict[UUID, str]:
    """Return for each run in the queue why it waits; one walk through the queue for all."""
    return {one.run_id: one.reason for one in decide_queue()}


def waiting_reason(run: Run) -> str:
    """Return why a run waits; empty if it does not."""
    decision = find_decision(run.pk) if run.state == RunState.QUEUED else None
    return decision.reason if decision else ""


def ask_text(run: Run) -> str:
    """Return what a run was ordered with; empty if it asked for nothing."""
    parts = [
        f"{cores_text(run.cores)} cores" if run.cores is not None else "",
        f"{memory_text(run.memory_bytes)} of memory" if run.memory_bytes is not None else "",
        f"{run.gpus} GPUs" if run.gpus is not None else "",
        f"{memory_text(run.gpu_memory_bytes)} of GPU memory" if run.gpu_memory_bytes is not None else "",
        f"priority {run.priority}" if run.priority else "",
    ]
    return ", ".join(part for part in parts if part)


def lease_text(run: Run) -> str:
    """Return what a run's last attempt held and took; empty before the first."""
    lease = run.leases.order_by("-granted_at").first()
    if lease is None:
        return ""
    held = {CGROUP: ", its limit (held by a cgroup)", WATCHED: ", its limit (watched)"}.get(lease.limits, ", its limit")
    limit = held if lease.memory_limit_bytes else ""
    cpus = f" ({', '.join(map(str, lease.cpus))})" if lease.cpus else ""
    parts = [f"{cores_text(lease.cores)} cores{cpus}", f"{memory_text(lease.memory_bytes)} of memory{limit}"]
    if lease.gpus:
        parts.append(f"{len(lease.gpus)} GPUs")
    usage = getattr(run, "usage", None)
    if usage is not None and usage.measured_at >= lease.granted_at:
        parts.append(f"took {memory_text(usage.memory_peak_bytes)} at its peak and {usage.cpu_seconds:.0f} s of CPU")
    return ", ".join(parts)


def _host_record(ledger: Ledger, host: ResourceHost) -> dict[str, Any]:
    state = ledger.state_of(host)
    return {
        "host": str(host),
        "place": host.name,
        "is_cluster": host.is_cluster,
        "slots": host.slots,
        "cores": host.cores,
        "cores_free": state.free_cores,
        "memory_bytes": host.memory_bytes,
        "memory_free_bytes": state.free_memory_bytes,
        "limits": host.limits,
        "gpus": [_gpu_record(gpu, state) for gpu in host.gpus],
        "holders": [*_run_records(ledger, host), *_serving_records(ledger, host)],
        "seen_at": host.seen_at,
    }


def _gpu_record(gpu: Mapping[str, Any], state: HostState) -> dict[str, Any]:
    holders = [one.label for one in state.holders if gpu["uuid"] in one.gpus]
    return {**gpu, "holders": holders}


def _run_records(ledger: Ledger, host: ResourceHost) -> list[dict[str, Any]]:
    return [_run_record(held) for held in ledger.leases if held.lease.host == host.name]


def _run_record(held: HeldLease) -> dict[str, Any]:
    lease = held.lease
    return {
        "kind": "run",
        "name": f"run {held.run.short_id}",
        "run": str(held.run.pk),
        "requester": held.run.requested_by,
        "cores": lease.cores,
        "memory_bytes": held.memory_bytes,
        "memory_limit_bytes": lease.memory_limit_bytes,
        "limits": lease.limits,
        "memory_peak_bytes": held.peak_bytes,
        "gpus": list(lease.gpus),
        "gpu_memory_bytes": (held.usage.gpu_peak_bytes if held.usage else None) or lease.gpu_memory_bytes,
        "since": lease.granted_at,
    }


def _serving_records(ledger: Ledger, host: ResourceHost) -> list[dict[str, Any]]:
    return [
        {
            "kind": "endpoint" if one.endpoint else "serving",
            "name": f"endpoint '{one.endpoint}' version {one.version}" if one.endpoint else f"process {one.replica}",
            "run": None,
            "requester": "",
            "cores": 0.0,
            "memory_bytes": one.memory_bytes,
            "memory_limit_bytes": 0,
            "limits": "",
            "memory_peak_bytes": one.memory_peak_bytes,
            "gpus": list(one.gpus),
            "gpu_memory_bytes": sum(one.gpus.values()),
            "since": one.reported_at,
        }
        for one in ledger.holdings
        if one.machine == host.machine
    ]


def _waiting_record(decision: Decision, run: Run) -> dict[str, Any]:
    return {
        "run": str(run.pk),
        "short_id": run.short_id,
        "position": decision.position,
        "priority": run.priority,
        "requester": run.requested_by,
        "asks": ask_text(run),
        "queued_at": run.queued_at,
        "reason": decision.reason,
    }
