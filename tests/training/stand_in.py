"""A stand-in for the learning code: no framework, real checkpoints, and every way to go wrong.

It keeps T1's promises: the same order in the same folder goes on after the last checkpoint, and a
stop is raised out of `step` after a checkpoint was written.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from aiplatform.profiles import DataProfile
from aiplatform.tensors import DType, Signature, TensorSpec
from training.data.dataset import DataDescription, DataKind
from training.recipes.api import Reporter, StopRequestedError, TrainedModel, TrainingOrder, WorkerLostError
from training.recipes.parameters import FitParameters, parameter
from training.recipes.recipe import Learner, Recipe

RECIPE = "tests.training.stand_in:Sleepy"
STEPS = 10
FAULTS = ("", "raise", "memory", "hang", "deaf", "kill", "exit", "publish", "worker", "swell")
SWELL_BYTES = 600 * 2**20


@dataclass(frozen=True, kw_only=True)
class SleepyParameters(FitParameters):
    """How long to sleep, and how to misbehave (in `fault_epoch`, on the first attempt only if `once`)."""

    step_s: float = parameter(0.0, help="Sleep a step.", minimum=0)
    fault: str = parameter(
        "",
        help="What goes wrong.",
        choices=FAULTS,
    )
    fault_epoch: int = parameter(1, help="In which epoch.")
    once: bool = parameter(False, help="Only on the first attempt.")


class Sleepy(Recipe):
    """Learns nothing, slowly."""

    name = "sleepy"
    summary = "Learns nothing, slowly."
    framework = "none"
    data_kind = DataKind.TABLE
    Parameters = SleepyParameters

    def build_learner(self, data: DataDescription, parameters: Any, seed: int) -> Learner:
        raise NotImplementedError("the stand-in needs no learner")


def learn(order: TrainingOrder, reporter: Reporter) -> TrainedModel:
    """Go through the epochs, one checkpoint each."""
    p = order.parameters
    state = order.work_dir / "checkpoint"
    done = int(state.read_text()) if state.exists() else 0
    _note(order.work_dir, f"resumed at {done}")
    (order.work_dir / "machine.txt").write_text(
        f"{sorted(os.sched_getaffinity(0))} {os.environ.get('OMP_NUM_THREADS')} "
        f"{os.environ.get('CUDA_VISIBLE_DEVICES')}"
    )
    reporter.begin(epochs=p["epochs"], steps_per_epoch=STEPS)
    for epoch in range(done + 1, p["epochs"] + 1):
        for step in range(1, STEPS + 1):
            time.sleep(p["step_s"])
            reporter.step(epoch=epoch, step=step, metrics={"loss": 1 / epoch})
            if step == STEPS // 2 and epoch == p["fault_epoch"]:
                _go_wrong(order, reporter)
        reporter.end_epoch(epoch=epoch, metrics={"loss": 1 / epoch, "accuracy": 1 - 1 / (epoch + 1)})
        _write_atomically(state, str(epoch))
    return _model(order)


_HOLD = f"import time; held = bytearray(b'x' * {SWELL_BYTES // 2}); time.sleep(600)"


def _go_wrong(order: TrainingOrder, reporter: Reporter) -> None:
    fault = order.parameters["fault"]
    marker = order.work_dir / "faulted"
    if fault in ("", "publish") or (order.parameters["once"] and marker.exists()):
        return
    marker.touch()
    if fault == "raise":
        raise ValueError("the data has 3 columns\nand should have 4")
    if fault == "memory":
        raise MemoryError("Unable to allocate 9.9 TiB")
    if fault == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if fault == "exit":
        os._exit(3)
    if fault == "worker":
        raise WorkerLostError("worker 1 of 2 is gone (signal 9)")
    if fault == "swell":
        held = subprocess.Popen([sys.executable, "-c", _HOLD]), bytearray(b"x" * (SWELL_BYTES // 2))
        time.sleep(600)
        del held
    if fault == "hang":
        time.sleep(600)
    if fault == "deaf":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        time.sleep(600)


def _model(order: TrainingOrder) -> TrainedModel:
    profile = DataProfile()
    profile.update({"x": np.arange(10.0)})
    x = np.ones((2, 1), dtype=np.float32)
    return TrainedModel(
        framework="none",
        model_format="none",
        task="tabular_classification",
        signature=Signature(
            inputs=(TensorSpec(name="x", dtype=DType.FP32, shape=(-1, 1)),),
            outputs=(TensorSpec(name="probabilities", dtype=DType.FP32, shape=(-1, 2)),),
        ),
        labels=("no", "yes"),
        image=None,
        metrics={"accuracy": 0.9},
        parameters=dict(order.parameters),
        data_fingerprint="sha256:0",
        profile=profile,
        warmup_inputs={"x": x},
        warmup_outputs={"probabilities": np.full((2, 2), 0.5, dtype=np.float32)},
        save_model=lambda folder: _save(order, folder),
    )


def _save(order: TrainingOrder, folder: Path) -> None:
    (folder / "weights.txt").write_text(f"{order.seed}")
    marker = order.work_dir / "faulted"
    if order.parameters["fault"] == "publish" and not marker.exists():
        marker.touch()
        os.kill(os.getpid(), signal.SIGKILL)


def _note(folder: Path, line: str) -> None:
    with (folder / "notes.txt").open("a") as file:
        file.write(line + "\n")


def _write_atomically(path: Path, text: str) -> None:
    staging = path.with_suffix(".new")
    staging.write_text(text)
    staging.rename(path)


__all__ = ["RECIPE", "Sleepy", "StopRequestedError", "learn"]
