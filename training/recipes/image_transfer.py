"""Classifies images by the features of a network that has learned from others: `keras.applications`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from training.data.dataset import IMAGE, DataDescription, DataKind
from training.recipes.backbones import BACKBONES, NONE, SMALLEST_SIDE, load_backbone
from training.recipes.keras_backends import BackendParameters
from training.recipes.keras_heads import attach_head
from training.recipes.keras_recipe import KerasRecipe
from training.recipes.parameters import FitParameters, parameter

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True, kw_only=True)
class ImageTransferParameters(BackendParameters, FitParameters):
    """What can be chosen."""

    backbone: str = parameter("mobilenet_v2", choices=tuple(BACKBONES), help="The network that gives the features.")
    weights: str = parameter(
        "imagenet", help="What it has learned: imagenet (downloaded by Keras), a file's path, or none."
    )
    size: int = parameter(
        96, minimum=SMALLEST_SIDE, maximum=1024, help="Side in pixels to which images are brought for it."
    )
    fine_tune: bool = parameter(False, help="Learn on in the backbone too; without weights it always learns.")
    dropout: float = parameter(0.2, minimum=0.0, maximum=0.9, help="Share of features left out while learning.")


class ImageTransfer(KerasRecipe):
    """A backbone's features into one dense layer; resizing and scaling are in the model."""

    name = "image_transfer"
    summary = "Classes of images by a network that knows others already (Keras)"
    data_kind = DataKind.IMAGES
    Parameters: ClassVar[type[ImageTransferParameters]] = ImageTransferParameters

    def build_model(self, data: DataDescription, parameters: ImageTransferParameters) -> keras.Model:
        """Return the network; shapes in the margin are for a side of 96 pixels and mobilenet_v2."""
        import keras
        from keras import layers

        backbone = load_backbone(parameters.backbone, parameters.weights, parameters.size)
        backbone.trainable = parameters.fine_tune or parameters.weights == NONE
        image = keras.Input(data.inputs[0].shape[1:], name=IMAGE)  # (n, height, width, 1, 3 or 4), 0 to 255
        x = layers.Resizing(parameters.size, parameters.size)(_coloured(image))  # (n, 96, 96, 3)
        x = BACKBONES[parameters.backbone].scale(x)
        x = backbone(x)  # (n, 3, 3, 1280)
        x = layers.GlobalAveragePooling2D()(x)  # (n, 1280)
        x = layers.Dropout(parameters.dropout)(x)
        return keras.Model({IMAGE: image}, attach_head(x, self.build_task(data, parameters)))  # (n, classes)


def _coloured(image: Any) -> Any:
    """Return three channels: of gray the same three times, without what else there may be (transparency)."""
    from keras import layers

    channels = image.shape[-1]
    return layers.Concatenate()([image] * 3) if channels == 1 else image[..., :3]
