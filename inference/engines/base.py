"""What every engine does, whatever framework is inside."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol

import numpy as np

Array = np.ndarray[Any, Any]
Arrays = dict[str, Array]

_CPU_QUOTA = Path("/sys/fs/cgroup/cpu.max")


class EngineKind(StrEnum):
    """What can run a model; an endpoint may pin one by this name."""

    TENSORFLOW = "tensorflow"
    TENSORFLOW_XLA = "tensorflow_xla"
    ONNXRUNTIME = "onnxruntime"
    LITERT = "litert"
    TORCH = "torch"
    AOT_INDUCTOR = "aot_inductor"
    REMOTE = "remote"


@dataclass(frozen=True, kw_only=True)
class EngineOptions:
    """How an engine may use the machine.

    `threads` is how many one call may use; 0 shares the cores between `workers`, the serving
    processes here. `max_rows` is the largest batch that an engine should be ready for.
    """

    threads: int = 0
    workers: int = 1
    max_rows: int = 64

    @property
    def thread_count(self) -> int:
        """Return how many threads one call may use."""
        return self.threads if self.threads > 0 else max(1, available_cores() // max(1, self.workers))


class Engine(Protocol):
    """A loaded model. At most `concurrency` threads call it at once.

    `name` is its kind. `releases_gil` says whether other threads of this process go on meanwhile.
    """

    @property
    def name(self) -> str: ...
    @property
    def releases_gil(self) -> bool: ...
    @property
    def concurrency(self) -> int: ...

    def run(self, inputs: Arrays) -> Arrays:
        """Return the outputs by name, in the signature's order.

        Shapes: as the manifest's signature says; all inputs have the same number of rows.
        """

    def close(self) -> None:
        """Give the model's memory back."""


def available_cores() -> int:
    """Return how many cores this process may use: its affinity, within its container's quota."""
    cores = len(os.sched_getaffinity(0))
    try:
        quota, period = _CPU_QUOTA.read_text().split()
        return max(1, min(cores, math.ceil(int(quota) / int(period))))
    except (OSError, ValueError):  # no such file, or 'max': no quota
        return cores
