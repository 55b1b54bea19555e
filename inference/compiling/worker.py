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
from dataclasses import dataclass
from pathlib import Path

import msgspec

from aiplatform.artifacts import MANIFEST, Manifest, decode_manifest
from aiplatform.errors import ArtifactError
from inference.compiling.steps import SkippedError, convert_model
from inference.compiling.table import BATCH_SIZES, Candidate, CandidateState, Timing
from inference.engines import Arrays, Engine, EngineKind, EngineOptions, native_kind, open_engine
from inference.warmup import PROOF_ROWS, Samples, prove_equal, read_samples

TIMED_S = 0.2  # of each engine, batch size and number of threads
MIN_CALLS, MAX_CALLS = 3, 2000
LONGEST_CALL_S = 1.0  # a call that takes longer is timed once
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
    for kind in order.kinds:
        (order.results / f"{kind}.begun").touch()
        candidate = try_engine(kind, order, samples)
        draft = order.results / f".{kind}.json"
        draft.write_bytes(msgspec.json.encode(candidate))
        draft.rename(order.results / f"{kind}.json")


def try_engine(kind: EngineKind, order: WorkOrder, samples: Samples) -> Candidate:
    """Return what became of one engine; whatever goes wrong is its result."""
    manifest = samples.manifest
    is_native = native_kind(manifest) is kind
    try:
        model = _make(kind, order, manifest)
        engine = open_engine(kind, model, manifest, EngineOptions(threads=order.threads, max_rows=max(BATCH_SIZES)))
    except SkippedError as error:
        return Candidate(engine=kind, is_native=is_native, state=CandidateState.SKIPPED, reason=error.message)
    except Exception as error:  # noqa: BLE001 - converters raise anything
        return Candidate(engine=kind, is_native=is_native, state=CandidateState.FAILED, reason=_reason(error))
    try:
        largest = prove_equal(engine, samples, most_rows=PROOF_ROWS)
        timings = time_engine(engine, samples, order.threads)
    except ArtifactError as error:
        return Candidate(engine=kind, is_native=is_native, state=CandidateState.UNEQUAL, reason=_reason(error))
    except Exception as error:  # noqa: BLE001 - engines raise anything
        return Candidate(engine=kind, is_native=is_native, state=CandidateState.FAILED, reason=_reason(error))
    finally:
        engine.close()
    return Candidate(
        engine=kind, is_native=is_native, state=CandidateState.EQUAL, max_error=largest, size_bytes=_size(model),
        timings=timings,
    )  # fmt: skip


def time_engine(engine: Engine, samples: Samples, threads: int) -> tuple[Timing, ...]:
    """Return the median time of a call at each batch size; one batch if rows cannot be joined."""
    sizes = BATCH_SIZES if samples.is_batchable else (1,)
    found = []
    for rows in sizes:
        inputs = samples.tiled(rows).inputs if samples.is_batchable else samples.inputs
        engine.run(inputs)
        found.append(Timing(threads=threads, rows=rows, ms=_median_ms(engine, inputs)))
    return tuple(found)


def _median_ms(engine: Engine, inputs: Arrays) -> float:
    taken: list[float] = []
    until = time.perf_counter() + TIMED_S
    while len(taken) < MAX_CALLS:
        started = time.perf_counter()
        engine.run(inputs)
        now = time.perf_counter()
        taken.append(now - started)
        if taken[0] > LONGEST_CALL_S or (now > until and len(taken) >= MIN_CALLS):
            break
    return statistics.median(taken) * 1000


def _make(kind: EngineKind, order: WorkOrder, manifest: Manifest) -> Path:
    made = order.out / kind
    if order.makes:
        return convert_model(kind, order.folder, manifest, made)
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
