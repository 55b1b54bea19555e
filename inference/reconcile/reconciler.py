"""The state machine of a replica: `step` compares what is wanted with what is there and acts once."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol

import structlog

from aiplatform.contracts.training import ModelVersionInfo
from aiplatform.errors import PlatformError
from inference.desired import DesiredEndpoint
from inference.loaded import LoadedVersion
from inference.reconcile.aliases import AliasBook, ReadAliases
from inference.reconcile.last_known import DesiredSource, LastKnown
from inference.reconcile.loading import Load
from inference.reconcile.shelf import Improvement, VersionShelf
from inference.reconcile.slots import SlotKey
from inference.reconcile.store import StatusRow
from inference.routing_table import PendingVersion, Route, RoutingTable

log = structlog.get_logger(__name__)


class Store(DesiredSource, Protocol):
    """Where desired state comes from and status goes to; a PlatformError means: away."""

    def write_status(self, replica: str, rows: Sequence[StatusRow]) -> None: ...
    def remove_status(self, replica: str) -> None: ...


class Mirrors(Protocol):
    """Who hands copies of live requests to shadows: told their versions and the routes at each step."""

    def follow(self, shadows: Mapping[str, int], routes: Mapping[str, Route]) -> None: ...


class Reconciler:
    """Drives one replica. `step` runs in one thread; `report` may be called from any.

    `on_ready` is told at each step whether an endpoint is served as desired; `on_change` asks for
    a step soon.
    """

    def __init__(
        self,
        *,
        replica: str,
        store: Store,
        table: RoutingTable,
        load: Load,
        memory_file: Path,
        read_aliases: ReadAliases | None = None,
        heartbeat_interval_s: float = 5.0,
        on_change: Callable[[], None] | None = None,
        on_ready: Callable[[str, bool], None] | None = None,
        improvement: Improvement | None = None,
        mirrors: Mirrors | None = None,
    ) -> None:
        self._replica = replica
        self._store = store
        self._table = table
        self._heartbeat_interval_s = heartbeat_interval_s
        self._on_ready = on_ready or (lambda *_: None)
        self._known = LastKnown(store, memory_file)
        self._shelf = VersionShelf(load=load, on_change=on_change or (lambda: None), improvement=improvement)
        self._asking = ThreadPoolExecutor(1, thread_name_prefix="aliases")
        self._aliases = AliasBook(read_aliases or (lambda _: {}), self._asking)
        self._mirrors = mirrors
        self._told: list[StatusRow] | None = None
        self._next_heartbeat = 0.0
        self._is_settled = False
        self._lock = threading.Lock()

    def step(self) -> None:
        """Do what can be done now; nothing here waits for a load or a drain."""
        with self._lock:
            self._known.refresh()
            if self._known.desired is None:
                return
            self._shelf.finish_tasks()
            self._shelf.begin_loads(self._wanted())
            self._shelf.begin_looks()
            self._route()
            self._shelf.begin_drains(self._wanted(), self._routed())
            self._settle()
            self._tell()

    def report(self) -> dict[str, Any]:
        """Return the readiness of this replica: `is_ready` once every endpoint was tried."""
        endpoints = {}
        for wanted in self._desired():
            route = self._table.routes.get(wanted.name)
            served = self._known.applied.get(wanted.name)
            endpoints[wanted.name] = {
                "is_serving": bool(route and route.is_ready),
                "is_current": served is not None and served.generation == wanted.generation,
                "generation": wanted.generation,
                "problems": self._shelf.problems(wanted.name),
            }
        return {
            "is_ready": self._is_settled,
            "replica": self._replica,
            "control_plane": self._known.away or "reachable",
            "endpoints": endpoints,
        }

    def list_loaded(self) -> list[LoadedVersion]:
        """Return the versions that this process holds in memory; any thread may ask."""
        return self._shelf.list_loaded()

    @property
    def has_begun(self) -> bool:
        """Say whether all that can be served now is, so that requests may come."""
        return self._is_settled or (self._known.desired is None and bool(self._known.away))

    def stop(self, timeout_s: float) -> None:
        """Take no new requests, let those there are finish within the time, drop everything."""
        with self._lock:
            self._is_settled = False
            self._shelf.close(timeout_s)
            self._table.swap({})
            self._asking.shutdown(wait=False, cancel_futures=True)
            try:
                self._store.remove_status(self._replica)
            except PlatformError as error:
                log.warning("replica_status_not_removed", error=error.message)

    def _wanted(self) -> dict[SlotKey, ModelVersionInfo]:
        wanted = {SlotKey.of(e, info): info for e in self._desired() for info in e.versions}
        for endpoint in self._desired():
            fallback = self._known.applied.get(endpoint.name)
            if fallback is not None and self._shelf.has_failed(endpoint):
                wanted.update({SlotKey.of(fallback, info): info for info in fallback.versions})
        return wanted

    def _routed(self) -> list[LoadedVersion]:
        return [loaded for route in self._table.routes.values() for loaded in route.versions.values()]

    def _route(self) -> None:
        routes = {endpoint.name: self._route_of(endpoint) for endpoint in self._desired()}
        if routes != dict(self._table.routes):
            self._table.swap(routes)
        if self._mirrors is not None:
            self._mirrors.follow({e.name: e.shadow for e in self._desired() if e.shadow is not None}, routes)
        for name in self._known.forget_others(set(routes)):
            self._on_ready(name, True)  # nothing is wanted of it, so nothing is missing
        self._aliases.refresh_when_due(endpoint.model for endpoint in self._desired())

    def _route_of(self, desired: DesiredEndpoint) -> Route:
        applied = self._known.applied.get(desired.name)
        is_complete = self._shelf.is_complete(desired)
        self._on_ready(desired.name, is_complete)
        if is_complete and applied != desired:
            self._known.mark_applied(desired)
            log.info("traffic_applied", endpoint=desired.name, generation=desired.generation)
        if not is_complete and applied is not None and self._shelf.is_complete(applied):
            return self._make_route(applied, desired)
        # Complete, or nothing complete to fall back on: then some versions are better than none.
        return self._make_route(desired, desired)

    def _make_route(self, served: DesiredEndpoint, desired: DesiredEndpoint) -> Route:
        versions: dict[int, LoadedVersion] = {}
        pending: dict[int, PendingVersion] = {}
        for source in (desired, served):
            for info in source.versions:
                slot = self._shelf.find(source, info)
                if slot is not None and slot.is_ready and slot.loaded is not None:
                    versions[info.version] = slot.loaded
                elif slot is not None:
                    pending[info.version] = PendingVersion(state=slot.state, message=slot.message)
        aliases = self._aliases.of(served.model)
        return Route(
            endpoint=served.name,
            versions=versions,
            weights={share.version: share.weight for share in served.traffic},
            labels={alias: version for alias, version in aliases.items() if version in versions},
            pending={version: state for version, state in pending.items() if version not in versions},
            off_reason=desired.off_reason,
        )

    def _settle(self) -> None:
        routes = self._table.routes
        has_all = all(e.off_reason or (e.name in routes and routes[e.name].is_ready) for e in self._desired())
        self._is_settled = self._is_settled or has_all or not self._shelf.is_loading()

    def _tell(self) -> None:
        rows = self._shelf.statuses(self._desired())
        if rows == self._told and time.monotonic() < self._next_heartbeat:
            return
        try:
            self._store.write_status(self._replica, rows)
        except PlatformError as error:
            if self._told is not None:
                log.warning("replica_status_not_written", error=error.message)
            self._told = None  # tried again with the next step
            return
        self._told = rows
        self._next_heartbeat = time.monotonic() + self._heartbeat_interval_s

    def _desired(self) -> list[DesiredEndpoint]:
        return list((self._known.desired or {}).values())
