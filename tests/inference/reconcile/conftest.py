"""A replica of hand-made parts: a store in memory, real artifacts, an engine that multiplies."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from aiplatform.contracts.inference import ReplicaState, TrafficShare
from aiplatform.errors import UnavailableError
from inference.desired import DesiredEndpoint
from inference.reconcile.loading import make_loader
from inference.reconcile.reconciler import Reconciler
from inference.reconcile.store import StatusRow
from inference.routing_table import RoutingTable
from tests.inference.endpoints.fakes import FakeRegistry, TimesLoader, poll


@dataclass
class FakeStore:
    """Desired state and status in memory; `is_away` makes every call fail."""

    desired: dict[str, DesiredEndpoint] = field(default_factory=dict)
    told: dict[str, list[StatusRow]] = field(default_factory=dict)
    is_away: bool = False

    def read_desired(self) -> dict[str, DesiredEndpoint]:
        self._check()
        return dict(self.desired)

    def write_status(self, replica: str, rows: Sequence[StatusRow]) -> None:
        self._check()
        self.told[replica] = list(rows)

    def remove_status(self, replica: str) -> None:
        self._check()
        self.told.pop(replica, None)

    def _check(self) -> None:
        if self.is_away:
            raise UnavailableError("the database cannot be reached: cut")


class Bench:
    """One replica under test, with what it depends on."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.registry = FakeRegistry(folder / "artifacts")
        self.store = FakeStore()
        self.loader = TimesLoader()
        self.generation = 0
        self.replicas: list[Reconciler] = []
        self.restart()

    def restart(self) -> None:
        """Begin a new process on the same disk."""
        self.table = RoutingTable()
        self.replica = Reconciler(
            replica=f"replica-{len(self.replicas)}",
            store=self.store,
            table=self.table,
            load=make_loader(cache=self.folder / "cache", load=self.loader),
            memory_file=self.folder / "state.json",
            heartbeat_interval_s=0.0,
            read_aliases=lambda model: {a: v for (m, a), v in self.registry.aliases.items() if m == model},
        )
        self.replicas.append(self.replica)

    def want(self, *pairs: tuple[int, int], endpoint: str = "digits") -> None:
        """Order a split over versions of `digits`, which are registered when first named."""
        self.generation += 1
        for version, _ in pairs:
            if ("digits", version) not in self.registry.versions:
                self.registry.add("digits", version)
        self.store.desired[endpoint] = DesiredEndpoint(
            name=endpoint,
            model="digits",
            generation=self.generation,
            traffic=tuple(TrafficShare(version=v, weight=w) for v, w in pairs),
            versions=tuple(self.registry.versions["digits", v] for v, _ in pairs),
        )

    def served(self, endpoint: str = "digits") -> dict[int, int]:
        """Return the weights of the loaded versions of an endpoint."""
        route = self.table.routes.get(endpoint)
        return {v: route.weights[v] for v in route.versions if v in route.weights} if route else {}

    def settle(self, **weights: int) -> None:
        """Step until exactly these weights are served (`v1=100`)."""
        wanted = {int(name[1:]): weight for name, weight in weights.items()}
        poll(lambda: self.served() == wanted, act=self.replica.step, what=f"{wanted}, but {self.served()}")

    def states(self) -> dict[int, ReplicaState]:
        """Return the state that the store was told of each version."""
        rows = self.store.told.get(f"replica-{len(self.replicas) - 1}", [])
        return {row.version: row.state for row in rows}

    def break_artifact(self, version: int) -> None:
        """Alter a byte of a registered artifact."""
        (self.registry.root / "digits" / str(version) / "model" / "factor.txt").write_text("666.0")


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """Return a replica under test, stopped at the end."""
    bench = Bench(tmp_path)
    yield bench
    bench.loader.gate.set()
    bench.store.is_away = False
    for replica in bench.replicas:
        replica.stop(2)
