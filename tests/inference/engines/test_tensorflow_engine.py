"""A tiny Keras model and a tiny text model, saved as training saves them and served."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aiplatform.artifacts import Manifest
from aiplatform.errors import ArtifactError
from aiplatform.tensors import DType, Signature, TensorSpec
from inference.engines import load_engine
from inference.loaded import load_version
from tests.inference.serving_fakes import make_info, make_manifest, write_artifact

IMAGE = TensorSpec(name="image", dtype=DType.FP32, shape=(-1, 4, 4, 1))
PROBABILITIES = TensorSpec(name="probabilities", dtype=DType.FP32, shape=(-1, 3))
MANIFEST = make_manifest(Signature(inputs=(IMAGE,), outputs=(PROBABILITIES,)), name="tiny")


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import keras
    import tensorflow as tf

    keras.utils.set_random_seed(3)
    image = keras.Input((4, 4, 1), name="image")
    hidden = keras.layers.Flatten()(keras.layers.Rescaling(1 / 255)(image))
    model = keras.Model(image, keras.layers.Dense(3, activation="softmax", name="probabilities")(hidden))
    inputs = {"image": np.linspace(0, 255, 5 * 16, dtype=np.float32).reshape(5, 4, 4, 1)}
    outputs = {"probabilities": np.asarray(model(inputs["image"]))}

    @tf.function(input_signature=[tf.TensorSpec((None, 4, 4, 1), tf.float32, name="image")])  # type: ignore[untyped-decorator]
    def serve(image: Any) -> Any:
        return {"probabilities": model(image)}

    def save(folder: Path) -> None:
        tf.saved_model.save(model, str(folder), signatures={"serving_default": serve})

    folder = tmp_path_factory.mktemp("tiny") / "1"
    return write_artifact(folder, MANIFEST, inputs, outputs, save)


def test_a_saved_model_computes_what_the_trainer_computed(artifact: Path) -> None:
    loaded = load_version(endpoint="tiny", info=make_info(name="tiny"), folder=artifact)
    loaded.close()


def test_every_batch_size_gives_the_same_rows(artifact: Path) -> None:
    engine = load_engine(artifact, MANIFEST)
    batch = np.random.default_rng(0).random((7, 4, 4, 1), dtype=np.float32) * 255
    together = engine.run({"image": batch})["probabilities"]
    singly = np.concatenate([engine.run({"image": batch[i : i + 1]})["probabilities"] for i in range(7)])
    np.testing.assert_allclose(together, singly, rtol=1e-5)
    np.testing.assert_allclose(together.sum(axis=1), 1, rtol=1e-5)
    engine.close()


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"name": "other"}, "no signature 'other'; it has: .*serving_default"),
        ({"inputs": (replace(IMAGE, name="picture"),)}, r"inputs are \['picture'\], the model's are \['image'\]"),
        ({"outputs": (replace(PROBABILITIES, name="scores"),)}, r"outputs are \['scores'\]"),
    ],
)
def test_a_manifest_that_describes_another_model_is_refused(artifact: Path, changes: dict[str, Any], rule: str) -> None:
    manifest: Manifest = replace(MANIFEST, signature=replace(MANIFEST.signature, **changes))
    with pytest.raises(ArtifactError, match=rule):
        load_engine(artifact, manifest)


def test_a_folder_that_holds_no_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="tiny version 1 cannot be loaded"):
        load_engine(tmp_path, MANIFEST)


def test_texts_go_in_and_come_out(tmp_path: Path) -> None:
    import tensorflow as tf

    class Greeter(tf.Module):  # type: ignore[misc]
        @tf.function(input_signature=[tf.TensorSpec((None, 1), tf.string, name="who")])  # type: ignore[untyped-decorator]
        def greet(self, who: Any) -> Any:
            return {"greeting": tf.strings.join(["hello ", who])}

    greeter = Greeter()
    tf.saved_model.save(greeter, str(tmp_path / "model"), signatures={"serving_default": greeter.greet})
    who = TensorSpec(name="who", dtype=DType.BYTES, shape=(-1, 1))
    signature = Signature(inputs=(who,), outputs=(replace(who, name="greeting"),))
    engine = load_engine(tmp_path, make_manifest(signature))
    names = np.array([["Ada"], ["Zoë"], [b"\xff"]], dtype=object)
    greetings = engine.run({"who": names})["greeting"].ravel().tolist()
    assert greetings == [b"hello Ada", "hello Zoë".encode(), b"hello \xff"]
    engine.close()
