"""Keras recipes: write `build_model`; learning, checkpoints and export are here.

Keras and TensorFlow are imported when a learner is built, never before.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from aiplatform.artifacts import MONITORED, Arrays
from aiplatform.embeddings import EMBEDDING
from aiplatform.errors import InvalidConfigurationError
from aiplatform.tensors import DType, TensorSpec
from training.data.dataset import Array, DataDescription
from training.parallel.place import this_place
from training.recipes.embeddings import embedding_spec, projection_matrix
from training.recipes.keras_backends import (
    TENSORFLOW,
    TORCH,
    backend_of,
    check_installed,
    import_keras,
    keep_gpus_from_tensorflow,
    start_backend,
)
from training.recipes.keras_heads import Loss, build_loss
from training.recipes.keras_portable import PortableLearner, reseed_layers
from training.recipes.recipe import Learner, Recipe
from training.recipes.steps import StepOptions
from training.recipes.tasks import Task

if TYPE_CHECKING:
    import keras


class KerasRecipe(Recipe):
    """A recipe whose network is a Keras model."""

    framework: ClassVar[str] = "tensorflow"
    can_share: ClassVar[bool] = True

    @abstractmethod
    def build_model(self, data: DataDescription, parameters: Any) -> keras.Model:
        """Return a model from a mapping of the data's inputs to the task's output: probabilities (n, classes) ..."""

    def build_served(self, model: keras.Model, data: DataDescription, parameters: Any) -> keras.Model:
        """Return what predicts and is served: the model, unless a recipe adds layers without weights behind it."""
        return model

    def build_optimizer(self, parameters: Any) -> keras.Optimizer:
        """Return the optimizer: Adam, unless a recipe says otherwise."""
        import keras

        return keras.optimizers.Adam(learning_rate=parameters.learning_rate)

    def build_loss(self, task: Task) -> Loss:
        """Return the loss of each row, and its measure: the task's, unless a recipe says otherwise."""
        return build_loss(task)

    def find_hidden(self, model: keras.Model) -> Any | None:
        """Return the tensor (n, width) that embeddings are made of: what goes into the model's last dense layer.

        None if there is no such layer; the model then has no embedding.
        """
        return last_hidden(model)

    def prepare(self, parameters: Any) -> None:
        """Raise InvalidConfigurationError if the run's backend is not installed."""
        check_installed(backend_of(parameters))

    def build_learner(self, data: DataDescription, parameters: Any, seed: int) -> Learner:
        """Return a learner around a fresh model; every random choice follows from the seed.

        Raises: InvalidConfigurationError if the backend is not installed, or cannot learn this.
        """
        place, backend = this_place(), backend_of(parameters)
        import_keras(backend)
        import keras

        strategy = start_backend(backend, place, deterministic=parameters.deterministic)
        if backend != TENSORFLOW and any(spec.dtype is DType.BYTES for spec in data.inputs):
            keep_gpus_from_tensorflow()
        keras.utils.set_random_seed(seed)
        model, parts = self._build_parts(data, parameters)
        optimizer = self.build_optimizer(parameters)
        learner: KerasLearner | PortableLearner
        if backend == TENSORFLOW:
            rewrites = type(self).build_loss is not KerasRecipe.build_loss
            learner = KerasLearner(model, optimizer, data, strategy=strategy, rewrites=rewrites, **parts)
        else:
            learner = portable_learner(backend)(model, optimizer, data, module=type(self).__module__, **parts)
        if place.rank:
            learner.reseed(seed + place.rank)
        return learner

    def _build_parts(self, data: DataDescription, parameters: Any) -> tuple[keras.Model, dict[str, Any]]:
        """Return the model that learns, and what else every learner takes."""
        import keras

        options = StepOptions.of(parameters, data)
        plain = self.build_model(data, parameters)
        model = plain
        if options.is_mixed:
            with _policy("mixed_bfloat16"):
                model = self.build_model(data, parameters)
            model.set_weights(plain.get_weights())
        task = self.build_task(data, parameters)
        served = self.build_served(plain, data, parameters)
        hidden = self.find_hidden(plain) if parameters.embedding else None
        return model, {
            "task": task,
            "loss": self.build_loss(task),
            "options": options,
            "plain": plain,
            "served": served,
            "monitored": None if hidden is None else keras.Model(served.input, [served.output, hidden]),
            "dimensions": parameters.embedding,
        }


