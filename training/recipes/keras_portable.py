"""Keras models that learn on another backend than TensorFlow: what PyTorch and JAX have in common.

A backend's own part is how a batch is learned, and how a network is run. States are numpy arrays of all variables, as
with TensorFlow, and the random states that a backend keeps beside them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from aiplatform.artifacts import Arrays
from aiplatform.embeddings import EMBEDDING
from aiplatform.errors import InvalidConfigurationError
from training.data.dataset import Array, DataDescription
from training.recipes.embeddings import embedding_spec, projection_matrix
from training.recipes.keras_export import PROBE_ROWS, write_saved_model
from training.recipes.keras_heads import Loss
from training.recipes.keras_texts import CutModel, cut_model
from training.recipes.steps import StepOptions
from training.recipes.tasks import Task

if TYPE_CHECKING:
    import keras

_RANDOM = "random-"  # before the names of a state's random states


class PortableLearner(ABC):
    """A Keras model and its optimizer on a backend that a subclass knows. The models are those of `KerasLearner`."""

    model_format = "saved_model"

    def __init__(
        self,
        model: keras.Model,
        optimizer: keras.Optimizer,
        data: DataDescription,
        *,
        task: Task,
        loss: Loss,
        options: StepOptions,
        plain: keras.Model,
        served: keras.Model,
        monitored: keras.Model | None,
        dimensions: int,
        module: str,
    ) -> None:
        """Take a model over; `module` is where its recipe is written, which the exporting process imports."""
        self._model, self._optimizer, self._module = model, optimizer, module
        self._plain, self._served, self._monitored = plain, served, monitored
        self.embedding = None if monitored is None else embedding_spec(dimensions)
        self._task, self._loss, self._options = task, loss, options
        self._data = data
        self._asked: Arrays = {}  # the rows predicted last, with which the exported model is tried
        self._learning = cut_model(model)
        self._serving = cut_model(served)
        self._monitoring = None if monitored is None else cut_model(monitored)
        optimizer.build(self._learning.network.trainable_variables)  # in the order in which gradients come

    @abstractmethod
    def train_batch(self, inputs: Arrays, labels: Array, *, rows: int = 0) -> tuple[float, float]:
        """Learn from one batch, or a part of one of `rows` rows; return its mean loss and the sum of a measure."""

    @abstractmethod
    def _run(self, model: CutModel, inputs: Arrays) -> Any:
        """Return a model's outputs as numpy arrays, in the structure that it has; nothing is learned."""

    def reseed(self, seed: int) -> None:
        """Draw layers' random numbers anew, the same for the same seed."""
        reseed_layers(self._model, seed)
        self._take_up()

    def _put_down(self) -> None:  # noqa: B027 (most backends learn in Keras' variables)
        """Bring Keras' variables up to what was learned."""

    def _take_up(self) -> None:  # noqa: B027
        """Go on from what Keras' variables say."""

    def _random_states(self) -> Mapping[str, Array]:
        """Return the random states that the backend has beside Keras' variables."""
        return {}

    def _set_random_states(self, states: Mapping[str, Array]) -> None:  # noqa: B027
        """Go on from random states."""

    def set_learning_rate(self, rate: float) -> None:
        """Learn with this step size from the next batch on."""
        self._optimizer.learning_rate = rate

    def predict(self, inputs: Arrays) -> Array:
        """Return the task's output, its rows first."""
        self._update_served()
        self._asked = {name: array[:PROBE_ROWS] for name, array in inputs.items()}
        return np.asarray(self._run(self._serving, inputs), dtype=np.float32)

    def embed(self, inputs: Arrays) -> Array:
        """Return embeddings, shape (n, dimensions); only for a learner that has them."""
        if self._monitoring is None:
            raise InvalidConfigurationError("this model has no embedding: no dense hidden layer, or embedding=0")
        self._update_served()
        _, hidden = self._run(self._monitoring, inputs)  # (n, width)
        embeddings: Array = hidden.astype(np.float32) @ self._projection(hidden.shape[1])
        return embeddings

    def save_state(self, path: Path) -> None:
        """Write every variable of model and optimizer (layers' random states are among them), and the backend's own."""
        self._put_down()
        arrays: dict[str, Any] = {str(i): _numpy(variable) for i, variable in enumerate(self._variables())}
        arrays |= {f"{_RANDOM}{name}": state for name, state in self._random_states().items()}
        with path.open("wb") as file:  # given a path, numpy would append .npz to it
            np.savez(file, **arrays)

    def load_state(self, path: Path) -> None:
        """Read what `save_state` wrote."""
        with np.load(path, allow_pickle=False) as saved:
            for i, variable in enumerate(self._variables()):
                variable.assign(saved[str(i)])
            names = [name for name in saved.files if name.startswith(_RANDOM)]
            self._set_random_states({name.removeprefix(_RANDOM): saved[name] for name in names})
        self._take_up()

    def export(self, folder: Path) -> None:
        """Write a SavedModel like that of `KerasLearner`, by a process that has Keras on TensorFlow.

        Raises: TrainingFailedError if that model does not answer as this one does.
        """
        asked = self._asked or self._data.train.rows(slice(0, PROBE_ROWS))[0]
        answers = self._task.answers(self.predict(asked))
        if self._monitoring is not None:
            answers = {**answers, EMBEDDING: self.embed(asked)}
        names = tuple(spec.name for spec in self._task.outputs)
        write_saved_model(
            self._whole(), folder, inputs=self._data.inputs, names=names, asked=asked, answers=answers,
            module=self._module,
        )  # fmt: skip

    def _whole(self) -> keras.Model:
        """Return a model that gives the task's answers by name, and the embedding where there is one."""
        import keras

        if self._monitored is None:
            return keras.Model(self._served.input, self._task.answers(self._served.output))
        outputs, hidden = self._monitored.output
        matrix = self._projection(hidden.shape[1])
        project = keras.layers.Dense(matrix.shape[1], use_bias=False, dtype="float32", trainable=False)
        embedding = project(hidden)
        project.set_weights([matrix])
        return keras.Model(self._monitored.input, {**self._task.answers(outputs), EMBEDDING: embedding})

    def _projection(self, width: int) -> Array:
        assert self.embedding is not None  # noqa: S101 (who asks has looked)
        return projection_matrix(width, self.embedding.shape[1])

    def _update_served(self) -> None:
        self._put_down()
        if self._plain is not self._model:
            self._plain.set_weights(self._model.get_weights())

    def _variables(self) -> list[Any]:
        return [*self._model.variables, *self._optimizer.variables]


def reseed_layers(model: keras.Model, seed: int) -> None:
    """Draw layers' random numbers anew, the same for the same seed."""
    import keras

    for layer in model._flatten_layers():
        if isinstance(generator := getattr(layer, "seed_generator", None), keras.random.SeedGenerator):
            generator.state.assign([seed, 0])


def _numpy(variable: Any) -> Array:
    from keras import ops

    array: Array = ops.convert_to_numpy(variable)
    return array
