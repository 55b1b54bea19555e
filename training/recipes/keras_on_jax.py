"""Keras models that learn on JAX: a step is one compiled function from all variables to all variables.

While it learns, the values are kept here; Keras' variables get them when somebody asks (`_put_down`), so that a step
costs no assignment. What follows from a batch's shape is compiled once for each shape.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from aiplatform.artifacts import Arrays
from training.data.dataset import Array
from training.recipes.keras_portable import PortableLearner
from training.recipes.keras_texts import CutModel

Values = list[Any]


class JaxBackendLearner(PortableLearner):
    """A Keras model and its optimizer in a process where Keras is on JAX."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        import jax

        super().__init__(*arguments, **named)
        self._network = self._learning.network
        self._gradients = jax.value_and_grad(self._loss_of, has_aux=True)
        self._step = jax.jit(self._whole_step)
        self._differentiate, self._apply = jax.jit(self._gradients), jax.jit(self._apply_gradients)
        self._compiled: dict[int, Any] = {}
        variables = self._optimizer.variables
        rate = self._optimizer.learning_rate
        self._rate_place = next(place for place, variable in enumerate(variables) if variable is rate)
        self._weights: Values = []
        self._others: Values = []  # what is not learned: normalisations' means, random states
        self._state: Values = []  # the optimizer's
        self._take_up()

    def train_batch(self, inputs: Arrays, labels: Array, *, rows: int = 0) -> tuple[float, float]:
        """Learn from one batch; return its mean loss and the sum of a measure."""
        read, whole = self._learning.read(inputs), float(rows or len(labels))
        if self._options.pieces == 1:
            loss, measure, self._weights, self._others, self._state = self._step(
                self._weights, self._others, self._state, read, labels, whole
            )
            return float(loss), float(measure)
        return self._train_in_pieces(read, labels, whole)

    def set_learning_rate(self, rate: float) -> None:
        """Learn with this step size from the next batch on."""
        self._state[self._rate_place] = np.asarray(rate, dtype=self._state[self._rate_place].dtype)

    def _train_in_pieces(self, inputs: Arrays, labels: Array, whole: float) -> tuple[float, float]:
        import jax

        total, loss, measure = None, 0.0, 0.0
        for piece in self._options.cut(len(labels)):
            some = {name: array[piece] for name, array in inputs.items()}
            (part, (found, self._others)), gradients = self._differentiate(
                self._weights, self._others, some, labels[piece], whole
            )
            total = gradients if total is None else jax.tree.map(lambda a, b: a + b, total, gradients)
            loss, measure = loss + float(part), measure + float(found)
        self._weights, self._state = self._apply(total, self._weights, self._state)
        return loss, measure

    def _whole_step(self, weights: Values, others: Values, state: Values, inputs: Any, labels: Any, whole: Any) -> Any:
        (loss, (measure, others)), gradients = self._gradients(weights, others, inputs, labels, whole)
        weights, state = self._apply_gradients(gradients, weights, state)
        return loss, measure, weights, others, state

    def _loss_of(self, weights: Values, others: Values, inputs: Any, labels: Any, whole: Any) -> Any:
        """Return what these rows make up of the mean loss over `whole` rows, then the measure and what else changed."""
        from keras import ops

        outputs, others = self._network.stateless_call(weights, others, inputs, training=True)
        losses, measures = self._loss(labels, ops.cast(outputs, "float32"))  # (n,), (n,)
        if self._options.class_weights is not None:
            losses = losses * ops.take(ops.convert_to_tensor(self._options.class_weights), labels)
        return ops.sum(losses) / whole, (ops.sum(measures), others)

    def _apply_gradients(self, gradients: Values, weights: Values, state: Values) -> Any:
        import jax
        from jax import numpy

        if self._options.clip_norm:
            norm = numpy.sqrt(sum(numpy.sum(numpy.square(one)) for one in gradients))
            factor = numpy.minimum(1.0, self._options.clip_norm / numpy.maximum(norm, 1e-12))
            gradients = jax.tree.map(lambda one: one * factor, gradients)
        return self._optimizer.stateless_apply(state, gradients, weights)

    def _run(self, model: CutModel, inputs: Arrays) -> Any:
        import jax
        import keras

        network = model.network
        if id(network) not in self._compiled:

            def call(weights: Values, others: Values, given: Any) -> Any:
                return network.stateless_call(weights, others, given, training=False)[0]

            self._compiled[id(network)] = jax.jit(call)
        found = self._compiled[id(network)](
            _values(network.trainable_variables), _values(network.non_trainable_variables), model.read(inputs)
        )
        return keras.tree.map_structure(np.asarray, found)

    def _take_up(self) -> None:
        self._weights = _values(self._network.trainable_variables)
        self._others = _values(self._network.non_trainable_variables)
        self._state = _values(self._optimizer.variables)

    def _put_down(self) -> None:
        _assign(self._network.trainable_variables, self._weights)
        _assign(self._network.non_trainable_variables, self._others)
        _assign(self._optimizer.variables, self._state)


def _values(variables: Any) -> Values:
    return [variable.value for variable in variables]


def _assign(variables: Any, values: Values) -> None:
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
