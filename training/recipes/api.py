"""What a training run and the learning code agree on; neither knows more of the other.

A run hands over a `TrainingOrder` and a `Reporter`; `training.learning.learn` gives back a
`TrainedModel`, which writes itself into a staged artifact.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Protocol

from aiplatform.artifact_staging import StagedArtifact
from aiplatform.artifacts import Arrays, ImageInput
from aiplatform.calibration import Calibration
from aiplatform.errors import PlatformError
from aiplatform.profiles import DataProfile
from aiplatform.tensors import Signature, TensorSpec
from training.data.cache import DataCache
from training.data.dataset import Array
from training.data.reading import SourceReport
from training.parallel.nodes import Nodes

CHECKPOINTS_FOLDER = "checkpoints"


@dataclass(frozen=True, kw_only=True)
class TrainingOrder:
    """What to train. `parameters` are raw: text from a command line, or typed values from JSON.

    Checkpoints live in `work_dir/checkpoints` and survive attempts: the same order in the same
    folder goes on where the last attempt ended.
    """

    recipe: str
    parameters: Mapping[str, Any]
    data_uri: str
    target: str | None
    seed: int
    work_dir: Path
    cache: DataCache | None = None  # of downloads; without one they are fetched anew by each attempt
    expected: Mapping[str, str] = field(default_factory=dict)  # fingerprints by source, of registered data
    reports: list[SourceReport] = field(default_factory=list, repr=False, compare=False)  # filled when data is loaded
    memory_bytes: int = 0  # data that takes more stays on disk and is read in buffers; 0: none does
    databases: Mapping[str, str] = field(default_factory=dict, repr=False)  # addresses by name, with their passwords
    nodes: Nodes | None = None  # where the other processes are that share the steps, if not all are on this machine

    @property
    def scratch(self) -> Path:
        """Return the folder of what data takes on disk while it is learned from."""
        return self.work_dir / "data"

    @property
    def checkpoints(self) -> Path:
        """Return the folder of the checkpoints."""
        return self.work_dir / CHECKPOINTS_FOLDER


class Reporter(Protocol):
    """Who is told how the training goes, and may ask it to stop."""

    def describe_data(self, sources: Sequence[Mapping[str, Any]]) -> None:
        """Take note of what was found in each source of the data: rows, split, bad rows; before `begin`."""

    def begin(self, *, epochs: int, steps_per_epoch: int, rows_per_epoch: int = 0) -> None:
        """Take note of the size of the whole; called once, also when resuming. `rows_per_epoch` 0: not known."""

    def step(self, *, epoch: int, step: int, metrics: Mapping[str, float]) -> None:
        """Take note of one batch (epoch and step count from 1); must be cheap.

        Raises: StopRequestedError to end the training; a checkpoint is written first.
        """

    def end_epoch(self, *, epoch: int, metrics: Mapping[str, float]) -> None:
        """Take note of an epoch: loss, accuracy, val_loss, val_accuracy."""

    def log(self, message: str) -> None:
        """Take note of a sentence for people."""


class StopRequestedError(Exception):
    """The run was asked to stop; its last complete state is in a checkpoint."""


class WorkerLostError(Exception):
    """A process that shares the work is gone; the run may go on from its last checkpoint."""


class TrainingFailedError(PlatformError):
    """The training cannot go on: repeating it would fail in the same way."""

    code: ClassVar[str] = "training_failed"


@dataclass(frozen=True, kw_only=True)
class TrainedModel:
    """A model that has learned, with all that its artifact says of it.

    `metrics` are those of the test rows; `history` holds one mapping per epoch;
    `evaluation` holds what is not one number (the confusion matrix: rows true, columns predicted).
    """

    framework: str
    model_format: str
    task: str
    signature: Signature
    labels: tuple[str, ...]
    image: ImageInput | None
    metrics: Mapping[str, float]
    parameters: Mapping[str, Any]
    data_fingerprint: str
    profile: DataProfile
    warmup_inputs: Arrays
    warmup_outputs: Arrays
    save_model: Callable[[Path], None]
    history: Sequence[Mapping[str, float]] = ()
    evaluation: Mapping[str, Any] = field(default_factory=dict)
    calibration: Calibration | None = None
    text_bytes: Mapping[str, int] = field(default_factory=dict)
    embedding: TensorSpec | None = None
    embeddings: Array | None = None  # of rows held out, shape (n, dimensions)

    def write_to(self, staged: StagedArtifact) -> None:
        """Write `model/`, `warmup/` and `profile/`; the caller commits with its manifest."""
        folder = staged.folder / "model"
        folder.mkdir(exist_ok=True)
        self.save_model(folder)
        staged.write_warmup(self.warmup_inputs, self.warmup_outputs)
        staged.write_profile(self.profile.to_dict())
        if self.calibration is not None:
            staged.write_calibration(self.calibration)
        if self.embeddings is not None:
            staged.write_embeddings(self.embeddings)
