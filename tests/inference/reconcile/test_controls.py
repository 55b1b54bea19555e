"""How a replica follows switches and shadows."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest

from aiplatform.contracts.monitoring import ShadowComparison
from aiplatform.errors import UnavailableError
from inference.reconcile.reconciler import Reconciler
from inference.recording_api import NoMetrics, NoRecorder
from inference.serving import PredictService
from inference.shadow.lane import LaneLimits, ShadowLane
from inference.shadow.tally import Tally
from tests.inference.endpoints.fakes import poll
from tests.inference.reconcile.conftest import Bench

X = {"x": np.array([[3.0]], dtype=np.float32)}


def service(bench: Bench) -> PredictService:
    return PredictService(table=bench.table, recorder=NoRecorder(), metrics=NoMetrics())


def change(bench: Bench, **changes: object) -> None:
    bench.generation += 1
    desired = bench.store.desired["digits"]
    bench.store.desired["digits"] = replace(desired, generation=bench.generation, **changes)  # type: ignore[arg-type]


class Shadowed:
    """The bench with a lane for shadows."""

    def __init__(self, bench: Bench, **limits: float) -> None:
        self.tally = Tally()
        self.lane = ShadowLane(tally=self.tally, limits=LaneLimits(**{"share": 1.0, **limits}))  # type: ignore[arg-type]
        reconciler: Reconciler = bench.replica
        reconciler._mirrors = self.lane
        self.seen: list[ShadowComparison] = []

    def compared(self) -> int:
        self.seen += self.tally.take(replica="r")
        return sum(found.requests for found in self.seen)


def give_shadow(bench: Bench, factor: float = 2.0) -> None:
    bench.want((1, 100))
    bench.settle(v1=100)
    info = bench.registry.add("digits", 2, factor=factor)
    change(bench, shadow=2, versions=(*bench.store.desired["digits"].versions, info))
    poll(lambda: bench.table.routes["digits"].versions.get(1).mirror is not None, act=bench.replica.step)  # type: ignore[union-attr]


def test_an_endpoint_that_is_off_answers_503_with_the_reason_and_comes_back_without_loading(bench: Bench) -> None:
    bench.want((1, 100))
    bench.settle(v1=100)
    change(bench, off_reason="wrong prices")
    bench.replica.step()
    for version in (None, 1):
        with pytest.raises(UnavailableError, match="switched off: wrong prices"):
            service(bench).predict_blocking("digits", inputs=X, version=version)
    assert bench.table.is_ready
    change(bench, off_reason="")
    bench.replica.step()
    assert service(bench).predict_blocking("digits", inputs=X).outputs["y"] == 3.0
    assert len(bench.loader.engines) == 1


def test_a_replica_that_starts_while_its_endpoint_is_off_is_ready(bench: Bench) -> None:
    bench.want((1, 100))
    change(bench, off_reason="wrong prices")
    poll(lambda: bench.replica.report()["is_ready"], act=bench.replica.step)


def test_a_shadow_answers_copies_and_never_callers(bench: Bench) -> None:
    shadowed = Shadowed(bench)
    give_shadow(bench)
    answers = {float(service(bench).predict_blocking("digits", inputs=X).outputs["y"][0, 0]) for _ in range(20)}
    assert answers == {3.0}
    poll(lambda: shadowed.compared() == 20)
    assert {(c.champion, c.challenger) for c in shadowed.seen} == {(1, 2)}
    assert sum(c.errors for c in shadowed.seen) == 0
    assert sum(sum(c.challenger_latencies) for c in shadowed.seen) == 20
    shadowed.lane.stop(2)


def test_a_shadow_that_fails_is_counted_and_hurts_nobody(bench: Bench) -> None:
    shadowed = Shadowed(bench)
    give_shadow(bench)
    bench.loader.engines[1].is_closed = True  # it raises from now on
    for _ in range(5):
        service(bench).predict_blocking("digits", inputs=X)
    poll(lambda: shadowed.compared() == 5)
    assert sum(c.errors for c in shadowed.seen) == 5
    assert "after it was closed" in shadowed.seen[0].last_error
    shadowed.lane.stop(2)


def test_copies_beyond_the_queue_are_dropped_and_counted(bench: Bench) -> None:
    shadowed = Shadowed(bench, share=0.001, requests=3)
    give_shadow(bench)
    for _ in range(50):
        service(bench).predict_blocking("digits", inputs=X)
    shadowed.compared()
    assert sum(c.dropped for c in shadowed.seen) >= 40
    shadowed.lane.stop(2)


def test_ending_the_shadow_takes_the_mirror_away_and_unloads_the_version(bench: Bench) -> None:
    shadowed = Shadowed(bench)
    give_shadow(bench)
    change(bench, shadow=None, versions=bench.store.desired["digits"].versions[:1])
    poll(lambda: bench.loader.engines[1].is_closed, act=bench.replica.step)
    assert bench.table.routes["digits"].versions[1].mirror is None
    shadowed.lane.stop(2)


def test_the_lane_rests_in_proportion_to_what_it_took(bench: Bench) -> None:
    shadowed = Shadowed(bench, share=0.05, requests=1000)
    give_shadow(bench)
    engine = bench.loader.engines[1]
    busy_s = 0.0
    run = engine.run

    def slow(inputs: dict[str, object]) -> dict[str, object]:
        nonlocal busy_s
        time.sleep(0.005)
        busy_s += 0.005
        return run(inputs)

    engine.run = slow  # type: ignore[method-assign]
    started = time.monotonic()
    while time.monotonic() - started < 0.6:
        service(bench).predict_blocking("digits", inputs=X)
        time.sleep(0.001)
    assert 0 < busy_s <= 0.15 * (time.monotonic() - started)
    shadowed.lane.stop(2)
