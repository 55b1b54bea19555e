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
from training.recipes.embeddings import embedding_spec, projection_matrix
from training.recipes.recipe import Learner, Recipe
from training.recipes.steps import StepOptions

if TYPE_CHECKING:
    import keras

OUTPUT = "probabilities"


class KerasRecipe(Recipe):
    """A recipe whose network is a Keras model."""

    framework: ClassVar[str] = "tensorflow"

    @abstractmethod
    def build_model(self, data: DataDescription, parameters: Any) -> keras.Model:
        """Return a model from a mapping of the data's inputs to probabilities (n, classes)."""

    def build_optimizer(self, parameters: Any) -> keras.Optimizer:
        """Return the optimizer: Adam, unless a recipe says otherwise."""
        import keras

        return keras.optimizers.Adam(learning_rate=parameters.learning_rate)

    def find_hidden(self, model: keras.Model) -> Any | None:
        """Return the tensor (n, width) that embeddings are made of: what goes into the model's last dense layer.

        None if there is no such layer; the model then has no embedding.
        """
        return last_hidden(model)

    def build_learner(self, data: DataDescription, parameters: Any, seed: int) -> Learner:
        """Return a learner around a fresh model; every random choice follows from the seed."""
        try:
            import keras
            import tensorflow as tf
        except ModuleNotFoundError as error:
            raise InvalidConfigurationError(
                f"recipe '{self.name}' needs TensorFlow and Keras; '{error.name}' is not installed"
            ) from error
        keras.utils.set_random_seed(seed)
        if parameters.deterministic:
            tf.config.experimental.enable_op_determinism()
        options = StepOptions.of(parameters, data)
        served = self.build_model(data, parameters)
        model = served
        if options.is_mixed:
            with _policy("mixed_bfloat16"):
                model = self.build_model(data, parameters)
            model.set_weights(served.get_weights())
        hidden = self.find_hidden(served) if parameters.embedding else None
        return KerasLearner(
            model,
            self.build_optimizer(parameters),
            data.inputs,
            options=options,
            served=served,
            monitored=None if hidden is None else keras.Model(served.input, [served.outputs[0], hidden]),
            dimensions=parameters.embedding,
        )