class KerasLearner:
    """A Keras model that learns by one compiled step, without the cost of `Model.fit`.

    `plain` is the model in float32: the same one, or its twin where learning is in mixed precision. `served` is what
    predicts and is exported: the plain model, perhaps with layers behind it. `monitored` shares its layers and also
    gives the last hidden one, of which the embedding of `dimensions` is made; without it there is none.
    `rewrites`: TensorFlow is to read the step's source and turn its `if` and `for` into operations (AutoGraph), which a
    loss of somebody's own may need; ours do not, and reading them takes longer than to trace the step.
    """

    model_format = "saved_model"

    def __init__(
        self,
        model: keras.Model,
        optimizer: keras.Optimizer,
        data: DataDescription,
        *,
        task: Task,
        loss: Loss,
        options: StepOptions | None = None,
        plain: keras.Model | None = None,
        served: keras.Model | None = None,
        strategy: Any = None,
        monitored: keras.Model | None = None,
        dimensions: int = 0,
        rewrites: bool = True,
    ) -> None:
        import tensorflow as tf

        self._model, self._optimizer = model, optimizer
        self._plain = model if plain is None else plain
        self._served = self._plain if served is None else served
        self._monitored = monitored
        self.embedding = None if monitored is None else embedding_spec(dimensions)
        self._task, self._loss = task, loss
        self._options = options or StepOptions()
        self._strategy = strategy  # tf.distribute's, of a team that shares each step
        self._inputs = {spec.name: _tensor_spec(spec) for spec in data.inputs}
        optimizer.build(model.trainable_variables)
        truth = data.train.labels
        labels = tf.TensorSpec((None, *truth.shape[1:]), tf.as_dtype(truth.dtype))
        rows = tf.TensorSpec((), tf.float32)
        step = [self._inputs, labels, rows]
        self._train = tf.function(self._train_step, input_signature=step, autograph=rewrites)
        self._differentiate = tf.function(self._gradients, input_signature=step, autograph=rewrites)
        self._apply = tf.function(self._apply_sum, autograph=False)
        self._predict = tf.function(self._outputs, input_signature=[self._inputs], autograph=False)
        self._embed = tf.function(self._embeddings, input_signature=[self._inputs], autograph=False)

    def train_batch(self, inputs: Arrays, labels: Array, *, rows: int = 0) -> tuple[float, float]:
        """Learn from one batch, or a part of one of `rows` rows; return its mean loss and the sum of a measure."""
        whole = float(rows or len(labels))
        if self._options.pieces == 1:
            loss, measure = self._train(_tensors(inputs), labels, whole)
            return float(loss), float(measure)
        return self._train_in_pieces(inputs, labels, whole)

    def set_learning_rate(self, rate: float) -> None:
        """Learn with this step size from the next batch on."""
        self._optimizer.learning_rate.assign(rate)

    def predict(self, inputs: Arrays) -> Array:
        """Return the task's output, its rows first."""
        self._update_served()
        return np.asarray(self._predict(_tensors(inputs)))

    def embed(self, inputs: Arrays) -> Array:
        """Return embeddings, shape (n, dimensions); only for a learner that has them."""
        self._update_served()
        return np.asarray(self._embed(_tensors(inputs)))

    def save_state(self, path: Path) -> None:
        """Write every variable of model and optimizer; dropout's random state is one of them."""
        arrays: dict[str, Any] = {str(i): np.asarray(variable) for i, variable in enumerate(self._variables())}
        with path.open("wb") as file:  # given a path, numpy would append .npz to it
            np.savez(file, **arrays)

    def load_state(self, path: Path) -> None:
        """Read what `save_state` wrote."""
        with np.load(path, allow_pickle=False) as saved:
            for i, variable in enumerate(self._variables()):
                variable.assign(saved[str(i)])

    def reseed(self, seed: int) -> None:
        """Draw dropout's random numbers anew, the same for the same seed."""
        reseed_layers(self._model, seed)

    def leave_team(self) -> None:
        """Sign off from the service that the leader's TensorFlow keeps over the team.

        A process that ends without is called crashed by it some seconds later, for it is not heard any more. There is
        no public way: what signs off is the end of TensorFlow's context, after which nothing can be computed.
        """
        from tensorflow.python import pywrap_tfe
        from tensorflow.python.eager import context

        pywrap_tfe.TFE_DeleteContext(context.context()._handle)

    def export(self, folder: Path) -> None:
        """Write a SavedModel whose `serving_default` takes the inputs by name; `monitored` gives the embedding, too."""
        import keras

        self._update_served()
        archive = keras.export.ExportArchive()
        archive.track(self._served)
        archive.add_endpoint("serving_default", self._answers, input_signature=[self._inputs])
        if self._monitored is not None:
            archive.track(self._monitored)
            archive.add_endpoint(MONITORED, self._both, input_signature=[self._inputs])
        archive.write_out(str(folder), verbose=False)

    def _variables(self) -> list[Any]:
        return [*self._model.variables, *self._optimizer.variables]

    def _train_step(self, inputs: Any, labels: Any, rows: Any) -> Any:
        return self._apply_sum(*self._gradients(inputs, labels, rows))

    def _gradients(self, inputs: Any, labels: Any, rows: Any) -> Any:
        """Return the gradients of a step's mean loss over `rows` rows, as far as these rows make it up."""
        import tensorflow as tf

        with tf.GradientTape() as tape:
            outputs = tf.cast(self._model(inputs, training=True), tf.float32)  # (n, ...)
            losses, measures = self._loss(labels, outputs)  # (n,), (n,)
            if self._options.class_weights is not None:
                losses = losses * tf.gather(tf.constant(self._options.class_weights), labels)
            loss = tf.reduce_sum(losses) / rows
        gradients = tape.gradient(loss, self._model.trainable_variables)
        return gradients, loss, tf.reduce_sum(measures)

    def _apply_sum(self, gradients: Any, loss: Any, measure: Any) -> Any:
        """Take a step along the gradients, a team's together; return the loss and measure of the whole step."""
        import tensorflow as tf

        if self._strategy is not None:
            *gradients, loss, measure = self._sum_of_all([*gradients, loss, measure])
        if self._options.clip_norm:
            gradients, _ = tf.clip_by_global_norm(gradients, self._options.clip_norm)
        self._optimizer.apply(gradients, self._model.trainable_variables)
        return loss, measure

    def _sum_of_all(self, values: list[Any]) -> Any:
        """Return each value summed over the team; what no gradient reaches (None) stays so."""
        import tensorflow as tf

        def add(*mine: Any) -> Any:
            # An operation made here stands on the member's device, which the engine asks for.
            there = [tf.identity(tf.convert_to_tensor(value)) for value in mine]
            return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, there)

        sums = iter(self._strategy.run(add, args=tuple(value for value in values if value is not None)))
        return [None if value is None else next(sums) for value in values]

    def _train_in_pieces(self, inputs: Arrays, labels: Array, rows: float) -> tuple[float, float]:
        total: list[Any] = []
        loss, measure = 0.0, 0.0
        for piece in self._options.cut(len(labels)):
            some = {name: array[piece] for name, array in inputs.items()}
            gradients, part, some_measure = self._differentiate(_tensors(some), labels[piece], rows)
            total = [a + b for a, b in zip(total, gradients, strict=True)] if total else list(gradients)
            loss, measure = loss + part, measure + some_measure
        loss, measure = self._apply(total, loss, measure)
        return float(loss), float(measure)

    def _update_served(self) -> None:
        if self._plain is not self._model:
            self._plain.set_weights(self._model.get_weights())

    def _outputs(self, inputs: Any) -> Any:
        return self._served(inputs, training=False)

    def _answers(self, inputs: Any) -> Any:
        return self._task.answers(self._outputs(inputs))

    def _both(self, inputs: Any) -> Any:
        outputs, embeddings = self._monitor(inputs)
        return {**self._task.answers(outputs), EMBEDDING: embeddings}

    def _embeddings(self, inputs: Any) -> Any:
        return self._monitor(inputs)[1]

    def _monitor(self, inputs: Any) -> tuple[Any, Any]:
        """Return the task's output and the embedding, (n, dimensions), of one pass."""
        import tensorflow as tf

        if self._monitored is None or self.embedding is None:
            raise InvalidConfigurationError("this model has no embedding: no dense hidden layer, or embedding=0")
        outputs, hidden = self._monitored(inputs, training=False)  # (n, ...), (n, width)
        projection = tf.constant(projection_matrix(hidden.shape[1], self.embedding.shape[1]))
        return outputs, tf.cast(hidden, tf.float32) @ projection


