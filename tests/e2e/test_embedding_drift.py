"""From a trained network to its embedding's drift, in one process: recipe, artifact, engine, recording, monitoring."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aiplatform.artifact_staging import stage_artifact
from aiplatform.artifacts import WARMUP_OUTPUTS, Lineage, Manifest, read_arrays, read_embeddings
from aiplatform.errors import ArtifactError
from inference.engines import EngineOptions
from inference.loaded import LoadedVersion, load_version
from inference.recording.columns import build_batches
from inference.routing_table import Route
from monitoring.drift.results import DriftTable, Verdict
from monitoring.ingestion import record_predictions
from monitoring.selectors import Period, get_drift, get_served_version, list_windows, merge_profiles
from tests.inference.serving_fakes import CountingMetrics, ListRecorder, make_info, make_runtime
from tests.training.recipes.reporters import RememberingReporter
from training.data.dataset import Dataset
from training.data.sources import load_dataset
from training.learning import learn
from training.recipes.api import TrainedModel, TrainingOrder

pytestmark = [pytest.mark.django_db, pytest.mark.timeout(300)]
SEED = 3
LINEAGE = Lineage(
    run_id="r", recipe="keras_cnn", parameters={}, data_uri="digits", data_fingerprint="", code_commit="", packages={},
    seed=SEED,
)  # fmt: skip


@dataclass
class Trained:
    """A network of digits, its artifact, and the data that it was made of."""

    model: TrainedModel
    manifest: Manifest
    artifact: Path
    digest: str
    data: Dataset


def write(model: TrainedModel, manifest: Manifest, place: Path, **outputs: Any) -> str:
    """Write the artifact; `outputs` take the place of the trainer's own warm-up outputs, None takes one away."""
    with stage_artifact(str(place)) as staged:
        model.write_to(staged)
        if outputs:
            merged = {**model.warmup_outputs, **outputs}
            staged.write_warmup(dict(model.warmup_inputs), {n: a for n, a in merged.items() if a is not None})
        return staged.commit(manifest)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    folder = tmp_path_factory.mktemp("digits")
    order = TrainingOrder(
        recipe="keras_cnn",
        parameters={"epochs": 2},
        data_uri="digits",
        target=None,
        seed=SEED,
        work_dir=folder / "work",
    )
    model = learn(order, RememberingReporter())
    manifest = Manifest(
        name="digits", version=1, framework=model.framework, model_format=model.model_format, task=model.task,
        signature=model.signature, lineage=LINEAGE, labels=model.labels, embedding=model.embedding,
    )  # fmt: skip
    digest = write(model, manifest, folder / "artifact")
    data = load_dataset("digits", target=None, seed=SEED, scratch=folder / "data")
    return Trained(model, manifest, folder / "artifact", digest, data)


def load(trained: Trained, folder: Path) -> LoadedVersion:
    info = replace(make_info(name="digits"), artifact_uri=f"file://{folder}", artifact_digest=trained.digest)
    return load_version(endpoint="digits", info=info, folder=folder, options=EngineOptions(threads=1))


def drift_of(trained: Trained, images: np.ndarray[Any, Any]) -> DriftTable:
    """Ask the served model about images, and monitoring about what it was asked."""
    recorder, loaded = ListRecorder(), load(trained, trained.artifact)
    serving = make_runtime(Route(endpoint="digits", versions={1: loaded}, weights={1: 100}))
    serving.connect(recorder=recorder, metrics=CountingMetrics())
    try:
        for start in range(0, len(images), 32):
            answer = serving.service.predict_blocking("digits", inputs={"image": images[start : start + 32]})
            assert list(answer.outputs) == ["probabilities"]
    finally:
        serving.close()
    now = datetime.fromtimestamp(time.time(), UTC)
    record_predictions(batches=build_batches(recorder.events, replica="r", max_rows=1000), now=now)
    windows = list_windows("digits", 1, Period.last(600, now=now + timedelta(seconds=1)))
    return get_drift(get_served_version("digits", 1), merge_profiles(windows))


def unseen(trained: Trained) -> np.ndarray[Any, Any]:
    """Return images from which the network has not learned, and which are not in the baseline of its embedding."""
    inputs, _ = trained.data.validation.rows(slice(None))
    return np.asarray(inputs["image"])


def test_the_artifact_holds_the_embedding_of_rows_held_out(trained: Trained) -> None:
    kept = read_embeddings(trained.artifact)
    assert kept is not None and kept.shape == (len(trained.data.test), 8)
    assert trained.model.profile.outputs["embedding[0]"].count == len(trained.data.test)
    warm = read_arrays(trained.artifact / WARMUP_OUTPUTS)["embedding"]
    assert np.allclose(warm, kept[: len(warm)], atol=1e-4), "the warm-up rows are the first of them"


def test_clean_digits_have_an_embedding_as_in_training(trained: Trained) -> None:
    table = drift_of(trained, unseen(trained))
    assert len(table.embedding) == 8
    assert {column.verdict for column in table.embedding} == {Verdict.OK}


@pytest.mark.parametrize(
    ("change", "seen_by_features"),
    [
        (lambda images: np.rot90(images, axes=(1, 2)).copy(), False),
        (lambda images: 255 - images, True),
        (lambda images: np.clip(images + np.random.default_rng(1).normal(0, 120, images.shape), 0, 255), True),
    ],
    ids=["rotated", "inverted", "noisy"],
)
def test_changed_digits_move_the_embedding(
    trained: Trained, change: Callable[[Any], Any], seen_by_features: bool
) -> None:
    images = np.concatenate([unseen(trained), trained.data.test.rows(slice(None))[0]["image"]])
    table = drift_of(trained, change(images).astype(np.float32))
    drifted = [column.column for column in table.embedding if column.verdict is Verdict.DRIFTED]
    assert len(drifted) >= 2, drifted
    assert table.embedding_verdict is Verdict.DRIFTED
    assert (table.dataset_verdict is Verdict.DRIFTED) == seen_by_features, "a rotation is in no feature of the image"


def test_an_engine_whose_embedding_is_another_may_not_serve(trained: Trained, tmp_path: Path) -> None:
    wrong = trained.model.warmup_outputs["embedding"] * np.float32(1.1)
    write(trained.model, trained.manifest, tmp_path / "wrong", embedding=wrong)
    with pytest.raises(ArtifactError, match="output 'embedding' differs from the trainer's by up to"):
        load(trained, tmp_path / "wrong")
    write(trained.model, trained.manifest, tmp_path / "silent", embedding=None)
    with pytest.raises(ArtifactError, match="the warm-up samples have no 'embedding'"):
        load(trained, tmp_path / "silent")


def test_an_artifact_that_promises_none_is_served_as_before(trained: Trained, tmp_path: Path) -> None:
    write(trained.model, replace(trained.manifest, embedding=None), tmp_path / "old", embedding=None)
    loaded = load(trained, tmp_path / "old")
    answer = loaded.queue.run_blocking(dict(trained.model.warmup_inputs), deadline=time.monotonic() + 30)
    assert list(answer) == ["probabilities"]
    loaded.close()
