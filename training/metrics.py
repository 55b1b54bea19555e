"""Training's own metrics for Prometheus; supervision sets them from the rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from prometheus_client import Gauge

from training.resources.amounts import HostState

_MODE: Final = "mostrecent"  # several clocks read the same rows

RUNS = Gauge("aiplatform_training_runs", "Training runs by state", ["state"], multiprocess_mode=_MODE)
LONGEST_WAIT = Gauge(
    "aiplatform_training_longest_wait_seconds", "How long the oldest queued run has waited", multiprocess_mode=_MODE
)
LONGEST_RUN = Gauge(
    "aiplatform_training_longest_run_seconds", "How long the oldest active run has been going", multiprocess_mode=_MODE
)
LAST_RUN = Gauge(
    "aiplatform_training_last_run_seconds", "How long the run that ended last took", multiprocess_mode=_MODE
)


CORES = Gauge("aiplatform_resource_cores", "Cores that trainings may hold", ["host"], multiprocess_mode=_MODE)
CORES_FREE = Gauge("aiplatform_resource_cores_free", "Cores that no run holds", ["host"], multiprocess_mode=_MODE)
MEMORY = Gauge(
    "aiplatform_resource_memory_bytes", "Memory that trainings and serving may hold", ["host"], multiprocess_mode=_MODE
)
MEMORY_FREE = Gauge(
    "aiplatform_resource_memory_free_bytes", "Memory that neither runs nor serving hold", ["host"],
    multiprocess_mode=_MODE,
)  # fmt: skip
GPUS = Gauge("aiplatform_resource_gpus", "GPUs that trainings may hold", ["host"], multiprocess_mode=_MODE)
GPUS_FREE = Gauge("aiplatform_resource_gpus_free", "GPUs that nobody holds", ["host"], multiprocess_mode=_MODE)
WAITING = Gauge(
    "aiplatform_resource_waiting_runs", "Queued runs: ready to start, or waiting for room", ["why"],
    multiprocess_mode=_MODE,
)  # fmt: skip
_by_host = (CORES, CORES_FREE, MEMORY, MEMORY_FREE, GPUS, GPUS_FREE)
_known_hosts: set[str] = set()


def observe_resources(states: Sequence[HostState], *, ready: int, waiting: int) -> None:
    """Set the ledger's gauges; a machine that has fallen silent has nothing any more."""
    here = {state.name.partition("/")[0]: state for state in states if not state.is_cluster}
    for host in _known_hosts - set(here):
        for gauge in _by_host:
            gauge.labels(host).set(0)
    _known_hosts.update(here)
    for host, state in here.items():
        CORES.labels(host).set(state.capacity.cores)
        CORES_FREE.labels(host).set(state.free_cores)
        MEMORY.labels(host).set(state.capacity.memory_bytes)
        MEMORY_FREE.labels(host).set(state.free_memory_bytes)
        GPUS.labels(host).set(len(state.capacity.gpus))
        GPUS_FREE.labels(host).set(len(state.free_gpus(0)))
    WAITING.labels("ready").set(ready)
    WAITING.labels("no room").set(waiting)


def observe_runs(counts: Mapping[str, int], *, longest_wait_s: float, longest_run_s: float, last_run_s: float) -> None:
    """Set all gauges."""
    for state, count in counts.items():
        RUNS.labels(state).set(count)
    LONGEST_WAIT.set(longest_wait_s)
    LONGEST_RUN.set(longest_run_s)
    LAST_RUN.set(last_run_s)
