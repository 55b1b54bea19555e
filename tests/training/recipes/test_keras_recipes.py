"""The Keras recipes learn, resume to the same weights, and reload as SavedModels that agree."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aiplatform.tensors import DType, TensorSpec
from tests.training.data.customers import write_customers
from tests.training.data.pictures import write_bars
from training.data.dataset import IMAGE, DataDescription, DataKind, Part
from training.recipes.keras_cnn import KerasCnn
from training.recipes.keras_heads import Loss
from training.recipes.tasks import Task

pytestmark = pytest.mark.timeout(300)  # importing and tracing take their time on a busy machine


def serve(folder: Path, inputs: dict[str, Any], signature: str = "serving_default") -> Any:
    """Call the SavedModel; return its only output, of the monitored signature the embedding."""
    import tensorflow as tf

    model = tf.saved_model.load(str(folder / "model"))
    answer = model.signatures[signature](**{name: tf.convert_to_tensor(array) for name, array in inputs.items()})
    wanted = {"serving_default": ["probabilities"], "monitored": ["embedding", "probabilities"]}[signature]
    assert sorted(answer) == wanted
    return answer[wanted[0]].numpy()


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
    assert np.allclose(serve(folder, inputs, "monitored"), outputs["embedding"], atol=1e-5)
    assert model.embedding is not None and model.embedding.shape == (-1, 8)
    assert {f"embedding[{i}]" for i in range(8)} < set(model.profile.outputs), "the baseline knows each dimension"
    assert model.embeddings is not None and model.embeddings.shape == (60, 8), "of the rows held out"
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
    assert serve(folder, odd, "monitored").shape == (3, 8)


def test_without_dimensions_the_model_has_one_signature_and_no_embedding(
    train: Callable[..., Any], tmp_path: Path
) -> None:
    import tensorflow as tf

    write_bars(tmp_path / "bars.npz", rows=100, size=8)
    model, folder, _, outputs = train("keras_cnn", tmp_path / "bars.npz", epochs=1, embedding=0)
    assert set(outputs) == {"probabilities"} and model.embedding is None and model.embeddings is None
    assert set(model.profile.outputs) == {"label", "confidence"}
    assert list(tf.saved_model.load(str(folder / "model")).signatures) == ["serving_default"]


def test_the_hidden_layer_is_what_goes_into_the_last_dense_one() -> None:
    import keras
    from keras import layers

    from training.recipes.keras_recipe import last_hidden

    image = keras.Input((4, 4, 1))
    hidden = layers.Dense(5)(layers.Flatten()(image))
    plain = keras.Model(image, layers.Activation("softmax")(layers.Dense(3)(hidden)))
    assert last_hidden(plain) is hidden
    convolutional = layers.Softmax()(layers.GlobalAveragePooling2D()(layers.Conv2D(3, 1)(image)))
    assert last_hidden(keras.Model(image, convolutional)) is None, "no dense layer before the output"
    twice = layers.Dense(3)
    shared = keras.Model(image, [twice(hidden), twice(layers.Dense(5)(hidden))])
    assert last_hidden(shared) is hidden, "of the first output, though the layer is called again elsewhere"
    summed = layers.Add()([layers.Dense(3)(hidden), layers.Dense(3)(hidden)])
    assert last_hidden(keras.Model(image, summed)) is None, "two dense layers make the output"
    every_pixel = keras.Model(image, layers.Dense(3)(image))
    assert last_hidden(every_pixel) is None, "not one vector a row"


class BranchingCnn(KerasCnn):
    """Has a loss of its own, with an `if` over what is only known while it runs."""

    name = "branching_cnn"

    def build_loss(self, task: Task) -> Loss:
        """Return a loss that is nothing for a batch that is right already."""
        plain = super().build_loss(task)

        def loss(targets: Any, outputs: Any) -> tuple[Any, Any]:
            import tensorflow as tf

            losses, measures = plain(targets, outputs)
            if tf.reduce_mean(measures) > 0.99:
                losses = losses * 0.0
            return losses, measures

        return loss


@pytest.mark.parametrize("recipe", [KerasCnn(), BranchingCnn()])
def test_a_loss_of_somebodys_own_may_branch_on_tensors(recipe: KerasCnn) -> None:
    pixels = np.zeros((32, 8, 8, 1), np.uint8)
    part = Part(inputs={IMAGE: pixels}, labels=np.zeros(32, np.int64))
    spec = TensorSpec(name=IMAGE, dtype=DType.FP32, shape=(-1, 8, 8, 1))
    data = DataDescription(kind=DataKind.IMAGES, inputs=(spec,), labels=("a", "b"), image=None, train=part)
    learner = recipe.build_learner(data, recipe.Parameters(learning_rate=0.1), seed=0)
    found = [learner.train_batch(*part.rows(np.arange(32))) for _ in range(20)]
    assert found[-1][1] == 32
    assert (found[-1][0] == 0.0) == isinstance(recipe, BranchingCnn)
