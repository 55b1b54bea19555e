"""Texts before Keras models on PyTorch and JAX, which have no tensors of texts.

A network that takes texts is cut behind the layers that look them up. Those run on TensorFlow in the learner's process,
eagerly; what is behind them learns on the backend. The network that is exported is the whole one, so that what looks
texts up while it serves is the very layer that did while it learned.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from aiplatform.artifacts import Arrays
from aiplatform.errors import InvalidConfigurationError
from training.recipes.keras_backends import TENSORFLOW

if TYPE_CHECKING:
    import keras

TEXT = "string"


@dataclass(frozen=True, kw_only=True)
class Lookup:
    """A layer that turns an input of texts, shape (n, ...), into numbers; `dtype` is what they are to the network."""

    source: str
    layer: Any
    dtype: str


@dataclass(frozen=True, kw_only=True)
class CutModel:
    """A network behind its lookups. `network` takes numbers alone: inputs as they are, and lookups by their names."""

    network: keras.Model
    lookups: Mapping[str, Lookup]

    def read(self, inputs: Arrays) -> Arrays:
        """Return what the network takes, for inputs as they come over the wire."""
        if not self.lookups:
            return dict(inputs)
        from keras import ops

        read = {name: array for name, array in inputs.items() if name in self.network.input}
        for name, lookup in self.lookups.items():
            read[name] = ops.convert_to_numpy(lookup.layer(inputs[lookup.source])).astype(lookup.dtype)
        return read


def cut_model(model: keras.Model) -> CutModel:
    """Cut a model that takes its inputs by name; the parts share the layers, and so the weights, with it.

    Raises: InvalidConfigurationError if texts go into something else than one layer each that makes numbers of them.
    """
    if not any(_is_text(tensor) for tensor in model.inputs):
        return CutModel(network=model, lookups={})
    import keras

    lookups: dict[str, Lookup] = {}
    given: dict[str, Any] = {}  # by name: the new inputs
    numbers: dict[int, Any] = {}  # by the layer that is cut off: the new input in its place
    for tensor in model.inputs:
        name = tensor.name
        if not _is_text(tensor):
            given[name] = keras.Input(tensor.shape[1:], dtype=tensor.dtype, name=name)
            continue
        for place, node in enumerate(_readers(model, tensor)):
            key = name if place == 0 else f"{name}.{place}"
            found = _numbers_of(node, name)
            lookups[key] = Lookup(source=name, layer=node.operation, dtype=_short(found.dtype))
            given[key] = keras.Input(found.shape[1:], dtype=lookups[key].dtype, name=key)
            numbers[id(node.operation)] = given[key]

    def call(operation: Any, *arguments: Any, **named: Any) -> Any:
        cut = numbers.get(id(operation))
        return operation(*arguments, **named) if cut is None else cut

    replaced = {
        name: given.get(name, tensor) if not _is_text(tensor) else tensor for name, tensor in model.input.items()
    }
    outputs = model._run_through_graph(replaced, call_fn=call)
    return CutModel(network=keras.Model(given, outputs), lookups=lookups)


def _readers(model: Any, tensor: Any) -> list[Any]:
    nodes = [node for nodes in model._nodes_by_depth.values() for node in nodes]
    return [node for node in nodes if any(one is tensor for one in node.input_tensors)]


def _numbers_of(node: Any, name: str) -> Any:
    """Return the symbolic numbers that a layer makes of texts."""
    if len(node.input_tensors) != 1 or len(node.outputs) != 1 or _is_text(node.outputs[0]):
        raise InvalidConfigurationError(
            f"backend must be {TENSORFLOW} for this recipe: on another, a layer must take the texts of '{name}' alone "
            f"and make numbers of them, which '{node.operation.name}' does not"
        )
    return node.outputs[0]


def _is_text(tensor: Any) -> bool:
    return str(tensor.dtype) == TEXT


def _short(dtype: str) -> str:
    """Return the type in which numbers of texts go in: JAX has no int64 unless it is asked to."""
    return "int32" if np.dtype(dtype) == np.int64 else str(dtype)
