"""Networks of `keras.applications` as sources of features, and where their weights come from."""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aiplatform.errors import InvalidInputError, UnavailableError
from training.data.builtin import keras_cache, probe_server

if TYPE_CHECKING:
    import keras

NONE, IMAGENET = "none", "imagenet"
SMALLEST_SIDE = 32
QUICK_MOMENTUM = 0.9
_SERVER = "https://storage.googleapis.com/tensorflow/keras-applications/"


@dataclass(frozen=True, kw_only=True)
class Backbone:
    """`constructor` is its name in keras.applications; it takes pixels from -1 to 1, or from 0 to 255."""

    constructor: str
    takes_pixels: bool = False

    def scale(self, pixels: Any) -> Any:
        """Return pixels from 0 to 255 as the network wants them."""
        from keras import layers

        return pixels if self.takes_pixels else layers.Rescaling(1 / 127.5, offset=-1)(pixels)


BACKBONES = {
    "mobilenet_v2": Backbone(constructor="MobileNetV2"),
    "mobilenet_v3_small": Backbone(constructor="MobileNetV3Small", takes_pixels=True),
    "efficientnet_b0": Backbone(constructor="EfficientNetB0", takes_pixels=True),
    "efficientnet_v2_b0": Backbone(constructor="EfficientNetV2B0", takes_pixels=True),
    "resnet50_v2": Backbone(constructor="ResNet50V2"),
}


def load_backbone(name: str, weights: str, size: int) -> keras.Model:
    """Return a network from (n, size, size, 3) to features (n, h, w, k).

    `weights`: 'none', 'imagenet', or the path of a file that holds this network's without its last layer.
    Raises: UnavailableError if 'imagenet' is not in Keras' cache and cannot be downloaded; InvalidInputError if the
    file is not there or holds another network's.
    """
    import keras

    build = getattr(keras.applications, BACKBONES[name].constructor)
    shape = (size, size, 3)
    if weights == IMAGENET:
        return _with_imagenet(name, lambda: build(include_top=False, weights=IMAGENET, input_shape=shape))
    backbone = build(include_top=False, weights=None, input_shape=shape)
    if weights == NONE:
        _follow_quickly(backbone)
    else:
        _load_file(backbone, name, weights)
    return backbone


def _follow_quickly(backbone: Any) -> None:
    """Have batch normalisation follow a network that learns from nothing.

    Its means move by a thousandth a step (MobileNet: momentum 0.999), which suits the millions of pictures that these
    networks were made for; after some hundred steps they are still those of no data, and so are all answers.
    """
    for layer in backbone.layers:
        if getattr(layer, "momentum", 0.0) > QUICK_MOMENTUM:
            layer.momentum = QUICK_MOMENTUM


def _with_imagenet(name: str, build: Any) -> Any:
    try:
        if not _is_cached(name):
            probe_server(_SERVER)
        return build()
    except Exception as error:  # Keras raises a plain Exception for a download that fails
        raise UnavailableError(
            f"weights=imagenet: {name}'s are not in Keras' cache ({_models()}) and cannot be downloaded "
            f"({_line(error)}); give a file with --set weights=/path/to/file.weights.h5, or learn without: weights=none"
        ) from error


def _load_file(backbone: Any, name: str, weights: str) -> None:
    path = Path(weights).expanduser()
    if not path.is_file():
        raise InvalidInputError(f"weights must be none, imagenet or a file's path; there is no file '{weights}'")
    if not path.name.endswith(".h5"):
        raise InvalidInputError(f"a file of weights ends in .weights.h5 or .h5, not '{path.name}'")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            warnings.simplefilter("error", UserWarning)  # Keras only warns of layers that the file lacks
            backbone.load_weights(str(path))
    except Exception as error:  # h5py and Keras raise many kinds
        raise InvalidInputError(
            f"'{weights}' does not hold the weights of {name} without its last layer: {_line(error)}"
        ) from error


def _models() -> Path:
    return keras_cache().parent / "models"


def _is_cached(name: str) -> bool:
    wanted = _letters(BACKBONES[name].constructor)
    return _models().is_dir() and any(_letters(p.name).startswith(wanted) for p in _models().iterdir())


def _letters(text: str) -> str:
    return re.sub(r"[^a-z0-9]", "", text.lower())


def _line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0][:200] if lines else type(error).__name__
