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

from aiplatform.artifacts import Arrays
from aiplatform.errors import InvalidConfigurationError
from aiplatform.tensors import DType, TensorSpec
from training.data.dataset import Array, DataDescription
from training.parallel.place import Place, this_place
from training.recipes.recipe import Learner, Recipe
from training.recipes.steps import StepOptions

if TYPE_CHECKING:
    import keras

OUTPUT = "probabilities"


class KerasRecipe(Recipe):
    """A recipe whose network is a Keras model."""

    framework: ClassVar[str] = "tensorflow"
    can_share: ClassVar[bool] = True

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
        place = this_place()
        strategy = None if place.is_alone else _strategy(place)  # before TensorFlow does anything else
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
        optimizer = self.build_optimizer(parameters)
        learner = KerasLearner(model, optimizer, data.inputs, options=options, served=served, strategy=strategy)
        if place.rank:
            learner.reseed(seed + place.rank)
        return learner


class KerasLearner:
    """A Keras model that learns by one compiled step, without the cost of `Model.fit`.

    `served` is what predicts and is exported: the same model, or, where learning is in mixed precision, its twin
    in float32.
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
        strategy: Any = None,
    ) -> None:
        import tensorflow as tf

        self._model, self._optimizer = model, optimizer
        self._served = model if served is None else served
        self._options = options or StepOptions()
        self._strategy = strategy  # tf.distribute's, of a team that shares each step
        self._inputs = {spec.name: _tensor_spec(spec) for spec in inputs}
        optimizer.build(model.trainable_variables)
        labels = tf.TensorSpec((None,), tf.int64)
        rows = tf.TensorSpec((), tf.float32)
        self._train = tf.function(self._train_step, input_signature=[self._inputs, labels, rows])
        self._differentiate = tf.function(self._gradients, input_signature=[self._inputs, labels, rows])
        self._apply = tf.function(self._apply_sum)
        self._predict = tf.function(self._probabilities, input_signature=[self._inputs])

    def train_batch(self, inputs: Arrays, labels: Array, *, rows: int = 0) -> tuple[float, int]:
        """Learn from one batch, or from a part of one of `rows` rows; return its mean loss and how many were right."""
        whole = float(rows or len(labels))
        if self._options.pieces == 1:
            loss, correct = self._train(_tensors(inputs), labels, whole)
            return float(loss), int(correct)
        return self._train_in_pieces(inputs, labels, whole)

    def set_learning_rate(self, rate: float) -> None:
        """Learn with this step size from the next batch on."""
        self._optimizer.learning_rate.assign(rate)

    def predict(self, inputs: Arrays) -> Array:
        """Return probabilities, shape (n, classes)."""
        self._update_served()
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

    def reseed(self, seed: int) -> None:
        """Draw dropout's random numbers anew, the same for the same seed."""
        import keras

        for layer in self._model._flatten_layers():
            if isinstance(generator := getattr(layer, "seed_generator", None), keras.random.SeedGenerator):
                generator.state.assign([seed, 0])

    def export(self, folder: Path) -> None:
        """Write a SavedModel whose `serving_default` takes the inputs by name."""
        import keras

        self._update_served()
        archive = keras.export.ExportArchive()
        archive.track(self._served)
        archive.add_endpoint("serving_default", self._probabilities, input_signature=[self._inputs])
        archive.write_out(str(folder), verbose=False)

    def _variables(self) -> list[Any]:
        return [*self._model.variables, *self._optimizer.variables]

    def _train_step(self, inputs: Any, labels: Any, rows: Any) -> Any:
        return self._apply_sum(*self._gradients(inputs, labels, rows))

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
        correct = tf.reduce_sum(tf.cast(tf.argmax(probabilities, axis=1) == labels, tf.float32))
        return gradients, loss, correct

    def _apply_sum(self, gradients: Any, loss: Any, correct: Any) -> Any:
        """Take a step along the gradients, a team's together; return the loss and count of the whole step."""
        import tensorflow as tf

        if self._strategy is not None:
            *gradients, loss, correct = self._sum_of_all([*gradients, loss, correct])
        if self._options.clip_norm:
            gradients, _ = tf.clip_by_global_norm(gradients, self._options.clip_norm)
        self._optimizer.apply(gradients, self._model.trainable_variables)
        return loss, correct

    def _sum_of_all(self, values: list[Any]) -> Any:
        """Return each value summed over the team; what no gradient reaches (None) stays so."""
        import tensorflow as tf

        def add(*mine: Any) -> Any:
            # An operation made here stands on the member's device, which the engine asks for.
            there = [tf.identity(tf.convert_to_tensor(value)) for value in mine]
            return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, there)

        sums = iter(self._strategy.run(add, args=tuple(value for value in values if value is not None)))
        return [None if value is None else next(sums) for value in values]

    def _train_in_pieces(self, inputs: Arrays, labels: Array, rows: float) -> tuple[float, int]:
        total: list[Any] = []
        loss, correct = 0.0, 0.0
        for piece in self._options.cut(len(labels)):
            some = {name: array[piece] for name, array in inputs.items()}
            gradients, part, right = self._differentiate(_tensors(some), labels[piece], rows)
            total = [a + b for a, b in zip(total, gradients, strict=True)] if total else list(gradients)
            loss, correct = loss + part, correct + right
        loss, correct = self._apply(total, loss, correct)
        return float(loss), int(correct)

    def _update_served(self) -> None:
        if self._served is not self._model:
            self._served.set_weights(self._model.get_weights())

    def _probabilities(self, inputs: Any) -> Any:
        return {OUTPUT: self._served(inputs, training=False)}


def _strategy(place: Place) -> Any:
    """Return TensorFlow's engine for a team; it waits until all members have come."""
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        tf.config.set_visible_devices(gpus[place.rank % len(gpus)], "GPU")
    return tf.distribute.MultiWorkerMirroredStrategy()


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
