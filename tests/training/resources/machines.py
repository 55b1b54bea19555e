# ruff: noqa: N802  (the names are NVML's)
"""Machines and waiting runs by hand, and an NVML that is none."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
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


class FakeNvml:
    """What NVML's Python binding answers, from plain values. `processes`: device index to {pid: bytes}."""

    class NVMLError(Exception):
        """What the binding raises."""

    def __init__(self, count: int = 2, *, broken: tuple[int, ...] = (), has_driver: bool = True) -> None:
        self.count, self.broken, self.has_driver = count, broken, has_driver
        self.processes: dict[int, dict[int, int]] = {}

    def nvmlInit(self) -> None:
        if not self.has_driver:
            raise self.NVMLError("driver not loaded")

    def nvmlDeviceGetCount(self) -> int:
        return self.count

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:
        return index

    def nvmlDeviceGetMemoryInfo(self, device: int) -> Any:
        self._check(device)
        return SimpleNamespace(total=16 * GIB, used=sum(self.processes.get(device, {}).values()))

    def nvmlDeviceGetUUID(self, device: int) -> bytes:
        return f"GPU-{device}".encode()

    def nvmlDeviceGetName(self, device: int) -> str:
        return "Toy"

    def nvmlDeviceGetComputeRunningProcesses(self, device: int) -> list[Any]:
        self._check(device)
        held = self.processes.get(device, {})
        return [SimpleNamespace(pid=pid, usedGpuMemory=amount) for pid, amount in held.items()]

    def nvmlDeviceGetUtilizationRates(self, device: int) -> Any:
        return SimpleNamespace(gpu=50)

    def _check(self, device: int) -> None:
        if device in self.broken:
            raise self.NVMLError("GPU is lost")
