"""The classic convolutional network for small images, in Keras."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from training.data.dataset import IMAGE, DataDescription, DataKind
from training.recipes.classic_cnn import ClassicCnnParameters, choose_padding
from training.recipes.keras_backends import BackendParameters
from training.recipes.keras_recipe import KerasRecipe

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True, kw_only=True)
class KerasCnnParameters(BackendParameters, ClassicCnnParameters):
    """What can be chosen."""


class KerasCnn(KerasRecipe):
    """Two convolutions with max-pooling, then one dense layer."""

    name = "keras_cnn"
    summary = "Classic convolutional network for images of any size (Keras)"
    data_kind = DataKind.IMAGES
    Parameters: ClassVar[type[KerasCnnParameters]] = KerasCnnParameters

    def build_model(self, data: DataDescription, parameters: KerasCnnParameters) -> keras.Model:
        """Return the network; shapes in the margin are for 28x28 images of one channel."""
        import keras
        from keras import layers

        height, width, channels = data.inputs[0].shape[1:]
        padding = choose_padding(height, width)
        image = keras.Input((height, width, channels), name=IMAGE)  # (n, 28, 28, 1), 0 to 255
        x = layers.Rescaling(1 / 255)(image)  # 0 to 1
        x = layers.Conv2D(32, 3, padding=padding, activation="relu")(x)  # (n, 26, 26, 32)
        x = layers.MaxPooling2D(2)(x)  # (n, 13, 13, 32)
        x = layers.Conv2D(64, 3, padding=padding, activation="relu")(x)  # (n, 11, 11, 64)
        x = layers.MaxPooling2D(2)(x)  # (n, 5, 5, 64)
        x = layers.Flatten()(x)  # (n, 1600)
        x = layers.Dropout(parameters.dropout)(x)
        probabilities = layers.Dense(len(data.labels), activation="softmax", dtype="float32")(x)  # (n, classes)
        return keras.Model({IMAGE: image}, probabilities)
