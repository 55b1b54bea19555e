"""The Keras recipes learn, resume to the same weights, and reload as SavedModels that agree."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.training.data.customers import write_customers
from tests.training.data.pictures import write_bars

pytestmark = pytest.mark.timeout(300)  # importing and tracing take their time on a busy machine


def serve(folder: Path, inputs: dict[str, Any]) -> Any:
    """Call the SavedModel as the serving side does."""
    import tensorflow as tf

    model = tf.saved_model.load(str(folder / "model"))
    function = model.signatures["serving_default"]
    return function(**{name: tf.convert_to_tensor(array) for name, array in inputs.items()})["probabilities"].numpy()


def test_keras_cnn_learns_resumes_and_reloads(train: Callable[..., Any], tmp_path: Path) -> None:
    write_bars(tmp_path / "bars.npz", rows=300, size=8)
    order = {
        "recipe": "keras_cnn",
        "data": tmp_path / "bars.npz",
        "epochs": 2,
        "batch_size": 16,
        "augment": "rotate=5,noise=8",
    }
    model, folder, inputs, outputs = train(**order)
    assert model.metrics["accuracy"] > 0.9
    assert inputs["image"].shape == (8, 8, 8, 1)
    assert np.allclose(serve(folder, inputs), outputs["probabilities"], atol=1e-5)
    assert serve(folder, {"image": inputs["image"][:1]}).shape == (1, 3), "any batch size"
    _, _, _, resumed = train(**order, name="stopped", stop_at=(2, 3))
    assert np.array_equal(resumed["probabilities"], outputs["probabilities"]), "same seed, same weights, even when cut"


@pytest.mark.parametrize("classes", [2, 3])
def test_keras_tabular_learns_and_takes_raw_rows(train: Callable[..., Any], tmp_path: Path, classes: int) -> None:
    write_customers(tmp_path / "customers.csv", classes=classes)
    model, folder, inputs, outputs = train("keras_tabular", tmp_path / "customers.csv", target="class", epochs=12)
    assert model.metrics["accuracy"] > 0.9
    assert ("roc_auc" in model.metrics) == (classes == 2)
    assert np.allclose(serve(folder, inputs), outputs["probabilities"], atol=1e-5)
    odd = {
        "income": np.array([[np.nan], [1000.0], [-5.0]], np.float32),
        "job": np.array([[""], ["astronaut"], ["cook"]], object),
    }
    probabilities = serve(folder, odd)
    assert probabilities.shape == (3, classes)
    assert np.allclose(probabilities.sum(axis=1), 1, atol=1e-5), "missing and unknown values have an answer"
    assert set(model.profile.features) == {"income", "job"}
