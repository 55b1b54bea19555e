"""From an order to a trained model: the one door into the learning code."""

from __future__ import annotations

import hashlib
import json
import math
from typing import Any

import numpy as np

from aiplatform.artifacts import Arrays
from aiplatform.embeddings import EMBEDDING, SAMPLE_ROWS, embedding_columns
from aiplatform.errors import InvalidConfigurationError
from aiplatform.features import extract_features, summarise_predictions
from aiplatform.profiles import DataProfile
from aiplatform.tensors import DType, Signature, TensorSpec
from training.calibrating import fit_calibration
from training.data.dataset import Array, DataKind, Dataset
from training.data.sources import load_dataset
from training.recipes.api import Reporter, TrainedModel, TrainingOrder
from training.recipes.checkpoints import CheckpointStore
from training.recipes.embeddings import EmbeddingLearner, embed_part
from training.recipes.loop import TrainingLoop, predict_part
from training.recipes.recipe import Learner, Recipe
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
    data = load_dataset(
        order.data_uri, target=order.target, seed=order.seed, scratch=order.work_dir / "data", cache=order.cache
    )
    _check_fit(recipe, order, data)
    reporter.log(_describe(data))
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
    embedder = learner if isinstance(learner, EmbeddingLearner) and learner.embedding is not None else None
    embeddings = None if embedder is None else embed_part(embedder, data.test)
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
        profile=_profile(data, probabilities, embeddings, order.seed),
        warmup_inputs=warmup_inputs,
        warmup_outputs=_answers(learner, embedder, warmup_inputs),
        save_model=learner.export,
        history=history,
        evaluation={
            "labels": list(data.labels),
            "confusion_matrix": confusion_matrix(probabilities, data.test.labels).tolist(),
        },
        calibration=fit_calibration(predict_part(learner, data.validation), data.validation.labels),
        embedding=None if embedder is None else embedder.embedding,
        embeddings=None if embeddings is None else _sample(embeddings, order.seed),
    )


def _answers(learner: Learner, embedder: EmbeddingLearner | None, inputs: Arrays) -> Arrays:
    """Return all that the exported model is to compute for some rows."""
    answers = {OUTPUT: learner.predict(inputs)}
    return answers if embedder is None else answers | {EMBEDDING: embedder.embed(inputs)}


def _sample(embeddings: Array, seed: int) -> Array:
    """Return some rows, for what compares vectors as a whole; the profile has all of them, column by column."""
    if len(embeddings) <= SAMPLE_ROWS:
        return embeddings
    return embeddings[np.sort(np.random.default_rng(seed).choice(len(embeddings), SAMPLE_ROWS, replace=False))]


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
    learned_from = {name: value for name, value in values.items() if name != "embedding"}  # it changes no weight
    parts = [order.recipe, learned_from, data.fingerprint, order.target, order.seed]
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


def _profile(data: Dataset, probabilities: Array, embeddings: Array | None, seed: int) -> DataProfile:
    """Return the training rows' features, and the outputs and embeddings of rows that were held out."""
    count = min(len(data.train), PROFILED_ROWS)
    sample = np.sort(np.random.default_rng(seed).choice(len(data.train), count, replace=False))
    profile = DataProfile()
    for start in range(0, count, 1000):
        inputs, _ = data.train.rows(sample[start : start + 1000])
        profile.update(extract_features(inputs))
    said = summarise_predictions({OUTPUT: probabilities}, data.labels)
    columns = {"label": np.array(said.labels, dtype=object), "confidence": np.array(said.confidences)}
    profile.update({}, columns if embeddings is None else columns | embedding_columns(embeddings))
    return profile
