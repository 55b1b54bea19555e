"""A version serves only if it reproduces what the trainer computed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from aiplatform.artifacts import Manifest
from aiplatform.errors import ArtifactError
from aiplatform.tensors import DType, Signature
from inference.engines import Arrays, Engine, EngineOptions
from inference.loaded import LoadedVersion, load_version
from inference.scheduler import BatchLimits
from inference.warmup import tolerance_of
from tests.inference.serving_fakes import FakeEngine, make_info, make_manifest, rows, spec, write_artifact

EXPECTED = {"y": np.array([[2, 2], [4, 4]], dtype=np.float32)}


class EmbeddingEngine(FakeEngine):
    """Computes an embedding, too."""

    def run(self, inputs: Arrays) -> Arrays:
        """Double, and embed each row as the same two numbers."""
        embedding = np.tile(np.array([[309, -309]], dtype=np.float32), (len(inputs["x"]), 1))
        return {**super().run(inputs), "embedding": embedding}


def load(folder: Path, engine: Engine) -> LoadedVersion:
    def loader(folder: Path, manifest: Manifest, options: EngineOptions) -> Engine:
        return engine

    return load_version(endpoint="double", info=make_info(), folder=folder, limits=BatchLimits(), loader=loader)


def test_a_version_that_agrees_with_its_samples_serves(tmp_path: Path) -> None:
    folder = write_artifact(tmp_path / "1", make_manifest(), rows(1, 2), EXPECTED)
    engine = FakeEngine()
    loaded = load(folder, engine)
    assert engine.batches[:2] == [2, 1]
    assert set(loaded.running.call_ms) == {1, 32}
    assert loaded.manifest.name == "double"
    loaded.close()
    assert engine.is_closed


def test_a_version_that_differs_is_refused_with_the_largest_difference(tmp_path: Path) -> None:
    folder = write_artifact(tmp_path / "1", make_manifest(), rows(1, 2), EXPECTED)
    engine = FakeEngine(factor=2.25)
    with pytest.raises(ArtifactError, match=r"by up to 0\.5 on the warm-up samples; allowed are 0\.0001"):
        load(folder, engine)
    assert engine.is_closed


def test_an_embedding_that_differs_is_refused_with_what_an_embedding_may_be_off(tmp_path: Path) -> None:
    manifest = replace(make_manifest(), embedding=spec("embedding"))
    outputs = {"y": EXPECTED["y"], "embedding": np.array([[300, -300], [300, -300]], dtype=np.float32)}
    folder = write_artifact(tmp_path / "1", manifest, rows(1, 2), outputs)
    engine = EmbeddingEngine()
    with pytest.raises(ArtifactError, match=r"'embedding' differs .* by up to 9 .* allowed are 0\.3 \+ 0\.001 of the"):
        load(folder, engine)
    assert "of 'embedding' 0.001 of its values' root mean square" in tolerance_of(manifest)
    assert tolerance_of(make_manifest()) == "0.0001 + 0.001 of the value"


def test_rounding_is_no_difference(tmp_path: Path) -> None:
    folder = write_artifact(tmp_path / "1", make_manifest(), rows(1, 2), EXPECTED)
    load(folder, FakeEngine(factor=2.0001)).close()


def test_an_engine_that_computes_nan_is_refused(tmp_path: Path) -> None:
    folder = write_artifact(tmp_path / "1", make_manifest(), rows(1, 2), EXPECTED)
    with pytest.raises(ArtifactError, match="differs"):
        load(folder, FakeEngine(factor=float("nan")))


def test_an_artifact_without_samples_is_refused(tmp_path: Path) -> None:
    folder = write_artifact(tmp_path / "1", make_manifest(), rows(1, 2), EXPECTED)
    (folder / "warmup" / "outputs.npz").unlink()
    with pytest.raises(ArtifactError, match=r"no warm-up samples \(outputs.npz\)"):
        load(folder, FakeEngine())


def test_an_engine_that_fails_on_the_samples_is_refused(tmp_path: Path) -> None:
    folder = write_artifact(tmp_path / "1", make_manifest(), rows(1, 666), EXPECTED)
    with pytest.raises(ArtifactError, match="failed on its warm-up samples: RuntimeError: poison"):
        load(folder, FakeEngine())


def test_texts_must_be_equal(tmp_path: Path) -> None:
    class Texts(FakeEngine):
        def run(self, inputs: Arrays) -> Arrays:
            return {"y": np.array([b"a"] * len(inputs["x"]), dtype=object)}

    signature = Signature(inputs=(spec("x"),), outputs=(spec("y", DType.BYTES, (-1,)),))
    same = {"y": np.array(["a", "a"], dtype=object)}
    other = {"y": np.array(["a", "b"], dtype=object)}
    manifest = make_manifest(signature)
    load(write_artifact(tmp_path / "1", manifest, rows(1, 2), same), Texts()).close()
    with pytest.raises(ArtifactError, match="differs from the trainer's"):
        load(write_artifact(tmp_path / "2", manifest, rows(1, 2), other), Texts())


def test_a_missing_output_is_named(tmp_path: Path) -> None:
    folder = write_artifact(tmp_path / "1", make_manifest(), rows(1, 2), {**EXPECTED, "z": EXPECTED["y"]})
    with pytest.raises(ArtifactError, match="output 'z' is missing"):
        load(folder, FakeEngine())
