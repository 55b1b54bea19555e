"""A recipe with a layer of its own that draws random numbers, and normalises: both are states of a training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import keras
from keras import layers

from training.data.dataset import IMAGE, DataDescription, DataKind
from training.recipes.keras_backends import BackendParameters
from training.recipes.keras_recipe import KerasRecipe
from training.recipes.parameters import FitParameters


@dataclass(frozen=True, kw_only=True)
class NoisyParameters(BackendParameters, FitParameters):
    """What can be chosen."""


@keras.saving.register_keras_serializable(package="noisy")
class Noise(layers.Layer):  # type: ignore[misc]
    """Adds noise while it learns, by a generator of its own."""

    def __init__(self, **named: Any) -> None:
        super().__init__(**named)
        self.seed_generator = keras.random.SeedGenerator(5)

    def call(self, x: Any, training: bool = False) -> Any:
        return x + keras.random.normal(keras.ops.shape(x), stddev=0.1, seed=self.seed_generator) if training else x


class Noisy(KerasRecipe):
    """One hidden layer with all that has states of its own."""

    name = "noisy"
    summary = "For tests"
    data_kind = DataKind.IMAGES
    Parameters = NoisyParameters

    def build_model(self, data: DataDescription, parameters: NoisyParameters) -> keras.Model:
        """Return the network."""
        image = keras.Input(data.inputs[0].shape[1:], name=IMAGE)
        x = layers.Flatten()(layers.Rescaling(1 / 255)(image))
        x = Noise()(layers.BatchNormalization()(layers.Dense(16)(x)))
        x = layers.Dropout(0.2)(layers.Activation("relu")(x))
        return keras.Model({IMAGE: image}, layers.Dense(len(data.labels), activation="softmax")(x))
