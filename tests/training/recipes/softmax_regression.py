"""A real recipe in numpy alone: fast enough to try every corner of the training loop."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from aiplatform.artifacts import Arrays
from training.data.dataset import IMAGE, Array, DataDescription, DataKind
from training.recipes.augmentation import parse_augmentation
from training.recipes.parameters import FitParameters, parameter
from training.recipes.recipe import Recipe

PATH = "tests.training.recipes.softmax_regression:SoftmaxRegression"


@dataclass(frozen=True, kw_only=True)
class SoftmaxParameters(FitParameters):
    """What can be chosen."""

    learning_rate: float = parameter(0.5, minimum=0.0, maximum=1e300, help="Step size.")
    augment: str = parameter("", help="Random changes of training images.")

    def __post_init__(self) -> None:
        parse_augmentation(self.augment)

    noise: float = parameter(0.01, minimum=0.0, help="Random noise on the pixels while learning.")


class SoftmaxRegression(Recipe):
    """One dense layer on the pixels."""

    name = "softmax_regression"
    summary = "One dense layer"
    framework = "numpy"
    data_kind = DataKind.IMAGES
    Parameters: ClassVar[type[SoftmaxParameters]] = SoftmaxParameters

    def build_learner(self, data: DataDescription, parameters: SoftmaxParameters, seed: int) -> SoftmaxLearner:
        features = int(np.prod(data.inputs[0].shape[1:]))
        return SoftmaxLearner(features, len(data.labels), parameters, seed)


class SoftmaxLearner:
    """Plain gradient descent; its noise makes a lost random state visible."""

    model_format = "npy"

    def __init__(self, features: int, classes: int, parameters: SoftmaxParameters, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        self.weights = self.random.normal(0, 0.01, (features, classes))
        self._parameters = parameters
        self.rates: list[float] = []

    def train_batch(self, inputs: Arrays, labels: Array) -> tuple[float, int]:
        x = self._features(inputs)
        x = x + self.random.normal(0, self._parameters.noise, x.shape)
        with np.errstate(all="ignore"):
            probabilities = _softmax(x @ self.weights)
            loss = float(-np.log(probabilities[np.arange(len(labels)), labels]).mean())
            correct = int((probabilities.argmax(axis=1) == labels).sum())
            probabilities[np.arange(len(labels)), labels] -= 1
            self.weights = self.weights - self._parameters.learning_rate * x.T @ probabilities / len(labels)
        return loss, correct

    def set_learning_rate(self, rate: float) -> None:
        self.rates.append(rate)
        self._parameters = replace(self._parameters, learning_rate=rate)

    def predict(self, inputs: Arrays) -> Array:
        return _softmax(self._features(inputs) @ self.weights).astype(np.float32)

    def save_state(self, path: Path) -> None:
        state = self.random.bit_generator.state["state"]
        with path.open("wb") as file:
            np.savez(file, weights=self.weights, random=np.array([str(state["state"]), str(state["inc"])]))

    def load_state(self, path: Path) -> None:
        with np.load(path) as saved:
            self.weights = saved["weights"]
            state, increment = (int(text) for text in saved["random"])
        whole = self.random.bit_generator.state
        self.random.bit_generator.state = {**whole, "state": {"state": state, "inc": increment}}

    def export(self, folder: Path) -> None:
        np.save(folder / "weights.npy", self.weights)

    def _features(self, inputs: Arrays) -> Any:
        images = inputs[IMAGE]  # perhaps of no rows
        return images.reshape(len(images), int(np.prod(images.shape[1:]))) / 255.0


def _softmax(logits: Array) -> Array:
    raised = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=1, keepdims=True))
