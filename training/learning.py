"""From an order to a trained model: the one door into the learning code."""

from __future__ import annotations

import hashlib
import json
import math
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from aiplatform.errors import InvalidConfigurationError
from aiplatform.features import extract_features, summarise_predictions
from aiplatform.profiles import DataProfile
from aiplatform.tensors import DType, Signature, TensorSpec
from training.calibrating import fit_calibration
from training.data.dataset import Array, DataKind, Dataset
from training.data.large_sources import PREFIX
from training.recipes.api import Reporter, TrainedModel, TrainingOrder
from training.recipes.checkpoints import CheckpointStore
from training.recipes.loading import load_ordered
from training.recipes.loop import TrainingLoop, predict_part
from training.recipes.recipe import Recipe
from training.recipes.registry import load_recipe, resolve_parameters
from training.recipes.scores import accuracy, confusion_matrix, cross_entropy, roc_auc

WARMUP_ROWS = 8
PROFILED_ROWS = 20_000  # a sample of this size puts a quantile within 1% of its place
OUTPUT = "probabilities"
TASKS = {DataKind.IMAGES: "image_classification", DataKind.TABLE: "tabular_classification"}


def learn(order: TrainingOrder, reporter: Reporter) -> TrainedModel:
    """Train as ordered and return the model, tested on rows that it never saw.

    The same order in the same folder goes on from its last checkpoint.
    Raises: InvalidConfigurationError (recipe, parameters), InvalidInputError (data),
    TrainingFailedError (a loss that is no number), StopRequestedError (the reporter asked).
    """
    recipe = load_recipe(order.recipe)
    values = resolve_parameters(order.recipe, order.parameters)
    with _loaded(order, reporter) as data:
        _check_fit(recipe, order, data)
        reporter.log(_describe(data))
        return _learn(order, reporter, recipe, values, data)


def _learn(
    order: TrainingOrder, reporter: Reporter, recipe: Recipe, values: dict[str, Any], data: Dataset
) -> TrainedModel:
    parameters = recipe.Parameters(**values)
    learner = recipe.build_learner(data.description, parameters, order.seed)
    loop = TrainingLoop(
        learner=learner,
        data=data,
        parameters=parameters,
        seed=order.seed,
        reporter=reporter,
        checkpoints=CheckpointStore(order.checkpoints, identity=_identity(order, values, data)),
    )
    history = loop.run()
    probabilities = predict_part(learner, data.test)
    warmup_inputs, _ = data.test.rows(slice(0, WARMUP_ROWS))
    return TrainedModel(
        framework=recipe.framework,
        model_format=learner.model_format,
        task=TASKS[data.kind],
        signature=_signature(data),
        labels=data.labels,
        image=data.image,
        metrics=_test_metrics(probabilities, data),
        parameters=values,
        data_fingerprint=data.fingerprint,
        profile=_profile(data, probabilities, order.seed),
        warmup_inputs=warmup_inputs,
        warmup_outputs={OUTPUT: learner.predict(warmup_inputs)},
        save_model=learner.export,
        history=history,
        evaluation={
            "labels": list(data.labels),
            "confusion_matrix": confusion_matrix(probabilities, data.test.labels).tolist(),
        },
        calibration=fit_calibration(predict_part(learner, data.validation), data.validation.labels),
    )


@contextmanager
def _loaded(order: TrainingOrder, reporter: Reporter) -> Iterator[Dataset]:
    """Give the data; what of it lies on disk for the time of the training goes on leaving.

    What was found in the sources is reported also when they cannot be used.
    """
    _remove_columns(order)  # of an attempt that was killed
    try:
        try:
            data = load_ordered(order)
        finally:
            _report_sources(order, reporter)
        yield data
    finally:
        _remove_columns(order)


def _remove_columns(order: TrainingOrder) -> None:
    for folder in order.scratch.glob(f"{PREFIX}*"):
        shutil.rmtree(folder, ignore_errors=True)


def _report_sources(order: TrainingOrder, reporter: Reporter) -> None:
    for report in order.reports:
        for sentence in report.sentences():
            reporter.log(sentence)
    reporter.describe_data([report.to_dict() for report in order.reports])


def _check_fit(recipe: Recipe, order: TrainingOrder, data: Dataset) -> None:
    if recipe.data_kind is not data.kind:
        raise InvalidConfigurationError(
            f"recipe '{order.recipe}' learns from {recipe.data_kind.value}; '{order.data_uri}' is {data.kind.value}"
        )


def _describe(data: Dataset) -> str:
    parts = f"{len(data.train)} training, {len(data.validation)} validation and {len(data.test)} test rows"
    return f"data: {parts}, {len(data.labels)} classes, fingerprint {data.fingerprint}"


def _identity(order: TrainingOrder, values: dict[str, Any], data: Dataset) -> str:
    """Return what must be equal for a checkpoint to be of use."""
    parts = [order.recipe, values, data.fingerprint, order.target, order.seed]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _signature(data: Dataset) -> Signature:
    output = TensorSpec(name=OUTPUT, dtype=DType.FP32, shape=(-1, len(data.labels)))
    return Signature(inputs=data.inputs, outputs=(output,))


def _test_metrics(probabilities: Array, data: Dataset) -> dict[str, float]:
    labels = data.test.labels
    metrics = {"loss": cross_entropy(probabilities, labels), "accuracy": accuracy(probabilities, labels)}
    if len(data.labels) == 2:
        area = roc_auc(probabilities[:, 1], labels == 1)
        metrics |= {} if math.isnan(area) else {"roc_auc": area}
    return metrics


def _profile(data: Dataset, probabilities: Array, seed: int) -> DataProfile:
    """Return the training rows' features, and the outputs for rows that were held out."""
    count = min(len(data.train), PROFILED_ROWS)
    sample = np.sort(np.random.default_rng(seed).choice(len(data.train), count, replace=False))
    profile = DataProfile()
    for start in range(0, count, 1000):
        inputs, _ = data.train.rows(sample[start : start + 1000])
        profile.update(extract_features(inputs))
    said = summarise_predictions({OUTPUT: probabilities}, data.labels)
    columns = {"label": np.array(said.labels, dtype=object), "confidence": np.array(said.confidences)}
    profile.update({}, columns)
    return profile
