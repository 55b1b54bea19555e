"""What a Keras recipe's steps cost on each of Keras' backends: processor seconds, side by side.

    python -m benchmarks.keras_backends --data digits --epochs 3 --rounds 1

Each backend learns the same order by the platform's own loop in a fresh process, in turns. *Start* is until the first
step is done: imports, data, the network, and what the backend compiles. *Steps* are all further steps with validation
and checkpoints. *Export* is the test, the artifact's model and the process that makes it. Processor seconds are of the
process and those that it starts, and hold on a busy machine; wall seconds do not.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from training.recipes.keras_backends import BACKENDS

PROJECT = Path(__file__).resolve().parents[1]
PARTS = ("start", "steps", "export")


class MarkingReporter:
    """Notes when the first and the last step were done."""

    def __init__(self) -> None:
        self.steps, self.rows, self.first, self.last = 0, 0, (0.0, 0.0), (0.0, 0.0)

    def describe_data(self, sources: Sequence[Mapping[str, Any]]) -> None:
        """Take no notice."""

    def begin(self, *, epochs: int, steps_per_epoch: int, rows_per_epoch: int = 0) -> None:
        """Note how many rows are seen."""
        self.rows = epochs * rows_per_epoch

    def step(self, *, epoch: int, step: int, metrics: Mapping[str, float]) -> None:
        """Count."""
        self.steps += 1
        if self.steps == 1:
            self.first = moment()

    def end_epoch(self, *, epoch: int, metrics: Mapping[str, float]) -> None:
        """Note the moment."""
        self.last = moment()

    def log(self, message: str) -> None:
        """Take no notice."""


def moment() -> tuple[float, float]:
    """Return the time in seconds, and the processor seconds of this process and its children."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return time.monotonic(), sum(one.ru_utime + one.ru_stime for one in used)


def learn_once(options: argparse.Namespace) -> None:
    """Learn on one backend in this process, and print the seconds of each part as JSON."""
    from training.learning import learn
    from training.recipes.api import TrainingOrder

    begun, reporter = moment(), MarkingReporter()
    parameters = {"epochs": options.epochs, "backend": options.backend, **dict(p.split("=", 1) for p in options.set)}
    with tempfile.TemporaryDirectory() as folder:
        order = TrainingOrder(
            recipe=options.recipe, parameters=parameters, data_uri=options.data, target=options.target, seed=0,
            work_dir=Path(folder),
        )  # fmt: skip
        model = learn(order, reporter)
        place = Path(folder) / "model"
        place.mkdir()
        model.save_model(place)
        marks = [begun, reporter.first, reporter.last, moment()]
    told = {
        part: {"wall_s": marks[i + 1][0] - marks[i][0], "cpu_s": marks[i + 1][1] - marks[i][1]}
        for i, part in enumerate(PARTS)
    }
    print("TOLD" + json.dumps({"parts": told, "steps": reporter.steps, "rows": reporter.rows}))
    sys.stdout.flush()
    os._exit(0)


def main() -> None:
    """Learn on every backend that is installed, in turns, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", default="keras_cnn")
    parser.add_argument("--data", default="digits")
    parser.add_argument("--target")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE")
    parser.add_argument("--backend", choices=BACKENDS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.backend:
        learn_once(options)
    print(f"load {' '.join(f'{value:.1f}' for value in os.getloadavg())}, {os.cpu_count()} cores")
    print("| backend | round | steps | start, CPU s | further steps, CPU s | CPU ms a step | export, CPU s |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    for number in range(options.rounds):
        for backend in BACKENDS:
            if importlib.util.find_spec(backend) is not None:
                print(row(backend, number + 1, in_process(backend)), flush=True)


def in_process(backend: str) -> dict[str, Any]:
    """Return what a fresh process tells that was called as this one, for one backend."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.keras_backends", *sys.argv[1:], "--backend", backend],
        cwd=PROJECT, env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    line = next((line for line in done.stdout.splitlines() if line.startswith("TOLD")), "")
    if not line:
        sys.exit(f"{backend} did not learn:\n{done.stderr[-2000:]}")
    told: dict[str, Any] = json.loads(line.removeprefix("TOLD"))
    return told


def row(backend: str, number: int, told: dict[str, Any]) -> str:
    """Return a table's line."""
    start, steps, export = (told["parts"][part]["cpu_s"] for part in PARTS)
    each_ms = 1000 * steps / max(1, told["steps"] - 1)
    return f"| {backend} | {number} | {told['steps']} | {start:.1f} | {steps:.1f} | {each_ms:.1f} | {export:.1f} |"


if __name__ == "__main__":
    main()
