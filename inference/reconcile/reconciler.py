"""The state machine of a replica: `step` compares what is wanted with what is there and acts once."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol

import structlog

from aiplatform.contracts.inference import ReplicaState
from aiplatform.errors import PlatformError
from inference.desired import DesiredEndpoint, ReplicaMemory, load_memory, save_memory
from inference.reconcile.aliases import AliasBook, ReadAliases
from inference.reconcile.loading import Load, drain_and_drop
from inference.reconcile.slots import Slot, SlotKey
from inference.reconcile.store import StatusRow
from inference.routing_table import PendingVersion, Route, RoutingTable

log = structlog.get_logger(__name__)


class Store(Protocol):
    """Where desired state comes from and status goes to; a PlatformError means: away."""

    def read_desired(self) -> Mapping[str, DesiredEndpoint]: ...
    def write_status(self, replica: str, rows: list[StatusRow]) -> None: ...
    def remove_status(self, replica: str) -> None: ...


class Reconciler:
    """Drives one replica. `step` runs in one thread; `report` may be called from any.

    `on_ready` is told whether an endpoint is served as desired, whenever it is looked at.
    """

    def __init__(
        self,
        *,
        replica: str,
        store: Store,
        table: RoutingTable,
        load: Load,
        memory_file: Path,
        read_aliases: ReadAliases = lambda model: {},
        heartbeat_interval_s: float = 5.0,
        on_change: Callable[[], None] = lambda: None,
        on_ready: Callable[[str, bool], None] = lambda endpoint, is_ready: None,
    ) -> None:
        self._replica = replica
        self._store = store
        self._table = table
        self._load = load
        self._memory_file = memory_file
        self._heartbeat_interval_s = heartbeat_interval_s
        self._on_change = on_change
        self._on_ready = on_ready
        self._loads = ThreadPoolExecutor(1, thread_name_prefix="load")  # one at a time: loading takes memory
        self._chores = ThreadPoolExecutor(2, thread_name_prefix="chore")
        self._aliases = AliasBook(read_aliases, self._chores)
        self._desired: dict[str, DesiredEndpoint] | None = None
        self._applied: dict[str, DesiredEndpoint] = {}
        self._slots: dict[SlotKey, Slot] = {}
        self._told: list[StatusRow] = []
        self._next_heartbeat = 0.0
        self._away = ""
        self._is_settled = False
        self._lock = threading.Lock()

    def step(self) -> None:
        """Do what can be done now; nothing here waits for a load or a drain."""
        with self._lock:
            self._read()
            if self._desired is None:
                return
            self._finish_tasks()
            self._begin_loads()
            self._route()
            self._begin_drains()
            self._settle()
            self._tell()

    def report(self) -> dict[str, Any]:
        """Return the readiness of this replica: `is_ready` once every endpoint was tried."""
        endpoints = {}
        for name, wanted in (self._desired or {}).items():
            route = self._table.routes.get(name)
            served = self._applied.get(name)
            endpoints[name] = {
                "is_serving": bool(route and route.is_ready),
                "is_current": served is not None and served.generation == wanted.generation,
                "generation": wanted.generation,
                "problems": [f"version {k.version}: {s.message}" for k, s in list(self._slots.items())
                             if k.endpoint == name and s.state is ReplicaState.FAILED],
            }  # fmt: skip
        return {
            "is_ready": self._is_settled,
            "replica": self._replica,
            "control_plane": self._away or "reachable",
            "endpoints": endpoints,
        }

    def stop(self, timeout_s: float) -> None:
        """Take no new requests, let those there are finish within the time, drop everything."""
        deadline = time.monotonic() + timeout_s
        with self._lock:
            self._is_settled = False
            self._loads.shutdown(wait=False, cancel_futures=True)
            loaded = [s.loaded for s in self._slots.values() if s.loaded is not None and s.is_ready]
            for version in loaded:
                version.drain(max(0.0, deadline - time.monotonic()))
            for version in loaded:
                version.close()
            self._table.swap({})
            self._chores.shutdown(wait=False, cancel_futures=True)
            try:
                self._store.remove_status(self._replica)
            except PlatformError as error:
                log.warning("replica_status_not_removed", error=error.message)

    def _read(self) -> None:
        try:
            desired = dict(self._store.read_desired())
        except PlatformError as error:
            self._note_away(error.message)
            if self._desired is None:
                self._remember()
            return
        if self._away:
            log.info("control_plane_back")
            self._away = ""
        if self._desired is None:
            self._recall_applied()
        if desired != self._desired:
            self._desired = desired
            self._save()

    def _note_away(self, message: str) -> None:
        if not self._away:
            log.warning("control_plane_away", error=message, consequence="the last known state is served")
        self._away = message

    def _remember(self) -> None:
        memory = load_memory(self._memory_file)
        if memory is not None:
            self._desired, self._applied = dict(memory.desired), dict(memory.applied)
            log.warning("serving_from_memory", endpoints=sorted(self._desired))

    def _recall_applied(self) -> None:
        memory = load_memory(self._memory_file)
        self._applied = dict(memory.applied) if memory else {}

    def _save(self) -> None:
        try:
            save_memory(self._memory_file, ReplicaMemory(desired=self._desired or {}, applied=self._applied))
        except OSError as error:
            log.warning("replica_memory_not_saved", path=str(self._memory_file), error=str(error))

    # --- loading and dropping -------------------------------------------------------------------

    def _finish_tasks(self) -> None:
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

    def _begin_loads(self) -> None:
        now = time.monotonic()
        for key, info in self._wanted().items():
            slot = self._slots.setdefault(key, Slot(info=info))
            is_due = slot.state is ReplicaState.LOADING or (
                slot.state is ReplicaState.FAILED and now >= slot.retry_at
            )
            if slot.task is None and is_due:
                slot.task = self._loads.submit(self._load, key.endpoint, info)
                slot.task.add_done_callback(lambda _: self._on_change())

    def _wanted(self) -> dict[SlotKey, Any]:
        wanted = {SlotKey.of(e.name, info): info for e in self._desired_list() for info in e.versions}
        for endpoint in self._desired_list():
            fallback = self._applied.get(endpoint.name)
            if fallback is not None and fallback != endpoint and self._has_failed(endpoint):
                wanted.update({SlotKey.of(endpoint.name, info): info for info in fallback.versions})
        return wanted

    def _has_failed(self, endpoint: DesiredEndpoint) -> bool:
        slots = [self._slots.get(SlotKey.of(endpoint.name, info)) for info in endpoint.versions]
        return any(slot is not None and slot.attempts > 0 for slot in slots)

    def _begin_drains(self) -> None:
        routed = {id(v) for route in self._table.routes.values() for v in route.versions.values()}
        wanted = self._wanted()
        for key, slot in list(self._slots.items()):
            if key in wanted or slot.task is not None or (slot.loaded is not None and id(slot.loaded) in routed):
                continue
            if slot.loaded is None:
                del self._slots[key]
            elif slot.state is ReplicaState.READY:
                slot.state = ReplicaState.DRAINING
                slot.task = self._chores.submit(drain_and_drop, slot.loaded)
                slot.task.add_done_callback(lambda _: self._on_change())

    # --- routing --------------------------------------------------------------------------------

    def _route(self) -> None:
        routes = {e.name: self._route_of(e) for e in self._desired_list()}
        if routes != dict(self._table.routes):
            self._table.swap(routes)
        for gone in self._applied.keys() - (self._desired or {}).keys():
            del self._applied[gone]
            self._on_ready(gone, False)
        self._aliases.refresh_when_due(e.model for e in self._desired_list())

    def _route_of(self, desired: DesiredEndpoint) -> Route:
        applied = self._applied.get(desired.name)
        if self._is_complete(desired):
            self._on_ready(desired.name, True)
            if applied != desired:
                self._applied[desired.name] = desired
                self._save()
                log.info("traffic_applied", endpoint=desired.name, generation=desired.generation,
                         traffic={share.version: share.weight for share in desired.traffic})  # fmt: skip
            return self._make_route(desired, desired)
        self._on_ready(desired.name, False)
        if applied is not None and self._is_complete(applied):
            return self._make_route(applied, desired)
        # Nothing complete to fall back on: better some versions than none.
        return self._make_route(desired, desired)

    def _is_complete(self, endpoint: DesiredEndpoint) -> bool:
        ready = {info.version for info in endpoint.versions if self._is_slot_ready(endpoint.name, info)}
        needed = {share.version for share in endpoint.traffic if share.weight > 0}
        return bool(needed) and needed <= ready

    def _is_slot_ready(self, endpoint: str, info: Any) -> bool:
        slot = self._slots.get(SlotKey.of(endpoint, info))
        return slot is not None and slot.is_ready

    def _make_route(self, served: DesiredEndpoint, desired: DesiredEndpoint) -> Route:
        versions, pending = {}, {}
        for source in (desired, served):
            for info in source.versions:
                slot = self._slots.get(SlotKey.of(source.name, info))
                if slot is None:
                    continue
                if slot.is_ready and slot.loaded is not None:
                    versions[info.version] = slot.loaded
                    pending.pop(info.version, None)
                elif info.version not in versions:
                    pending[info.version] = PendingVersion(state=slot.state, message=slot.message)
        aliases = {name: v for name, v in self._aliases.of(served.model).items() if v in versions}
        return Route(
            endpoint=served.name,
            versions=versions,
            weights={share.version: share.weight for share in served.traffic},
            labels=aliases,
            pending=pending,
        )

    # --- telling --------------------------------------------------------------------------------

    def _settle(self) -> None:
        if self._is_settled:
            return
        states = [slot.state for key, slot in self._slots.items()]
        routes = self._table.routes
        self._is_settled = ReplicaState.LOADING not in states or all(
            e.name in routes and routes[e.name].is_ready for e in self._desired_list()
        )

    def _tell(self) -> None:
        rows = sorted(
            (
                StatusRow(
                    endpoint=key.endpoint,
                    version=key.version,
                    state=slot.state,
                    message=slot.message,
                    generation_seen=self._generation(key.endpoint),
                )
                for key, slot in self._slots.items()
            ),
            key=lambda row: (row.endpoint, row.version),
        )
        unique = list({(row.endpoint, row.version): row for row in rows}.values())
        if unique == self._told and time.monotonic() < self._next_heartbeat:
            return
        try:
            self._store.write_status(self._replica, unique)
        except PlatformError as error:
            if self._told:
                log.warning("replica_status_not_written", error=error.message)
            self._told = []  # tried again with the next step
            return
        self._told = unique
        self._next_heartbeat = time.monotonic() + self._heartbeat_interval_s

    def _generation(self, endpoint: str) -> int:
        wanted = (self._desired or {}).get(endpoint)
        return wanted.generation if wanted else 0

    def _desired_list(self) -> list[DesiredEndpoint]:
        return list((self._desired or {}).values())
