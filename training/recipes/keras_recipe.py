"""Keras recipes: write `build_model`; learning, checkpoints and export are here.

Keras and TensorFlow are imported when a learner is built, never before.
"""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from aiplatform.artifacts import Arrays
from aiplatform.errors import InvalidConfigurationError
from aiplatform.tensors import DType, TensorSpec
from training.data.dataset import Array, DataDescription
from training.recipes.recipe import Learner, Recipe

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
        tf.config.experimental.enable_op_determinism()
        model = self.build_model(data, parameters)
        return KerasLearner(model, self.build_optimizer(parameters), data.inputs)


class KerasLearner:
    """A Keras model that learns by one compiled step, without the cost of `Model.fit`."""

    model_format = "saved_model"

    def __init__(self, model: keras.Model, optimizer: keras.Optimizer, inputs: tuple[TensorSpec, ...]) -> None:
        import tensorflow as tf

        self._model, self._optimizer = model, optimizer
        self._inputs = {spec.name: _tensor_spec(spec) for spec in inputs}
        optimizer.build(model.trainable_variables)
        labels = tf.TensorSpec((None,), tf.int64)
        self._train = tf.function(self._train_step, input_signature=[self._inputs, labels])
        self._predict = tf.function(self._probabilities, input_signature=[self._inputs])

    def train_batch(self, inputs: Arrays, labels: Array) -> tuple[float, int]:
        """Learn from one batch; return its mean loss and how many rows were right."""
        loss, correct = self._train(_tensors(inputs), labels)
        return float(loss), int(correct)

    def predict(self, inputs: Arrays) -> Array:
        """Return probabilities, shape (n, classes)."""
        return np.asarray(self._predict(_tensors(inputs))[OUTPUT])

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
        """Write a SavedModel whose `serving_default` takes the inputs by name."""
        import keras

        archive = keras.export.ExportArchive()
        archive.track(self._model)
        archive.add_endpoint("serving_default", self._probabilities, input_signature=[self._inputs])
        archive.write_out(str(folder), verbose=False)

    def _variables(self) -> list[Any]:
        return [*self._model.variables, *self._optimizer.variables]

    def _train_step(self, inputs: Any, labels: Any) -> Any:
        import keras
        import tensorflow as tf

        with tf.GradientTape() as tape:
            probabilities = self._model(inputs, training=True)  # (n, classes)
            loss = tf.reduce_mean(keras.losses.sparse_categorical_crossentropy(labels, probabilities))
        variables = self._model.trainable_variables
        self._optimizer.apply(tape.gradient(loss, variables), variables)
        correct = tf.reduce_sum(tf.cast(tf.argmax(probabilities, axis=1) == labels, tf.int32))
        return loss, correct

    def _probabilities(self, inputs: Any) -> Any:
        return {OUTPUT: self._model(inputs, training=False)}


def _tensor_spec(spec: TensorSpec) -> Any:
    import tensorflow as tf

    shape = [None if size == -1 else size for size in spec.shape]
    dtype = tf.string if spec.dtype is DType.BYTES else tf.as_dtype(spec.dtype.numpy)
    return tf.TensorSpec(shape, dtype, name=spec.name)


def _tensors(inputs: Arrays) -> dict[str, Any]:
    import tensorflow as tf

    return {name: tf.convert_to_tensor(array) for name, array in inputs.items()}
