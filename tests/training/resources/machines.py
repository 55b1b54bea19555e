"""Machines and waiting runs by hand."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from aiplatform.gpus import GpuDevice
from training.resources.amounts import Ask, Capacity, Estimate, Holder, HostState
from training.resources.queueing import Waiting

GIB = 2**30
NOW = datetime(2024, 5, 1, 12, 0, tzinfo=UTC)


def device(index: int, *, used: int = 0, size: int = 16 * GIB) -> GpuDevice:
    """Return a GPU."""
    return GpuDevice(index=index, uuid=f"GPU-{index}", name="Toy", memory_bytes=size, used_bytes=used)


def machine(
    name: str = "one/1", *, cores: float = 4, memory: int = 8 * GIB, slots: int = 1, gpus: int = 0, holders: Any = ()
) -> HostState:
    """Return a machine."""
    capacity = Capacity(
        cores=cores,
        memory_bytes=memory,
        cpus=tuple(range(int(cores))),
        gpus=tuple(device(i) for i in range(gpus)),
        slots=slots,
    )
    return HostState(name=name, capacity=capacity, holders=tuple(holders))


def run_holder(label: str = "run ab12", **fields: Any) -> Holder:
    """Return a run that holds something."""
    return Holder(label=label, is_run=True, **fields)


def waiting(number: int, *, minutes: float = 0.0, **fields: Any) -> Waiting:
    """Return a run that was queued so many minutes ago; its id ends with its number."""
    ask = Ask(
        **{name: fields.pop(name) for name in ("cores", "memory_bytes", "gpus", "gpu_memory_bytes") if name in fields}
    )
    defaults: dict[str, Any] = {"requester": "ann", "priority": 0, "estimate": Estimate(memory_bytes=1)}
    return Waiting(
        run_id=UUID(int=number),
        short_id=f"run{number}",
        queued_at=NOW - timedelta(minutes=minutes),
        ask=ask,
        **{**defaults, **fields},
    )
