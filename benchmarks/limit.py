"""The in-process limit: what the engine reaches with as many processes as a server has workers, and no server.

Run by benchmarks.serving; each process calls the engine over and over on one thread.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.contenders import Conditions
from benchmarks.model import SIDE
from benchmarks.peers import HERE

ROOT = HERE.parent.parent


@dataclass(frozen=True, kw_only=True)
class Limit:
    """What all processes reached together, and the median time of one call in one of them."""

    rows: int
    rows_per_s: float
    call_ms: float


def measure_limit(conditions: Conditions, *, rows: int, processes: int, seconds: float) -> Limit:
    """Call the engine in some processes at once."""
    env = {
        **os.environ,
        "PYTHONPATH": str(HERE / "common"),
        "OMP_NUM_THREADS": "1",
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "BENCH_MODEL": str(conditions.model.absolute()),
        "BENCH_ENGINE": conditions.engine,
        "BENCH_GC_FREEZE": "1",
    }
    began_at = time.time() + (10.0 if conditions.engine == "tensorflow" else 3.0)  # all are loaded by then
    words = ["--rows", str(rows), "--seconds", str(seconds), "--begin-at", str(began_at)]
    running = [
        subprocess.Popen([sys.executable, "-m", "benchmarks.limit", *words], cwd=ROOT, env=env, stdout=subprocess.PIPE)
        for _ in range(processes)
    ]
    found = [json.loads(process.communicate(timeout=seconds + 60)[0].splitlines()[-1]) for process in running]
    return Limit(
        rows=rows,
        rows_per_s=sum(part["rows_per_s"] for part in found),
        call_ms=min(part["call_ms"] for part in found),
    )


def main() -> None:
    """Be one of the processes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument(
        "--begin-at", type=float, required=True, help="seconds since 1970; the processes begin together"
    )
    options = parser.parse_args()
    sys.path.insert(0, str(Path(HERE, "common")))
    import engine  # type: ignore[import-not-found]  # the peers' own

    predict = engine.load()
    inputs = np.zeros((options.rows, SIDE, SIDE, 1), np.float32)
    time.sleep(max(0.0, options.begin_at - time.time()))
    taken_s = []
    began = last = time.perf_counter()
    while last - began < options.seconds:
        predict(inputs)
        now = time.perf_counter()
        taken_s.append(now - last)
        last = now
    rate = len(taken_s) * options.rows / (last - began)
    print(json.dumps({"rows_per_s": rate, "call_ms": float(np.median(taken_s)) * 1000}))


if __name__ == "__main__":
    main()
