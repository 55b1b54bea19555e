"""Makes an engine pack: child processes convert, prove and time; here their results become a table.

A converter that fails, hangs or takes its process with it costs its own engine only.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import structlog

from aiplatform.artifacts import MANIFEST, Manifest, decode_manifest
from aiplatform.errors import InvalidInputError
from inference.compiling.machine import machine_facts, machine_kind
from inference.compiling.packs import ENGINES_FOLDER, PackPlace, PackStore
from inference.compiling.steps import candidate_kinds
from inference.compiling.table import (
    TABLE_FILE,
    Candidate,
    CandidateState,
    EngineTable,
    encode_table,
    sort_candidates,
)
from inference.compiling.worker import WorkOrder
from inference.engines import EngineKind, native_kind
from inference.engines.base import available_cores
from inference.warmup import tolerance_of

log = structlog.get_logger(__name__)

_LAST_LINES = 3
_NOT_INHERITED = ("PROMETHEUS_MULTIPROC_DIR", "OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")


@dataclass(frozen=True, kw_only=True)
class CompileOrder:
    """What to compile: a verified local artifact. `threads` beyond 1 are tried where there are cores."""

    folder: Path
    digest: str
    scratch: Path
    timeout_s: float
    threads: tuple[int, ...] = ()
    worker: tuple[str, ...] = (sys.executable, "-m", "inference.compiling.worker")
    root: Path = Path(__file__).resolve().parents[2]


def compile_artifact(order: CompileOrder, packs: PackStore) -> PackPlace:
    """Try every engine for an artifact and write the pack.

    Raises: InvalidInputError for a remote model; ArtifactError if the pack cannot be written.
    """
    manifest = decode_manifest((order.folder / MANIFEST).read_bytes())
    if native_kind(manifest) is EngineKind.REMOTE:
        raise InvalidInputError(f"{manifest.name} version {manifest.version} runs on a remote server; nothing compiles")
    order.scratch.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="compile-", dir=order.scratch) as folder:
        started = time.monotonic()
        pack = Path(folder) / "pack"
        candidates = _try_all(order, manifest, Path(folder))
        table = EngineTable(
            artifact_digest=order.digest,
            machine=machine_kind(),
            tolerance=tolerance_of(manifest),
            candidates=candidates,
            facts=machine_facts(),
            created_at=datetime.now(UTC).isoformat(timespec="seconds"),
            took_s=round(time.monotonic() - started, 1),
        )
        _drop_unproven(pack / ENGINES_FOLDER, candidates)
        (pack / TABLE_FILE).write_bytes(encode_table(table))
        for candidate in candidates:
            log.info("engine_tried", model=manifest.name, version=manifest.version, engine=candidate.engine,
                     state=candidate.state.value, reason=candidate.reason)  # fmt: skip
        return packs.publish(pack, manifest=manifest, digest=order.digest, machine=machine_kind())


def _try_all(order: CompileOrder, manifest: Manifest, folder: Path) -> tuple[Candidate, ...]:
    deadline = time.monotonic() + order.timeout_s
    kinds = candidate_kinds(manifest)
    made = _run_workers(order, kinds, folder, threads=1, makes=True, deadline=deadline)
    for threads in order.threads or _more_threads():
        equal = [kind for kind in kinds if made[kind].state is CandidateState.EQUAL]
        timed = _run_workers(order, equal, folder, threads=threads, makes=False, deadline=deadline)
        for kind, more in timed.items():
            if more.state is CandidateState.EQUAL:
                made[kind] = replace(made[kind], timings=(*made[kind].timings, *more.timings))
    return sort_candidates(list(made.values()))


def _more_threads() -> tuple[int, ...]:
    return (available_cores(),) if available_cores() > 1 else ()


def _run_workers(
    order: CompileOrder, kinds: Iterable[EngineKind], folder: Path, *, threads: int, makes: bool, deadline: float
) -> dict[EngineKind, Candidate]:
    """Run processes until every engine has a result; one that ends early is blamed on the engine begun last."""
    native = native_kind(decode_manifest((order.folder / MANIFEST).read_bytes()))
    results = folder / f"results-{threads}"
    results.mkdir()
    out = folder / "pack" / ENGINES_FOLDER
    out.mkdir(parents=True, exist_ok=True)
    left, found = list(kinds), {}
    while left:
        work = WorkOrder(
            folder=order.folder, out=out, results=results, kinds=tuple(left), threads=threads, makes=makes
        )  # fmt: skip
        why = _run_worker(order, work, folder, deadline)
        for kind in list(left):
            file = results / f"{kind}.json"
            if file.exists():
                found[kind] = msgspec.json.decode(file.read_bytes(), type=Candidate)
                left.remove(kind)
        if left and why:
            lost = next((kind for kind in left if (results / f"{kind}.begun").exists()), left[0])
            found[lost] = Candidate(
                engine=lost, is_native=lost is native, state=CandidateState.FAILED, reason=why
            )  # fmt: skip
            left.remove(lost)
    return found


def _run_worker(order: CompileOrder, work: WorkOrder, folder: Path, deadline: float) -> str:
    """Run one process; return what went wrong, if anything did."""
    file, output = folder / "order.json", folder / "output.txt"
    file.write_bytes(msgspec.json.encode(work, enc_hook=str))
    left_s = deadline - time.monotonic()
    if left_s <= 0:
        return f"the time for compiling ran out (COMPILE_TIMEOUT_S {order.timeout_s:g})"
    with output.open("wb") as out:
        process = subprocess.Popen(
            [*order.worker, str(file)], cwd=order.root, env=_environment(folder), stdin=subprocess.DEVNULL,
            stdout=out, stderr=subprocess.STDOUT,
        )  # fmt: skip
    try:
        code = process.wait(left_s)
    except subprocess.TimeoutExpired:
        return f"it was stopped after {left_s:.0f} s (COMPILE_TIMEOUT_S {order.timeout_s:g})"
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            process.wait()
    if code == 0:
        return ""
    how = f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
    return f"its process {how}: {_tail(output)}"[:500]


def _environment(folder: Path) -> dict[str, str]:
    inherited = {key: value for key, value in {**os.environ}.items() if key not in _NOT_INHERITED}
    return {
        **inherited,
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "TMPDIR": str(folder),
        "TORCHINDUCTOR_CACHE_DIR": str(folder / "inductor"),
    }


def _tail(output: Path) -> str:
    lines: Sequence[str] = output.read_text(errors="replace").strip().splitlines()
    return " / ".join(lines[-_LAST_LINES:]) or "it said nothing"


def _drop_unproven(engines: Path, candidates: Sequence[Candidate]) -> None:
    proven = {candidate.engine for candidate in candidates if candidate.state is CandidateState.EQUAL}
    for folder in engines.iterdir():
        if folder.name not in proven:
            for path in sorted(folder.rglob("*"), reverse=True):
                path.rmdir() if path.is_dir() else path.unlink()
            folder.rmdir()
