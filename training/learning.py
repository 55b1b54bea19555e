"""From an order to a trained model: the one door into the learning code."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import numpy as np

from aiplatform.artifacts import Arrays
from aiplatform.embeddings import EMBEDDING, SAMPLE_ROWS, embedding_columns
from aiplatform.errors import InvalidConfigurationError
from aiplatform.features import extract_features
from aiplatform.profiles import DataProfile
from aiplatform.tensors import Signature
from training.data.dataset import Array, Dataset, Target
from training.data.large_sources import PREFIX
from training.parallel.team import Team
from training.recipes.api import Reporter, TrainedModel, TrainingOrder
from training.recipes.checkpoints import CheckpointStore
from training.recipes.embeddings import EmbeddingLearner, embed_part
from training.recipes.keras_backends import BACKEND, TENSORFLOW, keras_on
from training.recipes.loop import TrainingLoop, predict_part
from training.recipes.recipe import Learner, Recipe
from training.recipes.registry import load_recipe, resolve_parameters
from training.recipes.tasks import Task

WARMUP_ROWS = 8
PROFILED_ROWS = 20_000  # a sample of this size puts a quantile within 1% of its place


def learn(order: TrainingOrder, reporter: Reporter) -> TrainedModel:
    """Train as ordered and return the model, tested on rows that it never saw.

    The same order in the same folder goes on from its last checkpoint.
    Raises: InvalidConfigurationError (recipe, parameters), InvalidInputError (data),
    TrainingFailedError (a loss that is no number), StopRequestedError (the reporter asked),
    WorkerLostError (a process that shares the steps is gone).
    """
    with keras_on(order.parameters.get(BACKEND)):  # a recipe of your own may import Keras with its module
        recipe = load_recipe(order.recipe)
    values = resolve_parameters(order.recipe, order.parameters)
    parameters = recipe.Parameters(**values)
    recipe.prepare(parameters)
    with _loaded(order, reporter, recipe, parameters) as data:
        _check_fit(recipe, order, data)
        reporter.log(_describe(data, sources=len(order.reports)))
        return _learn(order, reporter, recipe, values, data)


def _learn(
    order: TrainingOrder, reporter: Reporter, recipe: Recipe, values: dict[str, Any], data: Dataset
) -> TrainedModel:
    parameters = recipe.Parameters(**values)
    description = data.description
    task = recipe.build_task(description, parameters)
    checkpoints = CheckpointStore(order.checkpoints, identity=_identity(order, values, data))
    with _team(order, recipe, parameters.workers, reporter) as team:
        learner = recipe.build_learner(description, parameters, order.seed)
        loop = TrainingLoop(
            learner=learner, data=data, parameters=parameters, seed=order.seed, reporter=reporter,
            checkpoints=checkpoints, task=task, team=team,
        )  # fmt: skip
        history = loop.run()
    if team is not None:
        reporter.log("the team has ended in order")
    outputs = predict_part(learner, data.test)
    embedder = learner if isinstance(learner, EmbeddingLearner) and learner.embedding is not None else None
    embeddings = None if embedder is None else embed_part(embedder, data.test)
    warmup_inputs, _ = data.test.rows(slice(0, WARMUP_ROWS))
    return TrainedModel(
        framework=recipe.framework,
        model_format=learner.model_format,
        task=task.name,
        signature=Signature(inputs=data.inputs, outputs=task.outputs),
        labels=data.labels,
        image=data.image,
        metrics=task.test(outputs, data.test),
        parameters=values,
        data_fingerprint=data.fingerprint,
        profile=_profile(data, task.watched(outputs), embeddings, order.seed),
        warmup_inputs=warmup_inputs,
        warmup_outputs=_answers(task, learner, embedder, warmup_inputs),
        save_model=learner.export,
        history=history,
        evaluation=task.evaluate(outputs, data.test.labels),
        calibration=task.calibrate(predict_part(learner, data.validation), data.validation.labels),
        text_bytes=recipe.text_bytes(description, parameters),
        embedding=None if embedder is None else embedder.embedding,
        embeddings=None if embeddings is None else _sample(embeddings, order.seed),
    )


@contextmanager
def _loaded(order: TrainingOrder, reporter: Reporter, recipe: Recipe, parameters: Any) -> Iterator[Dataset]:
    """Give the data; what of it lies on disk for the time of the training goes on leaving.

    What was found in the sources is reported also when they cannot be used.
    """
    _remove_columns(order)  # of an attempt that was killed
    try:
        try:
            data = recipe.load_data(order, parameters)
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


def _answers(task: Task, learner: Learner, embedder: EmbeddingLearner | None, inputs: Arrays) -> Arrays:
    """Return all that the exported model is to compute for some rows."""
    answers = task.answers(learner.predict(inputs))
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
    if data.target not in recipe.targets:
        wanted = " or ".join(target.value for target in recipe.targets)
        raise InvalidConfigurationError(
            f"recipe '{order.recipe}' predicts {wanted}; the target of '{order.data_uri}' is a {data.target.value}"
        )


def _team(
    order: TrainingOrder, recipe: Recipe, workers: int, reporter: Reporter
) -> AbstractContextManager[Team | None]:
    """Return who shares the steps: nobody, or a team of so many processes."""
    if workers == 1:
        return nullcontext()
    if not recipe.can_share:
        raise InvalidConfigurationError(
            f"recipe '{order.recipe}' learns in one process: 'workers' must be 1, not {workers}"
        )
    return Team(order, world=workers, reporter=reporter)


def _describe(data: Dataset, *, sources: int) -> str:
    """Return what is to be learned; rows and fingerprint are told of one source already, of several not together."""
    kind = f"{len(data.labels)} classes" if data.labels else "a number"
    if data.target is Target.BOXES:
        kind = f"boxes of {kind}"
    if sources == 1:
        return f"learning {kind}"
    parts = f"{len(data.train)} training, {len(data.validation)} validation and {len(data.test)} test rows"
    return f"learning {kind} from all together: {parts}, fingerprint {data.fingerprint}"


def _identity(order: TrainingOrder, values: dict[str, Any], data: Dataset) -> str:
    """Return what must be equal for a checkpoint to be of use."""
    # The embedding changes no weight; checkpoints that name no backend are of the one that all had.
    usual = {BACKEND: TENSORFLOW}
    learned_from = {k: v for k, v in values.items() if k != "embedding" and usual.get(k) != v}
    parts = [order.recipe, learned_from, data.fingerprint, order.target, order.seed]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _profile(data: Dataset, watched: Arrays, embeddings: Array | None, seed: int) -> DataProfile:
    """Return the training rows' features, and the answers and embeddings for rows that were held out."""
    count = min(len(data.train), PROFILED_ROWS)
    sample = np.sort(np.random.default_rng(seed).choice(len(data.train), count, replace=False))
    profile = DataProfile()
    for start in range(0, count, 1000):
        inputs, _ = data.train.rows(sample[start : start + 1000])
        profile.update(extract_features(inputs))
    profile.update({}, watched if embeddings is None else {**watched, **embedding_columns(embeddings)})
    return profile
