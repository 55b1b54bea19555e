"""A linear classifier of digits, in the registry as if a run had trained it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from aiplatform.artifacts import read_manifest
from aiplatform.storage import local_path
from training.data.sources import load_dataset
from training.models import ModelVersion, RegisteredModel

from ..factories import make_version
from ..importing.conftest import Models, models

__all__ = ["models"]


@pytest.fixture(scope="session")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with `model/`, a SavedModel, and `rows.npz`, images with labels."""
    import tensorflow as tf
    from sklearn import datasets

    folder = tmp_path_factory.mktemp("digits")
    bunch = datasets.load_digits()
    pixels = np.rint(bunch.images * (255 / 16)).astype(np.float32)[..., None]  # (1797, 8, 8, 1)
    flat = np.concatenate([pixels.reshape(-1, 64) / 255, np.ones((len(pixels), 1))], axis=1)
    weights = np.linalg.lstsq(flat, np.eye(10)[bunch.target] * 8, rcond=None)[0].astype(np.float32)

    module = tf.Module()
    module.weights = tf.Variable(weights[:64])
    module.bias = tf.Variable(weights[64])
    spec = tf.TensorSpec((None, 8, 8, 1), tf.float32, name="image")

    def classify(image: Any) -> Any:
        logits = tf.reshape(image, (-1, 64)) / 255.0 @ module.weights + module.bias
        return {"probabilities": tf.nn.softmax(logits)}

    tf.saved_model.save(module, str(folder / "model"), signatures=tf.function(classify, input_signature=[spec]))
    np.savez(folder / "rows.npz", x=pixels, y=bunch.target)
    return folder


@pytest.fixture(scope="session")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder in which the first test that needs it leaves the classifier's artifact."""
    return tmp_path_factory.mktemp("artifacts")


@pytest.fixture
def trained(models: Models, digits: Path, artifacts: Path, tmp_path: Path) -> ModelVersion:
    """Return version 1 of `digits`, with a run's lineage: it was trained on `digits`, split by seed 3."""
    uri = f"file://{artifacts}/digits"
    if not (artifacts / "digits").exists():
        (record,) = models("import", digits / "model", "--name", "digits", "--image", "8x8x1")
        shutil.copytree(local_path(record["artifact_uri"]), artifacts / "digits")
        ModelVersion.objects.all().delete()
        RegisteredModel.objects.all().delete()
    manifest, digest = read_manifest(uri)
    data = load_dataset("digits", target=None, seed=3, scratch=tmp_path)
    plain = msgspec.to_builtins(manifest)
    plain["lineage"] |= {
        "recipe": "keras_cnn", "data_uri": "digits", "data_fingerprint": data.fingerprint, "seed": 3,
    }  # fmt: skip
    return make_version("digits", manifest=plain, artifact_uri=uri, artifact_digest=digest)