class KerasLearner:
    """A Keras model that learns by one compiled step, without the cost of `Model.fit`.

    `served` is what predicts and is exported: the same model, or, where learning is in mixed precision, its twin
    in float32. `monitored` shares its layers and also gives its last hidden layer, of which the embedding of
    `dimensions` is made; without it there is none.
    """

    model_format = "saved_model"

    def __init__(
        self,
        model: keras.Model,
        optimizer: keras.Optimizer,
        inputs: tuple[TensorSpec, ...],
        *,
        options: StepOptions | None = None,
        served: keras.Model | None = None,
        monitored: keras.Model | None = None,
        dimensions: int = 0,
    ) -> None:
        import tensorflow as tf

        self._monitored = monitored
        self.embedding = None if monitored is None else embedding_spec(dimensions)

        self._model, self._optimizer = model, optimizer
        self._served = model if served is None else served
        self._options = options or StepOptions()
        self._inputs = {spec.name: _tensor_spec(spec) for spec in inputs}
        optimizer.build(model.trainable_variables)
        labels = tf.TensorSpec((None,), tf.int64)
        self._train = tf.function(self._train_step, input_signature=[self._inputs, labels])
        rows = tf.TensorSpec((), tf.float32)
        self._differentiate = tf.function(self._gradients, input_signature=[self._inputs, labels, rows])
        self._apply = tf.function(self._apply_gradients)
        self._predict = tf.function(self._probabilities, input_signature=[self._inputs])
        self._predict_both = tf.function(self._both, input_signature=[self._inputs])

    def train_batch(self, inputs: Arrays, labels: Array) -> tuple[float, int]:
        """Learn from one batch; return its mean loss and how many rows were right."""
        if self._options.pieces == 1:
            loss, correct = self._train(_tensors(inputs), labels)
            return float(loss), int(correct)
        return self._train_in_pieces(inputs, labels)

    def set_learning_rate(self, rate: float) -> None:
        """Learn with this step size from the next batch on."""
        self._optimizer.learning_rate.assign(rate)

    def predict(self, inputs: Arrays) -> Array:
        """Return probabilities, shape (n, classes)."""
        self._update_served()
        return np.asarray(self._predict(_tensors(inputs))[OUTPUT])

    def embed(self, inputs: Arrays) -> Array:
        """Return embeddings, shape (n, dimensions); only for a learner that has them."""
        self._update_served()
        return np.asarray(self._predict_both(_tensors(inputs))[EMBEDDING])

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

    def export(self, folder: Path) -> None:
        """Write a SavedModel whose `serving_default` takes the inputs by name; `monitored` gives the embedding, too."""
        import keras

        self._update_served()
        archive = keras.export.ExportArchive()
        archive.track(self._served)
        archive.add_endpoint("serving_default", self._probabilities, input_signature=[self._inputs])
        if self._monitored is not None:
            archive.track(self._monitored)
            archive.add_endpoint(MONITORED, self._both, input_signature=[self._inputs])
        archive.write_out(str(folder), verbose=False)

    def _variables(self) -> list[Any]:
        return [*self._model.variables, *self._optimizer.variables]

    def _train_step(self, inputs: Any, labels: Any) -> Any:
        import tensorflow as tf

        gradients, loss, correct = self._gradients(inputs, labels, tf.cast(tf.shape(labels)[0], tf.float32))
        self._apply_gradients(gradients)
        return loss, correct

    def _gradients(self, inputs: Any, labels: Any, rows: Any) -> Any:
        """Return the gradients of a step's mean loss over `rows` rows, as far as these rows make it up."""
        import keras
        import tensorflow as tf

        with tf.GradientTape() as tape:
            probabilities = tf.cast(self._model(inputs, training=True), tf.float32)  # (n, classes)
            losses = keras.losses.sparse_categorical_crossentropy(labels, probabilities)  # (n,)
            if self._options.class_weights is not None:
                losses = losses * tf.gather(tf.constant(self._options.class_weights), labels)
            loss = tf.reduce_sum(losses) / rows
        gradients = tape.gradient(loss, self._model.trainable_variables)
        correct = tf.reduce_sum(tf.cast(tf.argmax(probabilities, axis=1) == labels, tf.int32))
        return gradients, loss, correct

    def _apply_gradients(self, gradients: Any) -> None:
        import tensorflow as tf

        if self._options.clip_norm:
            gradients, _ = tf.clip_by_global_norm(gradients, self._options.clip_norm)
        self._optimizer.apply(gradients, self._model.trainable_variables)

    def _train_in_pieces(self, inputs: Arrays, labels: Array) -> tuple[float, int]:
        total: list[Any] = []
        loss, correct = 0.0, 0
        for piece in self._options.cut(len(labels)):
            some = {name: array[piece] for name, array in inputs.items()}
            gradients, part, right = self._differentiate(_tensors(some), labels[piece], float(len(labels)))
            total = [a + b for a, b in zip(total, gradients, strict=True)] if total else list(gradients)
            loss, correct = loss + float(part), correct + int(right)
        self._apply(total)
        return loss, correct

    def _update_served(self) -> None:
        if self._served is not self._model:
            self._served.set_weights(self._model.get_weights())

    def _probabilities(self, inputs: Any) -> Any:
        return {OUTPUT: self._served(inputs, training=False)}

    def _both(self, inputs: Any) -> Any:
        import tensorflow as tf

        if self._monitored is None or self.embedding is None:
            raise InvalidConfigurationError("this model has no embedding: no dense hidden layer, or embedding=0")
        probabilities, hidden = self._monitored(inputs, training=False)  # (n, classes), (n, width)
        projection = tf.constant(projection_matrix(hidden.shape[1], self.embedding.shape[1]))
        return {OUTPUT: probabilities, EMBEDDING: tf.cast(hidden, tf.float32) @ projection}


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
        before = layer.input
        if isinstance(layer, keras.layers.Dense):
            is_vector = len(before.shape) == 2 and before.shape[1] is not None
            return before if is_vector else None
        is_plain = not getattr(layer, "weights", ()) and getattr(before, "shape", None) == tensor.shape
        tensor = before if is_plain else None
    return None


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