def last_hidden(model: keras.Model) -> Any | None:
    """Return what goes into the dense layer that a model's output comes from, by way of activations; None if none does.

    Shapes: (n, width), the width known.
    """
    import keras

    outputs = getattr(model, "outputs", None) or [None]  # a model that is no graph of layers tells nothing
    tensor = outputs[0]
    while tensor is not None and hasattr(tensor, "_keras_history"):
        layer = tensor._keras_history.operation
        if isinstance(layer, keras.layers.InputLayer):
            return None
        given = layer._inbound_nodes[tensor._keras_history.node_index].input_tensors  # it may be called in many places
        before = given[0] if len(given) == 1 else None
        if isinstance(layer, keras.layers.Dense):
            is_vector = before is not None and len(before.shape) == 2 and before.shape[1] is not None
            return before if is_vector else None
        is_plain = not getattr(layer, "weights", ()) and getattr(before, "shape", None) == tensor.shape
        tensor = before if is_plain else None
    return None


def portable_learner(backend: str) -> type[PortableLearner]:
    """Return the learner of a backend other than TensorFlow."""
    if backend == TORCH:
        from training.recipes.keras_on_torch import TorchBackendLearner

        return TorchBackendLearner
    from training.recipes.keras_on_jax import JaxBackendLearner

    return JaxBackendLearner


@contextmanager
def _policy(name: str) -> Iterator[None]:
    """Have layers that are made meanwhile compute in another precision."""
    import keras

    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def _tensor_spec(spec: TensorSpec) -> Any:
    import tensorflow as tf

    shape = [None if size == -1 else size for size in spec.shape]
    dtype = tf.string if spec.dtype is DType.BYTES else tf.as_dtype(spec.dtype.numpy)
    return tf.TensorSpec(shape, dtype, name=spec.name)


def _tensors(inputs: Arrays) -> dict[str, Any]:
    import tensorflow as tf

    return {name: tf.convert_to_tensor(array) for name, array in inputs.items()}
