"""The NVIDIA devices of this machine, by NVML; a machine without a driver has none.

`nvidia-ml-py` is imported when it is first needed. Whatever has the same functions serves as `nvml` in its place.
"""

from __future__ import annotations

import importlib
from collections.abc import Set
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class GpuDevice:
    """One device: `used_bytes` is what all processes hold of its memory, ours or not."""

    index: int
    uuid: str
    name: str
    memory_bytes: int
    used_bytes: int = 0


class Gpus:
    """The devices of this machine."""

    def __init__(self, nvml: Any) -> None:
        self._nvml = nvml
        self._devices = [nvml.nvmlDeviceGetHandleByIndex(i) for i in range(nvml.nvmlDeviceGetCount())]

    def measure(self, pids: Set[int]) -> tuple[float | None, int | None]:
        """Return the share of time in which the busiest device of these processes works, and their bytes on all."""
        share, used_bytes = None, 0
        for device in self._devices:
            try:
                running = self._nvml.nvmlDeviceGetComputeRunningProcesses(device)
                own = [entry for entry in running if entry.pid in pids]
                if own:
                    share = max(share or 0.0, self._nvml.nvmlDeviceGetUtilizationRates(device).gpu / 100)
                used_bytes += sum(entry.usedGpuMemory or 0 for entry in own)
            except self._nvml.NVMLError:
                continue  # a device may refuse, or have gone; the others still answer
        return share, used_bytes

    def devices(self) -> tuple[GpuDevice, ...]:
        """Return the devices that answer, with what is used of each now."""
        found = []
        for index, device in enumerate(self._devices):
            try:
                memory = self._nvml.nvmlDeviceGetMemoryInfo(device)
                found.append(
                    GpuDevice(
                        index=index,
                        uuid=_text(self._nvml.nvmlDeviceGetUUID(device)),
                        name=_text(self._nvml.nvmlDeviceGetName(device)),
                        memory_bytes=int(memory.total),
                        used_bytes=int(memory.used),
                    )
                )
            except self._nvml.NVMLError:
                continue
        return tuple(found)

    def held_by(self, pids: Set[int]) -> dict[str, int]:
        """Return how much memory these processes hold, by the device's UUID; a device they do not use is left out."""
        held: dict[str, int] = {}
        for device in self._devices:
            try:
                running = self._nvml.nvmlDeviceGetComputeRunningProcesses(device)
                amount = sum(entry.usedGpuMemory or 0 for entry in running if entry.pid in pids)
                if amount:
                    held[_text(self._nvml.nvmlDeviceGetUUID(device))] = amount
            except self._nvml.NVMLError:
                continue
        return held


def open_gpus(nvml: Any = None) -> Gpus | None:
    """Return the machine's GPUs; None if there is no NVML, or no device."""
    try:
        nvml = nvml or importlib.import_module("pynvml")
    except ImportError:
        return None
    try:
        nvml.nvmlInit()
        gpus = Gpus(nvml)
    except nvml.NVMLError:
        return None
    return gpus if nvml.nvmlDeviceGetCount() else None


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value
