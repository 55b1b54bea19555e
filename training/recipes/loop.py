"""The training loop: the same for every framework, so that all of them stop, resume and fail alike."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import cast

from aiplatform.artifacts import Arrays
from training.data.dataset import IMAGE, Array, Dataset, Part
from training.parallel.team import Team
from training.recipes.api import Reporter, StopRequestedError, TrainingFailedError
from training.recipes.augmentation import Augmentation, parse_augmentation
from training.recipes.checkpoints import CheckpointStore, Progress
from training.recipes.parameters import BEST, FitParameters
from training.recipes.reading import join_answers, read_rows
from training.recipes.recipe import Learner, SharingLearner
from training.recipes.schedules import CONSTANT, rate_factor
from training.recipes.tasks import Task

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
    task: Task
    team: Team | None = None  # with whom each step is shared
    clock: Callable[[], float] = time.monotonic
    _saved_at_s: float = field(default=0.0, init=False)
    _augmentation: Augmentation | None = field(init=False)

    def __post_init__(self) -> None:
        self._augmentation = parse_augmentation(getattr(self.parameters, "augment", ""))

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
            if self.team is not None:
                self.team.hand_over(self.learner.save_state)
        self._saved_at_s = self.clock()
        self.reporter.begin(
            epochs=self.parameters.epochs,
            steps_per_epoch=self.steps_per_epoch,
            rows_per_epoch=len(self.data.train),
        )
        while progress.epoch <= self.parameters.epochs and not progress.ended:
            self._run_epoch(progress)
        if progress.ended:
            self.reporter.log(f"learning ended with epoch {progress.epoch - 1}: {progress.ended}")
        if self.parameters.keep == BEST:
            self._return_to_best(progress)
        return progress.history

    def _run_epoch(self, progress: Progress) -> None:
        epoch, batch_size = progress.epoch, self.batch_size
        for indices in self.data.train.order(batch_size, seed=self.seed, epoch=epoch, start=progress.step):
            self._run_step(progress, indices)
            if progress.ended:
                break
        metrics = self._means(progress) | self._validate()
        progress.history.append({"epoch": epoch, **metrics})
        self._compare(progress, metrics.get("val_loss", metrics["loss"]))
        progress.epoch, progress.step = epoch + 1, 0
        progress.rows, progress.loss_sum, progress.measure_sum = 0, 0.0, 0.0
        self._save(progress)
        self.reporter.end_epoch(epoch=epoch, metrics=metrics)

    def _rows(self, indices: Array, progress: Progress) -> tuple[Arrays, Array]:
        """Return training rows, their images changed as the recipe's parameters say."""
        inputs, labels = read_rows(self.data.train, indices, epoch=progress.epoch, step=progress.step + 1)
        if self._augmentation is None:
            return inputs, labels
        images = self._augmentation.apply(inputs[IMAGE], seed=self.seed, epoch=progress.epoch, step=progress.step)
        return {**inputs, IMAGE: images}, labels

    def _run_step(self, progress: Progress, indices: Array) -> None:
        started_s = self.clock()
        self._set_learning_rate(progress)
        loss, measure = self._train_rows(progress, indices)
        progress.step += 1
        self._note_time(progress, self.clock() - started_s)
        if not math.isfinite(loss):
            raise TrainingFailedError(
                f"loss became {loss} at epoch {progress.epoch}, step {progress.step}; "
                f"a smaller learning_rate than {self.parameters.learning_rate} often helps"
                f"{'' if self.parameters.clip_norm else ', or clip_norm=1'}"
            )
        progress.rows += len(indices)
        progress.loss_sum += loss * len(indices)
        progress.measure_sum += measure
        try:
            self.reporter.step(epoch=progress.epoch, step=progress.step, metrics=self._means(progress))
        except StopRequestedError:
            self._save(progress)
            raise
        if self.clock() - self._saved_at_s >= CHECKPOINT_INTERVAL_S:
            self._save(progress)

    def _train_rows(self, progress: Progress, indices: Array) -> tuple[float, float]:
        mine = indices
        if self.team is not None:
            mine = self.team.share(indices, epoch=progress.epoch, step=progress.step)
        inputs, labels = self._rows(mine, progress)
        if self.team is None:
            return self.learner.train_batch(inputs, labels)
        learner = cast("SharingLearner", self.learner)  # as the recipe has promised by `can_share`
        return learner.train_batch(inputs, labels, rows=len(indices))

    def _set_learning_rate(self, progress: Progress) -> None:
        chosen = self.parameters
        if chosen.schedule == CONSTANT and not chosen.warmup:
            return  # the optimizer has it from the beginning
        factor = rate_factor(
            chosen.schedule,
            step=(progress.epoch - 1) * self.steps_per_epoch + progress.step,
            steps=chosen.epochs * self.steps_per_epoch,
            warmup=chosen.warmup,
        )
        rate = chosen.learning_rate * factor
        self.learner.set_learning_rate(rate)
        if self.team is not None:
            self.team.set_learning_rate(rate)

    def _note_time(self, progress: Progress, seconds: float) -> None:
        progress.seconds += seconds
        limit = self.parameters.max_minutes
        if limit and progress.seconds >= limit * 60:
            progress.ended = f"it has learned for {progress.seconds / 60:.1f} minutes, max_minutes is {limit:g}"

    def _compare(self, progress: Progress, loss: float) -> None:
        """Keep the state if it is the best so far; give up if there was no better one for too long."""
        patience = self.parameters.patience
        if loss < progress.best_loss:
            progress.best_loss, progress.best_epoch = loss, progress.epoch
            if self.parameters.keep == BEST:
                self._keep(lambda: self.checkpoints.save_best(progress, self.learner.save_state))
        elif patience and progress.epoch - progress.best_epoch >= patience and not progress.ended:
            progress.ended = (
                f"no better validation loss than that of epoch {progress.best_epoch}, {progress.best_loss:.4g}, "
                f"in {patience} epochs (patience)"
            )

    def _return_to_best(self, progress: Progress) -> None:
        if progress.best_epoch in (0, progress.epoch - 1):
            return  # it is what the learner holds
        if self.checkpoints.load_best(self.learner.load_state) is None:
            raise TrainingFailedError("the best epoch's checkpoint cannot be read any more; start the run anew")
        self.reporter.log(f"the model is that of epoch {progress.best_epoch}, the best")

    def _validate(self) -> dict[str, float]:
        if not len(self.data.validation):
            return {}
        outputs = predict_part(self.learner, self.data.validation)
        found = self.task.validate(outputs, self.data.validation.labels)
        return {f"val_{name}": value for name, value in found.items()}

    def _means(self, progress: Progress) -> dict[str, float]:
        return {"loss": progress.loss_sum / progress.rows, self.task.measure: progress.measure_sum / progress.rows}

    def _save(self, progress: Progress) -> None:
        self._keep(lambda: self.checkpoints.save(progress, self.learner.save_state))
        self._saved_at_s = self.clock()

    def _keep(self, write: Callable[[], None]) -> None:
        try:
            write()
        except OSError as error:
            raise TrainingFailedError(f"could not write a checkpoint: {error}") from error


def predict_part(learner: Learner, part: Part) -> Array:
    """Return the answers for all rows of a part, shape as the task says, its rows first."""
    return join_answers((learner.predict(inputs) for inputs, _ in part.batches(EVALUATION_BATCH)), len(part))
