"""Trains a recipe several times, each time tested on another part of the rows: how good it is, and how sure that is.

Nothing is registered. Each row is answered once, by a model that never saw it; these answers are what thresholds and
groups are looked at with (training.decisions).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from aiplatform.artifacts import Arrays
from aiplatform.errors import InvalidConfigurationError, InvalidInputError
from training.data.dataset import Array, DataKind, Dataset, Part
from training.data.images import divide
from training.data.split import VALIDATION_SHARE
from training.recipes.api import Reporter, TrainingOrder
from training.recipes.checkpoints import CheckpointStore
from training.recipes.keras_backends import BACKEND, keras_on
from training.recipes.loop import TrainingLoop, predict_part
from training.recipes.recipe import Recipe
from training.recipes.registry import load_recipe, resolve_parameters


@dataclass(frozen=True, kw_only=True)
class CrossValidation:
    """`metrics` has one mapping a fold. Shapes: `fold` (n,) says which fold tested a row; outputs, truth: n rows."""

    labels: tuple[str, ...]
    metrics: Sequence[Mapping[str, float]]
    inputs: Arrays
    truth: Array
    outputs: Array
    fold: Array

    def spread(self, name: str) -> tuple[float, float]:
        """Return a metric's mean over the folds and its standard deviation between them."""
        values = [found[name] for found in self.metrics]
        return float(np.mean(values)), float(np.std(values, ddof=1))


def cross_validate(order: TrainingOrder, reporter: Reporter, *, folds: int) -> CrossValidation:
    """Train on all folds but one, in turn, and test on that one; each class is spread over the folds alike.

    Raises: InvalidConfigurationError for series, whose rows follow each other; as `learn`.
    """
    with keras_on(order.parameters.get(BACKEND)):  # a recipe of your own may import Keras with its module
        recipe = load_recipe(order.recipe)
    parameters = recipe.Parameters(**resolve_parameters(order.recipe, order.parameters))
    recipe.prepare(parameters)
    data = recipe.load_data(order, parameters)
    if data.kind is not recipe.data_kind or data.target not in recipe.targets:
        raise InvalidConfigurationError(f"recipe '{order.recipe}' does not learn from '{order.data_uri}'")
    if data.kind is DataKind.SERIES:
        raise InvalidConfigurationError("a series is held out by time; folds by chance would learn from the future")
    whole = _join([data.train, data.validation, data.test])
    fold = assign_folds(whole.labels, folds=folds, seed=order.seed)
    outputs: list[tuple[Array, Array]] = []
    metrics = []
    for number in range(folds):
        reporter.log(f"fold {number + 1} of {folds}")
        rows = np.flatnonzero(fold == number)
        test = _choose(whole, rows)
        others = _choose(whole, np.flatnonzero(fold != number))
        rest, validation = divide(others, share=VALIDATION_SHARE, seed=order.seed)
        one = replace(data, train=rest, validation=validation, test=test)
        answers, found = _train(recipe, parameters, one, order, order.work_dir / f"fold-{number}", reporter)
        outputs.append((rows, answers))
        metrics.append(found)
    joined = np.concatenate([answers for _, answers in outputs])
    places = np.concatenate([rows for rows, _ in outputs])
    return CrossValidation(
        labels=data.labels,
        metrics=metrics,
        inputs=whole.inputs,
        truth=whole.labels,
        outputs=joined[np.argsort(places)],
        fold=fold,
    )


def assign_folds(truth: Array, *, folds: int, seed: int) -> Array:
    """Return the fold of each row, shape (n,), 0 to folds - 1; each class (or tenth of amounts) is dealt out in turn.

    Raises: InvalidInputError if there are fewer rows than folds, or fewer than 2 folds.
    """
    if not 2 <= folds <= len(truth):
        raise InvalidInputError(f"there must be 2 folds to as many as rows ({len(truth)}), not {folds}")
    kinds = truth
    if truth.ndim > 1:
        kinds = np.zeros(len(truth), dtype=np.int64)
    elif truth.dtype.kind == "f":
        kinds = np.searchsorted(np.quantile(truth, np.arange(0.1, 1.0, 0.1)), truth)
    shuffled = np.random.default_rng([seed, len(truth)]).permutation(len(truth))
    together = shuffled[np.argsort(kinds[shuffled], kind="stable")]
    fold = np.empty(len(truth), dtype=np.int64)
    fold[together] = np.arange(len(truth)) % folds
    return fold


def _train(
    recipe: Recipe, parameters: Any, data: Dataset, order: TrainingOrder, folder: Path, reporter: Reporter
) -> tuple[Array, Mapping[str, float]]:
    task = recipe.build_task(data.description, parameters)
    learner = recipe.build_learner(data.description, parameters, order.seed)
    loop = TrainingLoop(
        learner=learner,
        data=data,
        parameters=parameters,
        seed=order.seed,
        reporter=reporter,
        checkpoints=CheckpointStore(folder, identity=folder.name),
        task=task,
    )
    loop.run()
    outputs = predict_part(learner, data.test)
    return outputs, task.test(outputs, data.test)


def _join(parts: Sequence[Part]) -> Part:
    inputs = {name: np.concatenate([part.inputs[name] for part in parts]) for name in parts[0].inputs}
    return Part(inputs=inputs, labels=np.concatenate([part.labels for part in parts]))


def _choose(part: Part, rows: Array) -> Part:
    return Part(inputs={name: array[rows] for name, array in part.inputs.items()}, labels=part.labels[rows])
