"""Whole embeddings: kept as the policy allows, sampled from the store, and compared with those of the artifact."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aiplatform.predictions.tables import table_from_rows
from inference.recording.keeping import pack_rows
from inference.recording_api import PredictionEvent
from monitoring import vectors
from monitoring.drift.results import TestResult, Verdict
from monitoring.ingestion import record_predictions
from monitoring.models import ServedVersion
from monitoring.reports.html import report_html
from monitoring.reports.report import build_period_report, build_report
from monitoring.selectors import Period, get_served_version
from monitoring.statistics import measure
from monitoring.store.compaction import compact_day
from monitoring.store.locations import root
from tests.monitoring.artifacts import write_artifact
from tests.monitoring.factories import make_batch
from tests.monitoring.store.stored import NOW, POLICY, SECRET, a_prediction, all_files, store

RANDOM = np.random.default_rng(4)
CLEAN = RANDOM.normal(size=(400, 3)).astype(np.float32)
# Each dimension is as before; that the first two belong together is new.
TURNED = np.stack([CLEAN[:, 0], CLEAN[:, 0], CLEAN[:, 2]], axis=1) + RANDOM.normal(0, 0.01, (400, 3)).astype(np.float32)
PERIOD = Period(start=NOW - timedelta(minutes=10), end=NOW + timedelta(minutes=10))


@pytest.fixture(autouse=True)
def nothing_remembered() -> None:
    vectors._compare.cache_clear()


@pytest.fixture
def artifact(tmp_path: Path) -> tuple[str, str]:
    ages = np.random.default_rng(1).normal(40, 9, 1000)
    return write_artifact(tmp_path, {"age": ages}, embeddings=np.random.default_rng(3).normal(size=(400, 3)))


def events(artifact: tuple[str, str], values: np.ndarray, *, time: datetime = NOW) -> list[PredictionEvent]:
    of = {"artifact_uri": artifact[0], "artifact_digest": artifact[1]}
    times = (time + timedelta(milliseconds=i) for i in range(len(values)))
    return [a_prediction(at, embedding=row[None], **of) for at, row in zip(times, values, strict=True)]


def record(artifact: tuple[str, str], values: np.ndarray) -> ServedVersion:
    """Have monitoring know of predictions with these embeddings, and the store keep them."""
    batch = make_batch(
        len(values), endpoint="credit", time=NOW, numeric={"age": np.random.default_rng(2).normal(40, 9, len(values))},
        embedding=values, uri=artifact[0], digest=artifact[1],
    )  # fmt: skip
    record_predictions(batches=[batch], now=NOW)
    store(*events(artifact, values))
    return get_served_version("credit", 1)


def sample(digest: str, *, dimensions: int = 3, limit: int = 500) -> np.ndarray:
    hour = timedelta(hours=1)
    return vectors.sample_embeddings(
        "credit", digest, since=NOW - hour, until=NOW + hour, dimensions=dimensions, limit=limit
    )


def compare(served: ServedVersion) -> TestResult:
    found = vectors.compare_embeddings(served, PERIOD)
    assert found is not None
    return found


def test_embeddings_like_those_of_the_artifact_have_not_drifted(artifact: tuple[str, str]) -> None:
    found = compare(record(artifact, CLEAN))
    assert (found.test, found.verdict, found.baseline_samples, found.window_samples) == ("mmd", Verdict.OK, 400, 400)
    assert found.p_value is not None and found.p_value > 0.001


def test_what_no_dimension_shows_by_itself_is_seen_in_whole_vectors(artifact: tuple[str, str]) -> None:
    record(artifact, TURNED)
    found = build_period_report(endpoint="credit", version=1, period=PERIOD, now=PERIOD.end)
    assert {column.verdict for column in found.drift.embedding} == {Verdict.OK}
    assert found.drift.vectors is not None and found.drift.vectors.verdict is Verdict.DRIFTED
    assert (found.drift.embedding_verdict, found.drift.verdict) == (Verdict.DRIFTED, Verdict.DRIFTED)
    assert found.drift.dataset_verdict is Verdict.OK
    assert "embeddings drifted as a whole (MMD" in found.verdict.text
    page = report_html(found)
    assert "Maximum mean discrepancy, 400 embeddings of the prediction store beside 400" in page
    assert build_report(endpoint="credit", version=1, period_s=600, now=PERIOD.end).drift.vectors is None, "no store"


def test_metrics_tell_of_dimensions_and_of_vectors(artifact: tuple[str, str]) -> None:
    record(artifact, CLEAN + np.array([0, 2, 0], np.float32))
    ask = partial(measure, endpoint="credit", version=1, window_s=600, now=NOW + timedelta(minutes=2))
    worst = ask("embedding_drift_psi")
    assert worst.value is not None and worst.value > 1
    assert (worst.detail["feature"], worst.detail["verdict"]) == ("embedding[1]", "drifted")
    assert ask("embedding_drift_psi", feature="embedding[0]").detail["verdict"] == "ok"
    assert ask("drifted_embedding_share").value == pytest.approx(1 / 3)
    assert ask("drifted_feature_share").value == 0
    whole = ask("embedding_mmd")
    assert (whole.detail["verdict"], whole.samples) == ("drifted", 400)


def test_without_kept_embeddings_there_is_no_test_and_a_reason(artifact: tuple[str, str]) -> None:
    uri, digest = artifact
    record_predictions(batches=[make_batch(endpoint="credit", embedding=CLEAN[:100], uri=uri, digest=digest)], now=NOW)
    assert vectors.compare_embeddings(get_served_version("credit", 1), PERIOD) is None
    answer = measure("embedding_mmd", endpoint="credit", version=1, window_s=600, now=NOW)
    assert (answer.value, answer.detail["reason"]) == (None, "no embeddings are kept")


def test_a_sample_is_of_one_artifact_and_of_all_files_the_same_each_time(artifact: tuple[str, str]) -> None:
    uri, digest = artifact
    for minute in range(4):
        store(*events(artifact, np.full((30, 3), minute, np.float32), time=NOW + timedelta(minutes=minute)))
    store(*events((uri, "sha256:" + "1" * 64), np.full((30, 3), 9, np.float32)))
    store(*[a_prediction() for _ in range(5)])  # rows of a model without an embedding
    everything = sample(digest)
    assert np.bincount(everything[:, 0].astype(int)).tolist() == [30, 30, 30, 30]
    some = sample(digest, limit=20)
    assert some.shape == (20, 3) and len(set(some[:, 0])) > 1
    assert np.array_equal(some, sample(digest, limit=20))
    assert len(sample(digest, dimensions=2)) == 0


def test_compaction_keeps_embeddings(artifact: tuple[str, str]) -> None:
    for part in np.split(CLEAN, 4):
        store(*events(artifact, part))
    compact_day("credit", NOW.date(), now=NOW + timedelta(days=2))
    assert len(all_files("credit")) == 1, root()
    found = sample(artifact[1])
    assert np.allclose(np.sort(found, axis=0), np.sort(CLEAN, axis=0))


@pytest.mark.parametrize(
    "changes",
    [{"inputs": "none"}, {"inputs": "hash"}, {"redacted_features": ("age",)}, {"hashed_features": ("job",)},
     {"kept_features": ("age",)}],
)  # fmt: skip
def test_what_is_made_of_inputs_is_not_kept_where_some_of_these_are_not(changes: dict[str, Any]) -> None:
    event = a_prediction(embedding=np.ones((1, 3), np.float32))
    policy = replace(POLICY, **changes)
    assert pack_rows([event], policy, inputs=policy.inputs, secret=SECRET).embedding is None
    kept = pack_rows([event], POLICY, inputs="full", secret=SECRET)
    assert table_from_rows(kept).column("embedding").to_pylist() == [[1, 1, 1]]
