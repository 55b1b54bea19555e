# ruff: noqa: N802  (the names are NVML's)
"""An NVML by hand: as many devices as a test wants, held by whom it says."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

GIB = 2**30


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
