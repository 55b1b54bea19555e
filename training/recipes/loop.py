"""The training loop: the same for every framework, so that all of them stop, resume and fail alike."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from training.data.dataset import Array, Dataset, Part
from training.recipes.api import Reporter, StopRequestedError, TrainingFailedError
from training.recipes.checkpoints import CheckpointStore, Progress
from training.recipes.parameters import FitParameters
from training.recipes.recipe import Learner
from training.recipes.scores import accuracy, cross_entropy

CHECKPOINT_INTERVAL_S = 120.0  # within an epoch; each epoch's end has one anyway
EVALUATION_BATCH = 512


@dataclass(kw_only=True)
class TrainingLoop:
    """Takes a learner through its epochs. The order of rows depends only on seed and epoch."""

    learner: Learner
    data: Dataset
    parameters: FitParameters
    seed: int
    reporter: Reporter
    checkpoints: CheckpointStore
    clock: Callable[[], float] = time.monotonic
    _saved_at_s: float = field(default=0.0, init=False)

    @property
    def batch_size(self) -> int:
        """Return how many rows a step has; the last step of an epoch may have fewer."""
        return self.parameters.batch_rows(len(self.data.train))

    @property
    def steps_per_epoch(self) -> int:
        """Return how many batches an epoch has."""
        return math.ceil(len(self.data.train) / self.batch_size)

    def run(self) -> list[dict[str, float]]:
        """Train from the last checkpoint, or the beginning; return one mapping per epoch.

        Raises: StopRequestedError when the reporter asks for it; TrainingFailedError if the loss
        is not a finite number.
        """
        progress = self.checkpoints.load(self.learner.load_state)
        if progress is None:
            progress = Progress()
        else:
            self.reporter.log(f"resuming at epoch {progress.epoch}, step {progress.step}")
        self._saved_at_s = self.clock()
        self.reporter.begin(epochs=self.parameters.epochs, steps_per_epoch=self.steps_per_epoch)
        while progress.epoch <= self.parameters.epochs:
            self._run_epoch(progress)
        return progress.history

    def _run_epoch(self, progress: Progress) -> None:
        epoch, batch_size = progress.epoch, self.batch_size
        order = np.random.default_rng([self.seed, epoch]).permutation(len(self.data.train))
        for step in range(progress.step, self.steps_per_epoch):
            self._run_step(progress, order[step * batch_size : (step + 1) * batch_size])
        metrics = _means(progress) | self._validate()
        progress.history.append({"epoch": epoch, **metrics})
        progress.epoch, progress.step = epoch + 1, 0
        progress.rows, progress.loss_sum, progress.correct = 0, 0.0, 0
        self._save(progress)
        self.reporter.end_epoch(epoch=epoch, metrics=metrics)

    def _run_step(self, progress: Progress, indices: Array) -> None:
        inputs, labels = self.data.train.rows(indices)
        loss, correct = self.learner.train_batch(inputs, labels)
        progress.step += 1
        if not math.isfinite(loss):
            raise TrainingFailedError(
                f"loss became {loss} at epoch {progress.epoch}, step {progress.step}; "
                f"a smaller learning_rate than {self.parameters.learning_rate} often helps"
            )
        progress.rows += len(labels)
        progress.loss_sum += loss * len(labels)
        progress.correct += correct
        try:
            self.reporter.step(epoch=progress.epoch, step=progress.step, metrics=_means(progress))
        except StopRequestedError:
            self._save(progress)
            raise
        if self.clock() - self._saved_at_s >= CHECKPOINT_INTERVAL_S:
            self._save(progress)

    def _validate(self) -> dict[str, float]:
        if not len(self.data.validation):
            return {}
        probabilities = predict_part(self.learner, self.data.validation)
        labels = self.data.validation.labels
        return {"val_loss": cross_entropy(probabilities, labels), "val_accuracy": accuracy(probabilities, labels)}

    def _save(self, progress: Progress) -> None:
        try:
            self.checkpoints.save(progress, self.learner.save_state)
        except OSError as error:
            raise TrainingFailedError(f"could not write a checkpoint: {error}") from error
        self._saved_at_s = self.clock()


def predict_part(learner: Learner, part: Part) -> Array:
    """Return probabilities for all rows of a part, shape (n, classes)."""
    return np.concatenate([learner.predict(inputs) for inputs, _ in part.batches(EVALUATION_BATCH)])


def _means(progress: Progress) -> dict[str, float]:
    return {"loss": progress.loss_sum / progress.rows, "accuracy": progress.correct / progress.rows}
