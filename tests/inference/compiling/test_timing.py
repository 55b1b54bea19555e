"""Engines are timed so that a machine that is slow for a moment does not decide which one serves."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from inference.compiling import worker
from inference.compiling.table import Candidate, CandidateState, Timing
from inference.compiling.worker import WorkOrder, time_engine, work
from inference.engines import Arrays, EngineKind
from inference.warmup import Samples, read_samples
from tests.inference.compiling.models import ONNX_MANIFEST, write_onnx_artifact


class Clock:
    """Stands in for the time module: a call of the engine moves it, nothing else does."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def perf_counter(self) -> float:
        return self.now_s


class Engine:
    """Takes 1 ms a row, and ten times that while the machine is slow."""

    def __init__(self, clock: Clock, *, slow_s: tuple[float, float]) -> None:
        self._clock = clock
        self._slow_s = slow_s

    def run(self, inputs: Arrays) -> Arrays:
        began, ended = self._slow_s
        factor = 10 if began <= self._clock.now_s < ended else 1
        self._clock.now_s += 0.001 * factor * len(next(iter(inputs.values())))
        return {}


@pytest.fixture
def samples(tmp_path: Path) -> Samples:
    return read_samples(write_onnx_artifact(tmp_path / "1"), ONNX_MANIFEST)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(worker, "time", clock)
    return clock


@pytest.mark.parametrize("slow_s", [(0.0, 0.5), (0.1, 0.6), (0.0, 0.0)])
def test_half_a_slow_second_is_not_seen_in_the_times(
    samples: Samples, clock: Clock, slow_s: tuple[float, float]
) -> None:
    found = time_engine(Engine(clock, slow_s=slow_s), samples, threads=1)  # type: ignore[arg-type]
    assert [(t.rows, round(t.ms, 6)) for t in found] == [(1, 1.0), (8, 8.0), (32, 32.0)]


def test_a_slow_engine_is_not_timed_for_long(samples: Samples, clock: Clock) -> None:
    class Slow(Engine):
        def run(self, inputs: Arrays) -> Arrays:
            self._clock.now_s += 3.0
            return {}

    found = time_engine(Slow(clock, slow_s=(0, 0)), samples, threads=1)  # type: ignore[arg-type]
    assert [t.ms for t in found] == [3000.0] * 3
    assert clock.now_s == 3.0 * 6, "each size once to warm up and once to time"


def test_the_better_of_two_looks_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    artifact = write_onnx_artifact(tmp_path / "1")
    kinds = (EngineKind.ONNXRUNTIME, EngineKind.LITERT)
    looks = {kind: iter(([5.0, 3.0], [4.0, 9.0])) for kind in kinds}
    asked: list[str] = []

    class Named:
        def __init__(self, kind: EngineKind) -> None:
            self.kind = kind

        def close(self) -> None:
            pass

    def timed(engine: Named, samples: Samples, threads: int) -> tuple[Timing, ...]:
        asked.append(engine.kind)
        return tuple(
            Timing(threads=threads, rows=rows, ms=ms) for rows, ms in zip((1, 8), next(looks[engine.kind]), strict=True)
        )

    monkeypatch.setattr(worker, "_make", lambda kind, order, manifest: order.folder / "model")
    monkeypatch.setattr(worker, "_open", lambda kind, model, order, manifest: Named(kind))
    monkeypatch.setattr(worker, "prove_equal", lambda engine, samples, most_rows: 0.0)
    monkeypatch.setattr(worker, "time_engine", timed)
    work(WorkOrder(folder=artifact, out=tmp_path / "out", results=tmp_path, kinds=kinds, threads=1))
    assert asked == ["onnxruntime", "litert", "litert", "onnxruntime"]
    for kind in kinds:
        row = msgspec.json.decode((tmp_path / f"{kind}.json").read_bytes(), type=Candidate)
        assert row.state is CandidateState.EQUAL
        assert [t.ms for t in row.timings] == [4.0, 3.0]
