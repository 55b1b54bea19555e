"""A small single-shot detector of objects by their middles, in Keras.

Each cell of a grid, 8 pixels wide, says how likely the middle of an object of each class is in it, where exactly, and
how large the object is. Source: Zhou, Wang and Kraehenbuehl, Objects as Points (2019).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from training.data.coco import load_coco
from training.data.dataset import IMAGE, DataDescription, DataKind, Dataset, Target
from training.recipes.api import TrainingOrder
from training.recipes.detection_grid import Grid, decode_grid, grid_loss
from training.recipes.detection_task import Detection
from training.recipes.keras_backends import BackendParameters
from training.recipes.keras_heads import Loss
from training.recipes.keras_recipe import KerasRecipe
from training.recipes.parameters import FitParameters, parameter
from training.recipes.schedules import COSINE, SCHEDULES
from training.recipes.tasks import Task

if TYPE_CHECKING:
    import keras

STRIDE = 8  # pixels of a cell's side


@dataclass(frozen=True, kw_only=True)
class DetectorParameters(BackendParameters, FitParameters):
    """What can be chosen."""

    epochs: int = parameter(30, minimum=1, maximum=10_000, help="How often all training rows are seen.")
    learning_rate: float = parameter(0.003, minimum=1e-8, maximum=10.0, help="Step size of the optimizer (Adam).")
    schedule: str = parameter(
        COSINE, choices=SCHEDULES, help="How the learning rate goes: it stays, or falls to 0 along a line or a cosine."
    )
    clip_norm: float = parameter(
        5.0, minimum=0.0, maximum=1e6, help="Longest gradient of a step, over all weights; 0: any length."
    )
    filters: int = parameter(24, minimum=4, maximum=512, help="Filters of the first convolution; later ones have more.")
    most: int = parameter(20, minimum=1, maximum=300, help="Detections of an image, at most.")
    least_score: float = parameter(0.1, minimum=0.0, maximum=1.0, help="Detections less sure are left out.")


class Detector(KerasRecipe):
    """Strided convolutions down to a grid, and what each of its cells says."""

    name = "detector"
    summary = "Boxes around objects on images, from annotations in COCO's form (Keras)"
    data_kind = DataKind.BOXES
    targets = (Target.BOXES,)
    Parameters: ClassVar[type[DetectorParameters]] = DetectorParameters

    def load_data(self, order: TrainingOrder, parameters: DetectorParameters) -> Dataset:
        """Return the images of a folder with `annotations.json`."""
        return load_coco(order.data_uri, seed=order.seed, scratch=order.work_dir / "data", cache=order.cache)

    def build_task(self, data: DataDescription, parameters: DetectorParameters) -> Detection:
        """Return the detection of the data's classes."""
        height, width = data.inputs[0].shape[1:3]
        return Detection(data.labels, most=parameters.most, height=height, width=width)

    def build_loss(self, task: Task) -> Loss:
        """Return the grid's loss; the targets say how many classes there are by the network's outputs."""
        return grid_loss

    def build_model(self, data: DataDescription, parameters: DetectorParameters) -> keras.Model:
        """Return the network; shapes in the margin are for 96x128 images and 3 classes."""
        import keras
        from keras import layers

        def convolution(x: Any, filters: int, strides: int) -> Any:
            x = layers.Conv2D(filters, 3, strides=strides, padding="same", use_bias=False)(x)
            return layers.Activation("relu")(layers.GroupNormalization(groups=4)(x))

        image = keras.Input(data.inputs[0].shape[1:], name=IMAGE)  # (n, 96, 128, 3), 0 to 255
        x = layers.Rescaling(1 / 127.5, offset=-1)(image)
        filters = parameters.filters - parameters.filters % 4
        for size in (filters, 2 * filters, 4 * filters):  # (n, 48, 64, 24), (n, 24, 32, 48), (n, 12, 16, 96)
            x = convolution(convolution(x, size, 2), size, 1)
        seen = x
        x = convolution(convolution(x, 4 * filters, 2), 4 * filters, 1)  # (n, 6, 8, 96): what is around a cell
        x = layers.UpSampling2D(2)(x)[:, : seen.shape[1], : seen.shape[2]]  # (n, 12, 16, 96)
        x = convolution(layers.Concatenate()([seen, x]), 4 * filters, 1)
        middles = layers.Conv2D(len(data.labels), 1, bias_initializer=keras.initializers.Constant(-3.0))(x)
        places = layers.Conv2D(4, 1)(x)  # (n, 12, 16, 4)
        return keras.Model({IMAGE: image}, layers.Concatenate(dtype="float32")([middles, places]))  # (n, 12, 16, 7)

    def build_served(self, model: keras.Model, data: DataDescription, parameters: DetectorParameters) -> keras.Model:
        """Return the model with the grid read: the best cells around, at most `most`, as detections."""
        import keras

        rows, columns = model.outputs[0].shape[1:3]
        grid = Grid(rows=rows, columns=columns)
        detections = decode_grid(model.outputs[0], grid, most=parameters.most, least=parameters.least_score)
        return keras.Model(model.inputs, detections)
