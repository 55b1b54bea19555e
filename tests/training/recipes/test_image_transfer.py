"""Transfer learning from a file of weights; what is not there is said in one line that names what to give."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aiplatform.errors import InvalidInputError, UnavailableError
from tests.training.data.pictures import write_bars
from tests.training.recipes.serving import open_as
from training.recipes import backbones

pytestmark = [
    pytest.mark.long,
    pytest.mark.timeout(300),
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a file of a network's weights: random filters, whose statistics have seen a few pictures."""
    import keras

    folder = tmp_path_factory.mktemp("weights")
    write_bars(folder / "bars.npz", rows=48, size=32)
    images = np.load(folder / "bars.npz")["images"]
    pixels = np.repeat(images.reshape(len(images), 32, 32, 1), 3, axis=3) / 127.5 - 1
    keras.utils.set_random_seed(5)
    backbone = keras.applications.MobileNetV2(include_top=False, weights=None, input_shape=(32, 32, 3))
    for layer in backbone.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.0
    backbone(pixels.astype(np.float32), training=True)
    backbone.save_weights(folder / "known.weights.h5")
    return folder / "known.weights.h5"


def test_a_model_learns_from_the_features_of_a_given_file(
    weights: Path, train: Callable[..., Any], tmp_path: Path
) -> None:
    write_bars(tmp_path / "bars.npz", rows=160, size=16)
    order = {"recipe": "image_transfer", "data": tmp_path / "bars.npz", "weights": str(weights), "size": 32}
    model, folder, inputs, outputs = train(**order, epochs=4, learning_rate=0.02, batch_size=16)
    first, last = model.history[0]["loss"], model.history[-1]["loss"]
    assert last < 0.9 * first, "the last layer learns from features that stay as the file has them"
    engine = open_as(None, model, folder)
    assert np.allclose(engine.run(inputs)["probabilities"], outputs["probabilities"], atol=1e-4)
    assert inputs["image"].shape == (8, 16, 16, 1), "images go in as they are"


def test_a_network_that_learns_from_nothing_knows_its_data_after_some_steps(weights: Path) -> None:
    """With a momentum of 0.999 it answered the same to every picture after 600 steps, though it had learned them."""

    def momenta(of: str) -> set[float]:
        layers = backbones.load_backbone("mobilenet_v2", of, 32).layers
        return {layer.momentum for layer in layers if hasattr(layer, "momentum")}

    assert momenta("none") == {backbones.QUICK_MOMENTUM}
    assert momenta(str(weights)) == {0.999}, "what others learned stays as they left it"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nowhere.weights.h5", "weights must be none, imagenet or a file's path; there is no file"),
        ("bars.npz", r"a file of weights ends in .weights.h5 or .h5, not 'bars.npz'"),
        ("other.weights.h5", "does not hold the weights of mobilenet_v2 without its last layer"),
    ],
)
def test_a_file_that_is_not_the_backbones_is_refused(name: str, message: str, tmp_path: Path) -> None:
    import keras

    write_bars(tmp_path / "bars.npz", rows=60)
    other = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    other.save_weights(tmp_path / "other.weights.h5")
    with pytest.raises(InvalidInputError, match=message):
        backbones.load_backbone("mobilenet_v2", str(tmp_path / name), 32)


def test_without_the_internet_it_says_what_to_give(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(url: str) -> None:
        raise OSError("Name or service not known")

    monkeypatch.setattr(backbones, "probe_server", unreachable)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    with pytest.raises(UnavailableError) as caught:
        backbones.load_backbone("efficientnet_b0", "imagenet", 64)
    assert "efficientnet_b0's are not in Keras' cache" in caught.value.message
    assert "--set weights=/path/to/file.weights.h5" in caught.value.message
    assert "\n" not in caught.value.message
