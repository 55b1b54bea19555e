"""The versions in this replica: begins loads and drains in the background, and knows their states."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor

import structlog

from aiplatform.contracts.inference import ReplicaState
from aiplatform.contracts.training import ModelVersionInfo
from inference.desired import DesiredEndpoint
from inference.loaded import LoadedVersion
from inference.reconcile.loading import Load, drain_and_drop
from inference.reconcile.slots import Slot, SlotKey
from inference.reconcile.store import StatusRow

log = structlog.get_logger(__name__)

Wanted = Mapping[SlotKey, ModelVersionInfo]


class VersionShelf:
    """Slots by key. One thread calls it; `on_change` is called from others when a task has ended."""

    def __init__(self, *, load: Load, on_change: Callable[[], None]) -> None:
        self._load = load
        self._on_change = on_change
        self._slots: dict[SlotKey, Slot] = {}
        self._loads = ThreadPoolExecutor(1, thread_name_prefix="load")  # one at a time: loading takes memory
        self._drains = ThreadPoolExecutor(2, thread_name_prefix="drain")

    def finish_tasks(self) -> None:
        """Take over what loads and drains have come to."""
        for key, slot in list(self._slots.items()):
            if slot.task is None or not slot.task.done():
                continue
            task, slot.task = slot.task, None
            if slot.state is ReplicaState.DRAINING:
                del self._slots[key]
                continue
            error = task.exception()
            if error is not None:
                slot.fail(error)
                log.error("version_failed", endpoint=key.endpoint, version=key.version, error=slot.message)
            else:
                slot.succeed(task.result())  # type: ignore[arg-type]

    def begin_loads(self, wanted: Wanted) -> None:
        """Load what is wanted and not there; what failed, when its time has come."""
        now = time.monotonic()
        for key, info in wanted.items():
            slot = self._slots.setdefault(key, Slot(info=info))
            is_due = slot.state is ReplicaState.LOADING or (slot.state is ReplicaState.FAILED and now >= slot.retry_at)
            if slot.task is None and is_due:
                slot.task = self._loads.submit(self._load, key.endpoint, info)
                slot.task.add_done_callback(lambda _: self._on_change())

    def begin_drains(self, wanted: Wanted, routed: Iterable[LoadedVersion]) -> None:
        """Drain and drop what is neither wanted nor routed to."""
        kept = {id(loaded) for loaded in routed}
        for key, slot in list(self._slots.items()):
            if key in wanted or slot.task is not None or (slot.loaded is not None and id(slot.loaded) in kept):
                continue
            if slot.loaded is None:
                del self._slots[key]
            elif slot.is_ready:
                slot.state = ReplicaState.DRAINING
                slot.task = self._drains.submit(drain_and_drop, slot.loaded)
                slot.task.add_done_callback(lambda _: self._on_change())

    def find(self, endpoint: str, info: ModelVersionInfo) -> Slot | None:
        """Return the slot of a version for an endpoint, if there is one."""
        return self._slots.get(SlotKey.of(endpoint, info))

    def is_complete(self, endpoint: DesiredEndpoint) -> bool:
        """Say whether every version that has traffic is ready."""
        slots = {info.version: self.find(endpoint.name, info) for info in endpoint.versions}
        ready = {version for version, slot in slots.items() if slot is not None and slot.is_ready}
        needed = {share.version for share in endpoint.traffic if share.weight > 0}
        return bool(needed) and needed <= ready

    def has_failed(self, endpoint: DesiredEndpoint) -> bool:
        """Say whether a version of an endpoint does not load."""
        slots = [self.find(endpoint.name, info) for info in endpoint.versions]
        return any(slot is not None and slot.attempts > 0 for slot in slots)

    def is_loading(self) -> bool:
        """Say whether anything is loaded for the first time."""
        return any(slot.state is ReplicaState.LOADING for slot in self._slots.values())

    def problems(self, endpoint: str) -> list[str]:
        """Return what keeps versions of an endpoint from loading; any thread may ask."""
        slots = list(self._slots.items())
        failed = [(k.version, s.message) for k, s in slots if k.endpoint == endpoint and s.state is ReplicaState.FAILED]
        return [f"version {version}: {message}" for version, message in sorted(failed)]

    def statuses(self, generation_of: Callable[[str], int]) -> list[StatusRow]:
        """Return what to tell of each version, in a fixed order."""
        rows = {
            (key.endpoint, key.version): StatusRow(
                endpoint=key.endpoint,
                version=key.version,
                state=slot.state,
                message=slot.message,
                generation_seen=generation_of(key.endpoint),
            )
            for key, slot in self._slots.items()
        }
        return [rows[place] for place in sorted(rows)]

    def close(self, timeout_s: float) -> None:
        """Let the requests there are finish within the time, then drop everything."""
        deadline = time.monotonic() + timeout_s
        self._loads.shutdown(wait=False, cancel_futures=True)
        loaded = [slot.loaded for slot in self._slots.values() if slot.loaded is not None and slot.is_ready]
        for version in loaded:
            version.drain(max(0.0, deadline - time.monotonic()))
        for version in loaded:
            version.close()
        self._drains.shutdown(wait=False, cancel_futures=True)
        self._slots.clear()
