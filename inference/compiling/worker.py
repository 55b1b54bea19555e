"""The compiling process: converts, proves and times engines, one after another.

    python -m inference.compiling.worker ORDER.json

A process of its own for each number of threads, since TensorFlow's cannot be changed. After each
engine a result file is written, so that the parent knows which one killed the process.
"""

from __future__ import annotations

import os
import statistics
import sys
import time
import warnings
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from aiplatform.artifacts import MANIFEST, Manifest, decode_manifest
from aiplatform.errors import ArtifactError
from inference.compiling.steps import SkippedError, convert_model
from inference.compiling.table import BATCH_SIZES, Candidate, CandidateState, Timing
from inference.engines import Arrays, Engine, EngineKind, EngineOptions, native_kind, open_engine
from inference.warmup import PROOF_ROWS, Samples, prove_equal, read_samples

TURNS = 5  # of each batch size, one size after the other: a machine's speed changes from second to second
TURN_S = 0.04
MIN_CALLS, MAX_CALLS = 3, 2000
LONGEST_CALL_S = 1.0  # a call that takes longer is timed once
TIMED_S = 2.0  # after so long no new turn begins
SECOND_LOOK_BYTES = 256 * 1024 * 1024  # larger models are opened and timed once: loading them takes long
_REASON_LENGTH = 500


@dataclass(frozen=True, kw_only=True)
class WorkOrder:
    """What a compiling process does: engines to make from an artifact, in this order.

    `out` gets a folder of files for each engine, `results` a file for each; `makes` false: the files
    are in `out` already, and are only timed.
    """

    folder: Path
    out: Path
    results: Path
    kinds: tuple[EngineKind, ...]
    threads: int
    makes: bool = True


def work(order: WorkOrder) -> None:
    """Do an order."""
    manifest = decode_manifest((order.folder / MANIFEST).read_bytes())
    samples = read_samples(order.folder, manifest)
    again = []
    for kind in order.kinds:
        (order.results / f"{kind}.begun").touch()
        candidate = try_engine(kind, order, samples)
        _write_result(order, kind, candidate)
        if candidate.state is CandidateState.EQUAL and candidate.size_bytes <= SECOND_LOOK_BYTES:
            again.append((kind, candidate))
    for kind, candidate in again[::-1] if len(again) > 1 else []:
        _write_result(order, kind, look_again(kind, order, samples, candidate))


def _write_result(order: WorkOrder, kind: EngineKind, candidate: Candidate) -> None:
    draft = order.results / f".{kind}.json"
    draft.write_bytes(msgspec.json.encode(candidate))
    draft.rename(order.results / f"{kind}.json")


def look_again(kind: EngineKind, order: WorkOrder, samples: Samples, candidate: Candidate) -> Candidate:
    """Time an engine a second time, after all others: the better time of each batch size counts.

    Engines are timed seconds apart, and what else a machine does only ever slows.
    """
    try:
        engine = _open(kind, _files(kind, order), order, samples.manifest)
        try:
            seen = {timing.rows: timing.ms for timing in time_engine(engine, samples, order.threads)}
        finally:
            engine.close()
    except Exception:  # noqa: BLE001 - engines raise anything; what the first look found stands
        return candidate
    timings = tuple(replace(t, ms=min(t.ms, seen.get(t.rows, t.ms))) for t in candidate.timings)
    return replace(candidate, timings=timings)


def try_engine(kind: EngineKind, order: WorkOrder, samples: Samples) -> Candidate:
    """Return what became of one engine; whatever goes wrong is its result."""
    manifest = samples.manifest
    is_native = native_kind(manifest) is kind

    def failed(state: CandidateState, reason: str) -> Candidate:
        return Candidate(engine=kind, is_native=is_native, state=state, reason=reason)

    try:
        model = _make(kind, order, manifest)
        engine = _open(kind, model, order, manifest)
    except SkippedError as error:
        return failed(CandidateState.SKIPPED, error.message)
    except Exception as error:  # noqa: BLE001 - converters raise anything
        return failed(CandidateState.FAILED, _reason(error))
    try:
        largest = prove_equal(engine, samples, most_rows=PROOF_ROWS)
        timings = time_engine(engine, samples, order.threads)
    except ArtifactError as error:
        return failed(CandidateState.UNEQUAL, _reason(error))
    except Exception as error:  # noqa: BLE001 - engines raise anything
        return failed(CandidateState.FAILED, _reason(error))
    finally:
        engine.close()
    return Candidate(
        engine=kind, is_native=is_native, state=CandidateState.EQUAL, max_error=largest, size_bytes=_size(model),
        timings=timings,
    )  # fmt: skip


def time_engine(engine: Engine, samples: Samples, threads: int) -> tuple[Timing, ...]:
    """Return the time of a call at each batch size: the median of its best turn; one batch if rows cannot be joined."""
    sizes = BATCH_SIZES if samples.is_batchable else (1,)
    inputs = {rows: samples.tiled(rows).inputs if samples.is_batchable else samples.inputs for rows in sizes}
    for given in inputs.values():
        engine.run(given)
    until_s = time.perf_counter() + TIMED_S
    best = {rows: _median_ms(engine, given) for rows, given in inputs.items()}
    for _ in range(TURNS - 1):
        for rows, given in inputs.items():
            if best[rows] <= LONGEST_CALL_S * 1000 and time.perf_counter() < until_s:
                best[rows] = min(best[rows], _median_ms(engine, given))
    return tuple(Timing(threads=threads, rows=rows, ms=ms) for rows, ms in best.items())


def _median_ms(engine: Engine, inputs: Arrays) -> float:
    taken: list[float] = []
    until = time.perf_counter() + TURN_S
    while len(taken) < MAX_CALLS:
        started = time.perf_counter()
        engine.run(inputs)
        now = time.perf_counter()
        taken.append(now - started)
        if taken[0] > LONGEST_CALL_S or (now > until and len(taken) >= MIN_CALLS):
            break
    return statistics.median(taken) * 1000


def _open(kind: EngineKind, model: Path, order: WorkOrder, manifest: Manifest) -> Engine:
    return open_engine(kind, model, manifest, EngineOptions(threads=order.threads, max_rows=max(BATCH_SIZES)))


def _make(kind: EngineKind, order: WorkOrder, manifest: Manifest) -> Path:
    return convert_model(kind, order.folder, manifest, order.out / kind) if order.makes else _files(kind, order)


def _files(kind: EngineKind, order: WorkOrder) -> Path:
    made = order.out / kind
    return made if made.is_dir() else order.folder / "model"


def _size(model: Path) -> int:
    return sum(path.stat().st_size for path in model.rglob("*") if path.is_file())


def _reason(error: Exception) -> str:
    first = (str(error).strip().splitlines() or [""])[0]
    text = first if isinstance(error, ArtifactError) else f"{type(error).__name__}: {first}"
    return text[:_REASON_LENGTH]


def main(arguments: list[str]) -> None:
    """Do the order in a file."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    warnings.simplefilter("ignore")  # the frameworks' own
    work(msgspec.json.decode(Path(arguments[0]).read_bytes(), type=WorkOrder, dec_hook=_to_path))


def _to_path(wanted: type, value: object) -> object:
    return Path(str(value)) if wanted is Path else value


if __name__ == "__main__":
    main(sys.argv[1:])
