"""Trains one pass over a set that is larger than its memory, and says what memory it took.

    python -m benchmarks.streaming --gigabytes 4 --memory-limit-gigabytes 2 --framework torch

Makes images of 64x64x3 pixels in a temporary folder, learns them for one epoch with the platform's own loop in a
process of its own, and ends with 1 if the peak of its resident memory was above the limit.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from training.data.dataset import IMAGE, DataDescription, DataKind
from training.learning import learn
from training.recipes.api import TrainingOrder
from training.recipes.keras_recipe import KerasRecipe
from training.recipes.parameters import FitParameters
from training.recipes.torch_recipe import TorchRecipe

if TYPE_CHECKING:
    import keras
    from torch import nn

SIDE, CHANNELS, CLASSES = 64, 3, 4
ROW_BYTES = SIDE * SIDE * CHANNELS
GIB = 1024**3
AT_ONCE = 4096


class KerasLinear(KerasRecipe):
    """One dense layer: so little arithmetic that the way to the data is what is measured."""

    name = "keras_linear"
    summary = "One dense layer (Keras)"
    data_kind = DataKind.IMAGES
    Parameters: ClassVar[type[FitParameters]] = FitParameters

    def build_model(self, data: DataDescription, parameters: FitParameters) -> keras.Model:
        """Return the network."""
        import keras
        from keras import layers

        image = keras.Input(data.inputs[0].shape[1:], name=IMAGE)  # (n, 64, 64, 3)
        x = layers.Flatten()(layers.Rescaling(1 / 255)(image))  # (n, 12288)
        return keras.Model({IMAGE: image}, layers.Dense(len(data.labels), activation="softmax")(x))


class TorchLinear(TorchRecipe):
    """The same in PyTorch."""

    name = "torch_linear"
    summary = "One dense layer (PyTorch)"
    data_kind = DataKind.IMAGES
    Parameters: ClassVar[type[FitParameters]] = FitParameters

    def build_network(self, data: DataDescription, parameters: FitParameters) -> nn.Module:
        """Return the network."""
        from torch import nn

        class Linear(nn.Linear):  # type: ignore[misc]
            """Takes pixels up to 255."""

            def forward(self, x: Any) -> Any:
                return super().forward(x / 255)

        return nn.Sequential(nn.Flatten(), Linear(ROW_BYTES, len(data.labels)))  # (n, 64, 64, 3) -> (n, classes)


RECIPES = {"torch": "benchmarks.streaming:TorchLinear", "keras": "benchmarks.streaming:KerasLinear"}


@dataclass
class TimingReporter:
    """Takes the time from the first step on."""

    first_s: float = 0.0
    last_s: float = 0.0
    steps: int = 0
    is_streamed: bool = False

    def describe_data(self, sources: Sequence[Mapping[str, Any]]) -> None:
        """Note whether the data stayed on disk."""
        self.is_streamed = any(source["is_streamed"] for source in sources)

    def begin(self, *, epochs: int, steps_per_epoch: int, rows_per_epoch: int = 0) -> None:
        """Start the clock."""
        self.first_s = time.monotonic()

    def step(self, *, epoch: int, step: int, metrics: Mapping[str, float]) -> None:
        """Count."""
        self.steps += 1
        self.last_s = time.monotonic()

    def end_epoch(self, *, epoch: int, metrics: Mapping[str, float]) -> None:
        """Nothing more is wanted."""

    def log(self, message: str) -> None:
        """Say it."""
        print(message, file=sys.stderr, flush=True)


def write_images(folder: Path, rows: int) -> None:
    """Write images with a bright quarter that says their class, a block at a time."""
    random = np.random.default_rng(0)
    labels = np.arange(rows) * CLASSES // rows  # sorted by class: the worst order for one that shuffles too little
    np.save(folder / "labels.npy", labels)
    with (folder / "inputs.npy").open("wb") as file:
        header = {"descr": "|u1", "fortran_order": False, "shape": (rows, SIDE, SIDE, CHANNELS)}
        np.lib.format.write_array_header_1_0(file, header)
        noise = random.integers(0, 64, (AT_ONCE, SIDE, SIDE, CHANNELS), dtype=np.uint8)
        for start in range(0, rows, AT_ONCE):
            pixels = noise[: len(labels[start : start + AT_ONCE])].copy()
            for label in np.unique(labels[start : start + AT_ONCE]).tolist():  # a bright quarter a class
                top, left = (label // 2) * SIDE // 2, (label % 2) * SIDE // 2
                chosen = np.flatnonzero(labels[start : start + AT_ONCE] == label)
                pixels[chosen[0] : chosen[-1] + 1, top : top + SIDE // 2, left : left + SIDE // 2] += 120
            file.write(pixels.tobytes())


def train(folder: Path, framework: str, memory_bytes: int) -> None:
    """Learn one epoch and print what it took as JSON."""
    reporter, began_s = TimingReporter(), time.monotonic()
    order = TrainingOrder(
        recipe=RECIPES[framework],
        parameters={"epochs": 1, "batch_size": 256, "learning_rate": 0.0001},
        data_uri=str(folder / "data"),
        target=None,
        seed=1,
        work_dir=folder / "work",
        memory_bytes=memory_bytes,
    )
    model = learn(order, reporter)
    rows = reporter.steps * 256
    print(
        json.dumps(
            {
                "peak_rss_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
                "whole_s": round(time.monotonic() - began_s, 1),
                "rows_per_s": round(rows / (reporter.last_s - reporter.first_s)),
                "is_streamed": reporter.is_streamed,
                "accuracy": model.metrics["accuracy"],
            }
        )
    )


def main(arguments: list[str]) -> int:
    """Make the data, train in another process, compare with the limit."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gigabytes", type=float, default=0.25)
    parser.add_argument("--memory-limit-gigabytes", type=float, default=2.0, help="of resident memory, at its peak")
    parser.add_argument("--data-memory-megabytes", type=int, default=512, help="DATA_MEMORY_BYTES of the training")
    parser.add_argument("--framework", choices=sorted(RECIPES), default="torch")
    parser.add_argument("--folder", type=Path, help="where to put the data; by default the system's temporary folder")
    parser.add_argument("--train-in", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    memory_bytes = min(options.data_memory_megabytes * 1024**2, int(options.gigabytes * GIB / 4))
    if options.train_in:
        train(options.train_in, options.framework, memory_bytes)
        return 0
    folder = Path(tempfile.mkdtemp(prefix="streaming-", dir=options.folder))
    try:
        (folder / "data").mkdir()
        rows = int(options.gigabytes * GIB / ROW_BYTES)
        write_images(folder / "data", rows)
        child = [sys.executable, "-m", "benchmarks.streaming", *arguments, "--train-in", str(folder)]
        env = {"OMP_WAIT_POLICY": "PASSIVE", **os.environ}  # as the launcher starts trainers
        done = subprocess.run(child, check=True, stdout=subprocess.PIPE, text=True, env=env)
        found = json.loads(done.stdout.splitlines()[-1])
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    limit_bytes = options.memory_limit_gigabytes * GIB
    is_within = found["peak_rss_bytes"] <= limit_bytes
    print(
        f"{options.framework}: {rows} images, {options.gigabytes:g} GiB, one epoch in {found['whole_s']} s "
        f"({found['rows_per_s']} rows/s while learning), accuracy {found['accuracy']:.3f}, streamed: "
        f"{found['is_streamed']}; peak memory {found['peak_rss_bytes'] / GIB:.2f} GiB, limit "
        f"{options.memory_limit_gigabytes:g} GiB: {'within' if is_within else 'ABOVE'}"
    )
    return 0 if is_within and found["is_streamed"] else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
