"""The versions in this replica: begins loads and drains in the background, and knows their states."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import structlog

from aiplatform.contracts.inference import ReplicaState
from aiplatform.contracts.training import ModelVersionInfo
from inference.compiling.supply import CompilingError
from inference.desired import DesiredEndpoint
from inference.loaded import LoadedVersion
from inference.reconcile.loading import Load, drain_and_drop
from inference.reconcile.slots import Slot, SlotKey
from inference.reconcile.store import StatusRow

log = structlog.get_logger(__name__)

Wanted = Mapping[SlotKey, ModelVersionInfo]
HasBetter = Callable[[ModelVersionInfo, str, LoadedVersion], bool]


@dataclass(frozen=True, kw_only=True)
class Improvement:
    """How better engines are found: `has_better` (info, pinned engine, loaded) is asked at intervals."""

    has_better: HasBetter
    interval_s: float = 5.0


class VersionShelf:
    """Slots by key. One thread calls it; `on_change` is called from others when a task has ended."""

    def __init__(self, *, load: Load, on_change: Callable[[], None], improvement: Improvement | None = None) -> None:
        self._load = load
        self._on_change = on_change
        self._improvement = improvement
        self._replaced: list[LoadedVersion] = []  # to be drained once no route leads there
        self._slots: dict[SlotKey, Slot] = {}
        self._loads = ThreadPoolExecutor(1, thread_name_prefix="load")  # one at a time: loading takes memory
        self._drains = ThreadPoolExecutor(2, thread_name_prefix="drain")
        self._looks = ThreadPoolExecutor(1, thread_name_prefix="look")

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
            if isinstance(error, CompilingError):
                slot.wait(error)
            elif error is not None:
                slot.fail(error)
                log.error("version_failed", endpoint=key.endpoint, version=key.version, error=slot.message)
            else:
                slot.succeed(task.result())  # type: ignore[arg-type]
        for key, slot in self._slots.items():
            self._finish_improvement(key, slot)

    def begin_loads(self, wanted: Wanted) -> None:
        """Load what is wanted and not there; what failed, when its time has come."""
        now = time.monotonic()
        for key, info in wanted.items():
            slot = self._slots.setdefault(key, Slot(info=info))
            is_due = slot.state in (ReplicaState.LOADING, ReplicaState.FAILED) and now >= slot.retry_at
            if slot.task is None and is_due:
                slot.task = self._loads.submit(self._load, key.endpoint, info, key.engine)
                slot.task.add_done_callback(lambda _: self._on_change())

    def begin_looks(self) -> None:
        """Ask now and then, of each version that serves, whether a better engine is there."""
        if self._improvement is None:
            return
        now = time.monotonic()
        for key, slot in self._slots.items():
            if not slot.is_ready or slot.loaded is None or slot.look or slot.reload or now < slot.look_at:
                continue
            slot.look = self._looks.submit(self._improvement.has_better, slot.info, key.engine, slot.loaded)
            slot.look.add_done_callback(lambda _: self._on_change())

    def begin_drains(self, wanted: Wanted, routed: Iterable[LoadedVersion]) -> None:
        """Drain and drop what is neither wanted nor routed to."""
        kept = {id(loaded) for loaded in routed}
        for loaded in [replaced for replaced in self._replaced if id(replaced) not in kept]:
            self._replaced.remove(loaded)
            self._drains.submit(drain_and_drop, loaded)
        for key, slot in list(self._slots.items()):
            if key in wanted or slot.task or slot.reload or (slot.loaded is not None and id(slot.loaded) in kept):
                continue
            if slot.loaded is None:
                del self._slots[key]
            elif slot.is_ready:
                slot.state = ReplicaState.DRAINING
                slot.task = self._drains.submit(drain_and_drop, slot.loaded)
                slot.task.add_done_callback(lambda _: self._on_change())

    def find(self, endpoint: DesiredEndpoint, info: ModelVersionInfo) -> Slot | None:
        """Return the slot of a version for an endpoint, if there is one."""
        return self._slots.get(SlotKey.of(endpoint, info))

    def is_complete(self, endpoint: DesiredEndpoint) -> bool:
        """Say whether every version that has traffic is ready."""
        slots = {info.version: self.find(endpoint, info) for info in endpoint.versions}
        ready = {version for version, slot in slots.items() if slot is not None and slot.is_ready}
        needed = {share.version for share in endpoint.traffic if share.weight > 0}
        return bool(needed) and needed <= ready

    def has_failed(self, endpoint: DesiredEndpoint) -> bool:
        """Say whether a version of an endpoint does not load."""
        slots = [self.find(endpoint, info) for info in endpoint.versions]
        return any(slot is not None and slot.attempts > 0 for slot in slots)

    def is_loading(self) -> bool:
        """Say whether anything is loaded for the first time."""
        return any(slot.state is ReplicaState.LOADING for slot in self._slots.values())

    def list_loaded(self) -> list[LoadedVersion]:
        """Return the versions that are in memory; any thread may ask."""
        return [slot.loaded for slot in list(self._slots.values()) if slot.loaded is not None]

    def problems(self, endpoint: str) -> list[str]:
        """Return what keeps versions of an endpoint from loading; any thread may ask."""
        slots = list(self._slots.items())
        failed = [(k.version, s.message) for k, s in slots if k.endpoint == endpoint and s.state is ReplicaState.FAILED]
        return [f"version {version}: {message}" for version, message in sorted(failed)]

    def statuses(self, desired: Iterable[DesiredEndpoint]) -> list[StatusRow]:
        """Return what to tell of each version, in a fixed order; of two engines, that of the pinned one."""
        wanted = {endpoint.name: endpoint for endpoint in desired}
        rows: dict[tuple[str, int], StatusRow] = {}
        for key, slot in self._slots.items():
            endpoint = wanted.get(key.endpoint)
            is_pinned = endpoint is not None and endpoint.engine == key.engine
            if is_pinned or (key.endpoint, key.version) not in rows:
                generation = endpoint.generation if endpoint else 0
                rows[key.endpoint, key.version] = _status(key, slot, generation)
        return [rows[place] for place in sorted(rows)]

    def close(self, timeout_s: float) -> None:
        """Let the requests there are finish within the time, then drop everything."""
        deadline = time.monotonic() + timeout_s
        self._loads.shutdown(wait=False, cancel_futures=True)
        self._looks.shutdown(wait=False, cancel_futures=True)
        loaded = [slot.loaded for slot in self._slots.values() if slot.loaded is not None and slot.is_ready]
        loaded += self._replaced
        for version in loaded:
            version.drain(max(0.0, deadline - time.monotonic()))
        for version in loaded:
            version.close()
        self._drains.shutdown(wait=False, cancel_futures=True)
        self._slots.clear()

    def _finish_improvement(self, key: SlotKey, slot: Slot) -> None:
        if slot.look is not None and slot.look.done():
            look, slot.look = slot.look, None
            slot.look_at = time.monotonic() + (self._improvement.interval_s if self._improvement else 0.0)
            if slot.is_ready and look.exception() is None and look.result():
                slot.reload = self._loads.submit(self._load, key.endpoint, slot.info, key.engine)
                slot.reload.add_done_callback(lambda _: self._on_change())
        if slot.reload is None or not slot.reload.done():
            return
        reload, slot.reload = slot.reload, None
        error = reload.exception()
        if error is not None:
            log.warning("engine_not_changed", endpoint=key.endpoint, version=key.version, error=str(error))
        elif slot.is_ready and slot.loaded is not None:
            old, new = slot.loaded, reload.result()
            log.info("engine_changed", endpoint=key.endpoint, version=key.version, before=old.running.name,
                     after=new.running.name)  # fmt: skip
            self._replaced.append(old)
            slot.succeed(new)
        else:
            reload.result().close()


def _status(key: SlotKey, slot: Slot, generation: int) -> StatusRow:
    running = slot.loaded.running if slot.loaded is not None else None
    threads = f", {running.threads} thread{'s' if running.threads != 1 else ''}" if running and running.threads else ""
    return StatusRow(
        endpoint=key.endpoint,
        version=key.version,
        state=slot.state,
        message=slot.message or (running.note if running else ""),
        engine=f"{running.name}{threads}" if running else "",
        generation_seen=generation,
    )
