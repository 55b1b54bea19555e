"""Keras models that learn on PyTorch: gradients by autograd, the optimizer is Keras' own.

Keras' dropout draws from PyTorch's one generator unless a layer has a seed of its own, so that generator is a part of a
training's state. A team sums its gradients itself: Keras' layers are no module that PyTorch's wrapper could hold.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from aiplatform.artifacts import Arrays
from training.data.dataset import Array
from training.parallel.place import this_place
from training.recipes.keras_portable import PortableLearner
from training.recipes.keras_texts import CutModel

_CPU, _GPU = "cpu", "cuda-"


class TorchBackendLearner(PortableLearner):
    """A Keras model and its optimizer in a process where Keras is on PyTorch."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._is_alone = this_place().is_alone

    def train_batch(self, inputs: Arrays, labels: Array, *, rows: int = 0) -> tuple[float, float]:
        """Learn from one batch, or a part of one of `rows` rows; return its mean loss and the sum of a measure."""
        import torch

        read = self._learning.read(inputs)
        variables = self._model.trainable_variables
        for variable in variables:
            variable.value.grad = None
        loss, measure = 0.0, 0.0
        for piece in self._options.cut(len(labels)):
            some = {name: array[piece] for name, array in read.items()}
            part, some_measure = self._add_gradients(some, labels[piece], whole=rows or len(labels))
            loss, measure = loss + part, measure + some_measure
        if not self._is_alone:
            loss, measure = self._sum_of_all(loss, measure)
        if self._options.clip_norm:
            torch.nn.utils.clip_grad_norm_([variable.value for variable in variables], self._options.clip_norm)
        with torch.no_grad():
            self._optimizer.apply([variable.value.grad for variable in variables], variables)
        return loss, measure

    def reseed(self, seed: int) -> None:
        """Draw random numbers anew, the same for the same seed."""
        import torch

        torch.manual_seed(seed)
        super().reseed(seed)

    def _add_gradients(self, inputs: Arrays, labels: Array, *, whole: int) -> tuple[float, float]:
        """Add to the gradients what these rows make up of the mean loss over `whole` rows."""
        from keras import ops

        truth = ops.convert_to_tensor(labels)
        outputs = ops.cast(self._learning.network(_tensors(inputs), training=True), "float32")  # (n, ...)
        losses, measures = self._loss(truth, outputs)  # (n,), (n,)
        if self._options.class_weights is not None:
            losses = losses * ops.take(ops.convert_to_tensor(self._options.class_weights), truth)
        loss = ops.sum(losses) / whole
        loss.backward()
        return float(loss.detach()), float(ops.sum(measures).detach())

    def _sum_of_all(self, loss: float, measure: float) -> tuple[float, float]:
        """Replace the gradients by their sums over the team, in one message; return the sums of the two numbers."""
        import torch

        gradients = [v.value.grad for v in self._model.trainable_variables if v.value.grad is not None]
        told = torch.tensor([loss, measure], dtype=torch.float32, device=gradients[0].device)
        flat = torch.cat([*(gradient.reshape(-1) for gradient in gradients), told])
        torch.distributed.all_reduce(flat)
        start = 0
        for gradient in gradients:
            gradient.copy_(flat[start : start + gradient.numel()].view_as(gradient))
            start += gradient.numel()
        return float(flat[-2]), float(flat[-1])

    def _run(self, model: CutModel, inputs: Arrays) -> Any:
        import keras
        import torch

        with torch.no_grad():
            outputs = model.network(_tensors(model.read(inputs)), training=False)
            return keras.tree.map_structure(keras.ops.convert_to_numpy, outputs)

    def _random_states(self) -> Mapping[str, Array]:
        import torch

        states = {_CPU: torch.get_rng_state().numpy()}
        if torch.cuda.is_available():
            states[f"{_GPU}{torch.cuda.current_device()}"] = torch.cuda.get_rng_state().numpy()
        return states

    def _set_random_states(self, states: Mapping[str, Array]) -> None:
        import torch

        for name, state in states.items():
            tensor = torch.from_numpy(np.array(state))
            if name == _CPU:
                torch.set_rng_state(tensor)
            elif torch.cuda.is_available():  # a training that goes on elsewhere takes the device that it has
                torch.cuda.set_rng_state(tensor)


def _tensors(inputs: Arrays) -> dict[str, Any]:
    from keras import ops

    return {name: ops.convert_to_tensor(array) for name, array in inputs.items()}
